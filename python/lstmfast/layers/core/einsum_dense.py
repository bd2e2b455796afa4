# SPDX-License-Identifier: BSD-3-Clause
"""A dense layer whose product is an Einstein sum."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ... import _core, activations, constraints, initializers, regularizers
from ...saving.registry import serialize_keras_object
from ...symbolic import Node
from ...variables import grad_outs
from ..base import Layer
from ..building import build_activation
from ..call import Call
from ..frozen import FrozenGraph, FrozenLayer, frozen_activation
from ..input_spec import InputSpec

__all__ = ["EinsumDense"]

Array = npt.NDArray[Any]


class _Plan(NamedTuple):
    """An equation for inputs of one rank: index letters, and shapes."""

    x: str
    kernel: str
    y: str
    kernel_shape: tuple[int, ...]
    bias_shape: tuple[int, ...] | None
    output_shape: tuple[int | None, ...]
    #: Sizes of the output's axes that the kernel has.
    y_sizes: tuple[int, ...]
    #: Number of leading axes that input and output share, if the rest is one matrix product; else None.
    leading: int | None


class EinsumDense(Layer):
    """``activation(einsum(equation, x, kernel) + bias)``.

    Parameters
    ----------
    equation : str
        Such as ``"abc,cd->abd"``; ``...`` may stand for leading or trailing axes of input and output.
    output_shape : int or tuple of int or None
        Shape of the output without the batch axis (and without those of ``...``); None where it is as in the input.
    activation : str or callable, optional
        Linear by default.
    bias_axes : str, optional
        Axes of the output that the bias has; no bias by default.
    kernel_initializer, bias_initializer : str, dict or callable
    kernel_regularizer, bias_regularizer : str, dict or Regularizer, optional
    kernel_constraint, bias_constraint : str, dict or callable, optional
    lora_rank, lora_alpha, gptq_unpacked_column_size, quantization_config : None
        Keras's; not supported.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input and output float32. Where trailing axes of the input meet the leading ones of the kernel, in order, the product
    runs on the native matrix kernel, as in `Dense`; otherwise on NumPy.

    Raises
    ------
    ValueError
        If the equation has another form, does not fit `output_shape` or the input, or a size is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import EinsumDense
    >>> EinsumDense("abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de")(np.zeros((7, 5, 4))).shape
    (7, 5, 2, 3)
    """

    supports_masking = False

    def __init__(
        self,
        equation: str,
        output_shape: Any,
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: None = None,
        lora_alpha: None = None,
        gptq_unpacked_column_size: None = None,
        quantization_config: None = None,
        **kwargs: Any,
    ) -> None:
        extras = {
            "lora_rank": lora_rank,
            "lora_alpha": lora_alpha,
            "gptq_unpacked_column_size": gptq_unpacked_column_size,
            "quantization_config": quantization_config,
        }
        for argument, value in extras.items():
            if value is not None:
                raise ValueError(f"{argument}={value!r} is not supported")
        super().__init__(**kwargs)
        _split(equation)
        self.equation = equation
        self.partial_output_shape = (
            (output_shape,) if isinstance(output_shape, (int, np.integer)) else tuple(output_shape)
        )
        self.bias_axes = bias_axes
        self.activation = activations.get(activation)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def _plan(self, shape: Sequence[Any]) -> _Plan:
        x, kernel, y, left = _split(self.equation)
        elided = len(shape) - len(x)
        if elided < 0 or (elided and left is None):
            raise ValueError(
                f"equation={self.equation!r} does not fit inputs of layer {self.name!r} with shape {tuple(shape)}"
            )
        if left is not None:
            spare = "".join(c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in x + kernel + y)[:elided]
            x, y = (spare + x, spare + y) if left else (x + spare, y + spare)
        if len(set(x)) != len(x) or len(set(kernel)) != len(kernel) or set(kernel) - set(x) - set(y):
            raise ValueError(f"equation={self.equation!r} names an index twice, or one of the kernel alone")
        known = dict(zip(x, shape, strict=True))
        given = [None, *self.partial_output_shape]
        if left is not None:
            tail = list(self.partial_output_shape)
            given = [None] * (len(y) - len(tail)) + tail
            if left is False:
                given = ([None, *tail] + [None] * len(y))[: len(y)]
        if len(given) != len(y):
            raise ValueError(
                f"output_shape={self.partial_output_shape} does not fit equation={self.equation!r} for inputs of shape "
                f"{tuple(shape)}"
            )
        sizes = dict(known)
        for letter, size in zip(y, given, strict=True):
            if letter in known:
                if size is not None and known[letter] is not None and known[letter] != size:
                    raise ValueError(
                        f"Input shape and output shape do not match at shared dimension '{letter}'. Input shape is "
                        f"{known[letter]}, and output shape is {size}."
                    )
                sizes[letter] = known[letter] if size is None else size
            else:
                sizes[letter] = size
        for letter in kernel:
            if sizes.get(letter) is None:
                raise ValueError(f"The size of axis {letter!r} of equation={self.equation!r} must be known")
        bias_shape = None
        if self.bias_axes:
            if set(self.bias_axes) - set(y):
                raise ValueError(
                    f"Bias dimension(s) '{self.bias_axes}' were requested, but are not part of the output spec '{y}'"
                )
            first = min(y.index(letter) for letter in self.bias_axes)
            bias_shape = tuple(sizes[c] if c in self.bias_axes else 1 for c in y[first:])
            if None in bias_shape:
                raise ValueError(f"The sizes of bias_axes={self.bias_axes!r} must be known")
        shared = [c for c in kernel if c in x]
        inner, outer = kernel[: len(shared)], kernel[len(shared) :]
        matrix = x.endswith(inner) and list(inner) == shared and y == x[: len(x) - len(inner)] + outer
        full_bias = bias_shape is None or bias_shape == tuple(sizes[c] for c in outer)
        return _Plan(
            x,
            kernel,
            y,
            tuple(sizes[c] for c in kernel),
            bias_shape,
            tuple(sizes[c] for c in y),
            tuple(sizes[c] or 0 for c in y if c in kernel),
            len(x) - len(inner) if matrix and inner and outer and full_bias else None,
        )

    def build(self, input_shape: Any) -> None:
        plan = self._plan(input_shape)
        initializer = self.kernel_initializer
        if isinstance(initializer, initializers.VarianceScaling) and (
            initializer.input_axes is None or initializer.output_axes is None
        ):
            # Fans are products of several axes, as if the kernel were a matrix.
            axes = {
                "input_axes": [k for k, c in enumerate(plan.kernel) if c in plan.x],
                "output_axes": [k for k, c in enumerate(plan.kernel) if c in plan.y],
            }
            initializer = type(initializer).from_config({**initializer.get_config(), **axes})
        self.kernel = self.add_weight(
            plan.kernel_shape,
            initializer,
            "kernel",
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if plan.bias_shape is not None:
            self.bias = self.add_weight(
                plan.bias_shape,
                self.bias_initializer,
                "bias",
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.input_spec = InputSpec(ndim=len(input_shape))
        self.built = True
        build_activation(self, input_shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self._plan(input_shape).output_shape

    def _matrix_shape(self, plan: _Plan, x: Array) -> tuple[int, int]:
        inner = math.prod(x.shape[plan.leading :])
        return inner, math.prod(plan.kernel_shape) // inner

    def _pack(self, shape: tuple[int, int]) -> Any:
        bias = None if self.bias is None else self.bias._data.reshape(-1)
        return _core.DenseWeights(self.kernel._data.reshape(shape), bias)

    def forward(self, x: Array, call: Call) -> Array:
        plan = self._plan(x.shape)
        if self.kernel.shape != plan.kernel_shape:
            raise ValueError(
                f"inputs of layer {self.name!r} with shape {x.shape} need a kernel of shape {plan.kernel_shape}, it has "
                f"{self.kernel.shape}"
            )
        weights: Any = None
        if plan.leading is not None and x.dtype == np.float32:
            shape = self._matrix_shape(plan, x)
            weights = self.packed((self.kernel, self.bias), lambda: self._pack(shape))
            rows = np.ascontiguousarray(x).reshape(-1, shape[0])
            z = _core.dense_forward(weights, rows, "linear").reshape(*x.shape[: plan.leading], *plan.y_sizes)
        else:
            z = np.einsum(f"{plan.x},{plan.kernel}->{plan.y}", x, self.kernel.value, optimize=True)
            if self.bias is not None:
                z = z + self.bias.value
        z = np.ascontiguousarray(z)
        y = activations.forward(self.activation, z)
        if call.save:
            call.saved = (plan, weights, x, z, y)
        return y

    def backward(self, dy: Array, call: Call) -> Array | None:
        plan, weights, x, z, y = call.saved
        dz = np.ascontiguousarray(dy, np.float32)
        if self.activation is not activations.linear:
            dz = activations.backward(self.activation, z, y, dz)
        if weights is not None:
            shape = self._matrix_shape(plan, x)
            (dkernel, dbias), accumulate = grad_outs(self.kernel, self.bias)
            dbias = None if dbias is None else dbias.reshape(-1)
            rows = np.ascontiguousarray(x).reshape(-1, shape[0])
            dx = _core.dense_backward(
                weights,
                rows,
                dz.reshape(-1, shape[1]),
                dkernel.reshape(shape),
                dbias,
                accumulate,
                call.needs_dx,
            )
            return None if dx is None else dx.reshape(x.shape)
        # An index that only one of the factors has is summed over there: its gradient is the same for all.
        self.kernel.add_grad(np.einsum(f"{plan.x},{plan.y}->{plan.kernel}", x, dz, optimize=True))
        if self.bias is not None:
            first = dz.ndim - self.bias.ndim
            axes = [*range(first), *(first + k for k, n in enumerate(self.bias.shape) if n == 1)]
            self.bias.add_grad(dz.sum(axis=tuple(axes)).reshape(self.bias.shape))
        kept = "".join(c for c in plan.x if c in plan.y + plan.kernel)
        part = np.einsum(f"{plan.y},{plan.kernel}->{kept}", dz, self.kernel.value, optimize=True)
        missing = tuple(k for k, c in enumerate(plan.x) if c not in kept)
        return np.broadcast_to(np.expand_dims(part, missing), x.shape).astype(np.float32)

    def frozen_call(self, node: Node, inputs: list[Any]) -> FrozenLayer | FrozenGraph | None:
        shape = inputs[0].shape
        plan = self._plan(shape)
        rows = len(shape) in (2, 3) and plan.leading == len(shape) - 1 and len(plan.y) == len(shape)
        if not rows:
            raise ValueError(
                f"layer {self.name!r} cannot be frozen: only a product of the last axis has a native form"
            )
        return super().frozen_call(node, inputs)

    def frozen(self) -> FrozenLayer:
        bias = None if self.bias is None else self.bias.numpy().reshape(-1)
        name, following = frozen_activation(self)
        arguments = {"kernel": self.kernel.numpy(), "bias": bias, "activation": name}
        return FrozenLayer("dense", arguments, following=following)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "output_shape": self.partial_output_shape,
            "equation": self.equation,
            "activation": activations.serialize(self.activation),
            "bias_axes": self.bias_axes,
            "kernel_initializer": serialize_keras_object(self.kernel_initializer),
            "bias_initializer": serialize_keras_object(self.bias_initializer),
            "kernel_regularizer": serialize_keras_object(self.kernel_regularizer),
            "bias_regularizer": serialize_keras_object(self.bias_regularizer),
            "activity_regularizer": serialize_keras_object(self.activity_regularizer),
            "kernel_constraint": serialize_keras_object(self.kernel_constraint),
            "bias_constraint": serialize_keras_object(self.bias_constraint),
            "quantization_config": None,
        }


def _split(equation: str) -> tuple[str, str, str, bool | None]:
    """(input, kernel, output) letters, and whether ``...`` is on the left (True), right (False) or absent."""
    forms = (
        (r"([a-zA-Z]+),([a-zA-Z]+)->([a-zA-Z]+)", None),
        (r"\.\.\.([a-zA-Z]+),([a-zA-Z]+)->\.\.\.([a-zA-Z]+)", True),
        (r"([a-zA-Z]{2,})\.\.\.,([a-zA-Z]+)->([a-zA-Z]+)\.\.\.", False),
    )
    for pattern, left in forms:
        match = re.fullmatch(pattern, equation) if isinstance(equation, str) else None
        if match:
            return match[1], match[2], match[3], left
    raise ValueError(
        f"Invalid einsum equation {equation!r}. Equations must be in the form [X],[Y]->[Z], ...[X],[Y]->...[Z], or "
        "[X]...,[Y]->[Z]...."
    )
