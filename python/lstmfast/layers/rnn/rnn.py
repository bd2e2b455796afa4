# SPDX-License-Identifier: BSD-3-Clause
"""A cell, built in or the user's, over a whole sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...saving.registry import deserialize_keras_object, serialize_keras_object
from ...symbolic import flatten
from ..base import Layer
from ..call import Call
from ..frozen import FrozenLayer
from ..input_spec import InputSpec
from ..keras_call import has_traces
from ..properties import layers_inside
from .cell_protocol import (
    check_cell,
    flat_sizes,
    initial_state,
    nest,
    output_size,
    prefix_paths,
    split_states,
)
from .cells import StackedRNNCells, _BuiltInCell, flat_cells
from .recurrent import RecurrentLayer, frozen_sequence
from .sequence_layer import SequenceLayer
from .step_loop import StepLoop

__all__ = ["RNN"]

Array = npt.NDArray[Any]


class RNN(SequenceLayer):
    """Walks along the time axis with a cell, or with a list of cells on top of one another.

    Parameters
    ----------
    cell : cell or list of cells
        `LSTMCell`, `GRUCell`, `SimpleRNNCell`, `StackedRNNCells`; or an object of your own, best a `Layer`, with
        ``state_size`` (int or list of ints), perhaps ``output_size``, and Keras's ``call(x_t, states) -> (y_t,
        new_states)``, of layers and `lstmfast.ops`, for one step; or two methods: ``forward(x_t, states, call) -> (y_t,
        new_states)`` and ``backward(dy_t, dstates, call) -> (dx_t, dstates_before)``. ``states`` is a list of (batch,
        size) arrays; what the way back needs goes into ``call.saved``. Perhaps ``get_initial_state(batch_size)``.
    return_sequences, return_state, go_backwards, stateful, unroll
        As in `LSTM`.
    zero_output_for_mask : bool
        Outputs of masked steps are 0 instead of the output before.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input (B, T, n) float32, for a cell of your own (B, T, ...). Built-in cells run on the native kernels, as fast as
    `LSTM` and its like; others step by step in Python. A stack runs cell by cell over the whole sequence, which
    gives the same numbers. The weights are the cell's. With `return_state` the states follow the output, a list for
    each cell of a stack that has several. `state_size` and `states` here are flat lists.

    Raises
    ------
    ValueError
        If `cell` lacks what a cell must have, or the shape of an input is wrong.

    Examples
    --------
    A cell in NumPy, ``h = x_t @ kernel + h``:

    >>> import numpy as np
    >>> from lstmfast.layers import RNN, Layer
    >>> class Adding(Layer):
    ...     state_size = 2
    ...     def build(self, input_shape):
    ...         self.kernel = self.add_weight((input_shape[-1], 2), "ones", "kernel")
    ...     def forward(self, x, states, call):
    ...         call.saved = x
    ...         h = x @ self.kernel.value + states[0]
    ...         return h, [h]
    ...     def backward(self, dy, dstates, call):
    ...         dh = dy + dstates[0]
    ...         self.kernel.add_grad(call.saved.T @ dh)
    ...         return dh @ self.kernel.value.T, [dh]
    >>> RNN(Adding())(np.ones((1, 5, 3)))
    array([[15., 15.]], dtype=float32)

    The same as in Keras, trained by the graph of its operations:

    >>> from lstmfast import ops
    >>> class Composed(Layer):
    ...     state_size = 2
    ...     def build(self, input_shape):
    ...         self.kernel = self.add_weight((input_shape[-1], 2), "ones", "kernel")
    ...     def call(self, x, states):
    ...         h = ops.matmul(x, self.kernel) + states[0]
    ...         return h, [h]
    >>> RNN(Composed())(np.ones((1, 5, 3)))
    array([[15., 15.]], dtype=float32)
    """

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **kwargs: Any,
    ) -> None:
        if isinstance(cell, (list, tuple)):
            cell = StackedRNNCells(cell)
        check_cell(cell, "cell")
        super().__init__(**kwargs)
        self.cell = cell
        self._set_options(
            return_sequences, return_state, go_backwards, stateful, unroll, zero_output_for_mask
        )
        self.state_size = [int(n) for n in flat_sizes(cell.state_size)]
        self.n_states = len(self.state_size)  # type: ignore[misc]
        self.input_spec = InputSpec(min_ndim=3)

    @property
    def output_size(self) -> int:
        return output_size(self.cell)

    # --- building

    def build(self, input_shape: Any) -> None:
        self._check_fixed_batch(input_shape)
        if isinstance(self.cell, Layer) and not self.cell.built:
            self.cell.ensure_built((input_shape[0], *input_shape[2:]))
            self._build_inside(input_shape)
            prefix_paths(self.cell, self.name)
        if isinstance(flat_cells(self.cell)[0], _BuiltInCell):
            self.input_spec = InputSpec(ndim=3, axes={-1: input_shape[-1]})
        if self.stateful:
            self.states = self._fresh_states(input_shape[0])
        self.built = True

    def _build_inside(self, input_shape: Any) -> None:
        """Make the weights of layers inside cells that write `call`: these are built by a step."""
        cells = flat_cells(self.cell)
        if None in input_shape[2:] or not any(map(_builds_by_steps, cells)):
            return
        x = np.zeros((1, *input_shape[2:]), np.float32)
        for cell in cells:
            x, _ = cell.forward(x, flatten(initial_state(cell, 1)), Call())

    def _loops(self) -> list[Any]:
        """What runs each cell over the sequence. Made for a call, for `Bidirectional` sets options later."""
        cells = flat_cells(self.cell)
        loops: list[Any] = []
        for k, cell in enumerate(cells):
            last = k == len(cells) - 1
            options = {
                "return_sequences": self.return_sequences or not last,
                "go_backwards": self.go_backwards,
                "zero_output_for_mask": self.zero_output_for_mask and last,
            }
            # A subclass with a step of its own has no native form.
            native = isinstance(cell, _BuiltInCell) and type(cell).forward is _BuiltInCell.forward
            loops.append(self._native_loop(cell, options) if native else StepLoop(cell, **options))
        return loops

    def _native_loop(self, cell: _BuiltInCell, options: dict[str, bool]) -> RecurrentLayer:
        kept = self.__dict__.setdefault("_native_loops", {})
        key = (id(cell), *options.values())
        if key not in kept:  # keeps the packed weights
            kept[key] = cell.sequence_layer(**options)
        return kept[key]  # type: ignore[no-any-return]

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in super().__getstate__().items() if key != "_native_loops"}

    # --- shapes and states

    def get_initial_state(self, batch_size: int | None) -> list[Any]:
        """What the cell starts with: a list of arrays; of lists for a stack."""
        return initial_state(self.cell, batch_size)

    def _fresh_states(self, batch_size: int) -> list[Array]:
        return [np.asarray(s, np.float32) for s in flatten(self.get_initial_state(batch_size))]

    def reset_state(self, states: Any = None) -> None:
        """Set the states of a stateful layer to zero, or to `states`, a list of arrays (nested or flat).

        Raises
        ------
        ValueError
            If the layer is not stateful or a shape does not fit.
        """
        if states is not None:
            super().reset_state(states)
        elif self._states is not None:
            self.states = [np.zeros_like(state._data) for state in self._states]

    reset_states = reset_state

    def _checked_state(self, states: Any, batch: int) -> tuple[Array, ...]:
        return super()._checked_state(flatten(states), batch)

    def _symbolic_state(self, initial_state: Any) -> dict[str, Any]:
        states = super()._symbolic_state(initial_state)
        return {key: self.nested(tensors) for key, tensors in states.items()}  # for Keras to read

    def nested(self, states: Any) -> list[Any]:
        """Flat states as a caller sees them: a list for each cell of a stack that has several."""
        return nest(states, self.cell.state_size) if isinstance(self.cell, StackedRNNCells) else list(states)

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        shape = super().compute_output_shape(sequences_shape)
        return (shape[0], *self.nested(shape[1:])) if self.return_state else shape

    def output_shapes(self, shapes: Any, arguments: dict[str, Any]) -> Any:
        return super().compute_output_shape(shapes)  # flat, as the outputs of a node are

    # --- calls

    def __call__(  # type: ignore[override]
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool | None = None,
        lengths: Any = None,
        resets: Any = None,
    ) -> Any:
        """As that of `LSTM`; the states of a stack of cells are nested."""
        result = super().__call__(sequences, initial_state, mask, training, lengths, resets)
        return (result[0], *self.nested(result[1:])) if self.return_state else result

    def forward(self, x: Array, call: Call) -> Any:
        carried = self._carried_state(len(x), call)
        x, loops, kept = self._prepared(x, call)
        cells = flat_cells(self.cell)
        parts, carried_parts = (
            [None] * len(cells) if given is None else [tuple(part) for part in split_states(cells, given)]
            for given in (call.initial_state, carried)
        )
        calls: list[Call] = []
        final: list[Array] = []
        for k, (loop, part) in enumerate(zip(loops, parts, strict=True)):
            if k and self.go_backwards:
                x = x[:, ::-1]  # a loop's outputs are in the order of processing
            inner = Call(
                call.training,
                call.save,
                call.needs_dx or k > 0 or kept is not None,
                call.mask,
                call.lengths,
                part,
                call.given_rng,
                resets=call.resets,
            )
            inner.carried_state = carried_parts[k]
            x, *states = loop.forward(x, inner)
            call.take_losses(inner)
            calls.append(inner)
            final += states
        if self.stateful:
            self.states = final
        else:
            call.final_state = tuple(final)
        if call.save:
            call.saved = (loops, calls, kept)
        return (x, *final) if self.return_state else x

    def backward(self, dy: Any, call: Call) -> Array | None:
        loops, calls, kept = call.saved
        dstates: Any = [None] * self.n_states
        if self.return_state:
            dy, *dstates = dy
        d_initial: list[Any] = []
        d_carried: list[Any] = []
        cells = flat_cells(self.cell)
        parts = split_states(cells, dstates)
        for k in range(len(loops) - 1, -1, -1):
            if dy is None and all(d is None for d in parts[k]):  # only states below count
                batch = next(len(d) for d in dstates if d is not None)
                sizes = flat_sizes(cells[k].state_size)
                d_initial[:0] = [np.zeros((batch, size), np.float32) for size in sizes]
                d_carried[:0] = [np.zeros((batch, size), np.float32) for size in sizes]
                continue
            dy = loops[k].backward((dy, *parts[k]), calls[k])
            if k and self.go_backwards:
                dy = dy[:, ::-1]
            d_initial[:0] = calls[k].d_initial_state
            d_carried[:0] = calls[k].d_carried_state or ()
        call.d_initial_state = tuple(d_initial)
        if calls[0].carried_state is not None:
            call.d_carried_state = tuple(d_carried)
        return self._prepared_back(dy, kept, call)

    def _prepared(self, x: Array, call: Call) -> tuple[Array, list[Any], Any]:
        """What the cells see of the input, what runs them, and what `_prepared_back` needs: for layers that do a part
        of the work for all steps at once.
        """
        return x, self._loops(), None

    def _prepared_back(self, dy: Any, kept: Any, call: Call) -> Array | None:
        """The gradient of the input from that of what the cells see."""
        return dy  # type: ignore[no-any-return]

    # --- frozen

    def _only_native(self) -> RecurrentLayer:
        loops = self._loops()
        if len(loops) > 1 or isinstance(loops[0], StepLoop):
            raise ValueError(
                f"layer {self.name!r} cannot be frozen: only an RNN of a single built-in cell can"
            )
        return loops[0]  # type: ignore[no-any-return]

    def frozen_cell(self) -> tuple[Any, ...]:
        return self._only_native().frozen_cell()

    def frozen_options(self) -> dict[str, Any]:
        return self._only_native().frozen_options()

    def frozen(self) -> FrozenLayer:
        return frozen_sequence(self, self._only_native())

    # --- configuration

    def own_classes(self) -> dict[str, Any]:
        """The classes of cells by name, for copies of this layer: a user's need not be registered for that."""

        def classes(cell: Any) -> dict[str, Any]:
            found = {type(cell).__name__: type(cell)}
            for inner in getattr(cell, "cells", ()):
                found.update(classes(inner))
            return found

        return classes(self.cell)

    def keras_children(self) -> list[tuple[str, Layer]]:
        """Where Keras's weight files put the cell."""
        return [("cell", self.cell)] if isinstance(self.cell, Layer) else []

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **self._options(),
            "cell": serialize_keras_object(self.cell),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> RNN:
        cell = deserialize_keras_object(config["cell"], custom_objects)
        return cls(**{**config, "cell": cell})


def _builds_by_steps(cell: Any) -> bool:
    """Whether a cell writes `call` and holds layers whose weights do not exist yet."""
    return (
        isinstance(cell, Layer) and has_traces(cell) and not all(inner.built for inner in layers_inside(cell))
    )
