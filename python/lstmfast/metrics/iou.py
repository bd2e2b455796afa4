# SPDX-License-Identifier: BSD-3-Clause
"""Intersection over union (Jaccard 1901) of what is predicted and what is true, class by class."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .base import Metric

__all__ = ["BinaryIoU", "IoU", "MeanIoU", "OneHotIoU", "OneHotMeanIoU"]

Array = npt.NDArray[Any]

_EPSILON = 1e-7  # keras.config.epsilon()


class IoU(Metric):
    """``true positives / (true positives + false positives + false negatives)``, the mean over some classes.

    Each element counts, so that (B,) and (B, T) are taken alike; elements with a class number out of range do not.

    Parameters
    ----------
    num_classes : int
    target_class_ids : sequence of int
        The classes of the mean. Those that occur neither in targets nor predictions are left out.
    name : str, optional
    dtype : str, optional
        Keras's types are taken and kept for configurations; weights are not rounded to whole numbers, as Keras
        does by default.
    ignore_class : int, optional
        Elements with this target do not count.
    sparse_y_true, sparse_y_pred : bool
        Class numbers; False for one value a class, of which the largest counts.
    axis : int
        Of the classes then.

    Raises
    ------
    ValueError
        If a target class is out of range; in a call: if shapes do not fit.

    Examples
    --------
    >>> from lstmfast.metrics import IoU
    >>> round(IoU(num_classes=2, target_class_ids=[0])([0, 0, 1, 1], [0, 1, 0, 1]), 4)
    0.3333
    """

    _direction = "up"
    _state = (("total_confusion_matrix", "total_cm"),)

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(name=name, dtype="int32" if dtype is None else dtype)
        self.num_classes = num_classes
        self.target_class_ids = list(target_class_ids)
        if max(self.target_class_ids) >= num_classes or min(self.target_class_ids) < 0:
            wrong = max(self.target_class_ids, key=lambda i: abs(2 * i + 1 - num_classes))
            raise ValueError(f"Target class id {wrong} is out of range, which is [0, {num_classes}).")
        self.ignore_class = ignore_class
        self.sparse_y_true = sparse_y_true
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis
        self.reset_state()

    def reset_state(self) -> None:
        #: Weights of all elements: [target, prediction].
        self.total_cm = np.zeros((self.num_classes, self.num_classes))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y, p = np.asarray(y_true), np.asarray(y_pred)
        y = (y if self.sparse_y_true else y.argmax(axis=self.axis)).reshape(-1).astype(np.int64)
        p = (p if self.sparse_y_pred else p.argmax(axis=self.axis)).reshape(-1).astype(np.int64)
        if y.shape != p.shape:
            raise ValueError(f"y_true: expected {p.size} class numbers as y_pred has, got {y.size}")
        if "float" in str(getattr(sample_weight, "dtype", "")) and "int" in self.dtype:
            warnings.warn(
                "You are passing weight as `float`, but dtype is `int`. This may result in an incorrect weight due to "
                "type casting. Consider using integer weights, or a dtype of float.",
                stacklevel=2,
            )
        weights = np.asarray(1 if sample_weight is None else sample_weight, np.float64)
        if weights.size not in (1, y.size):
            raise ValueError(
                f"sample_weight: expected one number for each of {y.size} elements, got {weights.shape}"
            )
        weights = np.broadcast_to(weights.reshape(-1), y.shape)
        n = self.num_classes
        counted = (y >= 0) & (y < n) & (p >= 0) & (p < n)
        if self.ignore_class is not None:
            counted &= y != self.ignore_class
        cells = np.bincount((y * n + p)[counted], weights=weights[counted], minlength=n * n)
        self.total_cm = self.total_cm + cells.reshape(n, n)

    def result(self) -> float:
        hits = np.diag(self.total_cm)[self.target_class_ids]
        either = (self.total_cm.sum(axis=0) + self.total_cm.sum(axis=1))[self.target_class_ids] - hits
        occurs = either > 1e-9
        scores = np.where(occurs, hits / (either + _EPSILON), 0.0)
        return float(scores.sum() / (occurs.sum() + _EPSILON))

    def _config(self, *names: str) -> dict[str, Any]:
        return {
            "name": self.name,
            "dtype": self.dtype,
            **{name: getattr(self, name) for name in names},
        }

    def get_config(self) -> dict[str, Any]:
        return self._config(
            *("num_classes", "target_class_ids", "ignore_class", "sparse_y_true", "sparse_y_pred", "axis")
        )


class BinaryIoU(IoU):
    """`IoU` of two classes, from probabilities of the second.

    Parameters
    ----------
    target_class_ids : sequence of int
        Of 0 and 1.
    threshold : float
        Predictions from here on are class 1.
    name, dtype
        As for `IoU`.

    Examples
    --------
    >>> from lstmfast.metrics import BinaryIoU
    >>> round(BinaryIoU(threshold=0.3)([0, 1, 0, 1], [0.1, 0.2, 0.4, 0.7]), 4)
    0.3333
    """

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_classes=2, target_class_ids=target_class_ids, name=name, dtype=dtype)
        self.threshold = threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        positive = np.asarray(y_pred, np.float32) >= np.float32(self.threshold)
        super().update_state(y_true, positive, sample_weight)

    def get_config(self) -> dict[str, Any]:
        return self._config("target_class_ids", "threshold")


class MeanIoU(IoU):
    """`IoU`, the mean over all classes.

    Parameters
    ----------
    num_classes, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis
        As for `IoU`.

    Examples
    --------
    >>> from lstmfast.metrics import MeanIoU
    >>> round(MeanIoU(num_classes=2)([0, 0, 1, 1], [0, 1, 0, 1]), 4)
    0.3333
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(
            num_classes, range(num_classes), name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis
        )

    def get_config(self) -> dict[str, Any]:
        return self._config("num_classes", "ignore_class", "sparse_y_true", "sparse_y_pred", "axis")


class OneHotIoU(IoU):
    """`IoU` for targets that are one-hot.

    Parameters
    ----------
    num_classes, target_class_ids, name, dtype, ignore_class, sparse_y_pred, axis
        As for `IoU`.
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        return self._config("num_classes", "target_class_ids", "ignore_class", "sparse_y_pred", "axis")


class OneHotMeanIoU(MeanIoU):
    """`MeanIoU` for targets that are one-hot.

    Parameters
    ----------
    num_classes, name, dtype, ignore_class, sparse_y_pred, axis
        As for `IoU`.
    """

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        return self._config("num_classes", "ignore_class", "sparse_y_pred", "axis")
