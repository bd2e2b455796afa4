# SPDX-License-Identifier: BSD-3-Clause
"""Activations of symbolic tensors: operations of the graph, those that Keras's functions of the same names make."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from ..variables import is_traced

__all__ = ["in_graphs"]

F = TypeVar("F", bound=Callable[..., Any])


def in_graphs(function: F) -> F:
    """A function of arrays as one that also takes symbolic tensors and, where a `call` is traced, variables."""
    name = function.__name__

    @functools.wraps(function)
    def activation(x: Any, *args: Any, **kwargs: Any) -> Any:
        if is_traced(x):
            from .. import ops  # whose functions compute with those of this package

            form = _FORMS.get(name)
            return getattr(ops, name)(x, *args, **kwargs) if form is None else form(ops, x, *args, **kwargs)
        return function(x, *args, **kwargs)

    return activation  # type: ignore[return-value]


def _relu(
    ops: Any, x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Any:
    return ops.classes.ReLU(negative_slope=negative_slope, max_value=max_value, threshold=threshold)(x)


def _gelu(ops: Any, x: Any, approximate: bool = False) -> Any:
    return ops.gelu(x, approximate)


#: Those that `lstmfast.ops` does not have under the same name with the same defaults.
_FORMS: dict[str, Callable[..., Any]] = {
    "exponential": lambda ops, x: ops.exp(x),
    "gelu": _gelu,
    "linear": lambda ops, x: x,
    "mish": lambda ops, x: x * ops.tanh(ops.softplus(x)),
    "relu": _relu,
}
