# SPDX-License-Identifier: BSD-3-Clause
"""Normalization of each example by itself: over features, groups of them, or to length one."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from ...symbolic import Node
from ..base import Layer
from ..call import Call
from ..frozen import FrozenGraph, FrozenLayer
from ..input_spec import InputSpec
from .normalizing import (
    Affine,
    Vectors,
    checked_axes,
    copied,
    frozen_rows,
    frozen_width,
    known_sizes,
    mean_over,
    positive_axes,
    standardized,
    standardized_backward,
)

__all__ = ["GroupNormalization", "LayerNormalization", "RMSNormalization", "UnitNormalization"]

Array = npt.NDArray[Any]


class LayerNormalization(Affine):
    """Mean 0 and variance 1 over the features of each example, then a learned scale and shift.

    Parameters
    ----------
    axis : int or list of int
        The axes over which an example is normalized.
    epsilon : float
        Added to the variance.
    center, scale : bool
        Add `beta`, multiply by `gamma`.
    beta_initializer, gamma_initializer : str, dict or callable
    beta_regularizer, gamma_regularizer : str, dict or Regularizer, optional
    beta_constraint, gamma_constraint : str, dict or callable, optional
    **kwargs
        See `Layer`; also Keras's deprecated `rms_scaling`: divide by the standard deviation without subtracting the
        mean, with `gamma` alone.

    Notes
    -----
    Input and output of any shape with a batch axis, float32. Weights: gamma and beta of the shape of `axis`. Ba, Kiros
    and Hinton 2016, "Layer normalization".

    Raises
    ------
    TypeError
        If `axis` is not made of ints.
    ValueError
        If an axis is out of range or its size unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import LayerNormalization
    >>> LayerNormalization(epsilon=0)(np.array([[1.0, 3.0], [10.0, 30.0]]))
    array([[-1.,  1.],
           [-1.,  1.]], dtype=float32)
    """

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        self.rms_scaling = bool(kwargs.pop("rms_scaling", False))
        if self.rms_scaling:
            warnings.warn(
                "You passed `rms_scaling=True`, which is deprecated: it divides by the standard deviation, not by the "
                "root mean square. Use RMSNormalization instead.",
                stacklevel=2,
            )
        self.axis = checked_axes(axis)
        super().__init__(
            epsilon,
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
            **kwargs,
        )

    def build(self, input_shape: Any) -> None:
        axes = positive_axes(self.axis, input_shape)
        sizes = known_sizes(self, input_shape, axes)
        self._build_affine(sizes, self.scale or self.rms_scaling, self.center and not self.rms_scaling)
        self.axis = sorted(self.axis) if isinstance(self.axis, list) else [self.axis]
        ndim = len(input_shape)
        self.input_spec = InputSpec(ndim=ndim, axes=dict(zip(axes, sizes, strict=True)))
        if self.axis == [-1]:
            self.input_spec = InputSpec(min_ndim=2, axes={-1: sizes[0]})
        self.built = True

    def compute_output_shape(self, input_shape: Any) -> Any:
        positive_axes(self.axis, input_shape)
        return tuple(input_shape)

    def forward(self, x: Array, call: Call) -> Array:
        axes = positive_axes(self.axis, x.shape)
        if self.rms_scaling:
            deviation = x - mean_over(x, axes)
            inverse = 1 / np.sqrt(mean_over(deviation, axes, deviation) + x.dtype.type(self.epsilon))
            normal = x * inverse
            if call.save:
                call.saved = (axes, normal, inverse, deviation)
            return self._affine(normal, axes)
        vectors = Vectors(x, axes, self.epsilon, centered=True)
        if call.save:
            call.saved = vectors
        return vectors.forward(self.gamma, self.beta, call.save)

    def backward(self, dy: Array, call: Call) -> Array | None:
        if isinstance(call.saved, Vectors):
            return call.saved.backward(dy, self.gamma, self.beta, call.needs_dx)
        axes, normal, inverse, deviation = call.saved
        d = self._affine_backward(dy, normal, axes)
        return np.asarray(inverse * (d - inverse * deviation * mean_over(d, axes, normal)))

    def frozen(self) -> FrozenLayer:
        if self.rms_scaling:
            raise ValueError(f"layer {self.name!r} cannot be frozen: it has rms_scaling=True")
        return frozen_rows(self, self.axis, self.gamma, self.beta, centered=True)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
            "rms_scaling": self.rms_scaling,
            **self._affine_config(),
        }


class GroupNormalization(Affine):
    """Mean 0 and variance 1 over groups of channels of each example, then a learned scale and shift.

    Parameters
    ----------
    groups : int
        Number of groups, a divisor of the number of channels; -1 for a group a channel.
    axis : int
        The channels.
    epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer, beta_constraint,
    gamma_constraint, **kwargs
        As in `LayerNormalization`.

    Notes
    -----
    Input and output (batch, ...) float32: the mean of a group is over its channels and all axes between the batch and
    them. Weights: gamma and beta (channels,). Wu and He 2018, "Group normalization".

    Raises
    ------
    ValueError
        If `groups` is not a positive integer or -1, or does not divide the channels; if an axis is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import GroupNormalization
    >>> GroupNormalization(groups=2, epsilon=0)(np.array([[1.0, 3.0, 10.0, 30.0]]))
    array([[-1.,  1., -1.,  1.]], dtype=float32)
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(groups, (int, np.integer)) or (groups <= 0 and groups != -1):
            raise ValueError(
                "Received an invalid value for argument `groups`, expected a positive integer (or `-1` for instance "
                f"normalization). Received: groups={groups}"
            )
        super().__init__(
            epsilon,
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
            **kwargs,
        )
        self.groups = int(groups)
        if isinstance(axis, (list, tuple)):
            raise TypeError(f"axis must be an int, got {axis!r}")
        self.axis: int = checked_axes(axis)

    def build(self, input_shape: Any) -> None:
        axes = positive_axes(self.axis, input_shape)
        if axes == (0,):
            raise ValueError(f"axis={self.axis} is the batch axis of inputs of shape {tuple(input_shape)}")
        (n,) = known_sizes(self, input_shape, axes)
        groups = n if self.groups == -1 else self.groups
        if n < groups:
            raise ValueError(f"Number of groups ({groups}) cannot be more than the number of channels ({n}).")
        if n % groups:
            raise ValueError(
                f"Number of groups ({groups}) must be a multiple of the number of channels ({n})."
            )
        self.groups = groups
        self._build_affine((n,), self.scale, self.center)
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: n})
        self.built = True

    def compute_output_shape(self, input_shape: Any) -> Any:
        positive_axes(self.axis, input_shape)
        return tuple(input_shape)

    def _grouped(self, x: Array) -> tuple[Array, tuple[int, ...], tuple[int, ...]]:
        """(x with an axis of groups, axes to average over, axis of the channels in x)."""
        (axis,) = positive_axes(self.axis, x.shape)
        shape = (*x.shape[:axis], self.groups, x.shape[axis] // self.groups, *x.shape[axis + 1 :])
        return x.reshape(shape), tuple(k for k in range(1, len(shape)) if k != axis), (axis,)

    def forward(self, x: Array, call: Call) -> Array:
        grouped, axes, channels = self._grouped(x)
        normal, inverse = standardized(grouped, axes, self.epsilon)
        if call.save:
            call.saved = (normal, inverse)
        return self._affine(normal.reshape(x.shape), channels)

    def backward(self, dy: Array, call: Call) -> Array:
        normal, inverse = call.saved
        _, axes, channels = self._grouped(dy)
        d = self._affine_backward(dy, normal.reshape(dy.shape), channels)
        return standardized_backward(d.reshape(normal.shape), normal, inverse, axes).reshape(dy.shape)

    def frozen(self) -> FrozenLayer:
        width = frozen_width(self, self.axis)
        arguments = {
            "width": width,
            "groups": self.groups,
            "gamma": copied(self.gamma),
            "beta": copied(self.beta),
        }
        refusal = None if len(self._build_shape) == 2 else "it needs all time steps at once"
        return FrozenLayer("group_normalization", {**arguments, "epsilon": self.epsilon}, refusal)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "groups": self.groups, "axis": self.axis, **self._affine_config()}


