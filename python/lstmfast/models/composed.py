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
from ..layers.core.input import Input
from ..layers.eager import carried_mask, training_flag
from ..layers.keras_call import TRACES, arguments_of_call, current_call, has_traces
from ..layers.properties import layers_inside
from ..symbolic import KerasTensor, Node, current_trace, flatten, leaves_along, map_leaves, packed
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


class Assignments(Layer):
    """Hands its first input on and assigns the others to variables."""

    supports_masking = True

    def __init__(self, variables: list[Variable]) -> None:
        super().__init__()
        self.assigned, self.built = variables, True

    def record(self, inputs: Any, kwargs: dict[str, Any]) -> Any:
        x = inputs[0]
        made = KerasTensor(x.shape, x.dtype, unique_name("keras_tensor"), x.has_mask)
        return Node(self, inputs, kwargs, [made]).outputs[0]

    def forward(self, x: list[Array], call: Call) -> Array:
        call.output_mask = call.mask[0] if isinstance(call.mask, list) else None
        for variable, value in zip(self.assigned, x[1:], strict=True):
            variable.assign(value)
        return x[0]

    def backward(self, dy: Array, call: Call) -> list[Any]:
        return [dy, *(None for _ in self.assigned)]


class Trace:
    """What is `symbolic.current_trace` while a `call` is traced: it makes symbolic tensors of all that calls get, and keeps
    what is assigned to variables."""

    def __init__(self, training: bool) -> None:
        self.training = training
        self._sources: dict[int, _Source] = {}
        self._assigned: dict[int, tuple[Variable, KerasTensor]] = {}

    def assign(self, variable: Variable, value: Any) -> None:
        """Have the graph do it; what reads the variable from here on gets the new value, with no gradient to what made it, as
        in Keras."""
        from ..ops import stop_gradient  # operations are layers with such graphs

        tensor = stop_gradient(self.symbolic(value))
        if tensor.shape != variable.shape:
            raise ValueError(
                f"value of variable {variable.path!r} must have shape {variable.shape}, got {tensor.shape}"
            )
        self._assigned[id(variable)] = variable, tensor

    def with_assignments(self, outputs: Any) -> Any:
        """What a `call` has returned, its variables as tensors, such that computing it assigns what `call` assigned."""
        outputs = map_leaves(
            lambda leaf: self.symbolic(leaf) if isinstance(leaf, Variable) else leaf, outputs
        )
        first, *others = flatten(outputs)
        if not self._assigned or not isinstance(first, KerasTensor):
            return outputs
        variables, values = map(list, zip(*self._assigned.values(), strict=True))
        return packed(outputs, [Assignments(variables).record([first, *values], {}), *others])

    def symbolic(self, value: Any) -> KerasTensor:
        """A symbolic tensor for an array or a variable; symbolic tensors as they are."""
        if isinstance(value, KerasTensor):
            return value
        if id(value) in self._assigned:
            return self._assigned[id(value)][1]
        if not isinstance(value, Variable):
            value = np.ascontiguousarray(value).reshape(np.shape(value))
            value = value.astype(np.float32) if value.dtype == np.float64 else value
        if id(value) not in self._sources:  # the source keeps the value, and so its id
            self._sources[id(value)] = _Source(value)
        return self._sources[id(value)].inbound_nodes[0].outputs[0]

    def inputs(self, inputs: Any, training: bool | None, mask: Any, others: Any = ()) -> Any:
        """The inputs of a layer called with these; see `layers.eager.in_trace`."""
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
        Its inputs are those of the layer, tensors among the further arguments, then the masks that `call` takes.
    masks_taken : list of bool
        Of all these tensors, whether `call` takes the mask.
    added : int
        The last so many outputs of the executor are what `call` gave `Layer.add_loss`.
    """

    def __init__(
        self, executor: Executor, output_structure: Any, masks_taken: list[bool], added: int = 0
    ) -> None:
        self.executor = executor
        self._output_structure = output_structure
        self.masks_taken = masks_taken
        self.added = added

    def pack_outputs(self, y: Any) -> Any:
        """The outputs, a tuple if there are several, as `call` returned them."""
        structure = self._output_structure
        if isinstance(structure, dict) or not all(
            isinstance(part, KerasTensor) for part in _parts(structure)
        ):
            return packed(structure, list(y) if isinstance(y, tuple) else [y])
        return y


def _parts(structure: Any) -> list[Any]:
    return list(structure) if isinstance(structure, (list, tuple)) else [structure]


class TracedCall:
    """What `forward` leaves for `backward`: the graph, its call, the input and the further arguments."""

    def __init__(self, traced: Traced, call: Call, x: Any, arguments: dict[str, Any]) -> None:
        self.traced, self.call = traced, call
        # Structures are kept, not the arrays in them.
        self.x, self.arguments = map_leaves(_is_tensor, x), map_leaves(_is_tensor, arguments)

    def backward(self, dy: Any) -> tuple[Any, dict[str, Any]]:
        """Gradients of the input and, by the same keys, of the arrays among the arguments."""
        added = self.traced.added
        if added:
            count = len(self.traced.executor.output_slots) - added
            given = dy if isinstance(dy, tuple) else (dy,) * count
            dy = (*given, *(np.ones((), np.float32) for _ in range(added)))
        dx = self.traced.nested_backward(dy, self.call)
        found = iter(dx if isinstance(dx, list) else [dx])
        of_x = packed(self.x, [next(found) for _ in flatten(self.x)])
        tensors = [next(found) if is_tensor else None for is_tensor in flatten(self.arguments)]
        return of_x, packed(self.arguments, tensors)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, (np.ndarray, KerasTensor))


def forward_traced(layer: Layer, x: Any, call: Call) -> tuple[Any, bool]:
    """(output, True) of the layer by its graph; (the reason, False) if its `call` cannot be traced."""
    x, arguments = map_leaves(_as_float32, x), map_leaves(_as_float32, call.arguments)
    further = [a for a in flatten(arguments) if _is_tensor(a)]
    arrays = [*flatten(x), *further]
    masks = [*_masks_like(x, call.mask), *(carried_mask(a) for a in further)]
    traced = _traced(layer, x, arguments, masks, call)
    if isinstance(traced, str):
        return traced, False
    used = [m for m, taken in zip(masks, traced.masks_taken, strict=True) if taken]
    inner = Call(
        call.training, call.save, call.needs_dx, lengths=call.lengths, rng=call.given_rng, resets=call.resets
    )
    if any(m is not None for m in masks):
        inner.mask = [*masks, *(None for _ in used)]
    y = traced.nested_forward([*arrays, *(np.asarray(m) for m in used)], inner)
    run, slots = inner.saved, traced.executor.output_slots
    call.saved = TracedCall(traced, inner, x, arguments)
    call.penalty += run.penalty
    if traced.added:
        y, added = y[: -traced.added], y[-traced.added :]
        y, slots = y[0] if len(y) == 1 else y, slots[: -traced.added]
        layer._call_losses = [np.float32(value) for value in added]
        call.penalty += float(sum(layer._call_losses))
    if traced.added or run.adds_losses:
        call.added = []
    made = [run.masks[slot] for slot in slots]
    if any(m is not None for m in made) and not (layer.supports_masking and None in map(_none, made)):
        call.output_mask = made[0] if len(made) == 1 else made
    if call.lengths is not None:
        lengths = tuple(run.lengths[slot] for slot in slots)
        call.output_lengths = lengths  # type: ignore[assignment]
    return traced.pack_outputs(y), True


def _as_float32(value: Any) -> Any:
    is_float64 = isinstance(value, np.ndarray) and value.dtype == np.float64
    return value.astype(np.float32) if is_float64 else value


def _masks_like(x: Any, mask: Any) -> list[Any]:
    """A mask or None for each array of the input."""
    if isinstance(x, (list, tuple, dict)):
        return leaves_along(x, mask)
    return [mask]


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
    ends_masks : bool
        An input that comes out has no mask any more.
    """

    executor: Executor
    masked: tuple[int, ...]
    makes_mask: bool
    carries: bool
    refuses: bool
    ends_masks: bool


