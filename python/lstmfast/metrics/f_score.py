# SPDX-License-Identifier: BSD-3-Clause
"""F scores: precision and recall in one number."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .base import Metric

__all__ = ["F1Score", "FBetaScore"]

Array = npt.NDArray[Any]

_EPSILON = 1e-7  # keras.config.epsilon()


class FBetaScore(Metric):
    """``(1 + beta^2) precision recall / (beta^2 precision + recall)`` (van Rijsbergen 1979).

    Targets and predictions are (B, C): one-hot or several labels at once.

    Parameters
    ----------
    average : {None, "micro", "macro", "weighted"}
        None gives a score for each class; "micro" counts all classes together, "macro" takes the mean of their
        scores and "weighted" that weighted with how often each occurs.
    beta : float
        How much more recall counts than precision.
    threshold : float, optional
        Predictions above it are positive; without, the largest of each row.
    name, dtype
        As for `Metric`.

    Raises
    ------
    ValueError
        If an argument is out of its range; in a call: if shapes do not fit.

    Examples
    --------
    >>> from lstmfast.metrics import FBetaScore
    >>> metric = FBetaScore(beta=2.0, threshold=0.5)
    >>> y_true, y_pred = [[1, 1, 1], [1, 0, 0], [1, 1, 0]], [[0.2, 0.6, 0.7], [0.2, 0.6, 0.6], [0.6, 0.8, 0.0]]
    >>> metric(y_true, y_pred).round(4)
    array([0.3846, 0.9091, 0.8333], dtype=float32)
    """

    _direction = "up"
    _shape: tuple[int, ...] | None = None  # of the counts, known from the first batch on
    _state = (
        ("true_positives", "true_positives"),
        ("false_positives", "false_positives"),
        ("false_negatives", "false_negatives"),
        ("intermediate_weights", "intermediate_weights"),
    )

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str = "fbeta_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if average not in (None, "micro", "macro", "weighted"):
            raise ValueError(
                "Invalid `average` argument value. Expected one of: {None, 'micro', 'macro', 'weighted'}. Received: "
                f"average={average}"
            )
        if not isinstance(beta, float):
            raise ValueError(
                f"Invalid `beta` argument value. It should be a Python float. Received: beta={beta} of type "
                f"'{type(beta)}'"
            )
        if not beta > 0:
            raise ValueError(f"Invalid `beta` argument value. It should be > 0. Received: beta={beta}")
        if threshold is not None:
            if not isinstance(threshold, float):
                raise ValueError(
                    "Invalid `threshold` argument value. It should be a Python float. Received: "
                    f"threshold={threshold} of type '{type(threshold)}'"
                )
            if not 0 < threshold <= 1:
                raise ValueError(
                    "Invalid `threshold` argument value. It should verify 0 < threshold <= 1. Received: "
                    f"threshold={threshold}"
                )
        self.average = average
        self.beta = beta
        self.threshold = threshold
        self.reset_state()

    @property
    def variables(self) -> list[Any]:
        """The counts, once a batch has shown how many classes there are."""
        return [] if self._shape is None else super().variables

    def reset_state(self) -> None:
        nothing: Array = np.zeros(self._shape or ())
        self.true_positives = self.false_positives = self.false_negatives = nothing
        self.intermediate_weights = nothing

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y, p = np.asarray(y_true, np.float64), np.asarray(y_pred, np.float32)
        if y.ndim != 2 or p.ndim != 2:
            raise ValueError(
                "FBetaScore expects 2D inputs with shape (batch_size, output_dim). Received input shapes: "
                f"y_pred.shape={p.shape} and y_true.shape={y.shape}."
            )
        if y.shape != p.shape:
            raise ValueError(f"y_true: expected shape {p.shape} as y_pred has, got {y.shape}")
        known = self._shape
        if known and known != p.shape[1:]:
            if not (self.true_positives.any() or self.false_positives.any() or self.false_negatives.any()):
                self._shape = p.shape[1:]  # nothing is counted: others may come
                self.reset_state()
                self.update_state(y_true, y_pred, sample_weight)
                return
            raise ValueError(f"y_pred: expected {known[0]} classes as before, got {p.shape[1]}")
        if self.threshold is None:
            chosen = (p >= p.max(axis=1, keepdims=True, initial=-np.inf)) & (np.abs(p) > 1e-9)
        else:
            chosen = p > self.threshold
        weights = np.ones(len(p)) if sample_weight is None else np.asarray(sample_weight, np.float64)
        if weights.shape == (len(p), 1):
            weights = weights[:, 0]
        if weights.shape not in ((), (len(p),)):
            raise ValueError(f"sample_weight: expected shape {(len(p),)}, got {weights.shape}")
        weights = np.broadcast_to(weights, len(p))
        axis = None if self.average == "micro" else 0

        def counted(what: Array) -> Array:
            return np.asarray((what * weights[:, None]).sum(axis=axis))

        self._shape = () if axis is None else p.shape[1:]
        self.true_positives = self.true_positives + counted(chosen * y)
        self.false_positives = self.false_positives + counted(chosen * (1 - y))
        self.false_negatives = self.false_negatives + counted(~chosen * y)
        self.intermediate_weights = self.intermediate_weights + counted(y)

    def result(self) -> Any:
        hits = self.true_positives
        precision = hits / (hits + self.false_positives + _EPSILON)
        recall = hits / (hits + self.false_negatives + _EPSILON)
        square = self.beta**2
        score = (1 + square) * precision * recall / (square * precision + recall + _EPSILON)
        if self.average == "weighted":
            weights = self.intermediate_weights
            return float((score * weights / (weights.sum() + _EPSILON)).sum())
        return score.astype(np.float32) if self.average is None else float(score.mean())

    def get_config(self) -> dict[str, Any]:
        extra = {"average": self.average, "beta": self.beta, "threshold": self.threshold}
        return {**super().get_config(), **extra}


class F1Score(FBetaScore):
    """Harmonic mean of precision and recall: `FBetaScore` with ``beta=1``.

    Parameters
    ----------
    average, threshold, name, dtype
        As for `FBetaScore`.

    Examples
    --------
    >>> from lstmfast.metrics import F1Score
    >>> round(F1Score(average="macro")([[1, 0], [0, 1], [0, 1]], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), 4)
    0.6667
    """

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str = "f1_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(average=average, beta=1.0, threshold=threshold, name=name, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        return {k: v for k, v in super().get_config().items() if k != "beta"}
