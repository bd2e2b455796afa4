# SPDX-License-Identifier: BSD-3-Clause
"""Keras 3's model file: a zip of config.json, metadata.json and model.weights.h5.

Written as keras/src/saving/saving_lib.py (3.15) writes it, so that the real Keras opens it; read strictly,
see `zip_reader`, `hdf5_reader` and `registry` for what is refused. In the weights file a layer stands under
``layers/<class>[_<n>]``, counted per class in model order, its arrays under ``vars/0``, ``vars/1``...; a
recurrent layer's belong to its ``cell``; the optimizer's are ``optimizer/vars/<n>``.
"""

from __future__ import annotations

import datetime
import io
import json
import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .atomic import replace_file
from .hdf5_reader import WeightFile, import_h5py
from .keras_graph import layer_order, without_mask_operations
from .model_state import (
    MAX_CONFIG_BYTES,
    assign_all,
    compile_model,
    json_to_config,
    make_model,
    optimizer_variables,
)
from .registry import serialize_keras_object
from .zip_reader import read_members

if TYPE_CHECKING:
    from ..models import Model
    from ..variables import Variable

__all__ = ["load_keras", "save_keras"]

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
#: The version whose layout is written.
_KERAS_VERSION = "3.15.1"
_RECURRENT = ("LSTM", "GRU", "SimpleRNN")
#: Arguments that Keras's layers lack, with the value that keeps Keras's meaning.
_NOT_IN_KERAS: dict[str, Any] = {
    "peephole": False,
    "projection": None,
    "layer_norm": False,
    "zoneout": 0.0,
    "variational": False,
    "remat": False,
}


# ---- saving ------------------------------------------------------------------------------------------------


def save_keras(model: Model, path: str | os.PathLike[str]) -> None:
    """Write a model, its compile state and optimizer state as Keras 3 does (see `saving.save_model`)."""
    from .._version import version

    h5py = import_h5py()
    config = _for_keras(serialize_keras_object(model))
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        _write_group(file, "vars", model.name, [])
        for group, layer, variables in _layer_groups(model, config):
            _write_group(file, group, layer.name, variables)
        state = _optimizer_in_keras_order(model, config)
        if state:
            _write_group(file, "optimizer/vars", model.optimizer.name, state)
    metadata = {
        "keras_version": _KERAS_VERSION,
        "date_saved": datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S"),
        "saved_by": f"lstmfast {version}",
    }
    with replace_file(path) as target, zipfile.ZipFile(target, "w") as archive:
        archive.writestr(_METADATA, json.dumps(metadata))
        archive.writestr(_CONFIG, json.dumps(config))
        archive.writestr(_WEIGHTS, weights.getbuffer())


def _write_group(file: Any, path: str, name: str, variables: list[Variable]) -> None:
    group = file.create_group(path)
    group.attrs["name"] = name
    for index, variable in enumerate(variables):
        group[str(index)] = variable.numpy()


def _for_keras(config: Any) -> Any:
    """The configuration without our own arguments, and functional layers in Keras's order."""
    if isinstance(config, list):
        return [_for_keras(value) for value in config]
    if not isinstance(config, dict):
        return config
    result = {}
    for key, value in config.items():
        if key in _NOT_IN_KERAS and "units" in config:
            if value != _NOT_IN_KERAS[key]:
                raise ValueError(
                    f"Keras has no {key}={value!r}: this model can only be saved natively (.safetensors)"
                )
        else:
            result[key] = _for_keras(value)
    if "output_layers" in result and "layers" in result:
        by_name = {layer["name"]: layer for layer in result["layers"]}
        result["layers"] = [by_name[name] for name in layer_order(result)]
    return result


# ---- loading -----------------------------------------------------------------------------------------------


def load_keras(
    path: str | os.PathLike[str], custom_objects: Mapping[str, Any] | None, compile: bool
) -> Model:
    """Read a model that Keras 3 or `save_keras` wrote; else ValueError (see `saving.load_model`)."""
    import_h5py()
    try:
        members = read_members(path, {_CONFIG: MAX_CONFIG_BYTES, _WEIGHTS: None})
        if _CONFIG not in members:
            raise ValueError("the archive has no config.json: not a .keras file")
        if _WEIGHTS not in members:
            raise ValueError(
                "the archive has no model.weights.h5 (lstmfast does not read weights stored as .npz)"
            )
        config = _from_keras(json_to_config(members[_CONFIG]))
        with WeightFile(members[_WEIGHTS]) as weights:
            model = make_model(config, custom_objects, len(members[_WEIGHTS]))
            _assign_weights(model, config, weights)
            if compile:
                compile_model(model, config, custom_objects)
                _assign_optimizer(model, config, weights)
            return model
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)!r} cannot be loaded: {error}") from error


