# SPDX-License-Identifier: BSD-3-Clause
"""A model as a layer of another model: shapes, masks, and both passes through its own executor."""

from __future__ import annotations

from typing import Any

from ..layers.call import Call
from ..symbolic import KerasTensor, flat_shapes
from .executor import Run

__all__ = ["NestedModel"]


class NestedModel:
    """The part of `Model` by which an `Executor` runs it as one step."""

    def compute_output_shape(self: Any, input_shape: Any) -> Any:
        """Shapes of the outputs for other input shapes."""
        executor = self.executor
        shapes: list[Any] = [None] * executor.slots
        for slot, shape in zip(executor.input_slots, flat_shapes(input_shape), strict=True):
            shapes[slot] = tuple(shape)
        for step in executor.steps:
            given = step.pack([shapes[s] for s in step.inputs])
            arguments = step.filled(lambda slot: KerasTensor(shapes[slot]))
            made = step.layer.output_shapes(given, arguments)
            for slot, shape in zip(step.outputs, flat_shapes(made), strict=True):
                shapes[slot] = tuple(shape)
        found = [shapes[slot] for slot in executor.output_slots]
        return found[0] if isinstance(self._output_structure, KerasTensor) else found

    def makes_mask(self: Any, has_mask: bool) -> bool | tuple[bool, ...]:
        executor = self.executor
        masked = [False] * executor.slots
        for slot in executor.input_slots:
            masked[slot] = has_mask
        for step in executor.steps:
            given = [masked[s] for s in step.inputs]
            made = step.layer.makes_mask(all(given) if step.layer.needs_all_masks else any(given))
            for slot, one in zip(step.outputs, made if isinstance(made, tuple) else (made,), strict=False):
                masked[slot] = one
        found = tuple(masked[slot] for slot in executor.output_slots)
        return found[0] if len(found) == 1 else found

    @property
    def string_inputs(self: Any) -> bool:
        """Whether all inputs are strings, which reach the layers inside as they are."""
        return self._executor is not None and all(self._executor.string_inputs)

    integer_inputs = string_inputs

    def _output_dtypes(self: Any, count: int) -> list[str]:
        return [tensor.dtype for tensor in self.executor.graph.outputs]

    def nested_forward(self: Any, x: Any, call: Call) -> Any:
        """`Layer.forward` of the model as a layer of another."""
        executor = self.executor
        arrays = list(x) if isinstance(x, (list, tuple)) else [x]
        plan = executor.gradient_plan(call.needs_dx) if call.save else None
        masks = None if call.mask is None else call.mask if isinstance(call.mask, list) else [call.mask]
        lengths = None if call.lengths is None else [call.lengths] * len(arrays)
        run = call.saved = executor.forward(
            arrays,
            call.training,
            plan,
            masks,
            lengths,
            rng=call.given_rng,
            resets=call.resets,
            states=call.carried_state,
        )
        outputs = [run.values[slot] for slot in executor.output_slots]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def nested_backward(self: Any, dy: Any, call: Call) -> Any:
        """`Layer.backward` of the model as a layer of another."""
        run: Run = call.saved
        dys = (
            list(dy) if isinstance(dy, tuple) else [dy] * len(self.executor.output_slots)
        )  # one, or None for all
        dx = self.executor.backward(run, dys)
        return dx[0] if len(dx) == 1 else dx
