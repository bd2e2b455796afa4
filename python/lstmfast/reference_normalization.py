# SPDX-License-Identifier: BSD-3-Clause
"""Normalization of rows in plain NumPy float64: a part of `reference.py`."""

from __future__ import annotations

import numpy as np

from .reference_cells import Array, _f64


def layer_norm_forward(
    x: Array, gamma: Array | None, beta: Array | None, epsilon: float, centered: bool = True
) -> tuple[Array, Array]:
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta`` of each row of x (M, C); and mean and 1 / sqrt, (M, 2).

    Not centered: the mean is taken for 0 (Zhang and Sennrich 2019).
    """
    x = _f64(x)
    mean = x.mean(axis=1, keepdims=True) if centered else np.zeros((len(x), 1))
    scale = 1 / np.sqrt(((x - mean) ** 2).mean(axis=1, keepdims=True) + epsilon)
    y = (x - mean) * scale * (1 if gamma is None else _f64(gamma)) + (0 if beta is None else _f64(beta))
    return y, np.hstack([mean, scale])


def layer_norm_backward(
    x: Array, dy: Array, gamma: Array | None, epsilon: float, centered: bool = True
) -> tuple[Array, Array, Array]:
    """(dx, dgamma, dbeta)."""
    x, dy = _f64(x), _f64(dy)
    _, moments = layer_norm_forward(x, None, None, epsilon, centered)
    normal = (x - moments[:, :1]) * moments[:, 1:]
    e = dy * (1 if gamma is None else _f64(gamma))
    through = normal * (e * normal).mean(axis=1, keepdims=True)
    if centered:
        through = through + e.mean(axis=1, keepdims=True)
    return moments[:, 1:] * (e - through), (dy * normal).sum(axis=0), dy.sum(axis=0)
