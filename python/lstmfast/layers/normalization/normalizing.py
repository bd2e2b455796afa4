# SPDX-License-Identifier: BSD-3-Clause
"""What the normalization layers share: the mathematics, axes, learned scale and shift."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import _core, constraints, initializers, regularizers
from ...saving.registry import serialize_keras_object
from ...variables import Variable, grad_outs
from ..base import Layer
from ..frozen import FrozenLayer

Array = npt.NDArray[Any]


def mean_over(a: Array, axes: tuple[int, ...], b: Array | None = None) -> Array:
    """Mean of `a`, or of ``a * b``, over `axes`, which stay with size 1.

    Along the last axis NumPy adds in pairs; along others it would add row after row in float32, so there in float64.
    """
    n = np.prod([a.shape[k] for k in axes], dtype=np.int64)
    if axes == (a.ndim - 1,):
        total = a.sum(axis=-1) if b is None else np.einsum("...i,...i->...", a, b)
        return np.asarray(total[..., None] / a.dtype.type(n))
    product = a if b is None else a * b
    return np.asarray(product.mean(axis=axes, keepdims=True, dtype=np.float64).astype(a.dtype))


def standardized(
    x: Array, axes: tuple[int, ...], epsilon: float, centered: bool = True
) -> tuple[Array, Array]:
    """``(x - mean) / sqrt(variance + epsilon)`` over `axes`, without the mean if not `centered`; and 1 / sqrt(...)."""
    deviation = x - mean_over(x, axes) if centered else x
    inverse = 1 / np.sqrt(mean_over(deviation, axes, deviation) + x.dtype.type(epsilon))
    normal = np.multiply(deviation, inverse, out=deviation if centered else None)
    return normal, inverse


def standardized_backward(
    dy: Array, normal: Array, inverse: Array, axes: tuple[int, ...], centered: bool = True
) -> Array:
    """Gradient of the input of `standardized`."""
    dx = normal * mean_over(dy, axes, normal)
    np.subtract(dy, dx, out=dx)
    if centered:
        dx -= mean_over(dy, axes)
    dx *= inverse
    return dx


class Vectors:
    """Each vector over `axes` of an array normalized, times `gamma` plus `beta`: a forward pass and what it keeps.

    float32 goes through the native kernel, as rows of a matrix. NumPy does float64, for `check_gradients`.
    """

    def __init__(self, x: Array, axes: tuple[int, ...], epsilon: float, centered: bool) -> None:
        self.x, self.axes, self.epsilon, self.centered = x, axes, epsilon, centered

    def forward(self, gamma: Variable | None, beta: Variable | None, keep: bool) -> Array:
        if self.x.dtype != np.float32:
            normal, inverse = standardized(self.x, self.axes, self.epsilon, self.centered)
            y = normal if gamma is None else normal * along(gamma.value, self.axes, normal.ndim)
            return y if beta is None else y + along(beta.value, self.axes, normal.ndim)
        self.rows = as_rows(self.x, self.axes)
        y, self.moments = _core.layer_norm_forward(
            self.rows, flat(gamma), flat(beta), self.epsilon, self.centered, keep
        )
        return from_rows(y, self.x.shape, self.axes)

    def backward(
        self, dy: Array, gamma: Variable | None, beta: Variable | None, needs_dx: bool
    ) -> Array | None:
        """The gradient of x; those of `gamma` and `beta` go to the variables."""
        assert self.moments is not None
        dgamma, dbeta, accumulate = gradients_out(gamma, beta)
        dx = _core.layer_norm_backward(
            self.rows,
            as_rows(np.asarray(dy, np.float32), self.axes),
            flat(gamma),
            self.moments,
            self.centered,
            dgamma,
            dbeta,
            accumulate,
            needs_dx,
        )
        return None if dx is None else from_rows(dx, self.x.shape, self.axes)


def as_rows(x: Array, axes: tuple[int, ...]) -> Array:
    """A matrix whose columns are `axes`, contiguous; a copy only where these are not the last."""
    others = tuple(k for k in range(x.ndim) if k not in axes)
    return np.ascontiguousarray(x.transpose(*others, *axes)).reshape(-1, math.prod(x.shape[k] for k in axes))


def from_rows(rows: Array, shape: Sequence[int], axes: tuple[int, ...]) -> Array:
    """The array of this shape that `as_rows` made a matrix of."""
    order = (*(k for k in range(len(shape)) if k not in axes), *axes)
    x = rows.reshape([shape[k] for k in order]).transpose(np.argsort(order))
    return np.ascontiguousarray(x)


def flat(weight: Variable | None) -> Array | None:
    return None if weight is None else weight._data.reshape(-1)


def gradients_out(gamma: Variable | None, beta: Variable | None) -> tuple[Array | None, Array | None, bool]:
    """Where the gradients of the two go, flat, and whether they are added to what is there."""
    (dgamma, dbeta), accumulate = grad_outs(gamma, beta)
    of_gamma = None if dgamma is None else dgamma.reshape(-1)
    return of_gamma, None if dbeta is None else dbeta.reshape(-1), accumulate


class Affine(Layer):
    """Base of the layers that scale by `gamma` and shift by `beta` in the end. See `LayerNormalization`."""

    supports_masking = True

    def __init__(
        self,
        epsilon: float,
        center: bool,
        scale: bool,
        beta_initializer: Any,
        gamma_initializer: Any,
        beta_regularizer: Any,
        gamma_regularizer: Any,
        beta_constraint: Any,
        gamma_constraint: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.epsilon = float(epsilon)
        self.center, self.scale = bool(center), bool(scale)
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.gamma: Variable | None = None
        self.beta: Variable | None = None

    def _build_affine(self, shape: Sequence[int], scale: bool, center: bool) -> None:
        if scale:
            self.gamma = self.add_weight(
                shape,
                self.gamma_initializer,
                "gamma",
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )
        if center:
            self.beta = self.add_weight(
                shape,
                self.beta_initializer,
                "beta",
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )

    def _affine(self, normal: Array, axes: tuple[int, ...]) -> Array:
        """``normal * gamma + beta``, which belong to `axes`; a new array or `normal` itself."""
        if self.gamma is None and self.beta is None:
            return normal
        y = normal + 0 if self.gamma is None else normal * along(self.gamma.value, axes, normal.ndim)
        if self.beta is not None:
            y += along(self.beta.value, axes, normal.ndim)
        return y

    def _affine_backward(self, dy: Array, normal: Array, axes: tuple[int, ...]) -> Array:
        """Gradient of `normal`; those of `gamma` and `beta` go to the variables."""
        others = "".join(chr(ord("a") + k) for k in range(dy.ndim))
        kept = "".join(others[k] for k in axes)
        if self.gamma is not None:
            self.gamma.add_grad(np.einsum(f"{others},{others}->{kept}", dy, normal))
        if self.beta is not None:
            self.beta.add_grad(dy.sum(axis=tuple(k for k in range(dy.ndim) if k not in axes)))
        return dy if self.gamma is None else dy * along(self.gamma.value, axes, dy.ndim)

    def _affine_config(self) -> dict[str, Any]:
        return {
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": serialize_keras_object(self.beta_initializer),
            "gamma_initializer": serialize_keras_object(self.gamma_initializer),
            "beta_regularizer": serialize_keras_object(self.beta_regularizer),
            "gamma_regularizer": serialize_keras_object(self.gamma_regularizer),
            "beta_constraint": serialize_keras_object(self.beta_constraint),
            "gamma_constraint": serialize_keras_object(self.gamma_constraint),
        }


def along(weight: Array, axes: tuple[int, ...], ndim: int) -> Array:
    """A weight that belongs to `axes` in a shape that broadcasts over all `ndim`."""
    if axes == (ndim - 1,):
        return weight
    shape = [1] * ndim
    for size, axis in zip(weight.shape, axes, strict=True):
        shape[axis] = size
    return weight.reshape(shape)


def checked_axes(axis: Any, argument: str = "axis") -> Any:
    """An int, or a list of ints; TypeError for anything else."""
    if isinstance(axis, (list, tuple)):
        if axis and all(isinstance(k, (int, np.integer)) for k in axis):
            return [int(k) for k in axis]
    elif isinstance(axis, (int, np.integer)) and not isinstance(axis, bool):
        return int(axis)
    raise TypeError(
        f"Expected an int or a list/tuple of ints for the argument '{argument}', but received: {axis!r}"
    )


def positive_axes(axis: Any, shape: Sequence[Any]) -> tuple[int, ...]:
    """Axes counted from the front, in order; ValueError if one is out of range or given twice."""
    ndim = len(shape)
    axes = list(axis) if isinstance(axis, (list, tuple)) else [axis]
    for k in axes:
        if not -ndim <= k < ndim:
            raise ValueError(
                f"Axis {k} is out of bounds for input shape {tuple(shape)}. Received: axis={axis}"
            )
    found = sorted(k % ndim for k in axes)
    if len(set(found)) != len(found):
        raise ValueError(f"axis={axis} names an axis of input shape {tuple(shape)} twice")
    return tuple(found)


def known_sizes(layer: Layer, shape: Sequence[Any], axes: tuple[int, ...]) -> tuple[int, ...]:
    for axis in axes:
        if shape[axis] is None:
            raise ValueError(
                f"Axis {axis} of input tensor should have a defined dimension but the layer received an input with "
                f"shape {tuple(shape)} (layer {layer.name!r})"
            )
    return tuple(shape[axis] for axis in axes)


def frozen_rows(
    layer: Any, axis: Any, gamma: Variable | None, beta: Variable | None, centered: bool
) -> FrozenLayer:
    """The native operation for normalization over the last axis; ValueError for others."""
    arguments = {"width": frozen_width(layer, axis), "gamma": copied(gamma), "beta": copied(beta)}
    return FrozenLayer("normalization", {**arguments, "epsilon": layer.epsilon, "centered": centered})


def frozen_width(layer: Any, axis: Any) -> int:
    """Number of features along `axis`, which must be the last alone; ValueError for others."""
    shape = layer._build_shape
    if positive_axes(axis, shape) != (len(shape) - 1,):
        raise ValueError(f"layer {layer.name!r} cannot be frozen: axis={axis} is not the last axis alone")
    return int(shape[-1])


def copied(weight: Variable | None) -> Array | None:
    """`flat`, as an array of the frozen model's own."""
    return None if weight is None else weight._data.flatten()
