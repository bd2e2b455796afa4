# SPDX-License-Identifier: BSD-3-Clause
"""Writing into parts of arrays, and joining elements by the number of their segment."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .composed import composed
from .operation import operation
from .rules import same_shape, shape_of, sizes_of

Array = npt.NDArray[Any]


# ---- slices


def _slice_shape(inputs: Any, start_indices: Any, shape: Any) -> Any:
    given = shape_of(inputs)
    if len(shape) != len(given):
        raise ValueError(
            "The number of dimensions in `inputs` must match the number of dimensions in `shape`. Received "
            f"inputs.shape={given} and shape={shape}"
        )
    starts = _starts(start_indices, len(given))
    return tuple(
        n if n != -1 else None if starts is None or m is None else m - starts[k]
        for k, (m, n) in enumerate(zip(given, shape, strict=True))
    )


def _starts(start_indices: Any, rank: int) -> Any:
    if hasattr(start_indices, "node"):  # symbolic
        return None
    if len(start_indices) != rank:
        raise ValueError(
            "The number of dimensions in `start_indices` must match the number of dimensions in `inputs`. Received "
            f"start_indices={start_indices}, {rank} dimensions"
        )
    return [int(k) for k in start_indices]


def _key(start_indices: Any, sizes: Any) -> Any:
    starts = [int(k) for k in np.asarray(start_indices)]
    return tuple(np.s_[k:] if n == -1 else np.s_[k : k + n] for k, n in zip(starts, sizes, strict=True))


def _slice_slope(dy: Array, y: Array, inputs: Array, start_indices: Any, shape: Any) -> Array:
    found = np.zeros_like(inputs)
    found[_key(start_indices, shape)] = dy
    return found


@operation(
    "Slice",
    (_slice_slope, None),
    home="core",
    config="shape",
    shape=_slice_shape,
    dtype=lambda inputs, *_, **__: str(inputs.dtype),
)
def slice(inputs: Any, start_indices: Any, shape: Any) -> Any:
    """The part of a shape that begins at these indices; -1 takes what is left of an axis."""
    _slice_shape(inputs, start_indices, shape)
    return np.asarray(inputs)[_key(start_indices, shape)]


def _replaced(dy: Array, y: Array, inputs: Array, start_indices: Any, updates: Any) -> Array:
    found = np.array(dy)
    found[_key(start_indices, np.shape(updates))] = 0
    return found


def _replacing(dy: Array, y: Array, inputs: Array, start_indices: Any, updates: Any) -> Array:
    return np.asarray(dy[_key(start_indices, np.shape(updates))])


@operation(
    "SliceUpdate",
    (_replaced, None, _replacing),
    home="core",
    shape=same_shape,
    dtype=lambda inputs, *_, **__: str(inputs.dtype),
)
def slice_update(inputs: Any, start_indices: Any, updates: Any) -> Any:
    """The array with others in place of the part that begins at these indices."""
    y = np.array(inputs)
    y[_key(start_indices, np.shape(updates))] = updates
    return y


# ---- by indices


def _places(indices: Any) -> tuple[Array, ...]:
    """One array of indices for each axis, of (..., axes)."""
    return tuple(np.moveaxis(np.asarray(indices).astype(np.intp), -1, 0))


@operation(
    "Scatter",
    (None, lambda dy, y, indices, values, shape: dy[_places(indices)]),
    home="core",
    config="shape",
    shape=lambda indices, values, shape: tuple(shape),
    dtype=lambda indices, values, shape: str(values.dtype),
)
def scatter(indices: Any, values: Any, shape: Any) -> Any:
    """0 in a shape, with values added at (..., axes) indices."""
    y = np.zeros(shape, np.asarray(values).dtype)
    np.add.at(y, _places(indices), values)
    return y


_AT: dict[str, Any] = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def _kept(dy: Array, y: Array, inputs: Array, indices: Any, updates: Any, reduction: Any) -> Array:
    if reduction == "add":
        return dy
    if reduction == "mul":
        factors = np.ones_like(inputs)
        np.multiply.at(factors, _places(indices), updates)
        return dy * factors
    if reduction is None:
        found = np.array(dy)
        found[_places(indices)] = 0
        return found
    return np.where(y == inputs, dy, np.float32(0))


def _brought(dy: Array, y: Array, inputs: Array, indices: Any, updates: Any, reduction: Any) -> Array:
    at = _places(indices)
    if reduction == "add":
        return np.asarray(dy[at])
    if reduction == "mul":
        return np.asarray(dy[at] * y[at] / updates)
    won = y[at] == updates
    if reduction is None:  # of several at one place the last
        numbers = np.full(inputs.shape, -1)
        order = np.arange(at[0].size).reshape(at[0].shape)
        order = np.broadcast_to(
            order.reshape(order.shape + (1,) * (np.ndim(updates) - order.ndim)), np.shape(updates)
        )
        numbers[at] = order
        won = numbers[at] == order
    return np.where(won, dy[at], np.float32(0))


@operation(
    "ScatterUpdate",
    (_kept, None, _brought),
    home="core",
    config="reduction",
    shape=same_shape,
    dtype=lambda inputs, *_, **__: str(inputs.dtype),
)
def scatter_update(inputs: Any, indices: Any, updates: Any, reduction: str | None = None) -> Any:
    """The array with updates at (n, axes) indices: in place of what is there, or joined by "add", "mul", "max", "min"."""
    if reduction is not None and reduction not in _AT:
        raise ValueError(f"Unsupported reduction: {reduction}")
    y = np.array(inputs)
    if reduction is None:
        y[_places(indices)] = updates
    else:
        _AT[reduction].at(y, _places(indices), np.asarray(updates, y.dtype))
    return y


# ---- segments


def _segments_shape(
    data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False
) -> Any:
    if not shape_of(data):
        raise ValueError("Argument `data` cannot be a scalar. Received data.shape=()")
    given, ids = shape_of(data), shape_of(segment_ids)
    if len(ids) != 1:
        raise ValueError(
            f"Argument `segment_ids` should be an 1-D vector, got shape: {len(ids)}. Consider flattening it and `data`."
        )
    if None not in (given[0], ids[0]) and given[0] != ids[0]:
        raise ValueError(
            f"Argument `segment_ids` and `data` should have same leading dimension. Got {ids} v.s. {given}."
        )
    return (num_segments, *given[1:])


def _joined(function: Any, start: float, data: Any, segment_ids: Any, num_segments: int | None) -> Array:
    """Numbers out of range belong to no segment."""
    _segments_shape(data, segment_ids)
    data, ids = np.asarray(data), np.asarray(segment_ids).astype(np.intp)
    number = num_segments or int(ids.max(initial=-1)) + 1
    if not np.isfinite(start) and data.dtype.kind in "iu":
        limits = np.iinfo(data.dtype)
        start = limits.min if start < 0 else limits.max
    y = np.full((number, *data.shape[1:]), start, data.dtype)
    inside = (ids >= 0) & (ids < number)
    function.at(y, ids[inside], data[inside])
    return y


def _of_segment(values: Array, ids: Any) -> Array:
    """What belongs to each element's segment, 0 where there is none."""
    at = np.asarray(ids).astype(np.intp)
    inside = (at >= 0) & (at < len(values))
    found = values[np.where(inside, at, 0)]
    return np.where(inside.reshape(-1, *(1,) * (values.ndim - 1)), found, np.float32(0))


