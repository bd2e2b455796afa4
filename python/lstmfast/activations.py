# SPDX-License-Identifier: BSD-3-Clause
"""Activation functions by Keras 3's names: forward, and backward for the layers.

Those that the native library has are computed there; the rare ones are plain NumPy below. Everything is
float32 in and out.
A function of your own needs a derivative: give it an attribute ``gradient``, a function ``(x, y, dy) -> dx``
with the input,
the output and the gradient of the output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core

__all__ = [
    "backward",
    "celu",
    "deserialize",
    "elu",
    "exponential",
    "forward",
    "gelu",
    "get",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "native_name",
    "needs_input",
    "relu",
    "relu6",
    "selu",
    "serialize",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
    "threshold",
]

Array = npt.NDArray[Any]
Activation = Callable[..., Array]


def _f32(x: npt.ArrayLike) -> Array:
    return np.ascontiguousarray(x, np.float32).reshape(
        np.shape(x)
    )  # ascontiguousarray makes a vector of a scalar


# ---- native


def linear(x: npt.ArrayLike) -> Array:
    """``x``."""
    return np.asarray(x)


def relu(
    x: npt.ArrayLike, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Array:
    """``max(x, 0)``; below `threshold` ``negative_slope * (x - threshold)``, at most `max_value`.

    Examples
    --------
    >>> from lstmfast import activations
    >>> activations.relu([-1.0, 2.0])
    array([0., 2.], dtype=float32)
    """
    x = _f32(x)
    if negative_slope == 0.0 and max_value is None and threshold == 0.0:
        return _core.activation_forward("relu", x)
    y = np.where(
        x >= threshold if max_value is not None and threshold == 0 else x > threshold, x, np.float32(0)
    )
    if max_value is not None:
        y = np.clip(y, np.float32(0), np.float32(max_value))
    return y - np.float32(negative_slope) * np.maximum(np.float32(threshold) - x, np.float32(0))


def relu6(x: npt.ArrayLike) -> Array:
    """``min(max(x, 0), 6)``."""
    return _core.activation_forward("relu6", _f32(x))


def leaky_relu(x: npt.ArrayLike, negative_slope: float = 0.2) -> Array:
    """``x`` above 0, else ``negative_slope * x``."""
    x = _f32(x)
    if negative_slope == 0.2:
        return _core.activation_forward("leaky_relu", x)
    return np.where(x > 0, x, np.float32(negative_slope) * x)


def sigmoid(x: npt.ArrayLike) -> Array:
    """``1 / (1 + exp(-x))``."""
    return _core.activation_forward("sigmoid", _f32(x))


def tanh(x: npt.ArrayLike) -> Array:
    """Hyperbolic tangent."""
    return _core.activation_forward("tanh", _f32(x))


def softmax(x: npt.ArrayLike, axis: int = -1) -> Array:
    """``exp(x) / sum(exp(x))`` along an axis."""
    x = _f32(x)
    if axis in (-1, x.ndim - 1):
        return _core.activation_forward("softmax", x)
    moved = np.ascontiguousarray(np.moveaxis(x, axis, -1))
    return np.ascontiguousarray(np.moveaxis(_core.activation_forward("softmax", moved), -1, axis))


def elu(x: npt.ArrayLike, alpha: float = 1.0) -> Array:
    """``x`` above 0, else ``alpha * (exp(x) - 1)`` (Clevert et al. 2016)."""
    x = _f32(x)
    if alpha == 1.0:
        return _core.activation_forward("elu", x)
    return np.where(x > 0, x, np.float32(alpha) * np.expm1(np.minimum(x, 0)))


def selu(x: npt.ArrayLike) -> Array:
    """Scaled exponential linear unit (Klambauer et al. 2017)."""
    return _core.activation_forward("selu", _f32(x))


def gelu(x: npt.ArrayLike, approximate: bool = False) -> Array:
    """``x`` times the normal distribution function of ``x`` (Hendrycks and Gimpel 2016), or its
    approximation by tanh."""
    return _core.activation_forward("gelu_tanh" if approximate else "gelu", _f32(x))


def silu(x: npt.ArrayLike) -> Array:
    """``x * sigmoid(x)``, also named swish."""
    return _core.activation_forward("silu", _f32(x))


def softplus(x: npt.ArrayLike) -> Array:
    """``log(1 + exp(x))``."""
    return _core.activation_forward("softplus", _f32(x))


def softsign(x: npt.ArrayLike) -> Array:
    """``x / (1 + |x|)``."""
    return _core.activation_forward("softsign", _f32(x))


def exponential(x: npt.ArrayLike) -> Array:
    """``exp(x)``."""
    return _core.activation_forward("exponential", _f32(x))


def hard_sigmoid(x: npt.ArrayLike) -> Array:
    """``x / 6 + 0.5``, from 0 to 1. Keras 1 and 2 had ``0.2 * x + 0.5`` under this name."""
    return _core.activation_forward("hard_sigmoid", _f32(x))


def hard_tanh(x: npt.ArrayLike) -> Array:
    """``x``, from -1 to 1."""
    return _core.activation_forward("hard_tanh", _f32(x))


# ---- in NumPy


def celu(x: npt.ArrayLike, alpha: float = 1.0) -> Array:
    """``x`` above 0, else ``alpha * (exp(x / alpha) - 1)`` (Barron 2017)."""
    x = _f32(x)
    return np.maximum(x, 0) + np.float32(alpha) * np.expm1(np.minimum(x, 0) / np.float32(alpha))


def glu(x: npt.ArrayLike, axis: int = -1) -> Array:
    """First half of an axis times the sigmoid of the second (Dauphin et al. 2017)."""
    x = _f32(x)
    if x.shape[axis] % 2:
        raise ValueError(f"axis size must be divisible by 2. Received: x.shape={x.shape} with axis={axis}")
    a, b = np.split(x, 2, axis)
    return a * sigmoid(b)


def hard_shrink(x: npt.ArrayLike, threshold: float = 0.5) -> Array:
    """``x``, but 0 from -threshold to threshold."""
    x = _f32(x)
    return np.where(np.abs(x) > threshold, x, np.float32(0))


def hard_silu(x: npt.ArrayLike) -> Array:
    """``x * hard_sigmoid(x)``, also named hard_swish (Howard et al. 2019)."""
    x = _f32(x)
    return x * hard_sigmoid(x)


def log_sigmoid(x: npt.ArrayLike) -> Array:
    """``log(sigmoid(x))``."""
    return -softplus(-_f32(x))


def log_softmax(x: npt.ArrayLike, axis: int = -1) -> Array:
    """``x - log(sum(exp(x)))`` along an axis."""
    x = _f32(x)
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def mish(x: npt.ArrayLike) -> Array:
    """``x * tanh(softplus(x))`` (Misra 2020)."""
    x = _f32(x)
    return x * tanh(softplus(x))


def soft_shrink(x: npt.ArrayLike, threshold: float = 0.5) -> Array:
    """``x`` moved towards 0 by `threshold`, 0 if it is nearer than that."""
    x = _f32(x)
    return np.sign(x) * np.maximum(np.abs(x) - np.float32(threshold), 0)


def sparse_plus(x: npt.ArrayLike) -> Array:
    """0 below -1, ``x`` above 1, ``(x + 1)**2 / 4`` between."""
    x = _f32(x)
    return np.where(x <= -1, np.float32(0), np.where(x < 1, np.float32(0.25) * (x + 1) ** 2, x))


def sparse_sigmoid(x: npt.ArrayLike) -> Array:
    """``(x + 1) / 2``, from 0 to 1."""
    return np.clip(np.float32(0.5) * (_f32(x) + 1), np.float32(0), np.float32(1))


def sparsemax(x: npt.ArrayLike, axis: int = -1) -> Array:
    """The nearest point of the probability simplex (Martins and Astudillo 2016)."""
    z = np.moveaxis(_f32(x), axis, -1)
    ordered = -np.sort(-z, axis=-1)
    total = np.cumsum(ordered, axis=-1)
    support = (ordered - (total - 1) / np.arange(1, z.shape[-1] + 1, dtype=np.float32) > 0).sum(
        -1, keepdims=True
    )
    tau = (np.take_along_axis(total, support - 1, -1) - 1) / support.astype(np.float32)
    return np.moveaxis(np.maximum(z - tau, np.float32(0)), -1, axis)


def squareplus(x: npt.ArrayLike, b: float = 4) -> Array:
    """``(x + sqrt(x**2 + b)) / 2`` (Barron 2021)."""
    x = _f32(x)
    return np.float32(0.5) * (x + np.sqrt(x * x + np.float32(b)))


def tanh_shrink(x: npt.ArrayLike) -> Array:
    """``x - tanh(x)``."""
    x = _f32(x)
    return x - tanh(x)


def threshold(x: npt.ArrayLike, threshold: float, default_value: float) -> Array:
    """``x`` above `threshold`, else `default_value`."""
    x = _f32(x)
    return np.where(x > threshold, x, np.float32(default_value))


swish, hard_swish = silu, hard_silu


def _mish_gradient(x: Array, y: Array, dy: Array) -> Array:
    t, s = tanh(softplus(x)), sigmoid(x)
    return dy * (t + x * s * (1 - t * t))


def _glu_gradient(x: Array, y: Array, dy: Array) -> Array:
    a, b = np.split(x, 2, -1)
    s = sigmoid(b)
    return np.concatenate([dy * s, dy * a * s * (1 - s)], axis=-1)


def _sparsemax_gradient(x: Array, y: Array, dy: Array) -> Array:
    inside = y > 0
    mean = (dy * inside).sum(-1, keepdims=True) / inside.sum(-1, keepdims=True, dtype=np.float32)
    return np.where(inside, dy - mean, np.float32(0))


#: (x, y, dy) -> dx with default arguments, for those that the native library does not have.
_GRADIENTS: dict[Any, Callable[[Array, Array, Array], Array]] = {
    celu: lambda x, y, dy: dy * np.exp(np.minimum(x, 0)),
    glu: _glu_gradient,
    hard_shrink: lambda x, y, dy: np.where(np.abs(x) > 0.5, dy, np.float32(0)),
    hard_silu: lambda x, y, dy: dy * np.where(x <= -3, 0, np.where(x < 3, x / 3 + np.float32(0.5), 1)),
    log_sigmoid: lambda x, y, dy: dy * sigmoid(-x),
    log_softmax: lambda x, y, dy: dy - np.exp(y) * dy.sum(axis=-1, keepdims=True),
    mish: _mish_gradient,
    soft_shrink: lambda x, y, dy: np.where(np.abs(x) > 0.5, dy, np.float32(0)),
    sparse_plus: lambda x, y, dy: dy * np.clip(np.float32(0.5) * (x + 1), 0, 1),
    sparse_sigmoid: lambda x, y, dy: np.where(np.abs(x) < 1, np.float32(0.5) * dy, np.float32(0)),
    sparsemax: _sparsemax_gradient,
    squareplus: lambda x, y, dy: dy * np.float32(0.5) * (1 + x / np.sqrt(x * x + 4)),
    tanh_shrink: lambda x, y, dy: dy * tanh(x) ** 2,
}

_NATIVE: dict[Any, str] = {
    function: function.__name__
    for function in (
        linear, relu, relu6, leaky_relu, sigmoid, tanh, softmax, elu, selu, gelu, silu, softplus, softsign, exponential,
        hard_sigmoid, hard_tanh,
    )
}  # fmt: skip
_NEEDS_X = frozenset({"gelu", "gelu_tanh", "silu"})
_BY_NAME: dict[str, Activation] = {
    function.__name__: function for function in (*_NATIVE, *_GRADIENTS, threshold)
}
_BY_NAME.update(swish=silu, hard_swish=hard_silu)


# ---- what layers use


def native_name(activation: Activation) -> str | None:
    """The name under which the native library knows a function, or None.

    Examples
    --------
    >>> from lstmfast import activations
    >>> activations.native_name(activations.get("swish"))
    'silu'
    """
    try:
        return _NATIVE.get(activation)
    except TypeError:  # an object without a hash
        return None


def needs_input(activation: Activation) -> bool:
    """Whether `backward` needs the input `x`; for the others the output is enough."""
    name = native_name(activation)
    return name is None or name in _NEEDS_X


def forward(activation: Activation, x: Array) -> Array:
    """``activation(x)`` as float32, whatever a user's own function gives."""
    name = native_name(activation)
    if name is not None:
        return x if name == "linear" else _core.activation_forward(name, x)
    y = _f32(activation(x))
    if y.shape != x.shape and activation is not glu:
        raise ValueError(
            f"activation {activation!r}: expected an output of the input's shape {x.shape}, got {y.shape}"
        )
    return y


