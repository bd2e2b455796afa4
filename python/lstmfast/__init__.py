# SPDX-License-Identifier: BSD-3-Clause
"""Recurrent networks that run and train fast on a CPU, with Keras 3's names and results."""

from . import (
    activations,
    callbacks,
    constraints,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    plotting,
    random,
    regularizers,
    saving,
    utils,
)
from ._version import version as __version__
from .frozen import FrozenModel, Stream
from .layers import GRU, LSTM, Bidirectional, Dense, Embedding, Input, Layer, SimpleRNN
from .models import Model, Sequential
from .runtime import available_isas, get_include, get_num_threads, isa, set_num_threads, show_config, threads
from .symbolic import KerasTensor
from .variables import Variable

__all__ = [
    "GRU",
    "LSTM",
    "Bidirectional",
    "Dense",
    "Embedding",
    "FrozenModel",
    "Input",
    "KerasTensor",
    "Layer",
    "Model",
    "Sequential",
    "SimpleRNN",
    "Stream",
    "Variable",
    "__version__",
    "activations",
    "available_isas",
    "callbacks",
    "constraints",
    "datasets",
    "get_include",
    "get_num_threads",
    "initializers",
    "isa",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "plotting",
    "random",
    "regularizers",
    "saving",
    "set_num_threads",
    "show_config",
    "threads",
    "utils",
]