def _extreme_slope(dy: Array, y: Array, data: Array, ids: Any, num_segments: Any, sorted: bool) -> Array:
    best = data == _of_segment(y, ids)
    shares = _joined(np.add, 0, best.astype(np.float32), ids, len(y))
    return np.where(best, _of_segment(dy / np.maximum(shares, 1), ids), np.float32(0))


def _product_slope(dy: Array, y: Array, data: Array, ids: Any, num_segments: Any, sorted: bool) -> Array:
    """The product of the others: without the zeros of a segment, unless there is another."""
    zero = data == 0
    zeros = _of_segment(_joined(np.add, 0, zero.astype(np.float32), ids, len(y)), ids)
    rest = _of_segment(_joined(np.multiply, 1, np.where(zero, np.float32(1), data), ids, len(y)), ids)
    others = np.where(zeros == 0, rest / np.where(zero, 1, data), np.where(zero & (zeros == 1), rest, 0))
    return np.asarray(_of_segment(dy, ids) * others)


def _sum_slope(dy: Array, y: Array, data: Array, ids: Any, num_segments: Any, sorted: bool) -> Array:
    return _of_segment(dy, ids)


def _segments(name: str, function: Any, start: float, slope: Any, what: str) -> Any:
    def join(data: Any, segment_ids: Any, num_segments: int | None = None, sorted: bool = False) -> Any:
        return _joined(function, start, data, segment_ids, num_segments)

    join.__name__ = join.__qualname__ = f"segment_{name.lower()}"
    join.__doc__ = (
        f"{what} of the elements of each segment along the first axis, whose numbers are `segment_ids`."
    )
    make = operation(
        f"Segment{name}",
        (slope, None),
        home="math",
        config="num_segments sorted",
        shape=_segments_shape,
        dtype=lambda data, *_, **__: str(data.dtype),
    )
    return make(join)


segment_sum = _segments("Sum", np.add, 0, _sum_slope, "The sum")
segment_max = _segments("Max", np.maximum, -np.inf, _extreme_slope, "The greatest")
segment_min = _segments("Min", np.minimum, np.inf, _extreme_slope, "The least")
segment_prod = _segments("Prod", np.multiply, 1, _product_slope, "The product")


def _windows_shape(x: Any, sequence_length: int, sequence_stride: int) -> Any:
    shape = shape_of(x)
    if not shape:
        raise ValueError(f"Input should have rank >= 1. Received: input.shape = {shape}")
    if sequence_length < 1 or sequence_stride < 1:
        raise ValueError(
            f"extract_sequences needs a length and a stride of 1 or more, got {sequence_length} and {sequence_stride}"
        )
    n = shape[-1]
    number = None if n is None else max((n - sequence_length) // sequence_stride + 1, 0)
    return (*shape[:-1], number, sequence_length)


@composed(
    "ExtractSequences",
    home="math",
    config="sequence_length sequence_stride",
    shape=_windows_shape,
    dtype=lambda x, *_, **__: str(x.dtype),
)
def extract_sequences(x: Any, sequence_length: int, sequence_stride: int) -> Any:
    """All windows of a length along the last axis, so many steps from one to the next."""
    from .indexing import take

    _windows_shape(x, sequence_length, sequence_stride)
    n = sizes_of(x)[-1]
    starts = np.arange(0, max(n - sequence_length + 1, 0), sequence_stride)
    return take(x, starts[:, None] + np.arange(sequence_length), axis=-1)