def backward(activation: Activation, x: Array | None, y: Array, dy: Array) -> Array:
    """Gradient of the input of an activation.

    Parameters
    ----------
    activation : callable
        From `get`.
    x : ndarray of float32 or None
        Its input; may be None where `needs_input` is False.
    y, dy : ndarray of float32
        Its output, and the gradient of that.

    Returns
    -------
    ndarray of float32, of the input's shape

    Raises
    ------
    NotImplementedError
        If it is a function of the user without an attribute ``gradient``.
    """
    name = native_name(activation)
    if name is not None:
        return dy if name == "linear" else _core.activation_backward(name, x, y, dy)
    rule = _GRADIENTS.get(activation) if type(activation) is _FUNCTION else None
    rule = rule or getattr(activation, "gradient", None)
    if rule is None:
        raise NotImplementedError(
            f"activation {activation!r} has no derivative: give it an attribute `gradient`, a function (x, "
            "y, dy) -> dx"
        )
    return _f32(rule(x, y, dy))


_FUNCTION = type(_f32)


# ---- names


def get(identifier: Any) -> Activation:
    """An activation from a name, a configuration or a function; None is "linear".

    Raises
    ------
    ValueError
        If the name is unknown, or `identifier` is none of these.

    Examples
    --------
    >>> from lstmfast import activations
    >>> activations.get("tanh").__name__
    'tanh'
    """
    if identifier is None:
        return linear
    found: Any = identifier
    if isinstance(identifier, str):
        found = _BY_NAME.get(identifier)
        if found is None:
            from .saving.registry import get_registered_object

            found = get_registered_object(identifier)
    elif isinstance(identifier, dict):
        found = deserialize(identifier)
    if callable(found):
        return found  # type: ignore[no-any-return]
    raise ValueError(f"Could not interpret activation function identifier: {identifier}")


def serialize(activation: Activation) -> Any:
    """A built-in's name; for others a configuration in Keras 3's dict form."""
    from .saving.registry import get_registered_name, serialize_keras_object

    name = getattr(activation, "__name__", "")
    if _BY_NAME.get(name) is activation:
        return name
    config = serialize_keras_object(activation)
    if isinstance(config, dict) and isinstance(config.get("config"), str):
        config["config"] = get_registered_name(activation)
    return config


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The activation that `serialize` described."""
    from .saving.registry import deserialize_keras_object

    return deserialize_keras_object(config, custom_objects, module_objects=_BY_NAME)
