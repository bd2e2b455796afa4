# SPDX-License-Identifier: BSD-3-Clause
"""Losses, value and gradient together: Keras 3's names, defaults and reductions.

Cross-entropies behind a softmax or sigmoid, and the mean squared error, run on fused native kernels that work on logits
and are stable for any of them; the rest is NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from . import _core

Array = np.ndarray[Any, Any]
REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)
_EPSILON = 1e-7  # keras.config.epsilon()


def match_rank(y_true: Array, y_pred: Array) -> Array:
    """`y_true` with a last axis of 1 added or removed so that its rank is `y_pred`'s, as Keras does."""
    if y_true.ndim == y_pred.ndim - 1 and y_pred.shape[-1] == 1:
        return y_true[..., None]
    if y_true.ndim == y_pred.ndim + 1 and y_true.shape[-1] == 1:
        return y_true[..., 0]
    return y_true


def apply_mask(sample_weight: Array | None, mask: Array, reduction: str | None) -> Array:
    """Sample weights that leave masked steps out, scaled as Keras does so that a mean is over the valid steps."""
    weight = mask.astype(np.float32)
    if reduction in ("sum_over_batch_size", "mean"):
        valid = float(weight.sum())
        weight *= weight.size / valid if valid else 0.0
    if sample_weight is None:
        return weight
    sample_weight = np.asarray(sample_weight, np.float32)
    return weight * sample_weight.reshape(sample_weight.shape + (1,) * (weight.ndim - sample_weight.ndim))


