# SPDX-License-Identifier: BSD-3-Clause
"""Areas under the curves that precision, recall and false positives draw as the threshold moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import activations
from .base import Array, Metric
from .thresholds import ALL_COUNTS, Counts, HasCounts, count, ratio, spread_evenly

__all__ = ["AUC"]

_EPSILON = 1e-7  # keras.config.epsilon()


class AUC(HasCounts, Metric):
    """Area under the ROC or the precision-recall curve, approximated by a sum over thresholds.

    Parameters
    ----------
    num_thresholds : int
        How many, from 0 to 1; more are more exact.
    curve : {"ROC", "PR", "PRGAIN"}
    summation_method : {"interpolation", "minoring", "majoring"}
        "interpolation" is the trapezoid rule for ROC and that of Davis and Goadrich 2006 for PR; the others
        bound it.
    name, dtype
        As for `Metric`.
    thresholds : sequence of float, optional
        The ones between 0 and 1 to use.
    multi_label : bool
        Average over labels (last axis) instead of counting all alike.
    num_labels : int, optional
    label_weights : sequence of float, optional
    from_logits : bool
        Predictions are values before the sigmoid.

    Examples
    --------
    >>> from lstmfast.metrics import AUC
    >>> round(AUC(num_thresholds=3)([0, 0, 1, 1], [0, 0.5, 0.3, 0.9]), 4)
    0.75
    """

    _direction = "up"
    _state = ALL_COUNTS
    _labels: int | None = None  # how many the first batch had

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: npt.ArrayLike | None = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if str(curve).upper() not in ("ROC", "PR", "PRGAIN"):
            raise ValueError(
                f'Invalid AUC curve value: "{curve}". Expected values are ["PR", "ROC", "PRGAIN"]'
            )
        if str(summation_method).lower() not in ("interpolation", "majoring", "minoring"):
            raise ValueError(
                f'Invalid AUC summation method value: "{summation_method}". '
                'Expected values are ["interpolation", "majoring", "minoring"]'
            )
        self._init_from_thresholds = thresholds is not None
        if thresholds is not None:
            inner = sorted(float(t) for t in thresholds)
            self.num_thresholds = len(inner) + 2
        else:
            if num_thresholds <= 1:
                raise ValueError(
                    "Argument `num_thresholds` must be an integer > 1. Received: "
                    f"num_thresholds={num_thresholds}"
                )
            self.num_thresholds = num_thresholds
            inner = [i / (num_thresholds - 1) for i in range(1, num_thresholds - 1)]
        self._evenly = thresholds is None or spread_evenly([0.0, *inner, 1.0])
        self._thresholds = [-_EPSILON, *inner, 1.0 + _EPSILON]
        self.curve = str(curve).upper()
        self.summation_method = str(summation_method).lower()
        if num_labels and not multi_label:
            raise ValueError("`num_labels` is needed only when `multi_label` is True.")
        self.multi_label = multi_label
        self.num_labels = num_labels
        self.label_weights = None if label_weights is None else np.asarray(label_weights, np.float32)
        self._from_logits = from_logits
        self.reset_state()

    @property
    def thresholds(self) -> list[float]:
        return list(self._thresholds)

    def reset_state(self) -> None:
        labels: tuple[int, ...] = (self.num_labels or self._labels or 1,) if self.multi_label else ()
        self.counts = Counts.zeros((self.num_thresholds, *labels))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        if self.multi_label and np.ndim(y_pred) == 2:
            labels = np.shape(y_pred)[1]
            if self.num_labels not in (None, labels):
                raise ValueError(
                    f"y_pred: expected shape (batch, {self.num_labels}) for num_labels={self.num_labels}, "
                    f"got {np.shape(y_pred)}"
                )
            if self.label_weights is not None and len(self.label_weights) != labels:
                raise ValueError(
                    f"label_weights: expected one for each of {labels} labels, got {len(self.label_weights)}"
                )
            self._labels = labels
        self.counts += count(
            y_true,
            activations.sigmoid(y_pred) if self._from_logits else y_pred,
            self._thresholds,
            self._evenly,
            sample_weight,
            multi_label=self.multi_label,
            label_weights=None if self.multi_label else self.label_weights,
        )

    def result(self) -> float:
        c = self.counts
        if self.curve == "PR" and self.summation_method == "interpolation":
            return self._mean_label(self._interpolated_pr())
        if self.curve == "ROC":
            x, y = ratio(c.fp, c.fp + c.tn), c.recall()
        elif self.curve == "PR":
            x, y = c.recall(), c.precision()
        else:
            x, y = self._gains()
        if self.summation_method == "interpolation":
            heights = (y[:-1] + y[1:]) / 2.0
        else:
            heights = (np.minimum if self.summation_method == "minoring" else np.maximum)(y[:-1], y[1:])
        return self._mean_label((x[:-1] - x[1:]) * heights)

    def _gains(self) -> tuple[Array, Array]:
        """Recall gain and precision gain (Flach and Kull 2015)."""
        c = self.counts
        scale = ratio(c.tp + c.fn, c.tn + c.fp)
        recall = np.where(c.tp == 0, 0.0, 1.0 - scale * ratio(c.fn, c.tp))
        precision = np.where(c.tp == 0, 1.0, 1.0 - scale * ratio(c.fp, c.tp))
        return np.maximum(recall, 0.0), precision

    def _interpolated_pr(self) -> Array:
        """Precision is not linear in recall between two thresholds; true positives are, in the number of
        predicted ones."""
        c = self.counts
        positive = c.tp + c.fp
        d_tp = c.tp[:-1] - c.tp[1:]
        slope = ratio(d_tp, np.maximum(positive[:-1] - positive[1:], 0))
        intercept = c.tp[1:] - slope * positive[1:]
        both = (positive[:-1] > 0) & (positive[1:] > 0)
        quotient = np.where(both, ratio(positive[:-1], np.maximum(positive[1:], 0)), 1.0)
        return ratio(slope * (d_tp + intercept * np.log(quotient)), np.maximum(c.tp[1:] + c.fn[1:], 0))

    def _mean_label(self, terms: Array) -> float:
        area = terms.sum(axis=0)
        if not self.multi_label:
            return float(area)
        if self.label_weights is None:
            return float(area.mean())
        return float(ratio((area * self.label_weights).sum(), self.label_weights.sum()))

    def get_config(self) -> dict[str, Any]:
        weights = self.label_weights
        config = {
            **super().get_config(),
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": None if weights is None else weights.tolist(),
            "from_logits": self._from_logits,
        }
        if self._init_from_thresholds:
            config["thresholds"] = self.thresholds[1:-1]
        return config
