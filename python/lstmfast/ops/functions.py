# SPDX-License-Identifier: BSD-3-Clause
"""More functions of numbers, element by element: inverse trigonometric and hyperbolic ones, error functions, bits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .composed import composed
from .elementwise import abs as absolute
from .elementwise import cast, equal, isnan, less_equal, logical_and, where
from .operation import operation
from .rules import same_shape
from .tables import binary, no_slope, unary

Array = npt.NDArray[Any]

_LOG_2 = np.float32(math.log(2))


def as_floating(x: Any) -> Any:
    """Floating-point numbers as they are, others as float32."""
    return x if "float" in str(getattr(x, "dtype", "")) else cast(x, "float32")


# ---- one array

arccos = unary("arccos", np.arccos, lambda dy, y, x: -dy / np.sqrt(1 - x * x), "Arc cosine.")
arccosh = unary("arccosh", np.arccosh, lambda dy, y, x: dy / np.sqrt(x * x - 1), "Inverse hyperbolic cosine.")
arcsin = unary("arcsin", np.arcsin, lambda dy, y, x: dy / np.sqrt(1 - x * x), "Arc sine.")
arcsinh = unary("arcsinh", np.arcsinh, lambda dy, y, x: dy / np.sqrt(x * x + 1), "Inverse hyperbolic sine.")
arctan = unary("arctan", np.arctan, lambda dy, y, x: dy / (1 + x * x), "Arc tangent.")
arctanh = unary("arctanh", np.arctanh, lambda dy, y, x: dy / (1 - x * x), "Inverse hyperbolic tangent.")
cbrt = unary("cbrt", np.cbrt, lambda dy, y, x: dy / (3 * y * y), "Cube root.")
deg2rad = unary("deg2rad", np.deg2rad, lambda dy, y, x: np.deg2rad(dy), "Degrees to radians.")
rad2deg = unary("rad2deg", np.rad2deg, lambda dy, y, x: np.rad2deg(dy), "Radians to degrees.")
exp2 = unary("exp2", np.exp2, lambda dy, y, x: dy * y * _LOG_2, "2 to the power of `x`.")
fabs = unary("fabs", np.fabs, lambda dy, y, x: dy * np.sign(x), "The value without its sign, as a float.")
trunc = unary("trunc", np.trunc, no_slope, "The next whole number towards 0.", dtype=None)
real = unary(
    "real",
    np.real,
    lambda dy, y, x: dy,
    "The real part: of real numbers themselves.",
    dtype=None,
    complex_too=True,
)
imag = unary(
    "imag", np.imag, no_slope, "The imaginary part: of real numbers 0.", dtype=None, complex_too=True
)
conjugate = unary(
    "conjugate",
    lambda x: np.conjugate(x) if np.iscomplexobj(x) else np.asarray(x),
    lambda dy, y, x: dy,
    "The complex conjugate: of real numbers themselves.",
    dtype=None,
    complex_too=True,
)
conj = conjugate
copy = unary("copy", np.array, lambda dy, y, x: dy, "A copy.", dtype=None)
angle = unary(
    "angle", np.angle, no_slope, "The angle in the complex plane: 0, or pi below 0.", complex_too=True
)
signbit = unary("signbit", np.signbit, None, "Whether the sign is minus.", dtype="bool")
isposinf = unary("isposinf", np.isposinf, None, "Whether it is infinite and positive.", dtype="bool")
isneginf = unary("isneginf", np.isneginf, None, "Whether it is infinite and negative.", dtype="bool")
isreal = unary(
    "isreal", np.isreal, None, "Whether there is no imaginary part.", dtype="bool", complex_too=True
)


def _sinc_slope(dy: Array, y: Array, x: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(x == 0, np.float32(0), dy * (np.cos(np.pi * x).astype(x.dtype) - y) / x)


sinc = unary("sinc", np.sinc, _sinc_slope, "``sin(pi x) / (pi x)``, 1 at 0.")


def _i1(x: Array) -> Array:
    """The modified Bessel function of order 1: the derivative of that of order 0, by its series and its limit."""
    wide = np.abs(x.astype(np.float64))
    angles = (np.arange(64) + 0.5) * (
        np.pi / 64
    )  # the integral of exp(x cos t) cos t is exact to 1e-15 up to 40
    found = (np.exp(wide[..., None] * (np.cos(angles) - 1)) * np.cos(angles)).mean(-1) * np.exp(wide)
    return np.asarray(np.sign(x) * found)


i0 = unary("i0", np.i0, lambda dy, y, x: dy * _i1(x), "Modified Bessel function of the first kind, order 0.")

_erf = np.vectorize(math.erf, otypes=[np.float64])
_erfc = np.vectorize(math.erfc, otypes=[np.float64])
_TWO_BY_ROOT_PI = np.float32(2 / math.sqrt(math.pi))


def _inverse_erf(x: Array) -> Array:
    """Giles 2010's approximation, then two steps of Newton's with the function itself."""
    wide = x.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        w = -np.log((1 - wide) * (1 + wide))
        near, far = w - 2.5, np.sqrt(np.maximum(w, 5)) - 3
        low = np.polyval(_GILES_NEAR, near) * wide
        y = np.where(w < 5, low, np.polyval(_GILES_FAR, far) * wide)
        for _ in range(2):
            off = np.where(
                np.abs(wide) < 0.5, _erf(y) - wide, np.sign(wide) * ((1 - np.abs(wide)) - _erfc(np.abs(y)))
            )
            y = y - off / (2 / math.sqrt(math.pi) * np.exp(-y * y))
        return np.where(np.abs(wide) == 1, np.copysign(np.inf, wide), y)


_GILES_NEAR = (
    *(2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087),
    *(-0.00125372503, -0.00417768164, 0.246640727, 1.50140941),
)
_GILES_FAR = (
    *(-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773),
    *(-0.0076224613, 0.00943887047, 1.00167406, 2.83297682),
)

erf = unary(
    "erf",
    _erf,
    lambda dy, y, x: dy * _TWO_BY_ROOT_PI * np.exp(-x * x),
    "Gauss's error function.",
    home="math",
)
erfc = unary(
    "erfc",
    _erfc,
    lambda dy, y, x: -dy * _TWO_BY_ROOT_PI * np.exp(-x * x),
    "``1 - erf(x)``, exact far out.",
    home="math",
)
erfinv = unary(
    "erfinv",
    _inverse_erf,
    lambda dy, y, x: dy / _TWO_BY_ROOT_PI * np.exp(y * y),
    "Inverse of `erf`.",
    home="math",
)


@operation(
    "NanToNum",
    lambda dy, y, x, nan, posinf, neginf: np.where(np.isfinite(x), dy, np.float32(0)),
    config="nan posinf neginf",
    shape=same_shape,
)
def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Any:
    """Numbers in place of NaN and infinities: by default 0 and the greatest and least that there are."""
    return np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)


def _limits(dtype: str) -> Any:
    return np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.finfo(dtype)


@composed("SaturateCast", home="core", config="dtype")
def saturate_cast(x: Any, dtype: Any) -> Any:
    """As `cast`, numbers out of the range of the dtype becoming its least or greatest."""
    from .elementwise import clip

    if str(dtype) == "bool":
        return cast(x, dtype)
    limits = _limits(str(dtype))
    return cast(clip(x, float(limits.min), float(limits.max)) if str(dtype) != "float32" else x, dtype)


# ---- two arrays


def _won(ahead: Any) -> tuple[Any, Any]:
    """Gradients of `fmax` and `fmin`: of what was taken, which is never NaN beside a number; ties are shared."""

    def share(dy: Array, mine: Any, other: Any) -> Array:
        taken = ahead(mine, other) | np.isnan(other)
        return np.where(np.equal(mine, other), np.float32(0.5) * dy, np.where(taken, dy, np.float32(0)))

    return lambda dy, y, a, b: share(dy, a, b), lambda dy, y, a, b: share(dy, b, a)


def _truncated(dy: Array, y: Array, a: Any, b: Any) -> Array:
    return np.asarray(-dy * np.trunc(np.divide(a, b)))


def _no_nan(a: Any, b: Any) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.equal(b, 0), np.float32(0), np.true_divide(a, b))


fmax = binary("fmax", np.fmax, _won(np.greater), "The greater of two, of a number and NaN the number.")
fmin = binary("fmin", np.fmin, _won(np.less), "The lesser of two, of a number and NaN the number.")
fmod = binary(
    "fmod", np.fmod, (lambda dy, y, a, b: dy, _truncated), "The rest of ``x1 / x2``, with the sign of `x1`."
)
hypot = binary(
    "hypot",
    np.hypot,
    (lambda dy, y, a, b: dy * a / y, lambda dy, y, a, b: dy * b / y),
    "``sqrt(x1**2 + x2**2)``.",
    dtype="float32",
)
logaddexp2 = binary(
    "logaddexp2",
    np.logaddexp2,
    (lambda dy, y, a, b: dy * np.exp2(a - y), lambda dy, y, a, b: dy * np.exp2(b - y)),
    "``log2(2**x1 + 2**x2)``.",
    dtype="float32",
)
heaviside = binary(
    "heaviside", np.heaviside, (no_slope,) * 2, "0 below 0, 1 above, `x2` at 0.", dtype="float32"
)
divide_no_nan = binary(
    "divide_no_nan",
    _no_nan,
    (lambda dy, y, a, b: _no_nan(dy, b), lambda dy, y, a, b: -_no_nan(dy * y, b)),
    "``x1 / x2``, 0 where `x2` is 0.",
    dtype="float32",
    kind="DivideNoNan",
)
ldexp = binary(
    "ldexp",
    lambda a, b: a * np.exp2(np.asarray(b, np.float32)),
    (lambda dy, y, a, b: dy * np.exp2(np.asarray(b, np.float32)), no_slope),
    "``x1 * 2**x2``.",
    dtype="float32",
)
nextafter = binary(
    "nextafter",
    np.nextafter,
    (lambda dy, y, a, b: dy, no_slope),
    "The number next to `x1`, towards `x2`.",
    dtype="float32",
)
gcd = binary("gcd", np.gcd, None, "Greatest common divisor of integers.")
lcm = binary("lcm", np.lcm, None, "Least common multiple of integers.")


def _bits(name: str, compute: Any, doc: str, kind: str) -> Any:
    return binary(name, compute, None, doc, kind=kind, arguments="x y")


bitwise_and = _bits("bitwise_and", np.bitwise_and, "Bits that are set in both.", "BitwiseAnd")
bitwise_or = _bits("bitwise_or", np.bitwise_or, "Bits that are set in any of the two.", "BitwiseOr")
bitwise_xor = _bits("bitwise_xor", np.bitwise_xor, "Bits that are set in one of the two.", "BitwiseXor")
bitwise_left_shift = _bits(
    "bitwise_left_shift", np.left_shift, "Bits moved up by `y` places.", "BitwiseLeftShift"
)
left_shift = _bits("left_shift", np.left_shift, "Bits moved up by `y` places.", "LeftShift")
bitwise_right_shift = _bits(
    "bitwise_right_shift", np.right_shift, "Bits moved down by `y` places.", "BitwiseRightShift"
)
right_shift = _bits("right_shift", np.right_shift, "Bits moved down by `y` places.", "RightShift")
bitwise_not = unary("bitwise_not", np.bitwise_not, None, "The other bits.", dtype=None, kind="BitwiseNot")
bitwise_invert = unary(
    "bitwise_invert", np.bitwise_not, None, "The other bits.", dtype=None, kind="BitwiseInvert"
)


@composed("Isclose", config="equal_nan", dtype="bool", writes_all=True)
def isclose(x1: Any, x2: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    """Whether ``|x1 - x2| <= atol + rtol * |x2|``."""
    x1, x2 = as_floating(x1), as_floating(x2)
    near = (absolute(x1 - x2) <= atol + rtol * absolute(x2)) | equal(x1, x2)
    near = logical_and(near, less_equal(absolute(x2), 3.5e38) | equal(x1, x2))
    return near | (isnan(x1) & isnan(x2)) if equal_nan else near


@operation("AllClose", config="rtol atol equal_nan", shape=lambda *_, **__: (), dtype="bool")
def allclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Whether all pairs are close; see `isclose`."""
    return np.asarray(np.allclose(x1, x2, rtol, atol, equal_nan))


