# SPDX-License-Identifier: BSD-3-Clause
"""Branches and loops. They call functions of the caller's, which no graph can hold.

Given arrays they run. Given symbolic tensors the graph holds what the functions do, step after step: loops need a known number
of steps, rows are taken along an axis of known size, and a branch that a symbolic tensor chooses is computed with the other
ones. All of it trains and is saved as any operations are.

Examples
--------
>>> import numpy as np
>>> from lstmfast import Input, ops
>>> int(ops.fori_loop(0, 4, lambda i, total: total + i, 10))
16
>>> last, sums = ops.scan(lambda total, x: (total + x, total + x), 0, np.arange(4, dtype=np.int32))
>>> sums
array([0, 1, 3, 6], dtype=int32)
>>> steps = ops.transpose(Input((7, 3)), (1, 0, 2))
>>> ops.scan(lambda h, x: (ops.tanh(h + x), h), ops.zeros_like(steps[0]), steps)[1].shape
(7, None, 3)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..symbolic import KerasTensor, is_symbolic, map_leaves
from .elementwise import equal, where
from .operation import _in_trace
from .rules import as_array, settled, shape_of
from .shaping import concatenate, moveaxis, stack, unstack

__all__ = [
    *(
        "associative_scan",
        "cond",
        "fori_loop",
        "map",
        "scan",
        "switch",
        "vectorize",
        "vectorized_map",
        "while_loop",
    ),
]


def _concrete(name: str, what: str, *values: Any) -> None:
    if is_symbolic(list(values)):
        raise ValueError(
            f"{name}: {what} must be known while the graph is made, it cannot be a symbolic tensor; use `where` or "
            "`select`, or write a layer with `forward` and `backward`"
        )


def _taken(structure: Any) -> Any:
    """What is given, variables as symbolic tensors while a `call` is traced."""
    return _in_trace({"": structure})[""]


def _callable(name: str, argument: str, function: Any) -> None:
    if not callable(function):
        raise TypeError(f"`{argument}` should be a callable. Received: {argument}={function!r} in {name}")


def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """``true_fn()`` if the one flag `pred` is true, else ``false_fn()``; the other is not called.

    Where `pred` is a symbolic tensor both are called, and what they give, which must be alike, is chosen from.
    """
    _callable("cond", "true_fn", true_fn)
    _callable("cond", "false_fn", false_fn)
    pred = _taken(pred)
    if not is_symbolic(pred):
        return true_fn() if bool(np.asarray(pred)) else false_fn()
    return _chosen("cond", pred, true_fn(), false_fn())


def switch(index: Any, branches: Any, *operands: Any) -> Any:
    """The branch of this number, called with the operands; the first or last for numbers out of range.

    Where `index` is a symbolic tensor all are called, and what they give, which must be alike, is chosen from.
    """
    index = _taken(index)
    if not is_symbolic(index):
        at = int(np.clip(int(np.asarray(index)), 0, len(branches) - 1))
        return branches[at](*operands)
    found = branches[-1](*operands)
    for k, branch in reversed(list(enumerate(branches[:-1]))):
        found = _chosen("switch", index <= 0 if k == 0 else equal(index, k), branch(*operands), found)
    return found


def _chosen(name: str, flag: Any, left: Any, right: Any) -> Any:
    """One of two like structures by one symbolic flag."""
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)) and len(left) == len(right):
        made = [_chosen(name, flag, *pair) for pair in zip(left, right, strict=True)]
        return made if isinstance(left, list) else tuple(made)
    if isinstance(left, dict) and isinstance(right, dict) and left.keys() == right.keys():
        return {key: _chosen(name, flag, left[key], right[key]) for key in left}
    if left is None and right is None:
        return None
    parts = [None if isinstance(v, (list, tuple, dict)) or v is None else shape_of(v) for v in (left, right)]
    if shape_of(flag) != () or None in parts or parts[0] != parts[1]:
        raise ValueError(
            f"{name} in a graph needs a choice without axes and branches that give the same structure and shapes, got a "
            f"choice of shape {shape_of(flag)} and {_seen(left)} and {_seen(right)}"
        )
    return where(flag, left, right)


def _seen(structure: Any) -> str:
    return f"shape {shape_of(structure)}" if hasattr(structure, "shape") else repr(structure)


def while_loop(
    cond: Callable[..., Any], body: Callable[..., Any], loop_vars: Any, maximum_iterations: int | None = None
) -> Any:
    """``loop_vars = body(*loop_vars)`` as long as ``cond(*loop_vars)``, at most so many times."""
    several = isinstance(loop_vars, (list, tuple))
    values = _taken(tuple(loop_vars) if several else (loop_vars,))
    for step in itertools.count():
        if maximum_iterations is not None and step >= maximum_iterations:
            break
        going = cond(*values)
        _concrete("while_loop", "whether the loop goes on", going)
        if not bool(np.asarray(going)):
            break
        made = body(*values)
        values = tuple(made) if isinstance(made, (list, tuple)) else (made,)
    return type(loop_vars)(values) if several else values[0]


def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any, Any], Any], init_val: Any) -> Any:
    """``value = body_fun(i, value)`` for each `i` from `lower` to below `upper`."""
    _concrete("fori_loop", "the number of steps", lower, upper)
    value = _taken(init_val)
    for i in range(int(np.asarray(lower)), int(np.asarray(upper))):
        value = body_fun(i, value)
    return value


def _stacked(parts: list[Any]) -> Any:
    """Structures of arrays as one structure of arrays with a first axis."""
    first = parts[0]
    if first is None:
        return None
    if isinstance(first, (list, tuple)):
        return type(first)(_stacked(list(each)) for each in zip(*parts, strict=True))
    if isinstance(first, dict):
        return {key: _stacked([part[key] for part in parts]) for key in first}
    if is_symbolic(parts):
        return stack(parts, axis=0)
    return settled(np.stack([np.asarray(as_array(part)) for part in parts]), parts)


def _rows(name: str, structure: Any) -> list[Any]:
    """The structures of the rows along the first axis of each array."""
    found: set[Any] = set()
    map_leaves(lambda leaf: found.add(_first_size(name, leaf)), structure)
    if len(found) != 1:
        raise ValueError(
            f"{name} needs arrays whose first dimension is of the same size, got {sorted(found, key=str)}"
        )
    parts = map_leaves(
        lambda leaf: _Rows(unstack(leaf) if isinstance(leaf, KerasTensor) else np.asarray(as_array(leaf))),
        structure,
    )
    return [_row(parts, k) for k in range(found.pop())]


def _row(parts: Any, k: int) -> Any:
    return map_leaves(lambda leaf: leaf.rows[k], parts)


class _Rows:
    """Rows of one array, which is a leaf of a structure."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows


