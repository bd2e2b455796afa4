# SPDX-License-Identifier: BSD-3-Clause
"""What lstmfast and Keras have in common: the same names, so the same code builds their models."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from workloads import Data, Infer, Train, draw_ends, draw_layers, training_batches

CELLS = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "SimpleRNN"}


def recurrent_layers(api: Any, w: Infer, **options: Any) -> list[Any]:
    one = getattr(api.layers, CELLS[w.cell])
    layers = [one(w.hidden, return_sequences=True, **options) for _ in range(w.layers)]
    return [api.layers.Bidirectional(layer) for layer in layers] if w.bi else layers


def flat_weights(data: Data) -> list[Any]:
    return [array for layer in data.weights for direction in layer for array in direction]


def training_model(api: Any, w: Train, takes_lengths: bool, rate: float, **options: Any) -> Any:
    """Compiled. Ragged batches are given by their lengths where the API takes some, else to a mask."""
    by_mask = w.masked or (w.ragged and not takes_lengths)
    dtype = "int32" if w.vocabulary else "float32"
    stack = [api.Input((w.time,) if w.vocabulary else (w.time, w.inputs), dtype=dtype)]
    if w.vocabulary:
        stack.append(api.layers.Embedding(w.vocabulary, w.inputs, mask_zero=by_mask))
    elif by_mask:
        stack.append(api.layers.Masking())
    weights: list[Any] = []
    for n, drawn in enumerate(draw_layers(w)):
        sequences = w.per_step or n < w.layers - 1
        layer = getattr(api.layers, CELLS[w.kind])(
            w.hidden, return_sequences=sequences, recurrent_dropout=w.recurrent_dropout
        )
        layer = api.layers.Bidirectional(layer) if w.bi else layer
        weights.append((layer, [array for direction in drawn for array in direction]))
        stack.append(layer)
        if w.dropout and n < w.layers - 1:
            stack.append(api.layers.Dropout(w.dropout))
    stack.append(api.layers.Dense(w.classes, activation="softmax"))
    model = api.Sequential(stack)
    embedding, *head = draw_ends(w)
    weights += [(stack[-1], head)] + ([(stack[1], [embedding])] if w.vocabulary else [])
    for layer, arrays in weights:
        layer.set_weights(arrays)
    model.compile(optimizer=api.optimizers.Adam(rate), loss="sparse_categorical_crossentropy", **options)
    return model


def training_step(api: Any, w: Train, takes_lengths: bool = False) -> Callable[[], Any]:
    model = training_model(api, w, takes_lengths, 1e-4)
    turn = itertools.cycle(training_batches(w))

    def step() -> Any:
        batch = next(turn)
        if w.ragged and takes_lengths:
            return model.train_on_batch(batch.x, batch.y, lengths=batch.lengths)
        return model.train_on_batch(batch.x, batch.y)

    return step
