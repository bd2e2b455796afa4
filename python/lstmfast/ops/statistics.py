# SPDX-License-Identifier: BSD-3-Clause
"""Means, extremes and norms along axes, with and without NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .composed import composed
from .elementwise import abs as absolute
from .elementwise import cast, isnan, maximum, minimum, power, rsqrt, sqrt, square, where
from .functions import as_floating
from .operation import operation
from .reductions import (
    _extreme_gradient,
    _running_shape,
    all,
    cumsum,
    max,
    mean,
    min,
    prod,
    running,
    sum,
    var,
)
from .rules import axes_of, flags_counted, shape_of
from .shaping import expand_dims, ones_like, reshape, squeeze
from .tables import along_axes

Array = npt.NDArray[Any]

_NAN = np.float32(np.nan)


amax = along_axes("amax", np.max, _extreme_gradient, "The greatest along axes, all by default.", dtype=None)
amin = along_axes("amin", np.min, _extreme_gradient, "The least along axes, all by default.", dtype=None)


@composed("Ptp", config="axis keepdims")
def ptp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The distance from the least to the greatest along axes, all by default."""
    return max(x, axis, keepdims) - min(x, axis, keepdims)


@composed("Average", config="axis", dtype="float32")
def average(x: Any, axis: Any = None, weights: Any = None) -> Any:
    """Weighted mean along an axis, all by default; weights have the shape of `x`, or are one for each along the axis."""
    x = as_floating(x)
    if weights is None:
        return mean(x, axis)
    shape, own = shape_of(x), shape_of(weights)
    weights = as_floating(weights)
    if len(own) != len(shape) or (None not in (*own, *shape) and own != shape):
        if axis is None or len(own) != 1 or own[0] not in (shape[axis], None):
            raise ValueError(
                f"weights must have the shape {shape} of x, or one number along the axis, got {own}"
            )
        at = axes_of(axis, len(shape))[0]
        weights = reshape(weights, tuple(-1 if k == at else 1 for k in range(len(shape))))
    return sum(x * weights, axis) / sum(weights * ones_like(x), axis)


@composed("Moments", home="nn", config="axes keepdims synchronized", dtype="float32")
def moments(x: Any, axes: Any, keepdims: bool = False, synchronized: bool = False) -> Any:
    """Mean and variance along axes."""
    if synchronized:
        raise ValueError("synchronized=True is not supported: there is one device")
    x = as_floating(x)
    return [mean(x, axes, keepdims), var(x, axes, keepdims)]


# ---- norms


def _root(x: Any) -> Any:
    """Square root with the gradient 0 at 0, as of norms of nothing."""
    zero = x == 0
    return where(zero, 0.0, sqrt(where(zero, 1.0, x)))


