# SPDX-License-Identifier: BSD-3-Clause
"""Branches and loops of arrays. They call functions of the caller's, which no graph can hold: symbolic tensors are refused.

Examples
--------
>>> import numpy as np
>>> from lstmfast import ops
>>> int(ops.fori_loop(0, 4, lambda i, total: total + i, 10))
16
>>> last, sums = ops.scan(lambda total, x: (total + x, total + x), 0, np.arange(4, dtype=np.int32))
>>> sums
array([0, 1, 3, 6], dtype=int32)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..symbolic import is_symbolic, map_leaves
from .rules import as_array, settled

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


def _concrete(name: str, *values: Any) -> None:
    if is_symbolic(list(values)):
        raise ValueError(
            f"{name} works on arrays: a graph holds no functions, so it cannot be given symbolic tensors; use `where` "
            "or `select`, or write a layer with `forward` and `backward`"
        )


def _callable(name: str, argument: str, function: Any) -> None:
    if not callable(function):
        raise TypeError(f"`{argument}` must be callable. Received: {argument}={function!r} in {name}")


def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """``true_fn()`` if the one flag `pred` is true, else ``false_fn()``; the other is not called."""
    _concrete("cond", pred)
    _callable("cond", "true_fn", true_fn)
    _callable("cond", "false_fn", false_fn)
    return true_fn() if bool(np.asarray(pred)) else false_fn()


def switch(index: Any, branches: Any, *operands: Any) -> Any:
    """The branch of this number, called with the operands; the first or last for numbers out of range."""
    _concrete("switch", index)
    at = int(np.clip(int(np.asarray(index)), 0, len(branches) - 1))
    return branches[at](*operands)


def while_loop(
    cond: Callable[..., Any], body: Callable[..., Any], loop_vars: Any, maximum_iterations: int | None = None
) -> Any:
    """``loop_vars = body(*loop_vars)`` as long as ``cond(*loop_vars)``, at most so many times."""
    _concrete("while_loop", loop_vars)
    several = isinstance(loop_vars, (list, tuple))
    values = tuple(loop_vars) if several else (loop_vars,)
    for step in itertools.count():
        if (maximum_iterations is not None and step >= maximum_iterations) or not bool(
            np.asarray(cond(*values))
        ):
            break
        made = body(*values)
        values = tuple(made) if isinstance(made, (list, tuple)) else (made,)
    return type(loop_vars)(values) if several else values[0]


def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any, Any], Any], init_val: Any) -> Any:
    """``value = body_fun(i, value)`` for each `i` from `lower` to below `upper`."""
    _concrete("fori_loop", lower, upper, init_val)
    value = init_val
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
    return settled(np.stack([np.asarray(as_array(part)) for part in parts]), parts)


def _row(structure: Any, index: Any) -> Any:
    return map_leaves(lambda leaf: np.asarray(as_array(leaf))[index], structure)


def _number_of_rows(name: str, structure: Any) -> int:
    found: set[int] = set()
    map_leaves(lambda leaf: found.add(np.shape(leaf)[0]), structure)
    if len(found) != 1:
        raise ValueError(f"{name} needs arrays of the same size along the first axis, got {sorted(found)}")
    return found.pop()


def scan(
    f: Callable[[Any, Any], Any],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: Any = 1,
) -> Any:
    """``carry, y = f(carry, x)`` for each `x` along the first axis; the last carry and all `y`."""
    _concrete("scan", init, xs)
    _callable("scan", "f", f)
    if xs is None and length is None:
        raise ValueError("Got no `xs` to scan over and `length` not provided.")
    number = int(length) if xs is None and length is not None else _number_of_rows("scan", xs)
    if length is not None and length != number:
        raise ValueError(f"length={length}, but xs has {number} rows")
    carry, made = init, []
    for k in range(number)[:: -1 if reverse else 1]:
        carry, y = f(carry, None if xs is None else _row(xs, k))
        made.append(y)
    ys = _stacked(made[:: -1 if reverse else 1]) if made else None
    return carry, ys


def associative_scan(f: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """Each element joined by `f` with all before it along an axis."""
    _concrete("associative_scan", elems)
    _callable("associative_scan", "f", f)
    moved = map_leaves(lambda leaf: np.moveaxis(np.asarray(as_array(leaf)), axis, 0), elems)
    number = _number_of_rows("associative_scan", moved)
    made: list[Any] = []
    for k in range(number)[:: -1 if reverse else 1]:
        one = _row(moved, np.s_[k : k + 1])  # `f` takes any number of elements
        made.append(f(made[-1], one) if made else one)
    joined = _stacked(made[:: -1 if reverse else 1])
    return map_leaves(lambda leaf: np.moveaxis(leaf[:, 0], 0, axis), joined)


def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """``f(x)`` of each `x` along the first axis, stacked."""
    _concrete("map", xs)
    _callable("map", "f", f)
    return _stacked([f(_row(xs, k)) for k in range(_number_of_rows("map", xs))])


def vectorized_map(function: Callable[[Any], Any], elements: Any) -> Any:
    """``function(element)`` of each element along the first axis, stacked: as `map`."""
    _concrete("vectorized_map", elements)
    _callable("vectorized_map", "function", function)
    return _stacked([function(_row(elements, k)) for k in range(_number_of_rows("vectorized_map", elements))])


def vectorize(pyfunc: Callable[..., Any], *, excluded: Any = None, signature: str | None = None) -> Any:
    """A function of numbers, or of the arrays that `signature` names, as one of arrays, broadcast; see `numpy.vectorize`."""
    _callable("vectorize", "pyfunc", pyfunc)
    wide = np.vectorize(pyfunc, excluded=excluded, signature=signature)

    def run(*args: Any, **kwargs: Any) -> Any:
        _concrete("vectorize", list(args), list(kwargs.values()))
        given = [as_array(a) for a in args]
        return settled(wide(*given, **kwargs), given)

    return run
