# SPDX-License-Identifier: BSD-3-Clause
"""The calls of a graph as an executor runs them: tensors are numbered places for arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..layers.base import Layer
from ..layers.call import Call
from ..layers.keras_call import forward_of_call
from ..symbolic import KerasTensor, Node, flatten, leaves_along, map_leaves, packed

__all__ = ["Slot", "Step", "step_of", "takes_integers"]

#: What is said to a call itself, not to a layer's `forward` by its arguments.
_OF_THE_CALL = ("initial_state", "training", "mask")


class Slot(int):
    """The number of a tensor among arguments that are no tensors."""


@dataclass(slots=True)
class Step:
    """One layer call; numbers are slots, places where arrays wait for the steps that use them."""

    layer: Layer
    inputs: tuple[int, ...]
    takes_list: bool
    outputs: tuple[int, ...]
    initial_state: tuple[Any, ...] | None  # slots, or arrays given when the graph was made
    forward: Any
    backward: Any
    frees: tuple[int, ...]  # slots that nothing after this step needs
    converts: bool  # an input may hold integers where the layer computes in float32
    nested: bool
    arguments: dict[str, Any]  # of the call, beside inputs and states; a `Slot` for a tensor
    further: tuple[int, ...]  # the slots among the arguments
    structure: Any  # of inputs that are no single tensor or list, None for those
    output_structure: Any  # of outputs in a dict or nested, None else
    training: bool | None  # what the call was told; None: whatever the model is told
    mask: int | None  # slot of a mask that the call was given
    takes_ids: bool
    plain: bool  # one tensor goes in, and nothing else
    node: Node

    def filled(self, of_slot: Callable[[int], Any]) -> dict[str, Any]:
        """The arguments with what `of_slot` gives at the places of tensors."""
        if not self.further:
            return self.arguments
        made: dict[str, Any] = map_leaves(
            lambda leaf: of_slot(leaf) if isinstance(leaf, Slot) else leaf, self.arguments
        )
        return made

    def pack(self, leaves: list[Any]) -> Any:
        """One entry for each input as the layer takes them."""
        if not self.takes_list:
            return leaves[0]
        return leaves if self.structure is None else packed(self.structure, leaves)

    def gradients(self, dx: Any, call: Call) -> list[tuple[int, Any]]:
        """(slot, gradient) for what `backward` gave: for inputs, arguments and initial states."""
        found: list[tuple[int, Any]] = []
        if call.needs_dx:
            along = dx if self.structure is None else leaves_along(self.structure, dx)
            found += zip(self.inputs, along if self.takes_list else (dx,), strict=True)
        if self.further and call.d_arguments is not None:
            leaves = zip(flatten(self.arguments), leaves_along(self.arguments, call.d_arguments), strict=True)
            found += [(leaf, d) for leaf, d in leaves if isinstance(leaf, Slot)]
        if self.initial_state is not None and call.d_initial_state is not None:
            states = zip(self.initial_state, call.d_initial_state, strict=True)
            found += [(place, d) for place, d in states if isinstance(place, int)]
        return found

    @property
    def sources(self) -> tuple[int, ...]:
        """Slots whose gradient this step may give beside those of `inputs`."""
        return (*(s for s in self.initial_state or () if isinstance(s, int)), *self.further)


def takes_integers(layer: Layer) -> bool:
    """Whether integers in an input stay integers: an operation's, and those of a `call` of one's own."""
    return layer.is_operation or type(layer).forward is forward_of_call


def step_of(node: Node, numbers: dict[int, int], is_input: Callable[[int], bool]) -> Step:
    """A node as a step; `numbers`: slots by the id of a tensor, `is_input`: whether a slot is the model's input."""
    layer, tensors = node.layer, flatten(node.inputs)
    inputs = tuple(numbers[id(t)] for t in tensors)

    def slot_of(value: Any) -> Any:
        return Slot(numbers[id(value)]) if isinstance(value, KerasTensor) else value

    state, mask = node.kwargs.get("initial_state"), node.kwargs.get("mask")
    arguments = {
        key: map_leaves(slot_of, value) for key, value in node.kwargs.items() if key not in _OF_THE_CALL
    }
    takes_ids = layer.takes_ids(arguments)
    takes_any = takes_ids or takes_integers(layer)
    nested = hasattr(layer, "nested_forward")
    return Step(
        layer,
        inputs,
        isinstance(node.inputs, (list, tuple, dict)),
        tuple(numbers[id(t)] for t in node.outputs),
        None if state is None else tuple(slot_of(s) for s in flatten(state)),
        getattr(layer, "nested_forward", layer.forward),
        getattr(layer, "nested_backward", layer.backward),
        (),
        not takes_any
        and any(is_input(s) or t.dtype != "float32" for s, t in zip(inputs, tensors, strict=True)),
        nested,
        arguments,
        tuple(leaf for leaf in flatten(arguments) if isinstance(leaf, Slot)),
        None if nested or not _has_structure(layer, node.inputs) else node.inputs,
        node.output_structure,
        node.kwargs.get("training"),
        None if mask is None else numbers[id(mask)],
        takes_ids,
        isinstance(node.inputs, KerasTensor) and len(node.parents) == 1,
        node,
    )


def _has_structure(layer: Layer, inputs: Any) -> bool:
    """Whether the layer is to see its inputs in another structure than a list."""
    if isinstance(inputs, KerasTensor):
        return False
    if type(layer).forward is forward_of_call and not isinstance(inputs, list):
        return True
    return isinstance(inputs, dict) or any(isinstance(part, (list, tuple, dict)) for part in inputs)
