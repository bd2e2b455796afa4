# SPDX-License-Identifier: BSD-3-Clause
"""Functions of numbers, element by element, with broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import activations
from .native import arithmetic, by_activation, by_slope, differs, squared, truth
from .operation import operation
from .rules import as_floats, dtype_name, flags_counted, promoted

Array = npt.NDArray[Any]


def _native(function: Callable[[Any], Array], plain: Callable[[Array], Array], x: Any) -> Array:
    """float32 by the native kernels, which layers use too; others in NumPy."""
    x = as_floats(x)
    return function(x) if x.dtype == np.float32 else plain(x)


def _as_numbers(*given: Any) -> list[Any]:
    """Arrays as floating-point numbers: of small integers NumPy would make float16."""
    return [as_floats(v) if isinstance(v, np.ndarray) else v for v in given]


def _no_slope(dy: Array, y: Array, *_: Any, **__: Any) -> Array:
    return np.zeros_like(dy)


# ---- two arrays


@operation("Add", (lambda dy, y, a, b: dy,) * 2, frozen=arithmetic("add"))
def add(x1: Any, x2: Any) -> Any:
    """``x1 + x2``."""
    return np.add(x1, x2)


@operation("Subtract", (lambda dy, y, a, b: dy, lambda dy, y, a, b: -dy), frozen=arithmetic("subtract"))
def subtract(x1: Any, x2: Any) -> Any:
    """``x1 - x2``."""
    return np.subtract(x1, x2)


@operation(
    "Multiply", (lambda dy, y, a, b: dy * b, lambda dy, y, a, b: dy * a), frozen=arithmetic("multiply")
)
def multiply(x1: Any, x2: Any) -> Any:
    """``x1 * x2``."""
    return np.multiply(x1, x2)


_QUOTIENT = (lambda dy, y, a, b: dy / b, lambda dy, y, a, b: -dy * y / b)


@operation("Divide", _QUOTIENT, dtype="float32", frozen=arithmetic("divide"))
def divide(x1: Any, x2: Any) -> Any:
    """``x1 / x2``; of integers float32."""
    return np.true_divide(x1, x2)


@operation("TrueDivide", _QUOTIENT, dtype="float32", frozen=arithmetic("divide"))
def true_divide(x1: Any, x2: Any) -> Any:
    """``x1 / x2``; of integers float32."""
    return np.true_divide(x1, x2)


def _power_of_base(dy: Array, y: Array, a: Any, b: Any) -> Array:
    if isinstance(b, (int, float)) and b == 2:
        return np.asarray(dy * (2 * a))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.equal(b, 0), np.float32(0), dy * b * np.power(a, np.subtract(b, 1)))


def _power_of_exponent(dy: Array, y: Array, a: Any, b: Any) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.equal(a, 0), np.float32(0), dy * y * np.log(a))


@operation("Power", (_power_of_base, _power_of_exponent), frozen=squared)
def power(x1: Any, x2: Any) -> Any:
    """``x1 ** x2``."""
    return np.power(x1, x2)


def _won(sign: int) -> tuple[Any, Any]:
    def share(dy: Array, mine: Any, other: Any) -> Array:
        ahead = np.subtract(mine, other) * sign
        return np.where(ahead > 0, dy, np.where(ahead == 0, np.float32(0.5) * dy, np.float32(0)))

    return lambda dy, y, a, b: share(dy, a, b), lambda dy, y, a, b: share(dy, b, a)


@operation("Maximum", _won(1), frozen=arithmetic("maximum"))
def maximum(x1: Any, x2: Any) -> Any:
    """The greater of two; equal ones share the gradient."""
    return np.maximum(x1, x2)


@operation("Minimum", _won(-1), frozen=arithmetic("minimum"))
def minimum(x1: Any, x2: Any) -> Any:
    """The lesser of two; equal ones share the gradient."""
    return np.minimum(x1, x2)


@operation("Mod", (lambda dy, y, a, b: dy, lambda dy, y, a, b: -dy * np.floor_divide(a, b)))
def mod(x1: Any, x2: Any) -> Any:
    """The rest of ``x1 / x2``, with the sign of `x2`."""
    return np.mod(x1, x2)


@operation("FloorDivide", (_no_slope, _no_slope))
def floor_divide(x1: Any, x2: Any) -> Any:
    """``x1 // x2``."""
    return np.floor_divide(x1, x2)


@operation(
    "Arctan2",
    (
        lambda dy, y, a, b: dy * b / (np.square(a) + np.square(b)),
        lambda dy, y, a, b: -dy * a / (np.square(a) + np.square(b)),
    ),
    dtype="float32",
)
def arctan2(x1: Any, x2: Any) -> Any:
    """The angle of the point (`x2`, `x1`), from -pi to pi."""
    return np.arctan2(*_as_numbers(x1, x2))


