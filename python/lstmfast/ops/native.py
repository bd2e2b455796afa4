# SPDX-License-Identifier: BSD-3-Clause
"""Which operations have a native form in a frozen model.

A rule gets the arguments of a recorded call, tensors among them, and returns the form, or None where there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..layers.frozen import FrozenLayer, without_mask
from ..symbolic import KerasTensor

__all__ = [
    "Form",
    "arithmetic",
    "by_activation",
    "by_slope",
    "differs",
    "expanded",
    "joined",
    "picked",
    "pooled",
    "product",
    "squared",
    "truth",
]

Form = FrozenLayer | None


def _constants(value: Any, tensor: KerasTensor) -> Any:
    """Numbers that are the same for all samples, as (steps, features) float32 either of which may be 1; None for other shapes."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or array.ndim > tensor.ndim:
        return None
    array = array.reshape((1,) * (tensor.ndim - array.ndim) + array.shape)
    if array.size == 0 or array.shape[0] != 1:
        return None
    for size, known in zip(array.shape[1:], tensor.shape[1:], strict=True):
        if known is not None and size != known and 1 not in (size, known):
            return None
    return np.array(array, np.float32).reshape(array.shape[1:] if tensor.ndim == 3 else (1, -1))


def _operator(kind: str, constants: Any = None, reverse: bool = False) -> FrozenLayer:
    return FrozenLayer("arithmetic", {"kind": kind, "constants": constants, "reverse": reverse})


def arithmetic(
    kind: str, constant: float | None = None, first: bool = False, dtype: str = "float32"
) -> Callable[..., Form]:
    """Of two tensors, or of one and numbers; with `constant`, of one tensor and that."""

    def rule(*arguments: Any, **_: Any) -> Form:
        if constant is not None:
            arguments = (constant, *arguments) if first else (*arguments, constant)
        left, right = arguments
        if isinstance(left, KerasTensor) and isinstance(right, KerasTensor):
            dtypes = {left.dtype, right.dtype}
            fits = dtype in dtypes and dtypes <= {dtype, "bool"} and left.ndim == right.ndim
            return _operator(kind) if fits and left.ndim in (2, 3) else None
        tensor, other = (left, right) if isinstance(left, KerasTensor) else (right, left)
        if tensor.ndim not in (2, 3) or tensor.dtype != dtype:
            return None
        if dtype == "bool":
            other = np.asarray(other) != 0
        constants = _constants(other, tensor)
        return None if constants is None else _operator(kind, constants, tensor is right)

    return rule


def squared(x: Any, exponent: Any = 2) -> Form:
    """``x * x``."""
    if not isinstance(x, KerasTensor) or isinstance(exponent, KerasTensor) or x.dtype != "float32":
        return None
    square = np.ndim(exponent) == 0 and exponent == 2 and x.ndim in (2, 3)
    return _operator("multiply") if square else None


def product(x1: Any, x2: Any) -> Form:
    """Of steps or rows with a matrix that is constant."""
    tensor = isinstance(x1, KerasTensor) and x1.ndim in (2, 3) and x1.dtype == "float32"
    if not tensor or isinstance(x2, KerasTensor) or np.ndim(x2) != 2 or np.size(x2) == 0:
        return None
    kernel = np.array(x2, np.float32)
    return FrozenLayer("dense", {"kernel": kernel, "bias": None, "activation": "linear"})


def truth(x: Any, dtype: Any) -> Form:
    """True and False as the numbers 1 and 0, which they are already; and float32 as it is."""
    kept = x.dtype == "bool" or (x.dtype == "float32" and dtype == "float32")
    return _operator("multiply", np.ones((1, 1), np.float32)) if kept and x.ndim in (2, 3) else None


def differs(x1: Any, x2: Any) -> Form:
    """Whether ids, or numbers, are others than this one."""
    tensor, other = (x1, x2) if isinstance(x1, KerasTensor) else (x2, x1)
    if isinstance(other, KerasTensor) or np.ndim(other) != 0 or not isinstance(tensor, KerasTensor):
        return None
    if tensor.ndim not in (2, 3) or not np.issubdtype(np.asarray(other).dtype, np.number):
        return None
    return FrozenLayer("differs", {"value": float(other)})


def expanded(x: Any, axis: Any) -> Form:
    """An axis of one step, or of one feature."""
    if x.ndim != 2 or not isinstance(axis, int):
        return None
    place = axis % 3
    return None if place == 0 else _new_axis(place)


def _new_axis(place: int) -> FrozenLayer:
    steps, width = (1, -1) if place == 1 else (-1, 1)
    return FrozenLayer("reshape", {"steps": steps, "width": width}, "it makes another time axis")


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


def pooled(pool: str) -> Callable[..., Form]:
    """The mean or maximum of all steps, whatever a mask says."""

    def rule(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Form:
        over_time = x.ndim == 3 and axis in (1, -2, (1,), (-2,)) and x.dtype == "float32"
        if not over_time or initial is not None:
            return None
        arguments = {"pool": pool, "keepdims": bool(keepdims)}
        form = FrozenLayer("global_pooling", arguments, "it needs all time steps at once", ends_mask=True)
        return form if pool == "max" else without_mask(form)  # the maximum looks at no mask

    return rule


def joined(xs: Any, axis: int = 0) -> Form:
    """Features side by side."""
    rank = len(xs[0].shape)
    tensors = all(isinstance(x, KerasTensor) and x.dtype == "float32" for x in xs)
    return FrozenLayer("concatenate", {}) if tensors and rank in (2, 3) and axis in (-1, rank - 1) else None


def picked(x: Any, key: Any) -> Form:
    """One time step, or a new axis."""
    keys = key if isinstance(key, tuple) else (key,)
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        keys = keys[:at] + (slice(None),) * (x.ndim - len(keys) + 1) + keys[at + 1 :]
    if x.ndim == 2 and keys.count(None) == 1 and all(k in (None, slice(None)) for k in keys):
        place = keys.index(None)
        return _new_axis(place) if place in (1, 2) else None
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
