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
from .ctc import ctc_decode
from .naming import clear_session
from .plot_model import model_to_dot, plot_model
from .py_dataset import PyDataset
from .sequences import pad, pad_sequences
from .splitting import pack_x_y_sample_weight, split_dataset, unpack_x_y_sample_weight
from .timeseries import TimeseriesDataset, timeseries_dataset_from_array

__all__ = [
    "CustomObjectScope",
    "PyDataset",
    "TimeseriesDataset",
    "clear_session",
    "ctc_decode",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "model_to_dot",
    "normalize",
    "pack_x_y_sample_weight",
    "pad",
    "pad_sequences",
    "plot_model",
    "register_keras_serializable",
    "serialize_keras_object",
    "set_random_seed",
    "split_dataset",
    "timeseries_dataset_from_array",
    "to_categorical",
    "unpack_x_y_sample_weight",
]
