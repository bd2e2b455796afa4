# SPDX-License-Identifier: BSD-3-Clause
"""What all losses share: pairing targets with predictions, weights and masks, reductions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..symbolic import flatten, is_symbolic
from ..utils.naming import unique_name
from .arrays import Array, aligned, as_rows, numeric, refuse_nan

__all__ = ["Loss", "RowLoss"]

_REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)
_AVERAGING = ("sum_over_batch_size", "mean")


class Loss:
    """Base of all losses.

    A loss gives one value for each sample (and time step); `reduction` makes one number of them. A subclass
    writes `call_and_grad`, and `get_config` if it has arguments of its own. One with Keras's ``call(y_true,
    y_pred)`` alone trains if it is written with `lstmfast.ops` and operators; else it gives values, also in `evaluate`.

    Parameters
    ----------
    name : str, optional
        The class's name in snake case by default.
    reduction : {"sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none"} or None
        The first two are the same: the sum of weighted values over their number. "none" keeps them apart.
    dtype : str, optional
        Only "float32".

    Raises
    ------
    ValueError
        If `reduction` or `dtype` is none of these.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.losses import Loss
    >>> class Quartic(Loss):
    ...     def call_and_grad(self, y_true, y_pred):
    ...         error = y_pred - y_true
    ...         return (error**4).sum(axis=-1), 4 * error**3
    >>> value, gradient = Quartic().value_and_grad(np.zeros((2, 1)), np.float32([[1], [2]]))
    >>> float(value), gradient.ravel().tolist()
    (8.5, [2.0, 16.0])
    """

    #: The output activation that the loss can take over: see `value_grad_and_pred` of those that have one.
    fused_activation: str | None = None

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: Any = None
    ) -> None:
        if reduction not in _REDUCTIONS:
            raise ValueError(
                f"Invalid value for argument `reduction`. Expected one of {_REDUCTIONS}. Received: "
                f"reduction={reduction}"
            )
        if dtype not in (None, "float32"):
            raise ValueError(f"dtype: expected 'float32' or None, got {dtype!r}")
        self.name = name or unique_name(type(self).__name__)
        self.reduction = reduction
        self._uniform: Array | None = None

    @property
    def dtype(self) -> str:
        return "float32"

    def call_and_grad(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        """The value of each sample, and the derivative of their sum by `y_pred`: what a subclass writes.

        Parameters
        ----------
        y_true : ndarray
            As the caller gave it.
        y_pred : ndarray of float32

        Returns
        -------
        values : ndarray
            Of a shape that `y_pred`'s begins with.
        gradient : ndarray, of the shape of `y_pred`
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not implement call_and_grad(y_true, y_pred), which returns the value of "
            "each sample and the gradient of their sum with respect to y_pred"
        )

    def call(self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Array:
        """The value of each sample, without weights and reduction; of symbolic tensors a part of their graph."""
        if is_symbolic((y_true, y_pred)):
            from .formulas import values_of  # of operations, which are not loaded for nothing

            return values_of(self, y_true, y_pred)  # type: ignore[no-any-return]
        return self._values(y_true, y_pred)

    def _values(self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Array:
        """`call` of arrays."""
        return self.call_and_grad(np.asarray(y_true), np.asarray(y_pred, np.float32))[0]

    def __call__(
        self,
        y_true: npt.ArrayLike,
        y_pred: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | None = None,
    ) -> Any:
        """The loss: a float32, or an array with reduction "none". Arguments as for `value_and_grad`.

        The mask is by default the one that came with `y_pred` from a layer called with arrays.
        """
        if is_symbolic((y_true, y_pred)):
            from .formulas import reduced  # of operations, which are not loaded for nothing

            return reduced(self, self.call(y_true, y_pred), sample_weight, mask)
        if mask is None:
            mask = getattr(y_pred, "_keras_mask", None)
        if not self._has_call_only:
            return self.value_and_grad(y_true, y_pred, sample_weight, mask)[0]
        values = np.asarray(self.call(np.asarray(y_true), np.asarray(y_pred, np.float32)), np.float32)
        weights = self._weights(values.shape, sample_weight, mask)
        return self._reduce(values.reshape(-1), weights, values.shape, y_true)

    def value_and_grad(
        self,
        y_true: npt.ArrayLike,
        y_pred: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | None = None,
    ) -> tuple[Any, Array]:
        """The loss and its derivative by `y_pred`.

        Parameters
        ----------
        y_true : array_like
            Targets.
        y_pred : array_like
            Predictions (B, ...).
        sample_weight : array_like, optional
            (B,), or one for each value: (B, T). Values are multiplied by it.
        mask : array_like of bool, optional
            Of the same shapes: values where it is False do not count, in the average neither.

        Returns
        -------
        value : np.float32, or ndarray with reduction "none"
        gradient : ndarray of float32
            Of the shape of `y_pred`; with reduction "none" that of the values' sum.

        Raises
        ------
        ValueError
            If shapes do not fit, or targets are NaN or out of range.
        TypeError
            If targets are not numeric.
        """
        pred = np.ascontiguousarray(y_pred, np.float32)
        if self._has_call_only:
            return self._traced(self.call, y_true, pred, sample_weight, mask)
        values, grad = self.call_and_grad(np.asarray(y_true), pred)
        return self._weighted(y_true, pred, values, grad, sample_weight, mask)

    @property
    def _has_call_only(self) -> bool:
        """A subclass wrote Keras's `call` and not `call_and_grad`."""
        cls = type(self)
        return cls.call is not Loss.call and cls.call_and_grad is Loss.call_and_grad

    def _traced(
        self, function: Callable[[Any, Any], Any], y_true: Any, pred: Any, sample_weight: Any, mask: Any
    ) -> tuple[Any, Any]:
        """Value and gradient of a function written with `lstmfast.ops`; of structures of arrays the gradients are one, too."""
        from .traced import traced_loss

        try:
            values, gradient = traced_loss(function, y_true, pred)
        except (TypeError, AttributeError) as error:
            raise NotImplementedError(
                f"loss {self.name!r} cannot be trained with: {error}. There is no automatic differentiation, but of a "
                "`call` that uses only `lstmfast.ops` and operators. Else write call_and_grad(y_true, y_pred), which "
                "returns the value of each sample and the gradient of their sum with respect to y_pred"
            ) from error
        if values.ndim == 0:
            self._refuse_weights(sample_weight, mask)
            return values[()], gradient(np.float32(1))
        weights = self._weights(values.shape, sample_weight, mask)
        return self._reduce(values.reshape(-1), weights, values.shape, y_true), gradient(weights)

    def _refuse_weights(self, sample_weight: Any, mask: Any) -> None:
        """Raise a ValueError if there are weights for a loss that gives one number."""
        if sample_weight is not None or mask is not None:
            raise ValueError(
                f"loss function {self.name!r} gives one number: sample_weight, masks and lengths need one value for "
                "each sample or time step"
            )

    def _weighted(
        self, y_true: Any, pred: Array, values: Any, grad: Any, sample_weight: Any, mask: Any
    ) -> tuple[Any, Array]:
        """Weights and reduction for what `call_and_grad` gave."""
        try:
            values, grad = np.asarray(values, np.float32), np.asarray(grad, np.float32)
        except (TypeError, ValueError) as error:
            raise TypeError(f"loss {self.name!r}: value and gradient must be numbers: {error}") from None
        if grad.shape != pred.shape or values.shape != pred.shape[: values.ndim]:
            raise ValueError(
                f"loss {self.name!r}: expected values of a shape that {pred.shape} begins with and a "
                f"gradient of that shape, got {values.shape} and {grad.shape}"
            )
        weights = self._weights(values.shape, sample_weight, mask)
        grad = grad * weights.reshape(values.shape + (1,) * (grad.ndim - values.ndim))
        return self._reduce(values.reshape(-1), weights, values.shape, y_true), grad

    def _weights(self, shape: tuple[int, ...], sample_weight: Any, mask: Any) -> Array:
        """What each value is multiplied by before they are added up, the average's divisor included:
        (prod(shape),)."""
        count = math.prod(shape)
        reduction = self.reduction
        if sample_weight is None and mask is None:
            uniform = self._uniform
            if uniform is None or uniform.size != count:
                scale = 1.0 if reduction in ("sum", "none", None) else 1.0 / max(count, 1)
                uniform = self._uniform = np.full(count, scale, np.float32)
            return uniform
        weights: Array = np.ones((), np.float32)
        divisor: float = 1.0
        if mask is not None:
            weights = aligned(np.asarray(mask, np.bool_), shape, "mask").astype(np.float32)
            if reduction in _AVERAGING:
                divisor = float(weights.sum())
        elif reduction in _AVERAGING:
            divisor = count
        if sample_weight is not None:
            weights = weights * aligned(numeric(sample_weight, "sample_weight"), shape, "sample_weight")
        if reduction == "mean_with_sample_weight":
            divisor = float(weights.sum())
            if mask is None and np.shape(sample_weight)[len(shape) - 1 : len(shape)] == (1,):
                # As in Keras: a weight (B, 1) for all steps of a sample counts once.
                divisor = float(numeric(sample_weight, "sample_weight").sum())
        weights = weights * np.float32(1.0 / divisor if divisor else 0.0)
        return np.ascontiguousarray(weights.reshape(-1), np.float32)

    def _reduce(self, values: Array, weights: Array, shape: tuple[int, ...], y_true: Any) -> Any:
        if self.reduction in ("none", None):
            return (values * weights).reshape(shape)
        value = weights.dot(values)
        if (
            value != value
        ):  # looked for only now: a check of the targets costs more than the loss of a small batch
            for target in flatten(y_true):
                refuse_nan(target, "y_true")
            refuse_nan(weights, "sample_weight")
        return value

    def check_targets(
        self, y_true: npt.ArrayLike, output_shape: Sequence[int | None], name: str = "y"
    ) -> None:
        """Look through all targets of a data set before training starts.

        Parameters
        ----------
        y_true : array_like
        output_shape : sequence of int or None
            The model's output for them; None for the batch.
        name : str
            How the error calls them.

        Raises
        ------
        ValueError, TypeError
            If they are not numeric, NaN, or do not fit the output.
        """
        refuse_nan(numeric(y_true, name), name)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Loss:
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class RowLoss(Loss):
    """A loss that makes one value of each vector along the last axis (or `axis`). Subclasses write `_rows`
    or `_plain`."""

    default_name: ClassVar[str]
    axis = -1
    #: Whether targets with axes of length 1 stand for all along these, as in Keras.
    broadcasts: ClassVar[bool] = False

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(name=name or self.default_name, reduction=reduction, dtype=dtype)

    def _plain(self, y: Array, p: Array) -> tuple[Array, Array]:
        """Values (M,) and their derivatives (M, C), from targets and predictions (M, C); p may not be
        changed."""
        raise NotImplementedError

    def _rows(self, y: Array, p: Array, weights: Array) -> tuple[Array, Array]:
        """Values (M,), not weighted, and weighted derivatives (M, C)."""
        values, grad = self._plain(y, p)
        grad *= weights[:, None]
        return values, grad

    def value_and_grad(
        self,
        y_true: npt.ArrayLike,
        y_pred: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | None = None,
    ) -> tuple[Any, Array]:
        y, p, shape = self._paired(y_true, y_pred, sample_weight, mask)
        weights = self._weights(shape, sample_weight, mask)
        values, grad = self._rows(*as_rows(y, p, weights.size), weights)
        return self._reduce(values, weights, shape, y), self._like(grad, p, y_pred)

    def _values(self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Array:
        y, p, shape = self._paired(y_true, y_pred, None, None)
        count = math.prod(shape)
        return self._rows(*as_rows(y, p, count), np.ones(count, np.float32))[0].reshape(shape)

    def call_and_grad(self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> tuple[Array, Array]:
        y, p, shape = self._paired(y_true, y_pred, None, None)
        count = math.prod(shape)
        values, grad = self._rows(*as_rows(y, p, count), np.ones(count, np.float32))
        return values.reshape(shape), self._like(grad, p, y_pred)

    def _like(self, grad: Array, p: Array, y_pred: Any) -> Array:
        """Gradient rows in the shape of the caller's predictions."""
        grad = grad.reshape(p.shape)
        if self.axis not in (-1, p.ndim - 1):
            grad = np.ascontiguousarray(np.moveaxis(grad, -1, self.axis))
        return grad if grad.shape == np.shape(y_pred) else grad.reshape(np.shape(y_pred))

    def _paired(
        self, y_true: Any, y_pred: Any, sample_weight: Any, mask: Any
    ) -> tuple[Array, Array, tuple[int, ...]]:
        """Both as C-contiguous float32 of one shape, the classes or features last, and the shape of the
        values."""
        y = numeric(y_true, "y_true")
        p = np.ascontiguousarray(y_pred, np.float32)
        if p.ndim == 0 or y.shape != p.shape:
            ranks = [np.ndim(w) for w in (sample_weight, mask) if w is not None]
            y, p = self._same_rank(y, p, max(ranks, default=0))
            if y.shape != p.shape and self._fits(y.shape, p.shape):
                y = np.broadcast_to(y, p.shape)
            if y.shape != p.shape:
                raise ValueError(self._misfit(y.shape, p.shape))
        if self.axis not in (-1, p.ndim - 1):
            y, p = np.moveaxis(y, self.axis, -1), np.moveaxis(p, self.axis, -1)
            p = np.ascontiguousarray(p)
        return np.ascontiguousarray(y, np.float32), p, p.shape[:-1]

    def _misfit(self, y_shape: Sequence[int], p_shape: Sequence[int | None]) -> str:
        return (
            f"y_true: expected shape {tuple(p_shape)} as y_pred has for loss {self.name!r} (they must "
            f"have the same shape), got {y_shape}"
        )

    def _fits(self, y_shape: Sequence[int], p_shape: Sequence[int | None]) -> bool:
        """Whether targets stand for all along axes of length 1."""
        return (
            self.broadcasts
            and len(y_shape) == len(p_shape)
            and all(n in (1, m) for n, m in zip(y_shape, p_shape, strict=True))
        )

    @staticmethod
    def _same_rank(y: Array, p: Array, weight_rank: int) -> tuple[Array, Array]:
        """Keras's rule: a last axis of length 1 comes or goes where ranks differ by one."""
        if y.ndim == 0 or p.ndim == 0:
            raise ValueError(
                f"y_true and y_pred: expected at least one axis, got shapes {y.shape} and {p.shape}"
            )
        if p.ndim == y.ndim + 1 and p.shape[-1] == 1:
            # Weights for each time step need the steps apart: then the targets grow rather than the
            # predictions shrink.
            if y.ndim == 1 or weight_rank >= y.ndim:
                return y[..., None], p
            return y, p[..., 0]
        if y.ndim == p.ndim + 1 and y.shape[-1] == 1:
            return (y, p[:, None]) if p.ndim == 1 else (y[..., 0], p)
        return y, p

    def check_targets(
        self, y_true: npt.ArrayLike, output_shape: Sequence[int | None], name: str = "y"
    ) -> None:
        y = numeric(y_true, name)
        expected = tuple(y.shape[i] if n is None and i < y.ndim else n for i, n in enumerate(output_shape))
        # One axis of length 1 may come or go: (B,) for (B, 1) and back.
        without = expected[:-1] if expected[-1:] == (1,) else expected
        if y.shape not in (expected, without, (*expected, 1)) and not self._fits(y.shape, expected):
            raise ValueError(self._misfit(y.shape, expected).replace("y_true", name, 1))
        refuse_nan(y, name)
