# SPDX-License-Identifier: BSD-3-Clause
"""The native model file: one safetensors file that holds a model whole.

Arrays, all float32 in Keras's layout but for the step counter:

- ``layers/<layer name>/<weight name>``: the weights (``layers/lstm/kernel``); a model inside a model adds its
  own name (``layers/encoder/lstm/kernel``); of a model that writes `call`, ``layers/<attribute>/.../<index>``, as in
  Keras's weight files;
- ``optimizer/<index>/<name>``: the optimizer's state, if the model was compiled, in Keras's order;
- ``states/<layer name>/<index>``: the states of stateful layers, if any are set;
- ``vocabularies/<layer name>/tokens``: the vocabulary of a lookup layer, a JSON list in uint8, and ``idf_weights``;
- ``seed_generators/<index>``: the states of random numbers, uint32, in the order of the layers.

Metadata: ``format`` = "lstmfast", ``format_version`` = "1", ``lstmfast_version``,
and ``model``: the configuration, build and compile state as JSON in Keras 3's form. Any safetensors reader gets at the arrays.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..layers.keras_call import has_traces
from ..layers.properties import layers_inside
from . import generators, safetensors, vocabularies
from .keras_layout import attribute_groups
from .model_state import (
    assign_all,
    cannot_load,
    compile_model,
    config_to_json,
    json_to_config,
    make_model,
    optimizer_variables,
)

if TYPE_CHECKING:
    from ..models import Model
    from ..variables import Variable

__all__ = ["FORMAT_VERSION", "load_native", "named_weights", "save_native"]

Array = npt.NDArray[Any]

#: Raised only when older readers would misread a file.
FORMAT_VERSION = 1
#: Before the numbers of weights that no layer of the graph has.
_BESIDE = "layers/@beside/"


def save_native(model: Model, path: str | os.PathLike[str]) -> None:
    """Write a model with its optimizer's state and its layers' states (see `lstmfast.saving.save_model`)."""
    from .._version import version

    arrays: dict[str, Array] = {name: variable.numpy() for name, variable in named_weights(model)}
    arrays |= {name: variable.numpy() for name, variable in _named_state(model).items()}
    for name, layer in _stateful_layers(model):
        for index, state in enumerate(layer.states or ()):
            arrays[f"states/{name}/{index}"] = np.asarray(state)
    arrays |= vocabularies.to_arrays(model) | generators.to_arrays(model)
    metadata = {
        "format": "lstmfast",
        "format_version": str(FORMAT_VERSION),
        "lstmfast_version": version,
        "model": config_to_json(model),
    }
    safetensors.save_file(arrays, path, metadata)


def load_native(
    path: str | os.PathLike[str], custom_objects: Mapping[str, Any] | None, compile: bool
) -> Model:
    """Read a model that `save_native` wrote; else ValueError (see `saving.load_model`)."""
    arrays, metadata = safetensors.load_file(path)
    try:
        return _model_of(arrays, metadata, custom_objects, compile)
    except (ValueError, RecursionError) as error:
        raise cannot_load(path, error) from error


def _model_of(
    arrays: dict[str, Array],
    metadata: dict[str, str],
    custom_objects: Mapping[str, Any] | None,
    compile: bool,
) -> Model:
    if metadata.get("format") != "lstmfast" or "model" not in metadata:
        raise ValueError(
            "it holds arrays but no lstmfast model; lstmfast.saving.safetensors.load_file reads the arrays"
        )
    version = metadata.get("format_version", "")
    if not version.isdecimal() or len(version) > 9 or int(version) > FORMAT_VERSION:
        raise ValueError(
            f"it has format version {version!r}, this lstmfast reads up to {FORMAT_VERSION}: upgrade lstmfast"
        )
    config = json_to_config(metadata["model"])
    weights = {name: array for name, array in arrays.items() if name.startswith("layers/")}
    model = make_model(config, custom_objects, sum(array.nbytes for array in weights.values()))

    variables = dict(named_weights(model))
    missing, surplus = sorted(variables.keys() - weights.keys()), sorted(weights.keys() - variables.keys())
    if missing or surplus:
        raise ValueError(
            f"its arrays do not fit its configuration: missing {missing[:5]}, not expected {surplus[:5]}"
        )
    assign_all([(name, variable, weights[name]) for name, variable in variables.items()])
    vocabularies.from_arrays(model, arrays)
    for name, layer in _stateful_layers(model):
        _restore_states(name, layer, arrays)
    generators.from_arrays(model, arrays)
    if compile:
        compile_model(model, config, custom_objects)
        _restore_optimizer(model, arrays)
    return model


def _restore_optimizer(model: Model, arrays: dict[str, Array]) -> None:
    saved = {name: array for name, array in arrays.items() if name.startswith("optimizer/")}
    if not saved:  # saved before the first step
        return
    expected = _named_state(model)
    # By number: a name starts with the names of the models around the layer, as long as it is built within them.
    found = {name.split("/")[1]: (name, array) for name, array in saved.items()}
    fitting = len(found) == len(saved) and len(saved) == len(expected)
    pairs = []
    for name, variable in expected.items():
        stored, array = found.get(name.split("/")[1], ("", None))
        own, other = name.split("/")[2:], stored.split("/")[2:]
        fitting &= array is not None and (own == other or _same_end(own, other))
        pairs.append((name, variable, array))
    if not fitting:
        raise ValueError(
            f"the optimizer's state does not fit the optimizer: {sorted(expected.keys() ^ saved.keys())[:5]}"
        )
    assign_all(pairs)  # type: ignore[arg-type]


def _same_end(own: list[str], other: list[str]) -> bool:
    return bool(own and other) and (own[0].endswith("_" + other[0]) or other[0].endswith("_" + own[0]))


def _named_state(model: Model) -> dict[str, Variable]:
    """The optimizer's variables by their names in the file; numbers alone where names of layers are chance."""
    variables = optimizer_variables(model)
    if model._names_by_chance or any(has_traces(layer) for layer in layers_inside(model)):
        return {f"optimizer/{i}": variable for i, variable in enumerate(variables)}
    return {f"optimizer/{i}/{variable.name}": variable for i, variable in enumerate(variables)}


