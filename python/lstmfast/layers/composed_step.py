# SPDX-License-Identifier: BSD-3-Clause
"""The step of a recurrent layer as a graph of operations: for activations that no kernel has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from .. import ops
from .activation import Activation
from .base import Layer
from .call import Call
from .step_loop import StepLoop

if TYPE_CHECKING:
    from .recurrent import RecurrentLayer

__all__ = ["backward_composed", "forward_composed"]

Array = npt.NDArray[Any]

#: The step of each layer: what it traced is kept with it.
_STEPS: WeakKeyDictionary[Any, _Step] = WeakKeyDictionary()


class _Step(Layer):
    """A cell that shares the weights of a sequence layer; how, says the layer's `cell_name`."""

    def __init__(self, layer: RecurrentLayer) -> None:
        super().__init__(name=layer.name)
        self.kernel, self.recurrent_kernel, self.bias = layer.kernel, layer.recurrent_kernel, layer.bias
        self.state_size, self.output_size = list(layer.state_size), layer.output_size
        self.act, self.gate = Activation(layer.activation), Activation(layer.recurrent_activation)
        steps: dict[str, Callable[..., Any]] = {
            "lstm": self._lstm,
            "gru": self._gru,
            "gru_reset_before": self._gru_reset_before,
            "simple_rnn": self._simple_rnn,
        }
        self.run_step = steps[layer.cell_name]
        self.built = True

    def call(self, inputs: Any, states: Any) -> Any:  # type: ignore[override]
        return self.run_step(inputs, *states)

    def _products(self, x: Any, h: Any) -> tuple[Any, Any]:
        """What the gates get of x and of h; the bias is in the first, or its second row in the second."""
        of_x, of_h = ops.matmul(x, self.kernel), ops.matmul(h, self.recurrent_kernel)
        if self.bias is None:
            return of_x, of_h
        if len(self.bias.shape) == 1:
            return ops.add(of_x, self.bias), of_h
        first, second = ops.unstack(self.bias, axis=0)
        return of_x + first, of_h + second

    def _simple_rnn(self, x: Any, h: Any) -> Any:
        of_x, of_h = self._products(x, h)
        new = self.act(of_x + of_h)
        return new, [new]

    def _lstm(self, x: Any, h: Any, c: Any) -> Any:
        of_x, of_h = self._products(x, h)
        i, f, g, o = ops.split(of_x + of_h, 4, axis=1)
        new = self.gate(f) * c + self.gate(i) * self.act(g)
        y = self.gate(o) * self.act(new)
        return y, [y, new]

    def _gru(self, x: Any, h: Any) -> Any:
        of_x, of_h = self._products(x, h)
        (x_z, x_r, x_n), (h_z, h_r, h_n) = ops.split(of_x, 3, axis=1), ops.split(of_h, 3, axis=1)
        return self._mixed(h, self.gate(x_z + h_z), self.act(x_n + self.gate(x_r + h_r) * h_n))

    def _gru_reset_before(self, x: Any, h: Any) -> Any:
        of_x = ops.matmul(x, self.kernel)
        of_x = of_x if self.bias is None else ops.add(of_x, self.bias)
        x_z, x_r, x_n = ops.split(of_x, 3, axis=1)
        of_z, of_r, of_n = ops.split(self.recurrent_kernel, 3, axis=1)
        r = self.gate(x_r + ops.matmul(h, of_r))
        new = self.act(x_n + ops.matmul(r * h, of_n))
        return self._mixed(h, self.gate(x_z + ops.matmul(h, of_z)), new)

    @staticmethod
    def _mixed(h: Any, z: Any, n: Any) -> Any:
        new = z * h + (1 - z) * n
        return new, [new]


def _loop(layer: RecurrentLayer) -> StepLoop:
    step = _STEPS.get(layer)
    if step is None or step.kernel is not layer.kernel:
        step = _STEPS[layer] = _Step(layer)
    return StepLoop(step, layer.return_sequences, layer.go_backwards, layer.zero_output_for_mask)


def forward_composed(layer: RecurrentLayer, x: Array, call: Call, carried: Any, needs_dx: bool) -> Any:
    """(y, states, what `backward_composed` takes), as `_core.recurrent_forward` gives them."""
    inner = Call(
        call.training,
        call.save,
        needs_dx,
        call.mask,
        call.lengths,
        call.initial_state,
        call.given_rng,
        resets=call.resets,
    )
    inner.carried_state = carried
    loop = _loop(layer)
    y, *states = loop.forward(x, inner)
    return np.ascontiguousarray(y), tuple(states), (loop, inner)


def backward_composed(tape: tuple[StepLoop, Call], dy: Any, dstates: Any, call: Call) -> Array | None:
    """Gradient of the input, from those of the outputs and of the final states, None where there are none."""
    loop, inner = tape
    n_states = len(loop.cell.state_size)
    dx = loop.backward((dy, *(dstates or (None,) * n_states)), inner)
    call.d_initial_state, call.d_carried_state = inner.d_initial_state, inner.d_carried_state
    return dx
