# SPDX-License-Identifier: BSD-3-Clause
"""Activations as operations."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core, activations
from ..activations.plain import relu_slope
from . import wide
from .native import by_activation
from .operation import CLASSES, operation
from .rules import as_floats, axes_of, dtype_name, positive_axis, shape_of

Array = npt.NDArray[Any]


def _slope(name: str) -> Callable[..., Array]:
    """The gradient of an activation with its default arguments."""
    function: Any = getattr(activations, name)

    def gradient(dy: Array, y: Array, x: Array, **_: Any) -> Array:
        arrays = (np.ascontiguousarray(a, np.float32) for a in (x, y, dy))
        return activations.backward(function, *arrays)

    return gradient


def _along(gradient: Callable[[Array, Array, Array], Array]) -> Callable[..., Array]:
    """A gradient along the last axis for any axis."""

    def moved(dy: Array, y: Array, x: Array, axis: Any = -1) -> Array:
        axes = axes_of(axis, x.ndim)
        last = tuple(range(x.ndim - len(axes), x.ndim))
        arrays = [np.moveaxis(a, axes, last) for a in (dy, y, x)]
        shape = arrays[0].shape
        found = gradient(*(a.reshape(*shape[: x.ndim - len(axes)], -1) for a in arrays))
        return np.moveaxis(found.reshape(shape), last, axes)

    return moved


def _shape_along(x: Any, axis: Any) -> Any:
    axes_of(axis, len(shape_of(x)))
    return shape_of(x)


def _flattened(function: Callable[..., Any], x: Any, axis: Any) -> Any:
    """A function along one axis, along several as one; None: all."""
    x = as_floats(x)
    if isinstance(axis, int):
        if x.shape[positive_axis(axis, x.ndim)] == 1:
            warnings.warn(
                f"You are using a {function.__name__} over axis {axis} of a tensor of shape {x.shape}. This axis has size "
                f"1. The {function.__name__} operation will always return the value {int(function is activations.softmax)}, "
                "which is likely not what you intended. Did you mean to use a sigmoid instead?",
                stacklevel=4,
            )
        return _computed(function.__name__, x, axis)
    axes = axes_of(axis, x.ndim)
    last = tuple(range(x.ndim - len(axes), x.ndim))
    moved = np.moveaxis(x, axes, last)
    flat = np.ascontiguousarray(moved).reshape(*moved.shape[: x.ndim - len(axes)], -1)
    return np.moveaxis(np.asarray(_computed(function.__name__, flat, -1)).reshape(moved.shape), last, axes)


def _computed(name: str, x: Any, *settings: Any) -> Any:
    """By the native kernels; float64 in NumPy."""
    x = as_floats(x)
    return getattr(wide if x.dtype == np.float64 else activations, name)(x, *settings)


@operation("Sigmoid", _slope("sigmoid"), home="nn", dtype="float32", frozen=by_activation("sigmoid"))
def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``."""
    return _computed("sigmoid", x)


@operation("Relu", _slope("relu"), home="nn", frozen=by_activation("relu"))
def relu(x: Any) -> Any:
    """``max(x, 0)``."""
    return np.maximum(x, 0)


def _integers_kept(x: Any) -> str:
    """The dtype of what cuts numbers off."""
    return str(x.dtype) if np.dtype(x.dtype).kind in "iu" else "float32"


def _cut_off(name: str, x: Any, low: int, high: int) -> Any:
    integers = np.asarray(x)
    if integers.dtype.kind not in "iu":
        return _computed(name, x)
    return np.clip(integers, low if integers.dtype.kind == "i" else 0, high)


