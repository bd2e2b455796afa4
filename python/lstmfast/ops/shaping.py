# SPDX-License-Identifier: BSD-3-Clause
"""Functions that move, join, cut and repeat axes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .native import expanded, joined
from .operation import operation
from .rules import axes_of, broadcast_shapes, dtype_name, positive_axis, same_shape, shape_of

Array = npt.NDArray[Any]


def _whole(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{what} must be an integer, got {value!r}")
    return int(value)


# ---- other shapes for the same numbers


def _target(newshape: Any) -> tuple[int, ...]:
    given = newshape if isinstance(newshape, (tuple, list)) else (newshape,)
    target = tuple(-1 if n is None else _whole(n, "an entry of newshape") for n in given)
    if any(n < -1 for n in target):
        raise ValueError(
            f"each entry of newshape must be a non-negative integer, or -1 once. Received: newshape={newshape}"
        )
    if target.count(-1) > 1:
        raise ValueError(
            f"newshape may have at most one unknown dimension, -1. Received: newshape={newshape}"
        )
    return target


def _reshaped(x: Any, newshape: Any) -> Any:
    shape, target = shape_of(x), _target(newshape)
    if None in shape:
        return tuple(None if n == -1 else n for n in target)
    size, known = math.prod(shape), math.prod(n for n in target if n != -1)  # type: ignore[arg-type]
    if (known == 0 or size % known) if -1 in target else size != known:
        raise ValueError(f"an array of shape {shape} cannot have the shape {target}")
    return tuple(size // known if n == -1 else n for n in target)


def _as_before(dy: Array, y: Array, x: Array, *_: Any, **__: Any) -> Array:
    return dy.reshape(x.shape)


@operation("Reshape", _as_before, config="newshape", shape=_reshaped)
def reshape(x: Any, newshape: Any) -> Any:
    """The same numbers in another shape; one -1 stands for what is left."""
    return np.reshape(x, _target(newshape))


def _flat_shape(x: Any) -> Any:
    return _reshaped(x, (-1,))


@operation("Ravel", _as_before, shape=_flat_shape)
def ravel(x: Any) -> Any:
    """All axes as one."""
    return np.ravel(x)


def _expanded(x: Any, axis: Any) -> Any:
    shape = shape_of(x)
    axes = axis if isinstance(axis, tuple) else (axis,)
    rest, rank = list(shape), len(shape) + len(axes)
    for k in sorted(positive_axis(_whole(a, "axis"), rank) for a in axes):
        rest.insert(k, 1)
    return tuple(rest)


@operation("ExpandDims", _as_before, config="axis", shape=_expanded, frozen=expanded)
def expand_dims(x: Any, axis: Any) -> Any:
    """A new axis of size 1."""
    return np.expand_dims(x, axis)


def _squeezed(x: Any, axis: Any = None) -> Any:
    shape = shape_of(x)
    if axis is None:
        return tuple(n for n in shape if n != 1)
    gone = axes_of(axis, len(shape))
    for k in gone:
        if shape[k] not in (1, None):
            raise ValueError(f"axis {k} of shape {shape} has not the size 1 and cannot be squeezed")
    return tuple(n for k, n in enumerate(shape) if k not in gone)


@operation("Squeeze", _as_before, config="axis", shape=_squeezed)
def squeeze(x: Any, axis: Any = None) -> Any:
    """Without axes of size 1."""
    return np.squeeze(x, axis)


# ---- axes in another order


def _moved(gradient_axes: Any) -> Any:
    """A gradient that moves axes back; ``gradient_axes(rank, **config)`` is the order of the way there."""

    def gradient(dy: Array, y: Array, x: Array, **config: Any) -> Array:
        return np.transpose(dy, np.argsort(gradient_axes(x.ndim, **config)))

    return gradient


def _moved_shape(axes: Any) -> Any:
    def shape(x: Any, **config: Any) -> Any:
        given = shape_of(x)
        return tuple(given[k] for k in axes(len(given), **config))

    return shape


def _transposed(rank: int, axes: Any) -> list[int]:
    order = list(range(rank))[::-1] if axes is None else [positive_axis(a, rank) for a in axes]
    if sorted(order) != list(range(rank)):
        raise ValueError(f"axes must be a valid permutation of {rank} axes. Received: axes={list(axes)}")
    return order


def _swapped(rank: int, axis1: int, axis2: int) -> list[int]:
    order, a, b = list(range(rank)), positive_axis(axis1, rank), positive_axis(axis2, rank)
    order[a], order[b] = b, a
    return order


def _moved_axes(rank: int, source: Any, destination: Any) -> list[int]:
    sources, places = axes_of(source, rank), axes_of(destination, rank)
    order = [k for k in range(rank) if k not in sources]
    for place, k in sorted(zip(places, sources, strict=True)):
        order.insert(place, k)
    return order


@operation("Transpose", _moved(_transposed), config="axes", shape=_moved_shape(_transposed))
def transpose(x: Any, axes: Any = None) -> Any:
    """The axes in another order, by default the reverse one."""
    return np.transpose(x, axes)


@operation("Swapaxes", _moved(_swapped), config="axis1 axis2", shape=_moved_shape(_swapped))
def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Two axes change places."""
    return np.swapaxes(x, axis1, axis2)