class RMSNormalization(Layer):
    """Divides by the root mean square over features, then multiplies by a learned scale.

    Parameters
    ----------
    axis : int or list of int
        The axes over which an example is normalized.
    epsilon : float
        Added to the mean square.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input and output of any shape with a batch axis, float32. Weight: scale, of the shape of `axis`. Zhang and Sennrich
    2019, "Root mean square layer normalization".

    Raises
    ------
    TypeError
        If `axis` is not made of ints.
    ValueError
        If an axis is out of range or its size unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import RMSNormalization
    >>> RMSNormalization()(np.array([[1.0, -1.0], [8.0, 8.0]])).round(3)
    array([[ 1., -1.],
           [ 1.,  1.]], dtype=float32)
    """

    supports_masking = False  # as in Keras

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = checked_axes(axis)
        self.epsilon = float(epsilon)

    def build(self, input_shape: Any) -> None:
        axes = positive_axes(self.axis, input_shape)
        self.scale = self.add_weight(known_sizes(self, input_shape, axes), "ones", "scale")
        self.axis = sorted(self.axis) if isinstance(self.axis, list) else [self.axis]
        self.built = True

    def compute_output_shape(self, input_shape: Any) -> Any:
        positive_axes(self.axis, input_shape)
        return tuple(input_shape)

    def forward(self, x: Array, call: Call) -> Array:
        axes = positive_axes(self.axis, x.shape)
        vectors = Vectors(x, axes, self.epsilon, centered=False)
        if call.save:
            call.saved = vectors
        return vectors.forward(self.scale, None, call.save)

    def backward(self, dy: Array, call: Call) -> Array | None:
        vectors: Vectors = call.saved
        return vectors.backward(dy, self.scale, None, call.needs_dx)

    def frozen(self) -> FrozenLayer:
        return frozen_rows(self, self.axis, self.scale, None, centered=False)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis, "epsilon": self.epsilon}


