# SPDX-License-Identifier: BSD-3-Clause
"""Models as scikit-learn estimators: its own checks, series, going on with training."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from lstmfast import Input, Sequential, layers, utils
from lstmfast.wrappers import SKLearnClassifier, SKLearnRegressor, SKLearnTransformer


def dense(X, y, loss, activation=None):
    """A network that is the same, and trains the same, at each call."""
    utils.set_random_seed(0)
    head = layers.Dense(y.shape[1], activation=activation)
    model = Sequential([Input(X.shape[1:]), layers.Dense(16, activation="tanh"), head])
    model.compile("rmsprop", loss)
    return model


def recurrent(X, y, units):
    utils.set_random_seed(0)
    model = Sequential([layers.LSTM(units), layers.Dense(y.shape[1], activation="softmax")])
    model.compile("adam", "categorical_crossentropy")
    return model


MSE = {"loss": "mse"}
CROSSENTROPY = {"loss": "categorical_crossentropy", "activation": "softmax"}
PROBABILITIES = "two classes have two probabilities here, as in Keras, and no single number"
EXCUSED = {
    SKLearnClassifier: {
        "check_classifiers_classes": PROBABILITIES,
        "check_classifiers_train": PROBABILITIES,
    },
    SKLearnRegressor: {},
    SKLearnTransformer: {},
}


@pytest.mark.parametrize("wrapper", EXCUSED)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
def test_scikit_learns_own_checks(wrapper):
    arguments = CROSSENTROPY if wrapper is SKLearnClassifier else MSE
    estimator = wrapper(dense, model_kwargs=arguments, fit_kwargs={"epochs": 5, "verbose": 0})
    results = check_estimator(
        estimator, expected_failed_checks=EXCUSED[wrapper], on_skip=None, on_fail="raise"
    )
    failed = {r["check_name"] for r in results if r["status"] == "xfail"}
    assert failed == set(EXCUSED[wrapper])


@pytest.fixture
def series(rng):
    X = rng.normal(size=(60, 7, 2))
    return X, np.where(X[:, -1, 0] > 0, "up", "down")


def test_series_are_classified(series):
    X, y = series
    estimator = SKLearnClassifier(recurrent, model_kwargs={"units": 16}, fit_kwargs={"verbose": 0})
    estimator.fit(X, y, epochs=120)
    assert estimator.score(X, y) > 0.9
    assert set(estimator.predict(X)) == {"up", "down"}
    assert estimator.decision_function(X).shape == (60, 2)
    assert estimator.fit_kwargs == {"verbose": 0}
    assert len(estimator.history_.history["loss"]) == 120


def test_a_search_over_what_the_function_takes(series):
    search = GridSearchCV(
        SKLearnClassifier(recurrent, fit_kwargs={"epochs": 2, "verbose": 0}),
        {"model_kwargs": [{"units": 2}, {"units": 3}]},
        cv=2,
        n_jobs=2,
    )
    search.fit(*series)
    assert search.best_params_["model_kwargs"]["units"] in (2, 3)


def test_a_model_is_copied_unless_training_goes_on(rng):
    X = rng.normal(size=(12, 3)).astype(np.float32)
    y = X[:, :2]
    model = dense(X, y, "mse")
    before = [w.copy() for w in model.get_weights()]
    SKLearnRegressor(model).fit(X, y, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    again = dense(X, y, "mse")
    estimator = SKLearnRegressor(model, warm_start=True, fit_kwargs={"verbose": 0, "shuffle": False})
    for _ in range(3):
        estimator.fit(X, y)
        again.fit(X, y, verbose=0, shuffle=False)
    assert estimator.model_ is model
    np.testing.assert_array_equal(estimator.predict(X), again.predict(X, verbose=0))


def test_clones_keep_all_and_pickles_predict_the_same(rng):
    X = rng.normal(size=(12, 3))
    estimator = SKLearnRegressor(dense(X, X, "mse"), fit_kwargs={"verbose": 0}).fit(X, X)
    copied = clone(estimator)
    assert copied.fit_kwargs == {"verbose": 0}
    assert not hasattr(copied, "model_")
    twin = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(twin.predict(X), estimator.predict(X))


def test_several_numbers(rng):
    X = rng.normal(size=(30, 4))
    estimator = SKLearnRegressor(dense, model_kwargs=MSE, fit_kwargs={"epochs": 200, "verbose": 0})
    assert estimator.fit(X, X[:, :2]).predict(X).shape == (30, 2)
    assert estimator.score(X, X[:, :2]) > 0.5


def test_features_for_the_next_step(rng):
    X = rng.normal(size=(40, 5, 2))
    network = Sequential([Input((5, 2)), layers.GRU(4), layers.Dense(2)])
    network.compile("adam", "mse")
    pipeline = make_pipeline(SKLearnTransformer(network, fit_kwargs={"verbose": 0}), Ridge())
    assert pipeline.fit(X, X[:, -1]).predict(X).shape == (40, 2)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(12, int), "only one class"),
        (np.eye(12, 3, dtype=int) + np.eye(12, 3, 1, dtype=int), "Only binary and multiclass"),
    ],
)
def test_wrong_targets(rng, y, message):
    with pytest.raises(ValueError, match=message):
        SKLearnClassifier(dense, model_kwargs=CROSSENTROPY).fit(rng.normal(size=(12, 3)), y)


def test_models_must_be_compiled(rng):
    X = rng.normal(size=(12, 3))
    with pytest.raises(RuntimeError, match="needs to be compiled"):
        SKLearnRegressor(Sequential([Input((3,)), layers.Dense(1)])).fit(X, X[:, 0])