class Loss:
    """Base class. Subclasses write ``per_sample_and_gradient(y_true, y_pred)``.

    Parameters
    ----------
    name : str
    reduction : ``"sum_over_batch_size"``, ``"sum"``, ``"mean"``, ``"mean_with_sample_weight"`` or ``"none"``

    Examples
    --------
    >>> import numpy as np, lstmfast as lf
    >>> float(lf.losses.MeanSquaredError()(np.zeros((2, 1)), np.ones((2, 1))))
    1.0
    """

    #: Activation that this loss can absorb: see `value_grad_and_pred`.
    fused_activation: str | None = None
    #: Whether y_true has one entry per sample (class numbers) where y_pred has a row.
    sparse: ClassVar[bool] = False

    def __init__(self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: Any = None):
        from .utils.naming import to_snake_case

        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction: expected one of {REDUCTIONS}, got {reduction!r}")
        self.name = name or to_snake_case(type(self).__name__)
        self.reduction = reduction
        self.dtype = dtype

    # ---- what subclasses write

    def per_sample_and_gradient(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        """Loss of each sample (y_pred's shape without the last axis), and its gradient (y_pred's shape)."""
        raise NotImplementedError(f"{type(self).__name__} has no per_sample_and_gradient(y_true, y_pred)")

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        return cls(**config)

    # ---- what callers use

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        y_true, y_pred = self._prepare(y_true, y_pred)
        losses, _ = self.per_sample_and_gradient(y_true, y_pred)
        weight, _, value = self._reduce(losses, sample_weight)
        if self.reduction in ("none", None):
            return losses if weight is None else losses * weight
        return np.float32(value)

    def per_sample(self, y_true: Any, y_pred: Any) -> Array:
        """Loss of each sample."""
        return self.per_sample_and_gradient(*self._prepare(y_true, y_pred))[0]

    def value_and_grad(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tuple[float, Array]:
        """The reduced loss and its gradient with respect to `y_pred`."""
        y_true, y_pred = self._prepare(y_true, y_pred)
        losses, gradient = self.per_sample_and_gradient(y_true, y_pred)
        weight, scale, value = self._reduce(losses, sample_weight)
        if weight is None:
            gradient = gradient * np.float32(scale)
        else:
            gradient = gradient * (weight * np.float32(scale))[..., None]
        return value, np.ascontiguousarray(gradient, np.float32)

    def value_grad_and_pred(self, y_true: Any, logits: Array, sample_weight: Any = None) -> tuple[float, Array, Array]:
        """For a `fused_activation`: (loss, gradient with respect to `logits`, activated predictions)."""
        raise NotImplementedError(f"{type(self).__name__} absorbs no activation")

    def check_targets(self, y_true: Array, output_shape: tuple[int | None, ...]) -> None:
        """Raise ValueError unless `y_true` (N, ...) fits a model output of this shape (batch axis included)."""
        check_numbers(y_true)
        expected = output_shape[1:]
        shape = y_true.shape[1:]
        if len(shape) == len(expected) - 1 and expected[-1] == 1:
            shape = (*shape, 1)
        fits = len(shape) == len(expected) and all(e in (None, s) for s, e in zip(shape, expected, strict=True))
        if not fits:
            raise ValueError(f"y: expected shape (N, {_dims(expected)}) for this model's output, got {y_true.shape}")

    # ---- helpers

    def _prepare(self, y_true: Any, y_pred: Any) -> tuple[Array, Array]:
        y_pred = np.asarray(y_pred)
        if y_pred.dtype != np.float32 or not y_pred.flags.c_contiguous:
            y_pred = np.ascontiguousarray(y_pred, np.float32)
        y_true = match_rank(np.asarray(y_true), y_pred)
        if not self.sparse:
            if y_true.dtype != np.float32 or not y_true.flags.c_contiguous:
                y_true = np.ascontiguousarray(y_true, np.float32)
            if y_true.shape != y_pred.shape:
                try:
                    y_true = np.ascontiguousarray(np.broadcast_to(y_true, y_pred.shape))
                except ValueError:
                    raise ValueError(f"y_true: expected shape {y_pred.shape} like y_pred, got {y_true.shape}") from None
        return y_true, y_pred

    def _weights(self, shape: tuple[int, ...], sample_weight: Any) -> Array | None:
        if sample_weight is None:
            return None
        weight = np.asarray(sample_weight, np.float32)
        if weight.ndim == len(shape) + 1 and weight.shape[-1] == 1:
            weight = weight[..., 0]
        weight = weight.reshape(weight.shape + (1,) * (len(shape) - weight.ndim))
        try:
            return np.ascontiguousarray(np.broadcast_to(weight, shape))
        except ValueError:
            raise ValueError(f"sample_weight: expected a shape that fits {shape}, got {np.shape(sample_weight)}") from None

    def _reduce(self, losses: Array, sample_weight: Any) -> tuple[Array | None, float, float]:
        """(weights or None, factor of each sample's gradient beside its weight, reduced value)."""
        weight = self._weights(losses.shape, sample_weight)
        scale = self._scale(losses.size, weight)
        total = losses.sum(dtype=np.float64) if weight is None else np.vdot(losses, weight)
        return weight, scale, float(total) * scale

    def _scale(self, count: int, weight: Array | None) -> float:
        if self.reduction in ("sum", "none", None):
            return 1.0
        divisor = float(weight.sum()) if self.reduction == "mean_with_sample_weight" and weight is not None else count
        return 1.0 / divisor if divisor else 0.0

    def _row_weights(self, rows: int, shape: tuple[int, ...], sample_weight: Any) -> tuple[Array, Array | None]:
        """((rows,) factors of the rows' gradients, plain weights or None) for the native kernels."""
        weight = self._weights(shape, sample_weight)
        scale = np.float32(self._scale(rows, weight))
        if weight is None:
            return np.full(rows, scale, np.float32), None
        flat = weight.reshape(rows)
        return flat * scale, flat


def _dims(shape: tuple[int | None, ...]) -> str:
    return ", ".join("*" if d is None else str(d) for d in shape)


def check_numbers(y_true: Array) -> None:
    """Raise unless targets are finite numbers."""
    if y_true.dtype.kind not in "fiub":
        raise TypeError(f"y: expected numbers, got dtype {y_true.dtype}")
    if y_true.dtype.kind == "f" and not np.isfinite(y_true).all():
        where = np.argwhere(~np.isfinite(y_true))[0]
        raise ValueError(f"y: expected finite values, got {y_true[tuple(where)]} at {tuple(int(i) for i in where)}")


def _rows(a: Array) -> Array:
    return a.reshape(-1, a.shape[-1]) if a.ndim > 1 else a.reshape(-1, 1)


# ---- regression ---------------------------------------------------------------------------------------------------


class MeanSquaredError(Loss):
    """``mean((y_true - y_pred)**2)`` over the last axis."""

    def per_sample_and_gradient(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        losses, gradient = _core.mean_squared_error(_rows(y_pred), _rows(y_true), None)
        return losses.reshape(y_pred.shape[:-1]), gradient.reshape(y_pred.shape)

    def value_and_grad(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tuple[float, Array]:
        y_true, y_pred = self._prepare(y_true, y_pred)
        rows = _rows(y_pred)
        factors, weight = self._row_weights(len(rows), y_pred.shape[:-1], sample_weight)
        losses, gradient = _core.mean_squared_error(rows, _rows(y_true), factors)
        return float(np.vdot(losses, factors)), gradient.reshape(y_pred.shape)


class MeanAbsoluteError(Loss):
    """``mean(|y_true - y_pred|)`` over the last axis."""

    def per_sample_and_gradient(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        d = y_pred - y_true
        return np.abs(d).mean(-1), np.sign(d) / d.shape[-1]


class MeanAbsolutePercentageError(Loss):
    """``100 * mean(|(y_true - y_pred) / max(|y_true|, epsilon)|)``."""

    def per_sample_and_gradient(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        d, scale = y_pred - y_true, 100 / np.maximum(np.abs(y_true), np.float32(_EPSILON))
        return (np.abs(d) * scale).mean(-1), np.sign(d) * scale / d.shape[-1]


class MeanSquaredLogarithmicError(Loss):
    """``mean((log(y_true + 1) - log(y_pred + 1))**2)``, both clipped at epsilon from below."""

    def per_sample_and_gradient(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        p = np.maximum(y_pred, np.float32(_EPSILON))
        d = np.log1p(p) - np.log1p(np.maximum(y_true, np.float32(_EPSILON)))
        return (d * d).mean(-1), 2 * d / (1 + p) * (y_pred > _EPSILON) / d.shape[-1]


class Huber(Loss):
    """Quadratic within `delta` of the target, linear beyond (Huber 1964)."""

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "huber_loss",
        dtype: Any = None,
    ):
        super().__init__(name, reduction, dtype)
        self.delta = delta

    def per_sample_and_gradient(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        d = y_pred - y_true
        a = np.abs(d)
        losses = np.where(a <= self.delta, 0.5 * d * d, self.delta * a - 0.5 * self.delta**2).mean(-1)
        return losses, np.clip(d, -self.delta, self.delta) / d.shape[-1]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "delta": self.delta}


class LogCosh(Loss):
    """``mean(log(cosh(y_pred - y_true)))``."""

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str | None = "log_cosh", dtype: Any = None):
        super().__init__(name, reduction, dtype)

    def per_sample_and_gradient(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        d = y_pred - y_true
        a = np.abs(d)
        return (a + np.log1p(np.exp(-2 * a)) - np.float32(np.log(2.0))).mean(-1), np.tanh(d) / d.shape[-1]


# ---- cross-entropies ------------------------------------------------------------------------------------------------


class _CrossEntropy(Loss):
    def __init__(self, from_logits: bool, reduction: str | None, name: str | None, dtype: Any):
        super().__init__(name, reduction, dtype)
        self.from_logits = from_logits
        self.fused_activation = None if from_logits else type(self)._activation

    _activation: ClassVar[str] = "softmax"

    def _fused(self, y_true: Array, logits: Array, factors: Array) -> tuple[Array, Array, Array]:
        """The native kernel on rows: (loss of each row, factor * gradient, activated)."""
        raise NotImplementedError

    def _on_probabilities(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        raise NotImplementedError

    def per_sample_and_gradient(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        if not self.from_logits:
            return self._on_probabilities(y_true, y_pred)
        rows = _rows(y_pred)
        losses, gradient, _ = self._fused(y_true, rows, np.ones(len(rows), np.float32))
        return losses.reshape(y_pred.shape[:-1]), gradient.reshape(y_pred.shape)

    def value_grad_and_pred(self, y_true: Any, logits: Array, sample_weight: Any = None) -> tuple[float, Array, Array]:
        y_true, logits = self._prepare(y_true, logits)
        rows = _rows(logits)
        factors, _ = self._row_weights(len(rows), logits.shape[:-1], sample_weight)
        losses, gradient, activated = self._fused(y_true, rows, factors)
        return float(np.vdot(losses, factors)), gradient.reshape(logits.shape), activated.reshape(logits.shape)


class _Smoothed(_CrossEntropy):
    def __init__(self, from_logits: bool, label_smoothing: float, reduction: str | None, name: str | None, dtype: Any):
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing: expected a number from 0 to 1, got {label_smoothing}")
        super().__init__(from_logits, reduction, name, dtype)
        self.label_smoothing = label_smoothing

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "from_logits": self.from_logits, "label_smoothing": self.label_smoothing}


def _normalised(y_pred: Array) -> tuple[Array, Array, Array]:
    """Keras's guard for probabilities: (divided by their sum and clipped, not clipped where, the sum)."""
    total = y_pred.sum(-1, keepdims=True)
    p = y_pred / total
    return np.clip(p, _EPSILON, 1 - _EPSILON), (p > _EPSILON) & (p < 1 - _EPSILON), total


class CategoricalCrossentropy(_Smoothed):
    """``-sum(y_true * log(y_pred))`` over one-hot (or soft) labels.

    Parameters
    ----------
    from_logits : bool
        Whether y_pred has not been through a softmax.
    label_smoothing : float
        Share of each label spread evenly over the classes (Szegedy et al. 2016).
    axis : int
        Only the last (-1).
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
    ):
        if axis != -1:
            raise ValueError(f"axis: only the last axis (-1) is supported, got {axis}")
        super().__init__(from_logits, label_smoothing, reduction, name, dtype)
        self.axis = axis

    def _smooth(self, y_true: Array) -> Array:
        if not self.label_smoothing:
            return y_true
        s = np.float32(self.label_smoothing)
        return y_true * (1 - s) + s / y_true.shape[-1]

    def _fused(self, y_true: Array, logits: Array, factors: Array) -> tuple[Array, Array, Array]:
        return _core.softmax_cross_entropy(logits, None, _rows(self._smooth(y_true)), factors)

    def _on_probabilities(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        y_true = self._smooth(y_true)
        p, inside, total = _normalised(y_pred)
        dp = -y_true / p * inside
        return -(y_true * np.log(p)).sum(-1), (dp - (dp * p).sum(-1, keepdims=True)) / total

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}


class SparseCategoricalCrossentropy(_CrossEntropy):
    """Categorical cross-entropy with class numbers as labels.

    Parameters
    ----------
    from_logits : bool
    ignore_class : int, optional
        Samples with this label count nothing.
    axis : int
        Only the last (-1).
    """

    sparse = True

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ):
        if axis != -1:
            raise ValueError(f"axis: only the last axis (-1) is supported, got {axis}")
        super().__init__(from_logits, reduction, name, dtype)
        self.ignore_class = ignore_class
        self.axis = axis

    def _labels(self, y_true: Array, y_pred: Array) -> tuple[Array, Array | None]:
        """((rows,) int64 labels, (rows,) bool of ignored ones or None)."""
        if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
            y_true = y_true[..., 0]
        if y_true.shape != y_pred.shape[:-1]:
            raise ValueError(
                f"y_true: expected class numbers of shape {y_pred.shape[:-1]} for predictions {y_pred.shape}, got {y_true.shape}"
            )
        if y_true.dtype.kind == "f":
            check_numbers(y_true)
        labels = np.ascontiguousarray(y_true.reshape(-1), np.int64)
        if self.ignore_class is None:
            return labels, None
        ignored = labels == self.ignore_class
        return np.where(ignored, 0, labels), ignored

    def _fused(self, y_true: Array, logits: Array, factors: Array) -> tuple[Array, Array, Array]:
        labels, ignored = self._labels(y_true, logits if y_true.ndim < 2 else logits.reshape(*y_true.shape, -1))
        if ignored is not None:
            factors[ignored] = 0
        return _core.softmax_cross_entropy(logits, labels, None, factors)

    def _prepare(self, y_true: Any, y_pred: Any) -> tuple[Array, Array]:
        y_true, y_pred = super()._prepare(y_true, y_pred)
        if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
            y_true = y_true[..., 0]
        if y_true.shape != y_pred.shape[:-1]:
            raise ValueError(
                f"y_true: expected class numbers of shape {y_pred.shape[:-1]} for predictions {y_pred.shape}, got {y_true.shape}"
            )
        return y_true, y_pred

    def _on_probabilities(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        labels, ignored = self._labels(y_true, y_pred)
        check_labels(labels, y_pred.shape[-1])
        p, inside, total = _normalised(_rows(y_pred))
        rows = np.arange(len(labels))
        picked = p[rows, labels]
        losses, gradient = -np.log(picked), np.zeros_like(p)
        active = inside[rows, labels] / total[:, 0]
        gradient += active[:, None]
        gradient[rows, labels] -= active / picked
        if ignored is not None:
            losses[ignored] = 0
            gradient[ignored] = 0
        return losses.reshape(y_pred.shape[:-1]), gradient.reshape(y_pred.shape)

    def check_targets(self, y_true: Array, output_shape: tuple[int | None, ...]) -> None:
        check_numbers(y_true)
        shape = y_true.shape[1:]
        expected = output_shape[1:-1]
        if len(shape) == len(expected) + 1 and shape[-1] == 1:
            shape = shape[:-1]
        if len(shape) != len(expected) or any(e not in (None, s) for s, e in zip(shape, expected, strict=True)):
            raise ValueError(f"y: expected class numbers of shape (N, {_dims(expected)}) or with a last 1, got {y_true.shape}")
        if output_shape[-1] is not None:
            labels = y_true if self.ignore_class is None else y_true[y_true != self.ignore_class]
            check_labels(labels, output_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "from_logits": self.from_logits,
            "ignore_class": self.ignore_class,
            "axis": self.axis,
        }


def check_labels(labels: Array, classes: int) -> None:
    """Raise ValueError unless all labels are in 0..classes-1."""
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        bad = labels[(labels < 0) | (labels >= classes)].flat[0]
        raise ValueError(f"y: expected class numbers from 0 to {classes - 1}, got {bad}")


class BinaryCrossentropy(_Smoothed):
    """``-mean(y*log(p) + (1-y)*log(1-p))`` over the last axis.

    Parameters
    ----------
    from_logits : bool
        Whether y_pred has not been through a sigmoid.
    label_smoothing : float
        Share by which labels move towards 1/2.
    """

    _activation = "sigmoid"

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
    ):
        if axis != -1:
            raise ValueError(f"axis: only the last axis (-1) is supported, got {axis}")
        super().__init__(from_logits, label_smoothing, reduction, name, dtype)
        self.axis = axis

    def _smooth(self, y_true: Array) -> Array:
        if not self.label_smoothing:
            return y_true
        s = np.float32(self.label_smoothing)
        return y_true * (1 - s) + np.float32(0.5) * s

    def _fused(self, y_true: Array, logits: Array, factors: Array) -> tuple[Array, Array, Array]:
        return _core.sigmoid_cross_entropy(logits, _rows(self._smooth(y_true)), factors)

    def _on_probabilities(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        y_true = self._smooth(y_true)
        p = np.clip(y_pred, _EPSILON, 1 - _EPSILON)
        losses = -(y_true * np.log(p) + (1 - y_true) * np.log(1 - p)).mean(-1)
        inside = (y_pred > _EPSILON) & (y_pred < 1 - _EPSILON)
        return losses, (p - y_true) / (p * (1 - p)) * inside / y_pred.shape[-1]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}


class KLDivergence(Loss):
    """``sum(y_true * log(y_true / y_pred))``, both clipped to [epsilon, 1] (Kullback and Leibler 1951)."""

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str | None = "kl_divergence", dtype: Any = None):
        super().__init__(name, reduction, dtype)

    def per_sample_and_gradient(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        t, p = np.clip(y_true, _EPSILON, 1), np.clip(y_pred, _EPSILON, 1)
        return (t * np.log(t / p)).sum(-1), -t / p * ((y_pred > _EPSILON) & (y_pred < 1))


class Poisson(Loss):
    """``mean(y_pred - y_true * log(y_pred + epsilon))``."""

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str | None = "poisson", dtype: Any = None):
        super().__init__(name, reduction, dtype)

    def per_sample_and_gradient(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        p = y_pred + np.float32(_EPSILON)
        return (y_pred - y_true * np.log(p)).mean(-1), (1 - y_true / p) / y_pred.shape[-1]


class FunctionLoss(Loss):
    """A user's ``f(y_true, y_pred) -> (value, gradient with respect to y_pred)``."""

    def __init__(self, function: Callable[[Array, Array], tuple[float, Array]]):
        super().__init__(getattr(function, "__name__", "custom_loss"))
        self.function = function

    def value_and_grad(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> tuple[float, Array]:
        if sample_weight is not None:
            raise ValueError("sample_weight: a loss given as a function does not take weights; write a Loss class")
        result = self.function(np.asarray(y_true), y_pred)
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(f"loss: {self.name} must return (value, gradient), got {type(result).__name__}")
        value, gradient = result
        gradient = np.ascontiguousarray(gradient, np.float32)
        if gradient.shape != np.shape(y_pred):
            raise ValueError(f"loss: the gradient of {self.name} must have shape {np.shape(y_pred)}, got {gradient.shape}")
        return float(np.mean(value)), gradient

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return np.float32(self.value_and_grad(y_true, y_pred, sample_weight)[0])

    def check_targets(self, y_true: Array, output_shape: tuple[int | None, ...]) -> None:
        """Anything goes: the function knows."""


_CLASSES: tuple[type[Loss], ...] = (
    MeanSquaredError, MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredLogarithmicError, Huber, LogCosh,
    CategoricalCrossentropy, SparseCategoricalCrossentropy, BinaryCrossentropy, KLDivergence, Poisson,
)  # fmt: skip
BY_NAME: dict[str, type[Loss]] = {c.__name__: c for c in _CLASSES}
BY_NAME |= {
    "mse": MeanSquaredError, "MSE": MeanSquaredError, "mean_squared_error": MeanSquaredError,
    "mae": MeanAbsoluteError, "MAE": MeanAbsoluteError, "mean_absolute_error": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError, "MAPE": MeanAbsolutePercentageError,
    "mean_absolute_percentage_error": MeanAbsolutePercentageError,
    "msle": MeanSquaredLogarithmicError, "MSLE": MeanSquaredLogarithmicError,
    "mean_squared_logarithmic_error": MeanSquaredLogarithmicError, "huber": Huber, "huber_loss": Huber,
    "log_cosh": LogCosh, "logcosh": LogCosh, "categorical_crossentropy": CategoricalCrossentropy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy, "binary_crossentropy": BinaryCrossentropy,
    "bce": BinaryCrossentropy, "kl_divergence": KLDivergence, "kld": KLDivergence, "poisson": Poisson,
}  # fmt: skip


def get(identifier: Any) -> Loss | None:
    """The loss that a name, a config, an instance, a class or a function stands for; None for None."""
    if identifier is None or isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, str):
        if identifier in BY_NAME:
            return BY_NAME[identifier]()
        raise ValueError(f"loss: nothing is called {identifier!r}; known: {', '.join(sorted(BY_NAME))}")
    if isinstance(identifier, dict):
        from .saving.registry import deserialize_keras_object

        return get(deserialize_keras_object(identifier))
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()
    if callable(identifier):
        return FunctionLoss(identifier)
    raise ValueError(f"loss: expected a name, a config, a Loss or a function, got {identifier!r}")
