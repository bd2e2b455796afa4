# SPDX-License-Identifier: BSD-3-Clause
"""Masks that a layer's `compute_mask` makes of an input without one, beside Keras 3: calls, graphs, training, frozen models."""

from __future__ import annotations

import numpy as np
import pytest
from layer_parity import close
from peers import keras

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own, and of masks that end at a layer
IDS = np.array([[1, 2, 0, 0], [3, 0, 2, 0], [4, 4, 1, 2]])


def words(K, supports):
    class Words(K.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.supports_masking = supports
            self.embedding = K.layers.Embedding(5, 3, mask_zero=True)

        def call(self, x):
            return K.ops.tanh(self.embedding(x)) * 2.0

        def compute_mask(self, inputs, mask=None):
            return self.embedding.compute_mask(inputs)

    return Words()


def flat(K, supports):
    inputs = K.Input((4,))
    return K.Model(inputs, K.layers.LSTM(3)(words(K, supports)(inputs)))


def nested(K, supports):
    inputs, outer = K.Input((4,)), K.Input((4,))
    inner = K.Model(inputs, words(K, supports)(inputs))
    return K.Model(outer, K.layers.LSTM(3)(inner(outer)))


@pytest.mark.parametrize("supports", [True, False])
@pytest.mark.parametrize("make", [flat, nested])
def test_masks(make, supports, rng):
    theirs, ours = make(keras, supports), make(lf, supports)
    ours.set_weights([rng.normal(size=w.shape) for w in ours.get_weights()])
    theirs.set_weights(ours.get_weights())
    expected = theirs.predict(IDS, verbose=0)
    close(ours.predict(IDS, verbose=0), expected)
    if supports:
        frozen = ours.freeze()
        np.testing.assert_array_equal(frozen(IDS), ours(IDS))
    else:
        with pytest.raises(ValueError, match="it has a `compute_mask`, but not supports_masking=True"):
            ours.freeze()
    for model in (theirs, ours):
        model.compile("sgd", "mse")
        model.train_on_batch(IDS, np.ones((3, 3)))
    close(ours.predict(IDS, verbose=0), theirs.predict(IDS, verbose=0))


def test_a_layer_called_with_arrays(rng):
    K_words, L_words = words(keras, True), words(lf, True)
    L_words(IDS)
    K_words(IDS)
    K_words.set_weights(L_words.get_weights())
    lstm, other = lf.layers.LSTM(3), keras.layers.LSTM(3)
    y = lstm(L_words(IDS))
    other(K_words(IDS))
    other.set_weights(lstm.get_weights())
    close(np.asarray(y), other(K_words(IDS)).detach().numpy())


def lookup(K):
    """An embedding of one's own, as the guide to masks writes it: it takes integers, and says nothing of masks."""

    class Lookup(K.layers.Layer):
        def build(self, input_shape):
            self.table = self.add_weight(shape=(5, 3), initializer="random_normal", name="table")

        def call(self, inputs):
            return K.ops.take(self.table, inputs, axis=0)

        def compute_mask(self, inputs, mask=None):
            return K.ops.not_equal(inputs, 0)

    return Lookup()


def test_a_compute_mask_is_enough_and_integers_stay_integers(rng):
    models = []
    for K in (lf, keras):
        inputs = K.Input((None,), dtype="int32")
        layer = lookup(K)
        assert layer.supports_masking
        models.append(K.Model(inputs, K.layers.LSTM(3)(layer(inputs))))
        y = layer(IDS)
        np.testing.assert_array_equal(y._keras_mask, np.asarray(IDS) != 0)
    ours, theirs = models
    ours.set_weights([rng.normal(size=w.shape) for w in ours.get_weights()])
    theirs.set_weights(ours.get_weights())
    close(ours(IDS), theirs.predict(IDS, verbose=0))
    for model in models:
        model.compile("sgd", "mse")
        model.train_on_batch(IDS, np.ones((len(IDS), 3)))
    close(ours.predict(IDS, verbose=0), theirs.predict(IDS, verbose=0))
