# SPDX-License-Identifier: BSD-3-Clause
"""Keras on TensorFlow: `tf.function` around the model, its fastest way to a result for NumPy arrays."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from workloads import Data, Infer, Train

from . import Ready
from .keras_like import flat_weights, recurrent_layers, training_step


def version(variant: str) -> str:
    return f"{keras.__version__} (TensorFlow {tf.__version__})"


def _settings(threads: int) -> None:
    if tf.config.threading.get_intra_op_parallelism_threads() != threads:  # refused once the runtime is up
        tf.config.threading.set_intra_op_parallelism_threads(threads)


def infer(w: Infer, data: Data, threads: int, variant: str) -> Ready | None:
    _settings(threads)
    inputs = [keras.Input((w.time, w.features))]
    options: dict[str, Any] = {}
    if data.states:
        inputs += [keras.Input((w.hidden,)) for _ in data.states]
        options["initial_state"] = inputs[1:]
    if w.ragged:
        inputs.append(keras.Input((w.time,), dtype="bool"))
        options["mask"] = inputs[1]
    y = inputs[0]
    for layer in recurrent_layers(keras, w):
        y = layer(y, **options)
    model = keras.Model(inputs, y)
    model.set_weights(flat_weights(data))
    arrays = [data.x, *data.states]
    if data.lengths is not None:
        arrays.append(np.arange(w.time) < data.lengths[:, None])
    tensors = [tf.constant(a) for a in arrays]
    compiled = tf.function(lambda given: model(given, training=False))
    return Ready(lambda: compiled(tensors).numpy(), lambda y: y)


def train(w: Train, threads: int, variant: str) -> Callable[[], Any]:
    _settings(threads)
    return training_step(keras, w)
