# SPDX-License-Identifier: BSD-3-Clause
"""Models of one's own as scikit-learn estimators, by Keras's names (``pip install 'lstmfast[sklearn]'``).

`lstmfast.sklearn` has estimators that make their recurrent network themselves, and take series of different lengths.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

try:
    from sklearn.utils.validation import validate_data
except ImportError as error:
    raise ImportError("lstmfast.wrappers needs scikit-learn 1.6: pip install 'lstmfast[sklearn]'") from error
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d

from .models import Model, clone_model

__all__ = ["SKLearnClassifier", "SKLearnRegressor", "SKLearnTransformer"]

Array = npt.NDArray[Any]


class _Wrapper(BaseEstimator):  # type: ignore[misc]
    """What the three share: the model, its training, its outputs."""

    def __init__(
        self,
        model: Model | Callable[..., Model],
        warm_start: bool = False,
        model_kwargs: dict[str, Any] | None = None,
        fit_kwargs: dict[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.warm_start = warm_start
        self.model_kwargs = model_kwargs
        self.fit_kwargs = fit_kwargs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.non_deterministic = True
        tags.target_tags.required = True
        return tags

    # --- what each writes

    def _learn_targets(self, y: Array) -> Array:
        """Targets (N, K) as the model sees them; what `predict` needs to know of them stays."""
        type_of_target(y, raise_unknown=True)
        self._target_ndim = y.ndim
        return y.reshape(len(y), -1)

    # --- what all have

    def fit(self, X: Any, y: Any, **kwargs: Any) -> Any:
        """Train the model.

        Parameters
        ----------
        X : (N, F) or (N, T, F) array_like
        y : (N,) or (N, K) array_like
        **kwargs
            Of `Model.fit`; they go before `fit_kwargs`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the data will not do.
        RuntimeError
            If the model is not compiled.
        """
        X, y = validate_data(self, X, y, allow_nd=True, multi_output=True)
        if y.shape[1:] == (1,):
            y = column_or_1d(y, warn=True)
        targets = self._learn_targets(y)
        model = self._start(X, targets)
        if not model.compiled or not model.loss or not model.optimizer:
            raise RuntimeError("Given model needs to be compiled, and have a loss and an optimizer.")
        self.history_ = model.fit(X, targets, **{**(self.fit_kwargs or {}), **kwargs})
        self.model_ = model
        return self

    def _start(self, X: Array, targets: Array) -> Model:
        if self.warm_start and hasattr(self, "model_"):
            return self.model_
        if not isinstance(self.model, Model):
            return self.model(X=X, y=targets, **(self.model_kwargs or {}))
        return self.model if self.warm_start else clone_model(self.model)

    def _outputs(self, X: Any) -> Array:
        check_is_fitted(self)
        X = validate_data(self, X, allow_nd=True, reset=False)
        return np.asarray(self.model_.predict(X, verbose=0))

    def predict(self, X: Any) -> Array:
        """What the model makes of each row of `X`, (N,) or (N, K) as the `y` of `fit`."""
        y = self._outputs(X).astype(np.float64)  # as metrics of scikit-learn count
        return y.squeeze(1) if self._target_ndim == 1 and y.ndim == 2 else y


class SKLearnClassifier(ClassifierMixin, _Wrapper):  # type: ignore[misc]
    """A model as a scikit-learn classifier: it sees labels of two or more classes one-hot.

    Parameters
    ----------
    model : Model or callable
        A compiled model, of which `fit` trains a copy with new weights, or a function ``(X, y, **model_kwargs)`` that makes
        one, y as the model will see it.
    warm_start : bool, default False
        Whether `fit` trains `model` itself, and goes on where the last call stopped.
    model_kwargs : dict, optional
        More arguments for a function `model`.
    fit_kwargs : dict, optional
        Arguments of `Model.fit`; those of a call of `fit` go before them.

    Attributes
    ----------
    model_ : Model
        The trained model.
    history_ : History
        What `Model.fit` returned.
    classes_ : (K,) ndarray
        The labels, in the order of the model's outputs.

    References
    ----------
    Keras 3, `keras.wrappers`; there X has two axes, here as many as the model takes.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast import Sequential, layers, optimizers
    >>> from lstmfast.wrappers import SKLearnClassifier
    >>> def model(X, y, units):
    ...     network = Sequential([layers.LSTM(units), layers.Dense(y.shape[1], activation="softmax")])
    ...     network.compile(optimizers.Adam(0.02), "categorical_crossentropy")
    ...     return network
    >>> X = np.random.default_rng(0).normal(size=(40, 5, 2))
    >>> y = np.where(X[:, -1, 0] > 0, "up", "down")
    >>> SKLearnClassifier(model, model_kwargs={"units": 8}).fit(X, y, epochs=60, verbose=0).score(X, y) > 0.8
    True
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags

    def _learn_targets(self, y: Array) -> Array:
        kind = type_of_target(y, raise_unknown=True)
        if kind not in ("binary", "multiclass"):
            raise ValueError(f"Only binary and multiclass target types are supported. Target type: {kind}")
        classes, numbers = np.unique(y, return_inverse=True)
        if len(classes) == 1:
            raise ValueError("Classifier can't train when only one class is present.")
        self.classes_ = classes
        return np.eye(len(classes), dtype=np.float32)[numbers]

    def decision_function(self, X: Any) -> Array:
        """What the model gives for each class, (N, K)."""
        return self._outputs(X)

    def predict(self, X: Any) -> Array:
        """The label of each row of `X`, (N,)."""
        numbers = self._outputs(X).argmax(axis=-1)
        labels: Array = self.classes_[numbers]
        return labels


