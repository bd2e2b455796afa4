# SPDX-License-Identifier: BSD-3-Clause
"""What all layers that walk along the time axis share, whatever takes the steps: options, states, masks, calls."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...symbolic import KerasTensor, flatten, is_symbolic
from ...variables import Variable
from ..arrays import as_float32
from ..base import Layer
from ..call import Call
from ..calling import run_sequences
from ..eager import in_trace, said_in_graph
from .cell_protocol import zero_state

__all__ = ["SequenceLayer", "check_symbolic_states"]

Array = npt.NDArray[Any]


class SequenceLayer(Layer):
    """Base of the layers that walk along the time axis; see `LSTM` for the arguments.

    Attributes
    ----------
    state_size : list of int
        One for each state; the last axes of `state_shapes`.
    n_states : int
    """

    n_states: ClassVar[int]
    state_size: list[int]

    supports_masking = True
    accepts_missing_dy = True
    takes_resets = True

    def _set_options(
        self,
        return_sequences: bool,
        return_state: bool,
        go_backwards: bool,
        stateful: bool,
        unroll: bool,
        zero_output_for_mask: bool,
    ) -> None:
        self.return_sequences, self.return_state = bool(return_sequences), bool(return_state)
        self.go_backwards, self.stateful, self.unroll = bool(go_backwards), bool(stateful), bool(unroll)
        self.zero_output_for_mask = bool(zero_output_for_mask)
        self._states: list[Variable] | None = None

    def _options(self) -> dict[str, Any]:
        """The options as a configuration holds them."""
        return {
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "go_backwards": self.go_backwards,
            "stateful": self.stateful,
            "unroll": self.unroll,
            "zero_output_for_mask": self.zero_output_for_mask,
        }

    # --- shapes and masks

    @property
    def output_size(self) -> int:
        """Size of h, and so of the output."""
        return self.state_size[0]

    def state_shapes(self) -> list[tuple[int | None, ...]]:
        """Shapes of the states without the batch axis."""
        return [(size,) for size in self.state_size]

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        batch, time = sequences_shape[:2]
        y = (batch, time, self.output_size) if self.return_sequences else (batch, self.output_size)
        return (y, *((batch, *shape) for shape in self.state_shapes())) if self.return_state else y

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        passed = mask if self.return_sequences else None
        return [passed, *[None] * self.n_states] if self.return_state else passed

    def makes_mask(self, has_mask: bool) -> bool | tuple[bool, ...]:
        passed = has_mask and self.return_sequences
        return (passed, *[False] * self.n_states) if self.return_state else passed

    def output_lengths(self, lengths: Array | None) -> Array | None:
        return lengths if self.return_sequences else None

    # --- states

    @property
    def states(self) -> list[Variable] | None:
        """Where a stateful layer goes on, a `Variable` (batch, units) for each state; None before it is built. They may be
        assigned to, one by one or all as a list of arrays.

        Examples
        --------
        >>> import numpy as np
        >>> from lstmfast.layers import GRU
        >>> layer = GRU(2, stateful=True)
        >>> y = layer(np.ones((1, 3, 4)))
        >>> bool((layer.states[0].numpy() == y).all())
        True
        >>> layer.states[0].assign(np.zeros((1, 2)))
        """
        return self._states

    @states.setter
    def states(self, values: Any) -> None:
        if values is None:
            self._states = None
            return
        arrays = [np.asarray(value, np.float32) for value in values]
        if self._states is None:
            self._states = [Variable(array, "rnn_state", trainable=False) for array in arrays]
        wanted, given = ([a.shape for a in some] for some in (self._states, arrays))
        if given != wanted:
            raise ValueError(
                f"states of layer {self.name!r}: expected arrays of shapes {wanted}, got {given}"
            )
        for state, array in zip(self._states, arrays, strict=True):
            state.assign(array)

    def _check_fixed_batch(self, input_shape: Any) -> None:
        """ValueError if a stateful layer is built for any number of rows."""
        if self.stateful and input_shape[0] is None:
            raise ValueError(
                "When using `stateful=True` in a RNN, the batch size must be static. Found dynamic batch "
                f"size: sequence.shape={tuple(input_shape)}"
            )

    def _carried_state(self, batch: int, call: Call) -> Any:
        """Where a call goes on, if it does: from the state that it was given to carry, or a stateful layer's own.

        Raises
        ------
        ValueError
            If the layer keeps states for another number of rows.
        """
        states = self._states
        if call.carried_state is not None or call.initial_state is not None:
            return call.carried_state
        if not self.stateful or states is None:
            return None
        if batch != len(states[0]):
            raise ValueError(
                "If an RNN is stateful, the batch size of the input sequences must be the same as the "
                f"batch size of the initial state. Expected batch size: {len(states[0])}. Received "
                f"batch size: {batch}"
            )
        # A backward pass needs them as they are now.
        return tuple(state._data.copy() if call.save else state._data for state in states)

    def get_initial_state(self, batch_size: int | None) -> list[Array]:
        """Zeros, an array for each state, of `state_shapes` behind the batch axis.

        In the `call` of a model, where the number of samples is open, `batch_size` is None and these are symbolic.
        """
        return [zero_state(batch_size, shape) for shape in self.state_shapes()]

    def _fresh_states(self, batch_size: int) -> list[Array]:
        """What a stateful layer starts with."""
        return self.get_initial_state(batch_size)

    def reset_state(self, states: Any = None) -> None:
        """Set the states of a stateful layer to zero, or to `states`, a list of (batch, units) arrays.

        Raises
        ------
        ValueError
            If the layer is not stateful or a shape does not fit.
        """
        if states is not None:
            if self._states is None:
                raise ValueError(f"layer {self.name!r} is not stateful or not built: it has no states to set")
            self.states = self._checked_state(states, len(self._states[0]))
        elif self._states is not None:
            self.states = self._fresh_states(len(self._states[0]))

    reset_states = reset_state

    def _checked_state(self, states: Any, batch: int) -> tuple[Array, ...]:
        given = list(states) if isinstance(states, (list, tuple)) else [states]
        if len(given) != self.n_states:
            raise ValueError(
                f"initial_state of layer {self.name!r} must be {self.n_states} arrays, got {len(given)}"
            )
        arrays = []
        for k, (state, inner) in enumerate(zip(given, self.state_shapes(), strict=True)):
            # A copy, so that a caller may reuse its array while a stateful layer or a tape still needs the
            # value.
            array = as_float32(state, f"initial_state[{k}] of layer {self.name!r}")
            shape = (batch, *inner)
            if array.shape != shape:
                raise ValueError(
                    f"initial_state[{k}] of layer {self.name!r} must have shape {shape}, got {array.shape}"
                )
            arrays.append(array)
        return tuple(arrays)

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
        """The layer as a function of arrays; or, of symbolic tensors, a node in a graph.

        Parameters
        ----------
        sequences : (B, T, I) array_like
        initial_state : list of (B, units) arrays, optional
            h first; zeros by default.
        mask : (B, T) bool array, optional
            Where it is False, states are carried over and the output repeats the one before.
        training : bool, optional
            Dropout is on.
        lengths : (B,) int array, optional
            Valid steps of right-padded rows; later outputs are 0, the states are those at the row's end.
        resets : (B, T) bool array, optional
            Where it is True, the states are set to the initial ones before that step: a new episode begins.

        Returns
        -------
        numpy.ndarray
            (B, T, units) float32 with `return_sequences`, else (B, units); with `return_state` a tuple of it and the
            states.

        Raises
        ------
        ValueError
            If a shape does not fit, an axis other than the first is empty, or `lengths` are not from 0 to T.
        TypeError
            If an input is not numeric.
        """
        sequences = in_trace(sequences, training, mask, lengths, resets)
        if is_symbolic(sequences):
            if initial_state is not None and isinstance(sequences, KerasTensor):
                self.ensure_built(sequences.shape)  # shapes of states may depend on it
            said = said_in_graph(training, mask)
            return self.record(sequences, {**self._symbolic_state(initial_state), **said})
        return run_sequences(self, sequences, initial_state, mask, training, lengths, resets)

    def _symbolic_state(self, initial_state: Any) -> dict[str, Any]:
        if initial_state is None:
            return {}
        tensors = [in_trace(state, None) for state in flatten(initial_state)]
        if len(tensors) != self.n_states:
            raise ValueError(
                f"initial_state of layer {self.name!r} must be {self.n_states} tensors, got {len(tensors)}"
            )
        check_symbolic_states(self, tensors)
        return {"initial_state": tensors}

    # --- frozen

    def frozen_cell(self) -> tuple[Any, ...]:
        """The cell's name, copies of its weights, and its activations, as `_core.Program` takes them."""
        raise NotImplementedError

    def frozen_options(self) -> dict[str, Any]:
        """What the native program needs to know beside the weights."""
        raise NotImplementedError


def check_symbolic_states(layer: Any, tensors: list[Any]) -> None:
    """Raise a ValueError if these are not symbolic tensors of the shapes of the layer's states."""
    for tensor, shape in zip(tensors, layer.state_shapes(), strict=True):
        if not isinstance(tensor, KerasTensor) or tensor.shape[1:] != shape:
            raise ValueError(
                f"initial_state of layer {layer.name!r} must be symbolic tensors of shape "
                f"({', '.join(map(str, ('batch', *shape)))}), got {tensor!r}"
            )