@operation(
    "Logaddexp",
    (lambda dy, y, a, b: dy * np.exp(a - y), lambda dy, y, a, b: dy * np.exp(b - y)),
    dtype="float32",
)
def logaddexp(x1: Any, x2: Any) -> Any:
    """``log(exp(x1) + exp(x2))``."""
    return np.logaddexp(*_as_numbers(x1, x2))


# ---- comparisons and logic: no gradient


@operation("Equal", dtype="bool")
def equal(x1: Any, x2: Any) -> Any:
    """``x1 == x2``."""
    return np.equal(x1, x2)


@operation("NotEqual", dtype="bool", frozen=differs)
def not_equal(x1: Any, x2: Any) -> Any:
    """``x1 != x2``."""
    return np.not_equal(x1, x2)


@operation("Greater", dtype="bool")
def greater(x1: Any, x2: Any) -> Any:
    """``x1 > x2``."""
    return np.greater(x1, x2)


@operation("GreaterEqual", dtype="bool")
def greater_equal(x1: Any, x2: Any) -> Any:
    """``x1 >= x2``."""
    return np.greater_equal(x1, x2)


@operation("Less", dtype="bool")
def less(x1: Any, x2: Any) -> Any:
    """``x1 < x2``."""
    return np.less(x1, x2)


@operation("LessEqual", dtype="bool")
def less_equal(x1: Any, x2: Any) -> Any:
    """``x1 <= x2``."""
    return np.less_equal(x1, x2)


@operation("LogicalAnd", dtype="bool", frozen=arithmetic("multiply", dtype="bool"))
def logical_and(x1: Any, x2: Any) -> Any:
    """Whether both are true."""
    return np.logical_and(x1, x2)


@operation("LogicalOr", dtype="bool", frozen=arithmetic("maximum", dtype="bool"))
def logical_or(x1: Any, x2: Any) -> Any:
    """Whether any of the two is true."""
    return np.logical_or(x1, x2)


@operation("LogicalXor", dtype="bool")
def logical_xor(x1: Any, x2: Any) -> Any:
    """Whether one of the two is true."""
    return np.logical_xor(x1, x2)


@operation("LogicalNot", dtype="bool", frozen=arithmetic("subtract", 1.0, True, dtype="bool"))
def logical_not(x: Any) -> Any:
    """Whether it is false."""
    return np.logical_not(x)


@operation("Isnan", dtype="bool")
def isnan(x: Any) -> Any:
    """Whether it is not a number."""
    return np.isnan(x)


@operation("Isfinite", dtype="bool")
def isfinite(x: Any) -> Any:
    """Whether it is neither infinite nor NaN."""
    return np.isfinite(x)


@operation("Isinf", dtype="bool")
def isinf(x: Any) -> Any:
    """Whether it is infinite."""
    return np.isinf(x)


def _promoted_pair(_: Any, x1: Any, x2: Any) -> str:
    if x1 is None or x2 is None:
        raise ValueError(
            "where of a symbolic condition needs `x1` and `x2`: its result would have no fixed size"
        )
    return promoted([x1, x2])


@operation(
    "Where",
    (
        None,
        lambda dy, y, c, a, b: np.where(c, dy, np.float32(0)),
        lambda dy, y, c, a, b: np.where(c, np.float32(0), dy),
    ),
    dtype=_promoted_pair,
)
def where(condition: Any, x1: Any = None, x2: Any = None) -> Any:
    """`x1` where the condition holds, else `x2`; without both the indices where it holds, of an array."""
    if x1 is None or x2 is None:
        if x1 is not x2:
            raise ValueError("`x1` and `x2` either both should be `None` or both should have non-None value.")
        return list(np.where(condition))
    return np.where(condition, x1, x2)


# ---- one array


@operation("Negative", lambda dy, y, x: -dy, frozen=arithmetic("multiply", -1.0))
def negative(x: Any) -> Any:
    """``-x``."""
    return np.negative(x)


@operation("Absolute", lambda dy, y, x: dy * np.sign(x), frozen=by_slope(-1.0), complex_too=True)
def absolute(x: Any) -> Any:
    """The value without its sign."""
    return np.absolute(x)


abs = absolute


@operation("Exp", lambda dy, y, x: dy * y, dtype="float32", frozen=by_activation("exponential"))
def exp(x: Any) -> Any:
    """e to the power of `x`."""
    return _native(activations.exponential, np.exp, x)


@operation("Expm1", lambda dy, y, x: dy * (y + 1), dtype="float32")
def expm1(x: Any) -> Any:
    """``exp(x) - 1``, exact near 0."""
    return np.expm1(as_floats(x))


