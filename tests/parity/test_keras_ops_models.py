# SPDX-License-Identifier: BSD-3-Clause
"""Models with operations among their layers: trained alike by Keras, read from its files, and written for it."""

from __future__ import annotations

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

pytest.importorskip("h5py")

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own

RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 6, 3)).astype(np.float32)
Z = RNG.normal(size=(16, 3)).astype(np.float32)
IDS = RNG.integers(0, 7, (16, 6))
IDS[:, 4:] *= RNG.integers(0, 2, (16, 1))


def last_step(k):
    x = k.Input((6, 3))
    h = k.layers.LSTM(5, return_sequences=True)(x)
    return k.Model(x, k.layers.Dense(2)(h[:, -1] * 0.5)), X


def attention_pooling(k):
    """Softmax over time of scores, and the sum of states that they weigh."""
    x = k.Input((None, 3))
    h = k.layers.Bidirectional(k.layers.GRU(4, return_sequences=True))(x)
    scores = k.ops.softmax(k.layers.Dense(1)(k.ops.tanh(h)), axis=1)
    return k.Model(x, k.layers.Dense(2)(k.ops.sum(scores * h, axis=1))), X


def gated_residual(k):
    """Dense layers of one class that the operations between put into Keras's order."""
    x, z = k.Input((6, 3)), k.Input((3,))
    a, b, c, d = (k.layers.Dense(3, activation="tanh") for _ in range(4))
    gate = k.ops.sigmoid(a(z))[:, None]
    h = (1 - gate) * b(x) + gate * x
    top = k.ops.concatenate([k.ops.mean(c(h), axis=1), k.ops.max(h, axis=1), d(h[:, 0]) - z], axis=-1)
    return k.Model([x, z], k.layers.Dense(2)(top)), [X, Z]


def mean_of_words(k):
    """The mean of the embeddings of ids that are not 0, counted by operations."""
    ids = k.Input((6,), dtype="int32")
    words = k.layers.Embedding(7, 4)(ids)
    counts = k.ops.cast(k.ops.not_equal(ids, 0), "float32")[..., None]
    mean = k.ops.sum(words * counts, axis=1) / k.ops.maximum(k.ops.sum(counts, axis=1), 1)
    return k.Model(ids, k.layers.Dense(2)(mean)), IDS


def beside_masks(k):
    """Keras adds operations for masks of its own here, of the classes that the model uses too."""
    ids = k.Input((6,), dtype="int32")
    words = k.layers.Embedding(7, 4, mask_zero=True)(ids)
    counts = k.ops.any(k.ops.not_equal(words, 0.5), axis=-1, keepdims=True)
    h = k.layers.LSTM(3, return_sequences=True)(words)
    short = k.layers.LSTM(3)(k.layers.Concatenate()([words, h]))
    long = k.layers.LSTM(3)(k.ops.concatenate([words, h], axis=-1) * k.ops.cast(counts, "float32"))
    return k.Model(ids, k.layers.Dense(2)(short - long)), IDS


def states_between(k):
    """States of one layer, changed, as the initial states of another; a model inside with operations of its own."""
    x = k.Input((6, 3))
    inner_in = k.Input((6, 3))
    inner = k.Model(inner_in, k.ops.expand_dims(inner_in[:, :, 0], -1) ** 2 + inner_in / 2)
    _, state, cell = k.layers.LSTM(4, return_state=True)(inner(x))
    h = k.layers.LSTM(4, return_sequences=True)(x, initial_state=[-state, k.ops.clip(cell, -0.1, 0.1)])
    parts = k.ops.split(inner(inner(x)), 3, axis=1)
    return k.Model(
        x, k.layers.Dense(2)(k.ops.reshape(h, (-1, 24))) + k.ops.mean(parts[1][..., :2], axis=1)
    ), X


MODELS = [last_step, attention_pooling, gated_residual, mean_of_words, beside_masks, states_between]


def pair(make):
    """The model of both libraries with the same weights, layer by layer of each class."""
    lf.utils.set_random_seed(0)
    lf.utils.clear_session(), keras.utils.clear_session()
    (ours, x), (theirs, _) = make(lf), make(keras)
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    assert [op.name for op in ours.operations] == [
        op.name for op in theirs.operations if not _of_masks(op, ours)
    ]
    theirs.set_weights(ours.get_weights())
    return ours, theirs, x


def _of_masks(op, ours):
    return op.name not in {layer.name for layer in ours.operations}


def close(ours, theirs, tolerance=1e-5):
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * np.abs(theirs).max())


@pytest.mark.parametrize("make", MODELS)
def test_training_and_files(make, tmp_path):
    ours, theirs, x = pair(make)
    close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0))
    y = RNG.normal(size=(16, 2)).astype(np.float32)
    losses = []
    for model in (ours, theirs):
        model.compile("adam", "mse")
        losses.append(model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0).history["loss"])
    close(losses[0], losses[1])
    expected = theirs.predict(x, verbose=0)
    close(ours.predict(x, verbose=0), expected, 1e-4)  # six steps of Adam, which divides by small numbers

    theirs.save(tmp_path / "theirs.keras")
    read = lf.models.load_model(tmp_path / "theirs.keras")
    close(read.predict(x, verbose=0), expected)
    predicted = ours.predict(x, verbose=0)
    for name in ("ours.keras", "ours.safetensors"):
        ours.save(tmp_path / name)
        np.testing.assert_array_equal(lf.models.load_model(tmp_path / name).predict(x, verbose=0), predicted)
    close(keras.models.load_model(tmp_path / "ours.keras").predict(x, verbose=0), predicted)
    read.save(tmp_path / "again.keras")
    close(keras.models.load_model(tmp_path / "again.keras").predict(x, verbose=0), expected)


@pytest.mark.parametrize("make", MODELS)
def test_copies(make):
    import copy
    import pickle

    ours, _, x = pair(make)
    y = ours.predict(x, verbose=0)
    for other in (
        lf.models.clone_model(ours),
        lf.models.clone_model(ours, call_function=lambda layer, *a, **k: layer(*a, **k)),
        type(ours).from_config(ours.get_config()),
        lf.models.model_from_json(ours.to_json()),
    ):
        other.set_weights(ours.get_weights())
        np.testing.assert_array_equal(other.predict(x, verbose=0), y)
    for other in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        np.testing.assert_array_equal(other.predict(x, verbose=0), y)


def test_summary_is_kerass():
    lines = []
    for k in (lf, keras):
        k.utils.clear_session()
        model, _ = gated_residual(k)
        shown = []
        model.summary(line_length=90, print_fn=shown.append)
        lines.append("\n".join(shown).split("\n"))
    # Keras's is cut at the terminal's width: layer, shape and parameters stand before that.
    ours, theirs = ([line.split("│")[1:4] for line in text if line.startswith("│")] for text in lines)
    assert [[cell.strip() for cell in row] for row in ours] == [
        [cell.strip() for cell in row] for row in theirs
    ]
