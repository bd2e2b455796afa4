# SPDX-License-Identifier: BSD-3-Clause
"""Classes of series."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import assert_all_finite, check_is_fitted, column_or_1d

from .estimator import Array, RecurrentEstimator

__all__ = ["LSTMClassifier"]


class LSTMClassifier(ClassifierMixin, RecurrentEstimator):  # type: ignore[misc]
    """A recurrent network that tells series' classes, as a scikit-learn estimator.

    Parameters
    ----------
    units : int
        Hidden units of each recurrent layer (of each direction).
    layers : int
        Recurrent layers, one on the other.
    cell : {"lstm", "gru", "simple_rnn"}
    bidirectional : bool
        Whether every layer reads the series in both directions.
    dropout, recurrent_dropout : float
        Shares of a layer's outputs, and of h between steps, that are dropped in training.
    epochs : int
        Passes over the data; at most so many with `early_stopping`.
    batch_size : int
    learning_rate : float
        Of an optimizer given by name.
    optimizer : str or Optimizer
        An instance is copied.
    standardize : bool
        Whether each feature is brought to mean 0 and deviation 1 over the steps of the training data.
    early_stopping : bool
        Whether to hold `validation_fraction` of the series out, to stop when their loss has not fallen for
        `patience` epochs, and to keep the weights of the best epoch.
    validation_fraction : float
    patience : int
    class_weight : dict, "balanced" or None
        Weights of the classes in the loss.
    random_state : int, numpy.random.RandomState or None
        Where initial weights, the order of the series and dropout come from.
    verbose : int
        1 prints a line an epoch.

    Attributes
    ----------
    model_ : lstmfast.Sequential
        The network; it sees standardized series.
    n_features_in_ : int
        F; or T where X was (N, T).
    n_iter_ : int
        Epochs done.
    loss_curve_, validation_loss_curve_ : list of float
        Loss of each epoch, the second with `early_stopping`.
    classes_ : (C,) array
        The labels.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.sklearn import LSTMClassifier
    >>> x = np.random.default_rng(0).normal(size=(40, 6, 2))
    >>> y = np.where(x[:, -1, 0] > 0, "up", "down")
    >>> LSTMClassifier(8, epochs=40, random_state=0).fit(x, y).score(x, y) > 0.9
    True
    """

    def __init__(
        self,
        units: int = 32,
        *,
        layers: int = 1,
        cell: str = "lstm",
        bidirectional: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        epochs: int = 100,
        batch_size: int = 32,
        learning_rate: float = 0.005,
        optimizer: Any = "adam",
        standardize: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        class_weight: Any = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            units,
            layers=layers,
            cell=cell,
            bidirectional=bidirectional,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            optimizer=optimizer,
            standardize=standardize,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            patience=patience,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def _checked_targets(self, y: Any, reset: bool) -> Array:
        labels = column_or_1d(y, warn=True)
        if labels.dtype.kind == "f":
            assert_all_finite(labels, input_name="y")
        check_classification_targets(labels)
        if reset:
            known = getattr(self, "_given_classes", None)
            self.classes_ = unique_labels(labels) if known is None else known
        places = np.searchsorted(self.classes_, labels)
        fits = places < len(self.classes_)
        fits[fits] = self.classes_[places[fits]] == labels[fits]
        if not fits.all():
            raise ValueError(
                f"y contains the labels {np.unique(labels[~fits]).tolist()}, the classes are {self.classes_.tolist()}"
            )
        return np.asarray(places, np.int64)

    def _head(self) -> tuple[int, str, str]:
        return len(self.classes_), "softmax", "sparse_categorical_crossentropy"

    def _start(self, X: Any, y: Any, sample_weight: Any) -> tuple[Array, Array, Array, Array | None]:
        x, lengths, targets, weights = super()._start(X, y, sample_weight)
        if self.class_weight is not None:
            of_class = compute_sample_weight(self.class_weight, self.classes_[targets]).astype(np.float32)
            weights = of_class if weights is None else weights * of_class
        return x, lengths, targets, weights

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        self._given_classes = None
        return super().fit(X, y, sample_weight)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Any:
        """One epoch on these series, from the network as it is.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        classes : array_like, optional
            All labels that will ever occur; needed in the first call unless `y` has them all. Means, deviations and
            `class_weight` are those of the first call's data.
        """
        if not hasattr(self, "model_"):
            self._given_classes = None if classes is None else unique_labels(classes)
        elif classes is not None and not np.array_equal(unique_labels(classes), self.classes_):
            raise ValueError(f"classes={classes!r} is not the same as in the first call: {self.classes_}")
        return self._partial_fit(X, y, sample_weight)

    def predict_proba(self, X: Any) -> Array:
        """Probabilities (N, C) of the classes, in the order of ``classes_``."""
        p = self._outputs(X)
        return np.asarray(p / p.sum(axis=1, keepdims=True))  # float32's rounding out of the sum

    def predict(self, X: Any) -> Array:
        """The most probable class of each series."""
        check_is_fitted(self)
        return np.asarray(self.classes_[self._outputs(X).argmax(axis=1)])
