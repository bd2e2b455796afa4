# SPDX-License-Identifier: BSD-3-Clause
"""Plain functions as losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..symbolic import flatten, is_symbolic, packed
from ..utils.naming import object_name
from .arrays import Array, numeric
from .base import Loss
from .traced import aligned_ranks

__all__ = ["FunctionLoss"]


class FunctionLoss(Loss):
    """A plain function ``f(y_true, y_pred) -> (value, gradient)`` as a loss; `compile` makes one of a function.

    One that is written with `lstmfast.ops` and operators alone may return the value only, as in Keras: its gradient is
    found. Both arguments are float32 then.

    `y_pred` is what the model's output gives, float32 (B, ...); `y_true` the targets as the caller gave them
    (in `fit`: float32, or int64 for integers, with a last axis of length 1 where the output has one). Both
    are read-only. The gradient has the shape of `y_pred`.

    - **A value for each element**: of a shape that `y_pred`'s begins with, such as (B,) or (B, T). The
      gradient is that of their plain sum: each element's own, not divided by their number. `reduction`,
      sample weights and masks apply to both, as for every loss: by default the loss is
      ``sum(weight * value) / count``, where steps that a mask or `lengths` excludes have weight 0 and do not
      count.
    - **One number**: the loss itself, and its own gradient. `reduction` does not apply; sample weights, masks
      and `lengths` on an output with time steps are refused, as nothing says which part of the number they
      concern.

    With several outputs each has a loss of its own, multiplied by its entry of `loss_weights`, unless `compile` was given
    the function for several together: it gets them, and the targets, in their structure then, and a gradient that it
    returns itself has one for each of them. Sample weights must be the same for all of them.

    Parameters
    ----------
    fn : callable
        Or any object with such a ``__call__``.
    reduction, name, dtype
        As for `Loss`.

    Raises
    ------
    TypeError
        When it is used, if `fn` does not return a value and a gradient.
    ValueError
        If their shapes do not fit, or one number meets weights or a mask.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.losses import FunctionLoss
    >>> def squared(y_true, y_pred):  # a value for each sample
    ...     error = y_pred - y_true
    ...     return (error**2).sum(axis=-1), 2 * error
    >>> value, gradient = FunctionLoss(squared).value_and_grad(np.zeros((2, 1)), np.float32([[1], [3]]))
    >>> float(value), gradient.ravel().tolist()
    (5.0, [1.0, 3.0])
    >>> from lstmfast import ops
    >>> by_operations = FunctionLoss(lambda y, p: ops.sum(ops.square(p - y), axis=-1))
    >>> by_operations.value_and_grad(np.zeros((2, 1)), np.float32([[1], [3]]))[1].ravel().tolist()
    [1.0, 3.0]
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
        #: Found out when it is first used: it returns values alone and uses only operations.
        self._by_operations = False

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return (
            self._on_aligned(y_true, y_pred)
            if is_symbolic((y_true, y_pred))
            else super().call(y_true, y_pred)
        )

    def call_and_grad(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        return self._pair(self.fn(read_only(y_true), read_only(y_pred)), y_pred)

    def _pair(self, result: Any, y_pred: Array) -> tuple[Array, Array]:
        if not isinstance(result, tuple) or len(result) != 2 or any(part is None for part in result):
            got = (
                f"a tuple of {len(result)}"
                if isinstance(result, tuple) and len(result) != 2
                else repr(result)
            )
            raise TypeError(
                f"loss function {self.name!r} must return a tuple (value, gradient with respect to y_pred): there "
                "is no automatic differentiation, but of what is written with `lstmfast.ops` alone. The value is one for "
                "each sample or time step, or one number; "
                f"the gradient has the shape of y_pred, {np.shape(y_pred)}. Got {got[:200]}"
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
        if not self._by_operations:
            result = self.fn(read_only(np.asarray(y_true)), read_only(pred))
            self._by_operations = not isinstance(result, tuple)
        if self._by_operations:
            try:
                return self._traced(self._on_aligned, y_true, pred, sample_weight, mask)
            except NotImplementedError:
                self._by_operations = False
        values, grad = self._pair(result, pred)
        if np.ndim(values) == 0:
            self._refuse_weights(sample_weight, mask)
        return self._weighted(y_true, pred, values, grad, sample_weight, mask)

    def _on_aligned(self, y_true: Any, y_pred: Any) -> Any:
        """`fn` of symbolic tensors, or structures of them, with ranks that differ by an axis of size 1 made the same."""
        ranks = (aligned_ranks(*pair) for pair in zip(flatten(y_true), flatten(y_pred), strict=True))
        ys, preds = zip(*ranks, strict=True)
        return self.fn(packed(y_true, ys), packed(y_pred, preds))

    def check_targets(
        self, y_true: npt.ArrayLike, output_shape: Sequence[int | None], name: str = "y"
    ) -> None:
        """Only that targets are numbers: what else they may be, NaN for missing ones say, `fn` knows."""
        numeric(y_true, name)

    def get_config(self) -> dict[str, Any]:
        from ..saving.registry import serialize_keras_object

        return {**super().get_config(), "fn": serialize_keras_object(self.fn)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Loss:
        from ..saving.registry import deserialize_keras_object

        fn = config["fn"]
        return cls(**{**config, "fn": fn if callable(fn) else deserialize_keras_object(fn)})


def read_only(array: Array) -> Array:
    """The targets may be the caller's own, the predictions are needed by the backward pass."""
    view = array.view()
    view.flags.writeable = False
    return view
