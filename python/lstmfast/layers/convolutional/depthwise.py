# SPDX-License-Identifier: BSD-3-Clause
"""Convolutions over time that see each feature alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ... import _core, constraints, initializers, regularizers
from ...saving.registry import serialize_keras_object
from ...variables import Variable, grad_outs
from ..building import build_activation
from ..frozen import FrozenLayer
from .base import WindowedConvolution

__all__ = ["DepthwiseConv1D", "SeparableConv1D", "SeparableConvolution1D"]

Array = npt.NDArray[Any]


class _Depthwise(WindowedConvolution):
    """The product of each feature's windows with kernels of its own."""

    depth_multiplier: int

    def _as_groups(self, kernel: Variable) -> Array:
        """The kernel (K, C, D) as that of a convolution with a group for each feature, (K, 1, C * D)."""
        return kernel._data.reshape(len(kernel._data), 1, -1)

    def _depthwise(self, weights: Any, x: Array, activation: str) -> Array:
        return _core.conv1d_forward(weights, x, self.strides[0], self.dilation_rate[0], activation)

    def _depthwise_back(self, kernel: Variable, x: Array, dz: Array, needs_dx: bool) -> Array | None:
        """The gradients of a depthwise product of x (B, T, C), from those of its windows (B, O, C * D).

        As many passes over memory as a window has steps. The matrix kernel's tiles would be one column wide: five to
        thirty times slower.
        """
        taps, channels, depth = kernel.shape
        values = kernel._data.reshape(taps, channels * depth)
        wide = np.repeat(x, depth, axis=2) if depth > 1 else x
        dx = np.zeros(wide.shape, np.float32) if needs_dx else None
        dkernel = np.empty(values.shape, np.float32)
        product = np.empty(dz.shape, np.float32)
        last = (dz.shape[1] - 1) * self.strides[0] + 1
        for tap in range(taps):
            first = tap * self.dilation_rate[0]
            steps = slice(first, first + last, self.strides[0])
            # Rows first and then their sums, which keeps float32 sums short.
            dkernel[tap] = np.multiply(wide[:, steps], dz, out=product).sum(axis=1).sum(axis=0)
            if dx is not None:
                dx[:, steps] += np.multiply(dz, values[tap], out=product)
        kernel.add_grad(dkernel.reshape(kernel.shape))
        if dx is None or depth == 1:
            return dx
        summed: Array = dx.reshape(*x.shape, depth).sum(axis=3)
        return summed


class DepthwiseConv1D(_Depthwise):
    """A window over time for each feature alone: ``activation(depthwise_conv(x, kernel) + bias)``.

    Parameters
    ----------
    kernel_size : int
        Steps of the window.
    strides : int
        Steps from one window to the next.
    padding : {"valid", "same"}
        Whole windows only, or ``ceil(time / strides)`` windows with zeros at both ends.
    depth_multiplier : int
        Outputs of each feature.
    data_format : {"channels_last", "channels_first"}, optional
        Whether time is axis 1 or axis 2.
    dilation_rate : int
        Distance of the window's steps.
    activation : str or callable, optional
        Linear by default.
    use_bias : bool
    depthwise_initializer, bias_initializer : str, dict or callable
    depthwise_regularizer, bias_regularizer, activity_regularizer : str, dict or Regularizer, optional
    depthwise_constraint, bias_constraint : str, dict or callable, optional
    **kwargs
        See `Layer`.

    Notes
    -----
    Input (batch, time, features), output (batch, windows, features * depth_multiplier), those of one feature side by
    side. Weights: kernel (kernel_size, features, depth_multiplier), bias (features * depth_multiplier,). A mask ends
    here, as in Keras. With `lengths` each row gives what it gives alone, without its padding.

    Raises
    ------
    ValueError
        If a size is not a positive integer, both `strides` and `dilation_rate` are above 1, or the input is shorter
        than a window.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import DepthwiseConv1D
    >>> layer = DepthwiseConv1D(2, depthwise_initializer="ones")
    >>> layer(np.array([[[1.0, 10.0], [2.0, 20.0], [5.0, 50.0]]]))[0]
    array([[ 3., 30.],
           [ 7., 70.]], dtype=float32)
    """

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
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
        self._set_positive(depth_multiplier=depth_multiplier)
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)

    def build(self, input_shape: Any) -> None:
        channels = self._channels_of(input_shape)
        self.compute_output_shape(input_shape)
        self.kernel = self._add_kernel((*self.kernel_size, channels, self.depth_multiplier), kind="depthwise")
        self._add_bias(channels * self.depth_multiplier)
        self.built = True
        build_activation(self, input_shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        channels = input_shape[1 if self._first else 2]
        return self._windows_shape(input_shape, channels * self.depth_multiplier)

    def _pack(self) -> Any:
        bias = None if self.bias is None else self.bias._data
        return _core.Conv1DWeights(self._as_groups(self.kernel), bias, self.kernel.shape[1])

    def multiply(self, x: Array, activation: str) -> tuple[Array, Any]:
        return self._depthwise(self.packed((self.kernel, self.bias), self._pack), x, activation), None

    def multiply_back(self, x: Array, kept: Any, dz: Array, needs_dx: bool) -> Array | None:
        if self.bias is not None:
            self.bias.add_grad(dz.sum(axis=1).sum(axis=0))
        return self._depthwise_back(self.kernel, x, dz, needs_dx)

    def frozen(self) -> FrozenLayer:
        arguments, refusal, following = self._frozen_arguments()
        weights = {"kernel": self._as_groups(self.kernel).copy(), "groups": self.kernel.shape[1]}
        return FrozenLayer("conv1d", {**arguments, **weights}, refusal, following)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "depth_multiplier": self.depth_multiplier,
            "depthwise_initializer": serialize_keras_object(self.depthwise_initializer),
            "depthwise_regularizer": serialize_keras_object(self.depthwise_regularizer),
            "depthwise_constraint": serialize_keras_object(self.depthwise_constraint),
        }


