# SPDX-License-Identifier: BSD-3-Clause
"""Losses of several outputs at once: targets and predictions in lists, tuples or dicts."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..symbolic import flatten, map_leaves, packed
from .arrays import Array
from .base import Loss
from .function import FunctionLoss, read_only

__all__ = ["joint_value_and_grads"]


def joint_value_and_grads(
    loss: Loss, y_true: Any, y_pred: Any, sample_weight: Any = None
) -> tuple[Any, list[Array]]:
    """The loss of a structure of outputs, and its derivatives by each of them in the order of `flatten`.

    A function, or a class that writes `call`, gets the structures. It uses `lstmfast.ops` alone, or (a function) gives
    ``(value, gradients)`` with a gradient for each part of `y_pred`, in its structure. Built-in losses take a list of
    outputs of one shape, as in Keras, as one array with an axis in front.

    Raises
    ------
    TypeError
        If the loss does not take structures.
    NotImplementedError
        If its gradient cannot be found.
    ValueError
        If shapes do not fit.
    """
    preds = map_leaves(lambda a: np.ascontiguousarray(a, np.float32), y_pred)
    if isinstance(loss, FunctionLoss):
        made = loss.fn(map_leaves(read_only, y_true), map_leaves(read_only, preds))
        if isinstance(made, tuple):
            return _given_gradients(loss, made, preds, y_true, sample_weight)
        value, gradients = loss._traced(loss._on_aligned, y_true, preds, sample_weight, None)
    elif loss._has_call_only:
        value, gradients = loss._traced(loss.call, y_true, preds, sample_weight, None)
    else:
        return _stacked(loss, y_true, preds, sample_weight)
    return value, flatten(gradients)


def _given_gradients(
    loss: FunctionLoss, made: tuple[Any, ...], preds: Any, y_true: Any, sample_weight: Any
) -> tuple[Any, list[Array]]:
    """What the function returned as value and gradients, weighted and reduced."""
    leaves = flatten(preds)
    if len(made) != 2 or len(flatten(made[1])) != len(leaves):
        raise TypeError(
            f"loss function {loss.name!r} of {len(leaves)} outputs together must return (value, gradients) with a gradient "
            "for each of them, or use `lstmfast.ops` alone"
        )
    values = np.asarray(made[0], np.float32)
    if values.ndim == 0:
        loss._refuse_weights(sample_weight, None)
        weights = np.ones(1, np.float32)
    else:
        weights = loss._weights(values.shape, sample_weight, None)
    gradients = []
    for gradient, pred in zip(flatten(made[1]), leaves, strict=True):
        array = np.asarray(gradient, np.float32)
        if array.shape != pred.shape or values.shape != pred.shape[: values.ndim]:
            raise ValueError(
                f"loss {loss.name!r}: expected values of a shape that {pred.shape} begins with and a gradient of that "
                f"shape, got {values.shape} and {array.shape}"
            )
        gradients.append(array * weights.reshape(values.shape + (1,) * (array.ndim - values.ndim)))
    value = (
        values[()] if values.ndim == 0 else loss._reduce(values.reshape(-1), weights, values.shape, y_true)
    )
    return value, gradients


def _stacked(loss: Loss, y_true: Any, preds: Any, sample_weight: Any) -> tuple[Any, list[Array]]:
    parts = preds if isinstance(preds, (list, tuple)) else []
    shapes = {np.shape(part) if isinstance(part, np.ndarray) else None for part in parts}
    if len(shapes) != 1 or None in shapes:
        raise TypeError(
            f"loss {loss.name!r} of class {type(loss).__name__} takes one array, or a list of arrays of one shape, not "
            f"outputs of the structure {packed(preds, ['*'] * len(flatten(preds)))}"
        )
    value, gradient = loss.value_and_grad(np.stack(list(y_true)), np.stack(parts), sample_weight)
    return value, list(gradient)