@operation("Moveaxis", _moved(_moved_axes), config="source destination", shape=_moved_shape(_moved_axes))
def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    """Axes at other places, the others in their order."""
    return np.moveaxis(x, source, destination)


def _flip_gradient(dy: Array, y: Array, x: Array, axis: Any) -> Array:
    return np.flip(dy, axis)


def _shape_along(x: Any, axis: Any = None, **_: Any) -> Any:
    axes_of(axis, len(shape_of(x)))
    return shape_of(x)


@operation("Flip", _flip_gradient, config="axis", shape=_shape_along)
def flip(x: Any, axis: Any = None) -> Any:
    """Elements in the reverse order along axes, all by default."""
    return np.flip(x, axis)


def _rolled_back(dy: Array, y: Array, x: Array, shift: Any, axis: Any) -> Array:
    return np.roll(dy, np.negative(shift), axis)


@operation("Roll", _rolled_back, config="shift axis", shape=_shape_along)
def roll(x: Any, shift: Any, axis: Any = None) -> Any:
    """Elements moved along an axis; those that leave at its end come in at its start."""
    return np.roll(x, shift, axis)


# ---- several arrays


def _checked_list(xs: Any, what: str) -> list[Any]:
    if not isinstance(xs, (list, tuple)) or not xs:
        raise ValueError(f"{what} needs a list of arrays, got {xs!r}")
    return list(xs)


def _concatenated(xs: Any, axis: int = 0) -> Any:
    shapes = [shape_of(x) for x in _checked_list(xs, "concatenate")]
    at = positive_axis(axis, len(shapes[0]))
    made: list[int | None] = list(shapes[0])
    for shape in shapes[1:]:
        fits = len(shape) == len(made) and all(
            k == at or m is None or n is None or m == n
            for k, (m, n) in enumerate(zip(made, shape, strict=True))
        )
        if not fits:
            raise ValueError(f"arrays of shapes {shapes} cannot be joined along axis {axis}")
        made = [m if n is None or k == at else n for k, (m, n) in enumerate(zip(made, shape, strict=True))]
    sizes = [shape[at] for shape in shapes]
    made[at] = None if None in sizes else sum(sizes)  # type: ignore[arg-type]
    return tuple(made)


def _cut(dy: Array, y: Array, xs: Sequence[Array], axis: int) -> list[Array]:
    return np.split(dy, np.cumsum([x.shape[axis] for x in xs])[:-1], axis)


@operation("Concatenate", _cut, config="axis", shape=_concatenated, frozen=joined)
def concatenate(xs: Any, axis: int = 0) -> Any:
    """Arrays one behind the other along an axis."""
    return np.concatenate(_checked_list(xs, "concatenate"), axis)


def _stacked(x: Any, axis: int = 0) -> Any:
    made = shape_of(_checked_list(x, "stack")[0])
    for other in x[1:]:
        if len(shape_of(other)) != len(made) or (1 in shape_of(other) + made and shape_of(other) != made):
            raise ValueError(f"stack needs arrays of the same shape, got {[shape_of(a) for a in x]}")
        made = broadcast_shapes(made, shape_of(other))
    at = positive_axis(axis, len(made) + 1)
    return (*made[:at], len(x), *made[at:])


def _unstacked_gradient(dy: Array, y: Array, x: Sequence[Array], axis: int) -> list[Array]:
    return list(np.moveaxis(dy, axis, 0))


@operation("Stack", _unstacked_gradient, config="axis", shape=_stacked)
def stack(x: Any, axis: int = 0) -> Any:
    """Arrays side by side along a new axis."""
    return np.stack(_checked_list(x, "stack"), axis)


