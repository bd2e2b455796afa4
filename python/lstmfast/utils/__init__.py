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
from .interactive_logging import (
    disable_interactive_logging,
    enable_interactive_logging,
    is_interactive_logging_enabled,
)
from .naming import clear_session
from .plot_model import model_to_dot, plot_model
from .progbar import Progbar
from .py_dataset import PyDataset
from .sequences import pad, pad_sequences
from .splitting import pack_x_y_sample_weight, split_dataset, unpack_x_y_sample_weight
from .symbolic_tensors import get_source_inputs, is_keras_tensor, standardize_dtype
from .text_files import TextDataset, text_dataset_from_directory
from .timeseries import TimeseriesDataset, timeseries_dataset_from_array

#: Keras's older name.
Sequence = PyDataset

__all__ = [
    "CustomObjectScope",
    "Progbar",
    "PyDataset",
    "Sequence",
    "TextDataset",
    "TimeseriesDataset",
    "clear_session",
    "ctc_decode",
    "custom_object_scope",
    "deserialize_keras_object",
    "disable_interactive_logging",
    "enable_interactive_logging",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "get_source_inputs",
    "is_interactive_logging_enabled",
    "is_keras_tensor",
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
    "standardize_dtype",
    "text_dataset_from_directory",
    "timeseries_dataset_from_array",
    "to_categorical",
    "unpack_x_y_sample_weight",
]
