# SPDX-License-Identifier: BSD-3-Clause
"""`compile` for a second time, limits for the whole program, and groups of batches in `predict`, as in Keras."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore:.*__array__ implementation:DeprecationWarning")

RNG = np.random.default_rng(2)
X = RNG.random((20, 3)).astype(np.float32)
Y = RNG.random((20, 1)).astype(np.float32)


def model_of(K, dropout=False):
    x = K.Input((3,))
    y = K.layers.Dense(1, kernel_initializer="ones", name="out")(x)
    return K.Model(x, K.layers.Dropout(0.5, seed=3)(y, training=True) if dropout else y)


FIRST = {"loss": "mse", "loss_weights": 0.5, "metrics": ["mae"], "weighted_metrics": ["mse"]}
SECOND = [
    {},
    {"loss": "mae"},
    {"loss": "mae", "loss_weights": [2.0]},
    {"loss_weights": [2.0]},
    {"metrics": ["mape"]},
    {"weighted_metrics": []},
    {"metrics": []},
    {"loss": "mae", "metrics": ["mse"]},
]


@pytest.mark.parametrize("second", SECOND, ids=str)
def test_what_a_second_call_keeps(second):
    found = []
    for K in (lf, keras):
        model = model_of(K)
        model.compile("sgd", **FIRST)
        model.fit(X, Y, epochs=1, shuffle=False, verbose=0)
        model.compile(K.optimizers.SGD(0.3), **second)
        history = model.fit(X, Y, epochs=2, shuffle=False, verbose=0).history
        config = {name: model.get_compile_config()[name] for name in FIRST}
        found.append((list(history), model.loss, [m.name for m in model.metrics], config))
        found.append(history)
    assert found[0] == found[2]
    for name, values in found[1].items():
        np.testing.assert_allclose(values, found[3][name], rtol=2e-5, err_msg=name)


def test_both_ways_to_run_are_refused():
    for K in (lf, keras):
        model = model_of(K)
        with pytest.warns(UserWarning, match="Disabling `jit_compile`"):
            model.compile("sgd", "mse", run_eagerly=True, jit_compile=True)
        assert model.run_eagerly and not model.jit_compile


@pytest.mark.parametrize(("epochs", "steps"), [(None, None), (2, None), (None, 3), (2, 3), (9, 99)])
def test_limits(epochs, steps):
    found = []
    for K in (lf, keras):
        model = model_of(K)
        model.compile(K.optimizers.SGD(0.1), "mse")
        K.config.set_max_epochs(epochs)
        K.config.set_max_steps_per_epoch(steps)
        try:
            assert (K.config.max_epochs(), K.config.max_steps_per_epoch()) == (epochs, steps)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                history = model.fit(X, Y, batch_size=4, epochs=4, shuffle=False, verbose=0).history["loss"]
                score = model.evaluate(X, Y, batch_size=4, verbose=0)
                count = len(model.predict(X, batch_size=4, verbose=0))
            said = {str(w.message) for w in caught if "Limiting" in str(w.message)}
        finally:
            K.config.set_max_epochs(None)
            K.config.set_max_steps_per_epoch(None)
        found.append((said, count, len(history), int(model.optimizer.iterations)))
        found.append([*history, float(score)])
    assert found[0] == found[2]
    np.testing.assert_allclose(found[1], found[3], rtol=2e-5)


def test_wrong_limits():
    for wrong in (-1, 1.5, True, "2"):
        with pytest.raises(ValueError, match="must be a positive integer or None"):
            lf.config.set_max_epochs(wrong)
    lf.config.set_max_steps_per_epoch(2)
    try:
        model = model_of(lf)

        class Endless(lf.utils.PyDataset):
            num_batches = None

            def __getitem__(self, index):
                return X[:2]

        with pytest.warns(UserWarning, match="Limiting steps_per_epoch to 2"):
            assert len(model.predict(Endless(), verbose=0)) == 4
    finally:
        lf.config.set_max_steps_per_epoch(None)


@pytest.mark.parametrize("every", [1, 3, 5, 9])
def test_predict_in_groups_of_batches(every):
    """As Keras's trainers for TensorFlow and JAX do; that for PyTorch goes batch by batch."""
    heard = []

    class Heard(lf.callbacks.Callback):
        def on_predict_batch_begin(self, batch, logs=None):
            heard.append(batch)

        def on_predict_batch_end(self, batch, logs=None):
            heard.append((batch, logs["outputs"]))

    model = model_of(lf)
    model.compile(steps_per_execution=every)
    whole = model.predict(X, batch_size=4, verbose=0, callbacks=[Heard()])
    starts = range(0, 5, every)
    assert heard[::2] == list(starts)
    assert [last for last, _ in heard[1::2]] == [start + every - 1 for start in starts]
    for start, (_, outputs) in zip(starts, heard[1::2], strict=True):
        np.testing.assert_array_equal(outputs, whole[4 * start : 4 * (start + every)])
    np.testing.assert_array_equal(whole, model(X, training=False))


def test_predict_on_batch_is_no_training():
    for K in (lf, keras):
        model = model_of(K, dropout=True)
        a = model.predict_on_batch(X)
        np.testing.assert_allclose(a, X.sum(axis=1, keepdims=True), rtol=1e-5)
        np.testing.assert_array_equal(a, model.predict(X, verbose=0))


def test_predict_on_batch_of_ones_own():
    for K in (lf, keras):

        class Doubled(K.Model):
            def predict_step(self, data):
                return 2 * self(data[0])

        x = K.Input((3,))
        model = Doubled(x, K.layers.Dense(1, kernel_initializer="ones")(x))
        np.testing.assert_allclose(model.predict_on_batch(X), 2 * X.sum(axis=1, keepdims=True), rtol=1e-5)
