# SPDX-License-Identifier: BSD-3-Clause
"""A Transformer encoder built from the layers: equal to Keras's in outputs, gradients and training, and it learns."""

from __future__ import annotations

import numpy as np
import pytest
from peers import keras, torch

import lstmfast as lf
from lstmfast.layers import Layer

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own

STEPS, WORDS, WIDTH = 7, 11, 8


class Sum(Layer):
    """The sum of two inputs, a layer of the user's."""

    supports_masking = True
    takes_list = True

    def _convert(self, inputs):
        return [np.asarray(x, np.float32) for x in inputs]

    def compute_output_shape(self, input_shape):
        return tuple(input_shape[0])

    def compute_mask(self, inputs, mask=None):
        return None if mask is None else mask[0]

    def forward(self, x, call):
        return x[0] + x[1]

    def backward(self, dy, call):
        return [dy, dy]


def encoder(k, blocks=2, causal=True, dropout=0.0):
    add = Sum if k is lf else keras.layers.Add
    layers = k.layers
    words, places = k.Input((STEPS,), dtype="int32", name="w"), k.Input((STEPS,), dtype="int32", name="p")
    x = add(name="sum")(
        [
            layers.Embedding(WORDS, WIDTH, name="words")(words),
            layers.Embedding(STEPS, WIDTH, name="places")(places),
        ]
    )
    for n in range(blocks):
        attention = layers.MultiHeadAttention(2, 4, dropout=dropout, name=f"attention_{n}")
        x = layers.LayerNormalization(name=f"norm_a_{n}")(
            add(name=f"add_a_{n}")([x, attention(x, x, use_causal_mask=causal)])
        )
        h = layers.Dense(2 * WIDTH, "gelu", name=f"up_{n}")(x)
        x = layers.LayerNormalization(name=f"norm_b_{n}")(
            add(name=f"add_b_{n}")([x, layers.Dense(WIDTH, name=f"down_{n}")(h)])
        )
    model = k.Model([words, places], layers.Dense(WORDS, "softmax", name="out")(x))
    return model


def both(**options):
    ours, theirs = encoder(lf, **options), encoder(keras, **options)
    by_path = {v.path: v for v in ours.weights}
    assert sorted(by_path) == sorted(v.path for v in theirs.weights)
    for v in theirs.weights:
        v.assign(by_path[v.path].numpy())
    return ours, theirs, by_path


def batch(rng, n):
    """At each step the word of the step before must be told (the first says 0)."""
    words = rng.integers(1, WORDS, (n, STEPS)).astype("int32")
    places = np.broadcast_to(np.arange(STEPS, dtype="int32"), (n, STEPS)).copy()
    target = np.concatenate([np.zeros((n, 1), "int32"), words[:, :-1]], axis=1)
    return [words, places], target


def close(actual, expected, what=""):
    expected = np.asarray(expected)
    # Not below 0.1: the gradient of the keys' bias is 0 but for rounding.
    scale = max(float(np.abs(expected).max(initial=0.0)), 0.1)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * scale, err_msg=what)


@pytest.mark.parametrize("causal", [False, True])
def test_outputs_and_gradients(causal, rng):
    ours, theirs, by_path = both(causal=causal)
    x, _ = batch(rng, 5)
    y, tape = ours.forward(x)
    expected = theirs([torch.tensor(a) for a in x])
    close(y, expected.detach().numpy())
    dy = rng.standard_normal(y.shape).astype("float32")
    grads = dict(zip((v.path for v in ours.trainable_variables), tape.backward(dy)[0], strict=True))
    (expected * torch.tensor(dy)).sum().backward()
    for v in theirs.trainable_variables:
        close(grads[v.path], v.value.grad.numpy(), v.path)


def test_training_step_by_step(rng):
    ours, theirs, by_path = both()
    for model, k in ((ours, lf), (theirs, keras)):
        model.compile(k.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    for _ in range(5):
        x, y = batch(rng, 8)
        assert ours.train_on_batch(x, y) == pytest.approx(float(theirs.train_on_batch(x, y)), rel=1e-4)
    for v in theirs.weights:
        np.testing.assert_allclose(by_path[v.path].numpy(), v.numpy(), atol=1e-5, err_msg=v.path)


def test_it_learns_to_look_back(rng):
    lf.utils.set_random_seed(1)
    model = encoder(lf, blocks=1, dropout=0.0)
    model.compile(lf.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = batch(rng, 1500)
    model.fit(x, y, epochs=12, batch_size=50, verbose=0)
    x, y = batch(rng, 200)
    assert model.evaluate(x, y, verbose=0)[1] > 0.95


def test_saved_and_loaded(tmp_path, rng):
    pytest.importorskip("h5py")
    ours, _, _ = both()
    x, _ = batch(rng, 3)
    ours.save(tmp_path / "m.safetensors")
    again = lf.saving.load_model(tmp_path / "m.safetensors", custom_objects={"Sum": Sum})
    np.testing.assert_array_equal(again.predict(x, verbose=0), ours.predict(x, verbose=0))
    ours.save(tmp_path / "m.keras")
    again = lf.saving.load_model(tmp_path / "m.keras", custom_objects={"Sum": Sum})
    np.testing.assert_array_equal(again.predict(x, verbose=0), ours.predict(x, verbose=0))
