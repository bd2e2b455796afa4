# SPDX-License-Identifier: BSD-3-Clause
"""Axes taken apart and put together: by a pattern, in blocks, in windows of a plane.

Examples
--------
>>> import numpy as np
>>> from lstmfast import ops
>>> x = np.zeros((2, 12, 5), np.float32)
>>> ops.rearrange(x, "b (n t) f -> (b n) t f", t=4).shape  # pieces of four steps
(6, 4, 5)
"""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from ..symbolic import current_trace, is_symbolic
from . import classes
from .composed import _Composed, composed
from .operation import CLASSES, operation
from .rules import as_array, shape_of, sizes_of
from .shaping import reshape, transpose

Array = npt.NDArray[Any]


# ---- blocks of a plane and channels


def _plane(x: Any, name: str, block_size: Any, data_format: Any) -> tuple[Any, Any, Any, Any, bool]:
    """Batch, height, width, channels, and whether those are the last axis."""
    shape = shape_of(x)
    if len(shape) != 4:
        raise ValueError(f"`{name}` requires a 4D input tensor. Received: x.shape={shape}")
    if block_size < 2:
        raise ValueError(f"`block_size` must be at least 2. Received: block_size={block_size}")
    if data_format not in (None, "channels_last", "channels_first"):
        raise ValueError(f"data_format must be channels_last or channels_first, got {data_format!r}")
    if data_format == "channels_first":
        return shape[0], shape[2], shape[3], shape[1], False
    return (*shape, True)


def _divided(n: Any, block: int, what: str) -> Any:
    if n is not None and n % block:
        raise ValueError(f"{what} ({n}) must be divisible by {block}")
    return None if n is None else n // block


def _times(n: Any, block: int) -> Any:
    return None if n is None else n * block


def _spread_shape(x: Any, block_size: int, data_format: Any = "channels_last") -> Any:
    b, h, w, c, last = _plane(x, "depth_to_space", block_size, data_format)
    h, w = _times(h, block_size), _times(w, block_size)
    c = _divided(c, block_size**2, "The number of channels")
    return (b, h, w, c) if last else (b, c, h, w)


