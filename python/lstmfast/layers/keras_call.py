# SPDX-License-Identifier: BSD-3-Clause
"""Layers that write Keras's `call` instead of `forward`: they run; they train if `call` only composes layers and operations
(see `models.composed`), or if they also write `backward`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from ..symbolic import KerasTensor, map_leaves
from .call import Call
from .eager import attach_masks, carried_mask, training_flag

if TYPE_CHECKING:
    from .base import Layer

__all__ = [
    "TRACES",
    "add_penalty",
    "adopt_call",
    "arguments_of_call",
    "call_of_forward",
    "current_call",
    "first_argument",
    "forward_of_call",
    "has_traces",
    "hides_states",
    "makes_own_mask",
    "prefix_built",
    "shapes_by_name",
    "traces_of",
    "writes_mask",
]

#: The call whose `call` method runs now, for `Layer.add_loss`.
current_call: ContextVar[tuple[Layer, Call] | None] = ContextVar("current_call", default=None)

#: The graphs of a layer's `call` by signature (`models.composed.Traced`).
TRACES: WeakKeyDictionary[Any, dict[Any, Any]] = WeakKeyDictionary()


def adopt_call(cls: type[Layer]) -> None:
    """Give a class whose body has a `call` and no `forward` a `forward` that runs it, and one that has a `compute_mask`
    the support of masks."""
    body = vars(cls)
    if hasattr(cls, "nested_forward"):  # a model is the graph it was made of
        return
    if (
        "compute_mask" in body
        and "supports_masking" not in body
        and not cls.__module__.startswith("lstmfast.")
    ):
        cls.supports_masking = True  # as Keras takes it
    if "call" in body and "forward" not in body:
        cls.forward = forward_of_call  # type: ignore[method-assign,assignment]
        if "backward" not in body:
            cls.backward = backward_of_call  # type: ignore[method-assign,assignment]


def forward_of_call(layer: Layer, x: Any, *more: Any) -> Any:
    """`forward(x, call)`, and `forward(x, states, call)` of cells, by way of the layer's `call`."""
    *states, call = more
    reason = ""
    by_graph = call.save or any(v is not None for v in (call.lengths, call.resets, call._rng))
    if by_graph and has_traces(layer):
        from ..models.composed import forward_traced  # made of layers itself

        if states:  # of a cell: each step needs their gradients
            call.needs_dx, call.arguments = True, {"": (list(states[0]),)}
        y, traced = forward_traced(layer, x, call)
        if traced:
            return y
        reason = y
        if states:
            call.arguments = {}
    x = attach_masks(x, call.mask) if call.mask is not None and not states else x
    arguments = arguments_of_call(layer, call, call.mask, x)
    positional = arguments.pop("", ())
    outer, owner = training_flag.set(call.training), current_call.set((layer, call))
    layer._call_losses = []
    known = {id(inner) for inner in layer._sublayers() if inner.built}
    try:
        outputs = layer.call(x, *states, *positional, **arguments)
        prefix_built(layer, known)
    finally:
        training_flag.reset(outer)
        current_call.reset(owner)
    if call.save and has_traces(layer):
        call.saved = reason
    if call.output_mask is None and not states:
        call.output_mask = _masks_made(outputs)
    return map_leaves(_as_output, outputs)


def add_penalty(penalty: float) -> None:
    """Add a layer's penalty to that of the layer in whose `call` it was called with arrays."""
    running = current_call.get()
    if running is not None:
        running[1].penalty += penalty


def arguments_of_call(
    layer: Layer, call: Call, mask: Any, x: Any = None, mask_of: Callable[[Any], Any] = carried_mask
) -> dict[str, Any]:
    """What a layer's `call` gets besides its input: `training`, masks, and what the layer was called with; further
    positional arguments under "". `mask_of`: finds the mask of a tensor among these.
    """
    parameters = inspect.signature(layer.call).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    given = {
        key: value
        for key, value in (("training", call.training), ("mask", mask))
        if key in parameters and not (key == "mask" and value is None)
    }
    arguments = dict(call.arguments)
    positional = arguments.pop("", ())
    unknown = [key for key in arguments if key not in parameters]
    if unknown and not open_ended:
        raise TypeError(f"layer {layer.name!r} got an unexpected argument {unknown[0]!r}")
    if isinstance(x, tuple) and isinstance(mask, list) and "mask" in given:
        given["mask"] = tuple(mask)
    given |= _masks_by_name(parameters, x, positional, arguments, mask, mask_of)
    return {"": positional, **given, **arguments} if positional else {**given, **arguments}


def _masks_made(outputs: Any) -> Any:
    """The mask that came with an output, a list for several; None if there is none."""
    return carried_mask(outputs, takes_list=True)


def has_traces(layer: Layer) -> bool:
    """Whether the layer trains by the graph that its `call` is."""
    return type(layer).backward is backward_of_call and type(layer).forward is forward_of_call


def writes_mask(layer: Layer) -> bool:
    """Whether a layer that writes `call` also writes `compute_mask`, to be asked for a mask where the input has none."""
    if not (layer.supports_masking and has_traces(layer)):
        return False
    written = next(vars(cls)["compute_mask"] for cls in type(layer).__mro__ if "compute_mask" in vars(cls))
    return not written.__module__.startswith("lstmfast.")


