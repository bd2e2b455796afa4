# SPDX-License-Identifier: BSD-3-Clause
"""Activations that are layers of their own: those with arguments, or with weights."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import activations, constraints, initializers, regularizers
from ...activations.plain import relu_slope
from ...saving.registry import serialize_keras_object
from ..base import Layer
from ..call import Call
from ..frozen import FrozenLayer
from ..input_spec import InputSpec

__all__ = ["ELU", "LeakyReLU", "PReLU", "ReLU"]

Array = npt.NDArray[Any]


class _Elementwise(Layer):
    """An activation of each element for itself; the native one where the arguments are those of a named function."""

    supports_masking = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._build_at_init()

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def native(self) -> str | None:
        """Name of the native activation that does the same."""
        return None

    def apply(self, x: Array) -> Array:
        """The output, in NumPy."""
        raise NotImplementedError

    def slope(self, x: Array) -> Array:
        """The derivative, in NumPy."""
        raise NotImplementedError

    def forward(self, x: Array, call: Call) -> Array:
        name = self.native()
        x = np.ascontiguousarray(x)
        y = self.apply(x) if name is None else activations.forward(activations.get(name), x)
        if call.save:
            call.saved = (name, x, y)
        return y

    def backward(self, dy: Array, call: Call) -> Array:
        name, x, y = call.saved
        if name is None:
            return np.asarray(dy * self.slope(x))
        return activations.backward(activations.get(name), None, y, np.ascontiguousarray(dy, np.float32))

    def native_operation(self) -> FrozenLayer | None:
        """The operation that does the same where no native activation does."""
        return None

    def frozen(self) -> FrozenLayer | None:
        name = self.native()
        if name is not None:
            return FrozenLayer("activation", {"activation": name})
        operation = self.native_operation()
        if operation is None:
            raise ValueError(
                f"layer {self.name!r} cannot be frozen: {type(self).__name__} with these arguments has no native "
                "form"
            )
        return operation


class ReLU(_Elementwise):
    """``x`` above a threshold, at most `max_value`; below it ``negative_slope * (x - threshold)``.

    Parameters
    ----------
    max_value : float, optional
    negative_slope : float
    threshold : float
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        If an argument is negative.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import ReLU
    >>> ReLU(max_value=2.0)(np.array([[-1.0, 1.0, 3.0]]))
    array([[0., 1., 2.]], dtype=float32)
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if max_value is not None and max_value < 0:
            raise ValueError(
                f"max_value of a ReLU layer cannot be a negative value. Received: max_value={max_value}"
            )
        for argument, value in (("negative_slope", negative_slope), ("threshold", threshold)):
            if value is None or value < 0:
                raise ValueError(
                    f"{argument} of a ReLU layer cannot be None or a negative value. Received: "
                    f"{argument}={value}"
                )
        self.max_value, self.negative_slope, self.threshold = max_value, negative_slope, threshold

    def native(self) -> str | None:
        if self.negative_slope == 0 and self.threshold == 0:
            return "relu" if self.max_value is None else "relu6" if self.max_value == 6 else None
        if self.negative_slope == 0.2 and self.threshold == 0 and self.max_value is None:
            return "leaky_relu"
        return None

    def apply(self, x: Array) -> Array:
        return activations.relu(x, self.negative_slope, self.max_value, self.threshold)

    def slope(self, x: Array) -> Array:
        return relu_slope(x, self.negative_slope, self.max_value, self.threshold)

    def native_operation(self) -> FrozenLayer:
        arguments = {"max_value": self.max_value, "negative_slope": self.negative_slope}
        return FrozenLayer("rectifier", {**arguments, "threshold": self.threshold})

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_value": self.max_value,
            "negative_slope": self.negative_slope,
            "threshold": self.threshold,
        }


