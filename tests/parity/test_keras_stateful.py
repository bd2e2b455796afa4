# SPDX-License-Identifier: BSD-3-Clause
"""Stateful layers against real Keras: fit, predict, evaluate, resets, and batches of another size."""

from __future__ import annotations

import numpy as np
import pytest
from peers import keras, torch

import lstmfast as lf
from lstmfast.layers import Call

RNG = np.random.default_rng(2)
X = RNG.standard_normal((12, 5, 3)).astype(np.float32)
pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own
KINDS = ["LSTM", "GRU", "SimpleRNN"]


def build(lib, kind, sequences, batch=4):
    cell = getattr(lib.layers, kind)
    model = lib.Sequential(
        [
            lib.Input(batch_shape=(batch, 5, 3)),
            cell(6, return_sequences=True, stateful=True),
            cell(4, return_sequences=sequences, stateful=True),
            lib.layers.Dense(2),
        ]
    )
    model.compile(optimizer=lib.optimizers.SGD(0.1), loss="mse")
    return model


def pair(kind, sequences=False):
    theirs, ours = build(keras, kind, sequences), build(lf, kind, sequences)
    ours.set_weights(theirs.get_weights())
    y = RNG.standard_normal((12, 5, 2) if sequences else (12, 2)).astype(np.float32)
    return theirs, ours, y


def states(model):
    return [np.asarray(keras.ops.convert_to_numpy(s)) for layer in model.layers[:2] for s in layer.states]


def close(a, b):
    for p, q in zip(a, b, strict=True):
        np.testing.assert_allclose(p, q, rtol=0, atol=1e-5 * max(np.abs(q).max(), 1e-3))


# Keras on PyTorch cannot train stateful LSTM and GRU ("modified by an inplace operation"): their training is compared
# with PyTorch's own modules in test_torch_truncated.py.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sequences", [False, True])
def test_evaluate_and_predict_go_on_from_the_last_state(kind, sequences):
    theirs, ours, y = pair(kind, sequences)
    options = {"batch_size": 4, "verbose": 0}
    for _ in range(2):
        close([ours.predict(X, **options)], [theirs.predict(X, **options)])
        close(states(ours), states(theirs))
        assert ours.evaluate(X, y, **options) == pytest.approx(theirs.evaluate(X, y, **options), rel=1e-5)
        close(states(ours), states(theirs))
    close([ours(X[:4])], [keras.ops.convert_to_numpy(theirs(X[:4]))])
    close(states(ours), states(theirs))


@pytest.mark.parametrize("kind", ["SimpleRNN"])
@pytest.mark.parametrize("sequences", [False, True])
def test_fit_evaluate_and_predict_go_on_from_the_last_state(kind, sequences):
    theirs, ours, y = pair(kind, sequences)
    options = {"batch_size": 4, "verbose": 0}
    a = theirs.fit(X, y, epochs=2, shuffle=False, validation_data=(X[:8], y[:8]), **options).history
    b = ours.fit(X, y, epochs=2, shuffle=False, validation_data=(X[:8], y[:8]), **options).history
    close([b["loss"], b["val_loss"]], [a["loss"], a["val_loss"]])
    close(ours.get_weights(), theirs.get_weights())
    close(states(ours), states(theirs))
    for _ in range(2):
        close([ours.predict(X, **options)], [theirs.predict(X, **options)])
    assert ours.evaluate(X, y, **options) == pytest.approx(theirs.evaluate(X, y, **options), rel=1e-5)
    close(states(ours), states(theirs))


@pytest.mark.parametrize("name", ["reset_state", "reset_states"])
def test_resets(name):
    theirs, ours, y = pair("LSTM")
    options = {"batch_size": 4, "verbose": 0}
    first = ours.predict(X[:4], **options)
    close([first], [theirs.predict(X[:4], **options)])
    assert not np.allclose(ours.predict(X[:4], **options), first)
    for model in (theirs, ours):
        for layer in model.layers[:2]:
            getattr(layer, name)()
    close(states(ours), states(theirs))
    np.testing.assert_array_equal(ours.predict(X[:4], **options), first)
    getattr(ours, name)()  # of all layers of the model; Keras 2 had it
    assert not any(s.any() for s in states(ours))
    np.testing.assert_array_equal(ours.predict(X[:4], **options), first)


