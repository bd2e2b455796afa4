# SPDX-License-Identifier: BSD-3-Clause
"""Activations of float64 arrays, in NumPy: the native kernels compute in float32."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_erf = np.vectorize(math.erf, otypes=[np.float64])
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def sigmoid(x: Array) -> Array:
    return np.asarray(np.exp(log_sigmoid(x)))


def log_sigmoid(x: Array) -> Array:
    return np.asarray(-np.logaddexp(0, -x))


def relu6(x: Array) -> Array:
    return np.clip(x, 0, 6)


def leaky_relu(x: Array, negative_slope: float) -> Array:
    return np.where(x > 0, x, negative_slope * x)


def elu(x: Array, alpha: float) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def selu(x: Array) -> Array:
    return _SELU_SCALE * elu(x, _SELU_ALPHA)


def celu(x: Array, alpha: float) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha))


def gelu(x: Array, approximate: bool) -> Array:
    if approximate:
        return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))
    return np.asarray(0.5 * x * (1 + _erf(x / math.sqrt(2))))


def silu(x: Array) -> Array:
    return x * sigmoid(x)


def softplus(x: Array) -> Array:
    return np.asarray(np.logaddexp(0, x))


def softsign(x: Array) -> Array:
    return np.asarray(x / (1 + np.abs(x)))


def hard_sigmoid(x: Array) -> Array:
    return np.clip(x / 6 + 0.5, 0, 1)


def hard_silu(x: Array) -> Array:
    return x * hard_sigmoid(x)


def hard_tanh(x: Array) -> Array:
    return np.clip(x, -1, 1)


def squareplus(x: Array, b: float) -> Array:
    return np.asarray((x + np.sqrt(x * x + b)) / 2)


def log_softmax(x: Array, axis: int) -> Array:
    shifted = x - x.max(axis=axis, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True)))


def softmax(x: Array, axis: int) -> Array:
    return np.asarray(np.exp(log_softmax(x, axis)))
