# SPDX-License-Identifier: BSD-3-Clause
"""Recurrent networks that run and train fast on a CPU, with Keras 3's names and results."""

from typing import TYPE_CHECKING, Any

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
    preprocessing,
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

if TYPE_CHECKING:
    from . import ops, testing

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
    "ops",
    "optimizers",
    "plotting",
    "preprocessing",
    "random",
    "regularizers",
    "saving",
    "set_num_threads",
    "show_config",
    "testing",
    "threads",
    "utils",
]


def __getattr__(name: str) -> Any:
    if name in (
        "ops",
        "testing",
    ):  # for models with operations, for developers of layers: not part of every import
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
