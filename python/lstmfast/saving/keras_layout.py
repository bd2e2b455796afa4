# SPDX-License-Identifier: BSD-3-Clause
"""Where in Keras's files the variables of a model stand, and in which order.

In ``model.weights.h5`` a layer stands under ``layers/<class>[_<n>]``, counted per class in model order, its arrays under
``vars/0``, ``vars/1``...; a recurrent layer's belong to its ``cell``; the optimizer's are ``optimizer/vars/<n>``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ..layers.attributes import held_in_attributes
from .keras_graph import is_operation, layer_order
from .model_state import optimizer_variables
from .registry import serialize_model

if TYPE_CHECKING:
    from ..models import Model
    from ..variables import Variable

__all__ = [
    "attribute_groups",
    "children",
    "entries_of_layers",
    "for_keras",
    "inner_optimizers",
    "layer_groups",
    "older_groups",
    "optimizer_in_keras_order",
    "variables_of_entry",
]

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


#: False while groups are looked up as versions of lstmfast named them that did not save what only attributes hold.
_with_attributes: ContextVar[bool] = ContextVar("with_attributes", default=True)


def older_groups(model: Model, config: dict[str, Any]) -> dict[int, str]:
    """The groups of those versions by the id of the first variable in each."""
    token = _with_attributes.set(False)
    try:
        return {id(variables[0]): group for group, _, variables in layer_groups(model, config) if variables}
    finally:
        _with_attributes.reset(token)


def for_keras(config: Any) -> Any:
    """The configuration without our own arguments, and functional layers in Keras's order."""
    if isinstance(config, list):
        return [for_keras(value) for value in config]
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
            result[key] = for_keras(value)
    if "output_layers" in result and "layers" in result:
        by_name = {layer["name"]: layer for layer in result["layers"]}
        result["layers"] = [by_name[name] for name in layer_order(result)]
    return result


def layer_groups(
    model: Model, config: dict[str, Any], prefix: str = "", done: set[int] | None = None
) -> Iterator[tuple[str, Any, list[Variable]]]:
    """(group, layer, its variables), in the configuration's order: in Keras's files that of the names.

    A layer that stands in several models comes once.
    """
    done = set() if done is None else done
    if model._by_call:  # by the names of its attributes
        yield from _groups_of_layer(model, prefix.rstrip("/"), done)
        return
    used: dict[str, int] = {}
    for layer, entry in entries_of_layers(model, config):
        kind = entry["class_name"]
        kind = _snake_case(_CLASS_NAMES.get(kind, kind))
        number = used[kind] = used.get(kind, -1) + 1
        yield from _groups_of_entry(
            layer, entry, f"{prefix}layers/{kind}" + (f"_{number}" if number else ""), done
        )
    beside = {id(layer) for layer in model._beside_graph()} if _with_attributes.get() else set()
    for path, child in children(model) if beside else ():
        if id(child) in beside and id(child) not in done:
            yield from _groups_of_child(child, f"{prefix}{path}", done)


