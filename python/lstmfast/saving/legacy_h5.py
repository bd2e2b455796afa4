# SPDX-License-Identifier: BSD-3-Clause
"""Keras's older file of a whole model: one HDF5 file, ``.h5`` or ``.hdf5``, as Keras 2 and Keras 3 write it.

Attributes of the root hold JSON, ``model_config`` and ``training_config``. In the group ``model_weights`` the attribute
``layer_names`` lists the layers, each a group whose attribute ``weight_names`` lists its arrays in order; ``optimizer_weights``
has such a list too. A file of weights alone has the contents of ``model_weights`` at its root. A list too long for an HDF5
attribute (64 KB) is in pieces, ``layer_names0``, ``layer_names1``... (keras/src/legacy/saving/legacy_h5_format.py).

What Keras keeps in no such file, vocabularies and the states of random numbers, stands in the group ``lstmfast``, which Keras
does not look at.
"""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from . import generators, vocabularies
from .atomic import replace_file
from .hdf5_reader import WeightFile, import_h5py
from .keras_archive import KERAS_VERSION
from .keras_layout import children, entries_of_layers, for_keras, optimizer_in_keras_order, variables_of_entry
from .legacy_config import modern_compile_config, modern_config
from .model_state import (
    assign_all,
    cannot_load,
    compile_model,
    json_to_config,
    make_model,
    optimizer_variables,
)
from .registry import serialize_model

if TYPE_CHECKING:
    from ..models import Model
    from ..variables import Variable

__all__ = ["is_legacy", "load_legacy", "load_legacy_weights", "save_legacy"]

Array = npt.NDArray[Any]

_WEIGHTS, _OPTIMIZER, _TOP, _OWN = "model_weights", "optimizer_weights", "top_level_model_weights", "lstmfast"
#: Bytes of an attribute that HDF5 stores beside its group.
_ATTRIBUTE_LIMIT = 64512


# ---- saving ------------------------------------------------------------------------------------------------


def save_legacy(model: Model, path: str | os.PathLike[str], include_optimizer: bool = True) -> None:
    """Write a model, and its compile state and optimizer state, as Keras does (see `saving.save_model`)."""
    h5py = import_h5py()
    config = for_keras(serialize_model(model))
    described = {key: value for key, value in config.items() if key != "compile_config"}
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = KERAS_VERSION, "numpy"
        file.attrs["model_config"] = json.dumps(described)
        layers, top = _layers(model, config)
        group = file.create_group(_WEIGHTS)
        group.attrs["keras_version"], group.attrs["backend"] = KERAS_VERSION, "numpy"
        _write_list(group, "layer_names", [layer.name for layer, _ in layers])
        for layer, variables in sorted(layers, key=lambda pair: str(pair[0].name)):
            _write_arrays(group.require_group(layer.name), [(v.path, v.numpy()) for v in variables])
        _write_arrays(group.require_group(_TOP), [(v.path, v.numpy()) for v in top])
        training = config.get("compile_config")
        if include_optimizer and training:
            training = dict(training)
            optimizer = training.pop("optimizer")
            training["optimizer_config"] = {key: optimizer[key] for key in ("class_name", "config")}
            file.attrs["training_config"] = json.dumps(training)
            state = optimizer_in_keras_order(model, config)
            if state:
                _write_arrays(file.create_group(_OPTIMIZER), [(v.path, v.numpy()) for v in state])
        own = vocabularies.to_arrays(model) | generators.to_arrays(model)
        if own:
            _write_arrays(file.create_group(_OWN), list(own.items()))
    os.makedirs(os.path.dirname(os.path.realpath(path)), exist_ok=True)  # as Keras does for these files
    with replace_file(path) as target:
        target.write(buffer.getbuffer())


def _layers(model: Model, config: dict[str, Any]) -> tuple[list[tuple[Any, list[Variable]]], list[Variable]]:
    """Keras's ``model.layers`` with their weights, trained ones first; and the model's own weights."""
    if model._by_call:
        found = [(layer, variables_of_entry(layer, None)) for _, layer in children(model)]
        held = {id(variable) for _, variables in found for variable in variables}
        top = [v for v in model.weights if id(v) not in held]
    else:
        found = [(x, variables_of_entry(x, entry)) for x, entry in entries_of_layers(model, config)]
        top = []
    return [(layer, _trained_first(layer, variables)) for layer, variables in found], top


def _trained_first(layer: Any, variables: list[Variable]) -> list[Variable]:
    trained = {id(v) for v in layer.trainable_variables}
    return sorted(variables, key=lambda v: id(v) not in trained)


def _write_arrays(group: Any, arrays: Iterable[tuple[str, Array]]) -> None:
    names: list[str] = []
    for path, array in arrays:
        name, number = path, 0
        while name in group:  # models inside may repeat a path
            number += 1
            name = f"{path}_{number}"
        group[name] = array
        names.append(name)
    _write_list(group, "weight_names", names)