class UnitNormalization(Layer):
    """Scales to Euclidean length 1 over features.

    Parameters
    ----------
    axis : int or list of int
        The axes whose elements make a vector.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input and output of any shape with a batch axis, float32. A vector shorter than 1e-12 is multiplied by 1e12.

    Raises
    ------
    TypeError
        If `axis` is not made of ints.
    ValueError
        If an axis is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import UnitNormalization
    >>> UnitNormalization()(np.array([[3.0, 4.0]]))
    array([[0.6, 0.8]], dtype=float32)
    """

    supports_masking = True

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        try:
            self.axis = checked_axes(axis)
        except TypeError:
            raise TypeError(
                "Invalid value for `axis` argument: expected an int or a list/tuple of ints. Received: "
                f"axis={axis!r}"
            ) from None
        self._build_at_init()

    def compute_output_shape(self, input_shape: Any) -> Any:
        positive_axes(self.axis, input_shape)
        return tuple(input_shape)

    def forward(self, x: Array, call: Call) -> Array:
        axes = positive_axes(self.axis, x.shape)
        with np.errstate(divide="ignore"):
            inverse = 1 / np.sqrt(np.square(x).sum(axis=axes, keepdims=True))
        inverse = np.minimum(inverse, x.dtype.type(1e12))
        y: Array = x * inverse
        if call.save:
            call.saved = (axes, y, inverse)
        return y

    def backward(self, dy: Array, call: Call) -> Array:
        axes, y, inverse = call.saved
        along_y = np.where(inverse < 1e12, (dy * y).sum(axis=axes, keepdims=True), 0).astype(dy.dtype)
        return np.asarray(inverse * (dy - y * along_y))

    def frozen_call(self, node: Node, inputs: list[Any]) -> FrozenLayer | FrozenGraph | None:
        shape = inputs[0].shape
        if positive_axes(self.axis, shape) != (len(shape) - 1,):
            raise ValueError(
                f"layer {self.name!r} cannot be frozen: axis={self.axis} is not the last axis alone"
            )
        return super().frozen_call(node, inputs)

    def frozen(self) -> FrozenLayer:
        return FrozenLayer("unit_normalization", {})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}
