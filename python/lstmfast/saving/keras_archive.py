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

from ..layers.attributes import held_in_attributes
from . import vocabularies
from .atomic import replace_file
from .hdf5_reader import WeightFile, import_h5py
from .keras_graph import is_operation, layer_order, without_mask_operations
from .model_state import (
    MAX_CONFIG_BYTES,
    assign_all,
    compile_model,
    json_to_config,
    make_model,
    optimizer_variables,
    warn_of_skipped,
)
from .registry import serialize_model
from .zip_reader import read_members

if TYPE_CHECKING:
    from ..models import Model
    from ..variables import Variable

__all__ = ["attribute_groups", "load_keras", "load_keras_weights", "save_keras", "save_keras_weights"]

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
#: The version whose layout is written.
_KERAS_VERSION = "3.15.1"
_RECURRENT = ("LSTM", "GRU", "SimpleRNN")
#: Classes that Keras exports under another name than their own, by which its files call them.
_CLASS_NAMES = {"GroupQueryAttention": "GroupedQueryAttention"}
#: Arguments that Keras's layers lack, with the value that keeps Keras's meaning.
_NOT_IN_KERAS: dict[str, Any] = {
    "peephole": False,
    "projection": None,
    "layer_norm": False,
    "zoneout": 0.0,
    "variational": False,
}


# ---- saving ------------------------------------------------------------------------------------------------


def save_keras(model: Model, path: str | os.PathLike[str]) -> None:
    """Write a model, its compile state and optimizer state as Keras 3 does (see `saving.save_model`)."""
    from .._version import version

    config = _for_keras(serialize_model(model))
    assets: dict[str, bytes] = {}
    for group, layer, _ in _layer_groups(model, config):
        assets |= vocabularies.to_archive(group, layer)[0]
    weights = _weights_file(model, config)
    metadata = {
        "keras_version": _KERAS_VERSION,
        "date_saved": datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S"),
        "saved_by": f"lstmfast {version}",
    }
    with replace_file(path) as target, zipfile.ZipFile(target, "w") as archive:
        archive.writestr(_METADATA, json.dumps(metadata))
        archive.writestr(_CONFIG, json.dumps(config))
        archive.writestr(_WEIGHTS, weights)
        for name, data in assets.items():
            archive.writestr(name, data)


def save_keras_weights(model: Model, path: str | os.PathLike[str]) -> None:
    """Write the weights and the optimizer's state alone, as Keras's ``.weights.h5`` (see `Model.save_weights`)."""
    weights = _weights_file(model, _for_keras(serialize_model(model)))
    with replace_file(path) as target:
        target.write(weights)


def _weights_file(model: Model, config: dict[str, Any]) -> memoryview:
    """The HDF5 file that holds what the model has learned."""
    h5py = import_h5py()
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        if not model._by_call:
            _write_group(file, "vars", model.name, [])
        for group, layer, variables in _layer_groups(model, config):
            _write_group(file, group, layer.name, variables)
            for name, array in vocabularies.to_archive(group, layer)[1].items():
                file[group][name] = array
        state = _optimizer_in_keras_order(model, config)
        if state:
            _write_group(file, "optimizer/vars", model.optimizer.name, state)
    return weights.getbuffer()


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
        elif key != "remat" or "units" not in config:  # how gradients are computed is no part of the model
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
            assign_all(_weights_in_file(model, config, weights))
            wanted = vocabularies.asset_names(_layer_groups(model, config))
            assets = read_members(path, wanted) if wanted else {}
            for group, layer, _ in _layer_groups(model, config):
                if hasattr(layer, "vocabulary_state"):
                    vocabularies.from_archive(group, layer, assets, weights)
            if compile:
                compile_model(model, config, custom_objects)
                assign_all(_optimizer_in_file(model, config, weights))
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


def load_keras_weights(model: Model, path: str | os.PathLike[str], skip_mismatch: bool) -> None:
    """Set the weights, and a built optimizer's state, from a ``.weights.h5`` or ``.keras`` file."""
    import_h5py()
    with open(path, "rb") as file:
        data = file.read()
    if data.startswith(b"PK\x03\x04"):
        members = read_members(path, {_WEIGHTS: None})
        if _WEIGHTS not in members:
            raise ValueError(f"{os.fspath(path)!r} holds no weights: it has no {_WEIGHTS}")
        data = members[_WEIGHTS]
    config = _for_keras(serialize_model(model))
    try:
        with WeightFile(data) as weights:
            values = _weights_in_file(model, config, weights, skip_mismatch)
            if not skip_mismatch:
                values += _optimizer_in_file(model, config, weights)
            assign_all(values)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)!r} cannot be loaded: {error}") from error


