# SPDX-License-Identifier: BSD-3-Clause
"""Metrics by Keras 3's names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import losses as _losses
from ..losses import binary_crossentropy as binary_crossentropy
from ..losses import binary_focal_crossentropy as binary_focal_crossentropy
from ..losses import categorical_crossentropy as categorical_crossentropy
from ..losses import categorical_focal_crossentropy as categorical_focal_crossentropy
from ..losses import categorical_hinge as categorical_hinge
from ..losses import hinge as hinge
from ..losses import huber as huber
from ..losses import kl_divergence as kl_divergence
from ..losses import log_cosh as log_cosh
from ..losses import mean_absolute_error as mean_absolute_error
from ..losses import mean_absolute_percentage_error as mean_absolute_percentage_error
from ..losses import mean_squared_error as mean_squared_error
from ..losses import mean_squared_logarithmic_error as mean_squared_logarithmic_error
from ..losses import poisson as poisson
from ..losses import sparse_categorical_crossentropy as sparse_categorical_crossentropy
from ..losses import squared_hinge as squared_hinge
from ..utils.naming import object_name, to_snake_case
from .accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    accuracy,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from .auc import AUC
from .base import Mean, MeanMetricWrapper, Metric, Sum
from .confusion import (
    FalseNegatives,
    FalsePositives,
    Precision,
    PrecisionAtRecall,
    Recall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
    TrueNegatives,
    TruePositives,
)
from .correlation import (
    ConcordanceCorrelation,
    PearsonCorrelation,
    concordance_correlation,
    pearson_correlation,
)
from .f_score import F1Score, FBetaScore
from .iou import BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU
from .values import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    R2Score,
    RootMeanSquaredError,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)

__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "BinaryIoU",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "ConcordanceCorrelation",
    "CosineSimilarity",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "Hinge",
    "IoU",
    "KLDivergence",
    "LogCoshError",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanIoU",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "OneHotIoU",
    "OneHotMeanIoU",
    "PearsonCorrelation",
    "Poisson",
    "Precision",
    "PrecisionAtRecall",
    "R2Score",
    "Recall",
    "RecallAtPrecision",
    "RootMeanSquaredError",
    "SensitivityAtSpecificity",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SpecificityAtSensitivity",
    "SquaredHinge",
    "Sum",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "accuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "concordance_correlation",
    "deserialize",
    "get",
    "pearson_correlation",
    "resolve",
    "serialize",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]

_CLASSES = (
    BinaryIoU, ConcordanceCorrelation, F1Score, FBetaScore, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU,
    PearsonCorrelation, AUC, Accuracy, BinaryAccuracy, BinaryCrossentropy, CategoricalAccuracy, CategoricalCrossentropy,
    CategoricalHinge, CosineSimilarity, FalseNegatives, FalsePositives, Hinge, KLDivergence, LogCoshError,
    Mean, MeanAbsoluteError, MeanAbsolutePercentageError, MeanMetricWrapper, MeanSquaredError,
    MeanSquaredLogarithmicError, Metric, Poisson, Precision, PrecisionAtRecall, R2Score, Recall,
    RecallAtPrecision, RootMeanSquaredError, SensitivityAtSpecificity, SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy, SparseTopKCategoricalAccuracy, SpecificityAtSensitivity, SquaredHinge,
    Sum, TopKCategoricalAccuracy, TrueNegatives, TruePositives,
)  # fmt: skip
_BY_NAME: dict[str, Any] = {cls.__name__: cls for cls in _CLASSES}
_BY_NAME.update({to_snake_case(cls.__name__): cls for cls in _CLASSES})
for _short, _cls in (
    ("bce", BinaryCrossentropy),
    ("mse", MeanSquaredError),
    ("mae", MeanAbsoluteError),
    ("mape", MeanAbsolutePercentageError),
    ("msle", MeanSquaredLogarithmicError),
):
    _BY_NAME[_short] = _BY_NAME[_short.upper()] = _cls
_FUNCTIONS = {
    function.__name__: function
    for function in (
        accuracy, binary_accuracy, categorical_accuracy, sparse_categorical_accuracy,
        sparse_top_k_categorical_accuracy, top_k_categorical_accuracy, concordance_correlation,
        pearson_correlation, *_losses.FUNCTIONS,
    )
}  # fmt: skip


def get(identifier: Any) -> Metric | Callable[..., Any] | None:
    """A metric from a name, a configuration, a class, a function or itself; None for None.

    Raises
    ------
    ValueError
        If the name is unknown, or `identifier` is none of these.

    Examples
    --------
    >>> from lstmfast import metrics
    >>> metrics.get("mse").name
    'mean_squared_error'
    """
    if identifier is None:
        return None
    found = identifier
    if isinstance(identifier, str):
        found = _BY_NAME.get(identifier) or _FUNCTIONS.get(identifier)
        if found is None:
            from ..saving.registry import get_registered_object

            found = get_registered_object(identifier)
    elif isinstance(identifier, dict):
        found = deserialize(identifier)
    if callable(found):
        made: Any = found() if inspect.isclass(found) else found
        return made  # type: ignore[no-any-return]
    raise ValueError(f"Could not interpret metric identifier: {identifier}")


def resolve(identifier: Any, y_shape: Sequence[int | None], output_shape: Sequence[int | None]) -> Metric:
    """The `Metric` for what a user passed to ``compile(metrics=[...])``, under the name it has in logs.

    Parameters
    ----------
    identifier : str, dict, callable or Metric
        "accuracy" and "acc" stand for the accuracy that fits the shapes.
    y_shape, output_shape : sequence of int or None
        Shapes of targets and predictions.

    Raises
    ------
    ValueError
        If `identifier` is none of these.

    Examples
    --------
    >>> from lstmfast import metrics
    >>> metrics.resolve("accuracy", (None,), (None, 10))
    <SparseCategoricalAccuracy name=accuracy>
    """
    if isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc"):
        if output_shape[-1] == 1:
            return BinaryAccuracy(name=identifier)
        if len(y_shape) < len(output_shape) or (y_shape[-1] == 1 and output_shape[-1] != 1):
            return SparseCategoricalAccuracy(name=identifier)
        return CategoricalAccuracy(name=identifier)
    found = get(identifier)
    if found is None:
        raise ValueError("Expected metric, received `None`")
    name = identifier if isinstance(identifier, str) else object_name(found)
    metric = found if isinstance(found, Metric) else MeanMetricWrapper(found, name=name)
    metric.name = name
    return metric


def serialize(metric: Any) -> Any:
    """Configuration of a metric, in Keras 3's dict form."""
    from ..saving.registry import serialize_keras_object

    return serialize_keras_object(metric)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The metric that a configuration describes."""
    from ..saving.registry import deserialize_keras_object

    return deserialize_keras_object(config, custom_objects, module_objects=_BY_NAME)
