# SPDX-License-Identifier: BSD-3-Clause
"""Circle loss: samples of a class close together, those of different classes apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .arrays import Array, numeric
from .base import Loss
from .crossentropy import class_numbers

__all__ = ["Circle", "circle_values"]


class Circle(Loss):
    """Distances within classes against those between (Sun et al. 2020), in Keras's form. Predictions (B, D) are
    embeddings of norm 1, targets (B,) class numbers.

    Parameters
    ----------
    gamma : float
        Scale.
    margin : float
        Below this distance pairs of a class count for little, above 1 minus it pairs of two.
    remove_diagonal : bool
        A sample is not a pair with itself.
    reduction, name, dtype
        As for `Loss`. Samples without another of their class, or without one of another class, do not count.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.losses import Circle
    >>> apart = np.float32([[1, 0], [1, 0], [0, 1], [0, 1]])
    >>> bool(Circle()([0, 0, 1, 1], apart) < Circle()([0, 1, 0, 1], apart))
    True
    """

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        remove_diagonal: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str = "circle",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.gamma = gamma
        self.margin = margin
        self.remove_diagonal = remove_diagonal

    def call_and_grad(self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> tuple[Array, Array]:
        p = np.asarray(y_pred, np.float32)
        labels = _labels(y_true, p, "y_true")
        values, slope = circle_values(labels, p, labels, p, self.remove_diagonal, self.gamma, self.margin)
        return values, -((slope + slope.T) @ p.astype(np.float64)).astype(np.float32)

    def value_and_grad(
        self,
        y_true: npt.ArrayLike,
        y_pred: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | None = None,
    ) -> tuple[Any, Array]:
        p = np.asarray(y_pred, np.float32)
        labels = _labels(y_true, p, "y_true")
        values, slope = circle_values(labels, p, labels, p, self.remove_diagonal, self.gamma, self.margin)
        counted = values > 0
        if mask is not None:
            counted &= np.broadcast_to(np.asarray(mask, np.bool_), counted.shape)
        weights = self._weights(values.shape, sample_weight, counted)
        slope *= weights[:, None]
        grad = -((slope + slope.T) @ p.astype(np.float64))
        return self._reduce(values, weights, values.shape, y_true), grad.astype(np.float32)

    def check_targets(
        self, y_true: npt.ArrayLike, output_shape: Sequence[int | None], name: str = "y"
    ) -> None:
        y = numeric(y_true, name)
        if y.shape[1:] not in ((), (1,)):
            raise ValueError(
                f"{name}: expected class numbers of shape (B,) for loss {self.name!r}, got {y.shape}"
            )
        class_numbers(y, name)

    def get_config(self) -> dict[str, Any]:
        names = ("gamma", "margin", "remove_diagonal")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _labels(y_true: Any, p: Array, name: str) -> Array:
    y = numeric(y_true, name)
    if p.ndim != 2 or y.shape not in ((len(p),), (len(p), 1)):
        raise ValueError(
            f"{name}: expected class numbers of shape (B,) and embeddings (B, D), got {y.shape} and {p.shape}"
        )
    return class_numbers(y.reshape(len(p)), name)


def circle_values(
    labels: Array,
    p: Array,
    ref_labels: Array,
    ref: Array,
    remove_diagonal: bool,
    gamma: float,
    margin: float,
) -> tuple[Array, Array]:
    """The loss of each row of `p` against all rows of `ref`, and its derivative by each cosine distance, float64."""
    wide = np.float64
    distance = np.maximum(1 - p.astype(wide) @ ref.astype(wide).T, 0)
    positive = labels[:, None] == ref_labels[None, :]
    negative = ~positive
    if remove_diagonal:
        positive = positive & (np.eye(*positive.shape) == 0)
    near = np.maximum(margin + distance, 0) * (margin - distance)
    far = np.maximum(1 + margin - distance, 0) * (1 - margin - distance)
    near_slope = np.where(margin + distance > 0, 2 * gamma * distance, 0)
    far_slope = np.where(1 + margin - distance > 0, gamma * (2 * distance - 2), 0)
    positive_sum, positive_part = _log_sum(-gamma * near, positive)
    negative_sum, negative_part = _log_sum(gamma * far, negative)
    total = positive_sum + negative_sum
    values = np.logaddexp(0, total)
    part = np.exp(total - values)  # the sigmoid of the total
    slope = part[:, None] * (positive_part * near_slope + negative_part * far_slope)
    return values.astype(np.float32), slope


def _log_sum(x: Array, counted: Array) -> tuple[Array, Array]:
    """The logarithm of each row's sum of exponentials of what counts, and each one's part in it."""
    x = np.where(counted, x, -np.inf)
    top = x.max(axis=1, keepdims=True, initial=-np.inf)
    e = np.exp(x - np.where(np.isfinite(top), top, 0))
    total = e.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        return (top + np.log(total))[:, 0], e / np.where(total > 0, total, 1)