def _from_keras(config: Any) -> Any:
    """The configuration, its functional models without Keras's mask operations."""
    if isinstance(config, list):
        return [_from_keras(value) for value in config]
    if not isinstance(config, dict):
        return config
    if "output_layers" in config and "layers" in config:
        config = without_mask_operations(config)
    return {key: _from_keras(value) for key, value in config.items()}


def _assign_weights(model: Model, config: dict[str, Any], weights: WeightFile) -> None:
    # Keras 2.13's first files of this kind name the layers differently (saving_lib.py, H5IOStore.get).
    old = not weights.has("layers") and weights.has("_layer_checkpoint_dependencies")
    values = []
    for group, layer, variables in _layer_groups(model, config):
        if old:
            group = group.replace("layers/", "_layer_checkpoint_dependencies/", 1)
        arrays = weights.arrays(group) if variables else []
        if len(arrays) != len(variables):
            raise ValueError(
                f"layer {layer.name!r} has {len(variables)} weights, the file has {len(arrays)} in {group!r}"
            )
        values += [(f"{layer.name}/{v.name}", v, array) for v, array in zip(variables, arrays, strict=True)]
    assign_all(values)


def _assign_optimizer(model: Model, config: dict[str, Any], weights: WeightFile) -> None:
    variables = _optimizer_in_keras_order(model, config)
    arrays = weights.arrays("optimizer/vars") if variables else []
    if arrays and len(arrays) != len(variables):
        warnings.warn(
            f"The optimizer starts afresh: it has {len(variables)} variables, "
            f"the file's optimizer has {len(arrays)}.",
            stacklevel=5,
        )
    elif arrays:
        assign_all([(f"optimizer/{v.name}", v, array) for v, array in zip(variables, arrays, strict=True)])


# ---- both --------------------------------------------------------------------------------------------------


def _layer_groups(
    model: Model, config: dict[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, list[Variable]]]:
    """(group, layer, its variables), in the configuration's order: in Keras's files that of the names."""
    from ..models import Model

    layers = {layer.name: layer for layer in model.layers}
    used: dict[str, int] = {}
    for layer_config in config["config"]["layers"]:
        name = layer_config["config"].get("name")
        layer: Any = layers.get(name)
        kind = _snake_case(layer_config["class_name"])
        if layer is None:
            if kind == "input_layer":  # Sequential.layers leaves its Input out
                continue
            raise ValueError(f"the model has no layer {name!r}")
        number = used[kind] = used.get(kind, -1) + 1
        group = f"{prefix}layers/{kind}" + (f"_{number}" if number else "")
        while any(cls.__name__ == "TimeDistributed" for cls in type(layer).__mro__):
            yield f"{group}/vars", layer, []
            layer, layer_config, group = layer.layer, layer_config["config"]["layer"], f"{group}/layer"
        if isinstance(layer, Model):
            yield f"{group}/vars", layer, []
            yield from _layer_groups(layer, layer_config, f"{group}/")
        else:
            yield from _groups_of_layer(layer, group)


def _groups_of_layer(layer: Any, group: str) -> Iterator[tuple[str, Any, list[Variable]]]:
    """As `_layer_groups`, of one layer that is no model."""
    names = [cls.__name__ for cls in type(layer).__mro__]
    if "Bidirectional" in names:
        yield f"{group}/vars", layer, []
        for attribute in ("forward_layer", "backward_layer"):
            yield from _groups_of_layer(getattr(layer, attribute), f"{group}/{attribute}")
    elif any(name in _RECURRENT for name in names):
        yield f"{group}/vars", layer, []
        yield f"{group}/cell/vars", layer, list(layer.weights)
    else:
        yield f"{group}/vars", layer, list(layer.weights)


def _optimizer_in_keras_order(model: Model, config: dict[str, Any]) -> list[Variable]:
    """The optimizer's variables as Keras lists them.

    Slots follow the trainable variables, and these the layers, which Keras may order in another way (see
    `keras_graph`). A slot is named by its variable's path and its kind.
    """
    variables = optimizer_variables(model)
    ours = list(model.trainable_variables)
    trainable = {id(variable) for variable in ours}
    theirs = [v for _, _, group in _layer_groups(model, config) for v in group if id(v) in trainable]
    if not variables or [id(v) for v in ours] == [id(v) for v in theirs]:
        return variables
    instead = {v.path.replace("/", "_"): w.path.replace("/", "_") for v, w in zip(ours, theirs, strict=True)}
    slots = {slot.name: slot for slot in variables}
    result = []
    for slot in variables:
        owner = max((path for path in instead if slot.name.startswith(f"{path}_")), key=len, default=None)
        name = slot.name if owner is None else instead[owner] + slot.name[len(owner) :]
        result.append(slots[name])
    return result


def _snake_case(name: str) -> str:
    """A class name as Keras spells it in paths (keras/src/utils/naming.py): SimpleRNN is simple_rnn."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
