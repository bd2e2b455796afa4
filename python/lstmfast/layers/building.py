# SPDX-License-Identifier: BSD-3-Clause
"""What happens around a layer's construction and `build`: arguments that give shapes, failures, shapes by trying."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import activations
from ..symbolic import KerasTensor, Shape, current_trace, flat_shapes, flatten, map_leaves, map_shapes, packed
from ..variables import Variable, trial
from .arrays import shapes_of
from .call import Call
from .keras_call import forward_of_call, prefix_built, shapes_by_name

if TYPE_CHECKING:
    from .base import Layer

__all__ = [
    "as_before_on_error",
    "build_activation",
    "dtype_name",
    "fresh",
    "input_shape_argument",
    "noting_shape",
    "plain_arguments",
    "shape_by_name",
    "shape_by_spec",
    "shape_by_trying",
    "weight_arguments",
]


@contextmanager
def as_before_on_error(*layers: Any) -> Iterator[None]:
    """Take back what a `build` that fails did to the layers: attributes and weights."""
    before = [(vars(layer), dict(vars(layer))) for layer in layers]
    made = [(variables, len(variables)) for layer in layers for variables in _own_lists(layer)]
    try:
        yield
    except BaseException:
        for now, then in before:
            now.clear()
            now.update(then)
        for variables, number in made:
            del variables[number:]
        raise


def _own_lists(layer: Any) -> tuple[list[Variable], list[Variable]]:
    return layer._trainable_variables, layer._non_trainable_variables


def noting_shape(build: Callable[..., None]) -> Callable[..., None]:
    """A `build` that also notes for which shape it was called, if it takes one."""

    @functools.wraps(build)
    def noting(self: Layer, *args: Any, **kwargs: Any) -> None:
        known = {id(layer) for layer in self._sublayers() if layer.built}
        build(self, *args, **kwargs)
        self.built = True
        if type(self).forward is forward_of_call:
            prefix_built(self, known)
        if len(args) == 1 and not kwargs:
            self._build_shape = args[0]

    return noting


def build_activation(layer: Any, input_shape: Any) -> None:
    """The weights of a layer's activation, if that is a layer, for what is made of an input of this shape."""
    if activations.is_layer(layer.activation):
        layer.activation.ensure_built(layer.compute_output_shape(input_shape))