@operation("Log", lambda dy, y, x: dy / x, dtype="float32")
def log(x: Any) -> Any:
    """Natural logarithm."""
    return np.log(as_floats(x))


@operation("Log1p", lambda dy, y, x: dy / (1 + x), dtype="float32")
def log1p(x: Any) -> Any:
    """``log(1 + x)``, exact near 0."""
    return np.log1p(as_floats(x))


@operation("Log2", lambda dy, y, x: dy / (x * np.float32(np.log(2))), dtype="float32")
def log2(x: Any) -> Any:
    """Logarithm to base 2."""
    return np.log2(as_floats(x))


@operation("Log10", lambda dy, y, x: dy / (x * np.float32(np.log(10))), dtype="float32")
def log10(x: Any) -> Any:
    """Logarithm to base 10."""
    return np.log10(as_floats(x))


@operation("Sqrt", lambda dy, y, x: dy / (2 * y), dtype="float32")
def sqrt(x: Any) -> Any:
    """Square root."""
    return np.sqrt(as_floats(x))


@operation("Rsqrt", lambda dy, y, x: dy * np.float32(-0.5) * y / x, home="math", dtype="float32")
def rsqrt(x: Any) -> Any:
    """``1 / sqrt(x)``."""
    return 1 / np.sqrt(as_floats(x))


@operation("Square", lambda dy, y, x: dy * (2 * x), dtype=lambda x: flags_counted(x.dtype), frozen=squared)
def square(x: Any) -> Any:
    """``x * x``."""
    return np.square(x, dtype=np.int32) if getattr(x, "dtype", None) == np.bool_ else np.square(x)


@operation(
    "Reciprocal", lambda dy, y, x: -dy * y * y, dtype="float32", frozen=arithmetic("divide", 1.0, True)
)
def reciprocal(x: Any) -> Any:
    """``1 / x``."""
    return 1 / as_floats(x)


@operation("Sin", lambda dy, y, x: dy * np.cos(x), dtype="float32")
def sin(x: Any) -> Any:
    """Sine."""
    return np.sin(as_floats(x))


@operation("Cos", lambda dy, y, x: -dy * np.sin(x), dtype="float32")
def cos(x: Any) -> Any:
    """Cosine."""
    return np.cos(as_floats(x))


@operation("Tan", lambda dy, y, x: dy * (1 + y * y), dtype="float32")
def tan(x: Any) -> Any:
    """Tangent."""
    return np.tan(as_floats(x))


@operation("Sinh", lambda dy, y, x: dy * np.cosh(x), dtype="float32")
def sinh(x: Any) -> Any:
    """Hyperbolic sine."""
    return np.sinh(as_floats(x))


@operation("Cosh", lambda dy, y, x: dy * np.sinh(x), dtype="float32")
def cosh(x: Any) -> Any:
    """Hyperbolic cosine."""
    return np.cosh(as_floats(x))


@operation("Tanh", lambda dy, y, x: dy * (1 - y * y), dtype="float32", frozen=by_activation("tanh"))
def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""
    return _native(activations.tanh, np.tanh, x)


@operation("Sign", _no_slope)
def sign(x: Any) -> Any:
    """-1, 0 or 1; flags as they are."""
    flags = np.asarray(x)
    return flags.copy() if flags.dtype == bool else np.sign(x)


@operation("Floor", _no_slope, dtype="float32")
def floor(x: Any) -> Any:
    """The next whole number below."""
    return np.floor(as_floats(x))


@operation("Ceil", _no_slope, dtype="float32")
def ceil(x: Any) -> Any:
    """The next whole number above."""
    return np.ceil(as_floats(x))


@operation("Round", _no_slope, config="decimals")
def round(x: Any, decimals: int = 0) -> Any:
    """Rounded to a number of decimals, halves to even."""
    return np.round(x, decimals)


@operation(
    "Clip",
    lambda dy, y, x, x_min, x_max: np.where((x >= x_min) & (x <= x_max), dy, np.float32(0)),
    config="x_min x_max",
    dtype=lambda x, x_min, x_max: promoted((x, x_min, x_max)),
)
def clip(x: Any, x_min: Any, x_max: Any) -> Any:
    """`x`, but not below `x_min` and not above `x_max`."""
    return np.clip(x, x_min, x_max)


@operation(
    "Cast",
    lambda dy, y, x, dtype: dy,
    home="core",
    config="dtype",
    dtype=lambda x, dtype: dtype_name(dtype),
    exact=True,
    frozen=truth,
)
def cast(x: Any, dtype: Any) -> Any:
    """`x` as numbers of another type."""
    return np.asarray(x).astype(np.dtype(dtype))


@operation("StopGradient", home="core")
def stop_gradient(variable: Any) -> Any:
    """The same array, through which no gradient goes."""
    return variable