def _weights_in_file(
    model: Model, config: dict[str, Any], weights: WeightFile, skip_mismatch: bool = False
) -> list[tuple[str, Variable, Any]]:
    """What `assign_all` shall set."""
    # Keras 2.13's first files of this kind name the layers differently (saving_lib.py, H5IOStore.get).
    old = not weights.has("layers") and weights.has("_layer_checkpoint_dependencies")
    values = []
    for group, layer, variables in _layer_groups(model, config):
        if old:
            group = group.replace("layers/", "_layer_checkpoint_dependencies/", 1)
        arrays = weights.arrays(group) if variables else []
        if skip_mismatch and [a.shape for a in arrays] != [v.shape for v in variables]:
            warn_of_skipped(layer.name, [a.shape for a in arrays], [v.shape for v in variables])
            continue
        if len(arrays) != len(variables):
            raise ValueError(
                f"layer {layer.name!r} has {len(variables)} weights, the file has {len(arrays)} in {group!r}"
            )
        values += [(f"{layer.name}/{v.name}", v, array) for v, array in zip(variables, arrays, strict=True)]
    return values


def _optimizer_in_file(
    model: Model, config: dict[str, Any], weights: WeightFile
) -> list[tuple[str, Variable, Any]]:
    """What `assign_all` shall set."""
    variables = _optimizer_in_keras_order(model, config)
    arrays = weights.arrays("optimizer/vars") if variables else []
    if arrays and len(arrays) != len(variables):
        warnings.warn(
            f"The optimizer starts afresh: it has {len(variables)} variables, "
            f"the file's optimizer has {len(arrays)}.",
            stacklevel=5,
        )
        return []
    return [(f"optimizer/{v.name}", v, array) for v, array in zip(variables, arrays, strict=False)]


# ---- both --------------------------------------------------------------------------------------------------


def _layer_groups(
    model: Model, config: dict[str, Any], prefix: str = "", done: set[int] | None = None
) -> Iterator[tuple[str, Any, list[Variable]]]:
    """(group, layer, its variables), in the configuration's order: in Keras's files that of the names.

    A layer that stands in several models comes once.
    """
    from ..models import Model
    from ..models.config import functional_config

    done = set() if done is None else done
    if model._by_call:  # by the names of its attributes
        yield from _groups_of_layer(model, prefix.rstrip("/"), done)
        return
    layers = {layer.name: layer for layer in model.operations}
    used: dict[str, int] = {}
    inner = config["config"]
    if "layers" not in inner:  # a class that makes its graph in `__init__` and says so in `get_config`
        inner = _for_keras(functional_config(model))
    for layer_config in inner["layers"]:
        name = layer_config["config"].get("name")
        layer: Any = layers.get(name)
        kind = layer_config["class_name"]
        kind = _snake_case(_CLASS_NAMES.get(kind, kind))
        if layer is None:
            if kind == "input_layer" or is_operation(
                layer_config
            ):  # not among `layers`: an Input, an operation
                continue
            raise ValueError(f"the model has no layer {name!r}")
        number = used[kind] = used.get(kind, -1) + 1
        group = f"{prefix}layers/{kind}" + (f"_{number}" if number else "")
        if id(layer) in done:
            continue
        while any(cls.__name__ == "TimeDistributed" for cls in type(layer).__mro__):
            done.add(id(layer))
            yield f"{group}/vars", layer, []
            layer, layer_config, group = layer.layer, layer_config["config"]["layer"], f"{group}/layer"
        if isinstance(layer, Model):
            done.add(id(layer))
            if not layer._by_call:
                yield f"{group}/vars", layer, []
            yield from _layer_groups(layer, layer_config, f"{group}/", done)
        else:
            yield from _groups_of_layer(layer, group, done)


