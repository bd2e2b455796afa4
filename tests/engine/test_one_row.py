# SPDX-License-Identifier: BSD-3-Clause
"""A single sequence: input products that advance beside the steps, stacked layers on threads of their own.

Both are chosen from sizes, so the bits of a row alone are compared with those of the same row in a batch, where neither
happens, and with one thread.
"""

from __future__ import annotations

import numpy as np
import pytest
from frozen_cases import CELLS, randomized, same_bits

import lstmfast as lf
from lstmfast import Input, Sequential, layers

SIZES = [(16, 64), (17, 100), (64, 129), (300, 65), (40, 200)]  # inputs, units; the weights do not fit L1


def in_a_batch(model, x, **options):
    """The row's result in a batch of five alike, on one thread."""
    with lf.threads(1):
        return model(
            np.repeat(x, 5, axis=0), **{name: np.repeat(value, 5) for name, value in options.items()}
        )[:1]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("inputs, units", SIZES)
@pytest.mark.parametrize("cell", CELLS)
def test_a_row_alone(cell, inputs, units, threads, rng, poisoned):
    model = Sequential([Input((None, inputs)), CELLS[cell](units, return_sequences=True)])
    frozen = randomized(model).freeze()
    for time in (1, 15, 16, 20, 21, 47):
        x = rng.standard_normal((1, time, inputs), np.float32)
        with lf.threads(threads):
            assert same_bits(frozen(x), in_a_batch(frozen, x)), time
            assert same_bits(model(x), frozen(x)), time


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
def test_a_row_alone_with_lengths_and_masks(cell, backwards, rng, poisoned):
    model = Sequential([Input((None, 70)), CELLS[cell](90, return_sequences=True, go_backwards=backwards)])
    frozen = randomized(model).freeze()
    x = rng.standard_normal((1, 40, 70), np.float32)
    masks = [rng.random((1, 40)) < p for p in (0.1, 0.6)]
    masks.append(np.arange(40)[None] % 20 < 4)  # whole chunks without a valid step
    with lf.threads(2):
        for n in (0, 1, 9, 10, 11, 39, 40):
            assert same_bits(
                frozen(x, lengths=np.array([n])), in_a_batch(frozen, x, lengths=np.array([n]))
            ), n
        for mask in masks:
            with lf.threads(1):
                want = frozen(np.repeat(x, 5, axis=0), mask=np.repeat(mask, 5, axis=0))[:1]
            assert same_bits(frozen(x, mask=mask), want)


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn", "projection"])
def test_training_of_a_row_alone(cell, rng, poisoned):
    """The tape holds the same gates: gradients of a batch of one, on any number of threads."""
    layer = CELLS[cell](120, return_sequences=True)
    x = rng.standard_normal((1, 33, 50), np.float32)
    layer(x)
    results = []
    for threads in (1, 2, 3):
        with lf.threads(threads):
            call = layers.Call(save=True, needs_dx=True)
            y = layer.forward(x, call)
            results.append((y, layer.backward(np.ones_like(y), call)))
    for y, dx in results[1:]:
        assert same_bits(y, results[0][0]) and same_bits(dx, results[0][1])


@pytest.mark.parametrize("threads", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("depth", [2, 3, 4, 5])
def test_stacks(depth, threads, rng, poisoned):
    cells = [list(CELLS)[(depth + i) % len(CELLS)] for i in range(depth)]
    model = Sequential(
        [Input((None, 7)), *(CELLS[c](20 + 3 * i, return_sequences=True) for i, c in enumerate(cells))]
    )
    frozen = randomized(model).freeze()
    for time in (47, 48, 100):
        x = rng.standard_normal((1, time, 7), np.float32)
        with lf.threads(threads):
            for n in (None, 0, 5, time - 1):
                lengths = {} if n is None else {"lengths": np.array([n])}
                assert same_bits(frozen(x, **lengths), in_a_batch(frozen, x, **lengths)), (time, n)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_stacks_with_masks_ends_and_dense_layers(threads, rng, poisoned):
    line = [
        Input((None, 12)),
        layers.Masking(),
        layers.LSTM(24, return_sequences=True),
        layers.GRU(17, return_sequences=True),
        layers.Dense(9, activation="relu"),
        layers.LSTM(33, return_sequences=True),
        layers.LSTM(20, return_sequences=True, go_backwards=True),
        layers.LSTM(20),
        layers.Dense(4),
    ]
    frozen = randomized(Sequential(line)).freeze()
    x = rng.standard_normal((1, 80, 12), np.float32)
    x[0, 60:] = 0
    x[0, 7] = 0
    with lf.threads(threads):
        assert same_bits(frozen(x), in_a_batch(frozen, x))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_streams_of_stacks(threads, rng, poisoned):
    model = Sequential([Input((None, 10)), *(layers.LSTM(30, return_sequences=True) for _ in range(3))])
    frozen = randomized(model).freeze()
    x = rng.standard_normal((1, 200, 10), np.float32)
    with lf.threads(threads):
        stream = frozen.stream(1)
        pieces = [stream.push(x[:, :70]), stream.push(x[:, 70:71]), stream.push(x[:, 71:])]
        assert same_bits(np.concatenate(pieces, axis=1), in_a_batch(frozen, x))