#: Parts that an axis of open size may be cut into: a file could ask for a list that fills the memory.
_MOST_PARTS = 10_000


def _parts(x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    shape = shape_of(x)
    at = positive_axis(axis, len(shape))
    n = shape[at]
    if isinstance(indices_or_sections, int):
        if not 1 <= indices_or_sections <= _MOST_PARTS or (n is not None and n % indices_or_sections):
            raise ValueError(f"{n} elements cannot be cut into {indices_or_sections} equal parts")
        sizes: list[int | None] = [None if n is None else n // indices_or_sections] * indices_or_sections
    elif n is None:  # where it ends is known when it is cut
        sizes = [None] * (len(indices_or_sections) + 1)
    else:
        edges = [0, *(range(n)[:i].stop for i in indices_or_sections), n]
        sizes = [max(stop - start, 0) for start, stop in itertools.pairwise(edges)]
    return [(*shape[:at], size, *shape[at + 1 :]) for size in sizes]


def _joined_parts(dy: Sequence[Array], y: Any, x: Array, indices_or_sections: Any, axis: int) -> Array:
    parts = list(dy) if isinstance(dy, (list, tuple)) else [dy]
    return np.concatenate(parts, axis)


@operation("Split", _joined_parts, config="indices_or_sections axis", shape=_parts)
def split(x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """A list of equal parts along an axis, or of those between indices."""
    sections = indices_or_sections
    return np.split(x, list(sections) if isinstance(sections, tuple) else sections, axis)


def _slices(x: Any, num: int | None = None, axis: int = 0) -> Any:
    shape = shape_of(x)
    at = positive_axis(axis, len(shape))
    n = shape[at] if num is None else num
    if n is None:
        raise ValueError(f"Cannot infer argument `num` from shape {shape}, axis {axis}: give `num`")
    if not 0 < n <= _MOST_PARTS or shape[at] not in (None, n):
        raise ValueError(f"axis {axis} of shape {shape} cannot be unstacked with num={num}")
    return [shape[:at] + shape[at + 1 :]] * n


def _stacked_again(dy: Any, y: Any, x: Array, num: Any, axis: int) -> Array:
    return np.stack(list(dy) if isinstance(dy, (list, tuple)) else [dy], axis)


@operation("Unstack", _stacked_again, home="core", config="num axis", shape=_slices)
def unstack(x: Any, num: int | None = None, axis: int = 0) -> Any:
    """A list of the slices along an axis."""
    _slices(x, num, axis)
    return list(np.moveaxis(np.asarray(x), axis, 0))


# ---- more of the same


def _widths(pad_width: Any, rank: int) -> list[tuple[int, int]]:
    """(before, after) of each axis."""
    given = (pad_width,) if isinstance(pad_width, int) else tuple(pad_width)
    if isinstance(given[0], int):
        given = ((given * 2)[:2],)
    pairs = [(tuple(pair) * 2)[:2] if len(pair) < 3 else () for pair in given]
    pairs = pairs * rank if len(pairs) == 1 else pairs
    if len(pairs) != rank or any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
        raise ValueError(f"pad_width must give (before, after) for each of {rank} axes, got {pad_width}")
    return [(int(a), int(b)) for a, b in pairs]


def _padded(x: Any, constant_values: Any = None, *, pad_width: Any, mode: str = "constant") -> Any:
    if mode not in ("constant", "reflect", "symmetric", "edge", "wrap"):
        raise ValueError(f"mode must be constant, reflect, symmetric, edge or wrap, got {mode!r}")
    if constant_values is not None and mode != "constant":
        raise ValueError(
            "Argument `constant_values` can only be provided when `mode == 'constant'`. Received: "
            f"mode={mode}, constant_values={constant_values}"
        )
    shape = shape_of(x)
    widths = _widths(pad_width, len(shape))
    return tuple(None if n is None else n + a + b for n, (a, b) in zip(shape, widths, strict=True))


def _unpadded(dy: Array, y: Array, x: Array, constant_values: Any, pad_width: Any, mode: str) -> Array:
    for axis, (before, after) in enumerate(_widths(pad_width, x.ndim)):
        n = x.shape[axis]
        if mode == "constant":
            dy = np.moveaxis(np.moveaxis(dy, axis, 0)[before : before + n], 0, axis)
        elif before or after:
            dy = _gathered(dy, np.pad(np.arange(n), (before, after), mode=mode), n, axis)  # type: ignore[call-overload]
    return dy


def _gathered(dy: Array, places: Array, n: int, axis: int) -> Array:
    """The sum of what came from each of `n` places along an axis."""
    moved = np.moveaxis(dy, axis, 0)
    found = np.zeros((n, *moved.shape[1:]), dy.dtype)
    np.add.at(found, places, moved)
    return np.moveaxis(found, 0, axis)


@operation("Pad", _unpadded, config="pad_width mode", shape=_padded)
def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Any:
    """More elements before and behind each axis, by NumPy's modes constant, reflect, symmetric, edge and wrap."""
    _padded(x, constant_values, pad_width=pad_width, mode=mode)
    more = (
        {"constant_values": 0 if constant_values is None else constant_values} if mode == "constant" else {}
    )
    return np.pad(x, _widths(pad_width, np.ndim(x)), mode, **more)  # type: ignore[call-overload]


def _tiles(repeats: Any, shape: Sequence[Any]) -> tuple[list[int], list[Any]]:
    """Repeats and sizes of as many axes as the result has."""
    times = list(repeats) if isinstance(repeats, (tuple, list)) else [repeats]
    rank = max(len(times), len(shape))
    return [1] * (rank - len(times)) + times, [1] * (rank - len(shape)) + list(shape)


def _tiled(x: Any, repeats: Any) -> Any:
    return tuple(None if n is None else n * r for r, n in zip(*_tiles(repeats, shape_of(x)), strict=True))


def _untiled(dy: Array, y: Array, x: Array, repeats: Any) -> Array:
    times, sizes = _tiles(repeats, x.shape)
    both = [k for pair in zip(times, sizes, strict=True) for k in pair]
    found: Array = dy.reshape(both).sum(axis=tuple(range(0, len(both), 2)))
    return found.reshape(x.shape)


@operation("Tile", _untiled, config="repeats", shape=_tiled)
def tile(x: Any, repeats: Any) -> Any:
    """The whole array several times along each axis."""
    return np.tile(x, repeats)


def _repeated(x: Any, repeats: Any, axis: int | None = None) -> Any:
    shape = shape_of(x) if axis is not None else _flat_shape(x)
    at = positive_axis(axis or 0, len(shape))
    several = isinstance(repeats, tuple) and len(repeats) > 1
    size = shape[at]
    if several and size not in (None, len(repeats)):
        raise ValueError(f"repeat needs one number, or one for each of {size} elements, got {repeats}")
    n = sum(repeats) if several else None if size is None else size * int(np.ravel(repeats)[0])
    return (*shape[:at], n, *shape[at + 1 :])


def _unrepeated(dy: Array, y: Array, x: Array, repeats: Any, axis: int | None) -> Array:
    at, n = (0, x.size) if axis is None else (axis, x.shape[axis])
    return _gathered(dy, np.repeat(np.arange(n), repeats), n, at).reshape(x.shape)


@operation("Repeat", _unrepeated, config="repeats axis", shape=_repeated)
def repeat(x: Any, repeats: Any, axis: int | None = None) -> Any:
    """Each element several times along an axis, by default of the flattened array."""
    return np.repeat(x, repeats, axis)


def _broadcast_shape(x: Any, shape: Any) -> Any:
    made = broadcast_shapes(shape_of(x), tuple(shape))
    if len(made) != len(shape):
        raise ValueError(f"an array of shape {shape_of(x)} cannot be broadcast to {tuple(shape)}")
    return tuple(shape)


@operation("BroadcastTo", lambda dy, y, x, shape: dy, config="shape", shape=_broadcast_shape)
def broadcast_to(x: Any, shape: Any) -> Any:
    """The array repeated along axes of size 1, up to a shape."""
    return np.array(np.broadcast_to(x, shape))


@operation("ZerosLike", config="dtype", shape=same_shape, dtype=lambda x, dtype: dtype_name(dtype, x.dtype))
def zeros_like(x: Any, dtype: Any = None) -> Any:
    """0 in the shape of an array."""
    return np.zeros_like(x, dtype=dtype)


@operation("OnesLike", config="dtype", shape=same_shape, dtype=lambda x, dtype: dtype_name(dtype, x.dtype))
def ones_like(x: Any, dtype: Any = None) -> Any:
    """1 in the shape of an array."""
    return np.ones_like(x, dtype=dtype)
