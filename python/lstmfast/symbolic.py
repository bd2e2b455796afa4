# SPDX-License-Identifier: BSD-3-Clause
"""Symbolic tensors, and the nodes that record which layer made them: what graphs are drawn with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .layers.base import Layer

Shape = tuple[int | None, ...]

#: The `models.composed.Trace` in which a layer's `call` runs with symbolic inputs, None outside of one: what it uses
#: besides, arrays and variables, gets symbolic tensors too.
current_trace: ContextVar[Any] = ContextVar("current_trace", default=None)

#: The symbolic inputs with which a `call` runs to give its graph: what is as long as the batch is made from them.
traced_inputs: ContextVar[tuple[KerasTensor, ...]] = ContextVar("traced_inputs", default=())


def _operate(name: str, *arguments: Any, **config: Any) -> Any:
    """A call of an operation by the name of its class."""
    from . import ops  # operations are layers, and layers are made of what is here

    return getattr(ops.classes, name)(**config)(*arguments)


def _binary(name: str) -> tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]:
    """An operator's method and that of its right side."""
    return (
        lambda self, other: _operate(name, self, other),
        lambda self, other: _operate(name, other, self),
    )


class KerasTensor:
    """Stands for an array that does not exist yet: its shape (None where it may vary), dtype and origin.

    Operators, comparisons and indices (``x + y``, ``1 - x``, ``x[:, -1]``) are operations of the graph, see
    `lstmfast.ops`. As in Keras no mask goes through them; `layers.Add` and its like hand masks on.

    Attributes
    ----------
    shape : tuple of int or None
    dtype : str
    name : str
    has_mask : bool
        Whether a mask will come with the array when the graph runs.
    node, index :
        The call that makes it, and which of that call's outputs it is.
    """

    __slots__ = ("dtype", "has_mask", "index", "name", "node", "shape")

    def __init__(self, shape: Shape, dtype: str = "float32", name: str = "", has_mask: bool = False) -> None:
        self.shape = shape
        self.dtype = dtype
        self.name = name
        self.has_mask = has_mask
        self.node: Node | None = None
        self.index = 0

    #: Keras's; there are no such tensors here.
    sparse = ragged = False

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def origin(self) -> Node:
        """The node that makes this tensor."""
        if self.node is None:
            raise ValueError(f"{self!r} was not made by Input() or by calling a layer")
        return self.node

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(f"{self!r} has no values: it is symbolic. Make a Model and call that with arrays.")

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("a symbolic KerasTensor cannot be iterated over")

    def __bool__(self) -> bool:
        raise TypeError("a symbolic KerasTensor has no truth value")

    def __int__(self) -> int:
        raise TypeError("a symbolic KerasTensor has no value to make an integer of")

    def __float__(self) -> float:
        raise TypeError("a symbolic KerasTensor has no value to make a number of")

    #: NumPy leaves ``array * tensor`` to the tensor.
    __array_ufunc__ = None

    __add__, __radd__ = _binary("Add")
    __sub__, __rsub__ = _binary("Subtract")
    __mul__, __rmul__ = _binary("Multiply")
    __truediv__, __rtruediv__ = _binary("TrueDivide")
    __floordiv__, __rfloordiv__ = _binary("FloorDivide")
    __mod__, __rmod__ = _binary("Mod")
    __pow__, __rpow__ = _binary("Power")
    __matmul__, __rmatmul__ = _binary("Matmul")
    __and__, __rand__ = _binary("LogicalAnd")
    __or__, __ror__ = _binary("LogicalOr")
    __xor__, __rxor__ = _binary("LogicalXor")
    __lt__, __gt__ = _binary("Less")[0], _binary("Greater")[0]
    __le__, __ge__ = _binary("LessEqual")[0], _binary("GreaterEqual")[0]
    __ne__ = _binary("NotEqual")[0]
    __eq__, __hash__ = object.__eq__, object.__hash__  # as in Keras the same tensor, for sets and dicts

    def __neg__(self) -> Any:
        return _operate("Negative", self)

    def __abs__(self) -> Any:
        return _operate("Absolute", self)

    def __invert__(self) -> Any:
        return _operate("LogicalNot", self)

    def __round__(self, ndigits: int | None = None) -> Any:
        return _operate("Round", self, decimals=ndigits or 0)

    def __getitem__(self, key: Any) -> Any:
        return _operate("GetItem", self, key)

    def reshape(self, newshape: Any) -> Any:
        """`lstmfast.ops.reshape`."""
        return _operate("Reshape", self, newshape=newshape)

    def squeeze(self, axis: Any = None) -> Any:
        """`lstmfast.ops.squeeze`."""
        return _operate("Squeeze", self, axis=axis)

    def __repr__(self) -> str:
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"


