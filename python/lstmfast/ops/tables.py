# SPDX-License-Identifier: BSD-3-Clause
"""Makers of operations that take a line each: of one array, of two, along axes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .operation import operation
from .rules import as_floats, reduced

__all__ = ["along_axes", "binary", "no_slope", "refused", "unary"]

Array = npt.NDArray[Any]
Op = Callable[..., Any]


def no_slope(dy: Array, y: Array, *_: Any, **__: Any) -> Array:
    """The gradient of steps."""
    return np.zeros_like(dy)


def refused(name: str) -> Op:
    """The gradient of what has none: training through it must not go on without a word."""

    def gradient(*_: Any, **__: Any) -> Any:
        raise ValueError(f"{name} has no gradient: use stop_gradient on what it is given")

    return gradient


def named(function: Op, name: str, doc: str, parameters: str) -> Op:
    """The function under another name, with this documentation and these arguments, ``"x axis=None"``."""
    made = []
    for text in parameters.split():
        key, _, default = text.partition("=")
        value = {"None": None, "False": False}[default] if default else inspect.Parameter.empty
        made.append(inspect.Parameter(key, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=value))
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    function.__signature__ = inspect.Signature(made)  # type: ignore[attr-defined]
    function.__annotations__ = {}
    return function


def unary(
    name: str,
    compute: Op,
    gradient: Op | None,
    doc: str,
    *,
    home: str = "numpy",
    dtype: Any = "float32",
    kind: str | None = None,
    complex_too: bool = False,
) -> Op:
    """An operation of one array `x`; of floating-point numbers, unless `dtype` is None or another.

    Its class has the name in capitals, or `kind`; its gradient gets ``dy, y, x``.
    """
    floats = dtype == "float32"

    def function(**given: Any) -> Any:
        return compute(as_floats(given["x"]) if floats else given["x"])

    make = operation(kind or name.capitalize(), gradient, home=home, dtype=dtype, complex_too=complex_too)
    return make(named(function, name, doc, "x"))


def binary(
    name: str,
    compute: Op,
    gradients: tuple[Op, Op] | None,
    doc: str,
    *,
    dtype: Any = None,
    kind: str | None = None,
    arguments: str = "x1 x2",
) -> Op:
    """An operation of two arrays that are broadcast; its gradients get ``dy, y, x1, x2``."""

    def function(**given: Any) -> Any:
        values = [
            as_floats(v) if isinstance(v, np.ndarray) and dtype == "float32" else v for v in given.values()
        ]
        return compute(*values)

    make = operation(kind or name.capitalize(), gradients, dtype=dtype)
    return make(named(function, name, doc, arguments))


def along_axes(
    name: str, compute: Op, gradient: Op | None, doc: str, *, dtype: Any = "float32", kind: str | None = None
) -> Op:
    """An operation with `axis` and `keepdims`; its gradient gets ``dy, y, x, axis, keepdims``."""
    floats = dtype == "float32"

    def function(**given: Any) -> Any:
        x = as_floats(given["x"]) if floats else given["x"]
        return compute(x, axis=given["axis"], keepdims=given["keepdims"])

    make = operation(kind or name.capitalize(), gradient, config="axis keepdims", shape=reduced, dtype=dtype)
    return make(named(function, name, doc, "x axis=None keepdims=False"))