def entries_of_layers(model: Model, config: dict[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    """(layer, its entry in the configuration) of a graph's layers, those that Keras counts among ``layers``."""
    from ..models.config import functional_config

    layers = {layer.name: layer for layer in model.operations}
    unnamed: set[int] = set()
    inner = config["config"]
    if "layers" not in inner:  # a class that makes its graph in `__init__` and says so in `get_config`
        inner = for_keras(functional_config(model))
    for entry in inner["layers"]:
        name = entry["config"].get("name")
        layer: Any = layers.get(name)
        if name is None:  # a `get_config` of one's own that leaves it out
            alike = [one for one in layers.values() if type(one).__name__ == entry["class_name"]]
            layer = next((one for one in alike if id(one) not in unnamed), None)
            unnamed.add(id(layer))
        if layer is not None:
            yield layer, entry
        elif entry["class_name"] != "InputLayer" and not is_operation(entry):
            raise ValueError(f"the model has no layer {name!r}")


def variables_of_entry(layer: Any, entry: dict[str, Any] | None) -> list[Variable]:
    """All variables of one layer in the order of Keras's ``layer.weights``; `entry` None: a layer in an attribute."""
    done: set[int] = set()
    groups = _groups_of_child(layer, "", done) if entry is None else _groups_of_entry(layer, entry, "", done)
    return list(dict.fromkeys(variable for _, _, variables in groups for variable in variables))


def _groups_of_entry(
    layer: Any, entry: dict[str, Any], group: str, done: set[int]
) -> Iterator[tuple[str, Any, list[Variable]]]:
    from ..models import Model

    if id(layer) in done:
        return
    while any(cls.__name__ == "TimeDistributed" for cls in type(layer).__mro__):
        done.add(id(layer))
        yield f"{group}/vars", layer, []
        layer, entry, group = layer.layer, entry["config"]["layer"], f"{group}/layer"
    if isinstance(layer, Model):
        done.add(id(layer))
        if not layer._by_call:
            yield f"{group}/vars", layer, []
        yield from layer_groups(layer, entry, f"{group}/", done)
    else:
        yield from _groups_of_layer(layer, group, done)


def _groups_of_layer(layer: Any, group: str, done: set[int]) -> Iterator[tuple[str, Any, list[Variable]]]:
    """As `layer_groups`, of one layer that is no model: its own weights, then those of layers in its attributes."""
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
    for path, child in children(layer):
        if id(child) not in done:
            yield from _groups_of_child(child, f"{group}{path}", done)


def children(layer: Any) -> list[tuple[str, Any]]:
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
        yield from layer_groups(layer, for_keras(serialize_model(layer)), f"{group}/", done)
    else:
        yield from _groups_of_layer(layer, group, done)


def optimizer_in_keras_order(model: Model, config: dict[str, Any]) -> list[Variable]:
    """The optimizer's variables as Keras lists them: slots follow the layers, which Keras may order in another way
    (see `keras_graph`)."""
    if not optimizer_variables(model):
        return []
    groups = layer_groups(model, config)
    rank = {id(v): k for k, v in enumerate(dict.fromkeys(v for _, _, group in groups for v in group))}
    return _in_order(model.optimizer, rank)


def _in_order(optimizer: Any, rank: dict[int, int]) -> list[Variable]:
    """An optimizer's variables, its slots in the order of the variables that they belong to.

    Slots come in rounds over the variables, such as all momentums; a round has one or more of each.
    """
    owners = {
        id(slot): k for k, v in enumerate(optimizer._trainable) for slot in optimizer._slots_of.get(id(v), ())
    }
    ranks = [rank.get(id(v), len(rank)) for v in optimizer._trainable]
    rounds: list[list[Variable]] = []
    last = -1
    for slot in optimizer._variables:
        owner = owners.get(id(slot), -1)  # none: iterations, learning rate
        if owner < 0 or owner < last or not rounds:
            rounds.append([])
        rounds[-1].append(slot)
        last = len(ranks) if owner < 0 else owner

    def place(slot: Variable) -> int:
        return ranks[owners[id(slot)]] if id(slot) in owners else 0

    result = [slot for slots in rounds for slot in sorted(slots, key=place)]
    for _, inner in optimizer.inner_groups():
        result += _in_order(inner, rank)
    return result


def inner_optimizers(optimizer: Any, group: str = "optimizer") -> Iterator[tuple[str, Any]]:
    """Optimizers inside one, with their groups in the file; Keras writes them there once more."""
    seen: Counter[str] = Counter()
    for attribute, inner in optimizer.inner_groups():
        path = f"{group}/{attribute}"
        if attribute == "optimizers":  # a list
            name = _snake_case(type(inner).__name__)
            path += f"/{name}" + (f"_{seen[name]}" if seen[name] else "")
            seen[name] += 1
        yield path, inner
        yield from inner_optimizers(inner, path)


def _snake_case(name: str) -> str:
    """A class name as Keras spells it in paths (keras/src/utils/naming.py): SimpleRNN is simple_rnn."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
