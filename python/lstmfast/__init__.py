# SPDX-License-Identifier: BSD-3-Clause
"""Recurrent networks that run and train fast on a CPU, with Keras 3's names and results."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import version as __version__
from .runtime import available_isas, get_include, get_num_threads, isa, set_num_threads, show_config, threads

if TYPE_CHECKING:
    from . import (
        activations,
        backend,
        callbacks,
        config,
        constraints,
        datasets,
        initializers,
        layers,
        losses,
        metrics,
        models,
        ops,
        optimizers,
        plotting,
        preprocessing,
        random,
        regularizers,
        saving,
        testing,
        utils,
    )
    from .frozen import FrozenModel, Stream
    from .initializers import Initializer
    from .layers import GRU, LSTM, Bidirectional, Dense, Embedding, Input, InputSpec, Layer, SimpleRNN
    from .losses import Loss
    from .metrics import Metric
    from .models import Model, Sequential
    from .optimizers import Optimizer
    from .regularizers import Regularizer
    from .symbolic import KerasTensor
    from .variables import Variable

__all__ = [
    "GRU",
    "LSTM",
    "Bidirectional",
    "Dense",
    "Embedding",
    "FrozenModel",
    "Initializer",
    "Input",
    "InputSpec",
    "KerasTensor",
    "Layer",
    "Loss",
    "Metric",
    "Model",
    "Optimizer",
    "Regularizer",
    "Sequential",
    "SimpleRNN",
    "Stream",
    "Variable",
    "__version__",
    "activations",
    "available_isas",
    "backend",
    "callbacks",
    "config",
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
    "version",
]

# Where the classes are. Modules load when they are first asked for: `import lstmfast` takes 6 ms beyond NumPy instead of
# 50, and a program that runs frozen models never loads what trains them.
_MODULE_OF = {
    "Bidirectional": "layers",
    "Dense": "layers",
    "Embedding": "layers",
    "FrozenModel": "frozen",
    "GRU": "layers",
    "Initializer": "initializers",
    "Input": "layers",
    "InputSpec": "layers",
    "KerasTensor": "symbolic",
    "LSTM": "layers",
    "Layer": "layers",
    "Loss": "losses",
    "Metric": "metrics",
    "Model": "models",
    "Optimizer": "optimizers",
    "Regularizer": "regularizers",
    "Sequential": "models",
    "SimpleRNN": "layers",
    "Stream": "frozen",
    "Variable": "variables",
}

_NEED_SCIKIT_LEARN = ("sklearn", "wrappers")


def version() -> str:
    """The version of lstmfast, `__version__`.

    Examples
    --------
    >>> import lstmfast
    >>> lstmfast.version() == lstmfast.__version__
    True
    """
    return str(__version__)


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value
    if name in __all__ or name in _NEED_SCIKIT_LEARN:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
