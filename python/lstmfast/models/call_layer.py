# SPDX-License-Identifier: BSD-3-Clause
"""The `call` of a model that has no single graph: it does something else in training, adds to the loss, or assigns variables."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

from ..layers.base import Layer
from ..layers.keras_call import current_call
from ..symbolic import KerasTensor, Node, flatten, map_leaves
from ..utils.naming import unique_name
from .graph import Graph

__all__ = ["CallLayer", "call_node", "same_form"]


class CallLayer(Layer):
    """A model's `call` as the one layer of its graph: it has a graph for training and one for inference.

    Parameters
    ----------
    model : Model
        Its layers are built.
    """

    supports_masking = True

    def __init__(self, model: Any) -> None:
        super().__init__(name=f"{model.name}_call")
        self.model, self.built = model, True

    def call(self, inputs: Any, training: bool = False) -> Any:  # type: ignore[override]
        running = current_call.get()
        outer = current_call.set(None if running is None else (self.model, running[1]))
        try:
            return self.model.call(inputs, **self.model._said_to_call(training))
        finally:
            current_call.reset(outer)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        """The outputs have the masks that `call` leaves on them."""
        return None


def call_node(model: Any, inputs: Any, made: Any) -> Any:
    """Symbolic outputs of the model's `CallLayer`, like those that `call` has made."""
    like = map_leaves(lambda t: KerasTensor(t.shape, t.dtype, unique_name("keras_tensor"), t.has_mask), made)
    layer = CallLayer(model)
    outputs = flatten(like)
    layer._has_own_mask = outputs[0].has_mask
    listed = isinstance(like, (list, tuple)) and all(isinstance(t, KerasTensor) for t in like)
    Node(layer, inputs, {}, outputs, None if listed or isinstance(like, KerasTensor) else like)
    return like


def same_form(graphs: list[Graph], held: set[int]) -> bool:
    """Whether the first graph, of a `call` that was not told whether it is training, can stand for the others.

    Parameters
    ----------
    graphs : list of Graph
        Undecided, in training, in inference.
    held : set of int
        Ids of the layers that the model holds: the others, operations for the most part, are made anew by each call.
    """
    if len({len(graph.nodes) for graph in graphs}) > 1:
        return False
    numbers = [_numbers(graph) for graph in graphs]
    for nodes in zip(*(graph.nodes for graph in graphs), strict=True):
        forms = [_form(node, known, held) for node, known in zip(nodes, numbers, strict=True)]
        if forms.count(forms[0]) != len(forms):
            return False
        said = tuple(node.kwargs.get("training") for node in nodes)
        # The first is what the executor goes by: None stands for what the model is told.
        if said not in ((None, None, None), (None, True, False), (True, True, True), (False, False, False)):
            return False
    ends = [[known[id(t)] for t in graph.outputs] for graph, known in zip(graphs, numbers, strict=True)]
    return ends.count(ends[0]) == len(ends)


def _numbers(graph: Graph) -> dict[int, int]:
    numbers: dict[int, int] = {}
    for node in graph.nodes:
        for tensor in node.outputs:
            numbers[id(tensor)] = len(numbers)
    return numbers


def _form(node: Node, numbers: dict[int, int], held: set[int]) -> Any:
    """What tells one node from another, whichever trace it is in."""

    def described(value: Any) -> Any:
        if isinstance(value, KerasTensor):
            return ("tensor", numbers[id(value)])
        return (value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value

    layer = node.layer
    kind: Any = id(layer)
    if kind not in held:
        with suppress(Exception):  # a layer without configuration is not like another
            kind = (type(layer), repr({**layer.get_config(), "name": ""}))
    arguments = {key: value for key, value in node.kwargs.items() if key != "training"}
    return kind, repr(map_leaves(described, [node.inputs, arguments])), [t.shape for t in node.outputs]