def makes_own_mask(layer: Layer, inputs: Any) -> bool:
    """Whether the `compute_mask` of a layer that writes `call` makes a mask of symbolic inputs that have none."""
    if not writes_mask(layer):
        return False
    try:
        return layer.compute_mask(inputs, None) is not None
    except Exception:  # one that was written for arrays
        return True


def traces_of(layer: Layer) -> list[Any]:
    """The graphs of a layer's `call` that were made so far."""
    return list(TRACES.get(layer, {}).values()) if has_traces(layer) else []


def hides_states(layer: Layer) -> bool:
    """Whether recurrent layers inside go on from nothing but their own states."""
    from .properties import layers_inside  # made of calls itself

    return has_traces(layer) and any(hasattr(inner, "state_size") for inner in layers_inside(layer))


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
    return isinstance(value, (np.ndarray, KerasTensor))


def _tensors_by_name(layer: Layer, x: Any, positional: Any, named: dict[str, Any]) -> dict[str, Any]:
    names = iter(inspect.signature(layer.call).parameters)
    found = {**dict(zip(names, (x, *positional), strict=False)), **named}
    return {name: value for name, value in found.items() if _is_tensors(value)}


def shapes_by_name(
    layer: Layer, x: Any, positional: Any, named: dict[str, Any], method: Any = None
) -> dict[str, Any] | None:
    """The arguments of a `build`, or another `method`, that takes the shapes of several arguments of `call`; None for
    one that takes one.

    Raises
    ------
    ValueError
        If the names do not belong together.
    """
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    wanted = [
        name for name, p in inspect.signature(method or layer.build).parameters.items() if p.kind not in kinds
    ]
    if len(wanted) < 2:
        return None
    tensors = _tensors_by_name(layer, x, positional, named)
    known = inspect.signature(layer.call).parameters
    called = "build" if method is None else method.__name__
    rule = (
        f"For a `{called}()` method with more than one argument, all arguments should have a `_shape` suffix and match an "
        "argument from `call()`. E.g. `build(self, foo_shape, bar_shape)` For layer "
        f"'{type(layer).__name__}', received `{called}()` argument "
    )
    shapes = {}
    for argument in wanted:
        name = argument.removesuffix("_shape")
        if name == argument:
            raise ValueError(f"{rule}`{argument}`, which does not end in `_shape`.")
        if name not in known:
            raise ValueError(f"{rule}`{argument}`, but `call()` does not have argument `{name}`.")
        if name in tensors:
            shapes[argument] = map_leaves(lambda tensor: tuple(tensor.shape), tensors[name])
    return shapes


def _masks_by_name(
    parameters: Any, x: Any, positional: Any, named: dict[str, Any], mask: Any, mask_of: Callable[[Any], Any]
) -> dict[str, Any]:
    """Masks for arguments ``a_mask`` of a `call` with several tensors ``a``, ``b``."""
    names = list(parameters)
    others = {**dict(zip(names[1:], positional, strict=False)), **named}
    if not names or not any(_is_tensors(value) for value in others.values()):
        return {}
    found = {
        f"{name}_mask": map_leaves(mask_of, value) for name, value in others.items() if _is_tensors(value)
    }
    found[f"{names[0]}_mask"] = tuple(mask) if isinstance(x, tuple) and isinstance(mask, list) else mask
    return {name: value for name, value in found.items() if name in parameters and named.get(name) is None}


def prefix_built(layer: Layer, known: set[int]) -> None:
    """Put the layer's name before the paths of weights that layers inside it have made since `known` was noted."""
    for inner in layer._sublayers():
        if inner.built and id(inner) not in known:
            for variable in inner.weights:
                variable.path = f"{layer.name}/{variable.path}"


def _as_output(value: Any) -> Any:
    if getattr(value, "_keras_mask", None) is not None:
        return value
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def backward_of_call(layer: Layer, dy: Any, *more: Any) -> Any:
    """`backward(dy, call)`, and `backward(dy, dstates, call)` of cells, by the graph of the layer's `call`."""
    *dstates, call = more
    saved = call.saved
    if not isinstance(saved, str) and saved is not None:
        if not dstates:
            dx, call.d_arguments = saved.backward(dy)
            return dx
        dx, before = saved.backward((dy, *dstates[0]))
        zeros = [np.zeros_like(d) for d in dstates[0]]  # a state of which nothing is made
        return dx, [z if d is None else d for z, d in zip(zeros, before[""][0], strict=True)]
    reason = f" nor works with symbolic inputs ({saved})" if saved else ""
    raise NotImplementedError(
        f"layer {layer.name!r} of class {type(layer).__name__} cannot be trained: it has a `call` that neither has a "
        f"`backward(dy, call)`{reason}. Compose layers and `lstmfast.ops` in `call`, or write `forward` and `backward`"
    )


# The names by which bound methods are pickled.
forward_of_call.__name__, backward_of_call.__name__ = "forward", "backward"


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
