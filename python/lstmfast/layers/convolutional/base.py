# SPDX-License-Identifier: BSD-3-Clause
"""What convolutions over time share: arguments, where windows lie, padding, the activation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import activations, constraints, initializers, regularizers
from ...saving.registry import serialize_keras_object
from ...variables import Variable
from ..arguments import data_format_of, integer_tuple, is_integer, padding_of, same_padding
from ..arrays import clear_padding
from ..base import Layer
from ..call import Call
from ..frozen import frozen_activation
from ..input_spec import InputSpec

__all__ = ["Convolution", "WindowedConvolution"]

Array = npt.NDArray[Any]


class Convolution(Layer):
    """Arguments that all convolutions have, and the axes of their input."""

    rank = 1  # the number of axes along which a window moves

    def __init__(
        self,
        kernel_size: Any,
        strides: Any,
        padding: str,
        data_format: str | None,
        dilation_rate: Any,
        activation: Any,
        use_bias: bool,
        *,
        causal: bool = False,
        bias_initializer: Any,
        bias_regularizer: Any,
        bias_constraint: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kernel_size = integer_tuple(kernel_size, 1, "kernel_size")
        self.strides = integer_tuple(strides, 1, "strides")
        self.dilation_rate = integer_tuple(dilation_rate, 1, "dilation_rate")
        self.padding = padding_of(padding, causal)
        self.data_format = data_format_of(data_format)
        if self.strides[0] > 1 and self.dilation_rate[0] > 1:
            raise ValueError(
                "`strides > 1` not supported in conjunction with `dilation_rate > 1`. Received: "
                f"strides={self.strides} and dilation_rate={self.dilation_rate}"
            )
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.bias_initializer = initializers.get(bias_initializer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.bias_constraint = constraints.get(bias_constraint)
        self.bias: Variable | None = None
        self.input_spec = InputSpec(ndim=3)

    def _set_positive(self, **sizes: Any) -> None:
        """Attributes that count something."""
        for argument, value in sizes.items():
            if not is_integer(value) or value <= 0:
                raise ValueError(
                    f"Invalid value for argument `{argument}`. Expected a strictly positive value. Received "
                    f"{argument}={value!r}."
                )
            setattr(self, argument, int(value))

    @property
    def _first(self) -> bool:
        return self.data_format == "channels_first"

    @property
    def _reach(self) -> int:
        """Steps from a window's first to its last, both counted."""
        return (self.kernel_size[0] - 1) * self.dilation_rate[0] + 1

    def _channels_of(self, input_shape: Any) -> int:
        """Size of the feature axis, which the input must keep from here on."""
        axis = 1 if self._first else 2
        channels = input_shape[axis]
        if channels is None:
            raise ValueError(
                f"Axis {axis} of the inputs of layer {self.name!r} must be known, got {input_shape}"
            )
        self.input_spec = InputSpec(ndim=3, axes={axis: channels})
        return int(channels)

    def _add_bias(self, size: int) -> None:
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                (size,),
                self._initial_bias,
                "bias",
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def _initial_bias(self, shape: Sequence[int], dtype: Any = "float32") -> Array:
        return np.asarray(self.bias_initializer(shape, dtype=dtype))  # type: ignore[misc]

    def _add_kernel(self, shape: tuple[int, ...], name: str = "kernel", kind: str = "kernel") -> Variable:
        """A weight with the initializer, regularizer and constraint of this `kind` (``kernel_initializer``...)."""
        return self.add_weight(
            shape,
            getattr(self, f"{kind}_initializer"),
            name,
            regularizer=getattr(self, f"{kind}_regularizer"),
            constraint=getattr(self, f"{kind}_constraint"),
        )

    def _output_shape(self, input_shape: Any, outputs: int | None, filters: int) -> Any:
        if outputs is not None and outputs <= 0:
            raise ValueError(
                f"Computed output size would be zero or negative. Received: inputs.shape={tuple(input_shape)}, "
                f"kernel_size={self.kernel_size}, dilation_rate={self.dilation_rate}, strides={self.strides}, "
                f"padding={self.padding!r} (layer {self.name!r})"
            )
        return (input_shape[0], *((filters, outputs) if self._first else (outputs, filters)))

    def _outputs(self, time: Any) -> Any:
        """Steps of the output for these lengths (an integer or an array)."""
        raise NotImplementedError

    def output_lengths(self, lengths: Array | None) -> Array | None:
        if lengths is None or self._first:
            return None
        counts: Array = np.maximum(self._outputs(lengths), 0).astype(np.int32)
        return counts

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "bias_initializer": serialize_keras_object(self.bias_initializer),
            "bias_regularizer": serialize_keras_object(self.bias_regularizer),
            "activity_regularizer": serialize_keras_object(self.activity_regularizer),
            "bias_constraint": serialize_keras_object(self.bias_constraint),
        }


