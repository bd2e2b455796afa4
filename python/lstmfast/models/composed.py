# SPDX-License-Identifier: BSD-3-Clause
"""Layers whose `call` only composes other layers and `lstmfast.ops`: what it does with symbolic inputs is a graph, through
which the layer trains. There is one for each signature: shapes, masks, training or not."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..layers.base import Layer
from ..layers.call import Call
from ..layers.eager import training_flag
from ..layers.input import Input
from ..layers.keras_call import TRACES, arguments_of_call, current_call
from ..layers.properties import layers_inside
from ..symbolic import KerasTensor, Node, current_trace, flatten, map_leaves
from ..utils.naming import names_given, unique_name
from ..variables import Variable
from .executor import Executor
from .graph import Graph
from .nested import NestedModel
from .subclassed import check_held, trace_call

__all__ = ["FrozenTrace", "GivenMask", "Traced", "TracedCall", "forward_traced", "frozen_trace"]

Array = npt.NDArray[Any]

#: Of a layer: sequences of very many lengths must not fill the memory with graphs.
_MOST_TRACES = 64


class _Source(Layer):
    """A constant or a variable in the graph of a `call`."""

    def __init__(self, held: Any) -> None:
        super().__init__()
        self.held, self.built = held, True
        shape, dtype = tuple(np.shape(held) if isinstance(held, np.ndarray) else held.shape), str(held.dtype)
        Node(self, [], {}, [KerasTensor(shape, dtype, unique_name("keras_tensor"))])

    @property  # type: ignore[misc]
    def trainable(self) -> bool:
        """That of the variable: it is asked for which steps a backward pass needs."""
        return isinstance(self.held, Variable) and self.held.trainable

    def forward(self, x: Any, call: Call) -> Array:
        return self.held.value if isinstance(self.held, Variable) else self.held

    def backward(self, dy: Array, call: Call) -> list[Any]:
        if isinstance(self.held, Variable):
            self.held.add_grad(dy)
        return []


class GivenMask(Layer):
    """Puts the mask that a call was given, the second input, on its first input."""

    supports_masking = True

    def record(self, inputs: Any, kwargs: dict[str, Any]) -> Any:
        x = inputs[0]
        return Node(self, inputs, kwargs, [KerasTensor(x.shape, x.dtype, x.name, has_mask=True)]).outputs[0]

    def forward(self, x: list[Array], call: Call) -> Array:
        call.output_mask = x[1] != 0
        return x[0]

    def backward(self, dy: Array, call: Call) -> list[Any]:
        return [dy, None]


class Trace:
    """What is `symbolic.current_trace` while a `call` is traced: it makes symbolic tensors of all that calls get."""

    def __init__(self, training: bool) -> None:
        self.training = training
        self._sources: dict[int, _Source] = {}

    def symbolic(self, value: Any) -> KerasTensor:
        """A symbolic tensor for an array or a variable; symbolic tensors as they are."""
        if isinstance(value, KerasTensor):
            return value
        if not isinstance(value, Variable):
            value = np.ascontiguousarray(value).reshape(np.shape(value))
            value = value.astype(np.float32) if value.dtype == np.float64 else value
        if id(value) not in self._sources:  # the source keeps the value, and so its id
            self._sources[id(value)] = _Source(value)
        return self._sources[id(value)].inbound_nodes[0].outputs[0]

    def inputs(self, inputs: Any, training: bool | None, mask: Any, others: Any = ()) -> Any:
        """The inputs of a layer called with these; see `layers.eager.in_trace`."""
        if training is not None and bool(training) != self.training:
            raise ValueError(f"it calls a layer with training={training}, whatever its own `training` is")
        if any(value is not None for value in others):
            raise ValueError("it calls a layer with lengths or resets")
        if any(isinstance(leaf, (np.ndarray, KerasTensor, Variable)) for leaf in flatten(inputs)):
            inputs = map_leaves(self.symbolic, inputs)
        elif inputs is not None:
            inputs = self.symbolic(np.asarray(inputs))
        if mask is None:
            return inputs
        if not isinstance(inputs, KerasTensor) or isinstance(mask, (list, tuple)):
            raise ValueError("it calls a layer of several inputs with masks")
        return GivenMask().record([inputs, self.symbolic(mask)], {})


class Traced(NestedModel):
    """The graph of a layer's `call` for one signature; what runs it is what runs a model inside a model.

    Attributes
    ----------
    executor : Executor
        Its inputs are those of the layer, then the masks that `call` takes as an argument.
    """

    def __init__(self, executor: Executor, output_structure: Any) -> None:
        self.executor = executor
        self._output_structure = output_structure


class TracedCall:
    """What `forward` leaves for `backward`: the graph, and its call."""

    def __init__(self, traced: Traced, call: Call, inputs: int, several: bool) -> None:
        self.traced, self.call, self.inputs, self.several = traced, call, inputs, several

    def backward(self, dy: Any) -> Any:
        dx = self.traced.nested_backward(dy, self.call)
        found = dx if isinstance(dx, list) else [dx]
        return found[: self.inputs] if self.several else found[0]


def forward_traced(layer: Layer, x: Any, call: Call) -> tuple[Any, bool]:
    """(output, True) of the layer by its graph; (the reason, False) if its `call` cannot be traced."""
    several = isinstance(x, (list, tuple))
    x = map_leaves(lambda a: a.astype(np.float32) if a.dtype == np.float64 else a, x)
    arrays = list(x) if several else [x]
    masks = call.mask if isinstance(call.mask, list) else [call.mask] * len(arrays)
    traced = _traced(layer, x, masks, call)
    if isinstance(traced, str):
        return traced, False
    used = [m for m in masks if m is not None] if len(traced.executor.input_slots) > len(arrays) else []
    inner = Call(
        call.training, call.save, call.needs_dx, lengths=call.lengths, rng=call.given_rng, resets=call.resets
    )
    if any(m is not None for m in masks):
        inner.mask = [*masks, *(None for _ in used)]
    y = traced.nested_forward([*arrays, *(np.asarray(m) for m in used)], inner)
    run, slots = inner.saved, traced.executor.output_slots
    call.saved = TracedCall(traced, inner, len(arrays), several)
    call.penalty += run.penalty
    made = [run.masks[slot] for slot in slots]
    if any(m is not None for m in made) and not (layer.supports_masking and None in map(_none, made)):
        call.output_mask = made[0] if len(made) == 1 else made
    if call.lengths is not None:
        lengths = tuple(run.lengths[slot] for slot in slots)
        call.output_lengths = lengths[0] if len(lengths) == 1 else lengths  # type: ignore[assignment]
    return y, True


def _none(value: Any) -> Any:
    return None if value is None else True


class FrozenTrace(NamedTuple):
    """The graph of a layer in a frozen model.

    Attributes
    ----------
    executor : Executor
    masked : tuple of int
        Of the layer's inputs those whose masks are further inputs of the graph, in order.
    makes_mask : bool
        The graph's last output is the mask of the one before it.
    carries : bool
        What comes out without a mask has that of the input.
    refuses : bool
        It is not known what the layer would do with a mask.
    """

    executor: Executor
    masked: tuple[int, ...]
    makes_mask: bool
    carries: bool
    refuses: bool


def frozen_trace(layer: Layer, node: Node) -> FrozenTrace:
    """The graph of a layer in a frozen model; ValueError naming the layer if it has none for open shapes."""
    cannot = f"layer {layer.name!r} of class {type(layer).__name__} cannot be frozen: "
    call = Call()
    call.arguments = node.kwargs
    tensors = flatten(node.inputs)
    masks = [KerasTensor(t.shape[:2], "bool") if t.has_mask else None for t in tensors]
    taken = "mask" in inspect.signature(layer.call).parameters
    own_mask = type(layer).compute_mask is not Layer.compute_mask
    if own_mask and not layer.supports_masking:
        raise ValueError(f"{cannot}it has a `compute_mask`, but not supports_masking=True")
    masked = tuple(k for k, mask in enumerate(masks) if mask is not None) if taken or own_mask else ()
    try:
        traced = trace_layer(layer, node.inputs, masks, call, with_mask=own_mask)
    except Exception as error:
        raise ValueError(f"{cannot}its `call` does not work with symbolic inputs: {error}") from error
    makes_mask = own_mask and len(traced.executor.output_slots) > len(node.outputs)
    carries = layer.supports_masking and not own_mask and not np.all(traced.makes_mask(True))
    if (makes_mask and len(node.outputs) > 1) or (carries and len(tensors) > 1):
        raise ValueError(f"{cannot}its masks belong to several inputs or outputs")
    refuses = (taken or own_mask) and any(mask is None for mask in masks)
    return FrozenTrace(traced.executor, masked, makes_mask, carries, refuses)


def _traced(layer: Layer, x: Any, masks: list[Any], call: Call) -> Traced | str:
    known = TRACES.setdefault(layer, {})
    key = (
        call.training,
        type(x),
        tuple((a.shape, a.dtype.name) for a in flatten(x)),
        tuple(None if m is None else np.shape(m) for m in masks),
        repr(sorted(call.arguments.items())),
    )
    if key not in known:
        while len(known) >= _MOST_TRACES:
            known.pop(next(iter(known)), None)
        try:
            known[key] = trace_layer(layer, x, masks, call)
        except Exception as error:  # what a `call` may raise that was written for arrays
            return f"{type(error).__name__}: {error}"
    return known[key]  # type: ignore[no-any-return]


def trace_layer(layer: Layer, x: Any, masks: list[Any], call: Call, with_mask: bool = False) -> Traced:
    """The graph of the layer's `call` for inputs and masks like these, arrays or symbolic tensors; with `with_mask` it also
    gives what `compute_mask` makes, where the output has no mask by itself.
    """
    if not all(isinstance(v, (str, int, float, bool)) for v in flatten(list(call.arguments.values()))):
        raise ValueError("it takes arrays besides its input")

    def like(a: Any) -> KerasTensor:
        return Input(batch_shape=a.shape, dtype=str(a.dtype))

    inputs = map_leaves(like, x)
    for tensor, mask in zip(flatten(inputs), masks, strict=True):
        tensor.has_mask = mask is not None
    given: Any = [
        None if m is None else like(m if isinstance(m, KerasTensor) else np.asarray(m)) for m in masks
    ]
    given = tuple(given) if isinstance(x, tuple) else given if isinstance(x, list) else given[0]
    arguments = arguments_of_call(layer, call, given if flatten(given) else None)
    taken = flatten(given) if "mask" in arguments or with_mask else []
    before = {id(v) for v in layer.weights}
    added = Call(call.training)
    with _undone(layer), _set(current_trace, Trace(call.training)), _set(names_given, Counter()):
        with _set(current_call, (layer, added)), _set(training_flag, call.training):
            outputs, graph = trace_call(layer, inputs, arguments, taken)
            made = flatten(outputs)
            if with_mask and not any(tensor.has_mask for tensor in made):
                mask = layer.compute_mask(inputs, given if flatten(given) else None)
                if isinstance(mask, KerasTensor):
                    graph = Graph([*flatten(inputs), *taken], [*made, mask], unique=False)
        if added.penalty:
            raise ValueError("it adds losses")
    check_held(layer, graph)
    if {id(v) for v in layer.weights} != before:
        raise ValueError("it makes weights that it did not make when it was built")
    return Traced(Executor(graph), outputs)


@contextmanager
def _set(variable: Any, value: Any) -> Iterator[None]:
    outer = variable.set(value)
    try:
        yield
    finally:
        variable.reset(outer)


@contextmanager
def _undone(layer: Layer) -> Iterator[None]:
    """Leave no trace in attributes of the layer and in the graph that the layers inside belong to."""
    attributes = dict(vars(layer))
    nodes = [(inner.inbound_nodes, len(inner.inbound_nodes)) for inner in layers_inside(layer)]
    try:
        yield
    finally:
        vars(layer).clear()
        vars(layer).update(attributes)
        for inbound, number in nodes:
            del inbound[number:]
