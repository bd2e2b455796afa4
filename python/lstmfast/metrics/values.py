# SPDX-License-Identifier: BSD-3-Clause
"""Losses as metrics, and other measures of numbers: how far predictions are from targets."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import losses
from .base import Array, Mean, Metric, NamedMean, same_rank

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Hinge",
    "KLDivergence",
    "LogCoshError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "R2Score",
    "RootMeanSquaredError",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
]


class MeanSquaredError(NamedMean):
    """Mean of ``(y_pred - y_true)**2``.

    Examples
    --------
    >>> from lstmfast.metrics import MeanSquaredError
    >>> round(float(MeanSquaredError()([[0.0, 1.0]], [[2.0, 1.0]])), 4)
    2.0
    """

    default_name = "mean_squared_error"
    _direction = "down"
    _function = losses.mean_squared_error


class MeanAbsoluteError(NamedMean):
    """Mean of ``|y_pred - y_true|``.

    Examples
    --------
    >>> from lstmfast.metrics import MeanAbsoluteError
    >>> round(float(MeanAbsoluteError()([[0.0, 1.0]], [[1.0, 1.0]])), 4)
    0.5
    """

    default_name = "mean_absolute_error"
    _direction = "down"
    _function = losses.mean_absolute_error


class MeanAbsolutePercentageError(NamedMean):
    """Mean of ``100 * |y_pred - y_true| / |y_true|``.

    Examples
    --------
    >>> from lstmfast.metrics import MeanAbsolutePercentageError
    >>> round(float(MeanAbsolutePercentageError()([[2.0, 4.0]], [[1.0, 5.0]])), 4)
    37.5
    """

    default_name = "mean_absolute_percentage_error"
    _direction = "down"
    _function = losses.mean_absolute_percentage_error


class MeanSquaredLogarithmicError(NamedMean):
    """Mean of ``(log(1 + y_pred) - log(1 + y_true))**2``.

    Examples
    --------
    >>> from lstmfast.metrics import MeanSquaredLogarithmicError
    >>> round(float(MeanSquaredLogarithmicError()([[0.0]], [[1.718282]])), 4)
    1.0
    """

    default_name = "mean_squared_logarithmic_error"
    _direction = "down"
    _function = losses.mean_squared_logarithmic_error


class LogCoshError(NamedMean):
    """Mean of ``log(cosh(y_pred - y_true))``.

    Examples
    --------
    >>> from lstmfast.metrics import LogCoshError
    >>> round(float(LogCoshError()([[0.0]], [[1.0]])), 4)
    0.4338
    """

    default_name = "logcosh"
    _direction = "down"
    _function = losses.log_cosh


class Hinge(NamedMean):
    """Mean of ``max(1 - y_true * y_pred, 0)``.

    Examples
    --------
    >>> from lstmfast.metrics import Hinge
    >>> round(float(Hinge()([[1.0, -1.0]], [[0.5, 0.5]])), 4)
    1.0
    """

    default_name = "hinge"
    _direction = "down"
    _function = losses.hinge


class SquaredHinge(NamedMean):
    """Mean of ``max(1 - y_true * y_pred, 0)**2``.

    Examples
    --------
    >>> from lstmfast.metrics import SquaredHinge
    >>> round(float(SquaredHinge()([[1.0, -1.0]], [[0.5, 0.5]])), 4)
    1.25
    """

    default_name = "squared_hinge"
    _direction = "down"
    _function = losses.squared_hinge


class CategoricalHinge(NamedMean):
    """Mean of ``max(best wrong - right + 1, 0)``.

    Examples
    --------
    >>> from lstmfast.metrics import CategoricalHinge
    >>> round(float(CategoricalHinge()([[0.0, 1.0]], [[0.4, 0.6]])), 4)
    0.8
    """

    default_name = "categorical_hinge"
    _direction = "down"
    _function = losses.categorical_hinge


class KLDivergence(NamedMean):
    """Mean of ``sum(y_true * log(y_true / y_pred))``.

    Examples
    --------
    >>> from lstmfast.metrics import KLDivergence
    >>> round(float(KLDivergence()([[1.0, 0.0]], [[0.5, 0.5]])), 4)
    0.6931
    """

    default_name = "kl_divergence"
    _function = losses.kl_divergence


class Poisson(NamedMean):
    """Mean of ``y_pred - y_true * log(y_pred)``.

    Examples
    --------
    >>> from lstmfast.metrics import Poisson
    >>> round(float(Poisson()([[2.0]], [[1.0]])), 4)
    1.0
    """

    default_name = "poisson"
    _function = losses.poisson


class BinaryCrossentropy(NamedMean):
    """Mean binary cross-entropy. Arguments as for `losses.BinaryCrossentropy`.

    Examples
    --------
    >>> from lstmfast.metrics import BinaryCrossentropy
    >>> round(float(BinaryCrossentropy()([[1.0]], [[0.5]])), 4)
    0.6931
    """

    default_name = "binary_crossentropy"
    _direction = "down"
    _function = losses.binary_crossentropy

    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
    ) -> None:
        super().__init__(name=name, dtype=dtype, from_logits=from_logits, label_smoothing=label_smoothing)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing

    def get_config(self) -> dict[str, Any]:
        extra = {"from_logits": self.from_logits, "label_smoothing": self.label_smoothing}
        return {**super().get_config(), **extra}


class CategoricalCrossentropy(NamedMean):
    """Mean cross-entropy with one-hot labels. Arguments as for `losses.CategoricalCrossentropy`.

    Examples
    --------
    >>> from lstmfast.metrics import CategoricalCrossentropy
    >>> round(float(CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]])), 4)
    0.6931
    """

    default_name = "categorical_crossentropy"
    _direction = "down"
    _function = losses.categorical_crossentropy

    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
        axis: int = -1,
    ) -> None:
        super().__init__(name, dtype, from_logits=from_logits, label_smoothing=label_smoothing, axis=axis)
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing
        self.axis = axis

    def get_config(self) -> dict[str, Any]:
        extra = {"from_logits": self.from_logits, "label_smoothing": self.label_smoothing, "axis": self.axis}
        return {**super().get_config(), **extra}


class SparseCategoricalCrossentropy(NamedMean):
    """Mean cross-entropy with class numbers. Arguments as for `losses.SparseCategoricalCrossentropy`.

    Examples
    --------
    >>> from lstmfast.metrics import SparseCategoricalCrossentropy
    >>> round(float(SparseCategoricalCrossentropy()([1], [[0.5, 0.5]])), 4)
    0.6931
    """

    default_name = "sparse_categorical_crossentropy"
    _direction = "down"
    _function = losses.sparse_categorical_crossentropy

    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        super().__init__(name, dtype, from_logits=from_logits, ignore_class=ignore_class, axis=axis)
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self.axis = axis

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        if self.ignore_class is not None and sample_weight is not None:
            # As in Keras: with weights what is ignored weighs nothing, without it counts as a loss of 0.
            counted = np.asarray(y_true) != self.ignore_class
            weights = np.asarray(sample_weight, np.float32)
            if counted.ndim > weights.ndim and counted.shape[-1] == 1:
                counted = counted[..., 0]
            weights = weights.reshape(weights.shape + (1,) * (counted.ndim - weights.ndim))
            sample_weight = weights * counted
        super().update_state(y_true, y_pred, sample_weight)

    def get_config(self) -> dict[str, Any]:
        extra = {"from_logits": self.from_logits, "ignore_class": self.ignore_class, "axis": self.axis}
        return {**super().get_config(), **extra}


def _cosine(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, axis: int = -1) -> Array:
    return -losses.cosine_similarity(y_true, y_pred, axis)


class CosineSimilarity(NamedMean):
    """Mean cosine of the angle between prediction and target.

    Parameters
    ----------
    name, dtype
        As for `Metric`.
    axis : int

    Examples
    --------
    >>> from lstmfast.metrics import CosineSimilarity
    >>> round(float(CosineSimilarity()([[1.0, 0.0]], [[3.0, 0.0]])), 4)
    1.0
    """

    default_name = "cosine_similarity"
    _direction = "up"
    _function = _cosine

    def __init__(self, name: str | None = None, dtype: Any = None, axis: int = -1) -> None:
        super().__init__(name=name, dtype=dtype, axis=axis)
        self.axis = axis

    def get_config(self) -> dict[str, Any]:
        # Keras 3.15 forgets the axis here; with it a reloaded configuration means the same.
        return {**super().get_config(), **({"axis": self.axis} if self.axis != -1 else {})}


class RootMeanSquaredError(Mean):
    """Root of the mean of ``(y_pred - y_true)**2``.

    Examples
    --------
    >>> from lstmfast.metrics import RootMeanSquaredError
    >>> RootMeanSquaredError()([[0.0], [0.0]], [[3.0], [3.0]])
    3.0
    """

    _direction = "down"

    def __init__(self, name: str = "root_mean_squared_error", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        a, b = same_rank(np.asarray(y_true, np.float32), np.asarray(y_pred, np.float32))
        if a.shape != b.shape:
            raise ValueError(f"y_true: expected shape {b.shape} as y_pred has, got {a.shape}")
        super().update_state(np.square(b - a), sample_weight)

    def result(self) -> float:
        return float(super().result() ** 0.5)


class R2Score(Metric):
    """The part of the targets' variance that predictions explain: 1 is perfect, 0 what their mean would
    reach.

    Parameters
    ----------
    class_aggregation : {"uniform_average", "variance_weighted_average"} or None
        How outputs are averaged; None keeps them apart.
    num_regressors : int
        For the adjusted score; 0 is the plain one.
    name, dtype
        As for `Metric`.

    Examples
    --------
    >>> from lstmfast.metrics import R2Score
    >>> round(R2Score()([[1], [4], [3]], [[2], [4], [4]]), 6)
    0.571429
    """

    _direction = "up"
    _shape: tuple[int, ...] | None = None  # of the sums, known from the first batch on
    _state = (
        ("num_samples", "num_samples"),
        ("squared_sum", "squared_sum"),
        ("sum", "sum"),
        ("residual", "residual"),
        ("count", "count"),
    )

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str = "r2_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        allowed = (None, "uniform_average", "variance_weighted_average")
        if class_aggregation not in allowed:
            raise ValueError(
                f"Invalid value for argument `class_aggregation`. Expected one of {allowed}. Received: "
                f"class_aggregation={class_aggregation}"
            )
        if num_regressors < 0:
            raise ValueError(
                "Invalid value for argument `num_regressors`. Expected a value >= 0. Received: "
                f"num_regressors={num_regressors}"
            )
        self.class_aggregation = class_aggregation
        self.num_regressors = num_regressors
        self.reset_state()

    @property
    def variables(self) -> list[Any]:
        """The number of samples; and the sums, once a batch has shown how many outputs there are."""
        made = super().variables
        return made[:1] if self._shape is None else made

    def reset_state(self) -> None:
        self.num_samples = 0
        nothing: Array = np.zeros(self._shape or ())
        self.sum = self.squared_sum = self.residual = self.count = nothing

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        a, b = same_rank(np.asarray(y_true, np.float64), np.asarray(y_pred, np.float64))
        if a.ndim != 2 or b.ndim != 2:
            raise ValueError(
                "R2Score expects 2D inputs with shape (batch_size, output_dim). Received input shapes: "
                f"y_pred.shape={b.shape} and y_true.shape={a.shape}."
            )
        weights = np.asarray(1.0 if sample_weight is None else sample_weight, np.float64)
        weights = np.broadcast_to(weights[:, None] if weights.ndim == 1 else weights, a.shape)
        self._shape = a.shape[1:]
        self.sum = self.sum + (a * weights).sum(axis=0)
        self.squared_sum = self.squared_sum + (a * a * weights).sum(axis=0)
        self.residual = self.residual + (np.square(a - b) * weights).sum(axis=0)
        self.count = self.count + weights.sum(axis=0)
        self.num_samples += a.size

    def result(self) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):
            total = self.squared_sum - self.sum * (self.sum / self.count)
            raw = 1 - self.residual / total
        raw = np.where(np.isinf(raw), 0.0, raw)
        if self.class_aggregation == "uniform_average":
            score: Any = float(raw.mean())
        elif self.class_aggregation == "variance_weighted_average":
            score = float((total * raw).sum() / total.sum())
        else:
            score = raw.astype(np.float32)
        if self.num_regressors:
            left = self.num_samples - self.num_regressors - 1
            if left <= 0:
                warnings.warn(
                    "Adjusted R2 needs more samples than regressors. Falling back to standard R2 score.",
                    stacklevel=2,
                )
            else:
                score = 1 - (1 - score) * (self.num_samples - 1) / left
        return score

    def get_config(self) -> dict[str, Any]:
        extra = {"class_aggregation": self.class_aggregation, "num_regressors": self.num_regressors}
        return {**super().get_config(), **extra}
