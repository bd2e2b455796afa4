# SPDX-License-Identifier: BSD-3-Clause
"""Activations that the native library computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .in_graphs import in_graphs

__all__ = [
    "elu",
    "exponential",
    "f32",
    "gelu",
    "hard_sigmoid",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
]

Array = npt.NDArray[Any]


def f32(x: npt.ArrayLike) -> Array:
    return np.ascontiguousarray(x, np.float32).reshape(
        np.shape(x)
    )  # ascontiguousarray makes a vector of a scalar


@in_graphs
def linear(x: npt.ArrayLike) -> Array:
    """``x``."""
    return np.asarray(x)


@in_graphs
def relu(
    x: npt.ArrayLike, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Array:
    """``max(x, 0)``; below `threshold` ``negative_slope * (x - threshold)``, at most `max_value`.

    Examples
    --------
    >>> from lstmfast import activations
    >>> activations.relu([-1.0, 2.0])
    array([0., 2.], dtype=float32)
    """
    x = f32(x)
    if negative_slope == 0.0 and max_value is None and threshold == 0.0:
        return _core.activation_forward("relu", x)
    y = np.where(
        x >= threshold if max_value is not None and threshold == 0 else x > threshold, x, np.float32(0)
    )
    if max_value is not None:
        y = np.clip(y, np.float32(0), np.float32(max_value))
    return y - np.float32(negative_slope) * np.maximum(np.float32(threshold) - x, np.float32(0))


@in_graphs
def relu6(x: npt.ArrayLike) -> Array:
    """``min(max(x, 0), 6)``."""
    return _core.activation_forward("relu6", f32(x))


@in_graphs
def leaky_relu(x: npt.ArrayLike, negative_slope: float = 0.2) -> Array:
    """``x`` above 0, else ``negative_slope * x``."""
    x = f32(x)
    if negative_slope == 0.2:
        return _core.activation_forward("leaky_relu", x)
    return np.where(x > 0, x, np.float32(negative_slope) * x)


@in_graphs
def sigmoid(x: npt.ArrayLike) -> Array:
    """``1 / (1 + exp(-x))``."""
    return _core.activation_forward("sigmoid", f32(x))


@in_graphs
def tanh(x: npt.ArrayLike) -> Array:
    """Hyperbolic tangent."""
    return _core.activation_forward("tanh", f32(x))


@in_graphs
def softmax(x: npt.ArrayLike, axis: int | Sequence[int] = -1) -> Array:
    """``exp(x) / sum(exp(x))`` along an axis, or over several together."""
    x = f32(x)
    if isinstance(axis, (tuple, list)):
        axes = [one % x.ndim for one in axis]
        order = [one for one in range(x.ndim) if one not in axes] + axes
        moved = np.transpose(x, order)
        together = moved.reshape(*moved.shape[: x.ndim - len(axes)], -1)
        return np.ascontiguousarray(np.transpose(softmax(together).reshape(moved.shape), np.argsort(order)))
    if axis in (-1, x.ndim - 1):
        return _core.activation_forward("softmax", x)
    moved = np.ascontiguousarray(np.moveaxis(x, axis, -1))
    return np.ascontiguousarray(np.moveaxis(_core.activation_forward("softmax", moved), -1, axis))


@in_graphs
def elu(x: npt.ArrayLike, alpha: float = 1.0) -> Array:
    """``x`` above 0, else ``alpha * (exp(x) - 1)`` (Clevert et al. 2016)."""
    x = f32(x)
    if alpha == 1.0:
        return _core.activation_forward("elu", x)
    return np.where(x > 0, x, np.float32(alpha) * np.expm1(np.minimum(x, 0)))


@in_graphs
def selu(x: npt.ArrayLike) -> Array:
    """Scaled exponential linear unit (Klambauer et al. 2017)."""
    return _core.activation_forward("selu", f32(x))


@in_graphs
def gelu(x: npt.ArrayLike, approximate: bool = False) -> Array:
    """``x`` times the normal distribution function of ``x`` (Hendrycks and Gimpel 2016), or its
    approximation by tanh."""
    return _core.activation_forward("gelu_tanh" if approximate else "gelu", f32(x))


@in_graphs
def silu(x: npt.ArrayLike) -> Array:
    """``x * sigmoid(x)``, also named swish."""
    return _core.activation_forward("silu", f32(x))


@in_graphs
def softplus(x: npt.ArrayLike) -> Array:
    """``log(1 + exp(x))``."""
    return _core.activation_forward("softplus", f32(x))


@in_graphs
def softsign(x: npt.ArrayLike) -> Array:
    """``x / (1 + |x|)``."""
    return _core.activation_forward("softsign", f32(x))


@in_graphs
def exponential(x: npt.ArrayLike) -> Array:
    """``exp(x)``."""
    return _core.activation_forward("exponential", f32(x))


@in_graphs
def hard_sigmoid(x: npt.ArrayLike) -> Array:
    """``x / 6 + 0.5``, from 0 to 1. Keras 1 and 2 had ``0.2 * x + 0.5`` under this name."""
    return _core.activation_forward("hard_sigmoid", f32(x))


@in_graphs
def hard_tanh(x: npt.ArrayLike) -> Array:
    """``x``, from -1 to 1."""
    return _core.activation_forward("hard_tanh", f32(x))