def _write_list(group: Any, attribute: str, names: list[str]) -> None:
    encoded = [name.encode("utf-8") for name in names]
    if not encoded:
        group.attrs[attribute] = np.zeros(0)
        return
    longest = max(len(name) for name in encoded)
    if longest > _ATTRIBUTE_LIMIT:
        raise ValueError(
            f"a name of {longest} bytes cannot be saved to an HDF5 file, at most {_ATTRIBUTE_LIMIT}"
        )
    size = _ATTRIBUTE_LIMIT // max(longest, 16)
    if len(encoded) <= size:
        group.attrs[attribute] = encoded
        return
    for number, start in enumerate(range(0, len(encoded), size)):
        group.attrs[f"{attribute}{number}"] = np.array(encoded[start : start + size])


# ---- loading -----------------------------------------------------------------------------------------------


def is_legacy(path: str | os.PathLike[str]) -> bool:
    """Whether an HDF5 file lists weights as the older format does, rather than as ``.weights.h5`` files do."""
    with _open(path) as file:
        return file.has(_WEIGHTS) or bool(file.texts("", "layer_names"))


def _open(path: str | os.PathLike[str]) -> WeightFile:
    with open(path, "rb") as file:
        return WeightFile(file.read(), "the file")


def load_legacy(
    path: str | os.PathLike[str], custom_objects: Mapping[str, Any] | None, compile: bool
) -> Model:
    """Read a model that Keras or `save_legacy` wrote; else ValueError (see `saving.load_model`)."""
    import_h5py()
    try:
        with _open(path) as file:
            return _model_in(file, custom_objects, compile)
    except (ValueError, RecursionError) as error:
        raise cannot_load(path, error) from error


def _model_in(file: WeightFile, custom_objects: Mapping[str, Any] | None, compile: bool) -> Model:
    text = file.text("", "model_config")
    if text is None:
        raise ValueError("No model config found in the file: it holds weights alone, or no model of Keras's")
    try:
        config = modern_config(json_to_config(text))
    except RecursionError:
        raise ValueError("the model's configuration is nested too deeply") from None
    except (TypeError, AttributeError, LookupError) as error:
        raise ValueError(f"the model's configuration is damaged: {error}") from error
    if not isinstance(config, dict):
        raise ValueError("the model's configuration must describe an object")
    model = make_model(config, custom_objects, file.size)
    # Names are safer than places, unless the class makes its layers itself: those are named by chance.
    assign_all(_weights_for(model, file, _WEIGHTS, by_name=not model._names_by_chance, all_of_them=True))
    _restore_own(model, file)
    training = file.text("", "training_config") if compile else None
    if training is not None:
        _compile(model, json_to_config(training), custom_objects, file)
    return model


def _restore_own(model: Model, file: WeightFile) -> None:
    names = file.texts(_OWN, "weight_names")
    arrays = {name: file.named_array(f"{_OWN}/{name}") for name in names}
    found = {name: array for name, array in arrays.items() if array is not None}
    vocabularies.from_arrays(model, found)
    generators.from_arrays(model, found)


def _names_of_layers(file: WeightFile, group: str) -> list[str]:
    """Of the layers that have weights in the file."""
    names = file.texts(group, "layer_names")
    prefix = f"{group}/" if group else ""
    return [name for name in names if file.texts(f"{prefix}{name}", "weight_names")]


def _arrays(file: WeightFile, group: str) -> list[Array]:
    arrays = []
    for name in file.texts(group, "weight_names"):
        array = file.named_array(f"{group}/{name}")
        if array is None:
            raise ValueError(f"the array {name!r} that {group!r} lists is missing in the file")
        arrays.append(array)
    return arrays


def _fitting(label: str, variables: list[Variable], arrays: list[Array]) -> list[tuple[str, Variable, Array]]:
    """What `assign_all` shall set."""
    if len(arrays) != len(variables):
        raise ValueError(
            f"Weight count mismatch for layer {label!r}: it expects {len(variables)} weight(s), the file has {len(arrays)}"
        )
    return [(f"{label}/{v.name}", v, array) for v, array in zip(variables, arrays, strict=True)]


def _compile(
    model: Model, training: dict[str, Any], custom_objects: Mapping[str, Any] | None, file: WeightFile
) -> None:
    try:
        config = modern_compile_config(training, list(model.output_names))
    except (TypeError, AttributeError, LookupError, RecursionError) as error:
        raise ValueError(f"the model's compile state is damaged (compile=False skips it): {error}") from error
    compile_model(model, {"compile_config": config}, custom_objects)
    names = file.texts(_OPTIMIZER, "weight_names")
    state = _optimizer_state(model, names, _arrays(file, _OPTIMIZER))
    if state is None:
        warnings.warn(
            f"The optimizer starts afresh: the file's {len(names)} arrays are not those of "
            f"{type(model.optimizer).__name__}.",
            stacklevel=6,
        )
        return
    assign_all(state)