class SKLearnRegressor(RegressorMixin, _Wrapper):  # type: ignore[misc]
    """A model as a scikit-learn regressor: it sees targets (N, K), or (N, 1) of N numbers.

    Parameters
    ----------
    model, warm_start, model_kwargs, fit_kwargs
        As in `SKLearnClassifier`.

    Attributes
    ----------
    model_, history_
        As in `SKLearnClassifier`.

    References
    ----------
    Keras 3, `keras.wrappers`; there X has two axes, here as many as the model takes.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast import Sequential, layers
    >>> from lstmfast.wrappers import SKLearnRegressor
    >>> network = Sequential([layers.Input((5, 2)), layers.GRU(8), layers.Dense(1)])
    >>> network.compile("rmsprop", "mse")
    >>> X = np.random.default_rng(0).normal(size=(40, 5, 2))
    >>> SKLearnRegressor(network).fit(X, X[:, -1, 0], epochs=150, verbose=0).score(X, X[:, -1, 0]) > 0.5
    True
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        tags.target_tags.multi_output = True
        return tags


class SKLearnTransformer(TransformerMixin, _Wrapper):  # type: ignore[misc]
    """A model as a step of a scikit-learn pipeline: what it makes of X are features of the next step.

    Parameters
    ----------
    model, warm_start, model_kwargs, fit_kwargs
        As in `SKLearnClassifier`.

    Attributes
    ----------
    model_, history_
        As in `SKLearnClassifier`.

    References
    ----------
    Keras 3, `keras.wrappers`; there X has two axes, here as many as the model takes.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast import Sequential, layers
    >>> from lstmfast.wrappers import SKLearnTransformer
    >>> network = Sequential([layers.Input((3,)), layers.Dense(2)])
    >>> network.compile("adam", "mse")
    >>> X = np.random.default_rng(0).normal(size=(10, 3))
    >>> SKLearnTransformer(network).fit(X, X[:, :2], verbose=0).transform(X).shape
    (10, 2)
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags

    def transform(self, X: Any) -> Array:
        """What the model makes of each row of `X`."""
        return self._outputs(X)
