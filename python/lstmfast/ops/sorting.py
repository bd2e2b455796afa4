# SPDX-License-Identifier: BSD-3-Clause
"""Orders, quantiles, counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .composed import composed
from .elementwise import cast, ceil, floor, isnan, maximum, where
from .functions import as_floating
from .indexing import take_along_axis
from .operation import operation
from .reductions import _running_shape, any, sum
from .rules import as_floats, axes_of, positive_axis, reduced, same_shape, shape_of, sizes_of
from .shaping import expand_dims, moveaxis, ravel, reshape
from .tables import along_axes

Array = npt.NDArray[Any]

METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def _sorted_shape(x: Any, axis: Any = -1, **_: Any) -> Any:
    shape = shape_of(x)
    if axis is None:
        return _running_shape(x)
    positive_axis(axis, len(shape))
    return shape


@operation("Argsort", config="axis", shape=_sorted_shape, dtype="int32")
def argsort(x: Any, axis: int | None = -1) -> Any:
    """Places of elements in ascending order along an axis; None: of the flattened array. Equal ones keep their order."""
    return np.argsort(x, axis=axis, kind="stable").astype(np.int32)


@composed("Sort", config="axis", shape=_sorted_shape)
def sort(x: Any, axis: int | None = -1) -> Any:
    """Elements in ascending order along an axis; None: of the flattened array."""
    if axis is None:
        x, axis = ravel(x), 0
    return take_along_axis(x, argsort(x, axis), axis)


def _partition_shape(x: Any, kth: Any, axis: Any = -1) -> Any:
    if isinstance(kth, bool) or not isinstance(kth, (int, np.integer)):
        raise ValueError(f"kth must be an integer, got {kth!r}")
    return _sorted_shape(x, axis)


@operation("Argpartition", config="kth axis", shape=_partition_shape, dtype="int32")
def argpartition(x: Any, kth: int, axis: int | None = -1) -> Any:
    """Places of elements in an order in which the one at `kth` is where sorting puts it, lesser ones before it."""
    return np.argpartition(x, kth, axis).astype(np.int32)


def _top_shape(x: Any, k: int, sorted: bool = True) -> Any:
    shape = shape_of(x)
    if not shape or (shape[-1] is not None and not 0 <= k <= shape[-1]):
        raise ValueError(f"top_k cannot take {k} along the last axis of shape {shape}")
    return [(*shape[:-1], k)] * 2


@composed(
    "TopK",
    home="math",
    config="k sorted",
    shape=_top_shape,
    dtype=lambda x, k, sorted: [x.dtype, "int32"],
)
def top_k(x: Any, k: int, sorted: bool = True) -> Any:
    """The `k` greatest along the last axis, the greatest first, and their places."""
    _top_shape(x, k)
    places = argsort(-x, -1)[..., :k]
    return [take_along_axis(x, places, -1), places]


@operation("InTopK", home="math", config="k", shape=same_shape, dtype="bool")
def in_top_k(targets: Any, predictions: Any, k: int) -> Any:
    """Whether each target's prediction is among the `k` greatest of its row; False where it is not finite."""
    predictions = np.asarray(predictions)
    chosen = np.take_along_axis(predictions, np.asarray(targets)[..., None].astype(np.intp), -1)
    return np.isfinite(chosen[..., 0]) & ((predictions > chosen).sum(-1) < k)


@operation(
    "SearchSorted", config="side", shape=lambda sorted_sequence, values, side: shape_of(values), dtype="int32"
)
def searchsorted(sorted_sequence: Any, values: Any, side: str = "left") -> Any:
    """Places at which values go into a sorted sequence, before equal elements or (`side="right"`) behind."""
    if np.ndim(sorted_sequence) != 1:
        raise ValueError(
            "`searchsorted` only supports 1-D sorted sequences. You can use `keras.ops.vectorized_map` to extend it "
            f"to N-D sequences. Received: sorted_sequence.shape={np.shape(sorted_sequence)}"
        )
    return np.searchsorted(sorted_sequence, values, side).astype(np.int32)  # type: ignore[call-overload]


def _bins_shape(x: Any, bins: Any) -> Any:
    if len(shape_of(bins)) > 1:
        raise ValueError(
            f"`bins` must be a 1D array. Received: bins={bins} with shape bins.shape={shape_of(bins)}"
        )
    return shape_of(x)