def plain_arguments(cls: type[Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a constructor call by name, defaults too, if a configuration can hold all of them; else {}."""
    try:
        bound = inspect.signature(cls.__init__).bind(None, *args, **kwargs)
    except TypeError:  # the constructor will say what is wrong
        return {}
    bound.apply_defaults()
    given: dict[str, Any] = {}
    for parameter in list(bound.signature.parameters.values())[1:]:
        value = bound.arguments[parameter.name]
        if parameter.kind is parameter.VAR_KEYWORD:
            given |= value
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            if value or parameter.kind is parameter.POSITIONAL_ONLY:
                return {}
        else:
            given[parameter.name] = value
    for of_every_layer in ("name", "trainable", "dtype", "activity_regularizer"):
        given.pop(of_every_layer, None)
    plain = (str, int, float, bool)
    return given if all(isinstance(leaf, plain) for leaf in flatten(given)) else {}


def fresh(initializer: Any) -> Any:
    """One of its own, so that equal shapes do not start with equal numbers."""
    known = hasattr(initializer, "get_config")
    return type(initializer).from_config(initializer.get_config()) if known else initializer


def weight_arguments(
    args: tuple[Any, ...], shape: Any, initializer: Any, name: Any, dtype: Any
) -> tuple[Any, Any, Any, Any]:
    """(shape, initializer, name, dtype) of a call of `add_weight`, of which `args` came by position."""
    if len(args) > 3:
        raise TypeError(f"add_weight() takes at most 3 positional arguments but {len(args)} were given.")
    if isinstance(args[0], str):
        raise ValueError(
            f"`name` must be passed as a keyword argument. Received: add_weight({args[0]!r}, ...). Use: "
            f"add_weight(shape=..., name={args[0]!r})."
        )
    third = args[2] if len(args) > 2 else None
    is_dtype = not isinstance(third, str) or third in _DTYPES
    given = {
        "shape": shape,
        "initializer": initializer,
        "dtype" if is_dtype else "name": dtype if is_dtype else name,
    }
    for (argument, by_name), _ in zip(given.items(), args, strict=False):
        if by_name is not None:
            raise ValueError(f"`{argument}` was passed both positionally and as a keyword argument.")
    shape, initializer = (*args, initializer)[:2]
    if third is not None:
        name, dtype = (name, third) if is_dtype else (third, dtype)
    return shape, initializer, name, dtype


_DTYPES = frozenset(
    ["float16", "bfloat16", "float32", "float64", "bool"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)


def dtype_name(dtype: Any) -> Any:
    if isinstance(dtype, dict):
        return dtype.get("config", {}).get("name")
    return getattr(dtype, "name", dtype) if not isinstance(dtype, type) else np.dtype(dtype).name


def input_shape_argument(kwargs: dict[str, Any]) -> Shape | None:
    """The batch shape that old-style arguments ask for; takes them out of `kwargs`."""
    batch_size = kwargs.pop("batch_size", None)
    shape, batch_shape = kwargs.pop("input_shape", None), kwargs.pop("batch_input_shape", None)
    dim, length = kwargs.pop("input_dim", None), kwargs.pop("input_length", None)
    if batch_shape is None and shape is None and dim is not None:
        shape = (dim,) if length is None else (length, dim)
    if batch_shape is None and shape is not None:
        batch_shape = (batch_size, *((shape,) if isinstance(shape, int) else shape))
    return None if batch_shape is None else tuple(batch_shape)


def shape_by_name(layer: Layer, input_shape: Any, arguments: dict[str, Any]) -> Any:
    """A layer's own `compute_output_shape` for a call with further arguments: it may take the shapes of tensors among
    them (``compute_output_shape(self, a_shape, b_shape)``).
    """
    if type(layer).forward is not forward_of_call:
        return layer.compute_output_shape(input_shape)
    given = dict(arguments)
    first = map_shapes(KerasTensor, input_shape)
    shapes = shapes_by_name(layer, first, given.pop("", ()), given, layer.compute_output_shape)
    return layer.compute_output_shape(input_shape) if shapes is None else layer.compute_output_shape(**shapes)


def shape_by_spec(layer: Layer, input_shape: Any, arguments: dict[str, Any]) -> Any:
    """By a `compute_output_spec` of the layer's own, which takes what the call takes."""
    given = dict(arguments)
    positional = given.pop("", ())
    made = layer.compute_output_spec(map_shapes(KerasTensor, input_shape), *positional, **given)
    return map_leaves(lambda tensor: tuple(tensor.shape), made)


def shape_by_trying(layer: Layer, input_shape: Any, arguments: dict[str, Any] | None = None) -> Any:
    """Run `forward` on zeros with two sizes of every open axis; axes of the output that differ are open.

    On ones where it refuses zeros: among labels for CTC 0 stands for no label; on integers where it refuses numbers:
    a `call` may take them for indices.
    """
    layer.ensure_built(input_shape)

    def run(size: int, number: int, dtype: Any) -> Any:
        def filled(shape: Any, dtype: Any) -> Any:
            return np.full([size if n is None else n for n in shape], number, dtype)

        def argument(value: Any) -> Any:
            return filled(value.shape, value.dtype) if isinstance(value, KerasTensor) else value

        call = Call()
        call.arguments = map_leaves(argument, arguments or {})
        outer = current_trace.set(None)
        try:
            with trial():
                y = layer.forward(map_shapes(lambda shape: filled(shape, dtype), input_shape), call)
        finally:
            current_trace.reset(outer)
        layer._has_own_mask = layer._has_own_mask or call.output_mask is not None
        return shapes_of(y)

    usual = np.int64 if layer.integer_inputs else np.float32
    try:
        first, second = run(2, 0, usual), run(3, 0, usual)
    except (ValueError, TypeError) as error:
        number, dtype = (1, usual) if isinstance(error, ValueError) else (0, np.int64)
        try:
            first, second = run(2, number, dtype), run(3, number, dtype)
        except Exception:
            raise error from None
    pairs = zip(flat_shapes(first), flat_shapes(second), strict=True)
    merged = [tuple(m if m == n else None for m, n in zip(a, b, strict=True)) for a, b in pairs]
    return packed(map_shapes(lambda _: 0, first), merged)
