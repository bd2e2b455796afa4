# SPDX-License-Identifier: BSD-3-Clause
"""Models as scikit-learn estimators, by both libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from peers import keras

pytest.importorskip("sklearn", minversion="1.6")
import lstmfast as lf
import lstmfast.wrappers


def dense(X: Any, y: Any, library: Any, loss: str, activation: str | None) -> Any:
    hidden = library.layers.Dense(16, activation="tanh")
    head = library.layers.Dense(y.shape[1], activation=activation)
    model = library.Sequential([library.Input(X.shape[1:]), hidden, head])
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=w.shape, scale=0.3).astype(np.float32) for w in model.get_weights()])
    model.compile("rmsprop", loss)
    return model


@pytest.mark.parametrize(
    ("name", "columns"),
    [("Classifier", 0), ("Classifier", 1), ("Regressor", 0), ("Regressor", 1), ("Transformer", 1)],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_fits_and_predicts_the_same(rng: np.random.Generator, name: str, columns: int) -> None:
    X = rng.normal(size=(50, 4)).astype(np.float32)
    shape = (50, columns) if columns else (50,)
    y = (X @ rng.normal(size=(4, max(columns, 1)))).reshape(shape)
    loss, activation = "mse", None
    if name == "Classifier":
        y = np.digitize(y, [-1.0, 1.0]) * 10
        loss, activation = "categorical_crossentropy", "softmax"
    ours, theirs = (
        getattr(library.wrappers, f"SKLearn{name}")(
            dense,
            model_kwargs={"library": library, "loss": loss, "activation": activation},
            fit_kwargs={"epochs": 3, "shuffle": False},
        ).fit(X, y, verbose=0)
        for library in (lf, keras)
    )
    raw = "decision_function" if name == "Classifier" else "predict"
    expected, got = (getattr(estimator, raw)(X) for estimator in (theirs, ours))
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    if name == "Classifier":
        first, second = np.sort(expected, axis=1)[:, -1:-3:-1].T
        certain = first - second > 1e-4
        assert certain.sum() > 40
        assert ours.predict(X).shape == theirs.predict(X).shape
        np.testing.assert_array_equal(ours.predict(X)[certain], theirs.predict(X)[certain])
        np.testing.assert_array_equal(ours.classes_, theirs.classes_)
