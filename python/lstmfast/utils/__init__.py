# SPDX-License-Identifier: BSD-3-Clause
"""Helpers around models: sequences to arrays, labels to one-hot vectors, seeds and names."""

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
from .ctc import ctc_decode
from .naming import clear_session
from .sequences import pad, pad_sequences

__all__ = [
    "CustomObjectScope",
    "clear_session",
    "ctc_decode",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "normalize",
    "pad",
    "pad_sequences",
    "register_keras_serializable",
    "serialize_keras_object",
    "set_random_seed",
    "to_categorical",
]