class SeparableConv1D(_Depthwise):
    """A window over time for each feature alone, and a product that mixes the features of a step (Chollet 2017).

    ``activation(depthwise_conv(x, depthwise_kernel) @ pointwise_kernel + bias)``

    Parameters
    ----------
    filters : int
        Size of the output's last axis.
    kernel_size : int
        Steps of the window.
    strides : int
        Steps from one window to the next.
    padding : {"valid", "same"}
        Whole windows only, or ``ceil(time / strides)`` windows with zeros at both ends.
    data_format : {"channels_last", "channels_first"}, optional
        Whether time is axis 1 or axis 2.
    dilation_rate : int
        Distance of the window's steps.
    depth_multiplier : int
        Depthwise outputs of each feature.
    activation : str or callable, optional
        Linear by default.
    use_bias : bool
    depthwise_initializer, pointwise_initializer, bias_initializer : str, dict or callable
    depthwise_regularizer, pointwise_regularizer, bias_regularizer : str, dict or Regularizer, optional
    activity_regularizer : str, dict or Regularizer, optional
    depthwise_constraint, pointwise_constraint, bias_constraint : str, dict or callable, optional
    **kwargs
        See `Layer`.

    Notes
    -----
    Input (batch, time, features), output (batch, windows, filters). Weights: depthwise kernel (kernel_size, features,
    depth_multiplier), pointwise kernel (1, features * depth_multiplier, filters), bias (filters,). A mask ends here,
    as in Keras. With `lengths` each row gives what it gives alone, without its padding.

    F. Chollet, Xception: deep learning with depthwise separable convolutions, 2017, https://arxiv.org/abs/1610.02357

    Raises
    ------
    ValueError
        If a size is not a positive integer, both `strides` and `dilation_rate` are above 1, or the input is shorter
        than a window.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import SeparableConv1D
    >>> layer = SeparableConv1D(1, 2, depthwise_initializer="ones", pointwise_initializer="ones")
    >>> layer(np.array([[[1.0, 10.0], [2.0, 20.0], [5.0, 50.0]]]))[0, :, 0]
    array([33., 77.], dtype=float32)
    """

    filters: int

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
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
        self._set_positive(depth_multiplier=depth_multiplier, filters=filters)
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.pointwise_initializer = initializers.get(pointwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)
        self.pointwise_constraint = constraints.get(pointwise_constraint)

    def build(self, input_shape: Any) -> None:
        channels = self._channels_of(input_shape)
        self.compute_output_shape(input_shape)
        self.depthwise_kernel = self._add_kernel(
            (*self.kernel_size, channels, self.depth_multiplier), "depthwise_kernel", "depthwise"
        )
        self.pointwise_kernel = self._add_kernel(
            (1, channels * self.depth_multiplier, self.filters), "pointwise_kernel", "pointwise"
        )
        self._add_bias(self.filters)
        self.built = True
        build_activation(self, input_shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self._windows_shape(input_shape, self.filters)

    def _pack(self) -> tuple[Any, Any]:
        bias = None if self.bias is None else self.bias._data
        depthwise = self.depthwise_kernel
        return (
            _core.Conv1DWeights(self._as_groups(depthwise), None, depthwise.shape[1]),
            _core.Conv1DWeights(self.pointwise_kernel._data, bias),
        )

    def multiply(self, x: Array, activation: str) -> tuple[Array, Any]:
        depthwise, pointwise = self.packed(
            (self.depthwise_kernel, self.pointwise_kernel, self.bias), self._pack
        )
        middle = self._depthwise(depthwise, x, "linear")
        return _core.conv1d_forward(pointwise, middle, activation=activation), (pointwise, middle)

    def multiply_back(self, x: Array, kept: Any, dz: Array, needs_dx: bool) -> Array | None:
        pointwise, middle = kept
        (dkernel, dbias), accumulate = grad_outs(self.pointwise_kernel, self.bias)
        needs_middle = needs_dx or self.depthwise_kernel.trainable
        dmiddle = _core.conv1d_backward(pointwise, middle, dz, 1, 1, dkernel, dbias, accumulate, needs_middle)
        return None if dmiddle is None else self._depthwise_back(self.depthwise_kernel, x, dmiddle, needs_dx)

    def frozen(self) -> FrozenLayer:
        arguments, refusal, following = self._frozen_arguments()
        kernel = self.pointwise_kernel.numpy()
        plain = {"stride": 1, "dilation": 1, "groups": 1, "padding": "valid"}
        pointwise = FrozenLayer("conv1d", {**arguments, **plain, "kernel": kernel}, following=following)
        depthwise = {"kernel": self._as_groups(self.depthwise_kernel).copy(), "bias": None}
        groups = {"groups": self.depthwise_kernel.shape[1], "activation": "linear"}
        return FrozenLayer("conv1d", {**arguments, **depthwise, **groups}, refusal, pointwise)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "depth_multiplier": self.depth_multiplier,
            "depthwise_initializer": serialize_keras_object(self.depthwise_initializer),
            "pointwise_initializer": serialize_keras_object(self.pointwise_initializer),
            "depthwise_regularizer": serialize_keras_object(self.depthwise_regularizer),
            "pointwise_regularizer": serialize_keras_object(self.pointwise_regularizer),
            "depthwise_constraint": serialize_keras_object(self.depthwise_constraint),
            "pointwise_constraint": serialize_keras_object(self.pointwise_constraint),
        }


SeparableConvolution1D = SeparableConv1D
