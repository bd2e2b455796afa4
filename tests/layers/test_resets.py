# SPDX-License-Identifier: BSD-3-Clause
"""Resets: several episodes in one sequence, in layers and models, forward and backward."""

import functools

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import Input, Model, Sequential, layers
from lstmfast.layers import Call

KINDS = {
    "LSTM": layers.LSTM,
    "LSTM-peephole": functools.partial(layers.LSTM, peephole=True),
    "LSTM-projection": functools.partial(layers.LSTM, projection=5),
    "GRU": layers.GRU,
    "GRU-before": functools.partial(layers.GRU, reset_after=False),
    "SimpleRNN": layers.SimpleRNN,
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("batch", [1, 3])
def test_episodes_are_sequences_of_their_own(name, batch, rng):
    """The same bits as every episode alone, from the same initial state."""
    layer = KINDS[name](24, return_sequences=True, return_state=True)
    x = rng.standard_normal((batch, 40, 7)).astype("float32")
    layer(x)
    initial = [rng.standard_normal((batch, n)).astype("float32") for n in layer.state_size]
    resets = np.zeros((batch, 40), bool)
    resets[:, [0, 9, 10, 31]] = True
    y, *states = layer(x, initial_state=initial, resets=resets)
    parts = []
    for begin, end in ((0, 9), (9, 10), (10, 31), (31, 40)):
        part, *last = layer(x[:, begin:end], initial_state=initial)
        parts.append(part)
    assert np.array_equal(y, np.concatenate(parts, axis=1))
    assert all(np.array_equal(a, b) for a, b in zip(states, last, strict=True))


@pytest.mark.parametrize("name", KINDS)
def test_gradients_are_those_of_the_episodes(name, rng):
    layer = KINDS[name](9, return_sequences=True)
    x = rng.standard_normal((2, 12, 4)).astype("float32")
    layer(x)
    initial = tuple(rng.standard_normal((2, n)).astype("float32") for n in layer.state_size)
    dy = rng.standard_normal((2, 12, layer.output_size)).astype("float32")

    def gradients(begin, end, resets=None):
        for variable in layer.trainable_variables:
            variable.clear_grad()
        call = Call(save=True, needs_dx=True, initial_state=initial, resets=resets)
        layer.forward(np.ascontiguousarray(x[:, begin:end]), call)
        dx = layer.backward(np.ascontiguousarray(dy[:, begin:end]), call)
        return dx, call.d_initial_state, [v.grad.copy() for v in layer.trainable_variables]

    resets = np.zeros((2, 12), bool)
    resets[:, [5, 8]] = True
    dx, dinitial, dweights = gradients(0, 12, resets)
    parts = [gradients(*span) for span in ((0, 5), (5, 8), (8, 12))]
    for got, want in (
        (dx, np.concatenate([p[0] for p in parts], axis=1)),
        *zip(dinitial, (sum(p[1][k] for p in parts) for k in range(len(dinitial))), strict=True),
        *zip(dweights, (sum(p[2][k] for p in parts) for k in range(len(dweights))), strict=True),
    ):
        np.testing.assert_allclose(got, want, rtol=0, atol=2e-6 * max(1, np.abs(want).max()))


def test_bidirectional_sees_one_episode_at_a_time(rng):
    layer = layers.Bidirectional(layers.GRU(8, return_sequences=True))
    x = rng.standard_normal((2, 20, 3)).astype("float32")
    layer(x)
    resets = np.zeros((2, 20), bool)
    resets[:, [7, 15]] = True
    whole = layer(x, resets=resets)
    parts = [layer(x[:, begin:end]) for begin, end in ((0, 7), (7, 15), (15, 20))]
    assert np.array_equal(whole, np.concatenate(parts, axis=1))


def test_resets_reach_every_recurrent_layer_of_a_model(rng):
    inner = Sequential([Input((None, 6)), layers.LSTM(5, return_sequences=True)], name="inner")
    inputs = Input((None, 4))
    h = layers.GRU(6, return_sequences=True)(inputs)
    model = Model(
        inputs, layers.Dense(2)(layers.Bidirectional(layers.SimpleRNN(4, return_sequences=True))(inner(h)))
    )
    x = rng.standard_normal((3, 16, 4)).astype("float32")
    resets = np.zeros((3, 16), bool)
    resets[:, 6] = True
    y = model(x, resets=resets)
    assert np.array_equal(y, np.concatenate([model(x[:, :6]), model(x[:, 6:])], axis=1))
    taped, tape = model.forward(x, training=True, resets=resets)
    assert np.array_equal(taped, y)
    dy = np.zeros_like(y)
    dy[:, 6:] = 1
    _, dx, _ = tape.backward(dy)
    assert not dx[:, :6].any() and np.abs(dx[:, 6:]).min() >= 0 and dx[:, 6:].any()


def test_steps_behind_a_length_reset_nothing(rng):
    layer = layers.LSTM(4)
    x = rng.standard_normal((2, 6, 3)).astype("float32")
    resets = np.zeros((2, 6), bool)
    resets[:, 4:] = True
    assert np.array_equal(layer(x, lengths=[4, 3], resets=resets), layer(x, lengths=[4, 3]))


def test_a_reset_at_a_masked_step_counts(rng):
    layer = layers.LSTM(4)
    x = rng.standard_normal((1, 5, 3)).astype("float32")
    mask, resets = np.array([[1, 1, 0, 1, 1]], bool), np.array([[0, 0, 1, 0, 0]], bool)
    np.testing.assert_array_equal(layer(x, mask=mask, resets=resets), layer(x[:, 3:]))


def test_bad_resets_are_named(rng):
    x = rng.standard_normal((2, 6, 3)).astype("float32")
    with pytest.raises(ValueError, match=r"resets must have shape \(2, 6\) \(batch, time\), got \(2, 5\)"):
        layers.LSTM(4)(x, resets=np.zeros((2, 5), bool))
    with pytest.raises(TypeError, match="resets must be boolean, got dtype float64"):
        layers.GRU(4)(x, resets=np.full((2, 6), 0.5))
    model = Sequential([Input((3,)), layers.Dense(2)])
    with pytest.raises(ValueError, match="resets needs an input with a time axis"):
        model(x[:, 0], resets=np.zeros((2, 6), bool))
    model = Sequential([Input((None, 3)), layers.LSTM(2)])
    with pytest.raises(ValueError, match="resets must have shape"):
        model(x, resets=np.zeros((3, 6), bool))


def test_resets_are_the_same_bits_at_any_thread_count(rng):
    layer = layers.LSTM(160, return_sequences=True)
    x = rng.standard_normal((4, 50, 64)).astype("float32")
    resets = rng.random((4, 50)) > 0.8
    results = []
    for threads in (1, 2, 3):
        with lf.threads(threads):
            results.append(layer(x, resets=resets))
    assert all(np.array_equal(results[0], y) for y in results[1:])
