# SPDX-License-Identifier: BSD-3-Clause
"""``x + y``, ``x - y`` and ``x * y`` of symbolic tensors do in a graph what they do in Keras's."""

from __future__ import annotations

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own

X = np.random.default_rng(0).normal(size=(6, 4, 3)).astype(np.float32)
IDS = np.array([[1, 2, 0, 0], [3, 1, 2, 0], [1, 1, 1, 1]])


def residual(k):
    layers = k.layers
    x = k.Input((4, 3), name="x")
    a = layers.Dense(3, name="a")(x)
    b = layers.Dense(1, name="b")(x)
    h = (x + a) * b - layers.Dense(3, activation="tanh", name="c")(a * a)
    return k.Model(x, layers.Dense(2, name="out")(layers.GRU(5, name="gru")(h)))


def masked(k):
    layers = k.layers
    ids = k.Input((4,), dtype="int32", name="ids")
    words = layers.Embedding(5, 3, mask_zero=True, name="words")(ids)
    h = words + layers.Dense(3, name="d")(words)  # no mask goes through
    return k.Model(ids, [layers.LSTM(2, name="behind")(h), layers.LSTM(2, name="before")(words)])


@pytest.mark.parametrize(("make", "x"), [(residual, X), (masked, IDS)])
def test_same_outputs_configuration_and_files(make, x, tmp_path):
    lf.utils.clear_session(), keras.utils.clear_session()
    ours, theirs = make(lf), make(keras)
    values = {v.path: v.numpy() for v in ours.weights}
    for v in theirs.weights:
        v.assign(values[v.path])
    expected = theirs.predict(x, verbose=0)
    np.testing.assert_allclose(_flat(ours.predict(x, verbose=0)), _flat(expected), rtol=1e-5, atol=1e-6)

    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    for loaded in (
        keras.models.load_model(tmp_path / "ours.keras"),
        lf.models.load_model(tmp_path / "theirs.keras"),
        lf.models.load_model(tmp_path / "ours.keras"),
        lf.models.clone_model(ours, call_function=lambda layer, *a, **k: layer(*a, **k)),
    ):
        if type(loaded).__name__ == "Model" and loaded.name == ours.name:
            loaded.set_weights(ours.get_weights())
        np.testing.assert_allclose(_flat(loaded.predict(x, verbose=0)), _flat(expected), rtol=1e-5, atol=1e-6)

    arithmetic = {"Add", "Subtract", "Multiply"}
    described = [
        [entry for entry in model.get_config()["layers"] if entry["class_name"] in arithmetic]
        for model in (ours, theirs)
    ]
    strip = [
        sorted(
            (e["module"], e["class_name"], e["registered_name"], len(e["inbound_nodes"][0]["args"]))
            for e in model
        )
        for model in described
    ]
    assert strip[0] == strip[1]
    assert strip[0]


def _flat(y):
    return np.concatenate([np.asarray(part).ravel() for part in (y if isinstance(y, list) else [y])])


def test_gradients_against_differences():
    """Keras's own gradients need no second model here: differences of the outputs in float64 steps do."""
    lf.utils.set_random_seed(0)
    model = residual(lf)
    dy = np.random.default_rng(1).normal(size=(6, 2)).astype(np.float32)
    _, tape = model.forward(X, training=True)
    _, dx, _ = tape.backward(dy)
    step, found = 1e-2, np.zeros_like(X)
    for index in np.ndindex(*X.shape):
        up, down = X.copy(), X.copy()
        up[index] += step
        down[index] -= step
        difference = (model(up).astype(float) - model(down).astype(float)) * dy
        found[index] = difference.sum() / (2 * step)
    # Differences of float32 outputs: an error of step squared, and of the outputs' last bits over the step.
    np.testing.assert_allclose(dx, found, atol=2e-3 * np.abs(found).max())


def test_what_cannot_be_added_is_refused():
    x = lf.Input((4, 3))
    with pytest.raises(ValueError, match="could not be broadcast"):
        x * lf.Input((4, 2))
    assert (x - lf.Input((1, 3))).shape == (None, 4, 3)
