# SPDX-License-Identifier: BSD-3-Clause
"""The native functions alone: no layers, no Python beyond the call."""

from __future__ import annotations

import numpy as np
import pytest

from lstmfast import _core

RNG = np.random.default_rng(0)


def normal(*shape):
    return (RNG.standard_normal(shape) * 0.1).astype(np.float32)


@pytest.mark.parametrize("m,k,n", [(1, 64, 10), (32, 128, 128), (64, 512, 2048), (1024, 1024, 1024)])
def test_dense_forward(benchmark, m, k, n):
    weights, x = _core.DenseWeights(normal(k, n), normal(n)), normal(m, k)
    benchmark.extra_info["flops"] = 2 * m * k * n
    benchmark(_core.dense_forward, weights, x, "relu")


@pytest.mark.parametrize(
    "units,batch,time", [(32, 1, 1), (128, 1, 1), (256, 1, 100), (256, 16, 100), (512, 32, 50)]
)
@pytest.mark.parametrize("cell,gates", [("lstm", 4), ("simple_rnn", 1)])
def test_sequence_forward(benchmark, cell, gates, units, batch, time):
    weights = _core.RecurrentWeights(
        cell, normal(units, gates * units), normal(units, gates * units), normal(gates * units)
    )
    x = normal(batch, time, units)
    benchmark.extra_info["flops"] = 4 * batch * time * gates * units * units
    benchmark(_core.recurrent_forward, weights, x, return_sequences=True)


@pytest.mark.parametrize("units,batch,time", [(64, 8, 50), (128, 32, 100), (512, 64, 50)])
@pytest.mark.parametrize("cell,gates", [("lstm", 4), ("simple_rnn", 1)])
def test_sequence_forward_and_backward(benchmark, cell, gates, units, batch, time):
    kernel, recurrent = normal(units, gates * units), normal(units, gates * units)
    weights = _core.RecurrentWeights(cell, kernel, recurrent, normal(gates * units))
    x, dy = normal(batch, time, units), normal(batch, time, units)
    grads = np.empty_like(kernel), np.empty_like(recurrent), np.empty(gates * units, np.float32)

    def step():
        tape = _core.recurrent_forward(weights, x, return_sequences=True, save=True)[2]
        _core.recurrent_backward(weights, tape, dy, None, *grads, False, True)

    benchmark.extra_info["flops"] = 12 * batch * time * gates * units * units
    benchmark(step)
