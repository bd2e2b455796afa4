# SPDX-License-Identifier: BSD-3-Clause
"""What the built-in recurrent layers share: weights, dropout, one native call a sequence each way.

A cell adds its name, its number of gates and states, and what its bias starts with: see `lstm.py`,
`simple_rnn.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from ... import _core, activations, constraints, initializers, regularizers
from ...random import draw_key, seed_generator
from ...saving.registry import serialize_keras_object
from ...utils.naming import to_snake_case
from ...variables import Variable, grad_outs
from ..call import Call
from ..frozen import FrozenLayer
from ..input_spec import InputSpec
from ..regularization.dropout import dropout_mask
from .cell_activations import build_activations, check_activations, native_activations
from .checkpointing import segmented_backward, segmented_forward
from .sequence_layer import SequenceLayer

if TYPE_CHECKING:
    from .cells import _BuiltInCell

__all__ = ["RecurrentLayer"]

Array = npt.NDArray[Any]


class RecurrentLayer(SequenceLayer):
    """Base of the layers that walk along the time axis with a built-in cell.

    See `LSTM` for the arguments. Subclasses set the class attributes.
    """

    cell_name: ClassVar[str]
    gates: ClassVar[int]
    n_states: ClassVar[int]

    def __init__(
        self,
        units: int,
        *,
        activation: Any,
        recurrent_activation: Any,
        use_bias: bool,
        kernel_initializer: Any,
        recurrent_initializer: Any,
        bias_initializer: Any,
        kernel_regularizer: Any,
        recurrent_regularizer: Any,
        bias_regularizer: Any,
        kernel_constraint: Any,
        recurrent_constraint: Any,
        bias_constraint: Any,
        dropout: float,
        recurrent_dropout: float,
        seed: int | None,
        return_sequences: bool,
        return_state: bool,
        go_backwards: bool,
        stateful: bool,
        unroll: bool,
        zero_output_for_mask: bool = False,
        zoneout: Any = 0.0,
        variational: bool = False,
        remat: bool = False,
        **kwargs: Any,
    ) -> None:
        if not isinstance(units, (int, np.integer)) or isinstance(units, bool) or units <= 0:
            raise ValueError(
                f"Received an invalid value for argument `units`, expected a positive integer, got {units!r}."
            )
        if kwargs.pop("time_major", False):
            raise ValueError("time_major=True is not supported: the batch is the first axis")
        kwargs.pop("implementation", None)
        super().__init__(**kwargs)
        self.units = int(units)
        self.activation = activations.get(activation)
        self.recurrent_activation = activations.get(recurrent_activation)
        self._activation_names = native_activations(self)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.dropout = min(1.0, max(0.0, dropout))
        self.recurrent_dropout = min(1.0, max(0.0, recurrent_dropout))
        self.seed = seed
        self.seed_generator = seed_generator(seed)
        self._set_options(
            return_sequences, return_state, go_backwards, stateful, unroll, zero_output_for_mask
        )
        self.variational, self.remat = bool(variational), bool(remat)
        self.zoneout, self._zoneout = _checked_zoneout(zoneout, self.n_states)
        check_activations(self)
        self._extra: list[Variable] = []
        self.state_size = [self.units] * self.n_states
        self.input_spec = InputSpec(ndim=3)

    @property
    def cell(self) -> _BuiltInCell:
        """What the layer does in a step, with the layer's weights: ``layer.cell.recurrent_kernel`` as in Keras.

        Examples
        --------
        >>> from lstmfast.layers import LSTM
        >>> layer = LSTM(4)
        >>> layer.build((None, None, 3))
        >>> layer.cell.kernel is layer.kernel, layer.cell.units
        (True, 4)
        """
        from .cells import _BuiltInCell

        return _BuiltInCell.of(self)

    # --- building

    def build(self, input_shape: Any) -> None:
        n = input_shape[-1]
        if n is None:
            raise ValueError(
                f"The last axis of the inputs of layer {self.name!r} must be known, got {input_shape}"
            )
        self._check_fixed_batch(input_shape)
        build_activations(self, input_shape[0])
        columns = self.gates * self.units
        self.kernel = self.add_weight(
            (n, columns),
            self.kernel_initializer,
            "kernel",
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.recurrent_kernel = self.add_weight(
            (self.output_size, columns),
            self.recurrent_initializer,
            "recurrent_kernel",
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                self._bias_shape(),
                self._initial_bias,
                "bias",
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self._extra = self._build_extra()
        self.input_spec = InputSpec(ndim=3, axes={-1: n})
        if self.stateful:
            self.states = self._fresh_states(input_shape[0])
        self.built = True

    def _build_extra(self) -> list[Variable]:
        """Make the weights that the cell has beside kernel, recurrent_kernel and bias, in the cell's order."""
        return []

    def _bias_shape(self) -> tuple[int, ...]:
        return (self.gates * self.units,)

    def _initial_bias(self, shape: Sequence[int], dtype: Any = "float32") -> Array:
        return np.asarray(self.bias_initializer(shape, dtype=dtype))  # type: ignore[misc]

    def _weight_prefix(self) -> str:
        return f"{self.name}/{to_snake_case(type(self).__name__)}_cell"

    def _pack(self) -> Any:
        bias = None if self.bias is None else self.bias._data
        activation, recurrent_activation = self._activation_names
        assert activation is not None and recurrent_activation is not None
        return _core.RecurrentWeights(
            self.cell_name,
            self.kernel._data,
            self.recurrent_kernel._data,
            bias,
            activation,
            recurrent_activation,
            extra=[v._data for v in self._extra],
        )

    # --- calls

    def forward(self, x: Array, call: Call) -> Any:
        initial = call.initial_state
        if initial is not None:  # what an operation gave may be a view
            initial = [None if state is None else np.ascontiguousarray(state) for state in initial]
        carried = self._carried_state(len(x), call)
        x = np.ascontiguousarray(x)
        x_mask = recurrent_mask = gate_mask = zoneout_key = None
        if call.training and any(self._zoneout):
            zoneout_key = draw_key(call.randomness(self))
        if call.training and (self.dropout or self.recurrent_dropout):
            x_mask, recurrent_mask = self._dropout_masks(x, call)
            if x_mask is not None and x_mask.ndim == 3:
                x_mask, gate_mask = None, x_mask
            elif x_mask is not None:
                x = x * x_mask[:, None]
        if None in self._activation_names:
            from .composed_step import forward_composed  # of operations, which are not loaded for nothing

            y, states, tape = forward_composed(self, x, call, carried, gate_mask, recurrent_mask)
            return self._finished(y, states, (None, tape, x_mask), call)
        weights = self.packed((self.kernel, self.recurrent_kernel, self.bias, *self._extra), self._pack)
        run = segmented_forward if self.remat and call.save else _core.recurrent_forward
        y, states, tape = run(
            weights,
            x,
            initial,
            call.mask,
            call.lengths,
            recurrent_mask,
            gate_mask,
            self.return_sequences,
            self.go_backwards,
            self.zero_output_for_mask,
            call.save,
            resets=call.resets,
            zoneout=self._zoneout,
            zoneout_key=zoneout_key,
            carried_state=carried,
        )
        if self.zero_output_for_mask and call.mask is not None and not self.return_sequences:
            y = np.where(self._last_step(call.mask, call.lengths), y, np.float32(0))
        return self._finished(y, states, (weights, tape, x_mask), call)

    def _finished(self, y: Array, states: Any, saved: Any, call: Call) -> Any:
        if self.stateful:
            self.states = states
        else:
            call.final_state = states
        if call.save:
            call.saved = saved
        return (y, *states) if self.return_state else y

    def _last_step(self, mask: Array, lengths: Array | None) -> Array:
        """(B, 1) bool: whether the step whose output is the last one counts."""
        if self.go_backwards:
            return mask[:, :1]
        last = np.full(len(mask), -1) if lengths is None else np.maximum(lengths, 1) - 1
        empty = False if lengths is None else lengths == 0
        return np.asarray((mask[np.arange(len(mask)), last] | empty)[:, None])

    def backward(self, dy: Any, call: Call) -> Array | None:
        weights, tape, x_mask = call.saved
        dstates = None
        if self.return_state:
            dy, *rest = dy
            if any(d is not None for d in rest):
                dstates = tuple(None if d is None else np.ascontiguousarray(d, np.float32) for d in rest)
        if weights is None:
            from .composed_step import backward_composed

            dx = backward_composed(tape, dy, dstates, call)
            return dx if dx is None or x_mask is None else dx * x_mask[:, None]
        if dy is not None:
            dy = np.ascontiguousarray(dy, np.float32)
            if not self.return_sequences:  # y is the final h
                if self.zero_output_for_mask and call.mask is not None:
                    dy = np.where(self._last_step(call.mask, call.lengths), dy, np.float32(0))
                rest = dstates or (None,) * self.n_states
                dstates = (dy if rest[0] is None else dy + rest[0], *rest[1:])
                dy = None
        (dkernel, drecurrent, dbias, *dextra), accumulate = grad_outs(
            self.kernel, self.recurrent_kernel, self.bias, *self._extra
        )
        run = _core.recurrent_backward if isinstance(tape, _core.RecurrentTape) else segmented_backward
        dx, call.d_initial_state, call.d_carried_state = run(
            weights, tape, dy, dstates, dkernel, drecurrent, dbias, accumulate, call.needs_dx, dextra
        )
        if dx is not None and x_mask is not None:
            dx *= x_mask[:, None]
        return dx

    # --- dropout: one mask for all steps of a sequence (Gal and Ghahramani 2016)

    def _dropout_masks(self, x: Array, call: Call) -> tuple[Array | None, Array | None]:
        """Masks of x, (B, I) or (B, gates, I), and of h, (B, H) or (B, gates, H); or None.

        As in Keras: with recurrent dropout each gate has masks of its own, if not `variational`; a rate of 1 drops
        nothing.
        """
        rng = call.randomness(self)
        batch, _, n = x.shape
        by_gate = self.gates > 1 and self.recurrent_dropout and not self.variational
        lead = (batch, self.gates) if by_gate else (batch,)
        x_mask = dropout_mask(rng, (*lead, n), self.dropout) if 0 < self.dropout < 1 else None
        if not 0 < self.recurrent_dropout < 1:
            return x_mask, None
        return x_mask, dropout_mask(rng, (*lead, self.output_size), self.recurrent_dropout)

    # --- frozen

    def frozen_cell(self) -> tuple[Any, ...]:
        """The cell's name, copies of its weights, and its activations, as `_core.Program` takes them."""
        if None in self._activation_names:
            raise ValueError(f"layer {self.name!r} cannot be frozen: its activation has no native form")
        bias = None if self.bias is None else self.bias.numpy()
        return (
            self.cell_name,
            self.kernel.numpy(),
            self.recurrent_kernel.numpy(),
            bias,
            *self._activation_names,
            [v.numpy() for v in self._extra],
        )

    def frozen_options(self) -> dict[str, Any]:
        """What the native program needs to know beside the weights."""
        return {
            "zoneout": self._zoneout,
            "return_sequences": self.return_sequences,
            "go_backwards": self.go_backwards,
            "zero_output_for_mask": self.zero_output_for_mask,
        }

    def frozen(self) -> FrozenLayer:
        return frozen_sequence(self, self)

    # --- configuration

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **self._options(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": serialize_keras_object(self.kernel_initializer),
            "recurrent_initializer": serialize_keras_object(self.recurrent_initializer),
            "bias_initializer": serialize_keras_object(self.bias_initializer),
            "kernel_regularizer": serialize_keras_object(self.kernel_regularizer),
            "recurrent_regularizer": serialize_keras_object(self.recurrent_regularizer),
            "bias_regularizer": serialize_keras_object(self.bias_regularizer),
            "activity_regularizer": serialize_keras_object(self.activity_regularizer),
            "kernel_constraint": serialize_keras_object(self.kernel_constraint),
            "recurrent_constraint": serialize_keras_object(self.recurrent_constraint),
            "bias_constraint": serialize_keras_object(self.bias_constraint),
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            **self._not_in_keras(),
        }

    def _not_in_keras(self) -> dict[str, Any]:
        """Arguments that Keras does not know, where they are not the default."""
        given = {"zoneout": self.zoneout, "variational": self.variational, "remat": self.remat}
        return {key: value for key, value in given.items() if value}


