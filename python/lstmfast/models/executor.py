# SPDX-License-Identifier: BSD-3-Clause
"""Runs a graph forwards and backwards: one executor for Sequential, functional and nested models."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..layers.attributes import assignments
from ..layers.base import Layer
from ..layers.call import Call
from ..layers.core.input import InputLayer
from ..layers.eager import attach_masks
from ..layers.keras_call import has_traces, traces_of
from ..symbolic import flatten, leaves_along, packed
from ..variables import Variable
from .graph import Graph
from .steps import Step, step_of, takes_integers

__all__ = ["Executor", "GradientPlan", "Run"]

Array = npt.NDArray[Any]
_FLOAT32 = np.dtype(np.float32)


class GradientPlan(NamedTuple):
    """Which steps take part in a backward pass, and which of them must return the gradient of their input."""

    runs: tuple[bool, ...]
    needs_dx: tuple[bool, ...]


class Run:
    """One forward pass: arrays, masks and lengths by slot, and the call of every step."""

    __slots__ = ("calls", "lengths", "masks", "penalties", "penalty", "plan", "values")

    def __init__(self, slots: int, plan: GradientPlan | None) -> None:
        self.values: list[Any] = [None] * slots
        self.masks: list[Any] = [None] * slots
        self.lengths: list[Any] = [None] * slots
        self.calls: list[Call | None] = []
        self.penalty = 0.0  # of activity regularizers
        self.penalties: dict[int, Array] = {}  # slot -> gradient of its penalty
        self.plan = plan

    @property
    def adds_losses(self) -> bool:
        """Whether there is a penalty whose gradient no output's gradient holds."""
        return bool(self.penalties) or any(call is not None and call.added is not None for call in self.calls)


