# SPDX-License-Identifier: BSD-3-Clause
"""Which operations have a native form in a frozen model.

A rule gets the arguments of a recorded call, tensors among them, and returns the form, or None where there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..layers.frozen import FrozenLayer
from ..symbolic import KerasTensor

__all__ = ["Form", "arithmetic", "by_activation", "by_slope", "joined", "picked", "squared"]

Form = FrozenLayer | None


def _constants(value: Any, tensor: KerasTensor) -> Any:
    """A number, or one for each feature, as float32; None for other shapes."""
    array = np.asarray(value, np.float32)
    width = tensor.shape[-1]
    if array.size == 1 and array.ndim <= tensor.ndim:
        return array.reshape(1)
    return array.ravel() if array.ndim <= tensor.ndim and array.size == array.shape[-1] == width else None


def arithmetic(kind: str, constant: float | None = None, first: bool = False) -> Callable[..., Form]:
    """Of two tensors, or of one and numbers; with `constant`, of one tensor and that."""

    def rule(*arguments: Any, **_: Any) -> Form:
        if constant is not None:
            arguments = (constant, *arguments) if first else (*arguments, constant)
        left, right = arguments
        if isinstance(left, KerasTensor) and isinstance(right, KerasTensor):
            if left.ndim != right.ndim or left.ndim not in (2, 3) or "int" in left.dtype + right.dtype:
                return None
            return FrozenLayer(
                "arithmetic", {"kind": kind, "constants": np.zeros(0, np.float32), "reverse": False}
            )
        tensor, other = (left, right) if isinstance(left, KerasTensor) else (right, left)
        if tensor.ndim not in (2, 3) or tensor.dtype != "float32":
            return None
        constants = _constants(other, tensor)
        if constants is None:
            return None
        return FrozenLayer("arithmetic", {"kind": kind, "constants": constants, "reverse": tensor is right})

    return rule


def squared(x: Any, exponent: Any = 2) -> Form:
    """``x * x``."""
    if not isinstance(x, KerasTensor) or isinstance(exponent, KerasTensor) or x.dtype != "float32":
        return None
    square = np.ndim(exponent) == 0 and exponent == 2 and x.ndim in (2, 3)
    return (
        FrozenLayer(
            "arithmetic", {"kind": "multiply", "constants": np.zeros(0, np.float32), "reverse": False}
        )
        if square
        else None
    )


def by_activation(name: str, **defaults: Any) -> Callable[..., Form]:
    """By a native activation, if the configuration is that of its defaults."""

    def rule(x: Any, **config: Any) -> Form:
        known = all(config.get(key) == value for key, value in defaults.items())
        return FrozenLayer("activation", {"activation": name}) if known and x.ndim in (2, 3) else None

    return rule


def by_slope(slope: float) -> Callable[..., Form]:
    """`x` above 0, else a slope times `x`."""

    def rule(x: Any, **_: Any) -> Form:
        slopes = np.array([slope], np.float32)
        return FrozenLayer("leaky", {"slopes": slopes}) if x.ndim in (2, 3) and x.dtype == "float32" else None

    return rule


def joined(xs: Any, axis: int = 0) -> Form:
    """Features side by side."""
    rank = len(xs[0].shape)
    tensors = all(isinstance(x, KerasTensor) and x.dtype == "float32" for x in xs)
    return FrozenLayer("concatenate", {}) if tensors and rank in (2, 3) and axis in (-1, rank - 1) else None


def picked(x: Any, key: Any) -> Form:
    """One time step."""
    keys = key if isinstance(key, tuple) else (key,)
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        keys = keys[:at] + (slice(None),) * (x.ndim - len(keys) + 1) + keys[at + 1 :]
    if x.dtype != "float32" or x.ndim not in (2, 3) or None in keys:
        return None
    others = [k for k in (*keys[:1], *keys[2:]) if k != slice(None)]
    if others:
        return None
    step = keys[1] if len(keys) > 1 else slice(None)
    if x.ndim != 3 or not isinstance(step, int):
        return None
    refusal = None if step == -1 else "it picks one step of the whole sequence"
    return FrozenLayer("pick", {"step": step}, refusal)
