# SPDX-License-Identifier: BSD-3-Clause
"""The estimators as scikit-learn sees them: its own checks, its tools, series of three forms, pickles."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from lstmfast import datasets, optimizers
from lstmfast.sklearn import LSTMClassifier, LSTMRegressor

EXCUSED = {
    "check_sample_weight_equivalence_on_dense_data": "a row given twice and one of weight 2 fall into different mini-batches",
}


@pytest.mark.parametrize("make", [LSTMClassifier, LSTMRegressor])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
def test_scikit_learns_own_checks(make):
    results = check_estimator(
        make(random_state=0), expected_failed_checks=EXCUSED, on_skip=None, on_fail="raise"
    )
    failed = {r["check_name"] for r in results if r["status"] == "xfail"}
    assert failed == set(EXCUSED)


@pytest.fixture
def series(rng):
    """Series of different lengths whose class is the sign of a sum over time."""
    ragged = [rng.normal(size=(int(n), 2)) for n in rng.integers(3, 9, 60)]
    sums = np.array([s[:, 0].sum() for s in ragged])
    return ragged, np.where(sums > 0, "up", "down"), sums


def small(make=LSTMClassifier, **kwargs):
    return make(**{"units": 8, "epochs": 30, "learning_rate": 0.02, "random_state": 0, **kwargs})


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
@pytest.mark.parametrize(
    "options", [{}, {"layers": 2, "bidirectional": True, "dropout": 0.1, "recurrent_dropout": 0.1}]
)
def test_ragged_series_with_labels(series, cell, options):
    ragged, labels, _ = series
    model = small(cell=cell, **options).fit(ragged, labels)
    assert model.score(ragged, labels) > 0.85
    assert model.classes_.tolist() == ["down", "up"] and model.n_features_in_ == 2
    p = model.predict_proba(ragged)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_array_equal(model.classes_[p.argmax(axis=1)], model.predict(ragged))
    kinds = [type(layer).__name__ for layer in model.model_.layers]
    assert kinds.count("Bidirectional") == (2 if options else 0)


def test_each_series_is_judged_by_its_own_steps(series):
    """Padding does not reach the outputs, and every form of the same data gives the same."""
    ragged, labels, _ = series
    model = small(epochs=2).fit(ragged, labels)
    whole = model.predict_proba(ragged)
    for k in (0, 7, 31):
        np.testing.assert_allclose(model.predict_proba(ragged[k][None]), whole[k : k + 1], rtol=1e-6)
    objects = np.empty(len(ragged), object)
    objects[:] = ragged
    np.testing.assert_array_equal(model.predict_proba(objects), whole)
    cut = np.stack([s[:3] for s in ragged])
    a = small(epochs=2).fit(cut, labels).predict_proba(cut)
    np.testing.assert_array_equal(a, small(epochs=2).fit(list(cut), labels).predict_proba(cut))
    flat = small(epochs=2).fit(cut[:, :, 0], labels)
    np.testing.assert_array_equal(
        flat.predict_proba(cut[:, :, 0]),
        small(epochs=2).fit(cut[:, :, :1], labels).predict_proba(cut[:, :, :1]),
    )
    assert flat.n_features_in_ == 3


def test_regression_of_several_numbers_of_any_scale(series):
    ragged, _, sums = series
    last = np.array([s[-1, 1] for s in ragged])
    targets = np.stack([1e4 * sums + 7e5, 1e-3 * last], axis=1)
    model = small(LSTMRegressor, epochs=80).fit(ragged, targets)
    assert model.predict(ragged).shape == targets.shape
    assert model.score(ragged, targets) > 0.8
    one = small(LSTMRegressor).fit(ragged, sums)
    assert one.predict(ragged).shape == sums.shape and one.score(ragged, sums) > 0.7


def test_randomness_is_the_estimators_own(series):
    ragged, labels, _ = series
    state = np.random.get_state()[1].copy()
    options = {"dropout": 0.2, "recurrent_dropout": 0.2, "epochs": 3}
    a, b, c = (small(random_state=seed, **options).fit(ragged, labels) for seed in (3, 3, 4))
    np.testing.assert_array_equal(a.predict_proba(ragged), b.predict_proba(ragged))
    assert not np.array_equal(a.predict_proba(ragged), c.predict_proba(ragged))
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    forward, backward = small(bidirectional=True, epochs=1).fit(ragged, labels).model_.layers[0]._directions
    assert not np.array_equal(forward.kernel.value, backward.kernel.value)


def test_early_stopping_keeps_the_best_epoch(series, capsys):
    ragged, labels, _ = series
    model = small(epochs=200, early_stopping=True, validation_fraction=0.25, patience=3, verbose=1).fit(
        ragged, labels
    )
    curve = model.validation_loss_curve_
    assert model.n_iter_ == len(curve) == len(model.loss_curve_) < 200
    assert int(np.argmin(curve)) == len(curve) - 1 - 3
    text = capsys.readouterr().out.splitlines()
    assert len(text) == len(curve) and "validation loss" in text[0]


def test_few_series_of_many_classes_are_held_out_at_random(rng):
    x, y = rng.normal(size=(20, 4, 1)), np.arange(20) % 5
    model = small(epochs=2, early_stopping=True, validation_fraction=0.1).fit(x, y)
    assert len(model.validation_loss_curve_) == 2


def test_partial_fit_goes_on(series):
    ragged, labels, _ = series
    up, down = np.flatnonzero(labels == "up"), np.flatnonzero(labels == "down")
    model = small()
    model.partial_fit([ragged[k] for k in up], labels[up], classes=["up", "down"])
    model.partial_fit([ragged[k] for k in down], labels[down])
    for _ in range(40):
        model.partial_fit(ragged, labels)
    assert model.n_iter_ == 42 and model.score(ragged, labels) > 0.85
    with pytest.raises(ValueError, match="sideways"):
        model.partial_fit(ragged[:1], ["sideways"])
    with pytest.raises(ValueError, match="classes"):
        model.partial_fit(ragged, labels, classes=["a", "b"])


@pytest.mark.parametrize("make", [LSTMClassifier, LSTMRegressor])
def test_pickles_hold_arrays_and_train_on(series, make):
    ragged, labels, sums = series
    y = labels if make is LSTMClassifier else sums
    model = small(make, epochs=2, bidirectional=True).fit(ragged, y)
    state = model.__getstate__()["model_"]
    assert isinstance(state["config"], str) and all(isinstance(w, np.ndarray) for w in state["weights"])
    other = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(other.predict(ragged), model.predict(ragged))
    for m in (model, other):
        m.partial_fit(ragged, y)
    for a, b in zip(model.model_.get_weights(), other.model_.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not hasattr(clone(model), "model_") and clone(model).get_params() == model.get_params()


def test_grid_search_in_processes():
    """loky's workers start afresh; the parent has used its threads before."""
    x, y, *_, lengths, _ = datasets.japanese_vowels(return_lengths=True)
    chosen = np.arange(0, 270, 3)
    ragged, y = [x[k, : lengths[k]] for k in chosen], y[chosen]
    search = GridSearchCV(small(epochs=8), {"units": [4, 12]}, cv=2, n_jobs=2)
    search.fit(ragged, y)
    assert search.best_params_ == {"units": 12} and search.best_score_ > 0.5
    scores = cross_val_score(small(units=12, epochs=8), ragged, y, cv=2, n_jobs=2)
    np.testing.assert_allclose(scores.mean(), search.best_score_)
    with_threads = cross_val_score(small(units=12, epochs=8), x[chosen], y, cv=2)
    assert with_threads.shape == (2,)


