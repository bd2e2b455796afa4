# SPDX-License-Identifier: BSD-3-Clause
"""Cells, weights and comparisons that the tests of frozen models share."""

from __future__ import annotations

import numpy as np

from lstmfast import layers

CELLS = {
    "lstm": layers.LSTM,
    "gru": layers.GRU,
    "gru_reset_before": lambda n, **k: layers.GRU(n, reset_after=False, **k),
    "simple_rnn": layers.SimpleRNN,
    "peephole": lambda n, **k: layers.LSTM(n, peephole=True, **k),
    "projection": lambda n, **k: layers.LSTM(n, projection=max(1, n // 2), **k),
    "wide_projection": lambda n, **k: layers.LSTM(n, projection=n + 40, peephole=True, **k),
}


def randomized(model, seed=0):
    """The model with weights (biases too) that nothing hides behind."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.4, w.shape) for w in model.get_weights()])
    return model


def same_bits(a, b):
    if isinstance(a, dict):
        return list(a) == list(b) and all(same_bits(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(same_bits, a, b))
    assert a.dtype == b.dtype == np.float32
    return a.shape == b.shape and bool(np.array_equal(a.view(np.int32), b.view(np.int32)))
