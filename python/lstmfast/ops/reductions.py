# SPDX-License-Identifier: BSD-3-Clause
"""Functions that join the elements along axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .native import pooled
from .operation import operation
from .rules import as_floats, axes_of, dtype_name, flags_counted, positive_axis, reduced, shape_of

Array = npt.NDArray[Any]


def _spread(values: Any, x: Array, axis: Any, keepdims: bool) -> Array:
    """What belongs to a reduced array beside every element that went into it."""
    values = np.asarray(values)
    if not keepdims:
        values = np.expand_dims(values, axes_of(axis, x.ndim))
    return np.broadcast_to(values, x.shape)


def _count(x: Array, axis: Any) -> np.float32:
    return np.float32(np.prod([x.shape[k] for k in axes_of(axis, x.ndim)]))


def _sum_gradient(dy: Array, y: Array, x: Array, axis: Any, keepdims: bool) -> Array:
    return _spread(dy, x, axis, keepdims)


def _extreme_gradient(dy: Array, y: Array, x: Array, axis: Any, keepdims: bool, initial: Any = None) -> Array:
    best = x == _spread(y, x, axis, keepdims)
    shares = best.sum(axis=axis, keepdims=True, dtype=np.float32)
    return np.where(best, _spread(dy, x, axis, keepdims) / np.maximum(shares, 1), np.float32(0))


def _variance_gradient(dy: Array, y: Array, x: Array, axis: Any, keepdims: bool) -> Array:
    deviation = x - x.mean(axis=axis, keepdims=True)
    return np.asarray(_spread(dy, x, axis, keepdims) * deviation * (2 / _count(x, axis)))


def _deviation_gradient(dy: Array, y: Array, x: Array, axis: Any, keepdims: bool) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = np.where(y == 0, np.float32(0), dy / (2 * y))
    return _variance_gradient(scaled, y, x, axis, keepdims)


def _product_gradient(dy: Array, y: Array, x: Array, axis: Any, keepdims: bool, dtype: Any) -> Array:
    """The product of the others, of each: that of those before times that of those behind."""
    axes = axes_of(axis, x.ndim)
    order = [k for k in range(x.ndim) if k not in axes] + list(axes)
    moved = np.transpose(x, order)
    lead = moved.shape[: x.ndim - len(axes)]
    flat = moved.reshape(*lead, -1)
    one = np.ones((*lead, 1), x.dtype)
    before = np.cumprod(np.concatenate([one, flat[..., :-1]], -1), -1)
    behind = np.cumprod(np.concatenate([one, flat[..., :0:-1]], -1), -1)[..., ::-1]
    others = (before * behind).reshape(moved.shape).transpose(np.argsort(order))
    return np.asarray(_spread(dy, x, axis, keepdims) * others)


def _log_sum_gradient(dy: Array, y: Array, x: Array, axis: Any, keepdims: bool) -> Array:
    return np.asarray(_spread(dy, x, axis, keepdims) * np.exp(x - _spread(y, x, axis, keepdims)))


def _summed(x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> str:
    """The dtype of sums: flags are counted, small integers become larger ones."""
    small = np.dtype(x.dtype).kind in "biu" and np.dtype(x.dtype).itemsize < 4
    return dtype_name(dtype, "int32" if small else x.dtype)


def running(x: Any, axis: Any = None, dtype: Any = None) -> str:
    """The dtype of running sums: flags are counted."""
    return dtype_name(dtype, flags_counted(x.dtype))


@operation("Sum", _sum_gradient, config="axis keepdims", shape=reduced, dtype=_summed)
def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Sum along axes, all by default."""
    return np.sum(x, axis=axis, keepdims=keepdims)


@operation(
    "Mean",
    lambda dy, y, x, axis, keepdims: _spread(dy / _count(x, axis), x, axis, keepdims),
    config="axis keepdims",
    shape=reduced,
    dtype="float32",
    frozen=pooled("average"),
)
def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Mean along axes, all by default."""
    return np.mean(as_floats(x), axis=axis, keepdims=keepdims)


def _extreme(function: Callable[..., Any], x: Any, axis: Any, keepdims: bool, initial: Any) -> Any:
    more = {} if initial is None else {"initial": initial}
    return function(x, axis=axis, keepdims=keepdims, **more)


@operation("Max", _extreme_gradient, config="axis keepdims initial", shape=reduced, frozen=pooled("max"))
def max(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """The greatest along axes, all by default; equal ones share the gradient."""
    return _extreme(np.max, x, axis, keepdims, initial)


@operation("Min", _extreme_gradient, config="axis keepdims initial", shape=reduced)
def min(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """The least along axes, all by default; equal ones share the gradient."""
    return _extreme(np.min, x, axis, keepdims, initial)


@operation("Prod", _product_gradient, config="axis keepdims dtype", shape=reduced, dtype=_summed)
def prod(x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Any:
    """Product along axes, all by default."""
    return np.prod(x, axis=axis, keepdims=keepdims, dtype=dtype)


@operation("Var", _variance_gradient, config="axis keepdims", shape=reduced, dtype="float32")
def var(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Variance along axes, all by default."""
    return np.var(as_floats(x), axis=axis, keepdims=keepdims)


@operation("Std", _deviation_gradient, config="axis keepdims", shape=reduced, dtype="float32")
def std(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Standard deviation along axes, all by default."""
    return np.std(as_floats(x), axis=axis, keepdims=keepdims)


@operation(
    "Logsumexp", _log_sum_gradient, home="math", config="axis keepdims", shape=reduced, dtype="float32"
)
def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """``log(sum(exp(x)))`` along axes, all by default."""
    x = as_floats(x)
    top = np.max(x, axis=axis, keepdims=True)
    y = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return y if keepdims else np.squeeze(y, axes_of(axis, x.ndim))


@operation("Any", config="axis keepdims", shape=reduced, dtype="bool")
def any(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether any is true along axes, all by default."""
    return np.any(x, axis=axis, keepdims=keepdims)


@operation("All", config="axis keepdims", shape=reduced, dtype="bool")
def all(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether all are true along axes, all by default."""
    return np.all(x, axis=axis, keepdims=keepdims)


@operation("Argmax", config="axis keepdims", shape=reduced, dtype="int32")
def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The place of the greatest along an axis, by default in the flattened array; int32."""
    return np.argmax(x, axis=axis, keepdims=keepdims).astype(np.int32)


@operation("Argmin", config="axis keepdims", shape=reduced, dtype="int32")
def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """The place of the least along an axis, by default in the flattened array; int32."""
    return np.argmin(x, axis=axis, keepdims=keepdims).astype(np.int32)


def _running_shape(x: Any, axis: Any = None, dtype: Any = None) -> Any:
    shape = shape_of(x)
    if axis is not None:
        positive_axis(axis, len(shape))
        return shape
    return (None if None in shape else int(np.prod(shape)),)  # type: ignore[arg-type]


def _running_gradient(dy: Array, y: Array, x: Array, axis: Any, dtype: Any) -> Array:
    along = 0 if axis is None else axis
    found: Array = np.flip(np.cumsum(np.flip(dy, along), along), along)
    return found.reshape(x.shape)


@operation("Cumsum", _running_gradient, config="axis dtype", shape=_running_shape, dtype=running)
def cumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """Sums of all elements up to each along an axis, by default of the flattened array."""
    return np.cumsum(x, axis=axis, dtype=dtype or flags_counted(np.asarray(x).dtype))
