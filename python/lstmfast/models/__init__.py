# SPDX-License-Identifier: BSD-3-Clause
"""Models: `Sequential` for a line of layers, `Model` for any graph of them."""

from typing import Any

from .model import Model
from .sequential import Sequential

__all__ = ["Model", "Sequential", "clone_model", "load_model", "save_model"]


def load_model(filepath: Any, custom_objects: Any = None, compile: bool = True) -> Model:
    """See `lstmfast.saving.load_model`."""
    from ..saving import load_model

    return load_model(filepath, custom_objects=custom_objects, compile=compile)


def save_model(model: Model, filepath: Any, overwrite: bool = True) -> None:
    """See `lstmfast.saving.save_model`."""
    from ..saving import save_model

    save_model(model, filepath, overwrite=overwrite)


def clone_model(model: Model) -> Model:
    """A model of the same layers with new weights.

    Examples
    --------
    >>> from lstmfast import Input, Sequential, layers
    >>> from lstmfast.models import clone_model
    >>> clone_model(Sequential([Input((2,)), layers.Dense(3)])).count_params()
    9
    """
    return type(model).from_config(model.get_config())
