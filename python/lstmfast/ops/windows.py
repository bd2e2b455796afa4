# SPDX-License-Identifier: BSD-3-Clause
"""Convolutions and pooling over any number of axes: a strided slice of the input for each tap of the window.

Layers have native kernels for those over time; these are for everything else.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from . import reductions
from .composed import composed
from .elementwise import maximum
from .rules import shape_of, sizes_of
from .shaping import concatenate, expand_dims, moveaxis, pad, reshape, split, stack

Array = npt.NDArray[Any]


def _sizes(value: Any, rank: int, name: str) -> tuple[int, ...]:
    """One positive integer for each spatial axis."""
    sizes = (value,) * rank if isinstance(value, (int, np.integer)) else tuple(value)
    if len(sizes) != rank or any(not isinstance(n, (int, np.integer)) or n < 1 for n in sizes):
        raise ValueError(f"{name} must be one positive integer, or {rank} of them, got {value}")
    return tuple(int(n) for n in sizes)


def _spatial_rank(inputs: Any) -> int:
    rank = len(shape_of(inputs)) - 2
    if rank < 1:
        raise ValueError(
            f"inputs must have a batch axis, channels and something between, got {shape_of(inputs)}"
        )
    return rank


def _channels_first(data_format: Any) -> bool:
    if data_format not in (None, "channels_last", "channels_first"):
        raise ValueError(f"data_format must be channels_last or channels_first, got {data_format!r}")
    return bool(data_format == "channels_first")


def _padding(padding: Any) -> str:
    found = str(padding).lower()
    if found not in ("valid", "same"):
        raise ValueError(f"padding must be valid or same, got {padding!r}")
    return found


def _last(x: Any, data_format: Any) -> Any:
    return moveaxis(x, 1, -1) if _channels_first(data_format) else x


def _back(x: Any, data_format: Any) -> Any:
    return moveaxis(x, -1, 1) if _channels_first(data_format) else x


def _spread(n: int, reach: int, stride: int, padding: str) -> tuple[int, int]:
    """How many elements are put before and behind an axis."""
    if padding == "valid":
        return 0, 0
    total = max(0, (-(-n // stride) - 1) * stride + reach - n)
    return total // 2, total - total // 2


def _reach(window: Any, dilation: Any) -> tuple[int, ...]:
    return tuple((k - 1) * d + 1 for k, d in zip(window, dilation, strict=True))


def _taps(
    x: Any, window: Any, strides: Any, dilation: Any, padding: str, fill: float = 0.0
) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Place in the window, and what is at that place of all windows; channels are last."""
    reach = _reach(window, dilation)
    spatial = sizes_of(x)[1:-1]
    widths = [_spread(n, r, s, padding) for n, r, s in zip(spatial, reach, strides, strict=True)]
    if any(map(any, widths)):
        x = pad(x, ((0, 0), *widths, (0, 0)), constant_values=fill)
    counts = [(n - r) // s + 1 for n, r, s in zip(sizes_of(x)[1:-1], reach, strides, strict=True)]
    if min(counts) < 1:
        raise ValueError(f"a window that reaches over {reach} does not fit into the axes {spatial}")
    for place in itertools.product(*map(range, window)):
        starts = [k * d for k, d in zip(place, dilation, strict=True)]
        parts = [np.s_[a : a + (n - 1) * s + 1 : s] for a, n, s in zip(starts, counts, strides, strict=True)]
        yield place, x[(np.s_[:], *parts)]


def _windows_shape(
    shape: Any, window: Any, strides: Any, dilation: Any, padding: str, channels: Any, first: bool
) -> Any:
    spatial = shape[2:] if first else shape[1:-1]
    made = []
    for n, r, s in zip(spatial, _reach(window, dilation), strides, strict=True):
        count = None if n is None else (n - r) // s + 1 if padding == "valid" else -(-n // s)
        if count is not None and count < 1:
            raise ValueError(f"a window of {window} does not fit into the axes {spatial}")
        made.append(count)
    return (shape[0], channels, *made) if first else (shape[0], *made, channels)


# ---- pooling


def _pooled_shape(
    inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: Any = None
) -> Any:
    rank, shape, first = _spatial_rank(inputs), shape_of(inputs), _channels_first(data_format)
    window = _sizes(pool_size, rank, "pool_size")
    steps = window if strides is None else _sizes(strides, rank, "strides")
    return _windows_shape(
        shape, window, steps, (1,) * rank, _padding(padding), shape[1 if first else -1], first
    )


def _pool_taps(inputs: Any, pool_size: Any, strides: Any, padding: Any, data_format: Any, fill: float) -> Any:
    rank = _spatial_rank(inputs)
    window = _sizes(pool_size, rank, "pool_size")
    steps = window if strides is None else _sizes(strides, rank, "strides")
    return [
        tap
        for _, tap in _taps(_last(inputs, data_format), window, steps, (1,) * rank, _padding(padding), fill)
    ]


@composed("MaxPool", home="nn", config="pool_size strides padding data_format", shape=_pooled_shape)
def max_pool(
    inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: Any = None
) -> Any:
    """The greatest of each window; equal ones share the gradient."""
    y, *rest = _pool_taps(inputs, pool_size, strides, padding, data_format, -np.inf)
    for tap in rest:
        y = maximum(y, tap)
    return _back(y, data_format)


@composed(
    "AveragePool",
    home="nn",
    config="pool_size strides padding data_format",
    shape=_pooled_shape,
    dtype="float32",
)
def average_pool(
    inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: Any = None
) -> Any:
    """The mean of each window, of that part of it which is in the input."""
    taps = _pool_taps(inputs, pool_size, strides, padding, data_format, 0.0)
    y = taps[0]
    for tap in taps[1:]:
        y = y + tap
    if _padding(padding) == "valid":
        return _back(y / float(len(taps)), data_format)
    inside = np.ones((1, *sizes_of(_last(inputs, data_format))[1:-1], 1), np.float32)
    count = np.asarray(sum(_pool_taps(inside, pool_size, strides, padding, None, 0.0)), np.float32)
    return _back(y / count, data_format)


def _adaptive_shape(inputs: Any, output_size: Any, data_format: Any = None) -> Any:
    rank, shape = _spatial_rank(inputs), shape_of(inputs)
    sizes = _sizes(output_size, rank, "output_size")
    return (*shape[:2], *sizes) if _channels_first(data_format) else (shape[0], *sizes, shape[-1])


def _adaptive(join: Any, inputs: Any, output_size: Any, data_format: Any) -> Any:
    x = _last(inputs, data_format)
    for axis, parts in enumerate(_sizes(output_size, _spatial_rank(x), "output_size"), 1):
        n = sizes_of(x)[axis]
        bounds = [(k * n // parts, -(-(k + 1) * n // parts)) for k in range(parts)]
        x = stack([join(x[(np.s_[:],) * axis + (np.s_[a:b],)], axis) for a, b in bounds], axis)
    return _back(x, data_format)


@composed(
    "AdaptiveAveragePool", home="nn", config="output_size data_format", shape=_adaptive_shape, dtype="float32"
)
def adaptive_average_pool(inputs: Any, output_size: Any, data_format: Any = None) -> Any:
    """The means of so many windows of about the same size."""
    return _adaptive(reductions.mean, inputs, output_size, data_format)


@composed("AdaptiveMaxPool", home="nn", config="output_size data_format", shape=_adaptive_shape)
def adaptive_max_pool(inputs: Any, output_size: Any, data_format: Any = None) -> Any:
    """The greatest of so many windows of about the same size."""
    return _adaptive(reductions.max, inputs, output_size, data_format)


# ---- convolutions


def _conv_shape(inputs: Any, kernel: Any, *window: Any, **named: Any) -> Any:
    return _convolved_shape(inputs, kernel, shape_of(kernel)[-1], *window, **named)


def _convolved_shape(
    inputs: Any,
    kernel: Any,
    channels: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: Any = None,
    dilation_rate: Any = 1,
) -> Any:
    """Of a convolution that makes so many channels."""
    rank, shape, first = _spatial_rank(inputs), shape_of(inputs), _channels_first(data_format)
    own = sizes_of(kernel)
    given = shape[1 if first else -1]
    if len(own) != rank + 2 or (given is not None and given % own[-2]):
        raise ValueError(
            "The number of input channels must be evenly divisible by kernel's in_channels. Received input channels "
            f"{given} and kernel in_channels {own[-2] if len(own) > 1 else None} (kernel.shape={own})."
        )
    steps, dilation = _sizes(strides, rank, "strides"), _sizes(dilation_rate, rank, "dilation_rate")
    return _windows_shape(shape, own[:-2], steps, dilation, _padding(padding), channels, first)


def _sum_of_taps(
    inputs: Any, kernel: Any, strides: Any, padding: str, data_format: Any, dilation_rate: Any, product: Any
) -> Any:
    """The sum over the window's places of `product` (what the place sees, the kernel there), channels behind."""
    x, rank = _last(inputs, data_format), _spatial_rank(inputs)
    steps, dilation = _sizes(strides, rank, "strides"), _sizes(dilation_rate, rank, "dilation_rate")
    y: Any = None
    for place, tap in _taps(x, sizes_of(kernel)[:-2], steps, dilation, _padding(padding)):
        part = product(tap, kernel[place])
        y = part if y is None else y + part
    return y


@composed(
    "Conv", home="nn", config="strides padding data_format dilation_rate", shape=_conv_shape, dtype="float32"
)
def conv(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: Any = None,
    dilation_rate: Any = 1,
) -> Any:
    """Convolution by a kernel (*window, channels in, channels out); in groups if it has fewer channels in."""
    _conv_shape(inputs, kernel, strides, padding, data_format, dilation_rate)
    groups = sizes_of(_last(inputs, data_format))[-1] // sizes_of(kernel)[-2]

    def product(tap: Any, matrix: Any) -> Any:
        if groups == 1:
            return tap @ matrix
        pairs = zip(split(tap, groups, -1), split(matrix, groups, -1), strict=True)
        return concatenate([rows @ columns for rows, columns in pairs], -1)

    return _back(
        _sum_of_taps(inputs, kernel, strides, padding, data_format, dilation_rate, product), data_format
    )


def _depthwise_shape(inputs: Any, kernel: Any, *window: Any, **named: Any) -> Any:
    own = sizes_of(kernel)
    return _convolved_shape(inputs, kernel, own[-2] * own[-1], *window, **named)


@composed(
    "DepthwiseConv",
    home="nn",
    config="strides padding data_format dilation_rate",
    shape=_depthwise_shape,
    dtype="float32",
)
def depthwise_conv(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: Any = None,
    dilation_rate: Any = 1,
) -> Any:
    """Convolution of each channel alone, by a kernel (*window, channels, outputs of each)."""
    _depthwise_shape(inputs, kernel, strides, padding, data_format, dilation_rate)
    y = _sum_of_taps(
        inputs,
        kernel,
        strides,
        padding,
        data_format,
        dilation_rate,
        lambda tap, factors: expand_dims(tap, -1) * factors,
    )
    shape = sizes_of(y)
    return _back(reshape(y, (*shape[:-2], shape[-2] * shape[-1])), data_format)


def _separable_shape(
    inputs: Any, depthwise_kernel: Any, pointwise_kernel: Any, *window: Any, **named: Any
) -> Any:
    return _convolved_shape(inputs, depthwise_kernel, shape_of(pointwise_kernel)[-1], *window, **named)


@composed(
    "SeparableConv",
    home="nn",
    config="strides padding data_format dilation_rate",
    shape=_separable_shape,
    dtype="float32",
)
def separable_conv(
    inputs: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: Any = None,
    dilation_rate: Any = 1,
) -> Any:
    """`depthwise_conv`, then `conv` by a kernel whose window is one element."""
    y = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(y, pointwise_kernel, 1, "valid", data_format)


def _grown(n: int, reach: int, stride: int, padding: str, extra: int | None) -> tuple[int, int]:
    """Size of an axis after a transposed convolution, and elements cut off its front; as in Keras."""
    if padding == "valid":
        return (n - 1) * stride + reach + (max(stride - reach, 0) if extra is None else extra), 0
    size = n * stride if extra is None else (n - 1) * stride + reach % 2 + extra
    total = reach - 2 + (stride if extra is None else reach % 2 + extra)
    return size, max(reach - 1 - (total + 1) // 2, 0)


def _extras(output_padding: Any, rank: int) -> tuple[Any, ...]:
    return (
        (output_padding,) * rank
        if output_padding is None or isinstance(output_padding, int)
        else tuple(output_padding)
    )


def _transposed_shape(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    output_padding: Any = None,
    data_format: Any = None,
    dilation_rate: Any = 1,
) -> Any:
    rank, shape, first = _spatial_rank(inputs), shape_of(inputs), _channels_first(data_format)
    own = shape_of(kernel)
    if len(own) != rank + 2 or shape[1 if first else -1] not in (None, own[-1]):
        raise ValueError(
            f"The number of input channels must match the kernel's last axis. Received inputs.shape={shape} and "
            f"kernel.shape={own}."
        )
    steps, dilation = _sizes(strides, rank, "strides"), _sizes(dilation_rate, rank, "dilation_rate")
    spatial = [
        None if n is None else _grown(n, r, s, _padding(padding), e)[0]
        for n, r, s, e in zip(
            shape[2:] if first else shape[1:-1],
            _reach(own[:-2], dilation),
            steps,
            _extras(output_padding, rank),
            strict=True,
        )
    ]
    return (shape[0], own[-2], *spatial) if first else (shape[0], *spatial, own[-2])


@composed(
    "ConvTranspose",
    home="nn",
    config="strides padding output_padding data_format dilation_rate",
    shape=_transposed_shape,
    dtype="float32",
)
def conv_transpose(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    output_padding: Any = None,
    data_format: Any = None,
    dilation_rate: Any = 1,
) -> Any:
    """The gradient of a convolution as an operation, by a kernel (*window, channels out, channels in)."""
    _transposed_shape(inputs, kernel, strides, padding, output_padding, data_format, dilation_rate)
    x, rank = _last(inputs, data_format), _spatial_rank(inputs)
    steps, dilation = _sizes(strides, rank, "strides"), _sizes(dilation_rate, rank, "dilation_rate")
    window = sizes_of(kernel)[:-2]
    plan = []
    for axis, (n, r, s, extra) in enumerate(
        zip(sizes_of(x)[1:-1], _reach(window, dilation), steps, _extras(output_padding, rank), strict=True), 1
    ):
        size, cut = _grown(n, r, s, _padding(padding), extra)
        if s > 1:  # zeros between the elements
            shape = sizes_of(x)
            wide = pad(
                expand_dims(x, axis + 1), [(0, s - 1 if k == axis + 1 else 0) for k in range(len(shape) + 1)]
            )
            x = reshape(wide, (*shape[:axis], n * s, *shape[axis + 1 :]))[
                (np.s_[:],) * axis + (np.s_[: (n - 1) * s + 1],)
            ]
        plan.append((r - 1, r - 1 + max(cut + size - ((n - 1) * s + r), 0), cut, size))
    x = pad(x, ((0, 0), *((before, behind) for before, behind, _, _ in plan), (0, 0)))
    y: Any = None
    for place, tap in _taps(x, window, (1,) * rank, dilation, "valid"):
        turned = tuple(k - 1 - p for k, p in zip(window, place, strict=True))
        part = tap @ moveaxis(kernel[turned], 0, 1)
        y = part if y is None else y + part
    return _back(y[(np.s_[:], *(np.s_[cut : cut + size] for _, _, cut, size in plan))], data_format)
