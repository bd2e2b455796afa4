# SPDX-License-Identifier: BSD-3-Clause
"""Optimizers: Keras 3's names, defaults and formulas. SGD and Adam update all variables in one native call."""

from __future__ import annotations

from typing import Any

from . import schedules
from .adam import Adam, AdamW
from .base import Optimizer
from .rmsprop import Adagrad, RMSprop
from .sgd import SGD

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "get", "schedules"]

_CLASSES: tuple[type[Optimizer], ...] = (SGD, Adam, AdamW, RMSprop, Adagrad)
BY_NAME: dict[str, type[Optimizer]] = {c.__name__: c for c in _CLASSES} | {c.__name__.lower(): c for c in _CLASSES}


def get(identifier: Any) -> Optimizer:
    """The optimizer that a name, a config, an instance or a class stands for."""
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, str):
        if identifier.lower() in BY_NAME:
            return BY_NAME[identifier.lower()]()
        raise ValueError(f"optimizer: nothing is called {identifier!r}; known: {', '.join(c.__name__ for c in _CLASSES)}")
    if isinstance(identifier, dict):
        from ..saving.registry import deserialize_keras_object

        return get(deserialize_keras_object(identifier))
    if isinstance(identifier, type) and issubclass(identifier, Optimizer):
        return identifier()
    raise ValueError(f"optimizer: expected a name, a config or an Optimizer, got {identifier!r}")