class LeakyReLU(_Elementwise):
    """``x`` above 0, else ``negative_slope * x`` (Maas et al. 2013).

    Parameters
    ----------
    negative_slope : float
        Also by its old name `alpha`.
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        If `negative_slope` is None or negative.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import LeakyReLU
    >>> LeakyReLU(0.5)(np.array([[-1.0, 1.0]]))
    array([[-0.5,  1. ]], dtype=float32)
    """

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        if "alpha" in kwargs:
            negative_slope = kwargs.pop("alpha")
            warnings.warn("Argument `alpha` is deprecated. Use `negative_slope` instead.", stacklevel=2)
        super().__init__(**kwargs)
        if negative_slope is None or negative_slope < 0:
            raise ValueError(
                "The negative_slope value of a Leaky ReLU layer cannot be None or negative value. Expected a "
                f"float. Received: negative_slope={negative_slope}"
            )
        self.negative_slope = negative_slope

    def native(self) -> str | None:
        return "leaky_relu" if self.negative_slope == 0.2 else None

    def apply(self, x: Array) -> Array:
        return activations.leaky_relu(x, self.negative_slope)

    def slope(self, x: Array) -> Array:
        return np.where(x > 0, np.float32(1), np.float32(self.negative_slope))

    def native_operation(self) -> FrozenLayer:
        return FrozenLayer("leaky", {"slopes": np.array([self.negative_slope], np.float32)})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "negative_slope": self.negative_slope}


class ELU(_Elementwise):
    """``x`` above 0, else ``alpha * (exp(x) - 1)`` (Clevert et al. 2016).

    Parameters
    ----------
    alpha : float
    **kwargs
        See `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import ELU
    >>> ELU()(np.array([[0.0, 1.0]]))
    array([[0., 1.]], dtype=float32)
    """

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = alpha

    def native(self) -> str | None:
        return "elu" if self.alpha == 1 else None

    def apply(self, x: Array) -> Array:
        return activations.elu(x, self.alpha)

    def slope(self, x: Array) -> Array:
        return np.where(x > 0, np.float32(1), np.float32(self.alpha) * np.exp(np.minimum(x, np.float32(0))))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}


class PReLU(Layer):
    """``x`` above 0, else ``alpha * x`` with a learned alpha for each place (He et al. 2015).

    Parameters
    ----------
    alpha_initializer, alpha_regularizer, alpha_constraint : optional
        By name, config or instance.
    shared_axes : int or sequence of int, optional
        Axes along which alpha is the same: 1 for time.
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        If an axis that is not shared has no known size.
    IndexError
        If a shared axis does not exist.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import PReLU
    >>> PReLU("ones", shared_axes=[1])(np.array([[[-1.0], [2.0]]]))[0, :, 0]
    array([-1.,  2.], dtype=float32)
    """

    supports_masking = True

    def __init__(
        self,
        alpha_initializer: Any = "Zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        if shared_axes is None or isinstance(shared_axes, (list, tuple)):
            self.shared_axes = None if shared_axes is None else list(shared_axes)
        else:
            self.shared_axes = [shared_axes]

    def build(self, input_shape: Any) -> None:
        shape = list(input_shape[1:])
        for axis in self.shared_axes or ():
            shape[axis - 1] = 1
        self.alpha = self.add_weight(
            shape,
            self.alpha_initializer,
            "alpha",
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
        )
        rank = len(input_shape)
        known = [i for i in range(1, rank) if self.shared_axes and i not in self.shared_axes]
        self.input_spec = InputSpec(ndim=rank, axes={i: input_shape[i] for i in known})
        self.built = True

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def forward(self, x: Array, call: Call) -> Array:
        if call.save:
            call.saved = x
        return np.where(x > 0, x, self.alpha._data * x)

    def backward(self, dy: Array, call: Call) -> Array:
        x = call.saved
        below = np.where(x > 0, np.float32(0), x) * dy
        axes = tuple(i for i in range(1, x.ndim) if self.alpha.shape[i - 1] == 1 and x.shape[i] != 1)
        self.alpha.add_grad(below.sum(axis=(0, *axes), keepdims=bool(axes)).reshape(self.alpha.shape))
        return np.where(x > 0, dy, self.alpha._data * dy)

    def frozen(self) -> FrozenLayer:
        alpha = self.alpha.numpy()
        if alpha.size not in (1, alpha.shape[-1]):
            raise ValueError(
                f"layer {self.name!r} cannot be frozen: its alpha varies along other axes than the last; use "
                "shared_axes"
            )
        return FrozenLayer("leaky", {"slopes": alpha.ravel()})

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "alpha_initializer": serialize_keras_object(self.alpha_initializer),
            "alpha_regularizer": serialize_keras_object(self.alpha_regularizer),
            "alpha_constraint": serialize_keras_object(self.alpha_constraint),
            "shared_axes": self.shared_axes,
        }