def test_in_a_pipeline(rng):
    x = rng.normal(size=(50, 6)) * 100
    pipeline = make_pipeline(StandardScaler(), small(LSTMRegressor, epochs=60, standardize=False))
    y = x[:, -1] / 100
    assert pipeline.fit(x, y).score(x, y) > 0.8


def test_class_weights_and_sample_weights(series):
    ragged, labels, _ = series
    few = [*np.flatnonzero(labels == "up"), *np.flatnonzero(labels == "down")[:4]]
    x, y = [ragged[k] for k in few], labels[few]
    plain = small(epochs=3).fit(x, y).predict_proba(x)[:, 0].mean()
    weighted = small(epochs=3, class_weight="balanced").fit(x, y).predict_proba(x)[:, 0].mean()
    assert weighted > plain
    by_hand = np.where(y == "up", len(y) / (2 * (y == "up").sum()), len(y) / (2 * (y == "down").sum()))
    same = small(epochs=3).fit(x, y, sample_weight=by_hand).predict_proba(x)[:, 0].mean()
    np.testing.assert_allclose(weighted, same, rtol=1e-6)


def test_an_optimizer_of_ones_own_is_copied(series):
    ragged, labels, _ = series
    given = optimizers.SGD(0.1, momentum=0.9)
    small(epochs=1, optimizer=given).fit(ragged, labels)
    assert not given.built


@pytest.mark.parametrize(
    "wrong",
    [
        {"units": 0},
        {"layers": 1.5},
        {"epochs": True},
        {"batch_size": None},
        {"patience": 0},
        {"dropout": 1.0},
        {"recurrent_dropout": -0.1},
        {"cell": "rnn"},
        {"learning_rate": 0},
        {"optimizer": "best"},
        {"early_stopping": True, "validation_fraction": 2},
        {"early_stopping": True, "validation_fraction": 0.999},
    ],
)
def test_wrong_parameters(series, wrong):
    ragged, labels, _ = series
    with pytest.raises(ValueError, match=list(wrong)[-1] if "optimizer" not in wrong else "best"):
        small(**wrong).fit(ragged, labels)


def test_wrong_data(series):
    ragged, labels, sums = series
    model = small(epochs=1).fit(ragged, labels)
    for bad, message in (
        ([s[:, :1] for s in ragged], "expecting 2"),
        ([ragged[0], ragged[1][:, :1]], "as many features"),
        (np.zeros((3, 5)), r"\(N, T, F\)"),
        ([np.full((3, 2), np.nan)], "NaN"),
        (np.zeros((2, 3, 4, 5)), "dim"),
        ([np.zeros((0, 2))], "minimum of 1"),
    ):
        with pytest.raises(ValueError, match=message):
            model.predict(bad)
    for y in (None, labels[:5], [*range(59), np.nan]):
        with pytest.raises(ValueError):
            small(epochs=1).fit(ragged, y)
    regressor = small(LSTMRegressor, epochs=1)
    with pytest.raises(ValueError, match="dim 3"):
        regressor.fit(ragged, np.zeros((60, 2, 2)))
    regressor.partial_fit(ragged, sums)
    with pytest.raises(ValueError, match="first call"):
        regressor.partial_fit(ragged, np.zeros((60, 2)))
