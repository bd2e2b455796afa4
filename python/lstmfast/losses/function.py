# SPDX-License-Identifier: BSD-3-Clause
"""Plain functions as losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..utils.naming import object_name
from .arrays import Array
from .base import Loss

__all__ = ["FunctionLoss"]


class FunctionLoss(Loss):
    """A plain function ``f(y_true, y_pred) -> (values, gradient)`` as a loss.

    Parameters
    ----------
    fn : callable
        Gives either the value of each sample and the derivative of their sum by `y_pred` (weights and
        `reduction` apply), or one number, the loss itself, and its derivative.
    reduction, name, dtype
        As for `Loss`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.losses import FunctionLoss
    >>> def squared(y_true, y_pred):
    ...     error = y_pred - y_true
    ...     return (error**2).mean(), 2 * error / error.size
    >>> value, gradient = FunctionLoss(squared).value_and_grad(np.zeros((2, 1)), np.float32([[1], [3]]))
    >>> float(value), gradient.ravel().tolist()
    (5.0, [1.0, 3.0])
    """

    def __init__(
        self,
        fn: Callable[[Array, Array], Any],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name or object_name(fn), reduction=reduction, dtype=dtype)
        self.fn = fn

    def call_and_grad(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        result = self.fn(y_true, y_pred)
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(
                f"loss function {self.name!r}: expected a tuple (value, gradient with respect to y_pred), "
                f"got {type(result).__name__}"
            )
        return result

    def value_and_grad(
        self,
        y_true: npt.ArrayLike,
        y_pred: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | None = None,
    ) -> tuple[Any, Array]:
        pred = np.ascontiguousarray(y_pred, np.float32)
        values, grad = self.call_and_grad(np.asarray(y_true), pred)
        if np.ndim(values) == 0 and (sample_weight is not None or mask is not None):
            raise ValueError(
                f"loss function {self.name!r} gives one number: sample_weight and masks need one value for "
                "each sample"
            )
        return self._weighted(y_true, pred, values, grad, sample_weight, mask)

    def get_config(self) -> dict[str, Any]:
        from ..saving.registry import serialize_keras_object

        return {**super().get_config(), "fn": serialize_keras_object(self.fn)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Loss:
        from ..saving.registry import deserialize_keras_object

        fn = config["fn"]
        return cls(**{**config, "fn": fn if callable(fn) else deserialize_keras_object(fn)})
