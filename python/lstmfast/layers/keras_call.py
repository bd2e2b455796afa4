# SPDX-License-Identifier: BSD-3-Clause
"""Layers that write Keras's `call` instead of `forward`: they run, and train if they also write `backward`."""

from __future__ import annotations

import inspect
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from ..symbolic import map_leaves
from .call import Call
from .eager import training_flag

if TYPE_CHECKING:
    from .base import Layer

__all__ = ["adopt_call", "call_of_forward", "current_call", "forward_of_call", "prefix_built"]

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
