# SPDX-License-Identifier: BSD-3-Clause
"""A functional model as a configuration in Keras 3's form, and back."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from ..layers.base import Layer
from ..layers.core.input import InputLayer
from ..saving.registry import deserialize_keras_object, serialize_keras_object
from ..symbolic import KerasTensor, Node, map_leaves

if TYPE_CHECKING:
    from .model import Model


#: Of a functional configuration; a class may add arguments of its own `__init__`.
_FUNCTIONAL_KEYS = ("name", "trainable", "layers", "input_layers", "output_layers", "dtype")


def functional_config(model: Model) -> dict[str, Any]:
    """Layers, the calls that join them, inputs and outputs."""
    graph = model.executor.graph
    in_model = {id(node) for node in graph.nodes}
    numbers: dict[int, int] = {}  # node -> number among its layer's calls in this model
    for layer in graph.layers:
        for number, node in enumerate(n for n in layer.inbound_nodes if id(n) in in_model):
            numbers[id(node)] = number

    def history(tensor: KerasTensor) -> list[Any]:
        return [tensor.origin.layer.name, numbers[id(tensor.origin)], tensor.index]

    def end(tensor: KerasTensor) -> list[Any]:
        name, number, index = history(tensor)
        return [name, number + _is_functional(tensor.origin.layer), index]

    def tensor_config(value: Any) -> Any:
        if not isinstance(value, KerasTensor):
            return serialize_keras_object(value)
        return {
            "class_name": "__keras_tensor__",
            "config": {"shape": list(value.shape), "dtype": value.dtype, "keras_history": history(value)},
        }

    layers = []
    for layer in graph.layers:
        config = serialize_keras_object(layer)
        config["name"] = layer.name
        config["inbound_nodes"] = [
            {
                "args": [map_leaves(tensor_config, value) for value in args],
                "kwargs": {key: map_leaves(tensor_config, value) for key, value in kwargs.items()},
            }
            for node in layer.inbound_nodes
            if id(node) in in_model and node.parents
            for args, kwargs in [layer.graph_arguments(node.inputs, node.kwargs)]
        ]
        layers.append(config)
    return {
        "name": model.name,
        "trainable": model.trainable,
        "layers": layers,
        "input_layers": map_leaves(end, model.input),
        "output_layers": map_leaves(end, model.output),
    }


def _is_functional(layer: Layer) -> bool:
    """Whether a layer is what Keras calls a functional model: it counts the calls that make an output from 1."""
    from .model import Model
    from .sequential import Sequential

    return isinstance(layer, Model) and not isinstance(layer, Sequential) and not layer._by_call


def functional_from_config(cls: type[Model], config: dict[str, Any], custom_objects: Any = None) -> Model:
    """The model that `functional_config` described, or Keras 3 (its operations on masks left out)."""
    from ..saving.keras_graph import end_call, without_mask_operations
    from ..saving.legacy_config import modern_config

    if any(isinstance(call, list) for layer in config["layers"] for call in layer.get("inbound_nodes") or ()):
        config = modern_config({"class_name": "Functional", "config": config})["config"]  # Keras 2's form
    config = without_mask_operations(config)
    layers: dict[str, Layer] = {}
    waiting: list[tuple[Layer, dict[str, Any]]] = []
    for entry in config["layers"]:
        layer = deserialize_keras_object(entry, custom_objects)
        if not isinstance(layer, Layer):
            raise ValueError(f"the configuration has a {type(layer).__name__} among the layers")
        name = entry.get("name", layer.name)
        if name in layers:
            raise ValueError(f"the layer name {name!r} occurs twice in the configuration")
        layers[name] = layer
        waiting += [(layer, call) for call in entry.get("inbound_nodes") or []]
    # Calls are numbered within this model. A layer that a model inside shares comes with calls of its own there.
    calls: dict[int, list[Node]] = {
        id(layer): list(layer.inbound_nodes) if isinstance(layer, InputLayer) else []
        for layer in layers.values()
    }

    def find(reference: Any) -> KerasTensor | None:
        if isinstance(reference, (list, tuple)) and len(reference) == 3 and reference[0] not in layers:
            raise ValueError(
                f"Missing node: {reference[0]}, which the configuration refers to: {reference!r}"
            )
        if not isinstance(reference, (list, tuple)) or len(reference) != 3:
            raise ValueError(f"the configuration refers to {reference!r}, which it does not define")
        name, number, index = reference
        made = calls[id(layers[name])]
        if not isinstance(number, int) or not isinstance(index, int) or number < 0 or index < 0:
            raise ValueError(f"invalid reference {reference!r} in the configuration")
        if number >= len(made):
            return None
        if index >= len(made[number].outputs):
            raise ValueError(f"layer {name!r} has no output {index}")
        return made[number].outputs[index]

    # A call waits until all it needs exists. Calls of one layer keep their order, for their numbers are
    # names.
    while waiting:
        left: list[tuple[Layer, dict[str, Any]]] = []
        blocked: set[int] = set()
        for layer, call in waiting:
            ready = id(layer) not in blocked and _resolve(call, find)
            if not ready:
                left.append((layer, call))
                blocked.add(id(layer))
                continue
            args, kwargs = ready
            layer(*args, **kwargs)
            calls[id(layer)].append(layer.inbound_nodes[-1])
        if len(left) == len(waiting):
            raise ValueError(
                "Invalid Functional model configuration. The graph of the Functional model either has loops or disconnected "
                f"nodes: the calls of layers {sorted({layer.name for layer, _ in left})} cannot be connected"
            )
        waiting = left

    def ends(structure: Any) -> Any:
        if isinstance(structure, (list, tuple)) and len(structure) == 3 and isinstance(structure[0], str):
            name, number, index = structure
            if isinstance(number, int) and name in layers:
                number = end_call(None, number, _is_functional(layers[name]))
            tensor = find([name, number, index])
            if tensor is None:
                raise ValueError(f"the configuration refers to {structure!r}, which it does not define")
            return tensor
        if isinstance(structure, dict):
            return {key: ends(value) for key, value in structure.items()}
        if isinstance(structure, (list, tuple)):
            parts = [ends(value) for value in structure]
            return tuple(parts) if isinstance(structure, tuple) else parts
        raise ValueError(f"invalid input_layers or output_layers in the configuration: {structure!r}")

    further = {key: value for key, value in config.items() if key not in _FUNCTIONAL_KEYS}
    inputs, outputs = ends(config["input_layers"]), ends(config["output_layers"])
    model = cls(inputs=inputs, outputs=outputs, name=config.get("name"), **further)
    if config.get("trainable") is False:
        model.trainable = False
    return model


def subclassed_config(model: Any) -> dict[str, Any]:
    """What a model that writes `call` was made with."""
    if model._given_arguments is None:
        raise NotImplementedError(
            f"Object {type(model).__name__} was created by passing non-serializable argument values in `__init__()`, "
            "and therefore the object must override `get_config()` in order to be serializable."
        )
    config = Layer.get_config(model)
    parameters = inspect.signature(type(model).__init__).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if open_ended or not type(model).get_config.__module__.startswith("lstmfast."):
        return config
    return {
        key: value for key, value in config.items() if key in parameters
    }  # as Keras, which passes all of it on


def subclassed_from_config(cls: Any, config: dict[str, Any]) -> Any:
    """The model that `subclassed_config` described; a name that ``__init__`` does not take is set afterwards."""
    parameters = inspect.signature(cls.__init__).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return cls(**config)
    own = {key: value for key, value in config.items() if key in parameters}
    left = {key: value for key, value in config.items() if key not in parameters}
    unknown = set(left) - {"name", "trainable", "dtype"}
    model = cls(**{**own, **{key: left[key] for key in unknown}})  # the class says what is wrong with it
    model.name = left.get("name", model.name)
    if left.get("trainable") is False:
        model.trainable = False
    return model


def _resolve(call: dict[str, Any], find: Any) -> tuple[list[Any], dict[str, Any]] | None:
    """Arguments of a call with tensors in place of their descriptions, or None if one does not exist yet."""
    missing = False

    def walk(value: Any) -> Any:
        nonlocal missing
        if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            tensor = find(value["config"]["keras_history"])
            missing = missing or tensor is None
            return tensor
        if isinstance(value, dict):
            if str(value.get("class_name")).startswith("__"):  # a slice, an array
                return deserialize_keras_object(value)
            return {key: walk(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [walk(item) for item in value]
        return value

    args, kwargs = walk(call["args"]), walk(call["kwargs"])
    return None if missing else (args, kwargs)
