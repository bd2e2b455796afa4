# SPDX-License-Identifier: BSD-3-Clause
"""Losses between numbers: squared, absolute, relative, and between directions, rates and distributions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _core
from .arrays import Array
from .base import RowLoss

__all__ = [
    "CosineSimilarity",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
]

_EPSILON = np.float32(1e-7)  # keras.config.epsilon()


class MeanSquaredError(RowLoss):
    """``mean((y_pred - y_true)**2)`` over the last axis.

    Examples
    --------
    >>> from lstmfast.losses import MeanSquaredError
    >>> float(MeanSquaredError()([[0.0, 1.0]], [[1.0, 1.0]]))
    0.5
    """

    default_name = "mean_squared_error"
    broadcasts = True

    def _rows(self, y: Array, p: Array, weights: Array) -> tuple[Array, Array]:
        return _core.mean_squared_error(p, y, weights)


class MeanAbsoluteError(RowLoss):
    """``mean(|y_pred - y_true|)`` over the last axis.

    Examples
    --------
    >>> from lstmfast.losses import MeanAbsoluteError
    >>> round(float(MeanAbsoluteError()([[0.0, 1.0]], [[1.0, 1.0]])), 4)
    0.5
    """

    default_name = "mean_absolute_error"
    broadcasts = True

    def _plain(self, y: Array, p: Array) -> tuple[Array, Array]:
        error = p - y
        return np.abs(error).mean(axis=1), np.sign(error) / p.shape[1]


class MeanAbsolutePercentageError(RowLoss):
    """``100 * mean(|y_pred - y_true| / |y_true|)`` over the last axis.

    Examples
    --------
    >>> from lstmfast.losses import MeanAbsolutePercentageError
    >>> round(float(MeanAbsolutePercentageError()([[2.0, 4.0]], [[1.0, 5.0]])), 4)
    37.5
    """

    default_name = "mean_absolute_percentage_error"
    broadcasts = True

    def _plain(self, y: Array, p: Array) -> tuple[Array, Array]:
        error = p - y
        size = np.maximum(np.abs(y), _EPSILON)
        return 100 * np.abs(error / size).mean(axis=1), np.sign(error) * (100 / p.shape[1]) / size


class MeanSquaredLogarithmicError(RowLoss):
    """``mean((log(1 + y_pred) - log(1 + y_true))**2)`` over the last axis; negative numbers count as 0.

    Examples
    --------
    >>> from lstmfast.losses import MeanSquaredLogarithmicError
    >>> round(float(MeanSquaredLogarithmicError()([[0.0]], [[1.718282]])), 4)
    1.0
    """

    default_name = "mean_squared_logarithmic_error"
    broadcasts = True

    def _plain(self, y: Array, p: Array) -> tuple[Array, Array]:
        kept = np.maximum(p, _EPSILON)
        error = np.log(kept + 1) - np.log(np.maximum(y, _EPSILON) + 1)
        return np.square(error).mean(axis=1), np.where(
            p == kept, error * (2 / p.shape[1]) / (kept + 1), np.float32(0)
        )


class Huber(RowLoss):
    """Squared below `delta`, absolute above (Huber 1964), averaged over the last axis.

    Parameters
    ----------
    delta : float
    reduction, name, dtype
        As for `Loss`.

    Examples
    --------
    >>> from lstmfast.losses import Huber
    >>> round(float(Huber()([[0.0, 0.0]], [[0.5, 3.0]])), 4)
    1.3125
    """

    default_name = "huber_loss"
    broadcasts = True

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        self.delta = delta

    def _plain(self, y: Array, p: Array) -> tuple[Array, Array]:
        error = p - y
        size = np.abs(error)
        values = np.where(size <= self.delta, 0.5 * error * error, self.delta * size - 0.5 * self.delta**2)
        return values.mean(axis=1), np.clip(error, -self.delta, self.delta) / p.shape[1]

    def get_config(self) -> dict[str, Any]:
        # Keras 3.15 forgets delta here; with it a reloaded configuration means the same.
        return {**super().get_config(), **({"delta": self.delta} if self.delta != 1.0 else {})}


class LogCosh(RowLoss):
    """``mean(log(cosh(y_pred - y_true)))`` over the last axis.

    Examples
    --------
    >>> from lstmfast.losses import LogCosh
    >>> round(float(LogCosh()([[0.0]], [[1.0]])), 4)
    0.4338
    """

    default_name = "log_cosh"
    broadcasts = True

    def _plain(self, y: Array, p: Array) -> tuple[Array, Array]:
        error = p - y
        size = np.abs(error)
        values = size + np.log1p(np.exp(-2 * size)) - np.float32(math.log(2.0))
        return values.mean(axis=1), np.tanh(error) / p.shape[1]


class KLDivergence(RowLoss):
    """``sum(y_true * log(y_true / y_pred))`` over the last axis (Kullback and Leibler 1951).

    Examples
    --------
    >>> from lstmfast.losses import KLDivergence
    >>> round(float(KLDivergence()([[1.0, 0.0]], [[0.5, 0.5]])), 4)
    0.6931
    """

    default_name = "kl_divergence"
    broadcasts = True

    def _plain(self, y: Array, p: Array) -> tuple[Array, Array]:
        y = np.clip(y, _EPSILON, 1)
        q = np.clip(p, _EPSILON, 1)
        return (y * np.log(y / q)).sum(axis=1), np.where(p == q, -y / q, np.float32(0))


class Poisson(RowLoss):
    """``mean(y_pred - y_true * log(y_pred))`` over the last axis: predictions are rates of counts.

    Examples
    --------
    >>> from lstmfast.losses import Poisson
    >>> round(float(Poisson()([[2.0]], [[1.0]])), 4)
    1.0
    """

    default_name = "poisson"
    broadcasts = True

    def _plain(self, y: Array, p: Array) -> tuple[Array, Array]:
        q = p + _EPSILON
        return (p - y * np.log(q)).mean(axis=1), (1 - y / q) / p.shape[1]


class CosineSimilarity(RowLoss):
    """Minus the cosine of the angle between two vectors along an axis.

    Parameters
    ----------
    axis : int
    reduction, name, dtype
        As for `Loss`.

    Examples
    --------
    >>> from lstmfast.losses import CosineSimilarity
    >>> round(float(CosineSimilarity()([[1.0, 0.0]], [[3.0, 0.0]])), 4)
    -1.0
    """

    default_name = "cosine_similarity"

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        self.axis = axis

    def _plain(self, y: Array, p: Array) -> tuple[Array, Array]:
        y_unit, _ = _unit(y)
        p_unit, p_norm = _unit(p)
        cosine = (y_unit * p_unit).sum(axis=1)
        return -cosine, (p_unit * cosine[:, None] - y_unit) / p_norm

    def get_config(self) -> dict[str, Any]:
        # Keras 3.15 forgets the axis here; with it a reloaded configuration means the same.
        return {**super().get_config(), **({"axis": self.axis} if self.axis != -1 else {})}


def _unit(x: Array) -> tuple[Array, Array]:
    norm = np.maximum(np.sqrt(np.square(x).sum(axis=1, keepdims=True)), np.float32(1e-6))
    return x / norm, norm
