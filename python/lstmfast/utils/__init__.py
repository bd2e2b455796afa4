# SPDX-License-Identifier: BSD-3-Clause
"""Helpers around models: sequences to arrays, labels to one-hot vectors, data sets, seeds and names."""

from ..random import set_random_seed
from ..saving.registry import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)
from .arrays import normalize, to_categorical
from .naming import clear_session
from .plot_model import model_to_dot, plot_model
from .py_dataset import PyDataset
from .sequences import pad, pad_sequences

__all__ = [
    "CustomObjectScope",
    "PyDataset",
    "clear_session",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "model_to_dot",
    "normalize",
    "pad",
    "pad_sequences",
    "plot_model",
    "register_keras_serializable",
    "serialize_keras_object",
    "set_random_seed",
    "to_categorical",
]
