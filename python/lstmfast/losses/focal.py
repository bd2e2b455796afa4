# SPDX-License-Identifier: BSD-3-Clause
"""Cross-entropies that ease off: focal ones count what is already right for less, the generalized one what is
hopelessly wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import activations
from .arrays import Array
from .base import RowLoss
from .crossentropy import ProbabilityLoss, SparseCategoricalCrossentropy, check_axis, check_range

__all__ = ["BinaryFocalCrossentropy", "CategoricalFocalCrossentropy", "CategoricalGeneralizedCrossEntropy"]

_EPSILON = np.float32(1e-7)  # keras.config.epsilon()
_ONE = np.float32(1)


class BinaryFocalCrossentropy(ProbabilityLoss):
    """Binary cross-entropy times ``(1 - p_t)**gamma``, `p_t` the probability given to the right answer (Lin et
    al. 2017); averaged over an axis.

    Parameters
    ----------
    apply_class_balancing : bool
        Multiply by `alpha` where the target is 1 and by ``1 - alpha`` where it is 0.
    alpha : float
    gamma : float
        How much less what is right already counts; 0 for the plain cross-entropy.
    from_logits, label_smoothing, axis, reduction, name, dtype
        As for `BinaryCrossentropy`.

    Examples
    --------
    >>> from lstmfast.losses import BinaryFocalCrossentropy
    >>> round(float(BinaryFocalCrossentropy()([[0, 1]], [[0.1, 0.6]])), 4)
    0.0414
    """

    default_name = "binary_focal_crossentropy"
    _arguments = (*ProbabilityLoss._arguments, "apply_class_balancing", "alpha", "gamma")

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)
        self.apply_class_balancing = apply_class_balancing
        self.alpha, self.gamma = alpha, gamma

    def _plain(self, y: Array, p: Array) -> tuple[Array, Array]:
        y = self._smoothed(y, 2)
        if self.from_logits:
            p = activations.sigmoid(p)
        q = np.clip(p, _EPSILON, _ONE - _EPSILON)
        entropy = -(y * np.log(q) + (1 - y) * np.log1p(-q))
        slope = np.where(p == q, (q - y) / (q * (1 - q)), np.float32(0))
        factor, factor_slope = _focus(1 - (y * p + (1 - y) * (1 - p)), self.gamma)
        values = factor * entropy
        grad = factor * slope + factor_slope * (1 - 2 * y) * entropy
        if self.apply_class_balancing:
            balance = y * np.float32(self.alpha) + (1 - y) * np.float32(1 - self.alpha)
            values, grad = values * balance, grad * balance
        if self.from_logits:
            grad = grad * p * (1 - p)
        return values.mean(axis=1), grad / np.float32(p.shape[1])


class CategoricalFocalCrossentropy(ProbabilityLoss):
    """``-sum_c alpha_c (1 - p_c)**gamma t_c log(p_c)``, targets one-hot (Lin et al. 2017).

    Parameters
    ----------
    alpha : float or sequence of float
        A factor for all classes or one for each.
    gamma : float
        How much less what is right already counts.
    from_logits, label_smoothing, axis, reduction, name, dtype
        As for `CategoricalCrossentropy`.

    Examples
    --------
    >>> from lstmfast.losses import CategoricalFocalCrossentropy
    >>> round(float(CategoricalFocalCrossentropy()([[0, 1, 0]], [[0.1, 0.8, 0.1]])), 5)
    0.00223
    """

    default_name = "categorical_focal_crossentropy"
    _arguments = (*ProbabilityLoss._arguments, "alpha", "gamma")

    def __init__(
        self,
        alpha: float | Sequence[float] = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        check_axis(axis)
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)
        self.alpha, self.gamma = alpha, gamma

    def _plain(self, y: Array, p: Array) -> tuple[Array, Array]:
        classes = p.shape[1]
        alpha = np.asarray(self.alpha, np.float32)
        if alpha.ndim and alpha.shape != (classes,):
            raise ValueError(
                f"alpha: expected one number or one for each of {classes} classes, got {self.alpha}"
            )
        y = self._smoothed(y, classes)
        if self.from_logits:
            p = activations.softmax(p)
        total = p.sum(axis=1, keepdims=True)
        q = p / total
        kept = np.clip(q, _EPSILON, _ONE - _EPSILON)
        log = np.log(kept)
        factor, factor_slope = _focus(1 - kept, self.gamma)
        weight = -alpha * y
        dq = np.where(q == kept, weight * (factor / kept - factor_slope * log), np.float32(0))
        grad = (dq - (dq * q).sum(axis=1, keepdims=True)) / total
        if self.from_logits:
            grad = p * (grad - (grad * p).sum(axis=1, keepdims=True))
        return (weight * factor * log).sum(axis=1), grad


def _focus(missing: Array, gamma: float) -> tuple[Array, Array]:
    """``missing**gamma`` and its derivative."""
    if gamma == 0:
        return np.ones_like(missing), np.zeros_like(missing)
    missing = np.maximum(missing, np.float32(0))  # 1 - (a + b) may round to just below
    with np.errstate(divide="ignore"):
        return missing ** np.float32(gamma), np.float32(gamma) * missing ** np.float32(gamma - 1)


class CategoricalGeneralizedCrossEntropy(RowLoss):
    """``(1 - p[t]**q) / q``, targets class numbers: between cross-entropy (`q` towards 0) and absolute error
    (towards 1), for labels some of which are wrong (Zhang and Sabuncu 2018).

    Parameters
    ----------
    q : float
        Between 0 and 1.
    reduction, name, dtype
        As for `Loss`.

    Raises
    ------
    ValueError
        If `q` is not between 0 and 1; in a call: if a class number is out of range or not whole.

    Notes
    -----
    The gradient takes probabilities below 1e-7 for 1e-7: it is infinite at 0.

    Examples
    --------
    >>> from lstmfast.losses import CategoricalGeneralizedCrossEntropy
    >>> round(float(CategoricalGeneralizedCrossEntropy(0.5)([1], [[0.36, 0.64]])), 3)
    0.4
    """

    default_name = "categorical_generalized_cross_entropy"

    def __init__(
        self,
        q: float = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        if not 0 < q < 1:
            raise ValueError("q must be in the interval (0, 1)")
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        self.q = q
        self._labels = SparseCategoricalCrossentropy()

    def _paired(
        self, y_true: Any, y_pred: Any, sample_weight: Any, mask: Any
    ) -> tuple[Array, Array, tuple[int, ...]]:
        return self._labels._paired(y_true, y_pred, sample_weight, mask)

    def _plain(self, y: Array, p: Array) -> tuple[Array, Array]:
        check_range(y, p.shape[1], "y_true")
        row = np.arange(len(y))
        right = p[row, y]
        grad = np.zeros_like(p)
        grad[row, y] = -(np.maximum(right, _EPSILON) ** np.float32(self.q - 1))
        return (1 - right ** np.float32(self.q)) / np.float32(self.q), grad

    def check_targets(
        self, y_true: npt.ArrayLike, output_shape: Sequence[int | None], name: str = "y"
    ) -> None:
        self._labels.check_targets(y_true, output_shape, name)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "q": self.q}
