# SPDX-License-Identifier: BSD-3-Clause
"""lstmfast: `model(x)`, and frozen; a single step is a layer called with its states, or a stream of a frozen model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from workloads import Data, Infer, Train

import lstmfast as lf

from . import Ready
from .keras_like import flat_weights, recurrent_layers, training_step


def version(variant: str) -> str:
    return f"{lf.__version__} ({lf.isa()})"


def build(w: Infer, data: Data) -> Any:
    model = lf.Sequential([lf.Input((None, w.features)), *recurrent_layers(lf, w)])
    model.set_weights(flat_weights(data))
    return model


def infer(w: Infer, data: Data, threads: int, variant: str) -> Ready | None:
    lf.set_num_threads(threads)
    x, lengths = data.x, data.lengths
    if variant == "call" and w.is_step:
        layer = recurrent_layers(lf, w, return_state=True)[0]
        layer.build((None, None, w.features))
        layer.set_weights(flat_weights(data))
        return Ready(lambda: layer(x, initial_state=data.states), lambda y: y[0])
    model = build(w, data)
    if variant == "call":
        return Ready(
            (lambda: model(x)) if lengths is None else (lambda: model(x, lengths=lengths)), lambda y: y
        )
    if not hasattr(model, "freeze"):
        return None
    frozen = model.freeze()
    if w.is_step:
        stream = frozen.stream(batch=w.batch)
        stream.set_state(data.states)
        step = x[:, 0].copy()
        return Ready(lambda: stream.step(step), lambda y: y[:, None])
    return Ready(
        (lambda: frozen(x)) if lengths is None else (lambda: frozen(x, lengths=lengths)), lambda y: y
    )


def train(w: Train, threads: int, variant: str) -> Callable[[], Any] | None:
    if variant != "call":
        return None
    lf.set_num_threads(threads)
    return training_step(lf, w, takes_lengths=True)
