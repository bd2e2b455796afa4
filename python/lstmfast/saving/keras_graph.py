# SPDX-License-Identifier: BSD-3-Clause
"""The order in which Keras 3 lists a functional model's layers, and the mask operations among them.

In ``model.weights.h5`` a layer is named by its class and its place in ``model.layers`` (``dense``,
``dense_1``), not by its own name. Two dense layers that Keras puts in another order than we do would silently
exchange their weights, so the order is computed here as Keras does it (keras/src/ops/function.py,
`map_graph`): by distance from the outputs, then by a depth-first walk. Keras also makes graph operations of
masks (NotEqual, Any), which shift these distances; the walk inserts them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["end_call", "is_operation", "layer_order", "without_mask_operations"]

#: (layer name, node index, output index) of a symbolic tensor
Reference = tuple[str, int, int]
Node = tuple[str, int]

_RECURRENT = ("LSTM", "GRU", "SimpleRNN", "RNN")
#: Layers that Keras hands its input's mask as a second symbolic argument, and those whose output has no mask.
_TAKE_MASK = (
    *_RECURRENT,
    *("BatchNormalization", "Bidirectional", "GlobalAveragePooling1D", "Softmax", "TimeDistributed"),
)
_END_MASK = (
    *("AveragePooling1D", "Conv1D", "Cropping1D", "Dot", "EinsumDense", "Flatten", "GlobalAveragePooling1D"),
    *("GlobalMaxPooling1D", "MaxPooling1D", "Permute", "RepeatVector", "Reshape", "RMSNormalization"),
    *(
        "AdaptiveAveragePooling1D",
        "AdaptiveMaxPooling1D",
        "Conv1DTranspose",
        "DepthwiseConv1D",
        "SeparableConv1D",
    ),
    *("UpSampling1D", "ZeroPadding1D"),
)
_MERGE = ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")
_MASK_OPERATIONS = frozenset(
    [
        "NotEqual",
        "Any",
        "OnesLike",
        "ZerosLike",
        "ExpandDims",
        "LogicalOr",
        "LogicalAnd",
        "Concatenate",
        "ConvertToTensor",
    ]
)


def _references(value: Any) -> Iterator[Reference]:
    """The symbolic tensors in a call's arguments, dictionaries in sorted order as Keras flattens them."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            config = value.get("config")
            yield _history(config.get("keras_history") if isinstance(config, dict) else None)
        else:
            for key in sorted(value):
                yield from _references(value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _references(item)


def _history(value: Any) -> Reference:
    if isinstance(value, (list, tuple)) and len(value) == 3:
        name, node, index = value
        if isinstance(name, str) and type(node) is int and type(index) is int and node >= 0 and index >= 0:
            return name, node, index
    raise ValueError(f"invalid keras_history {value!r} in the model's configuration")


def _ends(value: Any) -> Iterator[Reference]:
    """The tensors that input_layers or output_layers name: [name, node, index], lists and dicts of these."""
    if isinstance(value, (list, tuple)) and len(value) == 3 and isinstance(value[0], str):
        yield _history(value)
    elif isinstance(value, dict):
        for key in sorted(value):
            yield from _ends(value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _ends(item)
    else:
        raise ValueError(f"invalid input_layers or output_layers {value!r} in the model's configuration")


class _Graph:
    """The nodes of a functional configuration, with the operations Keras will add for masks."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.layers = {layer["name"]: layer for layer in config["layers"]}
        self.parents: dict[Node, list[Reference]] = {}
        self.masks: dict[Reference, Reference | None] = {}

    def arguments(self, node: Node) -> tuple[Any, dict[str, Any]]:
        """(args, kwargs) of one call; both empty for an input."""
        calls = self.layers[node[0]].get("inbound_nodes") or []
        if not calls:
            return [], {}
        if node[1] >= len(calls):
            raise ValueError(
                f"the model's configuration refers to call {node[1]} of layer {node[0]!r}, which it lacks"
            )
        return calls[node[1]]["args"], calls[node[1]]["kwargs"]

    def parents_of(self, node: Node) -> list[Reference]:
        """What the call takes, in Keras's order; computed once, with a mask where Keras will pass one."""
        if node not in self.parents:
            args, kwargs = self.arguments(node)
            # Keras passes a mask on only to calls with one symbolic argument: not beside an initial state.
            takes_mask = self.layers[node[0]]["class_name"] in _TAKE_MASK
            if takes_mask and kwargs.get("mask") is None and kwargs.get("initial_state") is None:
                mask = self.mask_of(next(_references(args)))
                if mask is not None:
                    kwargs = {
                        **kwargs,
                        "mask": {"class_name": "__keras_tensor__", "config": {"keras_history": mask}},
                    }
            self.parents[node] = [*_references(args), *_references(kwargs)]
        return self.parents[node]

    def mask_of(self, tensor: Reference) -> Reference | None:
        """The operation that Keras computes this tensor's mask with, or None."""
        if tensor not in self.masks:
            self.masks[tensor] = self._make_mask(tensor)
        return self.masks[tensor]

    def _make_mask(self, tensor: Reference) -> Reference | None:
        name, index, output = tensor
        layer = self.layers.get(name)
        if layer is None:
            raise ValueError(f"the model's configuration refers to layer {name!r}, which it lacks")
        args, _ = self.arguments((name, index))
        inputs = list(_references(args))
        kind, config = layer["class_name"], layer["config"]
        if not inputs:
            return None
        if kind == "Masking":
            return self._operation("any", tensor, [self._operation("not_equal", tensor, inputs[:1])])
        if kind == "Embedding":
            return self._operation("not_equal", tensor, inputs[:1]) if config.get("mask_zero") else None
        masks = [self.mask_of(tensor) for tensor in inputs]
        if kind == "Concatenate":
            return self._concatenated(tensor, inputs, masks)
        if kind in _END_MASK or is_operation(layer):
            return None
        if kind in ("Attention", "AdditiveAttention") and masks[0] is not None:
            return self._operation("convert_to_tensor", tensor, [masks[0]])
        if kind in _MERGE:
            return self._any_of(tensor, masks)
        if kind in _RECURRENT and (output > 0 or not config.get("return_sequences")):
            return None
        if kind == "Bidirectional":
            inner, outputs = config["layer"]["config"], 2 if config.get("merge_mode") is None else 1
            if output >= outputs or not inner.get("return_sequences"):
                return None
        return masks[0]

    def _concatenated(
        self, tensor: Reference, inputs: list[Reference], masks: list[Reference | None]
    ) -> Reference | None:
        if not any(masks):
            return None
        parts = []
        for number, (value, mask) in enumerate(zip(inputs, masks, strict=True)):
            if mask is None:
                parts.append(self._operation(f"ones_{number}", tensor, [value]))
            else:
                expanded = self._operation(f"expand_{number}", tensor, [mask])
                zeros = self._operation(f"zeros_{number}", tensor, [value])
                parts.append(self._operation(f"or_{number}", tensor, [expanded, zeros]))
        return self._operation("any", tensor, [self._operation("concatenate", tensor, parts)])

    def _any_of(self, tensor: Reference, masks: list[Reference | None]) -> Reference | None:
        made = masks[0]
        for number, mask in enumerate(masks[1:]):
            if made is None or mask is None:
                return None
            made = self._operation(f"or_{number}", tensor, [made, mask])
        return made

    def _operation(self, kind: str, tensor: Reference, parents: list[Reference]) -> Reference:
        # No layer's name can hold a NUL; one operation for each call of the layer.
        name = f"\0{kind}\0{tensor[0]}\0{tensor[1]}"
        self.layers.setdefault(name, {"name": name, "class_name": "", "config": {}})
        self.parents.setdefault((name, 0), parents)
        return name, 0, 0


def end_call(entry: Any, number: int, functional: bool | None = None) -> int:
    """Which call of a layer an entry of ``output_layers`` means: Keras counts those of functional models from 1."""
    if functional is None:
        config = entry.get("config") if isinstance(entry, dict) else None
        calls = entry.get("inbound_nodes") if isinstance(entry, dict) else None
        functional = (
            bool(isinstance(config, dict) and "output_layers" in config) or 0 < len(calls or ()) <= number
        )
    return number - 1 if functional and number > 0 else number


def layer_order(config: dict[str, Any]) -> list[str]:
    """Names of a functional model's layers in the order of Keras's ``model.layers``.

    Parameters
    ----------
    config : dict
        The inner configuration: ``layers`` with ``inbound_nodes``, ``input_layers``, ``output_layers``.
    """
    graph = _Graph(config)
    names = set(graph.layers)
    first_seen: dict[str, int] = {}
    finished: list[Node] = []
    done: set[Node] = set()

    def ends(key: str) -> list[Reference]:
        found = _ends(config[key])
        return [(name, end_call(graph.layers.get(name), number), output) for name, number, output in found]

    # The depth-first walk, with a stack of our own: (node, its parents left to visit).
    for end in ends("output_layers"):
        stack: list[tuple[Node, Iterator[Reference]]] = []

        def enter(node: Node, stack: list[tuple[Node, Iterator[Reference]]] = stack) -> None:
            if node not in done:
                done.add(node)
                first_seen.setdefault(node[0], len(first_seen))
                stack.append((node, iter(graph.parents_of(node))))

        enter(end[:2])
        while stack:
            node, rest = stack[-1]
            parent = next(rest, None)
            if parent is None:
                finished.append(node)
                stack.pop()
            else:
                enter(parent[:2])

    node_depth: dict[Node, int] = {}
    depth: dict[str, int] = {}
    for node in reversed(finished):
        here = max(node_depth.get(node, 0), depth.get(node[0], 0))
        node_depth[node] = depth[node[0]] = here
        for parent in graph.parents_of(node):
            node_depth[parent[:2]] = max(here + 1, node_depth.get(parent[:2], 0))
    for name, _, _ in ends("input_layers"):  # an input that no output needs
        if name not in depth:
            depth[name], first_seen[name] = 0, -1
    return sorted(
        (name for name in depth if name in names), key=lambda name: (-depth[name], first_seen[name])
    )


def without_mask_operations(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration from Keras without its operations for masks: our layers pass masks on themselves.

    Raises
    ------
    ValueError
        If an operation that only makes masks does anything but hand on the mask of a Masking or Embedding layer.
    """
    layers = config.get("layers")
    if not isinstance(layers, list):
        raise ValueError("the model's configuration has no list of layers")
    calls = {layer_name(layer): _checked_calls(layer) for layer in layers}
    operations = _mask_operations(layers, calls, {end[0] for end in _ends(config.get("output_layers"))})
    kept = []
    for layer in layers:
        name = layer["name"]
        if name in operations:
            if layer.get("class_name") not in _MASK_OPERATIONS:
                raise ValueError(
                    f"the operation {layer.get('class_name')!r} in the model's graph is not supported"
                )
            continue
        nodes = []
        for args, kwargs in calls[name]:
            kwargs = {key: value for key, value in kwargs.items() if value is not None}
            if any(maker in operations for maker, _, _ in _references(kwargs.get("mask"))):
                kwargs.pop("mask")
            nodes.append({"args": args, "kwargs": kwargs})
        kept.append({**layer, "inbound_nodes": nodes})
    return {**config, "layers": kept}


def _checked_calls(layer: dict[str, Any]) -> list[tuple[list[Any], dict[str, Any]]]:
    """(args, kwargs) of a layer's calls."""
    found = []
    for call in layer.get("inbound_nodes") or []:
        args, kwargs = (call.get("args"), call.get("kwargs")) if isinstance(call, dict) else (None, None)
        if not isinstance(args, (list, tuple)) or not isinstance(kwargs, dict):
            raise ValueError(f"invalid inbound_nodes of layer {layer.get('name')!r}")
        if next(_references([args, kwargs] if is_operation(layer) else args), None) is None:
            raise ValueError(f"layer {layer.get('name')!r} is called with nothing of the model's graph")
        found.append((list(args), kwargs))
    return found


def _mask_operations(layers: list[dict[str, Any]], calls: dict[str, Any], outputs: set[str]) -> set[str]:
    """Names of the operations whose results go nowhere but into masks of layers, by other such ones or directly."""
    readers: dict[str, set[str]] = {}
    used: set[str] = set(outputs)
    for name, nodes in calls.items():
        for args, kwargs in nodes:
            others = {key: value for key, value in kwargs.items() if key != "mask"}
            for maker, _, _ in _references([args, others]):
                readers.setdefault(maker, set()).add(name)
    found = {layer["name"] for layer in layers if is_operation(layer)} - used
    while True:  # what something else than a mask needs is none, nor is what that needs
        no_mask = {name for name in found if readers.get(name, set()) - found}
        if not no_mask:
            return found
        found -= no_mask


def layer_name(layer: Any) -> str:
    if not isinstance(layer, dict) or not isinstance(layer.get("name"), str):
        raise ValueError("a layer of the model's configuration has no name")
    return str(layer["name"])


def is_operation(layer: dict[str, Any]) -> bool:
    """Whether an entry of a configuration is an operation, not a layer."""
    module = layer.get("module")
    return isinstance(module, str) and module.startswith(("keras.src.ops.", "keras.src.activations."))