class Node:
    """One call of a layer in a graph.

    Attributes
    ----------
    layer : Layer
    inputs : KerasTensor, or list, tuple or dict of them
        The first argument of the call, as it was given.
    kwargs : dict
        Further arguments, positional ones under ""; symbolic ones (``initial_state``) are parents too.
    parents, outputs : list of KerasTensor
    output_structure : dict, list, tuple or None
        Of the outputs, if it is no plain list.
    """

    __slots__ = ("inputs", "kwargs", "layer", "output_structure", "outputs", "parents")

    def __init__(
        self,
        layer: Layer,
        inputs: Any,
        kwargs: dict[str, Any],
        outputs: list[KerasTensor],
        output_structure: Any = None,
    ) -> None:
        self.layer = layer
        self.inputs = inputs
        self.kwargs = kwargs
        self.parents = [t for t in flatten([inputs, kwargs]) if isinstance(t, KerasTensor)]
        self.outputs, self.output_structure = outputs, output_structure
        for index, tensor in enumerate(outputs):
            tensor.node, tensor.index = self, index
        layer.inbound_nodes.append(self)


def flatten(structure: Any) -> list[Any]:
    """Leaves of nested lists, tuples and dicts; dicts in the order of their sorted keys, as Keras does."""
    if isinstance(structure, (list, tuple)):
        return [leaf for item in structure for leaf in flatten(item)]
    if isinstance(structure, dict):
        return [leaf for key in sorted(structure) for leaf in flatten(structure[key])]
    return [] if structure is None else [structure]


def of_type(structure: Any, items: list[Any]) -> Any:
    """The items as a list, a tuple, or the same named tuple."""
    if isinstance(structure, list):
        return items
    return type(structure)(*items) if hasattr(structure, "_fields") else tuple(items)


def map_leaves(function: Callable[[Any], Any], structure: Any) -> Any:
    """The same structure with ``function(leaf)`` for each leaf; None stays None."""
    if isinstance(structure, (list, tuple)):
        return of_type(structure, [map_leaves(function, item) for item in structure])
    if isinstance(structure, dict):
        return {key: map_leaves(function, item) for key, item in structure.items()}
    return None if structure is None else function(structure)


def _paths(structure: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Keys and numbers that lead to each tensor."""
    if isinstance(structure, KerasTensor):
        return [before]
    if isinstance(structure, dict):
        return [path for key in sorted(structure) for path in _paths(structure[key], (*before, key))]
    return [path for k, part in enumerate(structure) for path in _paths(part, (*before, k))]


def leaf_path(structure: Any, number: int) -> str:
    """The way to one of the tensors, as Keras writes it in messages: ``0.name``; empty for a single tensor."""
    return ".".join(map(str, _paths(structure)[number]))


def leaves_along(structure: Any, value: Any) -> list[Any]:
    """What `value` has at the places of the leaves of `structure`, in the order of `flatten`; None where it has nothing."""
    if isinstance(structure, (list, tuple)):
        parts = [None] * len(structure) if value is None else value
        return [leaf for pair in zip(structure, parts, strict=True) for leaf in leaves_along(*pair)]
    if isinstance(structure, dict):
        parts = {} if value is None else value
        return [leaf for key in sorted(structure) for leaf in leaves_along(structure[key], parts.get(key))]
    return [] if structure is None else [value]


def packed(structure: Any, leaves: Sequence[Any]) -> Any:
    """The structure with these leaves, which are in the order of `flatten`."""
    left = iter(leaves)

    def walk(part: Any) -> Any:
        if isinstance(part, (list, tuple)):
            return of_type(part, [walk(item) for item in part])
        if isinstance(part, dict):
            by_key = {key: walk(part[key]) for key in sorted(part)}
            return {key: by_key[key] for key in part}
        return None if part is None else next(left)

    return walk(structure)


def is_shape(value: Any) -> bool:
    """Whether it is a shape, and no list of shapes."""
    return isinstance(value, (list, tuple)) and all(n is None or hasattr(n, "__index__") for n in value)


def map_shapes(function: Callable[[Any], Any], structure: Any) -> Any:
    """``function(shape)`` for each shape in nested lists, tuples and dicts; None stays None."""
    if structure is None:
        return None
    if isinstance(structure, dict):
        return {key: map_shapes(function, value) for key, value in structure.items()}
    if is_shape(structure):
        return function(tuple(structure))
    made = [map_shapes(function, part) for part in structure]
    return tuple(made) if isinstance(structure, tuple) else made


def shapes_of_config(value: Any) -> Any:
    """A shape, or several in lists and dicts, from a configuration, where lists stand for tuples; None if it is none."""
    if isinstance(value, dict) and value:
        by_key = {key: shapes_of_config(part) for key, part in value.items()}
        return None if None in by_key.values() else by_key
    if not isinstance(value, (list, tuple)) or not value:
        return None
    if all(n is None or type(n) is int for n in value):
        return tuple(value)
    several = [shapes_of_config(part) for part in value]
    return None if None in several else several


def flat_shapes(structure: Any) -> list[Any]:
    """The shapes in nested lists and dicts, in the order of `flatten`."""
    if structure is None:
        return []
    if isinstance(structure, dict):
        return [shape for key in sorted(structure) for shape in flat_shapes(structure[key])]
    return (
        [structure] if is_shape(structure) else [shape for part in structure for shape in flat_shapes(part)]
    )


def is_symbolic(structure: Any) -> bool:
    """Whether any leaf is a KerasTensor."""
    if isinstance(structure, KerasTensor):
        return True
    if isinstance(structure, (list, tuple)):
        return any(is_symbolic(item) for item in structure)
    if isinstance(structure, dict):
        return any(is_symbolic(item) for item in structure.values())
    return False
