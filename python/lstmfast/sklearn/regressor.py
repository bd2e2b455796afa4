# SPDX-License-Identifier: BSD-3-Clause
"""Numbers from series."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_array

from .estimator import Array, RecurrentEstimator

__all__ = ["LSTMRegressor"]


class LSTMRegressor(RegressorMixin, RecurrentEstimator):  # type: ignore[misc]
    """A recurrent network that predicts one or several numbers from a series, as a scikit-learn estimator.

    Parameters
    ----------
    units, layers, cell, bidirectional, dropout, recurrent_dropout, epochs, batch_size, learning_rate, optimizer,
    standardize, early_stopping, validation_fraction, patience, random_state, verbose
        As in `LSTMClassifier`; `standardize` brings the targets to mean 0 and deviation 1, too.

    Attributes
    ----------
    model_, n_features_in_, n_iter_, loss_curve_, validation_loss_curve_
        As in `LSTMClassifier`; losses are those of standardized targets.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.sklearn import LSTMRegressor
    >>> series = [np.random.default_rng(n).normal(size=(n, 2)) for n in range(3, 43)]
    >>> y = [s[-1, 0] for s in series]
    >>> LSTMRegressor(8, epochs=60, random_state=0).fit(series, y).score(series, y) > 0.8
    True
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _checked_targets(self, y: Any, reset: bool) -> Array:
        targets = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y", estimator=self)
        shape = targets.shape[1:]
        if reset:
            self._target_shape = shape
            self._y_mean, self._y_scale = np.zeros(shape), np.ones(shape)
            if self.standardize:
                deviation = targets.std(axis=0)
                self._y_mean, self._y_scale = targets.mean(axis=0), np.where(deviation > 0, deviation, 1.0)
        elif shape != self._target_shape:
            raise ValueError(
                f"y must have shape {('N', *self._target_shape)} as in the first call, got {targets.shape}"
            )
        return np.asarray((targets - self._y_mean) / self._y_scale, np.float32)

    def _head(self) -> tuple[int, str, str]:
        return int(np.prod(self._target_shape, dtype=int)), "linear", "mse"

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """One epoch on these series, from the network as it is; means and deviations stay those of the first call."""
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X: Any) -> Array:
        """The targets (N,), or (N, K) as in `fit`, of each series."""
        outputs = self._outputs(X)
        return outputs.reshape(len(outputs), *self._target_shape) * self._y_scale + self._y_mean
