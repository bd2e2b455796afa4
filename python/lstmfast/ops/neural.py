# SPDX-License-Identifier: BSD-3-Clause
"""Losses, normalizations and attention as operations, and encodings of classes."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from ..utils.ctc import ctc_decode as decoded
from .composed import composed
from .elementwise import cast, clip, greater, log, log10, rsqrt, square, subtract, tanh, where
from .functions import as_floating
from .indexing import take_along_axis
from .nn import log_softmax, one_hot, relu, sigmoid, softmax, softplus
from .operation import operation
from .products import einsum
from .reductions import cumsum, max, mean, sum, var
from .rules import axes_of, dtype_name, positive_axis, same_shape, shape_of, sizes_of
from .shaping import expand_dims, repeat, reshape, split, squeeze
from .sorting import argsort
from .statistics import _root

Array = npt.NDArray[Any]

_EPSILON = 1e-7


@composed("Glu", home="nn", config="axis", dtype="float32")
def glu(x: Any, axis: int = -1) -> Any:
    """The first half along an axis times the sigmoid of the second."""
    left, right = split(as_floating(x), 2, axis)
    return left * sigmoid(right)


@composed("Sparsemax", home="nn", config="axis", shape=lambda x, axis=-1: same_shape(x), dtype="float32")
def sparsemax(x: Any, axis: int = -1) -> Any:
    """The nearest point to `x` along an axis among those of sum 1 and nothing below 0 (Martins and Astudillo 2016)."""
    x = as_floating(x)
    at, n = positive_axis(axis, len(shape_of(x))), sizes_of(x)[axis]
    falling = take_along_axis(x, argsort(-x, at), at)
    ranks = np.arange(1, n + 1, dtype=np.float32).reshape(-1, *(1,) * (len(shape_of(x)) - at - 1))
    support = cast(greater(falling - (cumsum(falling, at) - 1.0) / ranks, 0.0), "float32")
    height = (sum(falling * support, at, True) - 1.0) / sum(support, at, True)
    return relu(x - height)


# ---- losses


def _same(target: Any, output: Any) -> None:
    a, b = shape_of(target), shape_of(output)
    if len(a) != len(b) or any(None not in (m, n) and m != n for m, n in zip(a, b, strict=True)):
        raise ValueError(
            "Arguments `target` and `output` must have the same shape. Received: "
            f"target.shape={a}, output.shape={b}"
        )


def _log_probabilities(output: Any, from_logits: bool, axis: int) -> Any:
    output = as_floating(output)
    if from_logits:
        return log_softmax(output, axis)
    return log(clip(output / sum(output, axis, True), _EPSILON, 1 - _EPSILON))


@composed("BinaryCrossentropy", home="nn", config="from_logits", dtype="float32")
def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """``-target log(output) - (1 - target) log(1 - output)``; of logits by their softplus."""
    _same(target, output)
    target, output = as_floating(target), as_floating(output)
    if from_logits:
        return softplus(output) - target * output
    output = clip(output, _EPSILON, 1 - _EPSILON)
    return -(target * log(output) + (1.0 - target) * log(1.0 - output))


@composed("CategoricalCrossentropy", home="nn", config="from_logits axis", dtype="float32")
def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    """``-sum(target log(output))`` along an axis; outputs are scaled to the sum 1, logits go through a softmax."""
    _same(target, output)
    if not shape_of(target):
        raise ValueError("Arguments `target` and `output` must be at least rank 1. Received: target.shape=()")
    return -sum(as_floating(target) * _log_probabilities(output, from_logits, axis), axis)


@composed("SparseCategoricalCrossentropy", home="nn", config="from_logits axis", dtype="float32")
def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    """As `categorical_crossentropy`, targets being the numbers of classes."""
    shape = shape_of(output)
    if not shape:
        raise ValueError("Argument `output` must be at least rank 1. Received: output.shape=()")
    at = positive_axis(axis, len(shape))
    target = cast(target, "int32")
    if len(shape_of(target)) == len(shape) and shape_of(target)[at] == 1:
        target = squeeze(target, at)
    given, expected = shape_of(target), shape[:at] + shape[at + 1 :]
    if len(given) != len(expected) or any(
        None not in (m, n) and m != n for m, n in zip(given, expected, strict=True)
    ):
        raise ValueError(
            "Arguments `target` and `output` must have the same shape up until the last dimension: "
            f"target.shape={given}, output.shape={shape}"
        )
    found = take_along_axis(_log_probabilities(output, from_logits, at), expand_dims(target, at), at)
    return -squeeze(found, at)


@composed("PSNR", home="nn", config="max_val", shape=lambda x1, x2, max_val: (), dtype="float32")
def psnr(x1: Any, x2: Any, max_val: Any) -> Any:
    """Peak signal-to-noise ratio in decibels."""
    _same(x1, x2)
    return 20 * math.log10(max_val) - 10 * log10(mean(square(subtract(x1, x2))))


def _ctc(target: Any, output: Any, target_length: Any, output_length: Any, blank: int, gradient: bool) -> Any:
    p, labels = np.ascontiguousarray(output, np.float32), np.ascontiguousarray(target).astype(np.int64)
    if p.ndim != 3 or labels.ndim != 2 or len(p) != len(labels):
        raise ValueError(
            f"ctc_loss needs targets (batch, length) and outputs (batch, time, classes), got shapes {labels.shape} and {p.shape}"
        )
    lengths, steps = (np.asarray(n).astype(np.int64).reshape(-1) for n in (target_length, output_length))
    return _core.ctc_loss(p, labels, lengths, steps, blank, gradient=gradient)


def _ctc_slope(
    dy: Array, y: Array, target: Any, output: Any, target_length: Any, output_length: Any, mask_index: int
) -> Array:
    grad = _ctc(target, output, target_length, output_length, mask_index, gradient=True)[1]
    return np.asarray(grad * np.asarray(dy)[:, None, None])


@operation(
    "CTCLoss",
    (None, _ctc_slope, None, None),
    home="nn",
    config="mask_index",
    shape=lambda target, *_, **__: shape_of(target)[:1],
    dtype="float32",
)
def ctc_loss(target: Any, output: Any, target_length: Any, output_length: Any, mask_index: int = 0) -> Any:
    """Minus the log-probability of label sequences, summed over all ways to place them in time; `output` are logits.

    See `lstmfast.losses.CTC`.
    """
    return _ctc(target, output, target_length, output_length, mask_index, gradient=False)[0]


def _paths_shape(inputs: Any, *_: Any, strategy: str = "greedy", top_paths: int = 1, **__: Any) -> Any:
    batch, time = shape_of(inputs)[:2]
    number = 1 if strategy == "greedy" else top_paths
    return [(number, batch, time), (batch, number)]


@operation(
    "CTCDecode",
    home="nn",
    config="strategy beam_width top_paths merge_repeated mask_index",
    shape=_paths_shape,
    dtype=lambda *_, **__: ["int32", "float32"],
)
def ctc_decode(
    inputs: Any,
    sequence_lengths: Any,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int = 0,
) -> Any:
    """The likeliest labels for logits, and their scores; see `lstmfast.utils.ctc_decode`."""
    return list(
        decoded(inputs, sequence_lengths, strategy, beam_width, top_paths, merge_repeated, mask_index)
    )


# ---- normalizations


def _along(v: Any, axes: tuple[int, ...], shape: Any) -> Any:
    """Scales for some axes, shaped to go with all."""
    own = shape_of(v)
    if len(own) == len(shape) or axes == tuple(range(len(shape) - len(own), len(shape))):
        return v
    return reshape(v, tuple(shape[k] if k in axes else 1 for k in range(len(shape))))


def _normalized_shape(
    x: Any,
    mean: Any,
    variance: Any,
    offset: Any = None,
    scale: Any = None,
    *,
    axis: int,
    epsilon: float = 1e-3,
) -> Any:
    shape = shape_of(x)
    size = shape[positive_axis(axis, len(shape))]
    for name, v in (("mean", mean), ("variance", variance), ("offset", offset), ("scale", scale)):
        if v is not None and shape_of(v) != (size,) and None not in (*shape_of(v), size):
            raise ValueError(
                f"`{name}` must be a vector of length `x.shape[axis]`. Expected: ({size},). Received: "
                f"{name}.shape={shape_of(v)} while x.shape={shape}"
            )
    return shape


@composed(
    "BatchNorm",
    home="nn",
    config="axis epsilon",
    shape=_normalized_shape,
    dtype="float32",
    writes_all=True,
)
def batch_normalization(
    x: Any, mean: Any, variance: Any, axis: int, offset: Any = None, scale: Any = None, epsilon: float = 1e-3
) -> Any:
    """``(x - mean) / sqrt(variance + epsilon) * scale + offset``, with one of each along an axis."""
    shape = _normalized_shape(x, mean, variance, offset, scale, axis=axis)
    at = (positive_axis(axis, len(shape)),)
    factor = rsqrt(as_floating(variance) + epsilon)
    y = (as_floating(x) - _along(mean, at, shape)) * _along(
        factor if scale is None else factor * scale, at, shape
    )
    return y if offset is None else y + _along(offset, at, shape)


@composed(
    "LayerNorm",
    home="nn",
    config="axis epsilon rms_scaling",
    shape=lambda x, *_, **__: shape_of(x),
    dtype="float32",
    writes_all=True,
)
def _layer_norm(
    x: Any,
    gamma: Any = None,
    beta: Any = None,
    axis: Any = -1,
    epsilon: Any = None,
    rms_scaling: bool = False,
) -> Any:
    x, shape = as_floating(x), shape_of(x)
    axes = axes_of(axis, len(shape))
    factor = rsqrt(var(x, axes, True) + (_EPSILON if epsilon is None else epsilon))
    if gamma is not None:
        factor = factor * _along(gamma, axes, shape)
    if rms_scaling:
        return x * factor
    y = (x - mean(x, axes, True)) * factor
    return y if beta is None else y + _along(beta, axes, shape)


def layer_normalization(
    x: Any, gamma: Any = None, beta: Any = None, axis: Any = -1, epsilon: float | None = None, **kwargs: Any
) -> Any:
    """``(x - mean) / sqrt(variance + epsilon) * gamma + beta`` along axes (Ba et al. 2016); `epsilon` is 1e-7."""
    rms_scaling = kwargs.pop("rms_scaling", False)
    if rms_scaling:
        warnings.warn(
            "You passed `rms_scaling=True`, which is deprecated: use `rms_normalization`, which computes the scale "
            "correctly.",
            stacklevel=2,
        )
    if kwargs:
        raise TypeError(f"layer_normalization got unexpected arguments: {sorted(kwargs)}")
    return _layer_norm(x, gamma, beta, axis, epsilon, rms_scaling)


@composed(
    "RMSNorm",
    home="nn",
    config="axis epsilon",
    shape=lambda x, *_, **__: shape_of(x),
    dtype="float32",
    writes_all=True,
)
def rms_normalization(x: Any, scale: Any = None, axis: Any = -1, epsilon: float | None = None) -> Any:
    """``x / sqrt(mean(x**2) + epsilon) * scale`` along axes (Zhang and Sennrich 2019); `epsilon` is 1e-7."""
    x, shape = as_floating(x), shape_of(x)
    axes = axes_of(axis, len(shape)) if shape else None
    y = x * rsqrt(mean(square(x), axes, True) + (_EPSILON if epsilon is None else epsilon))
    return y if scale is None else y * _along(scale, axes or (), shape)


# ---- attention


def _attended_shape(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> Any:
    shapes = [shape_of(t) for t in (query, key, value)]
    if any(len(shape) != 4 for shape in shapes):
        raise ValueError(
            "`dot_product_attention` only supports 4D inputs. Received: "
            f"query.shape={shapes[0]}, key.shape={shapes[1]}, value.shape={shapes[2]}."
        )
    return (*shapes[0][:3], shapes[2][3])


@composed(
    "DotProductAttention",
    home="nn",
    config="is_causal flash_attention attn_logits_soft_cap",
    shape=_attended_shape,
    dtype="float32",
)
def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    scale: Any = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Any:
    """``softmax(query key^T scale + bias) value`` for each head; arrays are (batch, time, heads, features).

    `mask` is True where a query may look; `scale` is by default 1 by the root of the number of features; fewer heads
    of `key` and `value` serve groups of queries. `flash_attention` changes nothing.
    """
    _attended_shape(query, key, value)
    query, key, value = (as_floating(t) for t in (query, key, value))
    (_, t, heads, width), (_, s, groups, _) = sizes_of(query), sizes_of(key)
    if heads != groups:
        if heads % groups:
            raise ValueError(f"{heads} heads of the query cannot share {groups} heads of the key")
        key, value = (repeat(part, heads // groups, 2) for part in (key, value))
    logits = einsum("bthd,bshd->bhts", query, key) * (width**-0.5 if scale is None else scale)
    if attn_logits_soft_cap is not None:
        logits = tanh(logits / attn_logits_soft_cap) * attn_logits_soft_cap
    if bias is not None:
        logits = logits + bias
    allowed = cast(mask, "bool") if mask is not None else None
    if is_causal:
        causal = np.tri(t, s) > 0
        allowed = causal if allowed is None else allowed & causal
    if allowed is not None:
        logits = where(allowed, logits, -1e30)
    return einsum("bhts,bshd->bthd", softmax(logits, -1), value)


# ---- distances and classes


@composed("CDist", home="math", dtype="float32")
def cdist(x: Any, y: Any) -> Any:
    """Distances of each row of `x` from each row of `y`."""
    if len(shape_of(x)) < 2 or len(shape_of(y)) < 2:
        raise ValueError(f"cdist needs matrices, got shapes {shape_of(x)} and {shape_of(y)}")
    return _root(sum(square(as_floating(expand_dims(x, -2)) - as_floating(expand_dims(y, -3))), -1))


def _hot_shape(inputs: Any, num_classes: int, axis: int, dtype: Any, sparse: bool) -> Any:
    if sparse:
        raise ValueError("sparse=True is not supported")
    shape = list(shape_of(inputs))
    shape.insert(axis if axis >= 0 else len(shape) + 1 + axis, num_classes)
    del shape[1 if len(shape) > 2 else 0]
    return tuple(shape)


@operation(
    "MultiHot",
    home="nn",
    config="num_classes axis dtype sparse",
    shape=_hot_shape,
    dtype=lambda inputs, num_classes, axis, dtype, sparse: dtype_name(dtype),
    exact=True,
)
def _multi_hot(inputs: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False) -> Any:
    _hot_shape(inputs, num_classes, axis, dtype, sparse)
    return max(one_hot(inputs, num_classes, axis, dtype), 1 if np.ndim(inputs) > 1 else 0)


def multi_hot(
    inputs: Any,
    num_classes: int | None = None,
    axis: int = -1,
    dtype: Any = None,
    sparse: bool = False,
    **kwargs: Any,
) -> Any:
    """1 at the places that any of a row's integers names, 0 at the others."""
    classes = kwargs.pop("num_tokens", None) if num_classes is None else num_classes
    if classes is None:
        raise ValueError("Argument `num_classes` must be specified.")
    return _multi_hot(inputs, classes, axis, str(np.dtype(dtype or "float32")), sparse)
