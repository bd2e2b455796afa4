# SPDX-License-Identifier: BSD-3-Clause
"""More ways to join, cut, turn and difference arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .composed import composed
from .elementwise import where
from .functions import as_floating
from .making import _dtype
from .operation import operation
from .reductions import sum
from .rules import axes_of, dtype_name, positive_axis, same_shape, shape_of
from .shaping import (
    broadcast_to,
    concatenate,
    expand_dims,
    flip,
    ravel,
    reshape,
    split,
    swapaxes,
)

Array = npt.NDArray[Any]


@composed("Append", config="axis")
def append(x1: Any, x2: Any, axis: int | None = None) -> Any:
    """One array behind another along an axis, by default both flattened."""
    return concatenate([ravel(x1), ravel(x2)], 0) if axis is None else concatenate([x1, x2], axis)


def _with_axes(x: Any, rank: int) -> Any:
    """At least so many axes, as `numpy.atleast_3d` adds them."""
    own = len(shape_of(x))
    known = {(1, 0): (0,), (2, 0): (0, 1), (2, 1): (0,), (3, 0): (0, 1, 2), (3, 1): (0, 2), (3, 2): (2,)}
    places = known.get((rank, own), ())
    return expand_dims(x, places) if places else x


@composed("Hstack")
def hstack(xs: Any) -> Any:
    """Arrays side by side: along the second axis, vectors along their only one."""
    xs = [_with_axes(x, 1) for x in xs]
    return concatenate(xs, 0 if len(shape_of(xs[0])) == 1 else 1)


@composed("Vstack")
def vstack(xs: Any) -> Any:
    """Arrays below each other along the first axis, vectors as rows."""
    return concatenate([_with_axes(x, 2) for x in xs], 0)


@composed("Dstack")
def dstack(xs: Any) -> Any:
    """Arrays behind each other along the third axis."""
    return concatenate([_with_axes(x, 3) for x in xs], 2)


@composed("ArraySplit", config="indices_or_sections axis")
def array_split(x: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """As `split`; parts need not be equal: the first ones are greater by one."""
    n = shape_of(x)[axis]
    if isinstance(indices_or_sections, int):
        if n is None:
            raise ValueError(f"axis {axis} of shape {shape_of(x)} must be known to be cut into unequal parts")
        small, greater = divmod(n, indices_or_sections)
        sizes = [small + 1] * greater + [small] * (indices_or_sections - greater)
        indices_or_sections = tuple(int(k) for k in np.cumsum(sizes)[:-1])
    return split(x, indices_or_sections, axis)


@composed("Hsplit", config="indices_or_sections")
def hsplit(x: Any, indices_or_sections: Any) -> Any:
    """`split` along the second axis, of vectors along their only one."""
    return split(x, indices_or_sections, 0 if len(shape_of(x)) == 1 else 1)


@composed("Vsplit", config="indices_or_sections")
def vsplit(x: Any, indices_or_sections: Any) -> Any:
    """`split` along the first axis."""
    return split(x, indices_or_sections, 0)


@composed("Dsplit", config="indices_or_sections")
def dsplit(x: Any, indices_or_sections: Any) -> Any:
    """`split` along the third axis."""
    if len(shape_of(x)) < 3:
        raise ValueError(f"dsplit needs three axes or more, got shape {shape_of(x)}")
    return split(x, indices_or_sections, 2)


@composed("Fliplr")
def fliplr(x: Any) -> Any:
    """The second axis in reverse."""
    return flip(x, 1)


@composed("Flipud")
def flipud(x: Any) -> Any:
    """The first axis in reverse."""
    return flip(x, 0)


@composed("Rot90", config="k axes")
def rot90(array: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """Turned by `k` right angles in the plane of two axes, from the first towards the second."""
    rank = len(shape_of(array))
    if rank < 2 or len(axes) != 2 or len(set(axes_of(tuple(axes), rank))) != 2:
        raise ValueError(
            f"rot90 needs two different axes of an array, got axes={axes} of shape {shape_of(array)}"
        )
    first, second = axes
    if k % 4 == 2:
        return flip(flip(array, first), second)
    if k % 4 == 1:
        return swapaxes(flip(array, second), first, second)
    return flip(swapaxes(array, first, second), second) if k % 4 else flip(flip(array, first), first)


@composed("Diff", config="n axis")
def diff(a: Any, n: int = 1, axis: int = -1) -> Any:
    """Differences of neighbours along an axis, `n` times."""
    at = positive_axis(axis, len(shape_of(a)))
    behind, before = ((np.s_[:],) * at + (part,) for part in (np.s_[1:], np.s_[:-1]))
    for _ in range(n):
        a = a[behind] - a[before] if str(a.dtype) != "bool" else a[behind] != a[before]
    return a


@composed("Trapezoid", config="x dx axis", dtype="float32")
def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Any:
    """The integral along an axis by trapezoids, of values at `x` or at distances `dx`."""
    y = as_floating(y)
    at = positive_axis(axis, len(shape_of(y)))
    behind, before = ((np.s_[:],) * at + (part,) for part in (np.s_[1:], np.s_[:-1]))
    width: Any = dx
    if x is not None:
        x = np.asarray(x, np.float32)
        width = (
            np.diff(x, axis=axis)
            if x.ndim > 1
            else np.diff(x).reshape(-1, *(1,) * (len(shape_of(y)) - at - 1))
        )
    return sum(width * (y[behind] + y[before]) / 2, at)


@composed("Meshgrid", config="indexing", variadic=True)
def _meshgrid(x: Any, indexing: str = "xy") -> Any:
    if indexing not in ("xy", "ij"):
        raise ValueError(f"Valid values for `indexing` are 'xy' and 'ij', but received {indexing}.")
    n = len(x)
    flat = [ravel(each) for each in x]
    lengths = [shape_of(each)[0] for each in flat]
    order = [1, 0, *range(2, n)] if indexing == "xy" and n > 1 else list(range(n))
    places = [order.index(k) for k in range(n)]
    made = []
    for each, place in zip(flat, places, strict=True):
        wide = reshape(each, tuple(-1 if k == place else 1 for k in range(n)))
        made.append(broadcast_to(wide, tuple(lengths[k] for k in order)))
    return made


def meshgrid(*x: Any, indexing: str = "xy") -> Any:
    """The coordinates of all points of a grid: an array for each vector."""
    return _meshgrid(list(x), indexing=indexing)


@composed("Select")
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """The choice of the first condition that holds, element by element; else the default."""
    if not isinstance(condlist, (list, tuple)) or not isinstance(choicelist, (list, tuple)):
        raise ValueError("condlist and choicelist must be lists")
    if len(condlist) != len(choicelist) or not condlist:
        raise ValueError(
            f"condlist and choicelist must have the same length, got {len(condlist)} and {len(choicelist)}"
        )
    y = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        y = where(condition, choice, y)
    return y


@operation(
    "UnravelIndex",
    config="shape",
    shape=lambda indices, shape: [shape_of(indices)] * len(shape),
    dtype="int32",
)
def unravel_index(indices: Any, shape: Any) -> Any:
    """The index in each axis of places in the flattened array."""
    places = np.asarray(indices).astype(np.int64)
    wrapped = np.where(places < 0, places + int(np.prod(shape)), places)
    return [part.astype(np.int32) for part in np.unravel_index(wrapped, shape)]


@operation(
    "EmptyLike",
    config="dtype",
    shape=same_shape,
    dtype=lambda x, dtype: dtype_name(dtype, x.dtype),
    exact=True,
)
def empty_like(x: Any, dtype: Any = None) -> Any:
    """Any numbers in the shape of an array (here 0)."""
    return np.zeros_like(x, dtype=None if dtype is None else np.dtype(dtype))


def empty(shape: Any, dtype: Any = None) -> Array:
    """An array of any numbers (here 0), float32 by default."""
    return np.zeros(shape, _dtype(dtype))


def view(x: Any, dtype: Any = None) -> Any:
    """The same bytes as numbers of another dtype; of arrays."""
    array = np.ascontiguousarray(x)
    return array if dtype is None else array.view(np.dtype(dtype))


def size(x: Any) -> int | None:
    """The number of elements; None where a size of a symbolic tensor is open."""
    shape = shape_of(x)
    return None if None in shape else int(np.prod(shape))  # type: ignore[arg-type]


def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10,
    dtype: Any = None,
    axis: int = 0,
) -> Array:
    """Powers of a base, their exponents from one number to another; float32 by default."""
    make: Any = np.logspace
    return make(start, stop, num, endpoint, base, axis=axis).astype(_dtype(dtype))  # type: ignore[no-any-return]


def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Array:
    """Numbers from one to another with one ratio; float32 by default."""
    make: Any = np.geomspace
    return make(start, stop, num, endpoint, axis=axis).astype(_dtype(dtype))  # type: ignore[no-any-return]


def _window(name: str, doc: str) -> Any:
    make: Any = getattr(np, name)

    def window(x: Any) -> Array:
        return make(int(np.asarray(x))).astype(np.float32)  # type: ignore[no-any-return]

    window.__name__ = window.__qualname__ = name
    window.__doc__ = f"{doc} of a length, float32."
    return window


bartlett = _window("bartlett", "Bartlett's window")
blackman = _window("blackman", "Blackman's window")
hamming = _window("hamming", "Hamming's window")
hanning = _window("hanning", "Hann's window")


def kaiser(x: Any, beta: Any) -> Array:
    """Kaiser's window of a length, float32."""
    return np.kaiser(int(np.asarray(x)), float(np.asarray(beta))).astype(np.float32)