def frozen_trace(
    layer: Layer, node: Node, takes_mask: bool | None = None, what: str = "its `call`"
) -> FrozenTrace:
    """The graph of a layer in a frozen model; ValueError naming the layer if it has none for open shapes.

    Whether `what` is traced takes the mask of the input is seen from `layer.call` where it is not said.
    """
    cannot = f"layer {layer.name!r} of class {type(layer).__name__} cannot be frozen: "
    call = Call()
    call.arguments = {key: value for key, value in node.kwargs.items() if key != "training"}
    tensors = flatten(node.inputs)
    taken = "mask" in inspect.signature(layer.call).parameters if takes_mask is None else takes_mask
    own_mask = type(layer).compute_mask is not Layer.compute_mask and not layer._loses_masks()
    seen = taken or own_mask or has_traces(layer)
    masks = [KerasTensor(t.shape[:2], "bool") if seen and t.has_mask else None for t in tensors]
    if any(_is_tensor(value) for value in flatten(node.kwargs)):
        raise ValueError(f"{cannot}{what} was given several tensors")
    if own_mask and not layer.supports_masking:
        raise ValueError(f"{cannot}it has a `compute_mask`, but not supports_masking=True")
    try:
        traced = trace_layer(layer, node.inputs, call.arguments, masks, call, own_mask, with_losses=False)
    except Exception as error:
        raise ValueError(f"{cannot}{what} does not work with symbolic inputs: {error}") from error
    if any(step.training for step in traced.executor.steps):
        raise ValueError(f"{cannot}{what} calls a layer with training=True")
    if any(isinstance(step.layer, Assignments) for step in traced.executor.steps):
        raise ValueError(f"{cannot}{what} assigns variables, and nothing changes in a frozen model")
    masked = tuple(k for k, is_taken in enumerate(traced.masks_taken) if is_taken)
    makes_mask = own_mask and len(traced.executor.output_slots) > len(node.outputs)
    carries = layer.supports_masking and not own_mask and not np.all(traced.makes_mask(True))
    if (makes_mask and len(node.outputs) > 1) or (carries and len(tensors) > 1):
        raise ValueError(f"{cannot}its masks belong to several inputs or outputs")
    refuses = (taken or own_mask) and any(mask is None for mask in masks)
    return FrozenTrace(traced.executor, masked, makes_mask, carries, refuses, not (makes_mask or seen))


