# SPDX-License-Identifier: BSD-3-Clause
"""Convolution over time."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from ... import _core, constraints, initializers, regularizers
from ...saving.registry import serialize_keras_object
from ...variables import grad_outs
from ..building import build_activation
from ..frozen import FrozenLayer
from .base import WindowedConvolution

__all__ = ["Conv1D", "Convolution1D"]

Array = npt.NDArray[Any]


class Conv1D(WindowedConvolution):
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

    filters: int
    groups: int

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
        super().__init__(
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            use_bias,
            causal=True,
            bias_initializer=bias_initializer,
            bias_regularizer=bias_regularizer,
            bias_constraint=bias_constraint,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self._set_positive(filters=filters, groups=groups)
        if filters % groups:
            raise ValueError(
                "The number of filters must be evenly divisible by the number of groups. Received: "
                f"groups={groups}, filters={filters}."
            )
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)

    def build(self, input_shape: Any) -> None:
        channels = self._channels_of(input_shape)
        if channels % self.groups:
            raise ValueError(
                "The number of input channels must be evenly divisible by the number of groups. Received "
                f"groups={self.groups}, but the input has {channels} channels (full input shape is "
                f"{tuple(input_shape)})."
            )
        self.compute_output_shape(input_shape)
        self.kernel = self._add_kernel((*self.kernel_size, channels // self.groups, self.filters))
        self._add_bias(self.filters)
        self.built = True
        build_activation(self, input_shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self._windows_shape(input_shape, self.filters)

    # --- calls

    def _pack(self) -> Any:
        bias = None if self.bias is None else self.bias._data
        return _core.Conv1DWeights(self.kernel._data, bias, self.groups)

    def multiply(self, x: Array, activation: str) -> tuple[Array, Any]:
        weights = self.packed((self.kernel, self.bias), self._pack)
        return _core.conv1d_forward(weights, x, self.strides[0], self.dilation_rate[0], activation), weights

    def multiply_back(self, x: Array, kept: Any, dz: Array, needs_dx: bool) -> Array | None:
        (dkernel, dbias), accumulate = grad_outs(self.kernel, self.bias)
        step, spread = self.strides[0], self.dilation_rate[0]
        return _core.conv1d_backward(kept, x, dz, step, spread, dkernel, dbias, accumulate, needs_dx)

    def frozen(self) -> FrozenLayer:
        arguments, refusal, following = self._frozen_arguments()
        arguments = {**arguments, "kernel": self.kernel.numpy(), "groups": self.groups}
        return FrozenLayer("conv1d", arguments, refusal, following)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "groups": self.groups,
            "kernel_initializer": serialize_keras_object(self.kernel_initializer),
            "kernel_regularizer": serialize_keras_object(self.kernel_regularizer),
            "kernel_constraint": serialize_keras_object(self.kernel_constraint),
        }


Convolution1D = Conv1D
