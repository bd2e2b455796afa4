# SPDX-License-Identifier: BSD-3-Clause
"""Cross-entropies. From logits, or with the output activation taken over, they are one native call and
stable for any value; from probabilities they follow Keras 3, which keeps those at least 1e-7 from 0 and
1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .. import _core
from .arrays import Array, as_rows, numeric
from .base import RowLoss

__all__ = ["BinaryCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy"]

_EPSILON = 1e-7  # keras.config.epsilon()


class ProbabilityLoss(RowLoss):
    """A loss of probabilities or logits, whose targets may be drawn towards the uniform distribution."""

    _arguments: ClassVar[tuple[str, ...]] = ("from_logits", "label_smoothing", "axis")  # in the configuration

    def __init__(
        self,
        from_logits: bool,
        label_smoothing: float,
        axis: int,
        reduction: str | None,
        name: str | None,
        dtype: Any,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis

    def _smoothed(self, y: Array, answers: int) -> Array:
        """Targets for a question with so many answers."""
        part = self.label_smoothing
        return y * np.float32(1.0 - part) + np.float32(part / answers) if part else y

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **{name: getattr(self, name) for name in self._arguments}}


class _Crossentropy(ProbabilityLoss):
    _activation: ClassVar[str]

    def __init__(
        self,
        from_logits: bool,
        label_smoothing: float,
        axis: int,
        reduction: str | None,
        name: str | None,
        dtype: Any,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)
        self.fused_activation = None if from_logits or axis != -1 else self._activation

    def _logit_rows(self, y: Array, z: Array, weights: Array) -> tuple[Array, Array, Array]:
        """Values (M,), weighted derivatives by the logits (M, C), and probabilities (M, C)."""
        raise NotImplementedError

    def _rows(self, y: Array, p: Array, weights: Array) -> tuple[Array, Array]:
        if self.from_logits:
            return self._logit_rows(y, p, weights)[:2]
        return super()._rows(y, p, weights)

    def value_grad_and_pred(
        self,
        y_true: npt.ArrayLike,
        logits: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | None = None,
    ) -> tuple[Any, Array, Array]:
        """Output activation and loss in one: for models whose last activation is `fused_activation`.

        Parameters
        ----------
        y_true, sample_weight, mask
            As for `value_and_grad`.
        logits : array_like
            What the activation would be applied to.

        Returns
        -------
        value : np.float32
        gradient : ndarray of float32, by the logits
        y_pred : ndarray of float32, the activation's output
        """
        y, z, shape = self._paired(y_true, logits, sample_weight, mask)
        weights = self._weights(shape, sample_weight, mask)
        values, grad, pred = self._logit_rows(*as_rows(y, z, weights.size), weights)
        given = np.shape(logits)
        if len(given) != 2 or grad.shape != given:
            grad, pred = grad.reshape(given), pred.reshape(given)
        return self._reduce(values, weights, shape, y), grad, pred


class BinaryCrossentropy(_Crossentropy):
    """``-t log(p) - (1 - t) log(1 - p)``, averaged over an axis: labels that are independent of each other.

    Parameters
    ----------
    from_logits : bool
        Predictions are values before the sigmoid.
    label_smoothing : float
        Draws targets towards 1/2 by this part.
    axis : int
        The axis of the average.
    reduction, name, dtype
        As for `Loss`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.losses import BinaryCrossentropy
    >>> round(float(BinaryCrossentropy(from_logits=True)([[1.0]], [[0.0]])), 4)
    0.6931
    """

    default_name = "binary_crossentropy"
    _activation = "sigmoid"

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)

    def _logit_rows(self, y: Array, z: Array, weights: Array) -> tuple[Array, Array, Array]:
        return _core.sigmoid_cross_entropy(z, self._smoothed(y, 2), weights)

    def _plain(self, y: Array, p: Array) -> tuple[Array, Array]:
        y = self._smoothed(y, 2)
        q = np.clip(p, np.float32(_EPSILON), np.float32(1.0 - _EPSILON))
        values = -(y * np.log(q) + (1 - y) * np.log1p(-q)).mean(axis=1)
        return values, np.where(p == q, (q - y) / (q * (1 - q) * q.shape[1]), np.float32(0))


class CategoricalCrossentropy(_Crossentropy):
    """``-sum_c t_c log(p_c)``, targets one-hot or a distribution over classes.

    Parameters
    ----------
    from_logits : bool
        Predictions are values before the softmax.
    label_smoothing : float
        Draws targets towards the uniform distribution by this part.
    axis : int
        The axis of the classes.
    reduction, name, dtype
        As for `Loss`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.losses import CategoricalCrossentropy
    >>> round(float(CategoricalCrossentropy()([[0, 1]], [[0.2, 0.8]])), 4)
    0.2231
    """

    default_name = "categorical_crossentropy"
    _activation = "softmax"

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        check_axis(axis)
        super().__init__(from_logits, label_smoothing, axis, reduction, name, dtype)

    def _misfit(self, y_shape: Sequence[int], p_shape: Sequence[int | None]) -> str:
        hint = (
            "; for class numbers use sparse_categorical_crossentropy" if len(y_shape) <= len(p_shape) else ""
        )
        return super()._misfit(y_shape, p_shape) + hint

    def _logit_rows(self, y: Array, z: Array, weights: Array) -> tuple[Array, Array, Array]:
        return _core.softmax_cross_entropy(z, None, self._smoothed(y, y.shape[1]), weights)

    def _plain(self, y: Array, p: Array) -> tuple[Array, Array]:
        y = self._smoothed(y, y.shape[1])
        total = p.sum(axis=1, keepdims=True)
        q = p / total
        kept = np.clip(q, np.float32(_EPSILON), np.float32(1.0 - _EPSILON))
        values = -(y * np.log(kept)).sum(axis=1)
        dq = np.where(q == kept, -y / kept, np.float32(0))
        return values, (dq - (dq * q).sum(axis=1, keepdims=True)) / total


class SparseCategoricalCrossentropy(_Crossentropy):
    """``-log(p[t])``, targets class numbers.

    Parameters
    ----------
    from_logits : bool
        Predictions are values before the softmax.
    ignore_class : int, optional
        Samples with this target do not count.
    reduction, name, dtype
        As for `Loss`.
    axis : int
        The axis of the classes.

    Raises
    ------
    ValueError
        In a call: if a class number is out of range or not whole.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.losses import SparseCategoricalCrossentropy
    >>> round(float(SparseCategoricalCrossentropy()([1], [[0.2, 0.8]])), 4)
    0.2231
    """

    default_name = "sparse_categorical_crossentropy"
    _activation = "softmax"
    _arguments = ("from_logits", "ignore_class")

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(from_logits, 0.0, axis, reduction, name, dtype)
        self.ignore_class = ignore_class
        if ignore_class is not None:
            self.fused_activation = None

    def value_and_grad(
        self,
        y_true: npt.ArrayLike,
        y_pred: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | None = None,
    ) -> tuple[Any, Array]:
        if self.ignore_class is None:
            return super().value_and_grad(y_true, y_pred, sample_weight, mask)
        y, p, counted = self._without_ignored(y_true, y_pred)
        if mask is not None:
            counted &= np.broadcast_to(np.asarray(mask, np.bool_), counted.shape)
        return super().value_and_grad(y, p, sample_weight, counted)

    def _values(self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Array:
        if self.ignore_class is None:
            return super()._values(y_true, y_pred)
        y, p, counted = self._without_ignored(y_true, y_pred)
        return super()._values(y, p) * counted

    def _without_ignored(self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> tuple[Array, Array, Array]:
        """Targets and predictions with something harmless where the class is ignored, and where it is not."""
        p = np.ascontiguousarray(y_pred, np.float32)
        axis = self.axis % p.ndim
        y = numeric(y_true, "y_true")
        shape = _without(p.shape, axis)
        if y.shape not in (shape, (*shape, 1)):
            raise ValueError(self._misfit(y.shape, p.shape))
        y = y.reshape(shape)
        counted = y != self.ignore_class
        return np.where(counted, y, 0), np.where(np.expand_dims(counted, axis), p, np.float32(1)), counted

    def _paired(
        self, y_true: Any, y_pred: Any, sample_weight: Any, mask: Any
    ) -> tuple[Array, Array, tuple[int, ...]]:
        p = np.ascontiguousarray(y_pred, np.float32)
        y = np.asarray(y_true)
        if self.axis not in (-1, p.ndim - 1):
            p = np.ascontiguousarray(np.moveaxis(p, self.axis, -1))
        shape = p.shape[:-1]
        if y.shape != shape:
            if y.shape != (*shape, 1):
                raise ValueError(self._misfit(y.shape, p.shape))
            y = y.reshape(shape)
        return class_numbers(y, "y_true"), p, shape

    def _misfit(self, y_shape: Sequence[int], p_shape: Sequence[int | None]) -> str:
        hint = "; for one-hot targets use categorical_crossentropy" if y_shape == p_shape else ""
        expected = f"class numbers of shape {p_shape[:-1]} for predictions of {p_shape}"
        return f"y_true: expected {expected}, got {y_shape}{hint}"

    def _logit_rows(self, y: Array, z: Array, weights: Array) -> tuple[Array, Array, Array]:
        return _core.softmax_cross_entropy(z, y, None, weights)

    def _plain(self, y: Array, p: Array) -> tuple[Array, Array]:
        check_range(y, p.shape[1], "y_true")
        row = np.arange(len(y))
        total = p.sum(axis=1)
        q = p[row, y] / total
        kept = np.clip(q, np.float32(_EPSILON), np.float32(1.0 - _EPSILON))
        dq = np.where(q == kept, -1 / (kept * total), np.float32(0))
        grad = np.repeat((-dq * q)[:, None], p.shape[1], axis=1)
        grad[row, y] += dq
        return -np.log(kept), grad

    def check_targets(
        self, y_true: npt.ArrayLike, output_shape: Sequence[int | None], name: str = "y"
    ) -> None:
        y = np.asarray(y_true)
        axis = self.axis % len(output_shape)
        expected = tuple(y.shape[i] if n is None and i < y.ndim else n for i, n in enumerate(output_shape))
        inner = _without(expected, axis)
        if y.shape not in (inner, (*inner, 1)):
            raise ValueError(self._misfit(y.shape, (*inner, output_shape[axis])).replace("y_true", name, 1))
        labels = class_numbers(y, name)
        if self.ignore_class is not None:
            labels = labels[labels != self.ignore_class]
        classes = output_shape[axis]
        if classes is not None:
            check_range(labels.reshape(-1), classes, name)


def _without(shape: Sequence[Any], axis: int) -> tuple[Any, ...]:
    return (*shape[:axis], *shape[axis + 1 :])


def check_axis(axis: Any) -> None:
    """A ValueError for a flag, which Keras once took in this place."""
    if isinstance(axis, bool):
        raise ValueError(f"`axis` must be of type `int`. Received: axis={axis} of type {type(axis)}")


def class_numbers(y: Array, name: str) -> Array:
    """`y` as int64; floats must be whole numbers."""
    kind = y.dtype.kind
    if kind in "iub":
        return np.ascontiguousarray(y, np.int64)
    labels = np.trunc(numeric(y, name))
    if not np.array_equal(labels, y) or not np.isfinite(labels).all():
        bad = float(y[~((labels == y) & np.isfinite(y))].flat[0])
        raise ValueError(f"{name}: expected whole class numbers, got {'NaN' if math.isnan(bad) else bad}")
    return labels.astype(np.int64, order="C")


def check_range(labels: Array, classes: int, name: str) -> None:
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        first = int(np.flatnonzero((labels < 0) | (labels >= classes))[0])
        raise ValueError(
            f"{name}: expected class numbers from 0 to {classes - 1}, got {int(labels[first])} at position "
            f"{first}"
        )