def _groups_of_layer(layer: Any, group: str, done: set[int]) -> Iterator[tuple[str, Any, list[Variable]]]:
    """As `_layer_groups`, of one layer that is no model: its own weights, then those of layers in its attributes."""
    done.add(id(layer))
    group = f"{group}/" if group else ""
    own = [*layer._trainable_variables, *layer._non_trainable_variables]
    if hasattr(layer, "keras_children"):  # the layer says which attributes have groups of their own
        inner = layer.keras_children()
        held = {id(variable) for _, child in inner for variable in child.weights}
        yield f"{group}vars", layer, [v for v in layer.weights if id(v) not in held]
        for path, child in inner:
            if id(child) not in done:
                yield from _groups_of_layer(child, f"{group}{path}", done)
        return
    if any(cls.__name__ in _RECURRENT for cls in type(layer).__mro__):
        yield f"{group}vars", layer, []
        yield f"{group}cell/vars", layer, own
        return
    yield f"{group}vars", layer, own
    for path, child in _children(layer):
        if id(child) not in done:
            yield from _groups_of_child(child, f"{group}{path}", done)


def _children(layer: Any) -> list[tuple[str, Any]]:
    """Layers in attributes, and in containers in attributes, with the way to each; in the order of `Layer.variables`.

    A layer that is held twice has the first way in the order of the attributes' names, as in Keras.
    """
    from ..layers.base import Layer

    paths: dict[int, str] = {}
    seen: set[int] = set()

    def walk(container: Any, path: str) -> None:
        if id(container) in seen:
            return
        seen.add(id(container))
        used: dict[str, int] = {}
        for item in container.values() if isinstance(container, dict) else container:
            if not isinstance(item, (Layer, list, tuple, dict)):
                continue
            kind = _snake_case(type(item).__name__) if isinstance(item, Layer) else "container"
            number = used[kind] = used.get(kind, -1) + 1
            here = f"{path}/{kind}" + (f"_{number}" if number else "")
            if isinstance(item, Layer):
                paths.setdefault(id(item), here)
            else:
                walk(item, here)

    for name, value in sorted(vars(layer).items()):
        if isinstance(value, Layer):
            paths.setdefault(id(value), name)
        elif isinstance(value, (list, tuple, dict)):
            walk(value, name)
    return [(paths[id(child)], child) for child in held_in_attributes(layer, Layer)]


def attribute_groups(model: Model) -> Iterator[tuple[str, list[Variable]]]:
    """(group, its weights) of a model that writes `call`, by the names of its attributes; groups that have any."""
    for group, _, variables in _groups_of_layer(model, "", set()):
        if variables:
            yield group, variables


def _groups_of_child(layer: Any, group: str, done: set[int]) -> Iterator[tuple[str, Any, list[Variable]]]:
    """As `_groups_of_layer`, of a layer in an attribute, which may be a model."""
    from ..models import Model

    if isinstance(layer, Model) and not layer._by_call:
        done.add(id(layer))
        yield f"{group}/vars", layer, []
        yield from _layer_groups(layer, _for_keras(serialize_model(layer)), f"{group}/", done)
    else:
        yield from _groups_of_layer(layer, group, done)


def _optimizer_in_keras_order(model: Model, config: dict[str, Any]) -> list[Variable]:
    """The optimizer's variables as Keras lists them.

    Slots follow the trainable variables, and these the layers, which Keras may order in another way (see
    `keras_graph`). A slot is named by its variable's path and its kind.
    """
    variables = optimizer_variables(model)
    ours = list(model.trainable_variables)
    trainable = {id(variable) for variable in ours}
    groups = _layer_groups(model, config)
    theirs = list(dict.fromkeys(v for _, _, group in groups for v in group if id(v) in trainable))
    if not variables or [id(v) for v in ours] == [id(v) for v in theirs]:
        return variables
    # Paths are not unique where models stand in models: the k-th slot of a name is that of the k-th such variable.
    places: dict[str, list[int]] = {}
    for number, variable in enumerate(ours):
        places.setdefault(variable.path.replace("/", "_"), []).append(number)
    rank = {id(ours[number]): k for numbers in places.values() for k, number in enumerate(numbers)}
    slots: dict[str, list[Variable]] = {}
    for slot in variables:
        slots.setdefault(slot.name, []).append(slot)
    seen: dict[str, int] = {}
    result = []
    for slot in variables:
        owner = max((path for path in places if slot.name.startswith(f"{path}_")), key=len, default=None)
        if owner is None:  # iterations, learning rate
            result.append(slot)
            continue
        k = seen[slot.name] = seen.get(slot.name, -1) + 1
        other = theirs[places[owner][k]]
        result.append(slots[other.path.replace("/", "_") + slot.name[len(owner) :]][rank[id(other)]])
    return result


def _snake_case(name: str) -> str:
    """A class name as Keras spells it in paths (keras/src/utils/naming.py): SimpleRNN is simple_rnn."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
