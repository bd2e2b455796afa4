# SPDX-License-Identifier: BSD-3-Clause
"""Optimizers: Keras 3's names, defaults and formulas. All but Lamb, Ftrl, Adafactor, Muon and
ScheduleFreeAdamW update all variables in one native call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import schedules
from .adam import Adam, Adamax, AdamW, Lamb, Lion, Nadam
from .adaptive import Adadelta, Adagrad, Ftrl, RMSprop
from .base import Optimizer
from .loss_scale import LossScaleOptimizer
from .modern import Adafactor, ScheduleFreeAdamW
from .multi import MultiOptimizer, OptimizerMap
from .muon import Muon
from .schedules import LearningRateSchedule
from .sgd import SGD

__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "LearningRateSchedule",
    "Lion",
    "LossScaleOptimizer",
    "MultiOptimizer",
    "Muon",
    "Nadam",
    "Optimizer",
    "OptimizerMap",
    "RMSprop",
    "ScheduleFreeAdamW",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]

_BY_NAME: dict[str, Any] = {
    cls.__name__.lower(): cls
    for cls in (
        Optimizer,
        SGD,
        Adam,
        AdamW,
        Adamax,
        Nadam,
        Lamb,
        Lion,
        RMSprop,
        Adagrad,
        Adadelta,
        Ftrl,
        Adafactor,
        ScheduleFreeAdamW,
        Muon,
        LossScaleOptimizer,
        MultiOptimizer,
    )
}


def serialize(optimizer: Optimizer) -> Any:
    """Configuration of an optimizer, in Keras 3's dict form."""
    from ..saving.registry import serialize_keras_object

    return serialize_keras_object(optimizer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The optimizer that a configuration describes; built-in names in any case."""
    from ..saving.registry import deserialize_keras_object

    name = config.get("class_name") if isinstance(config, Mapping) else None
    if isinstance(name, str) and name.lower() in _BY_NAME:
        config = {**config, "class_name": name.lower(), "registered_name": None}
    return deserialize_keras_object(config, custom_objects, module_objects=_BY_NAME)


def get(identifier: Any) -> Optimizer | None:
    """An optimizer from a name in any case, a configuration, a class or itself; None for None.

    Raises
    ------
    ValueError
        If the name is unknown, or `identifier` is none of these.

    Examples
    --------
    >>> from lstmfast import optimizers
    >>> float(optimizers.get("sgd").learning_rate)
    0.009999999776482582
    """
    if identifier is None:
        return None
    found = identifier
    if isinstance(identifier, str):
        from ..saving.registry import get_registered_object

        if identifier.lower() not in _BY_NAME and get_registered_object(identifier) is None:
            raise ValueError(f"Could not interpret optimizer identifier: {identifier!r}")
        found = deserialize({"class_name": identifier, "config": {}})
    elif isinstance(identifier, dict):
        found = deserialize(identifier)
    elif isinstance(identifier, type) and issubclass(identifier, Optimizer):
        found = identifier()  # type: ignore[call-arg]
    if isinstance(found, Optimizer):
        return found
    raise ValueError(f"Could not interpret optimizer identifier: {identifier}")
