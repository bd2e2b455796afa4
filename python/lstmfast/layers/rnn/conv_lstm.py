# SPDX-License-Identifier: BSD-3-Clause
"""An LSTM whose matrix products are convolutions (Shi et al. 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import _core, activations, constraints, initializers, regularizers
from ...random import seed_generator
from ...saving.registry import serialize_keras_object
from ...variables import grad_outs
from ..arguments import own_arguments, same_padding
from ..arrays import within_lengths
from ..call import Call
from ..convolutional.base import WindowedConvolution
from ..frozen import FrozenLayer
from ..input_spec import InputSpec
from ..regularization.dropout import dropout_mask
from .lstm import with_forget_bias
from .rnn import RNN
from .step_loop import StepLoop

__all__ = ["ConvLSTM1D"]

Array = npt.NDArray[Any]

#: What the weights of both convolutions begin with and are held to, and who knows their names.
_OF_KERNELS: dict[str, Any] = {
    f"{kind}_{rule}": module
    for kind in ("kernel", "recurrent")
    for rule, module in (
        ("initializer", initializers), ("regularizer", regularizers), ("constraint", constraints)
    )
}  # fmt: skip
#: The arguments of `ConvLSTM1D` that belong to its cell.
_OF_THE_CELL = (
    *("filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "activation"),
    *("recurrent_activation", "use_bias", "bias_initializer", "unit_forget_bias", "bias_regularizer"),
    *("bias_constraint", *_OF_KERNELS, "dropout", "recurrent_dropout", "seed"),
)


class ConvLSTMCell(WindowedConvolution):
    """The weights of a `ConvLSTM1D`, and one step of it."""

    def __init__(
        self,
        *,
        filters: int,
        strides: Any,
        dilation_rate: Any,
        recurrent_activation: Any,
        unit_forget_bias: bool,
        dropout: float,
        recurrent_dropout: float,
        seed: int | None,
        name: str = "conv_lstm_cell",
        **arguments: Any,
    ) -> None:
        if np.max(strides) > 1 and np.max(dilation_rate) > 1:
            raise ValueError(
                "Specifying `strides > 1` is not compatible with `dilation_rate > 1`. Please provide `strides=1` or "
                f"`dilation_rate=1`. Received: strides={strides} and dilation_rate={dilation_rate}"
            )
        rules = {key: arguments.pop(key) for key in _OF_KERNELS}
        super().__init__(strides=strides, dilation_rate=dilation_rate, name=name, **arguments)
        self._set_positive(filters=filters)
        self.filters = int(filters)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = bool(unit_forget_bias)
        for key, module in _OF_KERNELS.items():
            setattr(self, key, module.get(rules[key]))
        self.dropout = min(1.0, max(0.0, dropout))
        self.recurrent_dropout = min(1.0, max(0.0, recurrent_dropout))
        self.seed = seed
        self.seed_generator = seed_generator(seed)
        self.state_size = [self.filters] * 2
        self._shape: tuple[int, ...] = ()  # of a step's output

    def build(self, input_shape: Any) -> None:
        if input_shape[2 if self._first else 1] is None:
            raise ValueError(
                "ConvLSTM layers only support static input shapes for the spatial dimension. Received invalid input "
                f"shape: input_shape={tuple(input_shape)}"
            )
        channels = self._channels_of(input_shape)
        self._shape = self.compute_output_shape(input_shape)[1:]
        gates = 4 * self.filters
        self.kernel = self._add_kernel((*self.kernel_size, channels, gates))
        self.recurrent_kernel = self._add_kernel(
            (*self.kernel_size, self.filters, gates), "recurrent_kernel", "recurrent"
        )
        self._add_bias(4 * self.filters)
        self.built = True

    def _initial_bias(self, shape: Sequence[int], dtype: Any = "float32") -> Array:
        initial: Any = self.bias_initializer
        return (
            with_forget_bias(initial, self.filters, dtype)
            if self.unit_forget_bias
            else initial(shape, dtype=dtype)
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self._windows_shape(input_shape, self.filters)

    def state_shapes(self) -> list[tuple[int, ...]]:
        return [self._shape] * 2

    def weights_for(self, which: str, groups: int) -> Any:
        """Packed weights of the kernel of the input or of h: in 4 groups, if each gate sees an input of its own."""
        kept: dict[Any, Any] = self.packed((self.kernel, self.recurrent_kernel, self.bias), dict)
        if (which, groups) not in kept:
            kernel, bias = (self.kernel, self.bias) if which == "x" else (self.recurrent_kernel, None)
            made = _core.Conv1DWeights(kernel._data, None if bias is None else bias._data, groups)
            kept[which, groups] = made
        return kept[which, groups]

    def gate_masks(self, shape: tuple[int, ...], rate: float, call: Call) -> Array | None:
        """Dropout of what each gate sees, the gates side by side in the last axis; None if nothing is dropped."""
        if not (call.training and 0 < rate < 1):
            return None
        return dropout_mask(call.randomness(self), (*shape[:-1], 4 * shape[-1]), rate)

    def last(self, x: Array) -> Array:
        """An array of the user's with its channels behind; the way back too."""
        return np.moveaxis(x, -2, -1) if self._first else x

    def forward(self, x: Any, *_: Any) -> Any:
        raise NotImplementedError(f"cell {self.name!r} is not called alone: ConvLSTM1D takes its steps")

    def get_config(self) -> dict[str, Any]:
        config = {
            **super().get_config(),
            "filters": self.filters,
            "recurrent_activation": activations.serialize(self.recurrent_activation),
            "unit_forget_bias": self.unit_forget_bias,
            "dropout": self.dropout,
            "recurrent_dropout": self.recurrent_dropout,
            "seed": self.seed,
        }
        return {**config, **{key: serialize_keras_object(getattr(self, key)) for key in _OF_KERNELS}}


