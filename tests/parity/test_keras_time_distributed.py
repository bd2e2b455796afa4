# SPDX-License-Identifier: BSD-3-Clause
"""TimeDistributed against Keras: layers of all kinds, models, masks, files."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_parity import close, compare, floats, keras, same_configuration, same_error

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own

INNER = {
    "dense": lambda k: k.layers.Dense(3, activation="tanh"),
    "activation": lambda k: k.layers.Activation("softmax"),
    "flatten": lambda k: k.layers.Flatten(),
    "reshape": lambda k: k.layers.Reshape((-1, 1)),
    "conv": lambda k: k.layers.Conv1D(3, 2, padding="causal"),
    "pool": lambda k: k.layers.MaxPooling1D(2, padding="same"),
    "mean": lambda k: k.layers.GlobalAveragePooling1D(),
    "lstm": lambda k: k.layers.LSTM(3),
    "gru": lambda k: k.layers.GRU(3, return_sequences=True),
    "both": lambda k: k.layers.Bidirectional(k.layers.SimpleRNN(2)),
    "twice": lambda k: k.layers.TimeDistributed(k.layers.Dense(2)),
    "model": lambda k: k.Sequential([k.Input((4, 5)), k.layers.Dense(3), k.layers.LSTM(2)]),
}


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(INNER)),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    seed=st.integers(0, 999),
)
def test_any_layer(name, shape, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < 0.6 if name in ("dense", "activation", "flatten", "conv") else None
    compare(
        lambda k: k.layers.TimeDistributed(INNER[name](k)), floats(rng, *shape, 4, 5), rng, mask, least=0.1
    )


@pytest.mark.parametrize("name", ["lstm", "gru", "mean", "model", "both"])
def test_a_mask_of_the_inner_steps(name, rng):
    mask = rng.random((2, 3, 4)) < 0.6
    mask[..., 0] = True
    compare(lambda k: k.layers.TimeDistributed(INNER[name](k)), floats(rng, 2, 3, 4, 5), rng, mask, least=0.1)


def test_three_axes(rng):
    compare(lambda k: k.layers.TimeDistributed(k.layers.Dense(3)), floats(rng, 2, 4, 5), rng)


@pytest.mark.parametrize("name", [n for n in sorted(INNER) if n not in ("model", "both")])
def test_configuration(name):
    def make(k):
        inner = INNER[name](k)
        inner = type(inner).from_config({**inner.get_config(), "name": "inner"})
        return k.layers.TimeDistributed(inner, name="outer", trainable=False)

    if name == "twice":
        make = lambda k: k.layers.TimeDistributed(  # noqa: E731
            k.layers.TimeDistributed(k.layers.Dense(2, name="a"), name="b"), name="c"
        )
    same_configuration(make, nested=True)


def network(k):
    """Words of letters: an inner model on every word, then a recurrent layer over the words, with masks."""
    letters = k.Sequential(
        [
            k.Input((5,)),
            k.layers.Embedding(9, 4),
            k.layers.Conv1D(6, 2, padding="same"),
            k.layers.GlobalMaxPooling1D(),
        ],
        name="letters",
    )
    ids = k.Input((4, 5), name="ids")
    words = k.layers.TimeDistributed(letters, name="words")(ids)
    words = k.layers.TimeDistributed(k.layers.Dense(6, name="inner"), name="dense")(
        k.layers.Masking(name="m")(words)
    )
    return k.Model(ids, k.layers.Dense(2, name="out")(k.layers.LSTM(3, name="lstm")(words)))


def test_training_and_files(rng, tmp_path):
    ours, theirs = network(lf), network(keras)
    theirs.set_weights(ours.get_weights())
    x, y = rng.integers(0, 9, (7, 4, 5)), floats(rng, 7, 2)
    for model in (ours, theirs):
        model.compile("sgd", "mse")
    for _ in range(4):
        np.testing.assert_allclose(ours.train_on_batch(x, y), float(theirs.train_on_batch(x, y)), rtol=1e-5)
    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    ours.save(tmp_path / "ours.safetensors")
    close(keras.models.load_model(tmp_path / "ours.keras").predict(x, verbose=0), ours.predict(x, verbose=0))
    close(lf.saving.load_model(tmp_path / "theirs.keras").predict(x, verbose=0), theirs.predict(x, verbose=0))
    again = lf.saving.load_model(tmp_path / "ours.safetensors")
    np.testing.assert_array_equal(again.predict(x, verbose=0), ours.predict(x, verbose=0))


@pytest.mark.parametrize(
    "make",
    [
        lambda k: k.layers.TimeDistributed(3),
        lambda k: k.layers.TimeDistributed(k.layers.Dense(2))(np.ones((2, 3))),
        lambda k: k.layers.TimeDistributed(k.layers.Conv1D(2, 2))(np.ones((2, 3, 4))),
        lambda k: k.layers.TimeDistributed(k.layers.Dense(2))(k.Input((3,))),
        lambda k: k.layers.TimeDistributed(k.layers.Dense(2))(np.ones((2, 3, 4)), mask=np.ones((2, 4), bool)),
    ],
)
def test_errors(make):
    same_error(make)
