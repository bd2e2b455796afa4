# SPDX-License-Identifier: BSD-3-Clause
"""Keras 3's model file: a zip of config.json, metadata.json and model.weights.h5.

Written as keras/src/saving/saving_lib.py (3.15) writes it, so that the real Keras opens it; read strictly,
see `zip_reader`, `hdf5_reader` and `registry` for what is refused. `keras_layout` says where in the weights file what stands.
"""

from __future__ import annotations

import datetime
import io
import json
import os
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from typing import IO, TYPE_CHECKING, Any

from . import generators, vocabularies
from .atomic import replace_file
from .hdf5_reader import WeightFile, import_h5py
from .keras_graph import without_mask_operations
from .keras_layout import (
    for_keras,
    inner_optimizers,
    layer_groups,
    older_groups,
    optimizer_in_keras_order,
)
from .model_state import (
    MAX_CONFIG_BYTES,
    assign_all,
    cannot_load,
    compile_model,
    json_to_config,
    make_model,
    warn_of_skipped,
)
from .registry import serialize_model
from .sharded import Group, ShardedWeights, save_shards, write_groups
from .zip_reader import read_members

if TYPE_CHECKING:
    from ..models import Model
    from ..variables import Variable

__all__ = ["load_keras", "load_keras_weights", "save_keras", "save_keras_weights"]

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_SEEDS = "seed_generators/vars"
#: The version whose layout is written.
KERAS_VERSION = "3.15.1"


# ---- saving ------------------------------------------------------------------------------------------------


def save_keras(model: Model, path: str | os.PathLike[str] | IO[bytes], zipped: bool = True) -> None:
    """Write a model, its compile state and optimizer state as Keras 3 does (see `saving.save_model`).

    The members of the archive are files in a folder if it is not `zipped`; each of these appears whole or not at all.
    """
    from .._version import version

    config = for_keras(serialize_model(model))
    assets: dict[str, bytes] = {}
    for group, layer, _ in layer_groups(model, config):
        assets |= vocabularies.to_archive(group, layer)[0]
    weights = write_groups(_groups_of(model, config))
    metadata = {
        "keras_version": KERAS_VERSION,
        "date_saved": datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S"),
        "saved_by": f"lstmfast {version}",
    }
    members: dict[str, Any] = {
        _METADATA: json.dumps(metadata).encode(),
        _CONFIG: json.dumps(config).encode(),
        _WEIGHTS: weights,
        **assets,
    }
    if not zipped:
        for name, data in members.items():
            file = os.path.join(os.fspath(path), name)  # type: ignore[arg-type]
            os.makedirs(os.path.dirname(file), exist_ok=True)
            with replace_file(file) as target:
                target.write(data)
        return
    if not isinstance(path, (str, os.PathLike)):  # an open file, which gets all or nothing as well
        buffer = io.BytesIO()
        _write_zip(buffer, members)
        path.write(buffer.getbuffer())
        return
    with replace_file(path) as target:
        _write_zip(target, members)


