# SPDX-License-Identifier: BSD-3-Clause
"""Models that write `call`: what it does with symbolic inputs is the model's graph."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..layers.base import Layer
from ..layers.building import as_before_on_error, plain_arguments
from ..layers.call import Call
from ..layers.core.input import Input
from ..layers.eager import is_training, training_flag
from ..layers.keras_call import current_call, prefix_built
from ..layers.properties import layers_inside
from ..symbolic import KerasTensor, current_trace, flatten, is_shape, is_symbolic, map_shapes, traced_inputs
from ..variables import trial
from .call_layer import call_node, same_form
from .executor import Executor
from .graph import Graph, tensors_of

if TYPE_CHECKING:
    from .model import Model

__all__ = [
    "build_by_call",
    "build_for_arrays",
    "call_with_more",
    "check_fixed_shapes",
    "check_held",
    "inputs_like",
    "recorded_arguments",
    "shapes_of_arrays",
    "trace_call",
    "writes_call",
]


def writes_call(cls: type[Any]) -> bool:
    """Whether a class of models has a `call` of its own."""
    return cls.call is not Layer.call


def recorded_arguments(
    cls: type[Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any] | None:
    """The arguments of a constructor call for `get_config`; None if a configuration cannot hold them."""
    given = plain_arguments(cls, args, kwargs)
    named = set(kwargs) - {"name", "trainable", "dtype", "activity_regularizer"}
    return None if not given and (args or named) else given


def shapes_of_arrays(x: Any) -> Any:
    """The structure of `x` with batch shapes in place of arrays; the number of samples is left open."""
    if isinstance(x, dict):
        return {key: shapes_of_arrays(value) for key, value in x.items()}
    several = isinstance(x, (list, tuple)) and any(isinstance(a, (np.ndarray, dict)) for a in x)
    if several and all(isinstance(a, (np.ndarray, list, tuple, dict)) for a in x):
        return [shapes_of_arrays(value) for value in x]
    shape = np.shape(x)
    if len(shape) < 1 or 0 in shape:
        raise ValueError(f"x must be made of non-empty arrays with a batch axis, got shape {shape}")
    return (None, *shape[1:])


def _with_ids_opened(x: Any, shapes: Any) -> Any:
    """The shapes with an open last axis where `x` has integers of two axes: (batch, time)."""
    if isinstance(shapes, dict):
        return {key: _with_ids_opened(x[key], shape) for key, shape in shapes.items()}
    if isinstance(shapes, list):
        return [_with_ids_opened(*pair) for pair in zip(x, shapes, strict=True)]
    return (shapes[0], None) if len(shapes) == 2 and np.asarray(x).dtype.kind in "iu" else shapes


def build_for_arrays(model: Model, x: Any) -> None:
    """`build_by_call` for a batch of data.

    Axes between the first and the last, time among them, are left open where `call` works without their size; else
    the model only takes what has the same size there (see `check_fixed_shapes`). The last axis of integers, (batch, time), may
    be time as well.
    """
    shapes = shapes_of_arrays(x)
    if any(getattr(layer, "stateful", False) for layer in layers_inside(model)):
        size = len(flatten(x)[0])
        shapes = map_shapes(lambda shape: (size, *shape[1:]), shapes)
    opened = map_shapes(lambda shape: (shape[0], *(None for _ in shape[1:-1]), *shape[1:][-1:]), shapes)
    with_ids = _with_ids_opened(x, opened)
    for tried in (opened,) if with_ids == opened else (with_ids, opened):
        if tried == shapes:
            continue
        try:
            build_by_call(model, tried)
            return
        except Exception:
            pass  # whatever it was: with all sizes known it either works or says what is wrong
    build_by_call(model, shapes)
    model._fixed_shapes = shapes


def build_by_call(model: Model, input_shape: Any) -> None:
    """Make the graph of a model that writes `call`, and the weights of its layers.

    Parameters
    ----------
    model : Model
    input_shape : tuple of int or None, or list or dict of them
        Batch axis included.

    Raises
    ------
    ValueError
        If `call` makes no symbolic tensors, or uses others than those of its input; nothing is built then.
    """
    inputs = inputs_like(input_shape)
    unbuilt = [layer for layer in layers_inside(model) if not layer.built]
    known = {id(layer) for layer in model._sublayers() if layer.built}
    with as_before_on_error(*unbuilt):
        outputs, graph = _graph_of_call(model, inputs)
        prefix_built(model, known)
    model._input_structure, model._output_structure = inputs, outputs
    model._executor, model._traced = Executor(graph, calls_decide=True), True
    model.built = True
    model._build_shape = input_shape


def call_with_more(
    model: Model,
    inputs: Any,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    said: dict[str, Any],
    lengths: Any,
    resets: Any,
) -> Any:
    """What the model's own `call` makes of the inputs and further arguments, arrays or symbolic tensors: no graph of its own
    is kept.

    Parameters
    ----------
    said
        `training` and `mask`; None for what was not given.
    """
    wrong = next(iter(kwargs), f"{len(args) + 1} positional arguments")
    if not type(model)._writes_call:
        raise TypeError(f"model {model.name!r} got an unexpected argument: {wrong}")
    if lengths is not None or resets is not None:
        raise ValueError(
            f"lengths and resets of model {model.name!r} do not go with further arguments of `call`: {wrong}"
        )
    parameters = inspect.signature(model.call).parameters
    known = {id(layer) for layer in model._sublayers() if layer.built}
    training = is_training(said["training"])
    if not is_symbolic([inputs, args, kwargs]):
        said = {**said, "training": training}
    said = {key: value for key, value in said.items() if key in parameters and value is not None}
    outer = training_flag.set(training)
    try:
        outputs = model.call(inputs, *args, **said, **kwargs)
    finally:
        training_flag.reset(outer)
    prefix_built(model, known)
    return outputs


def check_fixed_shapes(model: Model, x: Any) -> None:
    """Raise a ValueError if `x` differs in a size that `call` depended on when it was traced."""
    fixed = model._fixed_shapes
    if fixed is None:
        return
    try:
        shapes = shapes_of_arrays(x)
    except ValueError:
        return  # the check of inputs will say it better
    if map_shapes(lambda s: s[1:], shapes) != map_shapes(lambda s: s[1:], fixed):
        raise ValueError(
            f"the `call` of model {model.name!r} depends on the sizes of its input: it was built for {fixed}, got "
            f"{shapes}"
        )


def trace_call(
    owner: Any, inputs: Any, arguments: dict[str, Any], more: Sequence[KerasTensor] = ()
) -> tuple[Any, Graph]:
    """What `call` makes of symbolic inputs, and the graph of that; `more`: inputs among the arguments."""
    arguments = dict(arguments)
    outer = traced_inputs.set(tuple(tensors_of(inputs, "inputs")))
    try:
        outputs = owner.call(inputs, *arguments.pop("", ()), **arguments)
    finally:
        traced_inputs.reset(outer)
    trace = current_trace.get()
    if trace is not None:
        outputs = trace.with_assignments(outputs)
    for leaf in flatten(outputs):
        if not isinstance(leaf, KerasTensor):
            raise ValueError(
                f"the `call` of {_kind(owner)} {owner.name!r} must return what layers made of its input, got {type(leaf).__name__}"
            )
    return outputs, Graph(
        [*tensors_of(inputs, "inputs"), *more], tensors_of(outputs, "outputs"), unique=False
    )


def _kind(owner: Any) -> str:
    return "model" if hasattr(owner, "nested_forward") else "layer"


def check_held(owner: Any, graph: Graph) -> None:
    """Refuse layers with weights that `call` makes itself: nothing would hold them."""
    held = {id(variable) for variable in owner.weights}
    for layer in graph.layers:
        if any(id(variable) not in held for variable in layer.weights):
            raise ValueError(
                f"the `call` of {_kind(owner)} {owner.name!r} uses the layer {layer.name!r}, which no attribute of the "
                f"{_kind(owner)} holds: make layers in `__init__`"
            )


def _graph_of_call(model: Model, inputs: Any) -> tuple[Any, Graph]:
    """Outputs and graph of the model: what its `call` does; or a layer that runs it, if it has no single graph."""
    flags = (None, True, False) if model._said_to_call(None) else (None,)
    calls = [Call(bool(training)) for training in flags]
    made = []
    assigned = False
    for training, call in zip(flags, calls, strict=True):
        outer = current_call.set((model, call))
        try:
            with trial() as before:
                made.append(trace_call(model, inputs, model._said_to_call(training)))
        finally:
            current_call.reset(outer)
        assigned = assigned or bool(before)
        check_held(model, made[-1][1])
    graphs = [graph for _, graph in made]  # undecided, or undecided, training and inference
    held = {id(layer) for layer in layers_inside(model)}
    plain = not assigned and all(call.added is None for call in calls)
    single = plain and (len(graphs) == 1 or same_form(graphs, held))
    for graph in graphs[1:] if single else graphs:
        for node in graph.nodes:
            if node.parents and node in node.layer.inbound_nodes:
                node.layer.inbound_nodes.remove(node)
    if single:
        return made[0]
    outputs = call_node(model, inputs, made[-1][0])
    return outputs, Graph(tensors_of(inputs, "inputs"), tensors_of(outputs, "outputs"), unique=False)


def inputs_like(shapes: Any) -> Any:
    """An `Input` for each batch shape in lists and dicts, with the keys of dicts as names."""
    names = _names_of(shapes)
    return map_shapes(lambda shape: Input(batch_shape=shape, name=next(names)), shapes)


def _names_of(structure: Any) -> Iterator[str | None]:
    """Names for the inputs in the order in which `map_shapes` meets them: the keys of a dict."""
    if isinstance(structure, dict):
        for key, value in structure.items():
            if is_shape(value):
                yield str(key)
            else:
                yield from _names_of(value)
    elif is_shape(structure):
        yield None
    else:
        for value in structure:
            yield from _names_of(value)
