# SPDX-License-Identifier: BSD-3-Clause
"""Counts of right and wrong positives and negatives, and the ratios of them: precision, recall and their
relations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .base import Array, Metric
from .thresholds import ALL_COUNTS, Counts, HasCounts, count, spread_evenly

__all__ = [
    "FalseNegatives",
    "FalsePositives",
    "Precision",
    "PrecisionAtRecall",
    "Recall",
    "RecallAtPrecision",
    "SensitivityAtSpecificity",
    "SpecificityAtSensitivity",
    "TrueNegatives",
    "TruePositives",
]

_NEVER = -1e10  # below every prediction: with top_k the k best count, whatever their size


class _Thresholded(HasCounts, Metric):
    """Counts at given thresholds. `counts` holds TP, FP, TN, FN, each with one entry a threshold."""

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id
        if thresholds is None:
            self.thresholds = [0.5 if top_k is None else _NEVER]
        else:
            self.thresholds = (
                list(thresholds)
                if isinstance(thresholds, (list, tuple))
                else (list(np.atleast_1d(np.asarray(thresholds)).tolist()))
            )
            wrong = [t for t in self.thresholds if t is None or not 0 <= t <= 1]
            if wrong:
                raise ValueError(f"Threshold values must be in [0, 1]. Received: {wrong}")
        self._evenly = spread_evenly(self.thresholds)
        self.reset_state()

    def reset_state(self) -> None:
        self.counts = Counts.zeros((len(self.thresholds),))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.counts += count(
            y_true,
            y_pred,
            self.thresholds,
            self._evenly,
            sample_weight,
            top_k=self.top_k,
            class_id=self.class_id,
        )

    def _one_or_all(self, values: Array) -> Any:
        return float(values[0]) if len(self.thresholds) == 1 else values.astype(np.float32)


class _Count(_Thresholded):
    _which: str

    def __init__(
        self, thresholds: float | Sequence[float] | None = None, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(thresholds, name=name, dtype=dtype)

    def result(self) -> Any:
        return self._one_or_all(getattr(self.counts, self._which))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "thresholds": self.init_thresholds}


class TruePositives(_Count):
    """How many labels 1 were predicted above the threshold.

    Examples
    --------
    >>> from lstmfast.metrics import TruePositives
    >>> round(float(TruePositives()([0, 1, 1, 1], [0.9, 0.9, 0.2, 0.8])), 4)
    2.0
    """

    _which = "tp"
    _state = (("accumulator", "counts.tp"),)


class FalsePositives(_Count):
    """How many labels 0 were predicted above the threshold.

    Examples
    --------
    >>> from lstmfast.metrics import FalsePositives
    >>> round(float(FalsePositives()([0, 0, 1, 1], [0.9, 0.1, 0.2, 0.8])), 4)
    1.0
    """

    _which = "fp"
    _state = (("accumulator", "counts.fp"),)


class TrueNegatives(_Count):
    """How many labels 0 were not predicted above the threshold.

    Examples
    --------
    >>> from lstmfast.metrics import TrueNegatives
    >>> round(float(TrueNegatives()([0, 0, 1, 1], [0.9, 0.1, 0.2, 0.8])), 4)
    1.0
    """

    _which = "tn"
    _state = (("accumulator", "counts.tn"),)


class FalseNegatives(_Count):
    """How many labels 1 were not predicted above the threshold.

    Examples
    --------
    >>> from lstmfast.metrics import FalseNegatives
    >>> round(float(FalseNegatives()([0, 0, 1, 1], [0.9, 0.1, 0.2, 0.8])), 4)
    1.0
    """

    _which = "fn"
    _state = (("accumulator", "counts.fn"),)


class Precision(_Thresholded):
    """The part of positive predictions that is right.

    Parameters
    ----------
    thresholds : float or sequence of float, optional
        0.5 by default; a sequence gives one result for each.
    top_k : int, optional
        The `top_k` most probable classes are the positive ones.
    class_id : int, optional
        Look at this class only.
    name, dtype
        As for `Metric`.

    Examples
    --------
    >>> from lstmfast.metrics import Precision
    >>> round(Precision()([0, 1, 1, 1], [1, 0, 1, 1]), 4)
    0.6667
    """

    _direction = "up"
    _state = (ALL_COUNTS[0], ALL_COUNTS[1])

    def result(self) -> Any:
        return self._one_or_all(self.counts.precision())

    def get_config(self) -> dict[str, Any]:
        extra = {"thresholds": self.init_thresholds, "top_k": self.top_k, "class_id": self.class_id}
        return {**super().get_config(), **extra}


class Recall(_Thresholded):
    """The part of labels 1 that is predicted positive. Arguments as for `Precision`.

    Examples
    --------
    >>> from lstmfast.metrics import Recall
    >>> round(Recall()([0, 1, 1, 1], [1, 0, 1, 1]), 4)
    0.6667
    """

    _direction = "up"
    _state = (ALL_COUNTS[0], ALL_COUNTS[3])

    def result(self) -> Any:
        return self._one_or_all(self.counts.recall())

    def get_config(self) -> dict[str, Any]:
        extra = {"thresholds": self.init_thresholds, "top_k": self.top_k, "class_id": self.class_id}
        return {**super().get_config(), **extra}


class _AtLeast(_Thresholded):
    """The best of one ratio over all thresholds where another reaches a value."""

    _direction = "up"
    _state = ALL_COUNTS
    _value_name: str
    _required: str  # methods of Counts
    _wanted: str

    def __init__(
        self, value: float, num_thresholds: int, class_id: int | None, name: str | None, dtype: Any
    ) -> None:
        if not 0 <= value <= 1:
            what = self._value_name
            raise ValueError(f"Argument `{what}` must be in the range [0, 1]. Received: {what}={value}")
        if num_thresholds <= 0:
            raise ValueError(
                f"Argument `num_thresholds` must be an integer > 0. Received: num_thresholds={num_thresholds}"
            )
        steps = num_thresholds - 1
        thresholds = [0.5] if num_thresholds == 1 else [i / steps for i in range(num_thresholds)]
        super().__init__(thresholds, class_id=class_id, name=name, dtype=dtype)
        self._evenly = num_thresholds > 1
        self.value = value
        self.num_thresholds = num_thresholds

    def result(self) -> float:
        reached = getattr(self.counts, self._required)().astype(np.float32) >= np.float32(self.value)
        return float(np.max(np.where(reached, getattr(self.counts, self._wanted)(), 0), initial=0))

    def get_config(self) -> dict[str, Any]:
        extra = {
            "num_thresholds": self.num_thresholds,
            self._value_name: self.value,
            "class_id": self.class_id,
        }
        return {**super().get_config(), **extra}


class SensitivityAtSpecificity(_AtLeast):
    """Best sensitivity where the specificity is at least `specificity`.

    Parameters
    ----------
    specificity : float
    num_thresholds : int
        How many thresholds from 0 to 1 are tried.
    class_id : int, optional
    name, dtype
        As for `Metric`.

    Examples
    --------
    >>> from lstmfast.metrics import SensitivityAtSpecificity
    >>> round(float(SensitivityAtSpecificity(0.5)([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.8])), 4)
    1.0
    """

    _value_name = "specificity"
    _required = "specificity"
    _wanted = "recall"

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(specificity, num_thresholds, class_id, name, dtype)
        self.specificity = specificity


class SpecificityAtSensitivity(_AtLeast):
    """Best specificity where the sensitivity is at least `sensitivity`.

    Examples
    --------
    >>> from lstmfast.metrics import SpecificityAtSensitivity
    >>> round(float(SpecificityAtSensitivity(1.0)([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.8])), 4)
    0.5
    """

    _value_name = "sensitivity"
    _required = "recall"
    _wanted = "specificity"

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)
        self.sensitivity = sensitivity


class PrecisionAtRecall(_AtLeast):
    """Best precision where the recall is at least `recall`.

    Examples
    --------
    >>> from lstmfast.metrics import PrecisionAtRecall
    >>> round(float(PrecisionAtRecall(0.5)([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.8])), 4)
    1.0
    """

    _value_name = "recall"
    _required = "recall"
    _wanted = "precision"

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(recall, num_thresholds, class_id, name, dtype)
        self.recall = recall


class RecallAtPrecision(_AtLeast):
    """Best recall where the precision is at least `precision`.

    Examples
    --------
    >>> from lstmfast.metrics import RecallAtPrecision
    >>> round(float(RecallAtPrecision(1.0)([0, 0, 1, 1], [0.1, 0.4, 0.3, 0.8])), 4)
    0.5
    """

    _value_name = "precision"
    _required = "precision"
    _wanted = "recall"

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(precision, num_thresholds, class_id, name, dtype)
        self.precision = precision
