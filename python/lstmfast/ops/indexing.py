# SPDX-License-Identifier: BSD-3-Clause
"""Parts of arrays: ``x[key]`` and choices by index."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..symbolic import KerasTensor
from .native import picked
from .operation import operation
from .rules import broadcast_shapes, positive_axis, shape_of

Array = npt.NDArray[Any]


def _keys(key: Any, rank: int) -> list[Any]:
    """One key for each axis that an index speaks of, and None for new ones; the ellipsis written out."""
    keys = list(key) if isinstance(key, (tuple, list)) else [key]
    for k in keys:
        plain = k is None or k is Ellipsis or isinstance(k, slice)
        if not plain and (isinstance(k, bool) or not isinstance(k, (int, np.integer))):
            raise ValueError(
                f"unsupported key for a symbolic tensor: {key!r}; use integers, slices, None and ..."
            )
    dots = [i for i, k in enumerate(keys) if k is Ellipsis]
    if len(dots) > 1:
        raise ValueError(f"an index may have one ellipsis, got {key!r}")
    used = sum(k is not None and k is not Ellipsis for k in keys)
    if used > rank:
        raise ValueError(f"too many indices for {rank} axes: {key!r}")
    at = dots[0] if dots else len(keys)
    return keys[:at] + [slice(None)] * (rank - used) + keys[at + 1 :]


def _item_shape(x: Any, key: Any) -> Any:
    shape, axis = shape_of(x), 0
    made: list[int | None] = []
    for k in _keys(key, len(shape)):
        if k is None:
            made.append(1)
            continue
        n = shape[axis]
        axis += 1
        if isinstance(k, slice):
            made.append(None if n is None else len(range(*k.indices(n))))
        elif n is not None and not -n <= k < n:
            raise ValueError(f"index {k} is out of bounds for an axis of size {n}, shape {shape}")
    return tuple(made)


def _item_gradient(dy: Array, y: Array, x: Array, key: Any) -> Array:
    dx = np.zeros_like(x)
    dx[key] = dy
    return dx


def _item_of_rows(lengths: Array, x: Array, key: Any) -> Any:
    """``x[key]`` where each row ends at its length: steps are counted in the row, and what it lacks is 0."""
    first, time, *rest = _keys(key, x.ndim)
    if first != slice(None) or time is None:
        raise ValueError(f"with lengths an index must begin with ':' and a key for time steps, got {key!r}")
    rows = np.arange(len(x))[:, None]
    one = not isinstance(time, slice)
    if one:
        at = lengths[:, None] + time if time < 0 else np.full((len(x), 1), time)
        inside, ends = (at >= 0) & (at < lengths[:, None]), None
    else:
        at = np.zeros((len(x), len(range(*time.indices(x.shape[1])))), np.intp)
        inside, ends = np.zeros(at.shape, bool), np.zeros(len(x), np.int32)
        for row, n in enumerate(lengths):
            steps = range(*time.indices(int(n)))
            at[row, : len(steps)], inside[row, : len(steps)], ends[row] = steps, True, len(steps)
    at = np.where(inside, at, 0)
    shape = inside.shape + (1,) * (x.ndim - 2)
    y = np.where(inside.reshape(shape), x[rows, at], np.float32(0))
    inner: tuple[Any, ...] = (slice(None), 0 if one else slice(None), *rest)

    def gradient(dy: Array) -> Array:
        dx, picked_steps = np.zeros_like(x), np.zeros_like(y)
        picked_steps[inner] = dy
        counted = inside.reshape(shape) & np.ones_like(y, bool)
        places = np.broadcast_to(rows, at.shape)[inside], at[inside]
        dx[places] = np.where(counted, picked_steps, np.float32(0))[inside]
        return dx

    return np.ascontiguousarray(y[inner]), ends, gradient


@operation("GetItem", _item_gradient, plain="key", shape=_item_shape, ragged=_item_of_rows, frozen=picked)
def get_item(x: Any, key: Any) -> Any:
    """``x[key]``.

    In a graph the key is made of integers, slices, None and one ellipsis. Where a model is given `lengths`, time steps
    are counted in each row: ``x[:, -1]`` is the last valid step.
    """
    return np.asarray(x)[tuple(key) if isinstance(key, list) and _is_index(key) else key]


def _is_index(key: list[Any]) -> bool:
    return any(k is None or k is Ellipsis or isinstance(k, slice) for k in key)


# ---- by arrays of indices


def _taken(x: Any, indices: Any, axis: int | None = None) -> Any:
    shape = shape_of(x)
    if axis is None:
        return shape_of(indices)
    at = positive_axis(axis, len(shape))
    return (*shape[:at], *shape_of(indices), *shape[at + 1 :])


def _take_gradient(dy: Array, y: Array, x: Array, indices: Any, axis: int | None) -> Array:
    places = np.asarray(indices)
    flat = x.reshape(-1) if axis is None else np.moveaxis(x, axis, 0)
    at = 0 if axis is None else axis % x.ndim
    dx = np.zeros_like(flat)
    np.add.at(dx, places, np.moveaxis(dy, range(at, at + places.ndim), range(places.ndim)))
    return dx.reshape(x.shape) if axis is None else np.moveaxis(dx, 0, axis)


def _dtype_of(x: Any, *_: Any, **__: Any) -> str:
    return x.dtype if isinstance(x, KerasTensor) else np.asarray(x).dtype.name


def _whole_numbers(indices: Any) -> Array:
    array = np.asarray(indices)
    if array.dtype.kind not in "iub":
        raise TypeError(f"indices must be integers, got dtype {array.dtype}")
    return array.astype(np.intp)


@operation("Take", (_take_gradient, None), config="axis", shape=_taken, dtype=_dtype_of)
def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """Elements, or slices along an axis, by their indices; by default of the flattened array."""
    return np.take(x, _whole_numbers(indices), axis=axis)


def _take_along_gradient(dy: Array, y: Array, x: Array, indices: Any, axis: int | None) -> Array:
    if axis is None:
        dx = np.zeros(x.size, x.dtype)
        np.add.at(dx, np.ravel(_whole_numbers(indices)), np.ravel(dy))
        return dx.reshape(x.shape)
    dx = np.zeros_like(x)
    places: list[Any] = list(np.ogrid[tuple(slice(n) for n in dy.shape)])
    places = [at if n > 1 else at * 0 for at, n in zip(places, x.shape, strict=True)]  # what was broadcast
    places[axis] = np.broadcast_to(_whole_numbers(indices), dy.shape)
    np.add.at(dx, tuple(places), dy)
    return dx


def _along_shape(x: Any, indices: Any, axis: int | None = None) -> Any:
    if axis is None:
        return shape_of(indices)
    shape, places = shape_of(x), shape_of(indices)
    at = positive_axis(axis, len(shape))
    if len(places) != len(shape):
        raise ValueError(
            f"take_along_axis needs as many axes of indices as of x, got shapes {places} and {shape}"
        )
    rest = [tuple(1 if k == at else n for k, n in enumerate(given)) for given in (shape, places)]
    around = broadcast_shapes(*rest)
    return tuple(places[k] if k == at else n for k, n in enumerate(around))


@operation("TakeAlongAxis", (_take_along_gradient, None), config="axis", shape=_along_shape, dtype=_dtype_of)
def take_along_axis(x: Any, indices: Any, axis: int | None = None) -> Any:
    """Elements by indices along an axis, as `argmax` gives them."""
    return np.take_along_axis(np.asarray(x), _whole_numbers(indices), axis)
