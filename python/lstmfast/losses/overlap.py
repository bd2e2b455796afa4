# SPDX-License-Identifier: BSD-3-Clause
"""Losses by how much of two sets is common: for few positives among many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .arrays import Array, numeric
from .base import Loss, RowLoss

__all__ = ["Dice", "Tversky"]

_EPSILON = np.float32(1e-7)  # keras.config.epsilon()


class _Overlap(Loss):
    """One value for all that lies along `axis`: of the whole batch by default."""

    def __init__(
        self, reduction: str | None, name: str, axis: int | Sequence[int] | None, dtype: Any
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.axis = axis

    def _score(self, y: Array, p: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
        """Values with the axes kept at length 1, and the derivatives of their sum."""
        raise NotImplementedError

    def _pieces(self, y_true: Any, y_pred: Any) -> tuple[Array, Array, tuple[int, ...]]:
        p = np.ascontiguousarray(y_pred, np.float32).reshape(np.shape(y_pred))
        y = numeric(y_true, "y_true")
        if y.shape != p.shape:
            y, p = RowLoss._same_rank(y, p, 0)
            if y.shape != p.shape:
                raise ValueError(
                    f"y_true: expected shape {p.shape} as y_pred has for loss {self.name!r}, got {y.shape}"
                )
        axis = range(p.ndim) if self.axis is None else self.axis
        given = (axis,) if isinstance(axis, int) else tuple(axis)
        if any(not -p.ndim <= a < p.ndim for a in given):
            raise ValueError(f"axis: expected axes of y_pred of shape {p.shape}, got {self.axis}")
        axes = tuple(sorted({a % p.ndim for a in given}))
        values, grad = self._score(y.astype(np.float32), p, axes)
        return values, grad, axes

    def call_and_grad(self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> tuple[Array, Array]:
        values, grad, axes = self._pieces(y_true, y_pred)
        return np.squeeze(values, axes), grad.reshape(np.shape(y_pred))

    def value_and_grad(
        self,
        y_true: npt.ArrayLike,
        y_pred: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | None = None,
    ) -> tuple[Any, Array]:
        kept, grad, axes = self._pieces(y_true, y_pred)
        values = np.squeeze(kept, axes)
        if values.ndim:
            weights = self._weights(values.shape, sample_weight, mask)
            grad = (grad * weights.reshape(kept.shape)).reshape(np.shape(y_pred))
            return self._reduce(values.reshape(-1), weights, values.shape, y_true), grad
        # One value for all: as in Keras it counts once with each weight.
        shapes = [np.shape(w) for w in (mask, sample_weight) if w is not None]
        shape = max(shapes, key=len, default=())
        weights = self._weights(shape, sample_weight, mask)
        every = np.full(weights.size, values, np.float32)
        grad = (grad * weights.sum()).reshape(np.shape(y_pred))
        return self._reduce(every, weights, shape, y_true), grad

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}


class Dice(_Overlap):
    """``1 - 2 sum(t p) / (sum(t) + sum(p))`` (Milletari et al. 2016, with the plain sums of Dice 1945).

    Parameters
    ----------
    reduction : str or None
        As for `Loss`.
    name : str
    axis : int or sequence of int, optional
        What is summed: everything by default, then one value comes of a batch. ``axis=(1, 2)`` gives one for
        each sequence (B, T, C).
    dtype : str, optional

    Examples
    --------
    >>> from lstmfast.losses import Dice
    >>> round(float(Dice()([[1.0, 1.0, 0.0]], [[0.5, 1.0, 0.5]])), 3)
    0.25
    """

    def __init__(
        self,
        reduction: str | None = "sum_over_batch_size",
        name: str = "dice",
        axis: int | Sequence[int] | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, axis, dtype)

    def _score(self, y: Array, p: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
        common = (y * p).sum(axis=axes, keepdims=True)
        total = y.sum(axis=axes, keepdims=True) + p.sum(axis=axes, keepdims=True) + _EPSILON
        return 1 - 2 * common / total, 2 * (common / total - y) / total


class Tversky(_Overlap):
    """``1 - c / (c + alpha sum(t (1 - p)) + beta sum((1 - t) p))`` with ``c = sum(t p)`` (Salehi et al. 2017).

    Parameters
    ----------
    alpha : float
        What a missed positive costs.
    beta : float
        What a false alarm costs.
    reduction, name, axis, dtype
        As for `Dice`, which this is with both 0.5.

    Examples
    --------
    >>> from lstmfast.losses import Tversky
    >>> round(float(Tversky(alpha=1.0, beta=0.0)([[1.0, 1.0, 0.0]], [[0.5, 1.0, 0.5]])), 3)
    0.25
    """

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str = "tversky",
        axis: int | Sequence[int] | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, axis, dtype)
        self.alpha = alpha
        self.beta = beta

    def _score(self, y: Array, p: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
        alpha, beta = np.float32(self.alpha), np.float32(self.beta)
        common = (y * p).sum(axis=axes, keepdims=True)
        missed = (y * (1 - p)).sum(axis=axes, keepdims=True)
        false = ((1 - y) * p).sum(axis=axes, keepdims=True)
        total = common + alpha * missed + beta * false + _EPSILON
        slope = y - alpha * y + beta * (1 - y)  # of the total
        return 1 - common / total, (common * slope / total - y) / total

    def get_config(self) -> dict[str, Any]:
        return {**Loss.get_config(self), "alpha": self.alpha, "beta": self.beta, "axis": self.axis}
