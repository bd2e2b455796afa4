# SPDX-License-Identifier: BSD-3-Clause
"""What the estimators share: data of three forms, the network, training, pickles."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, is_classifier
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from .. import initializers, optimizers
from ..layers import GRU, LSTM, Bidirectional, Dense, Dropout, Input, SimpleRNN
from ..models import Sequential, model_from_json
from ..saving.model_state import assign_all, optimizer_variables
from ..utils.sequences import pad

__all__ = ["RecurrentEstimator"]

Array = npt.NDArray[Any]

_CELLS: dict[str, Any] = {"lstm": LSTM, "gru": GRU, "simple_rnn": SimpleRNN}
_MAX_SEED = np.iinfo(np.int32).max


class RecurrentEstimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators share: data, the network, training, files."""

    _series_ndim: int  # of X in fit: 3, or 2

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
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.units = units
        self.layers = layers
        self.cell = cell
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.standardize = standardize
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    # --- what the two write

    def _checked_targets(self, y: Any, reset: bool) -> Array:
        """Targets as the network sees them; with `reset` what is known of them is learned."""
        raise NotImplementedError

    def _head(self) -> tuple[int, str, str]:
        """Outputs, activation and loss of the last layer."""
        raise NotImplementedError

    # --- data

    def _checked_series(self, X: Any, reset: bool) -> tuple[Array, Array]:
        """(N, T, F) float32, and the lengths; ValueError or TypeError for what is no series."""
        lengths = None
        ragged = _is_ragged(X)
        ndim = 3 if ragged else np.asarray(X).ndim
        if not reset and {ndim, self._series_ndim} == {2, 3}:
            shapes = {2: "(N, T)", 3: "(N, T, F)"}
            raise ValueError(f"X must be {shapes[self._series_ndim]} as in fit, got {shapes[ndim]}")
        if ragged:
            series = [
                check_array(a, dtype=np.float32, estimator=self, input_name=f"X[{k}]")
                for k, a in enumerate(X)
            ]
            if len({a.shape[1] for a in series}) > 1:
                raise ValueError(
                    f"X: all series need as many features, got {sorted({a.shape[1] for a in series})}"
                )
            x, lengths = pad(series)
        elif ndim == 3:
            x = check_array(X, dtype=np.float32, allow_nd=True, estimator=self, input_name="X")
        else:
            x = validate_data(self, X, dtype=np.float32, reset=reset)[..., None]
        if reset:
            self._series_ndim = ndim
            if ndim == 3:
                self.n_features_in_ = x.shape[2]
        elif ndim == 3 and x.shape[2] != self.n_features_in_:
            raise ValueError(
                f"X has {x.shape[2]} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                "features as input."
            )
        if lengths is None:
            lengths = np.full(len(x), x.shape[1], np.int32)
        return x, lengths

    def _scale(self, x: Array, lengths: Array, learn: bool) -> Array:
        """Each feature less its mean over the steps of the training data, divided by its deviation."""
        if not self.standardize:
            return x
        if learn:
            steps = x[np.arange(x.shape[1]) < lengths[:, None]].astype(np.float64)
            deviation = steps.std(axis=0)
            self._x_mean = steps.mean(axis=0)
            self._x_scale = np.where(deviation > 1e-7 * np.maximum(1.0, np.abs(self._x_mean)), deviation, 1.0)
        scaled: Array = ((x - self._x_mean) / self._x_scale).astype(np.float32)
        scaled[np.arange(x.shape[1]) >= lengths[:, None]] = 0
        return scaled

    # --- the network

    def _check_arguments(self) -> None:
        for name in ("units", "layers", "epochs", "batch_size", "patience"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f"{name} must be a positive integer, got {value!r}")
        for name in ("dropout", "recurrent_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be from 0 to 1 (exclusive), got {getattr(self, name)!r}")
        if self.cell not in _CELLS:
            raise ValueError(f"cell must be one of {list(_CELLS)}, got {self.cell!r}")
        if self.early_stopping and not 0 < self.validation_fraction < 1:
            raise ValueError(f"validation_fraction must be between 0 and 1, got {self.validation_fraction!r}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate!r}")

    def _build(self, features: int, rng: np.random.Generator) -> Sequential:
        """A new network. Every seed comes from `rng`: the process's own random state is not touched."""
        outputs, activation, loss = self._head()

        def seed() -> int:
            return int(rng.integers(1, _MAX_SEED))

        stack: list[Any] = [Input((None, features))]
        for number in range(self.layers):
            layer = _CELLS[self.cell](
                self.units,
                kernel_initializer=initializers.GlorotUniform(seed()),
                recurrent_initializer=initializers.Orthogonal(seed=seed()),
                recurrent_dropout=self.recurrent_dropout,
                seed=seed(),
                return_sequences=number < self.layers - 1,
            )
            stack.append(Bidirectional(layer) if self.bidirectional else layer)
            if self.bidirectional:  # the two directions start from weights of their own
                for direction in (stack[-1].forward_layer, stack[-1].backward_layer):
                    direction.kernel_initializer = initializers.GlorotUniform(seed())
                    direction.recurrent_initializer = initializers.Orthogonal(seed=seed())
            if self.dropout:
                stack.append(Dropout(self.dropout, seed=seed()))
        stack.append(Dense(outputs, activation, kernel_initializer=initializers.GlorotUniform(seed())))
        model = Sequential(stack)
        optimizer = optimizers.get(copy.deepcopy(self.optimizer))
        if optimizer is None:
            raise ValueError(f"optimizer must be a name or an Optimizer, got {self.optimizer!r}")
        if isinstance(self.optimizer, str):
            optimizer.learning_rate = self.learning_rate
        model.compile(optimizer, loss)
        return model

    # --- training

    def _start(self, X: Any, y: Any, sample_weight: Any) -> tuple[Array, Array, Array, Array | None]:
        """Checked data of a first call of fit or partial_fit, and a new network."""
        self._check_arguments()
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y is None."
            )
        x, lengths = self._checked_series(X, reset=True)
        check_consistent_length(x, y)
        targets = self._checked_targets(y, reset=True)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, x, dtype=np.float32)
        self._rng = np.random.default_rng(check_random_state(self.random_state).randint(_MAX_SEED))
        self.model_ = self._build(x.shape[2], self._rng)
        self.loss_curve_: list[float] = []
        self.n_iter_ = 0
        return self._scale(x, lengths, learn=True), lengths, targets, weights

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train a new network.

        Parameters
        ----------
        X : (N, T, F), list of (T_i, F), or (N, T) array_like
        y : (N,) array_like, or (N, K) for a regressor
        sample_weight : (N,) array_like, optional

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If a parameter or the data will not do.
        """
        x, lengths, targets, weights = self._start(X, y, sample_weight)
        train, held_out = np.arange(len(x)), None
        if self.early_stopping:
            train, held_out = self._split(targets)
        best, best_weights, since = np.inf, None, 0
        self.validation_loss_curve_: list[float] = []
        for epoch in range(self.epochs):
            self._epoch(x, lengths, targets, weights, train)
            text = f"Epoch {epoch + 1}, loss = {self.loss_curve_[-1]:.6f}"
            if held_out is not None:
                loss = self.model_.evaluate(
                    x[held_out],
                    targets[held_out],
                    batch_size=self.batch_size,
                    sample_weight=None if weights is None else weights[held_out],
                    lengths=lengths[held_out],
                    verbose=0,
                )
                self.validation_loss_curve_.append(float(loss))
                text += f", validation loss = {loss:.6f}"
            if self.verbose:
                print(text)
            if held_out is None:
                continue
            if loss < best:
                best, best_weights, since = loss, self.model_.get_weights(), 0
            else:
                since += 1
                if since >= self.patience:
                    break
        if best_weights is not None:
            self.model_.set_weights(best_weights)
        return self

    def _epoch(self, x: Array, lengths: Array, targets: Array, weights: Array | None, rows: Array) -> None:
        """One pass over these rows in a new order of our own drawing."""
        order = rows[self._rng.permutation(len(rows))]
        history = self.model_.fit(
            x[order],
            targets[order],
            batch_size=self.batch_size,
            shuffle=False,
            sample_weight=None if weights is None else weights[order],
            lengths=lengths[order],
            verbose=0,
        )
        self.loss_curve_.append(float(history.history["loss"][0]))
        self.n_iter_ += 1

    def _split(self, targets: Array) -> tuple[Array, Array]:
        """Rows to train with and rows held out; some of every class in both where the numbers allow it."""
        labels = None
        if is_classifier(self):
            counts = np.bincount(targets)
            smaller = min(self.validation_fraction, 1 - self.validation_fraction) * len(targets)
            if counts.min() > 1 and smaller >= len(counts):
                labels = targets
        try:
            seed = int(self._rng.integers(_MAX_SEED))
            rows = np.arange(len(targets))
            train, held_out = train_test_split(
                rows, test_size=self.validation_fraction, random_state=seed, stratify=labels
            )
        except ValueError as error:
            raise ValueError(f"validation_fraction={self.validation_fraction}: {error}") from None
        return train, held_out

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any) -> Any:
        if not hasattr(self, "model_"):
            data = self._start(X, y, sample_weight)
        else:
            x, lengths = self._checked_series(X, reset=False)
            check_consistent_length(x, y)
            targets = self._checked_targets(y, reset=False)
            weights = (
                None if sample_weight is None else _check_sample_weight(sample_weight, x, dtype=np.float32)
            )
            data = self._scale(x, lengths, learn=False), lengths, targets, weights
        self._epoch(*data, np.arange(len(data[0])))
        return self

    def _outputs(self, X: Any) -> Array:
        check_is_fitted(self)
        x, lengths = self._checked_series(X, reset=False)
        scaled = self._scale(x, lengths, learn=False)
        outputs = self.model_.predict(
            scaled, batch_size=max(256, self.batch_size), lengths=lengths, verbose=0
        )
        return np.asarray(outputs, np.float64)

    # --- pickles: the network as a configuration and arrays

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        model = state.pop("model_", None)
        if model is not None:
            state["model_"] = {
                "config": model.to_json(),
                "weights": model.get_weights(),
                "optimizer": [v.numpy() for v in optimizer_variables(model)],
            }
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        saved = state.get("model_")
        if saved is not None:
            model = model_from_json(saved["config"])
            model.set_weights(saved["weights"])
            slots = optimizer_variables(model)
            assign_all([(v.name, v, a) for v, a in zip(slots, saved["optimizer"], strict=True)])
            state = {**state, "model_": model}
        super().__setstate__(state)


def _is_ragged(X: Any) -> bool:
    """Whether X is a collection of arrays (T_i, F) rather than one array."""
    if isinstance(X, np.ndarray):
        return X.dtype == object and X.ndim == 1 and bool(len(X)) and all(np.ndim(a) == 2 for a in X)
    return (
        isinstance(X, (list, tuple)) and bool(X) and all(isinstance(a, np.ndarray) and a.ndim == 2 for a in X)
    )