class WindowedConvolution(Convolution):
    """A convolution whose outputs are windows of the input; `multiply` says what a window gives."""

    def multiply(self, x: Array, activation: str) -> tuple[Array, Any]:
        """Whole windows of x (batch, time, features), and what `multiply_back` needs."""
        raise NotImplementedError

    def multiply_back(self, x: Array, kept: Any, dz: Array, needs_dx: bool) -> Array | None:
        """Adds the weights' gradients and returns the input's."""
        raise NotImplementedError

    def _outputs(self, time: Any) -> Any:
        if self.padding == "valid":
            return (time - self._reach) // self.strides[0] + 1
        return (time - 1) // self.strides[0] + 1

    def _windows_shape(self, input_shape: Any, filters: int) -> Any:
        time = input_shape[2 if self._first else 1]
        return self._output_shape(input_shape, None if time is None else self._outputs(time), filters)

    def _borders(self, time: int) -> tuple[int, int]:
        """Steps of zeros before and behind."""
        if self.padding == "causal":
            return self._reach - 1, 0
        if self.padding == "same":
            return same_padding(time, self._reach, self.strides[0])
        return 0, 0

    @property
    def deferrable_activation(self) -> str | None:
        """Name of the activation that a loss may apply in this layer's place."""
        return None if self._first else activations.native_name(self.activation)

    def _padded(self, x: Array, lengths: Array | None) -> tuple[Array, list[tuple[Any, int]]]:
        """x between its borders, and for groups of rows where their first step is."""
        batch, time, width = x.shape
        left, right = self._borders(time)
        starts: list[tuple[Any, int]] = [(slice(None), left)]
        if lengths is not None and self.padding == "same" and self.strides[0] > 1:
            # Where a row's first window begins depends on its own length.
            own = np.array([self._borders(max(int(n), 1))[0] for n in lengths])
            starts = [(np.flatnonzero(own == n), int(n)) for n in np.unique(own)]
            left = max(n for _, n in starts)
            right = max((self._outputs(time) - 1) * self.strides[0] + self._reach - time - min(own), 0)
        x = clear_padding(x, lengths)
        if left == right == 0:
            return np.ascontiguousarray(x), starts
        padded = np.zeros((batch, left + time + right, width), np.float32)
        for rows, start in starts:
            padded[rows, start : start + time] = x[rows]
        return padded, starts

    def forward(self, x: Array, call: Call) -> Array:
        self.compute_output_shape(x.shape)
        lengths = call.lengths
        if self._first:
            x, lengths = np.moveaxis(x, 1, 2), None
        outputs = self._outputs(x.shape[1])
        padded, starts = self._padded(x, lengths)
        activation = activations.linear if call.defer_activation else self.activation
        name = activations.native_name(activation)
        apart = name is None or name == "softmax" or (call.save and activations.needs_input(activation))
        y, kept = self.multiply(padded, "linear" if apart or name is None else name)
        y = y if y.shape[1] == outputs else np.ascontiguousarray(y[:, :outputs])
        if apart:
            z = np.ascontiguousarray(np.moveaxis(y, 2, 1)) if self._first else y
            y = activations.forward(activation, z)
            if call.save:
                call.saved = (padded, kept, starts, x.shape, z, y, activation)
            return y
        if call.save:
            call.saved = (padded, kept, starts, x.shape, None, y, activation)
        return np.ascontiguousarray(np.moveaxis(y, 2, 1)) if self._first else y

    def backward(self, dy: Array, call: Call) -> Array | None:
        padded, kept, starts, shape, z, y, activation = call.saved
        if z is not None:  # an activation that was applied to what the caller got: its axes need not be alike
            dy = activations.backward(activation, z, y, np.ascontiguousarray(dy, np.float32))
        if self._first:
            dy = np.moveaxis(dy, 1, 2)
        dz = np.ascontiguousarray(dy, np.float32)
        if z is None and activation is not activations.linear:
            dz = activations.backward(activation, None, y, dz)
        windows = (padded.shape[1] - self._reach) // self.strides[0] + 1
        if windows != dz.shape[1]:  # of rows that start elsewhere than others
            full = np.zeros((len(dz), windows, dz.shape[2]), np.float32)
            full[:, : dz.shape[1]] = dz
            dz = full
        dx = self.multiply_back(padded, kept, dz, call.needs_dx)
        if dx is None:
            return None
        if dx.shape != shape:
            inner = np.empty(shape, np.float32)
            for rows, start in starts:
                inner[rows] = dx[rows, start : start + shape[1]]
            dx = inner
        if self._first:
            return np.ascontiguousarray(np.moveaxis(dx, 2, 1))
        return clear_padding(dx, call.lengths)

    def _frozen_arguments(self) -> tuple[dict[str, Any], str | None, Any]:
        """Arguments of the native operation beside weights, why a stream cannot run it, and the operation behind it."""
        if self._first:
            raise ValueError(f"layer {self.name!r} cannot be frozen: data_format is 'channels_first'")
        name, following = frozen_activation(self)
        refusal = None
        if self.padding == "same" and self._reach > 1:
            refusal = "padding='same' needs the future; use 'causal'"
        elif self.strides[0] > 1 or (self.padding == "valid" and self._reach > 1):
            refusal = "it has no output for every step; use padding='causal' and strides=1"
        arguments = {
            "bias": None if self.bias is None else self.bias.numpy(),
            "stride": self.strides[0],
            "dilation": self.dilation_rate[0],
            "padding": self.padding,
            "activation": name,
        }
        return arguments, refusal, following