def _optimizer_state(
    model: Model, names: list[str], arrays: list[Array]
) -> list[tuple[str, Variable, Array]] | None:
    """What `assign_all` shall set; None if the arrays are another optimizer's."""
    if not names:
        return []
    config = for_keras(serialize_model(model))
    variables = optimizer_in_keras_order(model, config)
    if len(arrays) != len(variables) or names[0].endswith(":0"):
        variables = _in_order_of_keras_2(model, config, names)
    if [v.shape for v in variables] != [a.shape for a in arrays]:
        return None
    return [(f"optimizer/{v.name}", v, array) for v, array in zip(variables, arrays, strict=True)]


def _in_order_of_keras_2(model: Model, config: dict[str, Any], names: list[str]) -> list[Variable]:
    """Our optimizer's variables for Keras 2's: the step, then ``Adam/m/dense/kernel:0`` or ``Adam/dense/kernel/m:0``."""
    optimizer = model.optimizer
    slots: dict[int, list[Variable]] = optimizer._slots_of
    layers, _ = _layers(model, config)
    owners = [v for _, variables in layers for v in variables if id(v) in slots]
    first, *rest = (name.removesuffix(":0").split("/") for name in names)
    by_variable = first[-1] == "iter"  # up to Keras 2.10
    kinds: dict[str, int] = {}
    seen: dict[str, int] = {}
    step = [v for v in optimizer_variables(model) if v.name == "iteration"]
    found = list(step)
    for parts in rest:
        if len(parts) < 2:
            return []
        kind = parts[-1] if by_variable else parts[1]
        number = kinds.setdefault(kind, len(kinds))
        place = seen[kind] = seen.get(kind, -1) + 1
        if place >= len(owners) or number >= len(slots[id(owners[place])]):
            return []
        found.append(slots[id(owners[place])][number])
    return found


def load_legacy_weights(
    model: Model, path: str | os.PathLike[str], skip_mismatch: bool = False, by_name: bool = False
) -> None:
    """Set the weights from a file of the older format: layer by layer in order, or those of the same name."""
    import_h5py()
    try:
        with _open(path) as file:
            group = _WEIGHTS if file.has(_WEIGHTS) and not file.texts("", "layer_names") else ""
            assign_all(_weights_for(model, file, group, skip_mismatch, by_name))
    except ValueError as error:
        raise cannot_load(path, error) from error


def _weights_for(
    model: Model,
    file: WeightFile,
    group: str,
    skip_mismatch: bool = False,
    by_name: bool = False,
    all_of_them: bool = False,
) -> list[tuple[str, Variable, Array]]:
    """What `assign_all` shall set; with `all_of_them` no name may be missing on either side."""
    layers, top = _layers(model, for_keras(serialize_model(model)))
    names, prefix = _names_of_layers(file, group), f"{group}/" if group else ""
    if by_name:
        pairs = [(layer, variables, layer.name) for layer, variables in layers if layer.name in names]
        missing = {layer.name for layer, variables in layers if variables} ^ set(names)
        if all_of_them and missing:
            raise ValueError(
                f"its weights do not fit its configuration: those of {sorted(missing)[:5]} have no partner"
            )
    else:
        layers = [(layer, variables) for layer, variables in layers if variables]
        if len(layers) != len(names):
            raise ValueError(
                "Layer count mismatch when loading weights from file. "
                f"Model expected {len(layers)} layers, found {len(names)} saved layers."
            )
        pairs = [(layer, variables, name) for (layer, variables), name in zip(layers, names, strict=True)]
    values: list[tuple[str, Variable, Array]] = []
    for layer, variables, name in pairs:
        arrays = _arrays(file, f"{prefix}{name}")
        if skip_mismatch and (not by_name or len(arrays) == len(variables)):
            values += _without_mismatches(layer.name, _fitting(layer.name, variables, arrays))
        elif skip_mismatch and len(arrays) != len(variables):
            warnings.warn(
                f"Skipping loading of weights for layer {layer.name!r} due to mismatch in number of weights: it expects "
                f"{len(variables)}, the file has {len(arrays)}.",
                stacklevel=6,
            )
        else:
            values += _fitting(layer.name, variables, arrays)
    if top:
        values += _fitting(f"{model.name} (top-level)", top, _arrays(file, f"{prefix}{_TOP}"))
    return values


def _without_mismatches(
    label: str, values: list[tuple[str, Variable, Array]]
) -> list[tuple[str, Variable, Array]]:
    fitting = []
    for value in values:
        _, variable, array = value
        if variable.shape == array.shape:
            fitting.append(value)
        else:
            warnings.warn(
                f"Skipping loading weights for layer {label!r} due to mismatch in shape for weight {variable.path}: it "
                f"expects shape {variable.shape}, the file has {array.shape}.",
                stacklevel=7,
            )
    return fitting
