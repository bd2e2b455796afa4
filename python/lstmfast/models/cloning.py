# SPDX-License-Identifier: BSD-3-Clause
"""A model of the same layers with new weights, as it is or with other layers in their place."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..layers.base import Layer
from ..layers.core.input import Input, InputLayer
from ..saving.custom_objects import CustomObjectScope, get_registered_name
from ..symbolic import KerasTensor, flatten, map_leaves
from .graph import tensors_of
from .model import Model
from .sequential import Sequential

__all__ = ["clone_model"]


def clone_model(
    model: Model,
    input_tensors: Any = None,
    clone_function: Callable[[Layer], Layer] | None = None,
    call_function: Callable[..., Any] | None = None,
    recursive: bool = False,
) -> Model:
    """A model of the same layers with new weights.

    Parameters
    ----------
    model : Model
    input_tensors : KerasTensor, or list or dict of them, optional
        What the new model starts from, in the structure of ``model.input``; new inputs by default.
    clone_function : callable, optional
        Gives the new layer for a layer of the model; it is not asked for inputs. By default the layer is made
        anew from its configuration. ``lambda layer: layer`` shares the layers.
    call_function : callable, optional
        ``call_function(layer, *args, **kwargs)`` calls a new layer and returns its outputs: it may put others
        behind. Not with a Sequential.
    recursive : bool
        Whether models inside are cloned layer by layer, too, rather than given to `clone_function`.

    Returns
    -------
    Model
        Compiled alike if `model` was.

    Raises
    ------
    ValueError
        If `input_tensors` do not match the model's inputs, or `call_function` comes with a Sequential.

    Examples
    --------
    >>> from lstmfast import Input, Sequential, layers
    >>> from lstmfast.models import clone_model
    >>> clone_model(Sequential([Input((2,)), layers.Dense(3)])).count_params()
    9
    """
    if not isinstance(model, Model):
        raise ValueError(f"Expected `model` argument to be a Model instance. Received: model={model}")
    return _clone(model, input_tensors, clone_function, call_function, recursive, {})


def _clone(
    model: Model,
    input_tensors: Any,
    clone_function: Callable[[Layer], Layer] | None,
    call_function: Callable[..., Any] | None,
    recursive: bool,
    done: dict[int, Layer],
) -> Model:
    if model._by_call:
        if clone_function is not None or input_tensors is not None or call_function is not None:
            raise ValueError(
                "Arguments `clone_function`, `input_tensors` and `call_function` are only supported for Sequential models "
                f"or Functional models. Received model of type '{type(model).__name__}', whose `call` makes its graph"
            )
        return type(model).from_config(model.get_config())  # type: ignore[no-any-return]

    def clone_layer(layer: Layer) -> Layer:
        if id(layer) not in done:
            if recursive and isinstance(layer, Model):
                inner_call = None if isinstance(layer, Sequential) else call_function
                done[id(layer)] = _clone(layer, None, clone_function, inner_call, True, done)
            elif clone_function is None:
                done[id(layer)] = type(layer).from_config(layer.get_config())
            else:
                done[id(layer)] = clone_function(layer)
        return done[id(layer)]

    if isinstance(model, Sequential):
        if call_function is not None:
            raise ValueError(
                "`call_function` argument is not supported with Sequential models. Use `call_function` with Functional "
                f"models only. Received model of type '{type(model).__name__}'"
            )
        cloned: Model = _clone_sequential(model, clone_layer, input_tensors)
    else:
        cloned = _clone_functional(model, clone_layer, input_tensors, call_function or _call)
    compile_config = model.get_compile_config()
    if compile_config is not None:
        with CustomObjectScope(_own_objects(model)):
            cloned.compile_from_config(compile_config)
    return cloned


def _own_objects(model: Model) -> dict[str, Any]:
    """The caller's optimizer, losses and metrics by the names under which a configuration looks for them."""
    given = [model.optimizer, *flatten(list(model._compile_arguments.values()))]
    kinds = [value if inspect.isroutine(value) or inspect.isclass(value) else type(value) for value in given]
    return {get_registered_name(kind): kind for kind in kinds if kind.__module__ != "builtins"}


def _call(layer: Layer, *args: Any, **kwargs: Any) -> Any:
    return layer(*args, **kwargs)


def _clone_sequential(model: Sequential, clone: Callable[[Layer], Layer], input_tensors: Any) -> Sequential:
    stack: list[Any] = [clone(layer) for layer in model.layers]
    first = model._stack[0] if model._stack else None
    if input_tensors is not None:
        given = flatten(input_tensors)
        if len(given) != 1 or not isinstance(given[0], KerasTensor):
            raise ValueError(
                f"Argument `input_tensors` must be a single KerasTensor. Received: input_tensors={input_tensors}"
            )
        name = first.name if isinstance(first, InputLayer) else None
        stack.insert(0, Input(tensor=given[0], name=name))
    elif isinstance(first, InputLayer):
        stack.insert(0, _new_input(first))
    return type(model)(stack, name=model.name, trainable=model.trainable)


def _new_input(layer: Any) -> KerasTensor:
    return Input(batch_shape=layer.batch_shape, dtype=layer.dtype, name=layer.name)


def _clone_functional(
    model: Model, clone: Callable[[Layer], Layer], input_tensors: Any, call: Callable[..., Any]
) -> Model:
    graph = model.executor.graph
    if input_tensors is None:
        input_tensors = map_leaves(lambda t: _new_input(t.origin.layer), model.input)
    elif _structure(input_tensors) != _structure(model.input):
        raise ValueError(
            "`input_tensors` must have the same structure as model.input\n"
            f"Reference structure: {model.input}\nReceived structure: {input_tensors}"
        )
    new = {
        id(old): tensor
        for old, tensor in zip(graph.inputs, tensors_of(input_tensors, "input_tensors"), strict=True)
    }

    def renewed(value: Any) -> Any:
        return new[id(value)] if isinstance(value, KerasTensor) else value

    for node in graph.nodes:
        if all(id(tensor) in new for tensor in node.outputs):
            continue
        kwargs = {key: map_leaves(renewed, value) for key, value in node.kwargs.items()}
        args, kwargs = node.layer.graph_arguments(map_leaves(renewed, node.inputs), kwargs)
        made = flatten(call(clone(node.layer), *args, **kwargs))
        if len(made) != len(node.outputs):
            raise ValueError(
                f"the clone of layer {node.layer.name!r} gives {len(made)} outputs, the layer {len(node.outputs)}"
            )
        new.update((id(old), tensor) for old, tensor in zip(node.outputs, made, strict=True))
    return type(model)(input_tensors, map_leaves(renewed, model.output), name=model.name)


def _structure(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _structure(item) for key, item in value.items()}
    return [_structure(item) for item in value] if isinstance(value, (list, tuple)) else None
