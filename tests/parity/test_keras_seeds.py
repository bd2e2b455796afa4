# SPDX-License-Identifier: BSD-3-Clause
"""`SeedGenerator` and the states of random numbers among a layer's variables, as in the real Keras 3."""

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def numbers(tensor):
    return (tensor.numpy() if hasattr(tensor, "numpy") else np.asarray(tensor)).tolist()


def test_states_and_their_order():
    ours, theirs = lf.random.SeedGenerator(7), keras.random.SeedGenerator(7)
    for ordered in (True, True, False, False, True):
        np.testing.assert_array_equal(ours.next(ordered=ordered), numbers(theirs.next(ordered=ordered)))
    np.testing.assert_array_equal(ours.state.numpy(), numbers(theirs.state))
    assert ours.state.name == theirs.state.name and not ours.state.trainable
    assert ours.get_config().keys() == theirs.get_config().keys()
    for K in (lf, keras):
        with pytest.raises(ValueError, match="seed"):
            K.random.SeedGenerator(1.5)


def layers(K):
    L = K.layers
    return [
        L.LSTM(3),
        L.GRU(3, dropout=0.1),
        L.SimpleRNN(3, seed=3),
        L.Bidirectional(L.LSTM(3)),
        L.RNN([L.LSTMCell(3), L.GRUCell(2)]),
        L.TimeDistributed(L.Dropout(0.1)),
        L.Dropout(0.1),
        L.Dropout(0.0),
        L.SpatialDropout1D(0.1),
        L.GaussianNoise(0.1),
        L.GaussianNoise(0.0),
        L.GaussianDropout(0.1),
        L.AlphaDropout(0.1),
        L.Dense(2),
        L.BatchNormalization(),
    ]


@pytest.mark.parametrize("number", range(len(layers(lf))))
def test_variables_of_layers(number):
    ours, theirs = layers(lf)[number], layers(keras)[number]
    x = np.ones((2, 4, 3), "float32")
    ours(x), theirs(x)
    for which in (
        *("variables", "weights", "trainable_variables", "trainable_weights"),
        *("non_trainable_variables", "non_trainable_weights"),
    ):
        left = [(v.name, tuple(v.shape)) for v in getattr(ours, which)]
        assert left == [(v.name, tuple(v.shape)) for v in getattr(theirs, which)], which


@pytest.mark.parametrize("make", ["Attention", "MultiHeadAttention"])
def test_variables_of_attention(make):
    for rate, count in ((0.0, 0), (0.2, 1)):
        for K in (lf, keras):
            arguments = {"num_heads": 2, "key_dim": 2} if make == "MultiHeadAttention" else {}
            layer = getattr(K.layers, make)(**arguments, dropout=rate)
            a = K.Input((4, 3))
            layer([a, a]) if make == "Attention" else layer(a, a)
            assert [v.name for v in layer.non_trainable_variables] == ["seed_generator_state"] * count
            assert layer.non_trainable_weights == []


def test_a_layer_of_one_s_own():
    found = []
    for K in (lf, keras):

        class Noisy(K.layers.Layer):
            def __init__(self, K=K):
                super().__init__()
                self.seeds = K.random.SeedGenerator(5)
                self.inner = K.layers.Dense(2)

            def call(self, x):
                self.seeds.next()
                return self.inner(x)

        layer = Noisy()
        for _ in range(3):
            layer(np.ones((1, 2), "float32"))
        found.append([v.name for v in layer.variables])
        assert numbers(layer.seeds.state) == [5, layer.seeds.state.numpy()[1]]
    assert found[0] == found[1]


def test_stateless_calls_take_and_give_states():
    layer = lf.layers.Dropout(0.5, seed=1)
    x = np.ones((1, 100), "float32")
    first = layer(x, training=True)
    assert layer.seed_generator.state.numpy().tolist() == [1, 1]
    again, left = layer.stateless_call([], [np.uint32([1, 0])], x, training=True)
    np.testing.assert_array_equal(first, again)
    assert left[0].tolist() == [1, 2 - 1] and layer.seed_generator.state.numpy().tolist() == [1, 1]


def test_masks_of_neighbouring_states_are_independent():
    """Seeds and counts are small numbers next to each other: shares and correlations are those of chance."""
    n, rate = 40_000, 0.3
    x = np.ones((1, n), "float32")
    masks = []
    for seed in range(4):
        layer = lf.layers.Dropout(rate, seed=seed)
        masks += [layer(x, training=True)[0] > 0 for _ in range(4)]
    masks = np.array(masks, float)
    sigma = np.sqrt(rate * (1 - rate) / n)
    assert np.all(abs(masks.mean(1) - (1 - rate)) < 4.5 * sigma)
    correlations = np.corrcoef(masks)[np.triu_indices(len(masks), 1)]
    assert np.all(abs(correlations) < 4.5 / np.sqrt(n))
