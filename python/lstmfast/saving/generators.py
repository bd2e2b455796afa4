# SPDX-License-Identifier: BSD-3-Clause
"""Where the random numbers of layers are, in files: training goes on with the masks that it would have drawn.

Keras's files do not hold these; in those that lstmfast writes they stand where Keras does not look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..layers.attributes import held_in_attributes
from ..layers.properties import layers_inside
from ..random import SeedGenerator
from .model_state import assign_all

if TYPE_CHECKING:
    from ..models import Model
    from ..variables import Variable

__all__ = ["PREFIX", "fitting", "from_arrays", "seed_states", "to_arrays"]

Array = npt.NDArray[Any]

#: In native and in older HDF5 files, before the number.
PREFIX = "seed_generators/"


def seed_states(model: Model) -> list[Variable]:
    """The states of all `SeedGenerator`s in a model, in the order of the layers, each once."""
    layers = [model, *layers_inside(model)]
    return list(dict.fromkeys(g.state for layer in layers for g in held_in_attributes(layer, SeedGenerator)))


def to_arrays(model: Model) -> dict[str, Array]:
    """The states by their names in a file."""
    return {f"{PREFIX}{number}": state.numpy() for number, state in enumerate(seed_states(model))}


def from_arrays(model: Model, arrays: Mapping[str, Array]) -> None:
    """Set what `to_arrays` gave; ValueError if it does not fit the model. A file without states leaves the seeds' beginnings."""
    names = [name for name in arrays if name.startswith(PREFIX)]
    states = [arrays.get(f"{PREFIX}{number}") for number in range(len(names))]
    assign_all(fitting(model, [np.zeros(0) if state is None else state for state in states]))


def fitting(model: Model, states: Sequence[Array]) -> list[tuple[str, Variable, Array]]:
    """What `assign_all` shall set: states in their order, ValueError if they do not fit the model; nothing for none."""
    variables = seed_states(model)
    if not states:
        return []
    if len(states) != len(variables):
        raise ValueError(f"it has {len(states)} states of random numbers, the model {len(variables)}")
    for state in states:
        if state.shape != (2,) or state.dtype.kind not in "iu":
            raise ValueError(
                f"a state of random numbers has shape {state.shape} and dtype {state.dtype}, expected two integers"
            )
    return [(v.path, v, state.astype(np.uint32)) for v, state in zip(variables, states, strict=True)]
