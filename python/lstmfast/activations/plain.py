# SPDX-License-Identifier: BSD-3-Clause
"""The rarer activations and their derivatives, in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .in_graphs import in_graphs
from .native import f32, hard_sigmoid, sigmoid, softplus, tanh

__all__ = [
    "GRADIENTS",
    "celu",
    "glu",
    "hard_shrink",
    "hard_silu",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu_slope",
    "soft_shrink",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "tanh_shrink",
    "threshold",
]

Array = npt.NDArray[Any]


@in_graphs
def celu(x: npt.ArrayLike, alpha: float = 1.0) -> Array:
    """``x`` above 0, else ``alpha * (exp(x / alpha) - 1)`` (Barron 2017)."""
    x = f32(x)
    return np.maximum(x, 0) + np.float32(alpha) * np.expm1(np.minimum(x, 0) / np.float32(alpha))


@in_graphs
def glu(x: npt.ArrayLike, axis: int = -1) -> Array:
    """First half of an axis times the sigmoid of the second (Dauphin et al. 2017)."""
    x = f32(x)
    if x.shape[axis] % 2:
        raise ValueError(f"axis size must be divisible by 2. Received: x.shape={x.shape} with axis={axis}")
    a, b = np.split(x, 2, axis)
    return a * sigmoid(b)


@in_graphs
def hard_shrink(x: npt.ArrayLike, threshold: float = 0.5) -> Array:
    """``x``, but 0 from -threshold to threshold."""
    x = f32(x)
    return np.where(np.abs(x) > threshold, x, np.float32(0))


@in_graphs
def hard_silu(x: npt.ArrayLike) -> Array:
    """``x * hard_sigmoid(x)``, also named hard_swish (Howard et al. 2019)."""
    x = f32(x)
    return x * hard_sigmoid(x)


@in_graphs
def log_sigmoid(x: npt.ArrayLike) -> Array:
    """``log(sigmoid(x))``."""
    return -softplus(-f32(x))


@in_graphs
def log_softmax(x: npt.ArrayLike, axis: int = -1) -> Array:
    """``x - log(sum(exp(x)))`` along an axis."""
    x = f32(x)
    shifted = x - x.max(axis=axis, keepdims=True)
    y: Array = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return y


@in_graphs
def mish(x: npt.ArrayLike) -> Array:
    """``x * tanh(softplus(x))`` (Misra 2020)."""
    x = f32(x)
    return x * tanh(softplus(x))


@in_graphs
def soft_shrink(x: npt.ArrayLike, threshold: float = 0.5) -> Array:
    """``x`` moved towards 0 by `threshold`, 0 if it is nearer than that."""
    x = f32(x)
    return np.sign(x) * np.maximum(np.abs(x) - np.float32(threshold), 0)


@in_graphs
def sparse_plus(x: npt.ArrayLike) -> Array:
    """0 below -1, ``x`` above 1, ``(x + 1)**2 / 4`` between."""
    x = f32(x)
    return np.where(x <= -1, np.float32(0), np.where(x < 1, np.float32(0.25) * (x + 1) ** 2, x))


@in_graphs
def sparse_sigmoid(x: npt.ArrayLike) -> Array:
    """``(x + 1) / 2``, from 0 to 1."""
    return np.clip(np.float32(0.5) * (f32(x) + 1), np.float32(0), np.float32(1))


@in_graphs
def sparsemax(x: npt.ArrayLike, axis: int = -1) -> Array:
    """The nearest point of the probability simplex (Martins and Astudillo 2016)."""
    z = np.moveaxis(f32(x), axis, -1)
    ordered = -np.sort(-z, axis=-1)
    total = np.cumsum(ordered, axis=-1)
    support = (ordered - (total - 1) / np.arange(1, z.shape[-1] + 1, dtype=np.float32) > 0).sum(
        -1, keepdims=True
    )
    tau = (np.take_along_axis(total, support - 1, -1) - 1) / support.astype(np.float32)
    return np.moveaxis(np.maximum(z - tau, np.float32(0)), -1, axis)


@in_graphs
def squareplus(x: npt.ArrayLike, b: float = 4) -> Array:
    """``(x + sqrt(x**2 + b)) / 2`` (Barron 2021)."""
    x = f32(x)
    return np.float32(0.5) * (x + np.sqrt(x * x + np.float32(b)))


@in_graphs
def tanh_shrink(x: npt.ArrayLike) -> Array:
    """``x - tanh(x)``."""
    x = f32(x)
    return x - tanh(x)


@in_graphs
def threshold(x: npt.ArrayLike, threshold: float, default_value: float) -> Array:
    """``x`` above `threshold`, else `default_value`."""
    x = f32(x)
    return np.where(x > threshold, x, np.float32(default_value))


def _mish_gradient(x: Array, y: Array, dy: Array) -> Array:
    t, s = tanh(softplus(x)), sigmoid(x)
    dx: Array = dy * (t + x * s * (1 - t * t))
    return dx


def _glu_gradient(x: Array, y: Array, dy: Array) -> Array:
    a, b = np.split(x, 2, -1)
    s = sigmoid(b)
    return np.concatenate([dy * s, dy * a * s * (1 - s)], axis=-1)


def _sparsemax_gradient(x: Array, y: Array, dy: Array) -> Array:
    inside = y > 0
    mean = (dy * inside).sum(-1, keepdims=True) / inside.sum(-1, keepdims=True, dtype=np.float32)
    return np.where(inside, dy - mean, np.float32(0))


def relu_slope(x: Array, negative_slope: float, max_value: float | None, threshold: float) -> Array:
    """The derivative of `relu` with these arguments."""
    above: Any = np.float32(1)
    if max_value is not None:
        above = np.where(x < np.float32(max_value), above, np.float32(0))
    return np.where(x > np.float32(threshold), above, np.float32(negative_slope))


#: (x, y, dy) -> dx with default arguments, for those that the native library does not have.
GRADIENTS: dict[Any, Callable[[Array, Array, Array], Array]] = {
    celu: lambda x, y, dy: dy * np.exp(np.minimum(x, 0)),
    glu: _glu_gradient,
    hard_shrink: lambda x, y, dy: np.where(np.abs(x) > 0.5, dy, np.float32(0)),
    hard_silu: lambda x, y, dy: dy * np.where(x <= -3, 0, np.where(x < 3, x / 3 + np.float32(0.5), 1)),
    log_sigmoid: lambda x, y, dy: dy * sigmoid(-x),
    log_softmax: lambda x, y, dy: dy - np.exp(y) * dy.sum(axis=-1, keepdims=True),
    mish: _mish_gradient,
    soft_shrink: lambda x, y, dy: np.where(np.abs(x) > 0.5, dy, np.float32(0)),
    sparse_plus: lambda x, y, dy: dy * np.clip(np.float32(0.5) * (x + 1), 0, 1),
    sparse_sigmoid: lambda x, y, dy: np.where(np.abs(x) < 1, np.float32(0.5) * dy, np.float32(0)),
    sparsemax: _sparsemax_gradient,
    squareplus: lambda x, y, dy: dy * np.float32(0.5) * (1 + x / np.sqrt(x * x + 4)),
    tanh_shrink: lambda x, y, dy: dy * tanh(x) ** 2,
}