class Executor:
    """The steps of a `Graph`.

    Parameters
    ----------
    graph : Graph
    calls_decide : bool
        Whether a step that was called with `training` does what that says, whatever the model is told, as in a `call`.
        Else what the model is told goes before it, as in Keras's functional models.
    """

    def __init__(self, graph: Graph, calls_decide: bool = False) -> None:
        self.graph, self.calls_decide = graph, calls_decide
        numbers: dict[int, int] = {}  # id of tensor -> slot
        for node in graph.nodes:
            for tensor in node.outputs:
                numbers[id(tensor)] = len(numbers)
        self.slots = len(numbers)
        self.input_slots = [numbers[id(t)] for t in graph.inputs]
        self.output_slots = [numbers[id(t)] for t in graph.outputs]
        self.input_names = [t.origin.layer.name for t in graph.inputs]
        self.output_names = [t.origin.layer.name for t in graph.outputs]
        #: Inputs that may be None.
        self.optional = [t.origin.layer.optional for t in graph.inputs]  # type: ignore[attr-defined]
        self.steps: list[Step] = []
        #: Plans with the `assignments` and `trainable_flags` that they were made for.
        self._plans: dict[bool, tuple[int, list[bool], GradientPlan]] = {}
        self._traces = any(
            has_traces(layer) for layer in graph.layers
        )  # whose flags are those of variables, too
        self.has_masks = False
        self.variables: list[Variable] | None = None  # of the model: see `Model.variables_in_use`
        #: Inputs that only layers of ids use stay integers; others become float32.
        self.integer_inputs = [False] * len(self.input_slots)
        #: Inputs that hold strings; they are among `integer_inputs`.
        self.string_inputs = [False] * len(self.input_slots)
        sources = {id(t.node) for t in graph.inputs}
        by_slot = {slot: k for k, slot in enumerate(self.input_slots)}
        last_use: dict[int, int] = {}
        for node in graph.nodes:
            if id(node) in sources or isinstance(node.layer, InputLayer):
                continue
            layer = node.layer
            step = step_of(node, numbers, by_slot.__contains__)
            takes_any = takes_integers(layer)
            for slot, tensor in zip(step.inputs, flatten(node.inputs), strict=True):
                if slot in by_slot and (step.takes_ids or (takes_any and np.dtype(tensor.dtype).kind != "f")):
                    self.integer_inputs[by_slot[slot]] = True
                    texts = layer.string_inputs and (tensor.dtype == "string" or not layer.takes_list)
                    self.string_inputs[by_slot[slot]] |= texts
            for slot in (*step.inputs, *step.sources, *(() if step.mask is None else (step.mask,))):
                last_use[slot] = len(self.steps)
            self.has_masks |= step.mask is not None or any(t.has_mask for t in node.outputs)
            self.steps.append(step)
        #: Layers that see an input as it is, for `Layer.check_values`, and the input's number.
        self.input_layers = [
            (step.layer, by_slot[slot])
            for step in self.steps
            for slot in step.inputs
            if slot in by_slot
            and type(step.layer).check_values is not Layer.check_values
            and step.takes_ids == step.layer.integer_inputs
        ]
        kept = set(self.output_slots)
        for slot, last in last_use.items():
            if slot not in kept:
                self.steps[last].frees += (slot,)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_plans": {}}  # `assignments` are counted in each process

    # --- which steps matter for gradients

    def gradient_plan(self, of_inputs: bool = False) -> GradientPlan:
        """Steps that lead to trainable weights (or, with `of_inputs`, to the model's inputs)."""
        kept = self._plans.get(of_inputs)
        if kept is not None and kept[0] == assignments[0] and not self._traces:
            return kept[2]
        flags = self.trainable_flags()
        if kept is not None and kept[1] == flags:
            self._plans[of_inputs] = (assignments[0], flags, kept[2])
            return kept[2]
        needs = [False] * self.slots
        if of_inputs:
            for slot, integers in zip(self.input_slots, self.integer_inputs, strict=True):
                needs[slot] = not integers
        runs, needs_dx = [], []
        for step in self.steps:
            wanted = any(needs[s] for s in (*step.inputs, *step.further)) and step.layer.passes_gradients
            wanted = wanted and not step.takes_ids
            own = bool(step.layer.trainable_variables) or (of_inputs and hasattr(step.layer, "state_size"))
            runs.append(own or wanted or any(needs[s] for s in step.sources))
            needs_dx.append(wanted)
            for slot in step.outputs:
                needs[slot] = runs[-1]
        plan = GradientPlan(tuple(runs), tuple(needs_dx))
        self._plans[of_inputs] = (assignments[0], flags, plan)
        return plan

    def trainable_flags(self) -> list[bool]:
        """`trainable` of every layer, those of nested models and inside wrappers too."""
        flags = []
        for layer in self.graph.layers:
            flags.append(layer.trainable)
            inner: Any = layer
            while isinstance(getattr(inner, "layer", None), Layer):
                inner = inner.layer
                flags.append(inner.trainable)
            if hasattr(inner, "nested_forward"):
                flags += inner.executor.trainable_flags()
            for trace in traces_of(layer):
                flags += trace.executor.trainable_flags()
        return flags

    def fusable(self, output: int, activation: str) -> int | None:
        """The step whose activation a loss on this output can absorb, or None."""
        slot = self.output_slots[output]
        if self.output_slots.count(slot) > 1:
            return None
        producer = None
        for index, step in enumerate(self.steps):
            if slot in step.inputs or slot in step.sources:
                return None
            if step.outputs == (slot,):
                producer = index
        if producer is None:
            return None
        layer = self.steps[producer].layer
        deferrable = getattr(layer, "deferrable_activation", None)
        return producer if deferrable == activation and layer.activity_regularizer is None else None

    # --- forward

    def forward(
        self,
        arrays: list[Array],
        training: bool | None = False,
        plan: GradientPlan | None = None,
        masks: list[Any] | None = None,
        lengths: list[Any] | None = None,
        defer: frozenset[int] | tuple[int, ...] = (),
        rng: np.random.Generator | None = None,
        resets: Array | None = None,
        states: list[Any] | None = None,
    ) -> Run:
        """Run all steps.

        Parameters
        ----------
        arrays : list of arrays, one for each input
        training : bool, optional
            None: what each step was called with, else False.
        plan : GradientPlan, optional
            Backward will follow along this plan.
        masks, lengths : list, optional
            One for each input.
        defer : collection of int
            Steps that leave their activation to the loss.
        rng : numpy.random.Generator, optional
        resets : (B, T) bool array, optional
            For all recurrent layers; ValueError if one has other time steps.
        states : list, optional
            One for each step, from `final_states`: where recurrent layers begin instead of their initial states.
        """
        run = Run(self.slots, plan)
        values = run.values
        for slot, array in zip(self.input_slots, arrays, strict=True):
            values[slot] = array
        track_masks = self.has_masks or masks is not None
        if masks is not None:
            for slot, mask in zip(self.input_slots, masks, strict=True):
                run.masks[slot] = mask
        if lengths is not None:
            for slot, n in zip(self.input_slots, lengths, strict=True):
                run.lengths[slot] = n
        calls_decide = self.calls_decide or training is None
        for index, step in enumerate(self.steps):
            said = step.training if calls_decide and step.training is not None else training
            call = Call(bool(said), rng=rng)
            if plan is not None:
                call.save, call.needs_dx = plan.runs[index], plan.needs_dx[index]
            if resets is not None:
                self._hand_resets(resets, step, values, call)
            if index in defer:
                call.defer_activation = True
            if states is not None:
                call.carried_state = states[index]
            self._run_step(run, step, call, track_masks, lengths is not None)
            run.calls.append(call)
            if plan is None:
                for slot in step.frees:
                    values[slot] = None
        return run

    @staticmethod
    def _hand_resets(resets: Array, step: Step, values: list[Any], call: Call) -> None:
        layer = step.layer
        if has_traces(layer):
            call.resets = resets  # for the layers inside
        elif layer.takes_resets:
            x = values[step.inputs[0]]
            if resets.shape != x.shape[:2]:
                raise ValueError(
                    f"resets has shape {resets.shape}, but layer {layer.name!r} sees inputs of shape {x.shape}: one "
                    "flag for each step of the batch is expected"
                )
            call.resets = resets
        elif hasattr(layer, "state_size"):
            raise ValueError(f"layer {layer.name!r} does not take resets")

    def _run_step(self, run: Run, step: Step, call: Call, track_masks: bool, track_lengths: bool) -> None:
        layer, values = step.layer, run.values
        if step.takes_list:
            x: Any = [values[s] for s in step.inputs]
        else:
            x = values[step.inputs[0]]
        if step.converts:
            x = [_float32(a) for a in x] if step.takes_list else _float32(x)
        if step.structure is not None:
            x = packed(step.structure, x)
        if step.plain:
            call.arguments = step.arguments
        elif step.arguments:
            call.arguments = step.filled(lambda slot: attach_masks(values[slot], run.masks[slot]))
        if step.initial_state is not None:
            call.initial_state = tuple(values[s] if isinstance(s, int) else s for s in step.initial_state)
        if track_masks:
            masks = run.masks
            mask = step.pack([masks[s] for s in step.inputs])
            if step.mask is not None:
                mask = np.asarray(values[step.mask]) != 0
            # Keras hands no mask on to a call with two tensor arguments, but still computes the output's from it.
            call.mask = mask if step.initial_state is None else None
        if track_lengths:
            call.lengths = next((run.lengths[s] for s in step.inputs if run.lengths[s] is not None), None)
        y = step.forward(x, call)
        run.penalty += call.penalty
        if len(step.outputs) == 1:
            values[step.outputs[0]] = y
        else:
            for slot, array in zip(
                step.outputs, y if step.output_structure is None else flatten(y), strict=True
            ):
                values[slot] = array
        if step.nested:
            inner, executor = call.saved, layer.executor  # type: ignore[attr-defined]
            run.penalty += inner.penalty
            if inner.adds_losses:
                call.added = []  # they are in `saved`
            for slot, source in zip(step.outputs, executor.output_slots, strict=True):
                run.masks[slot], run.lengths[slot] = inner.masks[source], inner.lengths[source]
            return
        if layer.activity_regularizer is not None:
            self._penalize(run, layer, step.outputs)
        if track_masks:
            made = call.output_mask if call.output_mask is not None else layer.compute_mask(x, mask)
            if step.output_structure is not None:
                made = leaves_along(step.output_structure, made)
            if len(step.outputs) == 1:
                run.masks[step.outputs[0]] = made
            elif made is not None:
                for slot, mask in zip(step.outputs, made, strict=True):
                    run.masks[slot] = mask
        if track_lengths and call.lengths is not None:
            made = call.output_lengths
            lengths = made if made is not None else layer.output_lengths(call.lengths)
            if isinstance(lengths, tuple):
                for slot, n in zip(step.outputs, lengths, strict=True):
                    run.lengths[slot] = n
            else:
                run.lengths[step.outputs[0]] = lengths

    def final_states(self, run: Run) -> list[Any]:
        """Where each step's recurrent layer ended, for `forward`; None for other layers and stateful ones.

        For a model inside this one: the list of its steps' states.
        """
        found: list[Any] = []
        for step, call in zip(self.steps, run.calls, strict=True):
            assert call is not None
            nested = step.layer.executor.final_states(call.saved) if step.nested else call.final_state  # type: ignore[attr-defined]
            found.append(nested)
        return found

    @staticmethod
    def _penalize(run: Run, layer: Layer, outputs: tuple[int, ...]) -> None:
        regularizer: Any = layer.activity_regularizer
        for slot in outputs:
            y = run.values[slot]
            run.penalty += float(regularizer(y)) / len(y)
            if run.plan is not None:
                run.penalties[slot] = regularizer.gradient(y) / np.float32(len(y))

    # --- backward

    def backward(self, run: Run, dys: list[Array | None]) -> list[Array | None]:
        """Gradients of the weights into the variables; returns the gradients of the inputs (None where not
        asked for).

        Parameters
        ----------
        run : Run
            From `forward` with a plan; usable once.
        dys : list of arrays or None, one for each output
        """
        assert run.plan is not None
        grads: list[Any] = [None] * self.slots

        def add(slot: int, gradient: Any) -> None:
            if gradient is not None:
                held = grads[slot]
                grads[slot] = gradient if held is None else held + gradient

        dy: Any
        for slot, dy in zip(self.output_slots, dys, strict=True):
            add(slot, dy)
        for slot, gradient in run.penalties.items():
            add(slot, gradient)
        for index in range(len(self.steps) - 1, -1, -1):
            step, call = self.steps[index], run.calls[index]
            if not run.plan.runs[index]:
                continue
            assert call is not None
            dy = self._output_gradient(run, step, grads)
            if dy is None:
                if call.added is None and not call.penalty:
                    continue
                if not (
                    step.nested or has_traces(step.layer)
                ):  # `backward` adds a penalty's gradient to the output's
                    zeros = [np.zeros_like(run.values[slot]) for slot in step.outputs]
                    dy = tuple(zeros) if len(zeros) > 1 else zeros[0]
            dx = step.backward(dy, call)
            if step.plain:
                if call.needs_dx:
                    add(step.inputs[0], dx)
            else:
                for slot, gradient in step.gradients(dx, call):
                    add(slot, gradient)
            for slot in step.outputs:
                grads[slot] = None
        return [grads[slot] for slot in self.input_slots]

    @staticmethod
    def _output_gradient(run: Run, step: Step, grads: list[Any]) -> Any:
        """The gradient of a step's output as `Layer.backward` takes it; None if nothing depends on it."""
        if len(step.outputs) == 1:
            return grads[step.outputs[0]]
        given = [grads[slot] for slot in step.outputs]
        if all(g is None for g in given):
            return None
        if step.layer.accepts_missing_dy or step.nested:
            return tuple(given)
        return tuple(
            np.zeros_like(run.values[slot]) if g is None else g
            for slot, g in zip(step.outputs, given, strict=True)
        )

    def clear_gradients(self, variables: list[Variable]) -> None:
        """Forget the gradients of an earlier step."""
        for variable in variables:
            variable.clear_grad()


def _float32(array: Array) -> Array:
    return array if array is None or array.dtype == _FLOAT32 else array.astype(np.float32)
