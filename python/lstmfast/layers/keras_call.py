# SPDX-License-Identifier: BSD-3-Clause
"""Layers that write Keras's `call` instead of `forward`: they run, and train if they also write `backward`."""

from __future__ import annotations

import inspect
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from ..symbolic import map_leaves
from .call import Call
from .eager import carried_mask, training_flag

if TYPE_CHECKING:
    from .base import Layer

__all__ = [
    "adopt_call",
    "call_of_forward",
    "current_call",
    "first_argument",
    "forward_of_call",
    "prefix_built",
    "shapes_by_name",
]

#: The call whose `call` method runs now, for `Layer.add_loss`.
current_call: ContextVar[tuple[Layer, Call] | None] = ContextVar("current_call", default=None)


def adopt_call(cls: type[Layer]) -> None:
    """Give a class whose body has a `call` and no `forward` a `forward` that runs it."""
    body = vars(cls)
    if hasattr(cls, "nested_forward"):  # a model is the graph it was made of
        return
    if "call" in body and "forward" not in body:
        cls.forward = forward_of_call  # type: ignore[method-assign,assignment]
        if "backward" not in body:
            cls.backward = _no_backward  # type: ignore[method-assign,assignment]


def forward_of_call(layer: Layer, x: Any, *more: Any) -> Any:
    """`forward(x, call)`, and `forward(x, states, call)` of cells, by way of the layer's `call`."""
    *states, call = more
    parameters = inspect.signature(layer.call).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    given = {
        key: value
        for key, value in (("training", call.training), ("mask", call.mask))
        if key in parameters and not (key == "mask" and value is None)
    }
    arguments = dict(call.arguments)
    positional = arguments.pop("", ())
    unknown = [key for key in arguments if key not in parameters]
    if unknown and not open_ended:
        raise TypeError(f"layer {layer.name!r} got an unexpected argument {unknown[0]!r}")
    if isinstance(x, tuple) and isinstance(given.get("mask"), list):
        given["mask"] = tuple(given["mask"])
    given |= _masks_by_name(parameters, x, positional, arguments, call.mask)
    outer, owner = training_flag.set(call.training), current_call.set((layer, call))
    layer._call_losses = []
    known = {id(inner) for inner in layer._sublayers() if inner.built}
    try:
        outputs = layer.call(x, *states, *positional, **{**given, **arguments})
        prefix_built(layer, known)
    finally:
        training_flag.reset(outer)
        current_call.reset(owner)
    return map_leaves(_as_output, outputs)


def first_argument(layer: Layer, kwargs: dict[str, Any]) -> Any:
    """The input of a call that has it under the name in the layer's `call`; takes it out of `kwargs`."""
    if type(layer).forward is forward_of_call:
        name = next(iter(inspect.signature(layer.call).parameters), "inputs")
        if name in kwargs:
            return kwargs.pop(name)
    raise TypeError(f"layer {layer.name!r} is missing its input")


def _is_tensors(value: Any) -> bool:
    """An array, or a list, tuple or dict of them."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return bool(value) and all(_is_tensors(item) for item in value)
    return isinstance(value, np.ndarray)


def _tensors_by_name(layer: Layer, x: Any, positional: Any, named: dict[str, Any]) -> dict[str, Any]:
    names = iter(inspect.signature(layer.call).parameters)
    found = {**dict(zip(names, (x, *positional), strict=False)), **named}
    return {name: value for name, value in found.items() if _is_tensors(value)}


def shapes_by_name(layer: Layer, x: Any, positional: Any, named: dict[str, Any]) -> dict[str, Any] | None:
    """The arguments of a `build` that takes the shapes of several arguments of `call`; None for one that takes one.

    Raises
    ------
    ValueError
        If the names do not belong together.
    """
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    wanted = [name for name, p in inspect.signature(layer.build).parameters.items() if p.kind not in kinds]
    if len(wanted) < 2:
        return None
    tensors = _tensors_by_name(layer, x, positional, named)
    known = inspect.signature(layer.call).parameters
    rule = (
        "For a `build()` method with more than one argument, all arguments should have a `_shape` suffix and match an "
        "argument from `call()`. E.g. `build(self, foo_shape, bar_shape)` For layer "
        f"'{type(layer).__name__}', received `build()` argument "
    )
    shapes = {}
    for argument in wanted:
        name = argument.removesuffix("_shape")
        if name == argument:
            raise ValueError(f"{rule}`{argument}`, which does not end in `_shape`.")
        if name not in known:
            raise ValueError(f"{rule}`{argument}`, but `call()` does not have argument `{name}`.")
        if name in tensors:
            shapes[argument] = map_leaves(np.shape, tensors[name])
    return shapes


def _masks_by_name(
    parameters: Any, x: Any, positional: Any, named: dict[str, Any], mask: Any
) -> dict[str, Any]:
    """Masks for arguments ``a_mask`` of a `call` with several tensors ``a``, ``b``."""
    names = list(parameters)
    others = {**dict(zip(names[1:], positional, strict=False)), **named}
    if not names or not any(_is_tensors(value) for value in others.values()):
        return {}
    found = {
        f"{name}_mask": map_leaves(carried_mask, value)
        for name, value in others.items()
        if _is_tensors(value)
    }
    found[f"{names[0]}_mask"] = tuple(mask) if isinstance(x, tuple) and isinstance(mask, list) else mask
    return {name: value for name, value in found.items() if name in parameters and named.get(name) is None}


def prefix_built(layer: Layer, known: set[int]) -> None:
    """Put the layer's name before the paths of weights that layers inside it have made since `known` was noted."""
    for inner in layer._sublayers():
        if inner.built and id(inner) not in known:
            for variable in inner.variables:
                variable.path = f"{layer.name}/{variable.path}"


def _as_output(value: Any) -> Any:
    if getattr(value, "_keras_mask", None) is not None:
        return value
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _no_backward(layer: Layer, *_: Any) -> Any:
    raise NotImplementedError(
        f"layer {layer.name!r} of class {type(layer).__name__} cannot be trained: it has a `call` and no "
        "`backward(dy, call)`"
    )


def call_of_forward(layer: Layer, x: Any, arguments: dict[str, Any]) -> Any:
    """What ``super().call(x)`` runs: the `forward` of the nearest class that writes one."""
    if hasattr(layer, "nested_forward"):
        return layer(x, **arguments)
    for cls in type(layer).__mro__:
        forward = vars(cls).get("forward")
        if forward is None or forward is forward_of_call:
            continue
        if cls.__name__ == "Layer" and cls.__module__.endswith(".layers.base"):
            break
        call = Call(bool(arguments.pop("training", None) or False), mask=arguments.pop("mask", None))
        call.initial_state = arguments.pop("initial_state", None)
        call.arguments = arguments
        return forward(layer, x, call)
    raise NotImplementedError(f"Layer {type(layer).__name__} does not have a `call` method implemented.")