def test_resets_between_epochs_by_a_callback():
    def resetting(lib):
        class Reset(lib.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                for layer in self.model.layers[:2]:
                    layer.reset_states()

        return Reset()

    theirs, ours, y = pair("SimpleRNN")
    for model, lib in ((theirs, keras), (ours, lf)):
        model.fit(X, y, batch_size=4, epochs=3, shuffle=False, verbose=0, callbacks=[resetting(lib)])
    close(ours.get_weights(), theirs.get_weights())
    close(states(ours), states(theirs))


@pytest.mark.parametrize("use", ["fit", "predict", "call"])
def test_batches_of_another_size(use):
    """Keras raises too, from the layer; here fit and predict say it before anything changes."""
    theirs, ours, y = pair("LSTM")
    actions = {
        "fit": lambda m: m.fit(X[:6], y[:6], batch_size=6, verbose=0),
        "predict": lambda m: m.predict(X[:6], batch_size=6, verbose=0),
        "call": lambda m: m(X[:6]),
    }
    with pytest.raises(Exception):  # noqa: B017 - Keras's own error depends on its backend
        actions[use](theirs)
    before, held = ours.get_weights(), states(ours)
    with pytest.raises(ValueError, match=r"batch.*4.*6"):
        actions[use](ours)
    for a, b in zip([*ours.get_weights(), *states(ours)], [*before, *held], strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_last_batch_that_is_smaller():
    _, ours, y = pair("LSTM")
    with pytest.raises(ValueError, match="multiple"):
        ours.fit(X[:10], y[:10], batch_size=4, verbose=0)
    ours.fit(X, y, verbose=0)  # the batch size is the model's own


@pytest.mark.parametrize("lib", [keras, lf])
def test_the_batch_size_must_be_known(lib):
    with pytest.raises(ValueError, match="batch size must be static"):
        lib.Sequential([lib.Input((5, 3)), lib.layers.LSTM(2, stateful=True)])


def test_bidirectional():
    def made(lib):
        layer = lib.layers.Bidirectional(lib.layers.SimpleRNN(3, stateful=True))
        model = lib.Sequential([lib.Input(batch_shape=(4, 5, 3)), layer, lib.layers.Dense(2)])
        model.compile(optimizer=lib.optimizers.SGD(0.1), loss="mse")
        return model

    theirs, ours = made(keras), made(lf)
    ours.set_weights(theirs.get_weights())
    y = RNG.standard_normal((12, 2)).astype(np.float32)
    for model in (theirs, ours):
        model.fit(X, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    close(ours.get_weights(), theirs.get_weights())
    ours.layers[0].reset_states(), theirs.layers[0].reset_states()
    close([ours.predict(X, batch_size=4, verbose=0)], [theirs.predict(X, batch_size=4, verbose=0)])


@pytest.mark.parametrize("kind", KINDS)
def test_states_are_variables(kind):
    """Assigned one by one, put back, and the same objects all the time."""
    x = X[:4]
    theirs, ours = (getattr(lib.layers, kind)(6, stateful=True) for lib in (keras, lf))
    with torch.no_grad():
        close([ours(x) * 0], [theirs(x).numpy() * 0])
        ours.set_weights(theirs.get_weights())
        for layer in (ours, theirs):
            layer.reset_state()
            for state in layer.states:
                state.assign(np.full((4, 6), 0.5, np.float32))
        held = list(ours.states)
        assert [s.trainable for s in held] == [s.trainable for s in theirs.states]
        assert len(ours.variables) == len(theirs.variables)
        close([ours(x)], [theirs(x).numpy()])
        before = [[keras.ops.convert_to_numpy(s).copy() for s in layer.states] for layer in (ours, theirs)]
        close(*before)
        ours(x), theirs(x)
        for layer, values in zip((ours, theirs), before, strict=True):
            for state, value in zip(layer.states, values, strict=True):
                state.assign(value)
        close([ours(x)], [theirs(x).numpy()])
        for layer in (ours, theirs):
            layer.states[0].assign(layer.states[0] * 0)
        close([ours(x)], [theirs(x).numpy()])
    assert all(a is b for a, b in zip(held, ours.states, strict=True))
    for layer in (ours, theirs):
        with pytest.raises(ValueError, match="shape"):
            layer.states[0].assign(np.zeros((3, 6), np.float32))
    ours.states = [np.ones((4, 6))] * len(held)
    assert all(a is b and (a.numpy() == 1).all() for a, b in zip(held, ours.states, strict=True))
    with pytest.raises(ValueError, match=r"states of layer .* expected arrays of shapes .* got .*\(3, 6\)"):
        ours.states = [np.ones((3, 6))] * len(held)
    assert (held[0].numpy() == 1).all()


def test_a_backward_pass_needs_the_states_of_its_forward_pass():
    layer = lf.layers.LSTM(6, stateful=True)
    layer(X[:4])

    def gradients(between):
        call = Call(save=True, needs_dx=True)
        y = layer.forward(X[4:8], call)
        between()
        dx = layer.backward(np.ones_like(y), call)
        return [dx, *call.d_carried_state, *(v.grad.copy() for v in layer.weights)]

    start = [state.numpy() for state in layer.states]
    first = gradients(lambda: None)
    layer.states = start
    for v in layer.weights:
        v.clear_grad()
    for a, b in zip(first, gradients(lambda: layer(X[8:12])), strict=True):
        np.testing.assert_array_equal(a, b)