def _traced(layer: Layer, x: Any, arguments: dict[str, Any], masks: list[Any], call: Call) -> Traced | str:
    def described(value: Any) -> Any:
        return (value.shape, value.dtype.name) if isinstance(value, np.ndarray) else value

    known = TRACES.setdefault(layer, {})
    key = (
        call.training,
        repr(map_leaves(described, x)),
        tuple(None if m is None else np.shape(m) for m in masks),
        repr(sorted(map_leaves(described, arguments).items())),
    )
    if key not in known:
        while len(known) >= _MOST_TRACES:
            known.pop(next(iter(known)), None)
        try:
            known[key] = trace_layer(layer, x, arguments, masks, call)
        except Exception as error:  # what a `call` may raise that was written for arrays
            return f"{type(error).__name__}: {error}"
    return known[key]  # type: ignore[no-any-return]


def trace_layer(
    layer: Layer,
    x: Any,
    arguments: dict[str, Any],
    masks: list[Any],
    call: Call,
    with_mask: bool = False,
    with_losses: bool = True,
) -> Traced:
    """The graph of the layer's `call` for an input and further arguments like these, arrays or symbolic tensors; with
    `with_mask` it also gives what `compute_mask` makes, where the output has no mask by itself, with `with_losses` what
    `call` adds to the loss.
    """
    plain = (str, int, float, bool)
    if not all(isinstance(v, plain) or _is_tensor(v) for v in flatten(arguments)):
        raise ValueError("it takes other arguments than arrays, numbers and strings")

    names: Counter[str] = Counter()  # those of what is only made for the graph do not count

    def like(a: Any) -> Any:
        if not _is_tensor(a):
            return a
        with _set(names_given, names):
            return Input(batch_shape=a.shape, dtype=str(a.dtype))

    inputs, arguments = map_leaves(like, x), map_leaves(like, arguments)
    further = [leaf for leaf in flatten(arguments) if _is_tensor(leaf)]
    tensors = [*flatten(inputs), *further]
    for tensor, mask in zip(tensors, masks, strict=True):
        tensor.has_mask = mask is not None
    given: list[Any] = [
        None if m is None else like(m if isinstance(m, KerasTensor) else np.asarray(m)) for m in masks
    ]
    mask_of = {id(tensor): mask for tensor, mask in zip(tensors, given, strict=True)}
    mask = map_leaves(lambda tensor: mask_of[id(tensor)], inputs)
    described = Call(call.training)
    described.arguments = arguments
    passed = arguments_of_call(
        layer, described, mask if flatten(mask) else None, inputs, lambda tensor: mask_of.get(id(tensor))
    )
    among = {id(leaf) for leaf in flatten(passed)}
    taken = [m is not None and (with_mask or id(m) in among) for m in given]
    before = {id(v) for v in layer.weights}
    added = Call(call.training)
    with _undone(layer), _set(current_trace, Trace(call.training)), _set(names_given, names):
        with _set(current_call, (layer, added)), _set(training_flag, call.training):
            used = [m for m, is_taken in zip(given, taken, strict=True) if is_taken]
            outputs, graph = trace_call(layer, inputs, passed, [*further, *used])
            made = flatten(outputs)
            if with_mask and not (has_traces(layer) and any(tensor.has_mask for tensor in made)):
                own = layer.compute_mask(inputs, mask if flatten(mask) else None)
                if own is not None and not isinstance(own, KerasTensor):
                    raise ValueError("its mask is not made of its input's")
                if own is not None:
                    graph = Graph([*tensors, *used], [*made, own], unique=False)
        losses = (added.added or []) if with_losses else []
        if losses:
            graph = Graph([*tensors, *used], [*made, *losses], unique=False)
    check_held(layer, graph)
    if {id(v) for v in layer.weights} != before:
        raise ValueError("it makes weights that it did not make when it was built")
    return Traced(Executor(graph, calls_decide=True), outputs, taken, len(losses))


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