@operation(
    "IsIn",
    config="assume_unique invert",
    shape=same_shape,
    dtype="bool",
)
def isin(x1: Any, x2: Any, assume_unique: bool = False, invert: bool = False) -> Any:
    """Which elements of `x1` are in `x2`."""
    return np.isin(x1, x2, assume_unique=assume_unique, invert=invert)


# ---- activations


def _activation(name: str, compute: Any, slope: Any, doc: str, kind: str) -> Any:
    return unary(name, compute, lambda dy, y, x: dy * slope(x), doc, home="nn", kind=kind)


sparse_plus = _activation(
    "sparse_plus",
    lambda x: np.where(x <= -1, np.float32(0), np.where(x < 1, np.square(x + 1) / 4, x)),
    lambda x: np.clip((x + 1) / 2, 0, 1),
    "0 up to -1, ``(x + 1)**2 / 4`` up to 1, then `x`.",
    "SparsePlus",
)
sparse_sigmoid = _activation(
    "sparse_sigmoid",
    lambda x: np.clip((x + 1) / 2, 0, 1),
    lambda x: np.where((x > -1) & (x < 1), np.float32(0.5), np.float32(0)),
    "``(x + 1) / 2``, from 0 to 1.",
    "SparseSigmoid",
)
tanh_shrink = _activation(
    "tanh_shrink", lambda x: x - np.tanh(x), lambda x: np.square(np.tanh(x)), "``x - tanh(x)``.", "TanhShrink"
)


@composed("HardShrink", home="nn", config="threshold")
def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """`x` where it is above the threshold or below minus it, else 0."""
    x = as_floating(x)
    return where(absolute(x) > threshold, x, 0.0)


@composed("SoftShrink", home="nn", config="threshold")
def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """`x` made smaller by the threshold, 0 between minus it and it."""
    x = as_floating(x)
    return where(x > threshold, x - threshold, where(x < -threshold, x + threshold, 0.0))


@composed("Threshold", home="nn", config="threshold default_value")
def threshold(x: Any, threshold: Any, default_value: Any) -> Any:
    """`x` where it is above the threshold, else the default value."""
    return where(x > threshold, x, default_value)
