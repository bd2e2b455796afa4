# SPDX-License-Identifier: BSD-3-Clause
"""Convolution over time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core, activations, constraints, initializers, regularizers
from ..saving.registry import serialize_keras_object
from .arguments import data_format_of, integer_tuple, is_integer, padding_of, same_padding
from .arrays import clear_padding
from .base import Layer
from .call import Call
from .frozen import FrozenLayer
from .input_spec import InputSpec

__all__ = ["Conv1D", "Convolution1D"]

Array = npt.NDArray[Any]


class Conv1D(Layer):
    """A window over time, times a kernel: ``activation(conv(x, kernel) + bias)``.

    Parameters
    ----------
    filters : int
        Size of the output's last axis.
    kernel_size : int
        Steps of the window.
    strides : int
        Steps from one window to the next.
    padding : {"valid", "same", "causal"}
        Whole windows only; ``ceil(time / strides)`` windows with zeros at both ends; or as many that end with the step
        that they give, so that no output sees the future.
    data_format : {"channels_last", "channels_first"}, optional
        Whether time is axis 1 or axis 2.
    dilation_rate : int
        Distance of the window's steps.
    groups : int
        The filters' groups each see a group of the features alone.
    activation : str or callable, optional
        Linear by default.
    use_bias : bool
    kernel_initializer, bias_initializer : str, dict or callable
    kernel_regularizer, bias_regularizer, activity_regularizer : str, dict or Regularizer, optional
    kernel_constraint, bias_constraint : str, dict or callable, optional
    lora_rank, lora_alpha, quantization_config : None
        Keras's; not supported.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input (batch, time, features), output (batch, windows, filters). Weights: kernel (kernel_size, features / groups,
    filters), bias (filters,). The product is one call of the matrix kernel, whose rows are the windows where they lie
    (`lstmfast.reference.conv1d_forward` is its specification). A mask ends here, as in Keras. With `lengths` each row
    gives what it gives alone, without its padding.

    Raises
    ------
    ValueError
        If a size is not a positive integer, `filters` or the features are no multiple of `groups`, both `strides` and
        `dilation_rate` are above 1, or the input is shorter than a window.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Conv1D
    >>> layer = Conv1D(1, 2, kernel_initializer="ones")
    >>> layer(np.array([[[1.0], [2.0], [5.0]]]))[0, :, 0]
    array([3., 7.], dtype=float32)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: None = None,
        lora_alpha: None = None,
        quantization_config: None = None,
        **kwargs: Any,
    ) -> None:
        for argument, value in (
            ("lora_rank", lora_rank), ("lora_alpha", lora_alpha), ("quantization_config", quantization_config),
        ):  # fmt: skip
            if value is not None:
                raise ValueError(f"{argument}={value!r} is not supported")
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.kernel_size = integer_tuple(kernel_size, 1, "kernel_size")
        self.strides = integer_tuple(strides, 1, "strides")
        self.dilation_rate = integer_tuple(dilation_rate, 1, "dilation_rate")
        self.padding = padding_of(padding, causal=True)
        self.data_format = data_format_of(data_format)
        for argument, value in (("filters", filters), ("groups", groups)):
            if not is_integer(value) or value <= 0:
                raise ValueError(
                    f"Invalid value for argument `{argument}`. Expected a strictly positive value. Received "
                    f"{argument}={value!r}."
                )
        if filters % groups:
            raise ValueError(
                "The number of filters must be evenly divisible by the number of groups. Received: "
                f"groups={groups}, filters={filters}."
            )
        if self.strides[0] > 1 and self.dilation_rate[0] > 1:
            raise ValueError(
                "`strides > 1` not supported in conjunction with `dilation_rate > 1`. Received: "
                f"strides={self.strides} and dilation_rate={self.dilation_rate}"
            )
        self.filters, self.groups, self.use_bias = int(filters), int(groups), bool(use_bias)
        self.activation = activations.get(activation)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(ndim=3)

    @property
    def _first(self) -> bool:
        return self.data_format == "channels_first"

    def build(self, input_shape: Any) -> None:
        axis = 1 if self._first else 2
        channels = input_shape[axis]
        if channels is None:
            raise ValueError(
                f"Axis {axis} of the inputs of layer {self.name!r} must be known, got {input_shape}"
            )
        if channels % self.groups:
            raise ValueError(
                "The number of input channels must be evenly divisible by the number of groups. Received "
                f"groups={self.groups}, but the input has {channels} channels (full input shape is "
                f"{tuple(input_shape)})."
            )
        self.compute_output_shape(input_shape)
        self.kernel = self.add_weight(
            (*self.kernel_size, channels // self.groups, self.filters),
            self.kernel_initializer,
            "kernel",
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                (self.filters,),
                self.bias_initializer,
                "bias",
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.input_spec = InputSpec(ndim=3, axes={axis: channels})
        self.built = True

    # --- shapes

    @property
    def _reach(self) -> int:
        """Steps from a window's first to its last, both counted."""
        return (self.kernel_size[0] - 1) * self.dilation_rate[0] + 1

    def _outputs(self, time: Any) -> Any:
        """Number of windows for these lengths (an integer or an array)."""
        if self.padding == "valid":
            return (time - self._reach) // self.strides[0] + 1
        return (time - 1) // self.strides[0] + 1

    def compute_output_shape(self, input_shape: Any) -> Any:
        time = input_shape[2 if self._first else 1]
        outputs = None if time is None else self._outputs(time)
        if outputs is not None and outputs <= 0:
            raise ValueError(
                f"Computed output size would be zero or negative. Received: inputs.shape={tuple(input_shape)}, "
                f"kernel_size={self.kernel_size}, dilation_rate={self.dilation_rate}, strides={self.strides}, "
                f"padding={self.padding!r} (layer {self.name!r})"
            )
        rest = (self.filters, outputs) if self._first else (outputs, self.filters)
        return (input_shape[0], *rest)

    def output_lengths(self, lengths: Array | None) -> Array | None:
        if lengths is None or self._first:
            return None
        counts: Array = np.maximum(self._outputs(lengths), 0).astype(np.int32)
        return counts

    def _borders(self, time: int) -> tuple[int, int]:
        """Steps of zeros before and behind."""
        if self.padding == "causal":
            return self._reach - 1, 0
        if self.padding == "same":
            return same_padding(time, self._reach, self.strides[0])
        return 0, 0

    # --- calls

    @property
    def deferrable_activation(self) -> str | None:
        """Name of the activation that a loss may apply in this layer's place."""
        return None if self._first else activations.native_name(self.activation)

    def _pack(self) -> Any:
        bias = None if self.bias is None else self.bias._data
        return _core.Conv1DWeights(self.kernel._data, bias, self.groups)

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
        weights = self.packed((self.kernel, self.bias), self._pack)
        activation = activations.linear if call.defer_activation else self.activation
        name = activations.native_name(activation)
        apart = name is None or name == "softmax" or (call.save and activations.needs_input(activation))
        step, spread = self.strides[0], self.dilation_rate[0]
        y = _core.conv1d_forward(weights, padded, step, spread, "linear" if apart or name is None else name)
        y = y if y.shape[1] == outputs else np.ascontiguousarray(y[:, :outputs])
        z = None
        if apart:
            z, y = y, activations.forward(activation, y)
        if call.save:
            call.saved = (weights, padded, starts, x.shape, z, y, activation)
        return np.ascontiguousarray(np.moveaxis(y, 2, 1)) if self._first else y

    def backward(self, dy: Array, call: Call) -> Array | None:
        weights, padded, starts, shape, z, y, activation = call.saved
        if self._first:
            dy = np.moveaxis(dy, 1, 2)
        dz = np.ascontiguousarray(dy, np.float32)
        if activation is not activations.linear:
            dz = activations.backward(activation, z, y, dz)
        step, spread = self.strides[0], self.dilation_rate[0]
        windows = (padded.shape[1] - self._reach) // step + 1
        if windows != dz.shape[1]:  # of rows that start elsewhere than others
            full = np.zeros((len(dz), windows, self.filters), np.float32)
            full[:, : dz.shape[1]] = dz
            dz = full
        dkernel, accumulate = self.kernel.grad_out()
        dbias = None if self.bias is None else self.bias.grad_out()[0]
        dx = _core.conv1d_backward(
            weights, padded, dz, step, spread, dkernel, dbias, accumulate, call.needs_dx
        )
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

    def frozen(self) -> FrozenLayer:
        name = activations.native_name(self.activation)
        if name is None or self._first:
            why = "data_format is 'channels_first'" if self._first else "its activation has no native form"
            raise ValueError(f"layer {self.name!r} cannot be frozen: {why}")
        refusal = None
        if self.padding == "same" and self._reach > 1:
            refusal = "padding='same' needs the future; use 'causal'"
        elif self.strides[0] > 1 or (self.padding == "valid" and self._reach > 1):
            refusal = "it has no output for every step; use padding='causal' and strides=1"
        arguments = {
            "kernel": self.kernel.numpy(),
            "bias": None if self.bias is None else self.bias.numpy(),
            "stride": self.strides[0],
            "dilation": self.dilation_rate[0],
            "groups": self.groups,
            "padding": self.padding,
            "activation": name,
        }
        return FrozenLayer("conv1d", arguments, refusal)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": serialize_keras_object(self.kernel_initializer),
            "bias_initializer": serialize_keras_object(self.bias_initializer),
            "kernel_regularizer": serialize_keras_object(self.kernel_regularizer),
            "bias_regularizer": serialize_keras_object(self.bias_regularizer),
            "activity_regularizer": serialize_keras_object(self.activity_regularizer),
            "kernel_constraint": serialize_keras_object(self.kernel_constraint),
            "bias_constraint": serialize_keras_object(self.bias_constraint),
        }


Convolution1D = Conv1D
