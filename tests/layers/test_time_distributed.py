# SPDX-License-Identifier: BSD-3-Clause
"""TimeDistributed: lengths, layers that need one step after the other, trainable, frozen models."""

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import Input, Model, Sequential, layers
from lstmfast.layers import Call, TimeDistributed


def test_padded_steps_are_left_out(rng):
    layer = TimeDistributed(layers.LSTM(3))
    x = rng.standard_normal((4, 5, 6, 2)).astype("float32")
    lengths = np.array([5, 3, 1, 0], np.int32)
    layer.build(x.shape)
    for row, n in enumerate(lengths):
        x[row, n:] = np.nan
    call = Call(save=True, needs_dx=True, lengths=lengths)
    y = layer.forward(x, call)
    dx = layer.backward(np.ones_like(y), call)
    grads = [v.grad.copy() for v in layer.weights]
    for v in layer.weights:
        v.clear_grad()
    for row, n in enumerate(lengths):
        assert (y[row, n:] == 0).all() and (dx[row, n:] == 0).all()
        if n:
            alone = Call(save=True, needs_dx=True)
            np.testing.assert_array_equal(y[row : row + 1, :n], layer.forward(x[row : row + 1, :n], alone))
            expected = layer.backward(np.ones((1, n, 3), np.float32), alone)
            np.testing.assert_allclose(dx[row : row + 1, :n], expected, rtol=0, atol=1e-6)
    for v, g in zip(layer.weights, grads, strict=True):
        np.testing.assert_allclose(v.grad, g, rtol=0, atol=1e-5 * abs(g).max())


def test_no_step_at_all():
    layer, call = (
        TimeDistributed(layers.Dense(3)),
        Call(save=True, needs_dx=True, lengths=np.zeros(2, np.int32)),
    )
    layer.build((2, 4, 5))
    y = layer.forward(np.full((2, 4, 5), np.nan, np.float32), call)
    assert y.shape == (2, 4, 3) and (y == 0).all()
    layer.backward(y, call)
    assert all((v.grad == 0).all() for v in layer.weights)


def test_a_stateful_layer_goes_from_step_to_step(rng):
    x = rng.standard_normal((2, 3, 4, 5)).astype("float32")
    inner = layers.GRU(3, stateful=True)
    y = TimeDistributed(inner)(x)
    inner.reset_state()
    for t in range(3):
        np.testing.assert_array_equal(y[:, t], inner(x[:, t]))


@pytest.mark.parametrize("with_lengths", [False, True])
def test_penalties_inside_a_model(with_lengths, rng):
    """The sum over the steps of what each step's activity costs; its gradient by differences."""
    inner = Sequential([Input((3,)), layers.Dense(4, activity_regularizer="l2"), layers.Dense(2)])
    layer = TimeDistributed(inner)
    x = rng.standard_normal((2, 5, 3)).astype("float32")
    call = Call(save=True, needs_dx=True)
    layer.build(x.shape)
    y = layer.forward(x, call)
    kernel, bias = (v.numpy().astype(float) for v in inner.layers[0].weights)

    def penalty(a):
        return 0.01 * ((a @ kernel + bias) ** 2).sum() / 2

    np.testing.assert_allclose(call.penalty, penalty(x), rtol=1e-5)
    dx = layer.backward(np.zeros_like(y), call)
    change = rng.standard_normal(x.shape) * 1e-5
    np.testing.assert_allclose(
        (dx * change).sum(), (penalty(x + change) - penalty(x - change)) / 2, rtol=1e-4
    )
    if with_lengths:
        call = Call(save=True, needs_dx=True, lengths=np.array([5, 2], np.int32))
        x[1, 2:] = np.nan
        y = layer.forward(x, call)
        assert (y[1, 2:] == 0).all() and np.isfinite(layer.backward(y, call)).all()


def test_dropout_draws_anew_for_each_step():
    x = np.ones((2, 50, 8), np.float32)
    y = TimeDistributed(layers.Dropout(0.5, seed=1))(x, training=True)
    assert not (y == y[:, :1]).all() and not (y[0] == y[1]).all()
    shared = TimeDistributed(layers.Dropout(0.5, (1, None), seed=1))(x, training=True)
    assert (shared[0] == shared[1]).all() and not (shared == shared[:, :1]).all()


def test_inner_layers_can_be_made_untrainable(rng):
    inner = layers.Dense(3)
    model = Sequential([Input((4, 5)), TimeDistributed(inner), layers.LSTM(2)])
    model.compile("sgd", "mse")
    x, y = rng.standard_normal((4, 4, 5)), rng.standard_normal((4, 2))
    for trainable in (False, True, False):
        inner.trainable = trainable
        before = inner.get_weights()[0]
        model.compile("sgd", "mse")
        model.train_on_batch(x, y)
        assert np.array_equal(before, inner.get_weights()[0]) != trainable
    assert [v.path for v in inner.weights] == [
        f"{model.name}/{model.layers[0].name}/{inner.name}/{n}" for n in ("kernel", "bias")
    ]


def test_several_outputs_are_refused():
    with pytest.raises(ValueError, match="one output"):
        TimeDistributed(layers.LSTM(3, return_state=True))(Input((2, 4, 5)))


def test_ids(rng):
    model = Sequential(
        [
            Input((3, 4), dtype="int32"),
            TimeDistributed(layers.Embedding(7, 2)),
            TimeDistributed(layers.GRU(3)),
        ]
    )
    ids = rng.integers(0, 7, (2, 3, 4))
    y, tape = model.forward(ids)
    assert y.shape == (2, 3, 3)
    grads, _, _ = tape.backward(np.ones_like(y))
    assert grads[0].shape == (7, 2)
    with pytest.raises(ValueError, match="from 0 to 6"):
        model(ids + 7)


def test_frozen(rng):
    x = rng.standard_normal((3, 6, 4)).astype("float32")
    model = Sequential(
        [Input((None, 4)), TimeDistributed(layers.Dense(5)), TimeDistributed(layers.ReLU()), TimeDistributed(layers.Dropout(0.5)),
         layers.LSTM(3, return_sequences=True), TimeDistributed(TimeDistributed(layers.Dense(2)).layer)]
    )  # fmt: skip
    np.testing.assert_array_equal(model.freeze()(x), model(x))
    stream = model.freeze().stream(3)
    np.testing.assert_array_equal(stream.push(x), model(x))
    z = Input((4, 3))
    inner = Model(z, layers.LSTM(2)(z))
    with pytest.raises(ValueError, match=r"'bad'.* cannot be frozen"):
        Sequential([Input((5, 4, 3)), TimeDistributed(inner, name="bad")]).freeze()
    with pytest.raises(ValueError, match=r"'bad'.* cannot be frozen"):
        Sequential([Input((5, 4, 3)), TimeDistributed(layers.LSTM(2), name="bad")]).freeze()


def test_masked_steps_reach_the_layer_behind(rng):
    model = Sequential([Input((5, 3)), layers.Masking(), TimeDistributed(layers.Dense(4)), lf.layers.GRU(2)])
    x = rng.standard_normal((2, 5, 3)).astype("float32")
    x[0, 3:] = 0
    np.testing.assert_array_equal(model(x)[:1], model(np.concatenate([x[:1, :3]] * 2))[:1])
