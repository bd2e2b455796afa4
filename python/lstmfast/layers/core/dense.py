# SPDX-License-Identifier: BSD-3-Clause
"""The fully connected layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ... import _core, activations, constraints, initializers, regularizers
from ...saving.registry import serialize_keras_object
from ...variables import grad_outs
from ..base import Layer
from ..building import build_activation
from ..call import Call
from ..frozen import FrozenLayer, frozen_activation
from ..input_spec import InputSpec

__all__ = ["Dense"]

Array = npt.NDArray[Any]


class Dense(Layer):
    """``activation(x @ kernel + bias)`` over the last axis.

    Parameters
    ----------
    units : int
        Size of the output's last axis.
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
    Input (batch, ..., n) float32, output (batch, ..., units). Weights: kernel (n, units), bias (units,).
    Product, bias and activation are one kernel (`lstmfast.reference.dense_forward` is its specification).

    Raises
    ------
    ValueError
        If `units` is not a positive integer, or the input has fewer than 2 axes or another last axis than
        before.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Dense
    >>> layer = Dense(2, activation="relu", kernel_initializer="ones")
    >>> layer(np.array([[1.0, 2.0], [-3.0, 1.0]]))
    array([[3., 3.],
           [0., 0.]], dtype=float32)
    """

    supports_masking = True

    def __init__(
        self,
        units: int,
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
        if not isinstance(units, (int, np.integer)) or isinstance(units, bool) or units <= 0:
            raise ValueError(
                "Received an invalid value for `units`, expected a positive integer. Received: "
                f"units={units!r}"
            )
        extras = {
            "lora_rank": lora_rank,
            "lora_alpha": lora_alpha,
            "quantization_config": quantization_config,
        }
        for argument, value in extras.items():
            if value is not None:
                raise ValueError(f"{argument}={value!r} is not supported")
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.units = int(units)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(min_ndim=2)

    def build(self, input_shape: Any) -> None:
        n = input_shape[-1]
        if n is None:
            raise ValueError(
                f"The last axis of the inputs of layer {self.name!r} must be known, got {input_shape}"
            )
        self.kernel = self.add_weight(
            (n, self.units),
            self.kernel_initializer,
            "kernel",
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                (self.units,),
                self.bias_initializer,
                "bias",
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.input_spec = InputSpec(min_ndim=2, axes={-1: n})
        self.built = True
        build_activation(self, input_shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.units)

    @property
    def deferrable_activation(self) -> str | None:
        """Name of the activation that a loss may apply in this layer's place."""
        return activations.native_name(self.activation)

    def _pack(self) -> Any:
        bias = None if self.bias is None else self.bias._data
        return _core.DenseWeights(self.kernel._data, bias)

    def forward(self, x: Array, call: Call) -> Array:
        weights = self.packed((self.kernel, self.bias), self._pack)
        rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        activation = (None if call.defer_activation else self.activation) or activations.linear
        name = activations.native_name(activation)
        z = None
        if name is None or name == "softmax" or (call.save and activations.needs_input(activation)):
            z = _core.dense_forward(weights, rows, "linear").reshape(*x.shape[:-1], self.units)
            y = activations.forward(activation, z)
        else:
            y = _core.dense_forward(weights, rows, name)
        if call.save:
            call.saved = (weights, rows, z, y, activation, x.shape)
        return y.reshape(*x.shape[:-1], self.units)

    def backward(self, dy: Array, call: Call) -> Array | None:
        weights, rows, z, y, activation, shape = call.saved
        dz = np.ascontiguousarray(dy, np.float32).reshape(y.shape)
        if activation is not activations.linear:
            dz = activations.backward(activation, z, y, dz).reshape(len(rows), -1)
        (dkernel, dbias), accumulate = grad_outs(self.kernel, self.bias)
        dx = _core.dense_backward(weights, rows, dz, dkernel, dbias, accumulate, call.needs_dx)
        return None if dx is None else dx.reshape(shape)

    def frozen(self) -> FrozenLayer:
        name, following = frozen_activation(self)
        bias = None if self.bias is None else self.bias.numpy()
        arguments = {"kernel": self.kernel.numpy(), "bias": bias, "activation": name}
        return FrozenLayer("dense", arguments, following=following)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": serialize_keras_object(self.kernel_initializer),
            "bias_initializer": serialize_keras_object(self.bias_initializer),
            "kernel_regularizer": serialize_keras_object(self.kernel_regularizer),
            "bias_regularizer": serialize_keras_object(self.bias_regularizer),
            "kernel_constraint": serialize_keras_object(self.kernel_constraint),
            "bias_constraint": serialize_keras_object(self.bias_constraint),
            "quantization_config": None,
        }
