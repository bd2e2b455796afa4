# SPDX-License-Identifier: BSD-3-Clause
"""Makes a native program of a built model: every layer's operations, constants computed, neighbours joined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .frozen import FrozenModel, Operation
from .layers.call import Call
from .layers.core.lambda_layer import Lambda
from .layers.frozen import FrozenGraph, FrozenLayer, without_mask
from .layers.keras_call import has_traces
from .models.composed import FrozenTrace, GivenMask, frozen_trace
from .symbolic import KerasTensor, flatten

if TYPE_CHECKING:
    from .layers.base import Layer
    from .models import Model

__all__ = ["freeze", "frozen_form"]

Array = npt.NDArray[Any]


def freeze(model: Model, dtype: str = "float32") -> FrozenModel:
    """See `lstmfast.Model.freeze`."""
    if dtype != "float32":
        raise ValueError(f"dtype: expected 'float32', got {dtype!r}")
    builder = _Builder()
    executor = model.executor
    slots = [builder.new_slot() for _ in executor.input_slots]
    values: dict[int, Any] = dict(zip(executor.input_slots, slots, strict=True))
    builder.add_steps(executor, values)
    outputs = [values[slot] for slot in executor.output_slots]
    for name, value, tensor in zip(executor.output_names, outputs, executor.graph.outputs, strict=True):
        if isinstance(value, np.ndarray):
            raise ValueError(f"output {name!r} cannot be frozen: it does not depend on the inputs")
        if tensor.dtype != "float32":
            raise ValueError(f"output {name!r} cannot be frozen: it is of {tensor.dtype}, not float32")
    operations = builder.folded(outputs)
    shapes = [tensor.shape for tensor in executor.graph.inputs]
    integers = _integer_inputs(operations, slots)
    for slot, name, shape, ids in zip(slots, executor.input_names, shapes, integers, strict=True):
        if not 2 - ids <= len(shape) <= 3 - ids:
            raise ValueError(
                f"input {name!r} cannot be frozen: its shape {shape} has too many or too few axes"
            )
        if ids and slot in outputs:
            raise ValueError(f"input {name!r} cannot be frozen: it is an output too, and holds ids")
    if not operations:
        raise ValueError(
            f"model {model.name!r} has no layers that compute anything: there is nothing to freeze"
        )
    return FrozenModel(
        operations,
        builder.slots,
        slots,
        outputs,
        integers,
        executor.input_names,
        shapes,
        model.output_numbers(),
    )


#: Operations whose input must be ids, and those whose output is.
_TAKE_IDS, _MAKE_IDS = ("embedding", "lookup", "encode"), ("lookup", "discretize")
#: Operations that keep the mask of their input if they are not told to end it.
_ELEMENTWISE = ("activation", "arithmetic", "leaky")
#: Which input of an operation may hold ids; that of the last two only has a mask.
_READ_IDS = {**dict.fromkeys(_TAKE_IDS, 0), "differs": 0, "mask_values": 0, "carry_mask": 1, "refuse_mask": 1}


def _integer_inputs(operations: list[Operation], inputs: list[int]) -> list[bool]:
    """Which inputs hold ids. ValueError naming the layer if ids come from elsewhere, or are read as numbers."""
    taken = {op.inputs[0] for op in operations if op.kind in _TAKE_IDS}
    made = {op.outputs[0] for op in operations if op.kind in _MAKE_IDS}
    for op in operations:
        if op.kind in _TAKE_IDS and op.inputs[0] not in inputs and op.inputs[0] not in made:
            raise ValueError(f"layer {op.layer!r} cannot be frozen: its ids are made by another layer")
        for number, slot in enumerate(op.inputs):
            if slot in taken | made and number != _READ_IDS.get(op.kind):
                raise ValueError(f"layer {op.layer!r} cannot be frozen: it reads ids as numbers")
    return [slot in taken for slot in inputs]


def frozen_form(layer: Layer) -> Any:
    """`layer.frozen()`, which must not be that of a class whose subclass computes something else."""
    _check_forms(layer)
    return layer.frozen()


def _check_forms(layer: Layer) -> None:
    owners = [_who_writes(layer, method) for method in ("frozen", "frozen_call")]
    for method in ("forward", "compute_mask", "output_lengths"):
        writer = _who_writes(layer, method)
        if not any(issubclass(owner, writer) for owner in owners):
            raise ValueError(
                f"layer {layer.name!r} of class {type(layer).__name__} cannot be frozen: its `{method}` has no "
                "native form"
            )


def _who_writes(layer: Layer, method: str) -> type:
    return next(c for c in type(layer).__mro__ if method in vars(c))


class _Builder:
    """Collects the operations of a model, models inside it included.

    What a slot of an executor holds is a slot of the program, or an array: what does not depend on the inputs is computed now.
    """

    def __init__(self) -> None:
        self.slots = 0
        self.operations: list[Operation] = []

    def new_slot(self) -> int:
        self.slots += 1
        return self.slots - 1

    def add_steps(self, executor: Any, values: dict[int, Any]) -> None:
        """All steps of `executor`; `values` maps its slots to what they hold."""
        for step in executor.steps:
            layer = step.layer
            inputs = tuple(values[s] for s in step.inputs)
            made: tuple[Any, ...]
            if step.initial_state is None and all(isinstance(v, np.ndarray) for v in inputs):
                made = _computed(step, inputs)
            elif step.nested:
                made = self._inside(layer.executor, inputs)
            elif has_traces(layer):
                made = self._add_composed(frozen_trace(layer, step.node), layer, inputs)
            elif isinstance(layer, GivenMask):
                made = (self._given_mask(layer, inputs),)
            else:
                made = self._add_layer(step, inputs, values)
            values.update(zip(step.outputs, made, strict=True))

    def _inside(self, executor: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        inside = dict(zip(executor.input_slots, inputs, strict=True))
        self.add_steps(executor, inside)
        return tuple(inside[s] for s in executor.output_slots)

    def _add_layer(self, step: Any, inputs: tuple[Any, ...], values: dict[int, Any]) -> tuple[Any, ...]:
        layer = step.layer
        _check_forms(layer)
        tensors = flatten(step.node.inputs)
        given = [v if isinstance(v, np.ndarray) else t for v, t in zip(inputs, tensors, strict=True)]
        form = layer.frozen_call(step.node, given)
        inputs = tuple(v for v in inputs if not isinstance(v, np.ndarray))
        if form is None:  # nothing to do in inference
            return inputs[:1]
        if isinstance(form, FrozenTrace):
            return self._add_composed(form, layer, inputs)
        if isinstance(form, FrozenGraph):
            return (self._add_graph(form, layer, inputs),)
        if step.initial_state is not None:
            if any(not isinstance(s, int) for s in step.initial_state) or form.kind != "recurrent":
                raise ValueError(f"layer {layer.name!r} cannot be frozen with this initial_state")
            inputs += tuple(_slot(values[s], layer) for s in step.initial_state)
        while isinstance(form, FrozenLayer) and form.following is not None:
            inputs, form = (self.add(form, layer, inputs),), form.following
        if isinstance(form, Lambda):
            return self._add_function(form, step.node.outputs[0].shape, layer, inputs)
        outputs = tuple(self.new_slot() for _ in step.outputs)
        loses = form.ends_mask or layer._loses_masks()
        self._append(form._replace(ends_mask=loses), layer, inputs, outputs)
        return outputs

    def _add_graph(self, graph: FrozenGraph, layer: Layer, inputs: tuple[int, ...]) -> int:
        slots = list(inputs)
        for form, reads in graph.operations:
            slots.append(self.add(form, layer, tuple(slots[number] for number in reads)))
        return slots[-1]

    def _add_function(
        self, function: Lambda, shape: Any, layer: Layer, inputs: tuple[int, ...]
    ) -> tuple[Any, ...]:
        """An activation that is made of operations, on what the rest of the layer gives, whose mask goes on."""
        first, loses = len(self.operations), layer._loses_masks()
        try:
            trace = function.frozen_call(function(KerasTensor(shape)).node, [])
            outputs = self._add_composed(trace, layer, inputs)
        except ValueError as error:
            raise ValueError(
                f"layer {layer.name!r} cannot be frozen: its activation has no native form ({error})"
            ) from error
        added = self.operations[first:]
        reads = [inputs, *(op.outputs for op in added)]
        if all(op.kind in _ELEMENTWISE and op.inputs == x for op, x in zip(added, reads, strict=False)):
            self.operations[first:] = [op._replace(ends_mask=loses) for op in added]  # a line, as streams are
        elif not loses:
            carried = (_slot(outputs[0], layer), _slot(inputs[0], layer))
            outputs = (self.add(FrozenLayer("carry_mask", {}), layer, carried),)
        return outputs

    def _add_composed(self, trace: FrozenTrace, layer: Layer, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        masks = tuple(
            self.add(FrozenLayer("mask_values", {}), layer, (_slot(inputs[number], layer),))
            for number in trace.masked
        )
        outputs = self._inside(trace.executor, (*inputs, *masks))
        if trace.makes_mask:
            y, mask = (_slot(value, layer) for value in outputs)
            outputs = (self.add(FrozenLayer("give_mask", {}), layer, (y, mask)),)
        if trace.ends_masks:  # also where what goes in comes out
            outputs = tuple(self.add(without_mask(), layer, (y,)) if y in inputs else y for y in outputs)
        for kind, wanted in (("carry_mask", trace.carries), ("refuse_mask", trace.refuses)):
            for x in inputs if wanted else ():
                outputs = tuple(
                    self.add(FrozenLayer(kind, {}), layer, (_slot(y, layer), _slot(x, layer)))
                    for y in outputs
                )
        return outputs

    def _given_mask(self, layer: Layer, inputs: tuple[Any, ...]) -> int:
        x, mask = (_slot(value, layer) for value in inputs)
        return self.add(FrozenLayer("give_mask", {}), layer, (x, mask))

    def add(self, form: FrozenLayer, layer: Layer, inputs: tuple[int, ...]) -> int:
        """Add an operation with one output, whose slot is returned."""
        output = self.new_slot()
        self._append(form, layer, inputs, (output,))
        return output

    def _append(
        self, form: FrozenLayer, layer: Layer, inputs: tuple[int, ...], outputs: tuple[int, ...]
    ) -> None:
        self.operations.append(
            Operation(
                form.kind,
                layer.name,
                inputs,
                outputs,
                form.arguments,
                form.stream_refusal,
                form.ends_mask,
            )
        )

    def folded(self, results: list[int]) -> list[Operation]:
        """The operations, with activations joined to the Dense or Conv1D before them, ``x[:, -1]`` to the recurrent layer
        before it, and Masking freed of its copy."""
        uses: dict[int, list[Operation]] = {}
        for op in self.operations:
            for slot in op.inputs:
                uses.setdefault(slot, []).append(op)
        kept: list[Operation] = []
        for op in self.operations:
            if op.kind == "activation" and kept and op.inputs == kept[-1].outputs:
                dense = kept[-1]
                alone = len(uses[op.inputs[0]]) == 1 and op.inputs[0] not in results
                if dense.kind in ("conv1d", "dense") and dense.arguments["activation"] == "linear" and alone:
                    arguments = {**dense.arguments, "activation": op.arguments["activation"]}
                    ends = dense.ends_mask or op.ends_mask
                    kept[-1] = dense._replace(outputs=op.outputs, arguments=arguments, ends_mask=ends)
                    continue
            if op.kind == "pick" and kept and op.inputs == kept[-1].outputs:
                sequence = kept[-1]
                alone = len(uses[op.inputs[0]]) == 1 and op.inputs[0] not in results
                if _ends_sequence(sequence, op) and alone:
                    arguments = {**sequence.arguments, "return_sequences": False}
                    kept[-1] = sequence._replace(outputs=op.outputs, arguments=arguments)
                    continue
            if op.kind == "masking":
                readers = uses.get(op.outputs[0], [])
                never_read = all(r.kind in ("recurrent", "bidirectional") for r in readers)
                clears = op.arguments["value"] != 0 and not never_read
                op = op._replace(arguments={**op.arguments, "clears": clears})
            kept.append(op)
        return kept


def _slot(value: Any, layer: Layer) -> int:
    """A slot of the program, where a constant would not do."""
    if isinstance(value, np.ndarray):
        raise ValueError(f"layer {layer.name!r} cannot be frozen: a constant is among its inputs")
    return int(value)


def _computed(step: Any, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
    """What a layer makes of constants: arrays of the program's own."""
    if step.converts:
        inputs = tuple(a if a.dtype == np.float32 else a.astype(np.float32) for a in inputs)
    call = Call()
    call.arguments = step.arguments
    made = step.forward(list(inputs) if step.takes_list else inputs[0], call)
    outputs = tuple(made) if len(step.outputs) > 1 else (made,)
    if any(tensor.has_mask for tensor in step.node.outputs):
        raise ValueError(f"layer {step.layer.name!r} cannot be frozen: it makes a mask for a constant")
    return tuple(np.array(y) for y in outputs)


def _ends_sequence(sequence: Operation, pick: Operation) -> bool:
    """Whether what is picked of a recurrent layer's outputs is what it gives without `return_sequences`."""
    made = sequence.arguments
    return (
        sequence.kind == "recurrent"
        and len(sequence.outputs) == 1
        and made["return_sequences"]
        and not made["zero_output_for_mask"]
        and not made["go_backwards"]  # with lengths its last output is not that of each row
        and pick.arguments["step"] == -1
    )