def frozen_sequence(layer: SequenceLayer, native: RecurrentLayer) -> FrozenLayer:
    """`layer`, whose steps `native` takes, as an operation of a frozen model."""
    if layer.stateful:
        raise ValueError(
            f"layer {layer.name!r} cannot be frozen: it is stateful; streams of a stateless one keep states"
        )
    refusal = "go_backwards needs the last step first" if layer.go_backwards else None
    return FrozenLayer("recurrent", {"cell": native.frozen_cell(), **native.frozen_options()}, refusal)


def checked_use_cudnn(value: Any) -> Any:
    """Keras's argument, which means nothing here but must be one of Keras's values."""
    if value not in ("auto", True, False):
        raise ValueError(
            "Invalid valid received for argument `use_cudnn`. Expected one of {'auto', True, False}. "
            f"Received: use_cudnn={value}"
        )
    return value


def _checked_zoneout(given: Any, n_states: int) -> tuple[Any, tuple[float, float]]:
    """`zoneout` as it goes into the configuration, and the rates of h and c."""
    pair = isinstance(given, (list, tuple))
    rates = list(given) if pair else [given]
    if pair and (n_states == 1 or len(rates) != 2):
        expected = "a number" if n_states == 1 else "a number or a pair of numbers, of c and of h"
        raise ValueError(f"Argument `zoneout` must be {expected}, got {given!r}")
    for rate in rates:
        number = isinstance(rate, (int, float, np.integer, np.floating)) and not isinstance(rate, bool)
        if not number or not 0 <= rate < 1:
            raise ValueError(f"Argument `zoneout` must be from 0 to below 1, got {given!r}")
    of_h, of_c = float(rates[-1]), float(rates[0]) if n_states > 1 else 0.0
    return ([float(r) for r in rates] if pair else float(given)), (of_h, of_c)
