# SPDX-License-Identifier: BSD-3-Clause
"""Activation layers: training, frozen models, lengths, the old name of an argument."""

import numpy as np
import pytest

from lstmfast import Input, Model, Sequential, layers, optimizers
from lstmfast.layers import Call


def test_prelu_learns(rng):
    model = Sequential([Input((4,)), layers.PReLU()])
    model.compile(optimizers.SGD(0.2), "mse")
    x = rng.standard_normal((64, 4)).astype("float32")
    model.fit(x, np.where(x > 0, x, 0.5 * x), epochs=60, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], 0.5, atol=0.05)
    assert [v.name for v in model.weights] == ["alpha"]


NATIVE = [layers.ReLU, lambda: layers.ReLU(6.0), lambda: layers.LeakyReLU(0.2), layers.ELU, layers.Softmax,
          lambda: layers.Softmax(axis=[2]), lambda: layers.Activation("tanh")]  # fmt: skip


@pytest.mark.parametrize("make", NATIVE)
def test_frozen(make, rng):
    """The same bits, alone and folded into the Dense before it."""
    x = rng.standard_normal((3, 5, 4)).astype("float32")
    for before in (layers.Dense(6), layers.LSTM(6, return_sequences=True)):
        model = Sequential([Input((None, 4)), before, make(), layers.GRU(2)])
        np.testing.assert_array_equal(model.freeze()(x), model(x))


WITH_ARGUMENTS = [lambda: layers.ReLU(2.0), lambda: layers.ReLU(threshold=0.4), lambda: layers.ReLU(0.9, 0.3, 0.2),
                  lambda: layers.LeakyReLU(), lambda: layers.PReLU("glorot_uniform", shared_axes=1),
                  lambda: layers.PReLU("glorot_uniform", shared_axes=[1, 2])]  # fmt: skip


@pytest.mark.parametrize("make", WITH_ARGUMENTS)
def test_frozen_with_arguments(make, rng):
    """The same bits of whole batches and of streams, special values included."""
    x = rng.standard_normal((3, 5, 4)).astype("float32")
    x[0, 0] = [0.0, -0.0, np.inf, np.nan]
    model = Sequential([Input((None, 4)), make(), layers.Dense(2)])
    frozen = model.freeze()
    np.testing.assert_array_equal(frozen(x), model(x))
    np.testing.assert_array_equal(frozen.stream(3).push(x), model(x))
    alone = Sequential([Input((None, 4)), model.layers[0]])
    assert alone.freeze()(x).tobytes() == alone(x).tobytes()
    flat = Sequential([Input((4,)), layers.PReLU("glorot_uniform")])
    np.testing.assert_array_equal(flat.freeze()(x[:, 1]), flat(x[:, 1]))


@pytest.mark.parametrize(
    "layer",
    [layers.ELU(0.5, name="bad"), layers.Softmax(1, name="bad"), layers.PReLU(name="bad")],
)
def test_what_cannot_be_frozen(layer):
    with pytest.raises(ValueError, match=r"'bad'.* cannot be frozen"):
        Sequential([Input((5, 3)), layer]).freeze()


def test_masked_softmax_cannot_be_frozen():
    x = Input((4,))
    with pytest.raises(ValueError, match=r"'bad'.* cannot be frozen"):
        Sequential([Input((4, 3)), layers.Masking(), layers.Softmax(name="bad")]).freeze()
    assert Model(x, layers.Softmax()(x)).freeze()(np.zeros((2, 4))).shape == (2, 4)


def test_alpha_is_negative_slope():
    with pytest.warns(UserWarning, match="negative_slope"):
        assert layers.LeakyReLU(alpha=0.1).negative_slope == 0.1


def test_softmax_over_time_leaves_padding_out(rng):
    x = rng.standard_normal((3, 5, 2)).astype("float32")
    lengths = np.array([5, 2, 0], np.int32)
    layer, call = layers.Softmax(axis=1), Call(save=True, needs_dx=True, lengths=lengths)
    x[1, 2:] = np.nan
    y = layer.forward(x, call)
    for row, n in enumerate(lengths):
        e = np.exp(x[row, :n].astype(float))
        np.testing.assert_allclose(y[row, :n], e / e.sum(axis=0), rtol=1e-5)
        assert (y[row, n:] == 0).all()
    dx = layer.backward(np.ones_like(y), call)
    assert np.isfinite(dx).all() and (dx[1, 2:] == 0).all()


def test_softmax_before_a_loss(rng):
    """As a layer of its own it trains as the activation of the Dense does."""
    x, y = rng.standard_normal((16, 3)), rng.integers(0, 4, 16)
    apart = Sequential([Input((3,)), layers.Dense(4), layers.Softmax()])
    joined = Sequential([Input((3,)), layers.Dense(4, activation="softmax")])
    joined.set_weights(apart.get_weights())
    for model in (apart, joined):
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(x, y, epochs=2, verbose=0, shuffle=False)
    for a, b in zip(apart.get_weights(), joined.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
