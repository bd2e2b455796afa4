# SPDX-License-Identifier: BSD-3-Clause
"""Hinge losses: nothing to pay once a margin is kept."""

from __future__ import annotations

import numpy as np

from .arrays import Array
from .base import RowLoss

__all__ = ["CategoricalHinge", "Hinge", "SquaredHinge"]


class Hinge(RowLoss):
    """``mean(max(1 - y_true * y_pred, 0))`` over the last axis; targets -1 and 1, or 0 and 1.

    Examples
    --------
    >>> from lstmfast.losses import Hinge
    >>> round(float(Hinge()([[1.0, -1.0]], [[0.5, 0.5]])), 4)
    1.0
    """

    default_name = "hinge"
    broadcasts = True

    def _plain(self, y: Array, p: Array) -> tuple[Array, Array]:
        y = _signs(y)
        missing = np.maximum(1 - y * p, np.float32(0))
        return missing.mean(axis=1), np.where(missing > 0, -y / p.shape[1], np.float32(0))


class SquaredHinge(RowLoss):
    """``mean(max(1 - y_true * y_pred, 0)**2)`` over the last axis; targets -1 and 1, or 0 and 1.

    Examples
    --------
    >>> from lstmfast.losses import SquaredHinge
    >>> round(float(SquaredHinge()([[1.0, -1.0]], [[0.5, 0.5]])), 4)
    1.25
    """

    default_name = "squared_hinge"
    broadcasts = True

    def _plain(self, y: Array, p: Array) -> tuple[Array, Array]:
        y = _signs(y)
        missing = np.maximum(1 - y * p, np.float32(0))
        return np.square(missing).mean(axis=1), missing * y * (-2 / p.shape[1])


class CategoricalHinge(RowLoss):
    """``max(best wrong - right + 1, 0)`` over the last axis; targets one-hot.

    Examples
    --------
    >>> from lstmfast.losses import CategoricalHinge
    >>> round(float(CategoricalHinge()([[0.0, 1.0]], [[0.4, 0.6]])), 4)
    0.8
    """

    default_name = "categorical_hinge"
    broadcasts = True

    def _plain(self, y: Array, p: Array) -> tuple[Array, Array]:
        wrong = (1 - y) * p
        best = wrong.argmax(axis=1)
        row = np.arange(len(p))
        values = np.maximum(wrong[row, best] - (y * p).sum(axis=1) + 1, np.float32(0))
        grad = -y
        grad[row, best] += 1 - y[row, best]
        grad[values == 0] = 0
        return values, grad


def _signs(y: Array) -> Array:
    return 2 * y - 1 if ((y == 0) | (y == 1)).all() else y
