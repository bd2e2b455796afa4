# SPDX-License-Identifier: BSD-3-Clause
"""The losses of symbolic tensors: what a loss of one's own, or a `call`, makes of them becomes a part of the graph, with
gradients of both arguments."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ops
from .traced import aligned_ranks

__all__ = ["reduced", "values_of"]

_EPSILON = 1e-7  # keras.config.epsilon()


def values_of(loss: Any, y_true: Any, y_pred: Any) -> Any:
    """The value of each sample, a symbolic tensor: `Loss.call` of symbolic tensors.

    Raises
    ------
    TypeError
        If the loss has no formula: it computes in NumPy.
    """
    formula = next((_FORMULAS[c.__name__] for c in type(loss).__mro__ if c.__name__ in _FORMULAS), None)
    if formula is None:
        raise TypeError(
            f"loss {loss.name!r} of class {type(loss).__name__} takes arrays, not symbolic tensors"
        )
    y, p = (value if hasattr(value, "shape") else np.asarray(value) for value in (y_true, y_pred))
    if formula in _OF_CLASS_NUMBERS:
        return formula(loss, y, p)
    return formula(loss, *aligned_ranks(ops.cast(y, "float32"), ops.cast(p, "float32")))


def reduced(loss: Any, values: Any, sample_weight: Any, mask: Any) -> Any:
    """Values weighted and reduced, as `Loss` does with arrays."""
    averages = loss.reduction in ("sum_over_batch_size", "mean")
    weights = count = None
    if mask is not None:
        weights = ops.cast(mask, "float32")
        if averages:
            count = ops.sum(weights)
    if sample_weight is not None:
        given = ops.cast(sample_weight, "float32")
        given = ops.reshape(given, (-1, *given.shape[1:], *(1,) * (len(values.shape) - len(given.shape))))
        weights = given if weights is None else weights * given
    if loss.reduction == "mean_with_sample_weight" and weights is not None:
        count = ops.sum(weights)
    values = values if weights is None else values * weights
    if loss.reduction in ("none", None):
        return values
    if count is not None:
        return ops.divide_no_nan(ops.sum(values), count)
    return ops.sum(values) if loss.reduction == "sum" else ops.mean(values)


def _mean(values: Any) -> Any:
    return ops.mean(values, axis=-1)


def _huber(loss: Any, y: Any, p: Any) -> Any:
    error, delta = p - y, loss.delta
    size = ops.abs(error)
    return _mean(ops.where(size <= delta, 0.5 * ops.square(error), delta * size - 0.5 * delta**2))


def _log_cosh(_: Any, y: Any, p: Any) -> Any:
    size = ops.abs(p - y)
    return _mean(size + ops.log1p(ops.exp(-2.0 * size)) - math.log(2.0))


def _logarithm(x: Any) -> Any:
    return ops.log(ops.maximum(x, _EPSILON) + 1.0)


def _divergence(_: Any, y: Any, p: Any) -> Any:
    y, p = ops.clip(y, _EPSILON, 1.0), ops.clip(p, _EPSILON, 1.0)
    return ops.sum(y * ops.log(y / p), axis=-1)


def _cosine(loss: Any, y: Any, p: Any) -> Any:
    def unit(x: Any) -> Any:
        return x / ops.sqrt(ops.maximum(ops.sum(ops.square(x), axis=loss.axis, keepdims=True), 1e-12))

    return -ops.sum(unit(y) * unit(p), axis=loss.axis)


def _missing(y: Any, p: Any) -> Any:
    binary = ops.all(ops.logical_or(ops.equal(y, 0.0), ops.equal(y, 1.0)))
    return ops.maximum(1.0 - ops.where(binary, 2.0 * y - 1.0, y) * p, 0.0)


def _categorical_hinge(_: Any, y: Any, p: Any) -> Any:
    return ops.maximum(ops.max((1.0 - y) * p, axis=-1) - ops.sum(y * p, axis=-1) + 1.0, 0.0)


def _smoothed(loss: Any, y: Any, answers: int) -> Any:
    part = loss.label_smoothing
    return y * (1.0 - part) + part / answers if part else y


def _binary(loss: Any, y: Any, p: Any) -> Any:
    return ops.mean(ops.binary_crossentropy(_smoothed(loss, y, 2), p, loss.from_logits), axis=loss.axis)


def _categorical(loss: Any, y: Any, p: Any) -> Any:
    y = _smoothed(loss, y, p.shape[loss.axis])
    return ops.categorical_crossentropy(y, p, loss.from_logits, loss.axis)


def _sparse(loss: Any, y: Any, p: Any) -> Any:
    y = ops.cast(y, "int32")
    if len(y.shape) == len(p.shape):
        y = ops.squeeze(y, -1)
    if loss.ignore_class is None:
        return ops.sparse_categorical_crossentropy(y, p, loss.from_logits, loss.axis)
    counted = ops.not_equal(y, loss.ignore_class)
    values = ops.sparse_categorical_crossentropy(
        y * ops.cast(counted, "int32"), p, loss.from_logits, loss.axis
    )
    return values * ops.cast(counted, "float32")


def _binary_focal(loss: Any, y: Any, p: Any) -> Any:
    y = _smoothed(loss, y, 2)
    p = ops.sigmoid(p) if loss.from_logits else p
    right = y * p + (1.0 - y) * (1.0 - p)
    values = ops.power(1.0 - right, loss.gamma) * ops.binary_crossentropy(y, p)
    if loss.apply_class_balancing:
        values = values * (y * loss.alpha + (1.0 - y) * (1.0 - loss.alpha))
    return ops.mean(values, axis=loss.axis)


def _categorical_focal(loss: Any, y: Any, p: Any) -> Any:
    y = _smoothed(loss, y, p.shape[loss.axis])
    p = ops.softmax(p, axis=loss.axis) if loss.from_logits else p
    p = ops.clip(p / ops.sum(p, axis=loss.axis, keepdims=True), _EPSILON, 1.0 - _EPSILON)
    values = ops.power(1.0 - p, loss.gamma) * y * ops.log(p) * np.asarray(loss.alpha, np.float32)
    return -ops.sum(values, axis=loss.axis)


def _generalized(loss: Any, y: Any, p: Any) -> Any:
    y = ops.cast(y, "int32")
    y = y if len(y.shape) == len(p.shape) else ops.expand_dims(y, -1)
    right = ops.squeeze(ops.take_along_axis(p, y, axis=-1), -1)
    return (1.0 - ops.power(right, loss.q)) / loss.q


def _dice(loss: Any, y: Any, p: Any) -> Any:
    total = ops.sum(y, axis=loss.axis) + ops.sum(p, axis=loss.axis) + _EPSILON
    return 1.0 - 2.0 * ops.sum(y * p, axis=loss.axis) / total


def _tversky(loss: Any, y: Any, p: Any) -> Any:
    common, missed, false = (ops.sum(part, axis=loss.axis) for part in (y * p, y * (1.0 - p), (1.0 - y) * p))
    return 1.0 - common / (common + loss.alpha * missed + loss.beta * false + _EPSILON)


def _ctc(_: Any, y: Any, p: Any) -> Any:
    y = ops.cast(y, "int32")
    labels = ops.sum(ops.cast(ops.not_equal(y, 0), "int32"), axis=1)
    return ops.ctc_loss(y, p, labels, ops.zeros_like(labels) + ops.shape(p)[1])


_OF_CLASS_NUMBERS = (_sparse, _generalized, _ctc)
_FORMULAS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "MeanSquaredError": lambda _, y, p: _mean(ops.square(p - y)),
    "MeanAbsoluteError": lambda _, y, p: _mean(ops.abs(p - y)),
    "MeanAbsolutePercentageError": lambda _, y, p: (
        100.0 * _mean(ops.abs((p - y) / ops.maximum(ops.abs(y), _EPSILON)))
    ),
    "MeanSquaredLogarithmicError": lambda _, y, p: _mean(ops.square(_logarithm(p) - _logarithm(y))),
    "Huber": _huber,
    "LogCosh": _log_cosh,
    "KLDivergence": _divergence,
    "Poisson": lambda _, y, p: _mean(p - y * ops.log(p + _EPSILON)),
    "CosineSimilarity": _cosine,
    "Hinge": lambda _, y, p: _mean(_missing(y, p)),
    "SquaredHinge": lambda _, y, p: _mean(ops.square(_missing(y, p))),
    "CategoricalHinge": _categorical_hinge,
    "BinaryCrossentropy": _binary,
    "CategoricalCrossentropy": _categorical,
    "SparseCategoricalCrossentropy": _sparse,
    "BinaryFocalCrossentropy": _binary_focal,
    "CategoricalFocalCrossentropy": _categorical_focal,
    "CategoricalGeneralizedCrossEntropy": _generalized,
    "Dice": _dice,
    "Tversky": _tversky,
    "CTC": _ctc,
}
