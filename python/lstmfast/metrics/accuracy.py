# SPDX-License-Identifier: BSD-3-Clause
"""How often a prediction is right, for labels in their several forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .base import Array, NamedMean, same_rank

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "accuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]

X = npt.ArrayLike


def accuracy(y_true: X, y_pred: X) -> Array:
    """Whether numbers are equal."""
    a, b = same_rank(np.asarray(y_true), np.asarray(y_pred))
    _same_shape(a, b)
    return np.asarray(a == b, np.float32)


def binary_accuracy(y_true: X, y_pred: X, threshold: float = 0.5) -> Array:
    """Whether a probability is on the side of `threshold` that the label 0 or 1 says."""
    a, b = same_rank(np.asarray(y_true), np.asarray(y_pred))
    _same_shape(a, b)
    return np.asarray((b > threshold) == a, np.float32)


def categorical_accuracy(y_true: X, y_pred: X) -> Array:
    """Whether the largest probability is that of the one-hot label's class."""
    a, b = np.asarray(y_true), np.asarray(y_pred)
    _same_shape(a, b)
    return np.asarray(a.argmax(axis=-1) == b.argmax(axis=-1), np.float32)


def sparse_categorical_accuracy(y_true: X, y_pred: X) -> Array:
    """Whether the largest probability is that of the class number."""
    a, b = np.asarray(y_true), np.asarray(y_pred)
    if a.ndim == b.ndim and a.shape[-1] == 1:
        a = a[..., 0]
    if a.shape != b.shape[:-1]:
        raise ValueError(
            f"y_true: expected class numbers of shape {b.shape[:-1]} for predictions of {b.shape}, got "
            f"{a.shape}"
        )
    return np.asarray(b.argmax(axis=-1) == a, np.float32)


def top_k_categorical_accuracy(y_true: X, y_pred: X, k: int = 5) -> Array:
    """Whether the one-hot label's class is among the `k` most probable."""
    a, b = np.asarray(y_true), np.asarray(y_pred)
    _same_shape(a, b)
    return _in_top_k(a.argmax(axis=-1), b, k)


def sparse_top_k_categorical_accuracy(
    y_true: X, y_pred: X, k: int = 5, from_sorted_ids: bool = False
) -> Array:
    """Whether the class number is among the `k` most probable, or the first `k` of sorted class numbers."""
    a, b = np.asarray(y_true), np.asarray(y_pred)
    if a.ndim == b.ndim and a.shape[-1] == 1:
        a = a[..., 0]
    if from_sorted_ids:
        return np.asarray((a[..., None] == b[..., :k]).any(axis=-1), np.float32)
    return _in_top_k(a.astype(np.int64), b, k)


def _in_top_k(labels: Array, scores: Array, k: int) -> Array:
    # Ties count as right, and a label that is no class as wrong, as in Keras.
    classes = scores.shape[-1]
    valid = (labels >= 0) & (labels < classes)
    own = np.take_along_axis(scores, np.where(valid, labels, 0)[..., None], axis=-1)
    return np.asarray(valid & np.isfinite(own[..., 0]) & ((scores > own).sum(axis=-1) < k), np.float32)


def _same_shape(a: Array, b: Array) -> None:
    if a.shape != b.shape:
        raise ValueError(f"y_true: expected shape {b.shape} as y_pred has, got {a.shape}")


class Accuracy(NamedMean):
    """How often predicted labels equal the true ones.

    Examples
    --------
    >>> from lstmfast.metrics import Accuracy
    >>> round(float(Accuracy()([1, 2, 3, 4], [1, 2, 3, 0])), 4)
    0.75
    """

    default_name = "accuracy"
    _direction = "up"
    _function = accuracy


class BinaryAccuracy(NamedMean):
    """How often probabilities are on the right side of a threshold.

    Parameters
    ----------
    name, dtype
        As for `Metric`.
    threshold : float
        0 for predictions that are logits (`from_logits=True` of the loss).

    Examples
    --------
    >>> from lstmfast.metrics import BinaryAccuracy
    >>> BinaryAccuracy()([[1], [1], [0], [0]], [[0.98], [1], [0], [0.6]])
    0.75
    """

    default_name = "binary_accuracy"
    _direction = "up"
    _function = binary_accuracy

    def __init__(self, name: str | None = None, dtype: Any = None, threshold: float = 0.5) -> None:
        super().__init__(name=name, dtype=dtype, threshold=threshold)
        self.threshold = threshold

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "threshold": self.threshold}


class CategoricalAccuracy(NamedMean):
    """How often the most probable class is the one-hot label's.

    Examples
    --------
    >>> from lstmfast.metrics import CategoricalAccuracy
    >>> round(float(CategoricalAccuracy()([[0, 1], [1, 0]], [[0.2, 0.8], [0.3, 0.7]])), 4)
    0.5
    """

    default_name = "categorical_accuracy"
    _direction = "up"
    _function = categorical_accuracy


class SparseCategoricalAccuracy(NamedMean):
    """How often the most probable class is the label.

    Examples
    --------
    >>> from lstmfast.metrics import SparseCategoricalAccuracy
    >>> SparseCategoricalAccuracy()([2, 1], [[0.1, 0.6, 0.3], [0.05, 0.95, 0]])
    0.5
    """

    default_name = "sparse_categorical_accuracy"
    _direction = "up"
    _function = sparse_categorical_accuracy


class TopKCategoricalAccuracy(NamedMean):
    """How often the one-hot label's class is among the `k` most probable.

    Parameters
    ----------
    k : int
    name, dtype
        As for `Metric`.

    Examples
    --------
    >>> from lstmfast.metrics import TopKCategoricalAccuracy
    >>> round(float(TopKCategoricalAccuracy(k=2)([[0, 0, 1], [1, 0, 0]], [[0.5, 0.2, 0.3], [0.1, 0.5, 0.4]])), 4)
    0.5
    """

    default_name = "top_k_categorical_accuracy"
    _direction = "up"
    _function = top_k_categorical_accuracy

    def __init__(self, k: int = 5, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype, k=k)
        self.k = k

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "k": self.k}


class SparseTopKCategoricalAccuracy(NamedMean):
    """How often the label is among the `k` most probable classes.

    Parameters
    ----------
    k : int
    name, dtype
        As for `Metric`.
    from_sorted_ids : bool
        Predictions are class numbers, the most probable first.

    Examples
    --------
    >>> from lstmfast.metrics import SparseTopKCategoricalAccuracy
    >>> round(float(SparseTopKCategoricalAccuracy(k=2)([2, 0], [[0.5, 0.2, 0.3], [0.1, 0.5, 0.4]])), 4)
    0.5
    """

    default_name = "sparse_top_k_categorical_accuracy"
    _direction = "up"
    _function = sparse_top_k_categorical_accuracy

    def __init__(
        self, k: int = 5, name: str | None = None, dtype: Any = None, from_sorted_ids: bool = False
    ) -> None:
        super().__init__(name=name, dtype=dtype, k=k, from_sorted_ids=from_sorted_ids)
        self.k = k
        self.from_sorted_ids = from_sorted_ids

    def get_config(self) -> dict[str, Any]:
        extra = {"from_sorted_ids": True} if self.from_sorted_ids else {}
        return {**super().get_config(), "k": self.k, **extra}