@composed("Norm", home="linalg", config="ord axis keepdims", dtype="float32")
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Norm of vectors (one axis), of matrices (two), or of all elements.

    `ord` is as for `numpy.linalg.norm`: None, a number, inf, -inf, and "fro" and "nuc" for matrices.
    """
    x, rank = as_floating(x), len(shape_of(x))
    if axis is None and ord is not None and rank not in (1, 2):
        raise ValueError(
            f"norm with ord={ord!r} needs `axis`, or a vector or a matrix; got shape {shape_of(x)}"
        )
    axes = axes_of(axis, rank)
    if ord is not None and len(axes) > 2:
        raise ValueError(f"norm is one of vectors or matrices, got axis={axis}")
    size = absolute(x)
    if ord is None or ord == "fro" or (ord == 2 and len(axes) == 1):
        if ord == "fro" and len(axes) != 2:
            raise ValueError("ord='fro' is a norm of matrices")
        y = _root(sum(square(x), axes, True))
    elif len(axes) == 1:
        y = _vector_norm(x, size, ord, axes)
    elif ord in (1, -1, np.inf, -np.inf):
        along, over = axes if abs(ord) == 1 else axes[::-1]
        y = (max if ord > 0 else min)(sum(size, along, True), over, True)
    elif ord in (2, -2, "nuc"):
        from .linalg import svd
        from .shaping import moveaxis

        values = svd(moveaxis(x, axes, (-2, -1)), full_matrices=False, compute_uv=False)
        y = sum(values, -1) if ord == "nuc" else (max if ord > 0 else min)(values, -1)
        return expand_dims(y, tuple(sorted(axes))) if keepdims else y
    else:
        raise ValueError(f"ord={ord!r} is no norm of matrices")
    return y if keepdims else squeeze(y, axes)


def _vector_norm(x: Any, size: Any, ord: Any, axes: Any) -> Any:
    if isinstance(ord, str):
        raise ValueError(f"ord={ord!r} is no norm of vectors")
    if ord in (np.inf, -np.inf):
        return (max if ord > 0 else min)(size, axes, True)
    if ord == 0:
        return sum(cast(x != 0, "float32"), axes, True)
    return sum(size, axes, True) if ord == 1 else power(sum(power(size, ord), axes, True), 1 / ord)


@composed("Normalize", home="nn", config="axis order epsilon", dtype="float32")
def normalize(x: Any, axis: Any = -1, order: int = 2, epsilon: float | None = None) -> Any:
    """`x` divided by its norm along axes, or by `epsilon` (1e-7) if that is greater."""
    if not isinstance(order, int) or order < 1:
        raise ValueError(f"Argument `order` must be an int >= 1. Received: order={order}")
    x = as_floating(x)
    if not shape_of(x):
        x = expand_dims(x, 0)
    least = 1e-7 if epsilon is None else epsilon
    if order == 2:
        with np.errstate(divide="ignore"):
            return x * minimum(rsqrt(sum(square(x), axis, True)), 1 / least)
    return x / maximum(norm(x, order, axis, True), least)


# ---- without NaN


def _or(x: Any, value: float) -> Any:
    return where(isnan(x), value, x)


def _numbers(x: Any, axis: Any, keepdims: bool) -> Any:
    return sum(cast(~isnan(x), "float32"), axis, keepdims)


@composed("Nansum", config="axis keepdims")
def nansum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """As `sum`, without NaN."""
    return sum(_or(x, 0), axis, keepdims)


@composed("Nanprod", config="axis keepdims")
def nanprod(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """As `prod`, without NaN."""
    return prod(_or(x, 1), axis, keepdims)


@composed("Nanmean", config="axis keepdims", dtype="float32")
def nanmean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """As `mean`, without NaN; NaN where there is nothing else."""
    x = as_floating(x)
    with np.errstate(invalid="ignore"):
        return sum(_or(x, 0.0), axis, keepdims) / _numbers(x, axis, keepdims)


@composed("Nanvar", config="axis keepdims", dtype="float32")
def nanvar(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """As `var`, without NaN."""
    x = as_floating(x)
    with np.errstate(invalid="ignore"):
        deviation = x - nanmean(x, axis, True)
        return sum(square(_or(deviation, 0.0)), axis, keepdims) / _numbers(x, axis, keepdims)


@composed("Nanstd", config="axis keepdims", dtype="float32")
def nanstd(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """As `std`, without NaN."""
    return _root(nanvar(x, axis, keepdims))


def _nan_extreme(extreme: Any, least: float, x: Any, axis: Any, keepdims: bool) -> Any:
    if "float" not in str(getattr(x, "dtype", "")):
        return extreme(x, axis, keepdims)
    return where(all(isnan(x), axis, keepdims), _NAN, extreme(_or(x, least), axis, keepdims))


@composed("Nanmax", config="axis keepdims")
def nanmax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """As `max`, without NaN; NaN where there is nothing else."""
    return _nan_extreme(max, -np.inf, x, axis, keepdims)


@composed("Nanmin", config="axis keepdims")
def nanmin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """As `min`, without NaN; NaN where there is nothing else."""
    return _nan_extreme(min, np.inf, x, axis, keepdims)


# ---- running products and sums


def _product_slope(dy: Array, y: Array, x: Array, axis: Any, dtype: Any) -> Array:
    """With the products before and behind each element, so that zeros do no harm."""
    along = 0 if axis is None else axis
    values = np.moveaxis(x.reshape(-1) if axis is None else x, along, 0)
    given = np.moveaxis(dy, along, 0)
    before = np.concatenate([np.ones_like(values[:1]), np.cumprod(values[:-1], 0)])
    behind = np.array(given)
    for k in range(len(values) - 2, -1, -1):
        behind[k] += values[k + 1] * behind[k + 1]
    found: Array = np.moveaxis(before * behind, 0, along)
    return found.reshape(x.shape)


@operation("Cumprod", _product_slope, config="axis dtype", shape=_running_shape, dtype=running)
def cumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """Products of all elements up to each along an axis, by default of the flattened array."""
    return np.cumprod(x, axis=axis, dtype=dtype or flags_counted(np.asarray(x).dtype))


@composed("Nancumsum", config="axis dtype")
def nancumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """As `cumsum`, NaN as 0."""
    return cumsum(_or(x, 0), axis, dtype)


@composed("Nancumprod", config="axis dtype")
def nancumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """As `cumprod`, NaN as 1."""
    return cumprod(_or(x, 1), axis, dtype)