class _Steps:
    """The steps of one call: their inputs are the gates' sums of x, (B, steps of the output, 4 * filters)."""

    def __init__(self, cell: ConvLSTMCell, mask: Array | None) -> None:
        self.cell, self.mask = cell, mask
        self.state_size, self.state_shapes = cell.state_size, cell.state_shapes
        self.axis = 1 if cell._first else 2  # of the channels
        self.weights = cell.weights_for("h", 1 if mask is None else 4)
        self.left, self.right = same_padding(1 << 30, cell.kernel_size[0], 1)

    def forward(self, sums: Array, states: list[Array], call: Call) -> tuple[Array, list[Array]]:
        cell, c = self.cell, states[1]
        h = cell.last(states[0])
        h = h if self.mask is None else np.tile(h, 4) * self.mask
        padded = np.zeros((len(h), self.left + h.shape[1] + self.right, h.shape[2]), np.float32)
        padded[:, self.left : self.left + h.shape[1]] = h
        z = _core.conv1d_forward(self.weights, padded)
        z += sums
        parts = [np.ascontiguousarray(part) for part in np.split(cell.last(z), 4, axis=self.axis)]
        functions = [cell.activation if k == 2 else cell.recurrent_activation for k in range(4)]
        i, f, g, o = gates = [activations.forward(*pair) for pair in zip(functions, parts, strict=True)]
        new = np.ascontiguousarray(f * c + i * g)
        out = activations.forward(cell.activation, new)
        if call.save:
            call.saved = (padded, parts, functions, gates, c, new, out)
        y = o * out
        return y, [y, new]

    def backward(self, dy: Array, dstates: list[Array], call: Call) -> tuple[Array, list[Array]]:
        cell = self.cell
        padded, parts, functions, (i, f, g, o), c, new, out = call.saved
        dh = dy + dstates[0]
        dc = dstates[1] + activations.backward(cell.activation, new, out, np.ascontiguousarray(dh * o))
        given = (dc * g, dc * c, dc * i, dh * out)
        parts_back = [
            activations.backward(function, z, y, np.ascontiguousarray(d))
            for function, z, y, d in zip(functions, parts, (i, f, g, o), given, strict=True)
        ]
        dz = np.ascontiguousarray(cell.last(np.concatenate(parts_back, axis=self.axis)))
        dkernel, accumulate = cell.recurrent_kernel.grad_out()
        d_padded = _core.conv1d_backward(self.weights, padded, dz, 1, 1, dkernel, None, accumulate, True)
        assert d_padded is not None
        d_before = d_padded[:, self.left : self.left + dz.shape[1]]
        if self.mask is not None:
            d_before = (d_before * self.mask).reshape(*dz.shape[:2], 4, -1).sum(axis=2)
        return dz, [np.ascontiguousarray(cell.last(d_before)), dc * f]