def _write_zip(target: IO[bytes], members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def save_keras_weights(
    model: Model,
    path: str | os.PathLike[str],
    max_shard_size: float | None = None,
    objects_to_skip: Iterable[Any] = (),
) -> None:
    """Write the weights and the optimizer's state alone, as Keras's ``.weights.h5`` or in shards (see `Model.save_weights`)."""
    import_h5py()
    groups = _groups_of(model, for_keras(serialize_model(model)), objects_to_skip)
    if max_shard_size is not None:
        save_shards(groups, path, max_shard_size)
        return
    weights = write_groups(groups)
    with replace_file(path) as target:
        target.write(weights)


def _groups_of(model: Model, config: dict[str, Any], objects_to_skip: Iterable[Any] = ()) -> list[Group]:
    """All that the weight file holds."""
    skipped = {id(thing) for thing in objects_to_skip}
    groups: list[Group] = [] if model._by_call else [("vars", model.name, {})]
    for group, layer, variables in layer_groups(model, config, done=skipped):
        arrays = {str(number): variable.numpy() for number, variable in enumerate(variables)}
        groups.append((group, layer.name, arrays | vocabularies.to_archive(group, layer)[1]))
    state = optimizer_in_keras_order(model, config)
    if state and id(model.optimizer) not in skipped:
        arrays = {str(number): variable.numpy() for number, variable in enumerate(state)}
        groups.append(("optimizer/vars", model.optimizer.name, arrays))
        for path, inner in inner_optimizers(model.optimizer):
            own = {id(v) for v in inner.variables}
            slots = [v.numpy() for v in state if id(v) in own]
            groups.append((f"{path}/vars", inner.name, {str(n): array for n, array in enumerate(slots)}))
    seeds = generators.seed_states(model)
    if seeds:  # Keras's files have no such group; it does not look for it either
        groups.append((_SEEDS, "seed_generators", {str(n): v.numpy() for n, v in enumerate(seeds)}))
    return groups


# ---- loading -----------------------------------------------------------------------------------------------


def load_keras(
    path: str | os.PathLike[str] | IO[bytes], custom_objects: Mapping[str, Any] | None, compile: bool
) -> Model:
    """Read a model that Keras 3 or `save_keras` wrote; else ValueError (see `saving.load_model`)."""
    import_h5py()
    try:
        is_path = isinstance(path, (str, os.PathLike))
        read: Any = _read_folder if is_path and os.path.isdir(path) else read_members  # type: ignore[arg-type]
        members = read(path, {_CONFIG: MAX_CONFIG_BYTES, _WEIGHTS: None})
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
            assign_all(generators.fitting(model, weights.arrays(_SEEDS)))
            wanted = vocabularies.asset_names(layer_groups(model, config))
            assets = read(path, wanted) if wanted else {}
            for group, layer, _ in layer_groups(model, config):
                if hasattr(layer, "vocabulary_state"):
                    vocabularies.from_archive(group, layer, assets, weights)
            if compile:
                compile_model(model, config, custom_objects)
                assign_all(_optimizer_in_file(model, config, weights))
            return model
    except (ValueError, RecursionError) as error:
        raise cannot_load(path, error) from error


def _read_folder(path: str | os.PathLike[str], limits: Mapping[str, int | None]) -> dict[str, bytes]:
    """`zip_reader.read_members` for a folder of the same files."""
    found = {}
    for name, limit in limits.items():
        file = os.path.join(path, name)
        if os.path.isfile(file):
            size = os.path.getsize(file)
            if limit is not None and size > limit:
                raise ValueError(f"the file {name!r} has {size} bytes, at most {limit} are accepted")
            with open(file, "rb") as opened:
                found[name] = opened.read()
    return found


def _from_keras(config: Any) -> Any:
    """The configuration, its functional models without Keras's mask operations."""
    if isinstance(config, list):
        return [_from_keras(value) for value in config]
    if not isinstance(config, dict):
        return config
    if "output_layers" in config and "layers" in config:
        config = without_mask_operations(config)
    return {key: _from_keras(value) for key, value in config.items()}


def load_keras_weights(
    model: Model,
    path: str | os.PathLike[str],
    skip_mismatch: bool = False,
    objects_to_skip: Iterable[Any] = (),
) -> None:
    """Set the weights, and a built optimizer's state, from a ``.weights.h5``, ``.weights.json`` or ``.keras`` file."""
    import_h5py()
    config = for_keras(serialize_model(model))
    skipped = {id(thing) for thing in objects_to_skip}
    try:
        with _open_weights(path) as weights:
            values = _weights_in_file(model, config, weights, skip_mismatch, skipped)
            if not skip_mismatch and id(model.optimizer) not in skipped:
                values += _optimizer_in_file(model, config, weights)
            seeds = weights.arrays(_SEEDS)
            if len(seeds) == len(generators.seed_states(model)):  # another model's weights may be taken over
                values += generators.fitting(model, seeds)
            assign_all(values)
    except ValueError as error:
        raise cannot_load(path, error) from error


def _open_weights(path: str | os.PathLike[str]) -> WeightFile | ShardedWeights:
    with open(path, "rb") as file:
        data = file.read()
    if data.startswith(b"PK\x03\x04"):
        members = read_members(path, {_WEIGHTS: None})
        if _WEIGHTS not in members:
            raise ValueError(f"it holds no weights: it has no {_WEIGHTS}")
        data = members[_WEIGHTS]
    elif data.lstrip()[:1] == b"{":
        return ShardedWeights(path, data)
    return WeightFile(data)


def _weights_in_file(
    model: Model,
    config: dict[str, Any],
    weights: WeightFile | ShardedWeights,
    skip_mismatch: bool = False,
    skipped: set[int] | None = None,
) -> list[tuple[str, Variable, Any]]:
    """What `assign_all` shall set."""
    # Keras 2.13's first files of this kind name the layers differently (saving_lib.py, H5IOStore.get).
    old = not weights.has("layers") and weights.has("_layer_checkpoint_dependencies")
    values = []
    for group, layer, variables in layer_groups(model, config, done=skipped):
        if old:
            group = group.replace("layers/", "_layer_checkpoint_dependencies/", 1)
        arrays = weights.arrays(group) if variables else []
        if variables and not arrays:
            other = older_groups(model, config).get(id(variables[0]), group)
            arrays = weights.arrays(other) if other != group else []
        if skip_mismatch and [a.shape for a in arrays] != [v.shape for v in variables]:
            warn_of_skipped(layer.name, [a.shape for a in arrays], [v.shape for v in variables])
            continue
        if len(arrays) != len(variables):
            raise ValueError(
                f"Layer {layer.name!r} expected {len(variables)} variables, but received {len(arrays)} variables during "
                f"loading, in {group!r}"
            )
        values += [(f"{layer.name}/{v.name}", v, array) for v, array in zip(variables, arrays, strict=True)]
    return values


def _optimizer_in_file(
    model: Model, config: dict[str, Any], weights: WeightFile | ShardedWeights
) -> list[tuple[str, Variable, Any]]:
    """What `assign_all` shall set."""
    variables = optimizer_in_keras_order(model, config)
    arrays = weights.arrays("optimizer/vars") if variables else []
    if arrays and len(arrays) != len(variables):
        warnings.warn(
            f"The optimizer starts afresh: it has {len(variables)} variables, "
            f"the file's optimizer has {len(arrays)}.",
            stacklevel=5,
        )
        return []
    return [(f"optimizer/{v.name}", v, array) for v, array in zip(variables, arrays, strict=False)]
