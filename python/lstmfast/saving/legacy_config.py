# SPDX-License-Identifier: BSD-3-Clause
"""Configurations in the older form of Keras's HDF5 files, brought into that of Keras 3.

Keras 3 writes such files with the names of today but without ``module``; Keras 2 (tf.keras and the one before it) spelled
arguments, classes and the calls of a graph in another way. Nothing here makes an object: names are looked up afterwards, by
`registry`, and what it does not know is an error there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .registry import _table

__all__ = ["modern_compile_config", "modern_config"]

_CLASS_NAMES = {"BatchNormalizationV1": "BatchNormalization", "BatchNormalizationV2": "BatchNormalization"}
#: Arguments that are gone, for any class of ours, with the value that says nothing; others are left for the class to refuse.
_GONE: dict[str, Any] = {
    "time_major": False,
    "causal": False,
    "reverse_state_order": False,
    "ragged": False,
    "type_spec": None,
    "softmax_robust_masking": False,
}
#: Arguments that change nothing here, by class.
_IGNORED: dict[str, tuple[str, ...]] = {
    "Embedding": ("input_length", "activity_regularizer"),
    "MultiHeadAttention": ("query_shape", "key_shape", "value_shape"),
    "SpatialDropout1D": ("noise_shape", "trainable"),
    "Lambda": ("module", "function_type", "output_shape_type", "output_shape_module"),
}
#: Layers that took their initial states in a list behind the sequences.
_RECURRENT = ("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional")
_CONSTANT = "_CONSTANT_VALUE"


def modern_config(value: Any) -> Any:
    """A configuration of a model or layer in Keras 3's form; what is in that form already stays.

    Raises
    ------
    ValueError
        If the calls of a graph are not in any form that Keras writes.
    """
    if isinstance(value, list):
        return [modern_config(item) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("class_name"), str):
        return _modern_object(value)
    return {key: modern_config(item) for key, item in value.items()}


def _modern_object(value: dict[str, Any]) -> Any:
    name, config = value["class_name"], value.get("config")
    if name in ("__tuple__", "TensorShape"):
        return modern_config(value.get("items"))
    if name in ("Policy", "PolicyV1") and isinstance(config, dict):
        return config.get("name")
    result = {key: item for key, item in value.items() if key != "__passive_serialization__"}
    if name == "Sequential" and isinstance(config, list):  # before Keras 2.2.3
        config = {"name": "sequential", "layers": config}
    if ">" in name and "registered_name" not in value:  # a registered class: its package>name
        result["registered_name"], name = name, name.rpartition(">")[2]
        result["class_name"] = name
    if not isinstance(config, dict):
        return result
    if name.startswith("__") or (name == "function" and "registered_name" in value):
        return result
    config = {key: modern_config(item) for key, item in config.items()}
    if "module" not in value and "trainable" not in config and "batch_shape" not in config:
        result |= _operation_module(name, config)
    if "module" not in result or str(result["module"]).startswith("keras"):
        name = _CLASS_NAMES.get(name, name)
        if name == "Model" and "layers" in config:
            name = "Functional"
        config = _modern_arguments(name, config)
    if "layers" in config and isinstance(config["layers"], list):
        config = _modern_sequence(config) if name == "Sequential" else _modern_graph(config)
    return {**result, "class_name": name, "config": config}


def _operation_module(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """The module of an operation in a graph of Keras 3's, which unlike a layer is not `trainable`, and unlike a loss or
    metric of its name has no reduction and no dtype."""
    cls = _table("ops").get(name)
    namesake = name in _table("losses") or name in _table("metrics")
    if namesake and not {"reduction", "dtype"}.isdisjoint(config):
        return {}
    if cls is not None and "name" in config and "layers" not in config:
        return {"module": cls.keras_module}
    return {}


def _modern_arguments(name: str, config: dict[str, Any]) -> dict[str, Any]:
    result = dict(config)
    batch_shape = result.pop("batch_input_shape", None)
    if name == "InputLayer":
        result.setdefault("batch_shape", batch_shape)
    elif batch_shape is not None:
        result["batch_input_shape"] = batch_shape
    for key, nothing in _GONE.items():
        if key in result and result[key] == nothing and name != "InputLayer":
            del result[key]
    for key in _IGNORED.get(name, ()):
        result.pop(key, None)
    axis = result.get("axis")
    if isinstance(axis, list) and len(axis) == 1:
        result["axis"] = axis[0]
    if name in ("GRU", "GRUCell"):  # what GRUs were before they could choose
        result.setdefault("reset_after", False)
    if name == "LeakyReLU" and "alpha" in result:
        result["negative_slope"] = result.pop("alpha")
    if name in _table("initializers"):
        result.pop("dtype", None)
    if name == "Lambda" and isinstance(result.get("function"), list):
        result["function"] = {"class_name": "__lambda__", "config": {}}
    elif name == "Lambda" and isinstance(result.get("function"), str):
        function = result["function"]
        result["function"] = {"class_name": "function", "config": function, "registered_name": function}
    return result


def _modern_sequence(config: dict[str, Any]) -> dict[str, Any]:
    """A `Sequential` with an InputLayer of its own in place of the first layer's ``batch_input_shape``."""
    layers = [dict(layer) for layer in config["layers"] if isinstance(layer, dict)]
    shape, dtype = None, "float32"
    for layer in layers:
        inner = layer.get("config")
        if isinstance(inner, dict) and layer.get("class_name") != "InputLayer":
            inner = layer["config"] = dict(inner)
            given = inner.pop("batch_input_shape", None)
            if layer is layers[0]:
                shape, dtype = given, inner.get("dtype", dtype)
    if shape is not None:
        dtype = dtype if isinstance(dtype, str) else "float32"
        entry = {"class_name": "InputLayer", "config": {"batch_shape": shape, "dtype": dtype}}
        layers.insert(0, entry)
    return {"name": "sequential", **config, "layers": layers}


