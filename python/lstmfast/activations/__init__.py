# SPDX-License-Identifier: BSD-3-Clause
"""Activation functions by Keras 3's names: forward, and backward for the layers.

Those that the native library has are computed there (`native.py`), the rarer ones in NumPy (`plain.py`).
Everything is float32 in and out; symbolic tensors give operations of the graph. A function of your own is made of
these functions, operators and `lstmfast.ops`; one in NumPy needs a derivative: give it an attribute ``gradient``, a
function ``(x, y, dy) -> dx`` with the input, the output and the gradient of the output.
A layer serves as an activation too, as in ``Dense(8, activation=LeakyReLU())``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from .native import (
    elu,
    exponential,
    f32,
    gelu,
    hard_sigmoid,
    hard_tanh,
    leaky_relu,
    linear,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    softsign,
    tanh,
)
from .plain import (
    GRADIENTS,
    celu,
    glu,
    hard_shrink,
    hard_silu,
    log_sigmoid,
    log_softmax,
    mish,
    soft_shrink,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    tanh_shrink,
    threshold,
)

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
    "is_composed",
    "is_layer",
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

swish, hard_swish = silu, hard_silu

_NATIVE: dict[Any, str] = {
    function: function.__name__
    for function in (
        linear, relu, relu6, leaky_relu, sigmoid, tanh, softmax, elu, selu, gelu, silu, softplus, softsign,
        exponential, hard_sigmoid, hard_tanh,
    )
}  # fmt: skip
#: Operations of `lstmfast.ops` that are the native activations of the same names.
_OPERATIONS = frozenset(
    [
        "elu",
        "hard_sigmoid",
        "hard_tanh",
        "leaky_relu",
        "relu",
        "relu6",
        "selu",
        "sigmoid",
        "silu",
        "softplus",
        "softsign",
        "tanh",
    ]
)
_NEEDS_X = frozenset({"gelu", "gelu_tanh", "silu"})
_BY_NAME: dict[str, Activation] = {
    function.__name__: function for function in (*_NATIVE, *GRADIENTS, threshold)
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
        name = _NATIVE.get(activation)
    except TypeError:  # an object without a hash
        return None
    if name is None and is_layer(activation):
        native = getattr(activation, "native", None)
        return None if native is None else native()
    return _operation_name(activation) if name is None else name


def _operation_name(activation: Any) -> str | None:
    """The name of an operation that is a native activation, `ops.tanh`, which is not loaded to find that out."""
    name = getattr(activation, "__name__", None)
    if name not in _OPERATIONS:
        return None
    module = sys.modules.get("lstmfast.ops")
    return name if module is not None and getattr(module, name, None) is activation else None


def is_layer(activation: Any) -> bool:
    """Whether an activation is a layer, with a forward and a backward pass of its own.

    Examples
    --------
    >>> from lstmfast import activations, layers
    >>> activations.is_layer(layers.LeakyReLU()), activations.is_layer(activations.relu)
    (True, False)
    """
    return hasattr(activation, "forward") and hasattr(activation, "backward")


def needs_input(activation: Activation) -> bool:
    """Whether `backward` needs the input `x`; for the others the output is enough."""
    name = native_name(activation)
    return name is None or name in _NEEDS_X


def forward(activation: Activation, x: Array) -> Array:
    """``activation(x)`` as float32, whatever a user's own function gives."""
    name = native_name(activation)
    if name is not None:
        return x if name == "linear" else _core.activation_forward(name, x)
    with np.errstate(all="ignore"):  # as in operations, infinity and NaN are results
        y = f32(_layer_forward(activation, x) if is_layer(activation) else activation(x))
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
        If it is a function of the user that neither has an attribute ``gradient`` nor works with symbolic tensors.
    """
    name = native_name(activation)
    if name is not None:
        return dy if name == "linear" else _core.activation_backward(name, x, y, dy)
    if is_layer(activation):
        assert x is not None
        return _layer_backward(activation, x, dy)
    rule = _rule(activation)
    assert x is not None
    return _traced_backward(activation, x, dy) if rule is None else f32(rule(x, y, dy))


def is_composed(activation: Activation) -> bool:
    """Whether a function is the user's without a gradient of its own, which that of operations in it may give.

    Examples
    --------
    >>> from lstmfast import activations
    >>> activations.is_composed(lambda x: x * 2), activations.is_composed(activations.mish)
    (True, False)
    """
    known = native_name(activation) is not None or is_layer(activation)
    return not known and _rule(activation) is None


def _rule(activation: Activation) -> Any:
    """``(x, y, dy) -> dx`` of a function that is no native one, or None."""
    rule = GRADIENTS.get(activation) if type(activation) is _FUNCTION else None
    return rule or getattr(activation, "gradient", None)


def _traced_backward(activation: Activation, x: Array, dy: Array) -> Array:
    """Gradient through the operations and layers that a function is made of, which run anew."""
    from ..layers.call import Call  # layers import this module
    from ..layers.core.lambda_layer import Lambda

    layer, call = Lambda(activation, name="activation"), Call(save=True, needs_dx=True)
    layer.forward(x, call)
    if isinstance(call.saved, str):
        raise NotImplementedError(
            f"activation {activation!r} has no derivative: it does not work with symbolic inputs ({call.saved}). Write it "
            "with `lstmfast.ops` and operators, or give it an attribute `gradient`, a function (x, y, dy) -> dx"
        )
    dx = layer.backward(dy, call)
    return np.zeros_like(x) if dx is None else f32(dx)


def _layer_forward(layer: Any, x: Array) -> Any:
    from ..layers.call import Call  # layers import this module

    layer.ensure_built(x.shape)
    layer.check_input(x)
    return layer.forward(x, Call())


def _layer_backward(layer: Any, x: Array, dy: Array) -> Array:
    """Gradient through a layer, which runs anew: nothing of its forward pass was kept. Its weights get theirs too."""
    from ..layers.call import Call

    call = Call(save=True, needs_dx=True)
    layer.forward(x, call)
    return f32(layer.backward(dy, call))


_FUNCTION = type(f32)


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
            from ..saving.registry import get_registered_object

            found = get_registered_object(identifier)
    elif isinstance(identifier, dict):
        found = deserialize(identifier)
    if callable(found):
        return found  # type: ignore[no-any-return]
    raise ValueError(f"Could not interpret activation function identifier: {identifier}")


def serialize(activation: Activation) -> Any:
    """A built-in's name, also of the operation that is the same; for others a configuration in Keras 3's dict form."""
    from ..saving.registry import get_registered_name, serialize_keras_object

    name = getattr(activation, "__name__", "")
    if _BY_NAME.get(name) is activation or _operation_name(activation):
        return name
    config = serialize_keras_object(activation)
    if isinstance(config, dict) and isinstance(config.get("config"), str):
        config["config"] = get_registered_name(activation)
    return config


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The activation that `serialize` described."""
    from ..saving.registry import deserialize_keras_object

    module = config.get("module") if isinstance(config, dict) else None
    if (
        isinstance(module, str)
        and module.startswith("lstmfast.ops.")
        and config.get("class_name") == "function"
    ):
        from .. import ops

        name = config.get("config")
        operation = getattr(ops, name) if name in ops.__all__ else None
        if getattr(operation, "__module__", None) == module:
            return operation
    return deserialize_keras_object(config, custom_objects, module_objects=_BY_NAME)