def _first_size(name: str, leaf: Any) -> int:
    shape = shape_of(leaf)
    if not shape or shape[0] is None:
        raise ValueError(f"{name} goes along a first axis of known size, got shape {shape}")
    return shape[0]


def scan(
    f: Callable[[Any, Any], Any],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: Any = 1,
) -> Any:
    """``carry, y = f(carry, x)`` for each `x` along the first axis; the last carry and all `y`."""
    _callable("scan", "f", f)
    if not isinstance(unroll, bool) and (not isinstance(unroll, int) or unroll < 1):
        raise ValueError(f"`unroll` must be an positive integer or boolean. Received: unroll={unroll}")
    if xs is None and length is None:
        raise ValueError("Got no `xs` to scan over and `length` not provided.")
    rows = [None] * int(length or 0) if xs is None else _rows("scan", _taken(xs))
    if length is not None and length != len(rows):
        raise ValueError(f"length={length}, but xs has {len(rows)} rows")
    carry, made = _taken(init), []
    for row in rows[:: -1 if reverse else 1]:
        carry, y = f(carry, row)
        made.append(y)
    ys = _stacked(made[:: -1 if reverse else 1]) if made else None
    return carry, ys


def associative_scan(f: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """Each element joined by `f` with all before it along an axis."""
    _callable("associative_scan", "f", f)
    moved = map_leaves(lambda leaf: _moved(leaf, axis, 0), _taken(elems))
    made: list[Any] = []
    for row in _rows("associative_scan", moved)[:: -1 if reverse else 1]:
        one = map_leaves(lambda leaf: leaf[None], row)  # `f` takes any number of elements
        made.append(f(made[-1], one) if made else one)
    joined = _joined(made[:: -1 if reverse else 1])
    return map_leaves(lambda leaf: _moved(leaf, 0, axis), joined)


def _moved(leaf: Any, source: int, destination: int) -> Any:
    return moveaxis(
        leaf if isinstance(leaf, KerasTensor) else np.asarray(as_array(leaf)), source, destination
    )


def _joined(parts: list[Any]) -> Any:
    """Structures of arrays with a first axis joined along that."""
    first = parts[0]
    if isinstance(first, (list, tuple)):
        return type(first)(_joined(list(each)) for each in zip(*parts, strict=True))
    if isinstance(first, dict):
        return {key: _joined([part[key] for part in parts]) for key in first}
    return concatenate(parts, axis=0)


def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """``f(x)`` of each `x` along the first axis, stacked."""
    _callable("map", "f", f)
    return _stacked([f(row) for row in _rows("map", _taken(xs))])


def vectorized_map(function: Callable[[Any], Any], elements: Any) -> Any:
    """``function(element)`` of each element along the first axis, stacked: as `map`."""
    _callable("vectorized_map", "function", function)
    return _stacked([function(row) for row in _rows("vectorized_map", _taken(elements))])


def vectorize(pyfunc: Callable[..., Any], *, excluded: Any = None, signature: str | None = None) -> Any:
    """A function of numbers, or of the arrays that `signature` names, as one of arrays, broadcast; see `numpy.vectorize`."""
    _callable("vectorize", "pyfunc", pyfunc)
    wide = np.vectorize(pyfunc, excluded=excluded, signature=signature)

    def run(*args: Any, **kwargs: Any) -> Any:
        _concrete("vectorize", "what its function is given", list(args), list(kwargs.values()))
        given = [as_array(a) for a in args]
        return settled(wide(*given, **kwargs), given)

    return run