# ---- calls in a graph


def _modern_graph(config: dict[str, Any]) -> dict[str, Any]:
    """The calls of a functional model as arguments: Keras 2 had lists of [layer, call, output, arguments]."""
    entries = {
        e["name"]: e for e in config["layers"] if isinstance(e, dict) and isinstance(e.get("name"), str)
    }
    if len(entries) != len(config["layers"]):
        raise ValueError("the layers of the model's configuration must have names of their own")
    old = {
        name: nodes
        for name, entry in entries.items()
        if isinstance(nodes := entry.get("inbound_nodes"), list)
        and any(isinstance(node, list) for node in nodes)
    }
    if not old:
        return {key: value for key, value in config.items() if key != "batch_input_shape"}
    # Calls of models with an input of their own were counted from 1: theirs was the first.
    lowest: dict[str, int] = {}
    for name, number in _references([old, config.get("output_layers")], entries):
        lowest[name] = min(number, lowest.get(name, number))
    inner = {name for name, entry in entries.items() if "layers" in (entry.get("config") or {})}
    shift = {name for name in inner if lowest.get(name, 0) >= 1}
    graph = _Graph(entries, shift)
    layers = []
    for entry in config["layers"]:
        nodes = [graph.call(entry["class_name"], node) for node in entry.get("inbound_nodes") or []]
        layer = dict(entry["config"])
        if entry["class_name"] != "InputLayer":
            layer.pop("batch_input_shape", None)
        layers.append({**entry, "config": layer, "inbound_nodes": nodes})
    sequences = {name for name in shift if entries[name]["class_name"] == "Sequential"}
    ends = {key: _shifted(config.get(key), sequences) for key in ("input_layers", "output_layers")}
    return {**config, "layers": layers, **ends}