@operation(
    "ReLU",
    lambda dy, y, x, **config: dy * relu_slope(x, **config),
    config="negative_slope max_value threshold",
    dtype="float32",
    frozen=by_activation("relu", negative_slope=0.0, max_value=None, threshold=0.0),
)
def _relu_with_arguments(
    x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Any:
    """`lstmfast.activations.relu`."""
    return activations.relu(x, negative_slope, max_value, threshold)


CLASSES["ReLU"].keras_module = "keras.src.activations.activations"


@operation("Relu6", _slope("relu6"), home="nn", dtype=_integers_kept, frozen=by_activation("relu6"))
def relu6(x: Any) -> Any:
    """``min(max(x, 0), 6)``."""
    return _cut_off("relu6", x, 0, 6)


@operation(
    "LeakyRelu",
    lambda dy, y, x, negative_slope: np.where(x > 0, dy, negative_slope * dy),
    home="nn",
    config="negative_slope",
    dtype="float32",
    frozen=by_activation("leaky_relu", negative_slope=0.2),
)
def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """``x`` above 0, else ``negative_slope * x``."""
    return _computed("leaky_relu", x, negative_slope)


@operation(
    "Elu",
    lambda dy, y, x, alpha: np.where(x > 0, dy, dy * (y + np.float32(alpha))),
    home="nn",
    config="alpha",
    dtype="float32",
    frozen=by_activation("elu", alpha=1.0),
)
def elu(x: Any, alpha: float = 1.0) -> Any:
    """``x`` above 0, else ``alpha * (exp(x) - 1)``."""
    return _computed("elu", x, alpha)


@operation("Selu", _slope("selu"), home="nn", dtype="float32", frozen=by_activation("selu"))
def selu(x: Any) -> Any:
    """Scaled exponential linear unit."""
    return _computed("selu", x)


def _gelu_slope(dy: Array, y: Array, x: Array, approximate: bool) -> Array:
    arrays = (np.ascontiguousarray(a, np.float32) for a in (x, y, dy))
    return _core.activation_backward("gelu_tanh" if approximate else "gelu", *arrays)


@operation("Gelu", _gelu_slope, home="nn", config="approximate", dtype="float32")
def gelu(x: Any, approximate: bool = True) -> Any:
    """``x`` times the normal distribution function of ``x``, or its approximation by tanh."""
    return _computed("gelu", x, approximate)


@operation("Silu", _slope("silu"), home="nn", dtype="float32", frozen=by_activation("silu"))
def silu(x: Any) -> Any:
    """``x * sigmoid(x)``, also named swish."""
    return _computed("silu", x)


swish = silu


@operation("Softplus", _slope("softplus"), home="nn", dtype="float32", frozen=by_activation("softplus"))
def softplus(x: Any) -> Any:
    """``log(1 + exp(x))``."""
    return _computed("softplus", x)


@operation("Softsign", _slope("softsign"), home="nn", dtype="float32", frozen=by_activation("softsign"))
def softsign(x: Any) -> Any:
    """``x / (1 + |x|)``."""
    return _computed("softsign", x)


@operation(
    "HardSigmoid", _slope("hard_sigmoid"), home="nn", dtype="float32", frozen=by_activation("hard_sigmoid")
)
def hard_sigmoid(x: Any) -> Any:
    """``x / 6 + 0.5``, from 0 to 1."""
    return _computed("hard_sigmoid", x)


@operation("HardSilu", _slope("hard_silu"), home="nn", dtype="float32")
def hard_silu(x: Any) -> Any:
    """``x * hard_sigmoid(x)``, also named hard_swish."""
    return _computed("hard_silu", x)


hard_swish = hard_silu


@operation(
    "HardTanh", _slope("hard_tanh"), home="nn", dtype=_integers_kept, frozen=by_activation("hard_tanh")
)
def hard_tanh(x: Any) -> Any:
    """``x``, from -1 to 1."""
    return _cut_off("hard_tanh", x, -1, 1)


@operation("LogSigmoid", _slope("log_sigmoid"), home="nn", dtype="float32")
def log_sigmoid(x: Any) -> Any:
    """``log(sigmoid(x))``."""
    return _computed("log_sigmoid", x)


@operation(
    "Celu",
    lambda dy, y, x, alpha: dy * np.exp(np.minimum(x, 0) / np.float32(alpha)),
    home="nn",
    config="alpha",
    dtype="float32",
)
def celu(x: Any, alpha: float = 1.0) -> Any:
    """``x`` above 0, else ``alpha * (exp(x / alpha) - 1)``."""
    return _computed("celu", x, alpha)


@operation(
    "Squareplus",
    lambda dy, y, x, b: dy * np.float32(0.5) * (1 + x / np.sqrt(x * x + np.float32(b))),
    home="nn",
    config="b",
    dtype="float32",
)
def squareplus(x: Any, b: float = 4) -> Any:
    """``(x + sqrt(x**2 + b)) / 2``."""
    return _computed("squareplus", x, b)


@operation(
    "Softmax",
    _along(lambda dy, y, x: y * (dy - (dy * y).sum(axis=-1, keepdims=True))),
    home="nn",
    config="axis",
    shape=_shape_along,
    dtype="float32",
    frozen=by_activation("softmax", axis=-1),
)
def softmax(x: Any, axis: Any = -1) -> Any:
    """``exp(x) / sum(exp(x))`` along an axis, or several as one; None: all."""
    return _flattened(activations.softmax, x, axis)


@operation(
    "LogSoftmax",
    _along(lambda dy, y, x: dy - np.exp(y) * dy.sum(axis=-1, keepdims=True)),
    home="nn",
    config="axis",
    shape=_shape_along,
    dtype="float32",
)
def log_softmax(x: Any, axis: Any = -1) -> Any:
    """``x - log(sum(exp(x)))`` along an axis, or several as one; None: all."""
    return _flattened(activations.log_softmax, x, axis)


def _hot_shape(x: Any, num_classes: int, axis: int, dtype: Any, sparse: bool) -> Any:
    if sparse:
        raise ValueError("sparse=True is not supported")
    shape = list(shape_of(x))
    shape.insert(axis if axis >= 0 else len(shape) + 1 + axis, num_classes)
    return tuple(shape)


@operation(
    "OneHot",
    home="nn",
    config="num_classes axis dtype sparse",
    shape=_hot_shape,
    dtype=lambda x, num_classes, axis, dtype, sparse: dtype_name(dtype),
    exact=True,
)
def one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = "float32", sparse: bool = False) -> Any:
    """1 at the place that an integer names, 0 at the others; only 0 for integers out of range."""
    _hot_shape(x, num_classes, axis, dtype, sparse)
    made = np.asarray(x)[..., None] == np.arange(num_classes)
    return np.ascontiguousarray(np.moveaxis(made.astype(np.dtype(dtype or "float32")), -1, axis))
