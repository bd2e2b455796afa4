# SPDX-License-Identifier: BSD-3-Clause
"""The graph of a model: which layers run in which order, and their names' places, as Keras orders them."""

from __future__ import annotations

from typing import Any

from ..layers.base import Layer
from ..layers.core.input import Input, InputLayer
from ..symbolic import KerasTensor, Node, flatten, leaf_path, map_leaves

__all__ = ["Graph", "from_inside", "sorted_nodes", "tensors_of"]


class Graph:
    """The nodes between some input tensors and some output tensors.

    Parameters
    ----------
    inputs, outputs : list of KerasTensor
    unique : bool
        Whether each layer must have a name of its own.
    structure : optional
        In which the outputs were given, for messages.

    Attributes
    ----------
    nodes : list of Node
        In an order in which every node comes after those it needs.
    layers : list of Layer
        In Keras's order: farthest from the outputs first, then as first met on the way back from the outputs.

    Raises
    ------
    ValueError
        If an output cannot be computed from the inputs, an input is not from `Input`, or two layers share a
        name.
    """

    def __init__(
        self,
        inputs: list[KerasTensor],
        outputs: list[KerasTensor],
        unique: bool = True,
        structure: Any = None,
    ) -> None:
        self.inputs, self.outputs = inputs, outputs
        for tensor in inputs:
            if tensor.node is None or not isinstance(tensor.node.layer, InputLayer):
                raise ValueError(f"inputs of a model must be made by Input(), got {tensor!r}")
        if len({id(t) for t in inputs}) != len(inputs):
            raise ValueError("an input tensor is given twice in the model's inputs")
        self.nodes, first_seen = sorted_nodes(inputs, outputs, structure)
        self.layers = self._layer_order(first_seen)
        names: dict[str, Layer] = {}
        for layer in self.layers:
            if unique and names.setdefault(layer.name, layer) is not layer:
                times = sum(other.name == layer.name for other in self.layers)
                raise ValueError(
                    f'The name "{layer.name}" is used {times} times in the model. All operation names should be unique.'
                )

    def _layer_order(self, first_seen: dict[Layer, int]) -> list[Layer]:
        node_depth: dict[int, int] = {}
        depth: dict[Layer, int] = {}
        for node in reversed(self.nodes):
            here = max(node_depth.get(id(node), 0), depth.get(node.layer, 0))
            node_depth[id(node)] = depth[node.layer] = here
            for parent in node.parents:
                origin = parent.origin
                node_depth[id(origin)] = max(here + 1, node_depth.get(id(origin), 0))
        for tensor in self.inputs:  # inputs that no output needs come first among their depth
            if tensor.origin.layer not in first_seen:
                depth[tensor.origin.layer], first_seen[tensor.origin.layer] = 0, -1
        return sorted(depth, key=lambda layer: (-depth[layer], first_seen[layer]))


def tensors_of(structure: Any, what: str) -> list[KerasTensor]:
    """Leaves of nested inputs or outputs, all of which must be symbolic."""
    leaves = flatten(structure)
    for leaf in leaves:
        if not isinstance(leaf, KerasTensor):
            raise ValueError(
                f"All `{what}` values must be KerasTensors. Received: {what}={structure} including invalid value {leaf} "
                f"of type {type(leaf)}"
            )
    if not leaves:
        raise ValueError(
            f"All `{what}` values must be KerasTensors, and there must be one. Received: {structure!r}"
        )
    return leaves


def sorted_nodes(
    inputs: list[KerasTensor], outputs: list[KerasTensor], structure: Any = None
) -> tuple[list[Node], dict[Layer, int]]:
    """The nodes between, those that others need first; and in which order the layers were met.

    Depth-first from the outputs, with a stack of our own, for models deeper than Python recurses.
    """
    sources = {id(t.node) for t in inputs}
    done: set[int] = set()
    order: list[Node] = []
    first_seen: dict[Layer, int] = {}
    for number, end in enumerate(outputs):
        stack = [(end.origin, 0)]
        if id(end.origin) in done:
            continue
        done.add(id(end.origin))
        first_seen.setdefault(end.origin.layer, len(first_seen))
        while stack:
            node, position = stack.pop()
            parents = [] if id(node) in sources else node.parents
            if position < len(parents):
                stack.append((node, position + 1))
                parent = parents[position].origin
                if id(parent) not in done:
                    done.add(id(parent))
                    first_seen.setdefault(parent.layer, len(first_seen))
                    stack.append((parent, 0))
            else:
                if id(node) not in sources and isinstance(node.layer, InputLayer):
                    path = leaf_path(outputs if structure is None else structure, number)
                    raise ValueError(
                        f"Output with path `{path}` is not connected to `inputs`: it needs the input {node.layer.name!r}, "
                        "which is not among them"
                    )
                order.append(node)
    for tensor in inputs:
        if id(tensor.node) not in done:
            order.insert(0, tensor.origin)
    return order, first_seen


def from_inside(inputs: Any, outputs: Any) -> tuple[Any, Any]:
    """Inputs and outputs for a model that starts in the middle of a graph, as Keras 3 allows.

    A tensor among the inputs that a layer made gets an Input in its place, and the layers behind it are called once
    more; their weights are shared with the graph they come from.
    """
    starts = flatten(inputs)
    if all(t.node is not None and isinstance(t.node.layer, InputLayer) for t in starts):
        return inputs, outputs
    new: dict[int, KerasTensor] = {}
    for tensor in starts:
        made = isinstance(tensor.origin.layer, InputLayer)
        new[id(tensor)] = (
            tensor
            if made
            else Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=f"{tensor.name}CLONE")
        )

    def renewed(value: Any) -> Any:
        return new.get(id(value), value) if isinstance(value, KerasTensor) else value

    for node in sorted_nodes(starts, flatten(outputs), outputs)[0]:
        if any(id(tensor) in new for tensor in node.outputs):
            continue  # what the model starts from
        kwargs = {key: map_leaves(renewed, value) for key, value in node.kwargs.items()}
        made_again = flatten(node.layer.record(map_leaves(renewed, node.inputs), kwargs))
        new.update((id(old), tensor) for old, tensor in zip(node.outputs, made_again, strict=True))
    return map_leaves(renewed, inputs), map_leaves(renewed, outputs)