def _references(value: Any, entries: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """(layer, number of its call) of all that looks like [layer, call, output, ...] in a structure."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _references(item, entries)
    elif _is_reference(value, entries):
        yield value[0], value[1]
        yield from _references(value[3:], entries)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item, entries)


def _is_reference(value: Any, entries: dict[str, Any]) -> bool:
    if not isinstance(value, list) or len(value) not in (3, 4) or not isinstance(value[0], str):
        return False
    return value[0] in entries and type(value[1]) is int and type(value[2]) is int


def _shifted(value: Any, names: set[str]) -> Any:
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str) and type(value[1]) is int:
        return [value[0], value[1] - (value[0] in names), value[2]]
    if isinstance(value, list):
        return [_shifted(item, names) for item in value]
    if isinstance(value, dict):
        return {key: _shifted(item, names) for key, item in value.items()}
    return value


class _Graph:
    def __init__(self, entries: dict[str, Any], shift: set[str]) -> None:
        self.entries, self.shift = entries, shift

    def call(self, kind: str, node: Any) -> Any:
        """One call, as Keras 3 writes it."""
        if isinstance(node, dict) and "args" in node:
            return node
        if isinstance(node, dict):
            return {"args": [{key: self.tensor(item) for key, item in node.items()}], "kwargs": {}}
        if not isinstance(node, list) or not node:
            raise ValueError(f"invalid inbound_nodes {node!r} in the model's configuration")
        items = [node] if isinstance(node[0], str) else node
        inputs = [self.tensor(item) for item in items]
        kwargs: dict[str, Any] = {}
        for item in items:
            if len(item) == 4 and isinstance(item[3], dict):
                kwargs |= {key: self.argument(value) for key, value in item[3].items()}
        if kind in _RECURRENT and len(inputs) > 1:
            inputs, states = inputs[:1], inputs[1:]
            kwargs["initial_state"] = states
        return {"args": inputs if len(inputs) == 1 else [inputs], "kwargs": kwargs}

    def tensor(self, item: Any) -> Any:
        if isinstance(item, list) and len(item) in (3, 4) and item[0] == _CONSTANT:
            return item[2]
        if not _is_reference(item, self.entries):
            if isinstance(item, list) and item and isinstance(item[0], str) and item[0] not in self.entries:
                raise ValueError(f"Missing node: {item[0]}, which the configuration refers to: {item!r}")
            raise ValueError(f"invalid inbound_nodes {item!r} in the model's configuration")
        name, number, index = item[:3]
        history = [name, number - (name in self.shift), index]
        return {"class_name": "__keras_tensor__", "config": {"keras_history": history}}

    def argument(self, value: Any) -> Any:
        if _is_reference(value, self.entries) and len(value) == 3:
            return self.tensor(value)
        if isinstance(value, list):
            return [self.argument(item) for item in value]
        if isinstance(value, dict):
            return {key: self.argument(item) for key, item in value.items()}
        return value


# ---- compile state


def modern_compile_config(training: dict[str, Any], outputs: list[str]) -> dict[str, Any]:
    """`training_config` of an HDF5 file as a ``compile_config``.

    Parameters
    ----------
    training : dict
    outputs : list of str
        Names of the model's outputs: Keras 2 put them before the names of metrics where there are several.
    """
    training = modern_config(training)
    optimizer = training.get("optimizer_config")
    if not isinstance(optimizer, dict):
        raise ValueError("training_config has no optimizer_config")
    metrics = {
        key: _of_kind(training.get(key), "metrics", outputs) for key in ("metrics", "weighted_metrics")
    }
    for key, given in metrics.items():
        if len(outputs) == 1 and isinstance(given, list) and len(given) == 1 and isinstance(given[0], list):
            metrics[key] = given[0]
    known = ("loss_weights", "run_eagerly", "steps_per_execution", "jit_compile", "auto_scale_loss")
    return {
        "optimizer": _optimizer(optimizer),
        "loss": _of_kind(training.get("loss"), "losses", []),
        **metrics,
        **{key: training[key] for key in known if training.get(key) is not None},
    }


def _optimizer(value: dict[str, Any]) -> dict[str, Any]:
    name, config = str(value.get("class_name")), dict(value.get("config") or {})
    table = _table("optimizers")
    short = name.rpartition(">")[2]  # tf.keras registers its own as Custom>Adam
    short = next((known for known in table if known.lower() == short.lower()), short)
    if short not in table:
        return value
    for key in ("jit_compile", "is_legacy_optimizer"):
        config.pop(key, None)
    if "lr" in config:
        config["learning_rate"] = config.pop("lr")
    rate, decay = config.get("learning_rate"), config.pop("decay", 0)
    if decay and isinstance(rate, (int, float)):
        schedule = {"initial_learning_rate": rate, "decay_steps": 1, "decay_rate": decay}
        config["learning_rate"] = {
            "module": "keras.optimizers.schedules",
            "class_name": "InverseTimeDecay",
            "config": schedule,
        }
    return {"module": "keras.optimizers", "class_name": short, "config": config}


def _of_kind(value: Any, kind: str, outputs: list[str]) -> Any:
    """Losses or metrics, told apart by the module that their configurations lacked."""
    if isinstance(value, list):
        return [_of_kind(item, kind, outputs) for item in value]
    if not isinstance(value, dict):
        return value
    name, config = value.get("class_name"), value.get("config")
    if not isinstance(name, str) or not isinstance(config, dict):
        done = name is not None and "module" in value
        return value if done else {key: _of_kind(item, kind, outputs) for key, item in value.items()}
    config = dict(config)
    function = config.pop("fn", None)
    if name in ("MeanMetricWrapper", "LossFunctionWrapper"):
        return _wrapped(name, function, config, outputs)
    if config.get("reduction") in ("auto", "AUTO"):
        config["reduction"] = "sum_over_batch_size"
    known = {} if "module" in value or name not in _table(kind) else {"module": f"keras.{kind}"}
    return {**value, "config": config, **known}


def _wrapped(name: str, function: Any, config: dict[str, Any], outputs: list[str]) -> Any:
    """A function that Keras 2 had wrapped; by the short name that `compile` was given where there was one."""
    label = str(config.get("name", ""))
    if len(outputs) > 1:
        for output in outputs:
            label = label.removeprefix(f"{output}_")
    if isinstance(function, dict):
        function = function.get("config")
    if not isinstance(function, str):
        raise ValueError(f"training_config has a {name} of {function!r}, expected the name of a function")
    if name == "LossFunctionWrapper":
        return function
    short = {"accuracy": "accuracy", "acc": "acc", "crossentropy": "crossentropy", "ce": "ce"}
    if label in short and function.endswith(("accuracy", "crossentropy")):
        return label
    from ..metrics import _BY_NAME

    return label if label in _BY_NAME and _BY_NAME[label] is _BY_NAME.get(function) else function
