# SPDX-License-Identifier: BSD-3-Clause
"""Counting true and false positives and negatives at many thresholds, by Keras's rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .base import same_rank

Array = npt.NDArray[Any]


#: As a metric's variables: (name, attribute) of `Metric._state`.
ALL_COUNTS = (
    ("true_positives", "counts.tp"),
    ("false_positives", "counts.fp"),
    ("true_negatives", "counts.tn"),
    ("false_negatives", "counts.fn"),
)


@dataclass
class Counts:
    """Weighted counts, each with one entry a threshold (and a label)."""

    tp: Array
    fp: Array
    tn: Array
    fn: Array

    @classmethod
    def zeros(cls, shape: tuple[int, ...]) -> Counts:
        return cls(*(np.zeros(shape) for _ in range(4)))

    def __iadd__(self, other: Counts) -> Counts:
        self.tp = self.tp + other.tp
        self.fp = self.fp + other.fp
        self.tn = self.tn + other.tn
        self.fn = self.fn + other.fn
        return self

    def precision(self) -> Array:
        return ratio(self.tp, self.tp + self.fp)

    def recall(self) -> Array:
        return ratio(self.tp, self.tp + self.fn)

    def specificity(self) -> Array:
        return ratio(self.tn, self.tn + self.fp)


class HasCounts:
    """A metric whose state is `counts`."""

    counts: Counts

    @property
    def true_positives(self) -> Array:
        """Weights of labels 1 predicted above each threshold."""
        return self.counts.tp

    @property
    def false_positives(self) -> Array:
        """Weights of labels 0 predicted above each threshold."""
        return self.counts.fp

    @property
    def true_negatives(self) -> Array:
        """Weights of labels 0 predicted below each threshold."""
        return self.counts.tn

    @property
    def false_negatives(self) -> Array:
        """Weights of labels 1 predicted below each threshold."""
        return self.counts.fn


def ratio(a: Array, b: Array) -> Array:
    """``a / b``, 0 where b is 0."""
    return np.divide(
        a, b, out=np.zeros(np.broadcast_shapes(np.shape(a), np.shape(b))), where=np.asarray(b) != 0
    )


def spread_evenly(thresholds: Sequence[float]) -> bool:
    """Whether thresholds go from 0 to 1 in equal steps: then they need not be compared one by one."""
    n = len(thresholds)
    return n >= 3 and np.allclose(thresholds, np.arange(n, dtype=np.float32) / (n - 1), atol=1e-7)


def count(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    thresholds: Sequence[float],
    evenly: bool,
    sample_weight: npt.ArrayLike | None = None,
    *,
    top_k: int | None = None,
    class_id: int | None = None,
    multi_label: bool = False,
    label_weights: Array | None = None,
) -> Counts:
    """Count at each threshold; a prediction is positive if it is above.

    Parameters
    ----------
    y_true : array_like
        0 is negative, all else positive.
    y_pred : array_like
        Probabilities, same shape.
    thresholds : sequence of float
        Ascending.
    evenly : bool
        They are `spread_evenly`.
    sample_weight : array_like, optional
        The first axes of `y_pred`.
    top_k, class_id
        See `Precision`.
    multi_label : bool
        Count each label (last axis) by itself: entries (thresholds, labels).
    label_weights : ndarray, optional
        (labels,)

    Returns
    -------
    Counts

    Raises
    ------
    ValueError
        If shapes do not fit.
    """
    p, y = same_rank(np.asarray(y_pred, np.float32), np.asarray(y_true))
    weight = None if sample_weight is None else np.asarray(sample_weight, np.float32)[..., None]
    given = None if weight is None else weight.shape[:-1]
    if weight is not None and weight.ndim == y.ndim + 1:
        weight = weight[..., 0]
    if top_k is not None:
        best = np.argpartition(-p, min(top_k, p.shape[-1]) - 1, axis=-1)[..., :top_k]
        kept = np.zeros(p.shape, np.bool_)
        np.put_along_axis(kept, best, True, axis=-1)
        p = np.where(kept, p, np.float32(-1e10))
    if class_id is not None:
        if p.ndim == 1:
            raise ValueError(
                "When class_id is provided, y_pred must be a 2D array with shape (num_samples, num_classes), "
                f"found shape: {p.shape}"
            )
        y, p = y[..., class_id, None], p[..., class_id, None]
    if y.shape != p.shape:
        raise ValueError(f"y_true: expected shape {p.shape} as y_pred has, got {y.shape}")
    weights: Array = np.ones(())
    try:
        if weight is not None:
            weights = np.broadcast_to(weight, p.shape).astype(np.float64)
        if label_weights is not None:
            weights = weights * np.broadcast_to(label_weights, p.shape)
    except ValueError:
        raise ValueError(
            f"sample_weight: expected shape {p.shape} or the first axes of it, got {given}"
        ) from None
    positive = y.astype(np.bool_)
    if not multi_label:
        p, positive = p.reshape(-1, 1), positive.reshape(-1, 1)
        weights = weights.reshape(-1, 1) if weights.ndim else weights
    elif p.ndim != 2:
        raise ValueError(
            f"`y_pred` must have rank 2 when `multi_label=True`. Found rank {p.ndim}. Full shape: {p.shape}"
        )
    true, false = positive * weights, ~positive * weights
    if evenly:
        tp, fp = _above_even(p, true, false, len(thresholds), thresholds[0] < 0.0 or thresholds[-1] > 1.0)
    else:
        above = p[None] > np.asarray(thresholds, np.float32)[:, None, None]
        tp, fp = (above * true).sum(axis=1), (above * false).sum(axis=1)
    counts = Counts(tp, fp, false.sum(axis=0) - fp, true.sum(axis=0) - tp)
    if not multi_label:
        counts = Counts(counts.tp[:, 0], counts.fp[:, 0], counts.tn[:, 0], counts.fn[:, 0])
    return counts


def _above_even(p: Array, true: Array, false: Array, n: int, widened: bool) -> tuple[Array, Array]:
    """TP and FP at `n` even thresholds: each prediction counts at all thresholds below it."""
    bucket = (np.ceil(np.clip(p, 0, 1) * np.float32(n - 1)) - 1).astype(np.int64)
    if widened:  # the first threshold is a little below 0, so that a prediction of 0 is above it
        bucket = np.maximum(bucket, 0)
    labels = p.shape[1]
    index = np.where(bucket < 0, n, bucket) * labels + np.arange(labels)
    sums = []
    for part in (true, false):
        part = np.broadcast_to(part, p.shape)
        per_bucket = np.bincount(index.ravel(), part.ravel(), (n + 1) * labels).reshape(n + 1, labels)[:n]
        sums.append(per_bucket[::-1].cumsum(axis=0)[::-1])
    return sums[0], sums[1]
