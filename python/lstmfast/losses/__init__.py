# SPDX-License-Identifier: BSD-3-Clause
"""Losses by Keras 3's names, each as a class and as a function that gives the value of every sample."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .arrays import Array
from .base import Loss
from .circle import Circle, circle_values
from .crossentropy import BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy
from .ctc import CTC
from .focal import (
    BinaryFocalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
)
from .function import FunctionLoss
from .hinge import CategoricalHinge, Hinge, SquaredHinge
from .overlap import Dice, Tversky
from .regression import (
    CosineSimilarity,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
)

__all__ = [
    "CTC",
    "FUNCTIONS",
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "CategoricalHinge",
    "Circle",
    "CosineSimilarity",
    "Dice",
    "FunctionLoss",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Tversky",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "categorical_hinge",
    "circle",
    "cosine_similarity",
    "ctc",
    "deserialize",
    "dice",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "resolve",
    "serialize",
    "sparse_categorical_crossentropy",
    "squared_hinge",
    "tversky",
]

X = npt.ArrayLike


def mean_squared_error(y_true: X, y_pred: X) -> Array:
    """``mean((y_pred - y_true)**2)`` over the last axis."""
    return MeanSquaredError().call(y_true, y_pred)


def mean_absolute_error(y_true: X, y_pred: X) -> Array:
    """``mean(|y_pred - y_true|)`` over the last axis."""
    return MeanAbsoluteError().call(y_true, y_pred)


def mean_absolute_percentage_error(y_true: X, y_pred: X) -> Array:
    """``100 * mean(|y_pred - y_true| / |y_true|)`` over the last axis."""
    return MeanAbsolutePercentageError().call(y_true, y_pred)


def mean_squared_logarithmic_error(y_true: X, y_pred: X) -> Array:
    """``mean((log(1 + y_pred) - log(1 + y_true))**2)`` over the last axis."""
    return MeanSquaredLogarithmicError().call(y_true, y_pred)


def cosine_similarity(y_true: X, y_pred: X, axis: int = -1) -> Array:
    """Minus the cosine of the angle between two vectors."""
    return CosineSimilarity(axis=axis).call(y_true, y_pred)


def huber(y_true: X, y_pred: X, delta: float = 1.0) -> Array:
    """Squared below `delta`, absolute above, averaged over the last axis."""
    return Huber(delta=delta).call(y_true, y_pred)


def log_cosh(y_true: X, y_pred: X) -> Array:
    """``mean(log(cosh(y_pred - y_true)))`` over the last axis."""
    return LogCosh().call(y_true, y_pred)


def kl_divergence(y_true: X, y_pred: X) -> Array:
    """``sum(y_true * log(y_true / y_pred))`` over the last axis."""
    return KLDivergence().call(y_true, y_pred)


def poisson(y_true: X, y_pred: X) -> Array:
    """``mean(y_pred - y_true * log(y_pred))`` over the last axis."""
    return Poisson().call(y_true, y_pred)


def hinge(y_true: X, y_pred: X) -> Array:
    """``mean(max(1 - y_true * y_pred, 0))`` over the last axis."""
    return Hinge().call(y_true, y_pred)


def squared_hinge(y_true: X, y_pred: X) -> Array:
    """``mean(max(1 - y_true * y_pred, 0)**2)`` over the last axis."""
    return SquaredHinge().call(y_true, y_pred)


def categorical_hinge(y_true: X, y_pred: X) -> Array:
    """``max(best wrong - right + 1, 0)`` over the last axis."""
    return CategoricalHinge().call(y_true, y_pred)


def binary_crossentropy(
    y_true: X, y_pred: X, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Array:
    """``-t log(p) - (1 - t) log(1 - p)``, averaged over an axis."""
    return BinaryCrossentropy(from_logits, label_smoothing, axis).call(y_true, y_pred)


def categorical_crossentropy(
    y_true: X, y_pred: X, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Array:
    """``-sum_c t_c log(p_c)``, targets one-hot."""
    return CategoricalCrossentropy(from_logits, label_smoothing, axis).call(y_true, y_pred)


def sparse_categorical_crossentropy(
    y_true: X, y_pred: X, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Array:
    """``-log(p[t])``, targets class numbers."""
    loss = SparseCategoricalCrossentropy(from_logits, ignore_class, reduction="none", axis=axis)
    return loss(y_true, y_pred)  # type: ignore[no-any-return]


def binary_focal_crossentropy(
    y_true: X,
    y_pred: X,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """Binary cross-entropy times ``(1 - p_t)**gamma``, averaged over an axis."""
    loss = BinaryFocalCrossentropy(apply_class_balancing, alpha, gamma, from_logits, label_smoothing, axis)
    return loss.call(y_true, y_pred)


def categorical_focal_crossentropy(
    y_true: X,
    y_pred: X,
    alpha: float | Sequence[float] = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Array:
    """``-sum_c alpha_c (1 - p_c)**gamma t_c log(p_c)``, targets one-hot."""
    loss = CategoricalFocalCrossentropy(alpha, gamma, from_logits, label_smoothing, axis)
    return loss.call(y_true, y_pred)


def categorical_generalized_cross_entropy(y_true: X, y_pred: X, q: float = 0.5) -> Array:
    """``(1 - p[t]**q) / q``, targets class numbers."""
    return CategoricalGeneralizedCrossEntropy(q).call(y_true, y_pred)


def dice(y_true: X, y_pred: X, axis: int | Sequence[int] | None = None) -> Array:
    """``1 - 2 sum(t p) / (sum(t) + sum(p))`` over all axes or `axis`."""
    return Dice(axis=axis).call(y_true, y_pred)


def tversky(
    y_true: X,
    y_pred: X,
    alpha: float = 0.5,
    beta: float = 0.5,
    axis: int | Sequence[int] | None = None,
) -> Array:
    """``1 - c / (c + alpha missed + beta false)``, ``c = sum(t p)``, over all axes or `axis`."""
    return Tversky(alpha, beta, axis=axis).call(y_true, y_pred)


def circle(
    y_true: X,
    y_pred: X,
    ref_labels: X | None = None,
    ref_embeddings: X | None = None,
    remove_diagonal: bool = True,
    gamma: float = 80,
    margin: float = 0.4,
) -> Array:
    """Distances within classes against those between, of embeddings (B, D) of norm 1; against `ref_embeddings`
    (R, D) of the classes `ref_labels` (R,) instead of each other where given."""
    p, y = np.asarray(y_pred, np.float32), np.asarray(y_true).reshape(-1)
    ref = p if ref_embeddings is None else np.asarray(ref_embeddings, np.float32)
    labels = y if ref_labels is None else np.asarray(ref_labels).reshape(-1)
    return circle_values(y, p, labels, ref, remove_diagonal, gamma, margin)[0]


def ctc(y_true: X, y_pred: X) -> Array:
    """``-log p(labels | outputs)`` over all ways to place labels (B, L) in the time of logits (B, T, C)."""
    return CTC().call(y_true, y_pred)


_CLASS_OF: dict[Any, type[Loss]] = {
    binary_focal_crossentropy: BinaryFocalCrossentropy,
    categorical_focal_crossentropy: CategoricalFocalCrossentropy,
    categorical_generalized_cross_entropy: CategoricalGeneralizedCrossEntropy,
    circle: Circle,
    ctc: CTC,
    dice: Dice,
    tversky: Tversky,
    binary_crossentropy: BinaryCrossentropy,
    categorical_crossentropy: CategoricalCrossentropy,
    categorical_hinge: CategoricalHinge,
    cosine_similarity: CosineSimilarity,
    hinge: Hinge,
    huber: Huber,
    kl_divergence: KLDivergence,
    log_cosh: LogCosh,
    mean_absolute_error: MeanAbsoluteError,
    mean_absolute_percentage_error: MeanAbsolutePercentageError,
    mean_squared_error: MeanSquaredError,
    mean_squared_logarithmic_error: MeanSquaredLogarithmicError,
    poisson: Poisson,
    sparse_categorical_crossentropy: SparseCategoricalCrossentropy,
    squared_hinge: SquaredHinge,
}
#: All loss functions above.
FUNCTIONS = tuple(_CLASS_OF)
_SHORT = {
    "bce": binary_crossentropy,
    "kld": kl_divergence,
    "mae": mean_absolute_error,
    "mse": mean_squared_error,
    "mape": mean_absolute_percentage_error,
    "msle": mean_squared_logarithmic_error,
}
_BY_NAME: dict[str, Any] = {function.__name__: function for function in _CLASS_OF}
_BY_NAME.update({cls.__name__: cls for cls in _CLASS_OF.values()})
_BY_NAME.update(_SHORT)
_BY_NAME.update({name.upper(): function for name, function in _SHORT.items()})
# Keras 2's names, which teaching texts still use; and Keras 3's for the same losses as metrics
_BY_NAME.update(logcosh=log_cosh, kullback_leibler_divergence=kl_divergence, huber_loss=huber)


def get(identifier: Any) -> Loss | Callable[..., Any] | None:
    """A loss function or object from a name, a configuration, a class or itself, as Keras does; None for
    None.

    Raises
    ------
    ValueError
        If the name is unknown, or `identifier` is none of these.

    Examples
    --------
    >>> from lstmfast import losses
    >>> losses.get("mse") is losses.mean_squared_error
    True
    >>> losses.get("Huber").delta
    1.0
    """
    if identifier is None:
        return None
    found = identifier
    if isinstance(identifier, str):
        found = _BY_NAME.get(identifier)
        if found is None:
            from ..saving.registry import get_registered_object

            found = get_registered_object(identifier)
    elif isinstance(identifier, dict):
        found = deserialize(identifier)
    if callable(found):
        made: Any = found() if inspect.isclass(found) else found
        return made  # type: ignore[no-any-return]
    raise ValueError(f"Could not interpret loss identifier: {identifier}")


def resolve(
    identifier: Any,
    y_shape: Sequence[int | None] | None = None,
    output_shape: Sequence[int | None] | None = None,
) -> Loss | None:
    """The `Loss` object for what a user passed to ``compile(loss=...)``; None for None.

    Parameters
    ----------
    identifier : str, dict, callable, Loss or None
        A plain function of the user gives ``(value, gradient)``, see `FunctionLoss`. "crossentropy" and "ce"
        stand for the cross-entropy that fits the shapes.
    y_shape, output_shape : sequence of int or None, optional
        Shapes of targets and predictions; needed for "crossentropy" only.

    Raises
    ------
    ValueError
        If `identifier` is none of these.

    Examples
    --------
    >>> from lstmfast import losses
    >>> losses.resolve("mse").name
    'mse'
    """
    if isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        if y_shape is None or output_shape is None:
            raise ValueError(f"loss={identifier!r} needs the shapes of targets and predictions")
        if output_shape[-1] == 1:
            function: Any = binary_crossentropy
        elif len(y_shape) < len(output_shape) or y_shape[-1] == 1:
            function = sparse_categorical_crossentropy
        else:
            function = categorical_crossentropy
    else:
        function = get(identifier)
    if function is None or isinstance(function, Loss):
        return function
    name = identifier if isinstance(identifier, str) else None
    cls = _CLASS_OF.get(function) if inspect.isfunction(function) else None
    if cls is not None:
        return cls(name=name or function.__name__)
    return FunctionLoss(function, name=name)


def serialize(loss: Any) -> Any:
    """Configuration of a loss, in Keras 3's dict form."""
    from ..saving.registry import serialize_keras_object

    return serialize_keras_object(loss)


def deserialize(name: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The loss that a configuration describes."""
    from ..saving.registry import deserialize_keras_object

    return deserialize_keras_object(name, custom_objects, module_objects=_BY_NAME)
