# SPDX-License-Identifier: BSD-3-Clause
"""The step of a recurrent layer as a graph of operations: for activations that no kernel has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from ... import activations, ops
from ...ops.composed import names_that_do_not_count
from ...symbolic import KerasTensor
from ..activations.activation import Activation
from ..base import Layer
from ..call import Call
from .step_loop import StepLoop

if TYPE_CHECKING:
    from ...variables import Variable
    from .recurrent import RecurrentLayer

__all__ = ["backward_composed", "forward_composed"]

Array = npt.NDArray[Any]

#: The steps of each layer, with and without dropout: what they traced is kept with them.
_STEPS: WeakKeyDictionary[Any, dict[tuple[int, ...], _Step]] = WeakKeyDictionary()


class _Step(Layer):
    """A cell that shares the weights of a sequence layer; how, says the layer's `cell_name`.

    The masks that dropout puts on x and on h, those that `layer` has in this call, are further states, which stay as they
    are; as `masks` says, one of them may be three-dimensional, with a mask for each gate.
    """

    def __init__(self, layer: RecurrentLayer, masks: tuple[Array | None, Array | None]) -> None:
        super().__init__(name=layer.name)
        self.kernel, self.recurrent_kernel, self.bias = layer.kernel, layer.recurrent_kernel, layer.bias
        self.gates, self.n_states, self.output_size = layer.gates, layer.n_states, layer.output_size
        self.given_masks = [mask is not None for mask in masks]
        self.mask_shapes = [mask.shape[1:] for mask in masks if mask is not None]
        self.state_sizes = list(layer.state_size)
        self.act, self.gate = (
            _applied(f, layer.units) for f in (layer.activation, layer.recurrent_activation)
        )
        steps: dict[str, Callable[..., Any]] = {
            "lstm": self._lstm,
            "gru": self._gru,
            "gru_reset_before": self._gru_reset_before,
            "simple_rnn": self._simple_rnn,
        }
        self.run_step = steps[layer.cell_name]
        self.built = True

    def state_shapes(self) -> list[tuple[int, ...]]:
        return [*((n,) for n in self.state_sizes), *self.mask_shapes]

    def call(self, inputs: Any, states: Any) -> Any:  # type: ignore[override]
        of_cell, masks = states[: self.n_states], states[self.n_states :]
        left = iter(masks)
        of_x, of_h = (next(left) if given else None for given in self.given_masks)
        y, new = self.run_step(inputs, of_x, of_h, *of_cell)
        return y, [*new, *masks]

    def _product(self, x: Any, weights: Variable, mask: Any) -> Any:
        """``x @ weights``, of a masked x, which may be another for each gate."""
        if mask is None or len(mask.shape) == 2:
            return ops.matmul(x if mask is None else x * mask, weights)
        parts = zip(ops.unstack(mask, axis=1), ops.split(weights, self.gates, axis=1), strict=True)
        return ops.concatenate([ops.matmul(x * m, part) for m, part in parts], axis=1)

    def _products(self, x: Any, x_mask: Any, h: Any, h_mask: Any) -> tuple[Any, Any]:
        """What the gates get of x and of h; the bias is in the first, or its second row in the second."""
        of_x = self._product(x, self.kernel, x_mask)
        of_h = self._product(h, self.recurrent_kernel, h_mask)
        if self.bias is None:
            return of_x, of_h
        if len(self.bias.shape) == 1:
            return ops.add(of_x, self.bias), of_h
        first, second = ops.unstack(self.bias, axis=0)
        return of_x + first, of_h + second

    def _simple_rnn(self, x: Any, x_mask: Any, h_mask: Any, h: Any) -> Any:
        of_x, of_h = self._products(x, x_mask, h, h_mask)
        new = self.act(of_x + of_h)
        return new, [new]

    def _lstm(self, x: Any, x_mask: Any, h_mask: Any, h: Any, c: Any) -> Any:
        of_x, of_h = self._products(x, x_mask, h, h_mask)
        i, f, g, o = ops.split(of_x + of_h, 4, axis=1)
        new = self.gate(f) * c + self.gate(i) * self.act(g)
        y = self.gate(o) * self.act(new)
        return y, [y, new]

    def _gru(self, x: Any, x_mask: Any, h_mask: Any, h: Any) -> Any:
        of_x, of_h = self._products(x, x_mask, h, h_mask)
        (x_z, x_r, x_n), (h_z, h_r, h_n) = ops.split(of_x, 3, axis=1), ops.split(of_h, 3, axis=1)
        return self._mixed(h, self.gate(x_z + h_z), self.act(x_n + self.gate(x_r + h_r) * h_n))

    def _gru_reset_before(self, x: Any, x_mask: Any, h_mask: Any, h: Any) -> Any:
        of_x = self._product(x, self.kernel, x_mask)
        of_x = of_x if self.bias is None else ops.add(of_x, self.bias)
        x_z, x_r, x_n = ops.split(of_x, 3, axis=1)
        of_z, of_r, of_n = ops.split(self.recurrent_kernel, 3, axis=1)
        masked = [h] * 3
        if h_mask is not None:
            masked = [
                h * m for m in (ops.unstack(h_mask, axis=1) if len(h_mask.shape) == 3 else [h_mask] * 3)
            ]
        r = self.gate(x_r + ops.matmul(masked[1], of_r))
        new = self.act(x_n + ops.matmul(r * masked[2], of_n))
        return self._mixed(h, self.gate(x_z + ops.matmul(masked[0], of_z)), new)

    @staticmethod
    def _mixed(h: Any, z: Any, n: Any) -> Any:
        new = z * h + (1 - z) * n
        return new, [new]


def _applied(activation: Any, units: int) -> Callable[[Any], Any]:
    """An activation for the graph of a step: the operations that it is made of, or a layer."""
    if activations.is_composed(activation):
        shape = (None, units)
        try:
            with names_that_do_not_count():
                made = activation(KerasTensor(shape, "float32"))
        except Exception:  # one that was written for arrays
            made = None
        if isinstance(made, KerasTensor) and tuple(made.shape) == shape and made.dtype == "float32":
            return activation  # type: ignore[no-any-return]
    return Activation(activation)


def _step(layer: RecurrentLayer, masks: tuple[Array | None, Array | None]) -> _Step:
    known = _STEPS.setdefault(layer, {})
    key = tuple(0 if mask is None else mask.ndim for mask in masks)
    if key not in known or known[key].kernel is not layer.kernel:
        known[key] = _Step(layer, masks)
    return known[key]


def forward_composed(
    layer: RecurrentLayer, x: Array, call: Call, carried: Any, x_mask: Array | None, h_mask: Array | None
) -> Any:
    """(y, states, what `backward_composed` takes), as `_core.recurrent_forward` gives them."""
    step = _step(layer, (x_mask, h_mask))
    masks = tuple(mask for mask in (x_mask, h_mask) if mask is not None)
    initial = call.initial_state
    if masks and initial is None:
        initial = tuple(np.zeros((len(x), n), np.float32) for n in step.state_sizes)
    inner = Call(
        call.training,
        call.save,
        call.needs_dx,
        call.mask,
        call.lengths,
        None if initial is None else (*initial, *masks),
        call.given_rng,
        resets=call.resets,
    )
    inner.carried_state = None if carried is None else (*carried, *masks)
    loop = StepLoop(step, layer.return_sequences, layer.go_backwards, layer.zero_output_for_mask)
    y, *states = loop.forward(x, inner)
    return np.ascontiguousarray(y), tuple(states[: step.n_states]), (loop, inner)


def backward_composed(tape: tuple[StepLoop, Call], dy: Any, dstates: Any, call: Call) -> Array | None:
    """Gradient of the input, from those of the outputs and of the final states, None where there are none."""
    loop, inner = tape
    n = loop.cell.n_states
    given = dstates or (None,) * n
    dx = loop.backward((dy, *given, *(None for _ in loop.cell.mask_shapes)), inner)
    call.d_initial_state = inner.d_initial_state[:n]
    call.d_carried_state = None if inner.d_carried_state is None else inner.d_carried_state[:n]
    return dx