@composed("DepthToSpace", home="nn", config="block_size data_format", shape=_spread_shape)
def depth_to_space(x: Any, block_size: int, data_format: str = "channels_last") -> Any:
    """Channels laid out as blocks of a plane: (b, h, w, c * s * s) becomes (b, h * s, w * s, c)."""
    _spread_shape(x, block_size, data_format)
    b, h, w, c, last = _plane(x, "depth_to_space", block_size, data_format)
    s, shape = block_size, _spread_shape(x, block_size, data_format)
    if last:
        return reshape(transpose(reshape(x, (b, h, w, s, s, c // s**2)), (0, 1, 3, 2, 4, 5)), shape)
    return reshape(transpose(reshape(x, (b, c // s**2, s, s, h, w)), (0, 1, 4, 2, 5, 3)), shape)


def _gathered_shape(x: Any, block_size: int, data_format: Any = "channels_last") -> Any:
    b, h, w, c, last = _plane(x, "space_to_depth", block_size, data_format)
    h, w = _divided(h, block_size, "Height"), _divided(w, block_size, "Width")
    c = _times(c, block_size**2)
    return (b, h, w, c) if last else (b, c, h, w)


@composed("SpaceToDepth", home="nn", config="block_size data_format", shape=_gathered_shape)
def space_to_depth(x: Any, block_size: int, data_format: str = "channels_last") -> Any:
    """Blocks of a plane as channels: (b, h * s, w * s, c) becomes (b, h, w, c * s * s)."""
    shape, s = _gathered_shape(x, block_size, data_format), block_size
    b, h, w, c, last = _plane(x, "space_to_depth", block_size, data_format)
    if last:
        return reshape(transpose(reshape(x, (b, h // s, s, w // s, s, c)), (0, 1, 3, 2, 4, 5)), shape)
    return reshape(transpose(reshape(x, (b, c, h // s, s, w // s, s)), (0, 1, 3, 5, 2, 4)), shape)


# ---- windows of a plane


def _two(value: Any, name: str, least: int = 1) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, (int, np.integer)) else tuple(value)
    if len(pair) != 2 or any(not isinstance(n, (int, np.integer)) or n < least for n in pair):
        raise ValueError(f"{name} must be an integer of {least} or more, or two of them, got {value!r}")
    return int(pair[0]), int(pair[1])


def _numbers(sizes: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """How many windows there are along both axes of a plane."""
    found = []
    for n, k, d, p, s in zip(
        sizes,
        _two(kernel_size, "kernel_size"),
        _two(dilation, "dilation"),
        _two(padding, "padding", 0),
        _two(stride, "stride"),
        strict=True,
    ):
        number = None if n is None else (n + 2 * p - d * (k - 1) - 1) // s + 1
        if number is not None and number < 1:
            raise ValueError(
                f"kernel_size={kernel_size} with dilation={dilation} does not fit into {tuple(sizes)} with "
                f"padding={padding}"
            )
        found.append(number)
    return found


def _windows(plane: Array, numbers: Any, kernel_size: Any, dilation: Any, stride: Any) -> Any:
    """For each place in the window a view of what is there in all windows."""
    kernel, spread, step = (
        _two(v, n) for v, n in ((kernel_size, "kernel_size"), (dilation, "dilation"), (stride, "stride"))
    )
    for at in itertools.product(*(range(k) for k in kernel)):
        key: Any = tuple(
            np.s_[a * d : a * d + (n - 1) * s + 1 : s]
            for a, d, n, s in zip(at, spread, numbers, step, strict=True)
        )
        yield plane[(..., *key)]


def _padded(shape: Any, padding: Any, dtype: Any) -> tuple[Array, Array]:
    """A plane of 0 with borders, and the view of what is within them."""
    (h, w), (p, q) = shape[-2:], _two(padding, "padding", 0)
    whole = np.zeros((*shape[:-2], h + 2 * p, w + 2 * q), dtype)
    return whole, whole[..., p : p + h, q : q + w]


def _unfolded(x: Array, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Array:
    numbers = _numbers(x.shape[2:], kernel_size, dilation, padding, stride)
    whole, inside = _padded(x.shape, padding, x.dtype)
    inside[...] = x
    taken = np.stack(list(_windows(whole, numbers, kernel_size, dilation, stride)), 2)
    return taken.reshape(x.shape[0], -1, math.prod(numbers))


def _folded(x: Array, output_size: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> Array:
    sizes, kernel = _two(output_size, "output_size"), _two(kernel_size, "kernel_size")
    numbers = _numbers(sizes, kernel_size, dilation, padding, stride)
    parts = x.reshape(x.shape[0], -1, math.prod(kernel), *numbers)
    whole, inside = _padded((*parts.shape[:2], *sizes), padding, x.dtype)
    for k, place in enumerate(_windows(whole, numbers, kernel_size, dilation, stride)):
        place += parts[:, :, k]
    return np.ascontiguousarray(inside)


def _unfold_shape(x: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    shape = shape_of(x)
    if len(shape) != 4:
        raise ValueError(f"Input must be a 4D tensor. Received: input.shape={shape}")
    h, w = _numbers(shape[2:], kernel_size, dilation, padding, stride)
    channels = _times(shape[1], math.prod(_two(kernel_size, "kernel_size")))
    return (shape[0], channels, None if h is None or w is None else h * w)


@operation(
    "Unfold",
    lambda dy, y, x, **how: _folded(dy, x.shape[2:], **how),
    home="nn",
    config="kernel_size dilation padding stride",
    shape=_unfold_shape,
    dtype=lambda x, **_: str(x.dtype),
)
def unfold(x: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """The windows of a plane: of (n, c, h, w) as (n, c * size of a window, number of windows)."""
    _unfold_shape(x, kernel_size, dilation, padding, stride)
    return _unfolded(np.asarray(x), kernel_size, dilation, padding, stride)


def _fold_shape(
    x: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    shape = shape_of(x)
    if len(shape) != 3:
        raise ValueError(f"Input must be a 3D tensor. Received: input.shape={shape}")
    area, sizes = math.prod(_two(kernel_size, "kernel_size")), _two(output_size, "output_size")
    number = math.prod(_numbers(sizes, kernel_size, dilation, padding, stride))
    if shape[1] is not None and shape[1] % area:
        raise ValueError(
            f"The second dimension of the input ({shape[1]}) must be divisible by kernel_size product ({area})."
        )
    if shape[2] not in (None, number):
        raise ValueError(
            f"output_size={output_size} has {number} windows, the last axis of the input {shape[2]}"
        )
    return (shape[0], None if shape[1] is None else shape[1] // area, *sizes)


@operation(
    "Fold",
    lambda dy, y, x, output_size, **how: _unfolded(dy, **how),
    home="nn",
    config="output_size kernel_size dilation padding stride",
    shape=_fold_shape,
    dtype=lambda x, **_: str(x.dtype),
)
def fold(
    x: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    """`unfold` backwards: (n, c * size of a window, number of windows) as (n, c, h, w), windows added where they overlap."""
    _fold_shape(x, output_size, kernel_size, dilation, padding, stride)
    return _folded(np.asarray(x), output_size, kernel_size, dilation, padding, stride)


# ---- a pattern


def _sides(pattern: str) -> tuple[list[list[str]], list[list[str]]]:
    """The groups of axes on both sides of a pattern."""
    sides = str(pattern).split("->")
    if len(sides) != 2 or re.search(r"[^\w\s()]", "".join(sides)):
        raise ValueError(f"pattern must be of names, groups (a b) and one `->`, got {pattern!r}")
    left, right = ([part.strip("()").split() for part in re.findall(r"\w+|\(.*?\)", side)] for side in sides)
    names = [name for group in left for name in group]
    if len(set(names)) != len(names) or sorted(names) != sorted(name for group in right for name in group):
        raise ValueError(f"pattern must have the same axes, each once, on both sides, got {pattern!r}")
    return left, right


def _axis_sizes(shape: Any, left: Any, pattern: str, lengths: dict[str, Any]) -> dict[str, Any]:
    """The size of each axis; None where it is open."""
    if len(left) != len(shape):
        raise ValueError(f"pattern {pattern!r} is for {len(left)} axes, the tensor has shape {shape}")
    sizes: dict[str, Any] = {}
    for group, n in zip(left, shape, strict=True):
        open_axes = [name for name in group if len(group) == 1 or name not in lengths]
        known = math.prod(int(lengths[name]) for name in group if name not in open_axes)
        if len(open_axes) > 1:
            raise ValueError(f"pattern {pattern!r}: give the sizes of all but one of {', '.join(group)}")
        if n is not None and (n % known if open_axes else n != known):
            raise ValueError(f"pattern {pattern!r}: an axis of {n} cannot be taken apart with {lengths}")
        sizes.update({name: int(lengths[name]) for name in group if name not in open_axes})
        sizes.update(dict.fromkeys(open_axes, None if n is None else n // known))
        for name in group:
            if name in lengths and sizes[name] not in (None, int(lengths[name])):
                raise ValueError(
                    f"pattern {pattern!r}: axis {name} has size {sizes[name]}, not {lengths[name]}"
                )
    return sizes


def _rearranged_shape(tensor: Any, pattern: str, axes_lengths: dict[str, Any]) -> Any:
    left, right = _sides(pattern)
    sizes = _axis_sizes(shape_of(tensor), left, pattern, axes_lengths)
    groups = [[sizes[name] for name in group] for group in right]
    return tuple(None if None in group else math.prod(group) for group in groups)


def _rearranged(tensor: Any, pattern: str, axes_lengths: dict[str, Any]) -> Any:
    left, right = _sides(pattern)
    sizes = _axis_sizes(sizes_of(tensor), left, pattern, axes_lengths)
    names, wanted = ([name for group in side for name in group] for side in (left, right))
    apart = reshape(tensor, tuple(sizes[name] for name in names))
    turned = transpose(apart, tuple(names.index(name) for name in wanted))
    return reshape(turned, tuple(math.prod(sizes[name] for name in group) for group in right))


class Rearrange(_Composed):
    """`lstmfast.ops.rearrange` in a graph; the sizes of axes are arguments of the call, each by its name."""

    function = staticmethod(_rearranged)
    shape_rule = staticmethod(_rearranged_shape)
    dtype_rule = staticmethod(lambda tensor, *_: str(tensor.dtype))
    call_names = ("tensor", "pattern", "axes_lengths")
    plain_names = ("pattern", "axes_lengths")
    keras_module = "keras.src.ops.einops"

    def _named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        lengths = {key: value for key, value in kwargs.items() if key not in ("tensor", "pattern")}
        given = {key: value for key, value in kwargs.items() if key not in lengths}
        return super()._named(args, {**given, "axes_lengths": lengths})

    def graph_arguments(self, inputs: Any, kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        tensor, pattern, lengths = self._filled(kwargs["template"], inputs).values()
        return [tensor, pattern], dict(lengths)


Rearrange.__module__ = classes.__name__
vars(classes)["Rearrange"] = Rearrange  # where files find it
CLASSES["Rearrange"] = Rearrange


def rearrange(tensor: Any, pattern: str, **axes_lengths: Any) -> Any:
    """Axes in another order, taken apart or put together, as a pattern says (Rogozhnikov 2022, "Einops").

    Parameters
    ----------
    tensor : array_like
    pattern : str
        Names of the axes, ``->``, and the same names in another order; axes that are one axis in parentheses.
    **axes_lengths : int
        Sizes of axes of a group that is taken apart; one of each group is found.

    Returns
    -------
    array

    Raises
    ------
    ValueError
        A pattern that does not fit itself, the shape or the sizes.
    """
    symbolic = is_symbolic(tensor) or current_trace.get() is not None
    operation = Rearrange(name=None if symbolic else "rearrange")
    return operation(tensor if symbolic else as_array(tensor), pattern, **axes_lengths)
