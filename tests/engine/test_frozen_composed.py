# SPDX-License-Identifier: BSD-3-Clause
"""Layers that compose layers in `call`, in frozen models: with constants, own weights and masks inside."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from frozen_cases import randomized, same_bits

from lstmfast import Input, Model, Sequential, layers, ops


class Block(layers.Layer):
    """As in Keras's examples."""

    def __init__(self, width, heads=2, masking=False, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = masking
        self.attention = layers.MultiHeadAttention(heads, 3)
        self.network = Sequential([layers.Dense(7, activation="relu"), layers.Dense(width)])
        self.first, self.second = layers.LayerNormalization(), layers.LayerNormalization()
        self.dropout = layers.Dropout(0.1)

    def call(self, x, training=None):
        h = self.first(x + self.dropout(self.attention(x, x), training=training))
        return self.second(h + self.dropout(self.network(h), training=training))


class TokensAndPlaces(layers.Layer):
    def __init__(self, steps, vocabulary, width, masking=False):
        super().__init__()
        self.tokens = layers.Embedding(vocabulary, width, mask_zero=masking)
        self.places = layers.Embedding(steps, width)

    def call(self, x):
        return self.tokens(x) + self.places(ops.arange(0, ops.shape(x)[-1]))


class MaskedTokens(TokensAndPlaces):
    def __init__(self, *args):
        super().__init__(*args, masking=True)
        self.supports_masking = True

    def compute_mask(self, inputs, mask=None):
        return self.tokens.compute_mask(inputs)


class Weighted(layers.Layer):
    """A dense layer written with weights of its own, and constants of several shapes."""

    def build(self, shape):
        self.kernel = self.add_weight((shape[-1], 4), "glorot_uniform", "kernel")
        self.bias = self.add_weight((4,), "ones", "bias")
        self.gain = self.add_weight((), "ones", "gain")
        self.built = True

    def call(self, x):
        y = ops.matmul(x, self.kernel) + self.bias
        return ops.tanh(y * self.gain * self.gain - np.linspace(0, 1, 4)) / 2.0


class Places(layers.Layer):
    """A weight for each step."""

    supports_masking = True

    def build(self, shape):
        self.places = self.add_weight(shape[1:], "glorot_uniform", "places")
        self.share = self.add_weight((shape[1], 1), "ones", "share")

    def call(self, x):
        return (x + self.places) * ops.sigmoid(self.share)


class TakesMask(layers.Layer):
    """Hands the mask on, to a recurrent layer and as one of attention."""

    supports_masking = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.attention = layers.MultiHeadAttention(2, 3)
        self.lstm = layers.LSTM(4, return_sequences=True)

    def call(self, x, mask=None):
        seen = None if mask is None else ops.logical_and(mask[:, None, :], np.tri(6, dtype=bool))
        y = self.attention(x, x, attention_mask=seen)
        counted = 1.0 if mask is None else ops.cast(ops.expand_dims(mask, -1), "float32")
        return self.lstm(y * counted, mask=mask)


IDS = np.array([[1, 2, 3, 0, 0, 0], [4, 0, 2, 2, 0, 1], [5, 4, 3, 2, 1, 6]])


@pytest.fixture
def x(rng):
    return rng.normal(size=(5, 6, 4)).astype("float32")


def check(model, data, **given):
    frozen = model.freeze()
    assert same_bits(frozen(data, **given), model(data, **given))
    assert same_bits(pickle.loads(pickle.dumps(frozen))(data, **given), model(data, **given))
    return frozen


def test_the_text_classifier_of_the_examples():
    inputs = Input((6,))
    h = Block(4)(TokensAndPlaces(6, 7, 4)(inputs))
    model = randomized(
        Model(inputs, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling1D()(h)))
    )
    frozen = check(model, IDS)
    check(model, IDS.astype("int32"))
    model.set_weights([w * 0 for w in model.get_weights()])  # which the program must not see
    assert np.abs(pickle.loads(pickle.dumps(frozen))(IDS) - 1 / 3).max() > 1e-3
    with pytest.raises(ValueError, match=r"steps|shape"):
        frozen(IDS[:, :4])


@pytest.mark.parametrize("after", [lambda: layers.LSTM(3), lambda: layers.GlobalAveragePooling1D()])
def test_masks_by_compute_mask(after):
    inputs = Input((6,))
    model = randomized(Model(inputs, after()(MaskedTokens(6, 7, 4)(inputs))))
    check(model, IDS)
    check(randomized(Model(inputs, after()(Block(4, masking=True)(MaskedTokens(6, 7, 4)(inputs))))), IDS)


@pytest.mark.parametrize("layer", [Weighted, Places, lambda: Block(4, masking=True)])
def test_own_weights_and_constants(layer, x, rng):
    inputs = Input((6, 4))
    model = randomized(Model(inputs, layers.GRU(3, return_sequences=True)(layer()(inputs))))
    for given in ({}, {"mask": rng.random((5, 6)) < 0.6}):
        y, expected = model.freeze()(x, **given), model(x, **given)
        if layer is Weighted:  # `matmul` is NumPy's in the layer, and adds in another order
            np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
        else:
            assert same_bits(y, expected)


def test_a_call_that_takes_the_mask(x, rng):
    inputs = Input((6, 4))
    masked = randomized(Model(inputs, TakesMask()(layers.Masking()(inputs))))
    data = x * (rng.random((5, 6, 1)) < 0.6)
    check(masked, data)
    plain = randomized(Model(inputs, TakesMask(name="taker")(inputs)))
    frozen = check(plain, x)
    out = np.full((5, 6, 4), 7, np.float32)
    with pytest.raises(ValueError, match="layer 'taker': it was frozen for inputs without a mask"):
        frozen(x, mask=np.ones((5, 6), bool), out=out)
    assert (out == 7).all()


def test_what_is_constant_cannot_come_out():
    class Constant(layers.Layer):
        def call(self, x):
            return ops.convert_to_tensor(np.ones((2, 3), "float32")) * 1.0

    inputs = Input((6, 4))
    with pytest.raises(ValueError, match="cannot be frozen"):
        Model(inputs, Constant()(inputs)).freeze()


def test_truth_values_cannot_come_out():
    inputs = Input((6, 4))
    with pytest.raises(ValueError, match=r"output '.*' cannot be frozen: it is of bool, not float32"):
        Model(inputs, inputs != 0).freeze()


def test_names_of_what_has_no_native_form():
    class Sums(layers.Layer):
        def call(self, x):
            return ops.cumsum(x, axis=1)

    inputs = Input((6, 4))
    with pytest.raises(ValueError, match="cannot be frozen: it has no native form"):
        Model(inputs, Sums()(inputs)).freeze()
