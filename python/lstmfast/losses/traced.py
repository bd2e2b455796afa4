# SPDX-License-Identifier: BSD-3-Clause
"""Losses written with `lstmfast.ops`, as Keras's programs write theirs: what they do with symbolic tensors gives the gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..symbolic import KerasTensor, flatten, packed

__all__ = ["aligned_ranks", "traced_loss"]

Array = npt.NDArray[Any]


def traced_loss(
    function: Callable[[Any, Any], Any], y_true: Any, y_pred: Any
) -> tuple[Array, Callable[[Any], Any]]:
    """The values that a function of targets and predictions gives, and a function from their gradients to that of y_pred.

    Both are float32 for it, as in Keras; they may be structures of arrays, as is the gradient then. ValueError if it does
    anything but operations with them.
    """
    from ..ops.composed import differentiated

    arrays = [
        np.ascontiguousarray(a, np.float32).reshape(np.shape(a)) for a in (*flatten(y_true), *flatten(y_pred))
    ]
    count = len(flatten(y_true))
    preds = arrays[count:]

    def checked(*tensors: Any) -> Any:
        made = function(packed(y_true, tensors[:count]), packed(y_pred, tensors[count:]))
        if isinstance(made, KerasTensor):
            return made
        if isinstance(made, (bool, int, float, np.ndarray, np.generic)):
            raise TypeError("its value does not depend on what it is given by operations")
        raise TypeError(f"it returned {made!r:.100}")

    values, pull_back = differentiated(checked, arrays)
    shape = np.shape(values)

    def gradient(dy: Any) -> Any:
        found = pull_back(np.asarray(dy, np.float32).reshape(shape))[count:]
        whole = [np.zeros_like(p) if g is None else g for p, g in zip(preds, found, strict=True)]
        return packed(y_pred, whole)

    values = np.asarray(values, np.float32)
    while values.ndim > 1 and values.shape[-1] == 1 and values.shape != preds[0].shape[: values.ndim]:
        values = values[..., 0]  # kept axes of what was joined
    return values, gradient


def aligned_ranks(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """As Keras, a last axis of size 1 taken from the one that has it alone."""
    from .. import ops

    a, b = tuple(y_true.shape), tuple(y_pred.shape)
    if len(a) == len(b) + 1 and a[-1] == 1:
        return (
            (y_true, ops.expand_dims(y_pred, -1))
            if len(b) == 1 and b[0] == 1
            else (ops.squeeze(y_true, -1), y_pred)
        )
    if len(b) == len(a) + 1 and b[-1] == 1:
        return (
            (ops.expand_dims(y_true, -1), y_pred)
            if len(a) == 1 and a[0] == 1
            else (y_true, ops.squeeze(y_pred, -1))
        )
    return y_true, y_pred