class ConvLSTM1D(RNN):
    """An LSTM over sequences of one-dimensional pictures: what its gates see of the input and of h are convolutions.

    Parameters
    ----------
    filters : int
        Size of the channel axis of the output.
    kernel_size : int
        Places of the window, of both convolutions.
    strides, padding, data_format, dilation_rate
        As in `Conv1D`, of the convolution of the input; no causal padding. That of h is always ``"same"``.
    activation, recurrent_activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
    unit_forget_bias, kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer,
    kernel_constraint, recurrent_constraint, bias_constraint, dropout, recurrent_dropout, seed, return_sequences,
    return_state, go_backwards, stateful
        As in `LSTM`. With dropout each gate has masks of its own, the same ones at all steps.
    **kwargs
        ``unroll``, ``zero_output_for_mask``, and those of `Layer`.

    Notes
    -----
    Input (batch, time, places, channels), places and channels of known size; output (batch, time, places, filters)
    with `return_sequences`, else (batch, places, filters), where strides and padding decide how many places are left.
    States h and c: (batch, places, filters). Weights: kernel (kernel_size, channels, 4 * filters), recurrent_kernel
    (kernel_size, filters, 4 * filters), bias (4 * filters,), gates i, f, c, o.

    The input's convolution is one call of the matrix kernel for all steps; the steps follow in Python, with one call each.
    The peepholes of the paper are left out, as in Keras.

    Raises
    ------
    ValueError
        If an argument or a shape is wrong.

    References
    ----------
    Shi et al. 2015, "Convolutional LSTM Network: A Machine Learning Approach for Precipitation Nowcasting".

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import ConvLSTM1D
    >>> x = np.zeros((2, 6, 16, 3))
    >>> ConvLSTM1D(8, 5, padding="same", return_sequences=True)(x).shape
    (2, 6, 16, 8)
    """

    cell: ConvLSTMCell

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        **kwargs: Any,
    ) -> None:
        arguments = own_arguments(locals())
        cell = ConvLSTMCell(**{key: arguments[key] for key in _OF_THE_CELL})
        super().__init__(
            cell,
            return_sequences,
            return_state,
            go_backwards,
            stateful,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self.input_spec = InputSpec(ndim=4)

    def __getattr__(self, name: str) -> Any:
        if name in _OF_THE_CELL and "cell" in self.__dict__:
            return getattr(self.cell, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # --- building and shapes

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.input_spec = InputSpec(ndim=4, axes={2: input_shape[2], 3: input_shape[3]})

    @property
    def output_size(self) -> int:
        return self.cell._shape[-1]

    def state_shapes(self) -> list[tuple[int | None, ...]]:
        return [*self.cell.state_shapes()]

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        batch, time, *step = sequences_shape
        state = self.cell.compute_output_shape((batch, *step))
        y = (batch, time, *state[1:]) if self.return_sequences else state
        return (y, state, state) if self.return_state else y

    def output_shapes(self, shapes: Any, arguments: dict[str, Any]) -> Any:
        return self.compute_output_shape(shapes)

    # --- calls

    def _prepared(self, x: Array, call: Call) -> tuple[Array, list[Any], Any]:
        cell, given = self.cell, x.shape
        counted = call.mask
        if call.lengths is not None:
            inside = within_lengths(call.lengths, x.shape[1])
            counted = inside if counted is None else counted & inside
        if counted is not None:  # whatever stands in padding, NaN too
            x = np.where(counted[:, :, None, None], x, np.float32(0))
        x = cell.last(x)
        mask = cell.gate_masks((len(x), *x.shape[2:]), cell.dropout, call)
        if mask is not None:
            x = np.tile(x, 4) * mask[:, None]
        batch, time, *step = x.shape
        padded, starts = cell._padded(np.ascontiguousarray(x).reshape(batch * time, *step), None)
        weights = cell.weights_for("x", 1 if mask is None else 4)
        sums = _core.conv1d_forward(weights, padded, cell.strides[0], cell.dilation_rate[0])
        steps = _Steps(cell, cell.gate_masks(self._state_shape(batch), cell.recurrent_dropout, call))
        loop = StepLoop(steps, self.return_sequences, self.go_backwards, self.zero_output_for_mask)
        return (
            sums.reshape(batch, time, *sums.shape[1:]),
            [loop],
            (weights, padded, starts[0][1], mask, given),
        )

    def _state_shape(self, batch: int) -> tuple[int, ...]:
        """Of h with its channels behind."""
        first, second = self.cell._shape
        return (batch, second, first) if self.cell._first else (batch, first, second)

    def _prepared_back(self, dy: Any, kept: Any, call: Call) -> Array | None:
        cell = self.cell
        weights, padded, left, mask, given = kept
        (dkernel, dbias), accumulate = grad_outs(cell.kernel, cell.bias)
        dz = np.ascontiguousarray(dy).reshape(-1, *dy.shape[2:])
        step, spread = cell.strides[0], cell.dilation_rate[0]
        d_padded = _core.conv1d_backward(
            weights, padded, dz, step, spread, dkernel, dbias, accumulate, call.needs_dx
        )
        if d_padded is None:
            return None
        places = given[3] if cell._first else given[2]
        dx = d_padded[:, left : left + places].reshape(*given[:2], places, -1)
        if mask is not None:
            dx = (dx * mask[:, None]).reshape(*dx.shape[:3], 4, -1).sum(axis=3)
        return np.ascontiguousarray(cell.last(dx))

    def frozen(self) -> FrozenLayer:
        raise ValueError(f"layer {self.name!r} cannot be frozen: ConvLSTM1D has no native form")

    # --- configuration

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["cell"]
        of_the_cell = self.cell.get_config()
        regularizer = serialize_keras_object(self.activity_regularizer)
        return {
            **config,
            **{key: of_the_cell[key] for key in _OF_THE_CELL},
            "activity_regularizer": regularizer,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> ConvLSTM1D:
        return cls(**config)
