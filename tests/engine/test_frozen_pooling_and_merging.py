# SPDX-License-Identifier: BSD-3-Clause
"""Frozen pooling and merge layers: the model's bits with masks and lengths; what streams refuse."""

from __future__ import annotations

import numpy as np
import pytest
from frozen_cases import randomized, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmfast import Input, Model, Sequential, layers

MERGES = ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"]


@settings(max_examples=80, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_pooling(data, seed):
    rng = np.random.default_rng(seed)
    name = data.draw(
        st.sampled_from(["MaxPooling1D", "AveragePooling1D", "GlobalMaxPooling1D", "GlobalAveragePooling1D"])
    )
    if name.startswith("Global"):
        layer, least = getattr(layers, name)(keepdims=data.draw(st.booleans())), 1
    else:
        size, padding = data.draw(st.integers(1, 4)), data.draw(st.sampled_from(["valid", "same"]))
        layer = getattr(layers, name)(size, data.draw(st.integers(1, 4)), padding)
        least = size if padding == "valid" else 1
    batch, time, width = (
        data.draw(st.integers(1, 4)),
        data.draw(st.integers(least, 12)),
        data.draw(st.integers(1, 20)),
    )
    stack = [Input((None, width)), layer]
    if len(layer.compute_output_shape((None, None, width))) == 3 and data.draw(st.booleans()):
        stack.append(layers.GRU(3))
    model = randomized(Sequential(stack))
    frozen, x = model.freeze(), rng.standard_normal((batch, time, width)).astype("float32")
    assert same_bits(frozen(x), model(x))
    lengths = rng.integers(0, time + 1, batch)
    x[np.arange(time) >= lengths[:, None]] = np.nan
    assert same_bits(frozen(x, lengths=lengths), model(x, lengths=lengths))


@pytest.mark.parametrize("with_lengths", [False, True])
@pytest.mark.parametrize("width", [1, 5])
def test_masked_average(width, with_lengths, rng):
    model = Sequential([Input((None, width)), layers.Masking(), layers.GlobalAveragePooling1D()])
    x = rng.standard_normal((4, 9, width)).astype("float32")
    x[rng.random((4, 9)) < 0.5] = 0
    x[:, 0] = 1
    lengths = np.array([9, 5, 2, 0]) if with_lengths else None
    assert same_bits(model.freeze()(x, lengths=lengths), model(x, lengths=lengths))


@settings(max_examples=80, deadline=None)
@given(data=st.data(), name=st.sampled_from(MERGES), seed=st.integers(0, 2**32 - 1))
def test_merging(data, name, seed):
    """Inputs with and without masks, with lengths, on two axes and on three."""
    rng = np.random.default_rng(seed)
    count = 2 if name == "Subtract" else data.draw(st.integers(1, 4))
    if data.draw(st.booleans()):
        inputs = [Input((5,)) for _ in range(count)]
        model = Model(inputs, getattr(layers, name)()(inputs))
        arrays = [rng.standard_normal((3, 5)).astype("float32") for _ in range(count)]
        assert same_bits(model.freeze()(arrays), model(arrays))
        return
    time, width = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 9))
    inputs = [Input((time, width)) for _ in range(count)]
    masked = [layers.Masking()(x) if data.draw(st.booleans()) else x for x in inputs]
    y = getattr(layers, name)()(masked)
    model = randomized(Model(inputs, [y, layers.GRU(3)(y)]))
    arrays = []
    for _ in range(count):
        x = rng.standard_normal((3, time, width)).astype("float32")
        x[rng.random((3, time)) < 0.4] = 0
        arrays.append(x)
    frozen = model.freeze()
    lengths = rng.integers(0, time + 1, 3) if data.draw(st.booleans()) else None
    for got, expected in zip(frozen(arrays, lengths=lengths), model(arrays, lengths=lengths), strict=True):
        assert np.array_equal(got, expected)  # zeros may differ in their sign


def test_a_residual_connection(rng):
    x = Input((None, 6))
    h = layers.LSTM(6, return_sequences=True)(x)
    h = layers.Add()([x, layers.Dense(6)(h)])
    h = layers.Conv1D(6, 3, padding="causal", activation="relu")(h)
    model = randomized(
        Model(x, layers.Dense(2)(layers.Concatenate()([layers.GlobalMaxPooling1D()(h), layers.GRU(3)(h)])))
    )
    data, lengths = rng.standard_normal((4, 12, 6)).astype("float32"), np.array([12, 7, 3, 1])
    frozen = model.freeze()
    assert same_bits(frozen(data), model(data))
    assert same_bits(frozen(data, lengths=lengths), model(data, lengths=lengths))


def test_streams_refuse_them():
    for layer in (layers.MaxPooling1D(2, name="bad"), layers.GlobalMaxPooling1D(name="bad")):
        frozen = Sequential([Input((None, 3)), layer]).freeze()
        with pytest.raises(ValueError, match="layer 'bad' cannot run in a stream"):
            frozen.stream()
    x = Input((None, 3))
    frozen = Model(x, layers.Add(name="bad")([x, x])).freeze()
    with pytest.raises(ValueError, match="layer 'bad' cannot run in a stream"):
        frozen.stream()


def test_bad_input():
    frozen = Sequential([Input((None, 3)), layers.MaxPooling1D(4, name="pool")]).freeze()
    with pytest.raises(ValueError, match=r"'pool'.*at least 4 time steps, got 3"):
        frozen(np.zeros((2, 3, 3)))
    x, z = Input((None, 3)), Input((None, 3))
    frozen = Model([x, z], layers.Add(name="sum")([x, z])).freeze()
    with pytest.raises(ValueError, match=r"'sum'.*same shape"):
        frozen([np.zeros((2, 3, 3)), np.zeros((2, 4, 3))])
