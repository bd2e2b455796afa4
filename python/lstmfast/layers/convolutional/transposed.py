# SPDX-License-Identifier: BSD-3-Clause
"""Transposed convolution over time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ... import _core, activations, constraints, initializers, regularizers
from ...saving.registry import serialize_keras_object
from ..arguments import integer_tuple
from ..arrays import clear_padding
from ..building import build_activation
from ..call import Call
from ..frozen import FrozenLayer, frozen_activation
from .base import Convolution

__all__ = ["Conv1DTranspose", "Convolution1DTranspose"]

Array = npt.NDArray[Any]


class Conv1DTranspose(Convolution):
    """Each step, times a kernel, added to a window of the output: what leads a convolution's shape back.

    ``activation(conv_transpose(x, kernel) + bias)`` (Dumoulin and Visin 2016)

    Parameters
    ----------
    filters : int
        Size of the output's last axis.
    kernel_size : int
        Steps of the output's window.
    strides : int
        Steps of the output from one window to the next.
    padding : {"valid", "same"}
        All steps that windows reach, at least ``time * strides``; or ``time * strides`` steps, cut off at both ends.
    output_padding : int, optional
        Steps at the end: the output has ``(time - 1) * strides + kernel_size + output_padding`` steps, with
        ``padding="same"`` ``(time - 1) * strides + kernel_size % 2 + output_padding`` steps. Less than `strides`.
    data_format : {"channels_last", "channels_first"}, optional
        Whether time is axis 1 or axis 2.
    dilation_rate : int
        Distance of the window's steps.
    activation : str or callable, optional
        Linear by default.
    use_bias : bool
    kernel_initializer, bias_initializer : str, dict or callable
    kernel_regularizer, bias_regularizer, activity_regularizer : str, dict or Regularizer, optional
    kernel_constraint, bias_constraint : str, dict or callable, optional
    **kwargs
        See `Layer`.

    Notes
    -----
    Input (batch, time, features), output (batch, new time, filters). Weights: kernel (kernel_size, filters,
    features), bias (filters,). It is the gradient of a `Conv1D` and the same native code. A mask ends here, as in
    Keras. With `lengths` each row gives what it gives alone, without its padding.

    V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep learning, 2016,
    https://arxiv.org/abs/1603.07285

    Raises
    ------
    ValueError
        If a size is not a positive integer, `output_padding` is not less than `strides`, or both `strides` and
        `dilation_rate` are above 1.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Conv1DTranspose
    >>> layer = Conv1DTranspose(1, 2, strides=2, kernel_initializer="ones")
    >>> layer(np.array([[[1.0], [2.0], [5.0]]]))[0, :, 0]
    array([1., 1., 2., 2., 5., 5.], dtype=float32)
    """

    filters: int

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            bias_initializer=bias_initializer,
            bias_regularizer=bias_regularizer,
            bias_constraint=bias_constraint,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self._set_positive(filters=filters)
        self.output_padding: tuple[int, ...] | None = None
        if output_padding is not None:
            self.output_padding = integer_tuple(output_padding, 1, "output_padding", allow_zero=True)
            if self.output_padding[0] >= self.strides[0]:
                raise ValueError(
                    "`output_padding` must be strictly less than `strides` for all dimensions. Received: "
                    f"output_padding={self.output_padding}, strides={self.strides}"
                )
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)

    def build(self, input_shape: Any) -> None:
        channels = self._channels_of(input_shape)
        self.kernel = self._add_kernel((*self.kernel_size, self.filters, channels))
        self._add_bias(self.filters)
        self.built = True
        build_activation(self, input_shape)

    # --- shapes

    def _outputs(self, time: Any) -> Any:
        reach, step = self._reach, self.strides[0]
        if self.padding == "valid":
            extra = max(step - reach, 0) if self.output_padding is None else self.output_padding[0]
            outputs = (time - 1) * step + reach + extra
        elif self.output_padding is None:
            outputs = time * step
        else:
            outputs = (time - 1) * step + reach % 2 + self.output_padding[0]
        return np.where(time > 0, outputs, 0) if isinstance(time, np.ndarray) else outputs

    @property
    def _cut(self) -> int:
        """Steps cut off the front of all that windows reach."""
        if self.padding == "valid":
            return 0
        reach = self._reach
        extra = self.strides[0] if self.output_padding is None else reach % 2 + self.output_padding[0]
        total = reach - 2 + extra
        return max(reach - 1 - (total + 1) // 2, 0)

    def _reached(self, time: int) -> int:
        """Steps that windows reach, and as many behind as the output has."""
        outputs: int = self._outputs(time)
        return max((time - 1) * self.strides[0] + self._reach, self._cut + outputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        time = input_shape[2 if self._first else 1]
        return self._output_shape(input_shape, None if time is None else self._outputs(time), self.filters)

    # --- calls

    def _pack(self) -> Any:
        return _core.Conv1DWeights(self.kernel._data)

    def forward(self, x: Array, call: Call) -> Array:
        self.compute_output_shape(x.shape)
        if self._first:
            x = np.moveaxis(x, 1, 2)
        x = np.ascontiguousarray(x if self._first else clear_padding(x, call.lengths))
        time = x.shape[1]
        weights = self.packed((self.kernel,), self._pack)
        reached = _core.conv1d_input_gradient(
            weights, x, self._reached(time), self.strides[0], self.dilation_rate[0]
        )
        z = np.ascontiguousarray(reached[:, self._cut : self._cut + self._outputs(time)])
        if self.bias is not None:
            z += self.bias._data
        if self._first:
            z = np.ascontiguousarray(np.moveaxis(z, 2, 1))
        y = activations.forward(self.activation, z)
        if call.save:
            call.saved = (weights, x, z, y)
        return y

    def backward(self, dy: Array, call: Call) -> Array | None:
        weights, x, z, y = call.saved
        dz = activations.backward(self.activation, z, y, np.ascontiguousarray(dy, np.float32))
        if self._first:
            dz = np.ascontiguousarray(np.moveaxis(dz, 1, 2))
        if self.bias is not None:
            self.bias.add_grad(dz.sum(axis=1).sum(axis=0))
        reached = np.zeros((len(dz), self._reached(x.shape[1]), self.filters), np.float32)
        reached[:, self._cut : self._cut + dz.shape[1]] = dz
        step, spread = self.strides[0], self.dilation_rate[0]
        dkernel, accumulate = self.kernel.grad_out()
        _core.conv1d_backward(weights, reached, x, step, spread, dkernel, None, accumulate, False)
        if not call.needs_dx:
            return None
        dx = _core.conv1d_forward(weights, reached, step, spread)
        if self._first:
            return np.ascontiguousarray(np.moveaxis(dx, 2, 1))
        return clear_padding(dx, call.lengths)

    def frozen(self) -> FrozenLayer:
        if self._first:
            raise ValueError(f"layer {self.name!r} cannot be frozen: data_format is 'channels_first'")
        name, following = frozen_activation(self)
        arguments = {
            "kernel": self.kernel.numpy(),
            "bias": None if self.bias is None else self.bias.numpy(),
            "stride": self.strides[0],
            "dilation": self.dilation_rate[0],
            "cut": self._cut,
            "steps_at_zero": self._outputs(0),
            "activation": name,
        }
        return FrozenLayer("transposed_convolution", arguments, "it makes another time axis", following)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "output_padding": self.output_padding,
            "kernel_initializer": serialize_keras_object(self.kernel_initializer),
            "kernel_regularizer": serialize_keras_object(self.kernel_regularizer),
            "kernel_constraint": serialize_keras_object(self.kernel_constraint),
        }


Convolution1DTranspose = Conv1DTranspose
