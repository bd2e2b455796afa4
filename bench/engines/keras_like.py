# SPDX-License-Identifier: BSD-3-Clause
"""What lstmfast and Keras have in common: the same names, so the same code builds their models."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from workloads import Data, Infer, Train, draw_cell, training_batches

CELLS = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "SimpleRNN"}


def recurrent_layers(api: Any, w: Infer, **options: Any) -> list[Any]:
    one = getattr(api.layers, CELLS[w.cell])
    layers = [one(w.hidden, return_sequences=True, **options) for _ in range(w.layers)]
    return [api.layers.Bidirectional(layer) for layer in layers] if w.bi else layers


def flat_weights(data: Data) -> list[Any]:
    return [array for layer in data.weights for direction in layer for array in direction]


def training_step(api: Any, w: Train) -> Callable[[], Any]:
    import numpy as np

    model = api.Sequential(
        [
            api.Input((w.time, w.inputs)),
            getattr(api.layers, CELLS[w.kind])(w.hidden),
            api.layers.Dense(w.classes, activation="softmax"),
        ]
    )
    model.layers[-2].set_weights(list(draw_cell(np.random.default_rng(1), w.kind, w.inputs, w.hidden)))
    model.compile(optimizer=api.optimizers.Adam(1e-4), loss="sparse_categorical_crossentropy")
    turn = itertools.cycle(training_batches(w))
    return lambda: model.train_on_batch(*next(turn))
