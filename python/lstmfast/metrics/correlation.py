# SPDX-License-Identifier: BSD-3-Clause
"""Correlations of predictions with targets, along an axis such as time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .base import NamedMean, same_rank

__all__ = ["ConcordanceCorrelation", "PearsonCorrelation", "concordance_correlation", "pearson_correlation"]

Array = npt.NDArray[Any]

_EPSILON = 1e-7  # keras.config.epsilon()


def _centred(y_true: Any, y_pred: Any, axis: int) -> tuple[Array, Array, Array]:
    """Both without their means, and the means' difference; float64."""
    y, p = same_rank(np.asarray(y_true, np.float64), np.asarray(y_pred, np.float64))
    if y.shape != p.shape:
        raise ValueError(f"y_true: expected shape {p.shape} as y_pred has, got {y.shape}")
    y_mean, p_mean = y.mean(axis=axis, keepdims=True), p.mean(axis=axis, keepdims=True)
    return y - y_mean, p - p_mean, np.squeeze(y_mean - p_mean, axis)


def pearson_correlation(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, axis: int = -1) -> Array:
    """Covariance over the product of standard deviations (Pearson 1895) along an axis; NaN where one is
    constant."""
    y, p, _ = _centred(y_true, y_pred, axis)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((y * p).mean(axis=axis) / (y.std(axis=axis) * p.std(axis=axis)))


def concordance_correlation(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, axis: int = -1) -> Array:
    """Agreement in value, not only in shape (Lin 1989), along an axis: ``2 cov / (var_t + var_p + (mean_t -
    mean_p)^2)``."""
    y, p, apart = _centred(y_true, y_pred, axis)
    spread = y.var(axis=axis) + p.var(axis=axis) + apart**2 + _EPSILON
    return np.asarray(2 * (y * p).mean(axis=axis) / spread)


class _Correlation(NamedMean):
    _direction = "up"

    def __init__(self, name: str | None = None, dtype: Any = None, axis: int = -1) -> None:
        super().__init__(name=name, dtype=dtype, axis=axis)
        self.axis = axis

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}


class PearsonCorrelation(_Correlation):
    """Mean of `pearson_correlation` over samples.

    Parameters
    ----------
    name, dtype
        As for `Metric`.
    axis : int
        Along which values are compared.

    Examples
    --------
    >>> from lstmfast.metrics import PearsonCorrelation
    >>> round(PearsonCorrelation()([[0, 1, 0.5], [1, 1, 0.2]], [[0.1, 0.9, 0.5], [1, 0.9, 0.2]]), 4)
    0.9967
    """

    default_name = "pearson_correlation"
    _function = staticmethod(pearson_correlation)


class ConcordanceCorrelation(_Correlation):
    """Mean of `concordance_correlation` over samples. Arguments as for `PearsonCorrelation`.

    Examples
    --------
    >>> from lstmfast.metrics import ConcordanceCorrelation
    >>> round(ConcordanceCorrelation()([[0, 1, 0.5], [1, 1, 0.2]], [[0.1, 0.9, 0.5], [1, 0.9, 0.2]]), 4)
    0.9816
    """

    default_name = "concordance_correlation"
    _function = staticmethod(concordance_correlation)
