# SPDX-License-Identifier: BSD-3-Clause
"""Frozen Conv1D: the model's bits, for whole batches, padded rows and streams."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
from frozen_cases import randomized, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmfast import Input, Model, Sequential, layers

PADDINGS = ("valid", "same", "causal")


@pytest.mark.parametrize(
    ("padding", "stride", "groups"), list(itertools.product(PADDINGS, (1, 2, 3), (1, 2)))
)
def test_the_model_s_bits(padding, stride, groups, rng, poisoned):
    """Outputs of every kind of window, with lengths whose padding is never read."""
    x = rng.standard_normal((5, 13, 4)).astype("float32")
    lengths = np.array([13, 8, 4, 1, 0])
    for dilation in (1, 2) if stride == 1 else (1,):
        conv = layers.Conv1D(6, 3, stride, padding, dilation_rate=dilation, groups=groups, activation="tanh")
        model = randomized(Sequential([Input((None, 4)), conv, layers.GRU(3, return_sequences=True)]))
        alone = Sequential([Input((None, 4)), conv])
        for m in (model, alone):
            frozen = m.freeze()
            assert same_bits(frozen(x), m(x))
            padded = x.copy()
            for row, n in enumerate(lengths):
                padded[row, n:] = np.nan
            assert same_bits(frozen(padded, lengths=lengths), m(padded, lengths=lengths))


@pytest.mark.parametrize("activation", ["linear", "relu", "softmax", "gelu"])
def test_activations_and_folding(activation, rng):
    x = rng.standard_normal((3, 9, 4)).astype("float32")
    for stack in (
        [layers.Conv1D(5, 2, activation=activation)],
        [layers.Conv1D(5, 2), layers.Activation(activation)],
    ):
        model = randomized(Sequential([Input((None, 4)), *stack, layers.LSTM(3)]))
        frozen = model.freeze()
        assert same_bits(frozen(x), model(x)) and "2 operations" in repr(frozen)
        assert same_bits(pickle.loads(pickle.dumps(frozen))(x), model(x))


@settings(max_examples=40, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_streams(data, seed):
    """Any stack with causal convolutions, cut anywhere: the bits of the whole; states can be taken away and put back."""
    rng = np.random.default_rng(seed)
    stack = [Input((None, 3))]
    for _ in range(data.draw(st.integers(1, 3))):
        size, dilation = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
        stack.append(
            layers.Conv1D(data.draw(st.integers(1, 20)), size, padding="causal", dilation_rate=dilation)
        )
        if data.draw(st.booleans()):
            stack.append(data.draw(st.sampled_from([layers.LSTM, layers.GRU]))(4, return_sequences=True))
        if data.draw(st.booleans()):
            stack.append(layers.ReLU())
    model = randomized(Sequential(stack))
    frozen = model.freeze()
    batch, time = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 15))
    x = rng.standard_normal((batch, time, 3)).astype("float32")
    whole = model(x)
    stream, at, found = frozen.stream(batch), 0, []
    while at < time:
        n = data.draw(st.integers(1, 5))
        if data.draw(st.booleans()):
            found.append(stream.step(x[:, at])[:, None])
            n = 1
        else:
            found.append(stream.push(x[:, at : at + n]))
        at += n
        if data.draw(st.booleans()):  # go on in another stream
            state = stream.get_state()
            stream = frozen.stream(batch)
            stream.set_state(state)
    assert same_bits(np.concatenate(found, axis=1), whole)


def test_reset_of_single_rows(rng):
    model = randomized(Sequential([Input((None, 2)), layers.Conv1D(3, 3, padding="causal"), layers.LSTM(2)]))
    stream, x = model.freeze().stream(2), rng.standard_normal((2, 6, 2)).astype("float32")
    stream.push(x)
    states = stream.get_state()
    assert [s.shape for s in states] == [(2, 4), (2, 2), (2, 2)]
    assert same_bits(states[0].reshape(2, 2, 2), x[:, 4:])
    stream.reset([1])
    y = stream.push(x)
    fresh = model.freeze().stream(2).push(x)
    assert same_bits(y[1], fresh[1]) and not same_bits(y[0], fresh[0])
    stream.reset()
    assert all((s == 0).all() for s in stream.get_state())
    with pytest.raises(ValueError, match=r"state: expected shape \(2, 4\)"):
        stream.set_state([s[:, :1] for s in states])


@pytest.mark.parametrize(
    "options",
    [{"padding": "same"}, {"padding": "valid"}, {"padding": "causal", "strides": 2}, {"strides": 2}],
)
def test_what_cannot_be_streamed(options):
    frozen = Sequential(
        [Input((None, 3)), layers.Conv1D(2, 3, name="bad", **options), layers.GRU(2)]
    ).freeze()
    with pytest.raises(ValueError, match=r"layer 'bad' cannot run in a stream.*causal"):
        frozen.stream()
    one = Sequential(
        [Input((None, 3)), layers.Conv1D(2, 1, padding=options.get("padding", "valid"))]
    ).freeze()
    assert one.stream().step(np.zeros((1, 3))).shape == (1, 2)


def test_what_cannot_be_frozen():
    for layer in (
        layers.Conv1D(2, 3, data_format="channels_first", name="bad"),
        layers.Conv1D(2, 3, activation="mish", name="bad"),
    ):
        with pytest.raises(ValueError, match=r"'bad'.* cannot be frozen"):
            Sequential([Input((5, 3)), layer]).freeze()


def test_bad_input():
    frozen = Sequential([Input((None, 3)), layers.Conv1D(2, 4, name="conv")]).freeze()
    with pytest.raises(ValueError, match=r"'conv'.*at least 4 time steps, got 3"):
        frozen(np.zeros((2, 3, 3)))


def test_branches(rng):
    """Beside a recurrent layer, and with a mask that ends at the convolution."""
    x = Input((None, 3))
    a = layers.Conv1D(4, 3, padding="same", activation="relu")(x)
    b = layers.LSTM(4, return_sequences=True)(layers.Masking()(x))
    model = randomized(Model(x, layers.GRU(2)(layers.Concatenate()([a, b]))))
    data = rng.standard_normal((3, 7, 3)).astype("float32")
    data[0, 4:] = 0
    assert same_bits(model.freeze()(data), model(data))