@operation("Digitize", shape=_bins_shape, dtype="int32")
def digitize(x: Any, bins: Any) -> Any:
    """The number of the bin that each value is in; `bins` are their edges."""
    return np.digitize(np.asarray(x), bins).astype(np.int32)


# ---- quantiles


def _quantile_shape(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    if method not in METHODS:
        raise ValueError(f"method must be one of {METHODS}, got {method!r}")
    return (*shape_of(q), *reduced(x, axis, keepdims))


def _quantile(x: Any, q: Any, axis: Any, method: str, keepdims: bool, skip_nan: bool = False) -> Any:
    """By places in the sorted elements along an axis, the others behind them."""
    _quantile_shape(x, q, axis, method)
    x, shape = as_floating(x), sizes_of(x)
    axes = axes_of(axis, len(shape))
    kept = tuple(n for k, n in enumerate(shape) if k not in axes)
    rows = reshape(moveaxis(x, axes, tuple(range(len(kept), len(shape)))), (*kept, -1))
    shares = np.asarray(q, np.float64)
    gone = isnan(rows)
    number: Any = shape_of(rows)[-1]
    if skip_nan:
        number = cast(sum(cast(~gone, "int32"), axis=-1, keepdims=True), "float32")
        at = maximum((number - 1) * shares.reshape(-1).astype(np.float32), 0.0)
    else:
        at = np.broadcast_to((number - 1) * shares.reshape(-1), (*kept, shares.size))
    low, high = cast(floor(at), "int32"), cast(ceil(at), "int32")
    ordered = sort(rows, -1)  # NaN behind all
    before, behind = take_along_axis(ordered, low, -1), take_along_axis(ordered, high, -1)
    way = {"linear": at - low, "lower": 0.0 * at, "higher": 0.0 * at + 1, "midpoint": 0.0 * at + 0.5}.get(
        method
    )
    if way is None:  # nearest: of two at the same distance the even one
        way = cast(_rounded(at), "float32") - low
    way = cast(way, "float32")
    y = where(way == 0, before, where(way == 1, behind, before + (behind - before) * way))
    if not skip_nan:
        y = where(any(gone, axis=-1, keepdims=True), np.float32(np.nan), y)
    y = reshape(moveaxis(y, -1, 0), (*shares.shape, *kept))
    if keepdims:
        for k in axes:
            y = expand_dims(y, shares.ndim + k)
    return y


def _rounded(at: Any) -> Any:
    from .elementwise import round

    return round(at)


@composed("Quantile", config="axis method keepdims", plain="q", shape=_quantile_shape, dtype="float32")
def quantile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """The value below which a share `q` of the elements is, along axes, all by default."""
    return _quantile(x, q, axis, method, keepdims)


@composed("Percentile", config="axis method keepdims", plain="q", shape=_quantile_shape, dtype="float32")
def percentile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """The value below which `q` percent of the elements are, along axes, all by default."""
    return _quantile(x, np.divide(q, 100.0), axis, method, keepdims)


@composed("Nanquantile", config="axis method keepdims", plain="q", shape=_quantile_shape, dtype="float32")
def nanquantile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """As `quantile`, without NaN."""
    return _quantile(x, q, axis, method, keepdims, skip_nan=True)


@composed("Nanpercentile", config="axis method keepdims", plain="q", shape=_quantile_shape, dtype="float32")
def nanpercentile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """As `percentile`, without NaN."""
    return _quantile(x, np.divide(q, 100.0), axis, method, keepdims, skip_nan=True)


@composed("Median", config="axis keepdims", shape=reduced, dtype="float32")
def median(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The middle one of the elements along axes, all by default; the mean of two."""
    return _quantile(x, 0.5, axis, "linear", keepdims)


@composed("Nanmedian", config="axis keepdims", shape=reduced, dtype="float32")
def nanmedian(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """As `median`, without NaN."""
    return _quantile(x, 0.5, axis, "linear", keepdims, skip_nan=True)


# ---- counts


@operation("CountNonzero", config="axis", shape=reduced, dtype="int32")
def count_nonzero(x: Any, axis: Any = None) -> Any:
    """How many are not 0 along axes, all by default."""
    return np.asarray(np.count_nonzero(x, axis=axis)).astype(np.int32)


def _counts_shape(x: Any, **_: Any) -> Any:
    return (*shape_of(x)[:-1], None)


@operation(
    "Bincount",
    config="weights minlength sparse",
    shape=_counts_shape,
    dtype=lambda x, weights, **_: "int32" if weights is None else "float32",
    exact=True,
)
def bincount(x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False) -> Any:
    """How often each integer from 0 on occurs, or the sum of its weights; of a matrix in each row."""
    if sparse:
        raise ValueError("sparse=True is not supported")
    x = np.asarray(x)
    if x.dtype.kind not in "iub":
        raise TypeError(f"x must hold integers, got dtype {x.dtype}")
    rows = np.atleast_2d(x).astype(np.intp)
    size = max(int(rows.max(initial=-1)) + 1, minlength or 0)
    shares = None if weights is None else np.broadcast_to(np.asarray(weights), x.shape).reshape(rows.shape)
    found = np.stack(
        [np.bincount(row, None if shares is None else shares[k], size) for k, row in enumerate(rows)]
    )
    kind = np.int32 if weights is None or np.asarray(weights).dtype.kind in "iub" else np.float32
    return found.astype(kind).reshape(*x.shape[:-1], size)


def histogram(x: Any, bins: int = 10, range: Any = None) -> Any:
    """How many values are in each of some bins of one width, and the bins' edges; of arrays."""
    if not isinstance(bins, int) or isinstance(bins, bool) or bins <= 0:
        raise ValueError(f"Argument `bins` should be a non-negative integer. Received: bins={bins}")
    if range is not None and len(range) != 2:
        raise ValueError(f"Argument `range` must be a tuple of two elements. Received: range={range}")
    if range is not None and range[1] < range[0]:
        raise ValueError(
            f"The second element of `range` must be greater than the first. Received: range={range}"
        )
    if np.ndim(x) != 1:
        raise ValueError(f"Input tensor must be 1-dimensional. Received: input.shape={np.shape(x)}")
    counts, edges = np.histogram(as_floats(x), bins, tuple(range) if range else None)
    return counts.astype(np.float32), edges.astype(np.float32)


nanargmax = along_axes(
    "nanargmax",
    lambda x, axis, keepdims: _place(np.nanargmax, x, axis, keepdims),
    None,
    "As `argmax`, without NaN.",
    dtype="int32",
)
nanargmin = along_axes(
    "nanargmin",
    lambda x, axis, keepdims: _place(np.nanargmin, x, axis, keepdims),
    None,
    "As `argmin`, without NaN.",
    dtype="int32",
)


def _place(function: Any, x: Any, axis: Any, keepdims: bool) -> Array:
    """-1 where all are NaN."""
    x = as_floats(x)
    gone = np.isnan(x).all(axis=axis, keepdims=True)
    found = function(np.where(gone, np.float32(0), x), axis=axis, keepdims=True)
    found = np.where(gone, -1, found).astype(np.int32)
    return np.asarray(found if keepdims else found.squeeze(axes_of(axis, x.ndim)))


def nonzero(x: Any) -> Any:
    """The places of all that are not 0: an array for each axis; of arrays."""
    return [places.astype(np.int32) for places in np.nonzero(x)]


def unique(
    x: Any,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The elements without repetitions, in ascending order, as `numpy.unique`; each NaN by itself; of arrays.

    `size` cuts what is behind, or fills with `fill_value`, by default the least element.
    """
    find: Any = np.unique
    made = find(np.asarray(x), return_index, return_inverse, return_counts, axis, equal_nan=False)
    several = isinstance(made, tuple)
    found = [np.asarray(part) for part in (made if several else (made,))]
    found[1:] = [part.astype(np.int32) for part in found[1:]]
    if size is not None:
        at = axis or 0
        fill = found[0].min() if fill_value is None and found[0].size else fill_value or 0
        for k, part in enumerate(found):
            if not (k and return_inverse and k == 1 + return_index):
                along = at if k == 0 else 0
                part = part.take(np.arange(min(size, part.shape[along])), axis=along)
                widths = [(0, size - n if a == along else 0) for a, n in enumerate(part.shape)]
                found[k] = np.pad(part, widths, constant_values=fill if k == 0 else 0)
    return tuple(found) if several else found[0]
