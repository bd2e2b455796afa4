# SPDX-License-Identifier: BSD-3-Clause
"""Where the random numbers of layers with a seed of their own are, in native files: training goes on with the masks that it
would have drawn. (Layers without a seed draw from the global generator, which is the process's: `utils.set_random_seed`.)"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from ..layers.properties import layers_inside

if TYPE_CHECKING:
    from ..models import Model

__all__ = ["from_json", "to_json"]


def _generators(model: Model) -> list[np.random.Generator]:
    found = (getattr(layer, "_generator", None) for layer in layers_inside(model))
    return [generator for generator in found if generator is not None]


def to_json(model: Model) -> str | None:
    """The states of the layers' generators in the order of the layers; None if there are none."""
    states = [generator.bit_generator.state for generator in _generators(model)]
    return json.dumps(states, separators=(",", ":")) if states else None


def from_json(model: Model, text: str | None) -> None:
    """Set what `to_json` gave; ValueError if it does not fit the model. A file without states leaves the seeds' beginnings."""
    if text is None:
        return
    try:
        states = json.loads(text)
        for generator, state in zip(_generators(model), states, strict=True):
            generator.bit_generator.state = state
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ValueError(f"the states of its random numbers are damaged: {error}") from None
