# SPDX-License-Identifier: BSD-3-Clause
"""Pooling over time against Keras."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_parity import compare, floats, keras, same_configuration, same_error

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own
SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), seed=SEEDS)
def test_any_windows(data, seed):
    rng = np.random.default_rng(seed)
    name = data.draw(st.sampled_from(["MaxPooling1D", "AveragePooling1D"]))
    options = {
        "pool_size": data.draw(st.integers(1, 5)),
        "strides": data.draw(st.one_of(st.none(), st.integers(1, 4))),
        "padding": data.draw(st.sampled_from(["valid", "same"])),
        "data_format": data.draw(st.sampled_from([None, "channels_first"])),
    }
    time = data.draw(st.integers(options["pool_size"] if options["padding"] == "valid" else 1, 12))
    shape = (data.draw(st.integers(1, 3)), time, data.draw(st.integers(1, 4)))
    if options["data_format"] == "channels_first":
        shape = (shape[0], shape[2], shape[1])
    same_configuration(lambda k: getattr(k.layers, name)(**options, name="a"))
    if options["padding"] == "same":
        stride = options["strides"] or options["pool_size"]
        total = max((time - 1) // stride * stride + options["pool_size"] - time, 0)
        # Keras's torch backend repeats the outermost step there, for maxima too (gradients of ties), and refuses a
        # padding of more than half a window: the layers' own tests cover these.
        if (name == "AveragePooling1D" and total % 2) or total > options["pool_size"]:
            return
    compare(lambda k: getattr(k.layers, name)(**options), floats(rng, *shape), rng)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), seed=SEEDS)
def test_any_global_pooling(data, seed):
    rng = np.random.default_rng(seed)
    name = data.draw(st.sampled_from(["GlobalMaxPooling1D", "GlobalAveragePooling1D"]))
    options = {
        "keepdims": data.draw(st.booleans()),
        "data_format": data.draw(st.sampled_from([None, "channels_first"])),
    }
    batch, time, width = (data.draw(st.integers(1, 5)) for _ in range(3))
    last = options["data_format"] is None
    x = floats(rng, batch, time, width) if last else floats(rng, batch, width, time)
    mask = None
    if data.draw(st.booleans()):
        mask = rng.random((batch, time)) < 0.6
        mask[:, 0] |= ~mask.any(axis=1) & data.draw(st.booleans())  # rows that count nothing give NaN
    compare(lambda k: getattr(k.layers, name)(**options), x, rng, mask)
    same_configuration(lambda k: getattr(k.layers, name)(**options, name="a"))


@pytest.mark.parametrize("name", ["MaxPool1D", "AvgPool1D", "GlobalMaxPool1D", "GlobalAvgPool1D"])
def test_aliases(name):
    assert getattr(lf.layers, name).__name__ == getattr(keras.layers, name).__name__


@pytest.mark.parametrize(
    "make",
    [
        lambda k: k.layers.MaxPooling1D(0),
        lambda k: k.layers.MaxPooling1D(-1),
        lambda k: k.layers.MaxPooling1D((2, 2)),
        lambda k: k.layers.MaxPooling1D("a"),
        lambda k: k.layers.MaxPooling1D(2, strides=-1),
        lambda k: k.layers.MaxPooling1D(2, data_format="x"),
        lambda k: k.layers.MaxPooling1D(5)(k.Input((3, 4))),
        lambda k: k.layers.MaxPooling1D(2)(np.ones((2, 3))),
        lambda k: k.layers.AveragePooling1D(),
        lambda k: k.layers.GlobalMaxPooling1D(data_format="x"),
        lambda k: k.layers.GlobalAveragePooling1D()(np.ones((2, 3))),
    ],
)
def test_errors(make):
    same_error(make)
