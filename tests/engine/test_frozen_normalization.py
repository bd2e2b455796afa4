# SPDX-License-Identifier: BSD-3-Clause
"""Layer and root mean square normalization in frozen models and streams: the model's bits."""

from __future__ import annotations

import numpy as np
import pytest
from frozen_cases import randomized, same_bits

from lstmfast import Input, Sequential, layers

KINDS = {
    "plain": lambda: layers.LayerNormalization(),
    "no_gamma": lambda: layers.LayerNormalization(scale=False, epsilon=0.1),
    "no_beta": lambda: layers.LayerNormalization(center=False),
    "neither": lambda: layers.LayerNormalization(scale=False, center=False),
    "named_axis": lambda: layers.LayerNormalization(axis=2),
    "rms": lambda: layers.RMSNormalization(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_models_bits(kind, rng):
    model = randomized(
        Sequential([Input((None, 5)), layers.GRU(9, return_sequences=True), KINDS[kind](), layers.Dense(3)])
    )
    x = rng.standard_normal((3, 11, 5)).astype("float32")
    frozen = model.freeze()
    y = model(x)
    assert same_bits(frozen(x), y)
    assert same_bits(frozen(x[:1]), y[:1])
    stream = frozen.stream(batch=3)
    chunks = [stream.push(x[:, :4]), stream.step(x[:, 4])[:, None], stream.push(x[:, 5:])]
    assert same_bits(np.concatenate(chunks, axis=1), y)


def test_masks_go_through(rng):
    model = randomized(
        Sequential([Input((None, 4)), layers.Masking(), layers.LayerNormalization(), layers.LSTM(5)])
    )
    x = rng.standard_normal((4, 9, 4)).astype("float32")
    x[rng.random((4, 9)) < 0.4] = 0
    assert same_bits(model.freeze()(x), model(x))


def test_two_axes(rng):
    model = randomized(Sequential([Input((33,)), layers.LayerNormalization(), layers.Dense(2)]))
    x = rng.standard_normal((6, 33)).astype("float32")
    assert same_bits(model.freeze()(x), model(x))


def test_what_cannot_be_frozen():
    for layer in (layers.LayerNormalization(axis=1), layers.RMSNormalization(axis=[1, 2])):
        with pytest.raises(ValueError, match="not the last axis alone"):
            Sequential([Input((5, 4)), layer]).freeze()