def _restore_states(name: str, layer: Any, arrays: dict[str, Array]) -> None:
    prefix = f"states/{name}/"
    count = sum(key.startswith(prefix) for key in arrays)
    if not count:
        return
    states = [arrays.get(f"{prefix}{index}") for index in range(count)]
    if any(state is None for state in states):
        raise ValueError(f"the states of layer {name!r} are not numbered 0 to {count - 1}")
    layer.reset_state(states)


def named_weights(model: Model) -> Iterator[tuple[str, Variable]]:
    """(array name, variable) of every weight; a name that occurs twice in a layer gets a number.

    Weights of layers that only attributes hold come last, by their number among all.
    """
    named: set[int] = set()
    for name, variable in _named_in_graph(model, "layers/"):
        named.add(id(variable))
        yield name, variable
    for number, variable in enumerate(() if model._by_call else model.weights):
        if id(variable) not in named:
            yield f"{_BESIDE}{number}", variable


def _named_in_graph(model: Model, prefix: str) -> Iterator[tuple[str, Variable]]:
    from ..models import Model

    if model._by_call:  # its attributes have the same names in every process, its layers have not
        for group, variables in attribute_groups(model):
            for index, variable in enumerate(variables):
                yield f"{prefix}{group}/{index}", variable
        return
    by_chance = model._names_by_chance
    for number, layer in enumerate(model.layers):
        name = str(number) if by_chance else layer.name
        if isinstance(layer, Model):
            yield from _named_in_graph(layer, f"{prefix}{name}/")
            continue
        used: dict[str, int] = {}
        for variable in layer.weights:
            again = used[variable.name] = used.get(variable.name, -1) + 1
            yield f"{prefix}{name}/{variable.name}" + (f"_{again}" if again else ""), variable


def _stateful_layers(model: Model) -> Iterator[tuple[str, Any]]:
    for number, layer in enumerate(model.layers):
        if getattr(layer, "stateful", False):
            yield str(number) if model._names_by_chance else layer.name, layer
