# SPDX-License-Identifier: BSD-3-Clause
"""Connectionist temporal classification: labels in order, without their places in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .arrays import Array, numeric
from .base import Loss
from .crossentropy import class_numbers

__all__ = ["CTC"]

_BLANK = 0


class CTC(Loss):
    """``-log p(labels | outputs)``, summed over all ways to place the labels in time (Graves et al. 2006).

    Predictions (B, T, C) are logits: values before a softmax over the classes. Class 0 is the blank, which stands
    for no label and parts equal labels; targets (B, L) are class numbers from 1, filled up with 0 at the end.

    Parameters
    ----------
    reduction, name, dtype
        As for `Loss`.

    Raises
    ------
    ValueError
        In a call: if shapes do not fit, a target is out of range or not whole, or 0 stands before a label.

    Notes
    -----
    A target that needs more steps than there are (one for each label and one between equal neighbours) has an
    infinite loss and a gradient of NaN, as in Keras and PyTorch; ``fit`` refuses it before training. A mask (B, T)
    of the predictions, which Keras does not take here, leaves steps out.

    See Also
    --------
    lstmfast.utils.ctc_decode : labels from outputs.

    Examples
    --------
    Two steps with three equally likely classes: "1" is ``1 1``, ``1 -`` or ``- 1``, so 3 of 9 ways.

    >>> import numpy as np
    >>> from lstmfast.losses import CTC
    >>> round(float(np.exp(-CTC()([[1]], np.zeros((1, 2, 3))))), 4)
    0.3333
    """

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str = "ctc", dtype: Any = None
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call_and_grad(self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> tuple[Array, Array]:
        p, labels, lengths = self._paired(y_true, y_pred)
        values, grad = _core.ctc_loss(p, labels, lengths, np.full(len(p), p.shape[1]), _BLANK)
        assert grad is not None
        return values, grad

    def _values(self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Array:
        p, labels, lengths = self._paired(y_true, y_pred)
        steps = np.full(len(p), p.shape[1])
        return _core.ctc_loss(p, labels, lengths, steps, _BLANK, gradient=False)[0]

    def value_and_grad(
        self,
        y_true: npt.ArrayLike,
        y_pred: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | None = None,
    ) -> tuple[Any, Array]:
        p, labels, lengths = self._paired(y_true, y_pred)
        counted = None if mask is None else np.asarray(mask, np.bool_)
        if counted is None or counted.ndim < 2:
            weights = self._weights(p.shape[:1], sample_weight, counted)
            steps = np.full(len(p), p.shape[1])
            values, grad = _core.ctc_loss(p, labels, lengths, steps, _BLANK, weights)
            assert grad is not None
            return self._reduce(values, weights, p.shape[:1], y_true), grad
        if counted.shape != p.shape[:2]:
            raise ValueError(
                f"mask: expected shape {p.shape[:2]} of the first axes of y_pred, got {counted.shape}"
            )
        # Steps that count come first, in their order; gradients go back to where they came from.
        order = np.argsort(~counted, axis=1, kind="stable")[..., None]
        weights = self._weights(p.shape[:1], sample_weight, None)
        first = np.ascontiguousarray(np.take_along_axis(p, order, axis=1))
        steps = counted.sum(axis=1, dtype=np.int64)
        values, moved = _core.ctc_loss(first, labels, lengths, steps, _BLANK, weights)
        assert moved is not None
        grad = np.empty_like(p)
        np.put_along_axis(grad, order, moved, axis=1)
        return self._reduce(values, weights, p.shape[:1], y_true), grad

    def _paired(self, y_true: Any, y_pred: Any) -> tuple[Array, Array, Array]:
        """Logits, labels and how many of these each row has."""
        p = np.ascontiguousarray(y_pred, np.float32)
        y = numeric(y_true, "y_true")
        if y.ndim != 2:
            raise ValueError(
                "Targets `y_true` are expected to be a tensor of shape `(batch_size, max_length)` in integer "
                f"format. Received: y_true.shape={y.shape}"
            )
        if p.ndim != 3:
            raise ValueError(
                "Logits `y_pred` are expected to be a tensor of shape `(batch_size, max_length, num_classes)`. "
                f"Received: y_pred.shape={p.shape}"
            )
        if len(y) != len(p):
            raise ValueError(f"y_true: expected {len(p)} rows as y_pred has, got shape {y.shape}")
        labels, lengths = _labels(y, "y_true", p.shape[2])
        return p, labels, lengths

    def check_targets(
        self, y_true: npt.ArrayLike, output_shape: Sequence[int | None], name: str = "y"
    ) -> None:
        y = numeric(y_true, name)
        if y.ndim != 2 or len(output_shape) != 3:
            raise ValueError(
                f"{name}: loss {self.name!r} needs labels (B, L) and outputs (B, T, C), got shapes {y.shape} and "
                f"{tuple(output_shape)}"
            )
        labels, lengths = _labels(y, name, output_shape[2])
        if output_shape[1] is not None and labels.size:
            repeats = (labels[:, 1:] == labels[:, :-1]) & (labels[:, 1:] != _BLANK)
            needed = lengths + repeats.sum(axis=1)
            row = int(needed.argmax())
            if needed[row] > output_shape[1]:
                raise ValueError(
                    f"{name}[{row}]: these labels need at least {int(needed[row])} time steps, the output has "
                    f"{output_shape[1]}"
                )


def _labels(y: Array, name: str, classes: int | None) -> tuple[Array, Array]:
    labels = class_numbers(y, name)
    real = labels != _BLANK
    lengths = real.sum(axis=1, dtype=np.int64)
    wrong = real != (np.arange(y.shape[1]) < lengths[:, None])
    if wrong.any():
        row = int(wrong.any(axis=1).argmax())
        raise ValueError(
            f"{name}[{row}]: expected class numbers from 1 and then 0 as padding, got {labels[row].tolist()}"
        )
    bad = (labels < 0) | (labels >= classes) if classes is not None else labels < 0
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        top = "" if classes is None else f" to {classes - 1}"
        raise ValueError(
            f"{name}: expected class numbers from 1{top}, 0 as padding, got {int(labels[first])} at {first}"
        )
    return labels, lengths
