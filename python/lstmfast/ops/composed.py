# SPDX-License-Identifier: BSD-3-Clause
"""Operations written with other operations: what a function does with symbolic tensors gives its shapes and gradients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..layers.call import Call
from ..symbolic import KerasTensor, Node, flatten, map_leaves
from ..utils.naming import names_given
from .operation import Operation, operation
from .rules import contiguous, shape_of

__all__ = ["composed", "differentiated"]

Array = npt.NDArray[Any]
F = TypeVar("F", bound=Callable[..., Any])


def composed(
    name: str,
    *,
    home: str = "numpy",
    config: str = "",
    plain: str = "",
    shape: Callable[..., Any] | None = None,
    dtype: Any = None,
    variadic: bool = False,
    writes_all: bool = False,
) -> Callable[[F], F]:
    """As `operation`, of a function that only uses operations: no gradient is written down, and a shape only where the
    function cannot do with open axes."""
    return operation(
        name,
        home=home,
        config=config,
        plain=plain,
        dtype=dtype,
        shape=shape or _found,
        variadic=variadic,
        writes_all=writes_all,
        base=_Composed,
    )


def _found(*_: Any, **__: Any) -> Any:
    """Stands for the shape that the function's own output has."""
    raise NotImplementedError


class _Composed(Operation):
    """An operation whose function is run with symbolic tensors where its output's shape or gradient is wanted."""

    def __init__(self, *args: Any, name: str | None = None, **config: Any) -> None:
        super().__init__(*args, name=name, **config)
        self.passes_gradients = True

    def _output_spec(self, values: dict[str, Any]) -> tuple[Any, Any]:
        if type(self).shape_rule is not _found:
            return super()._output_spec(values)
        try:
            made = self._traced(
                map_leaves(
                    lambda v: KerasTensor(v.shape, v.dtype) if isinstance(v, KerasTensor) else v, values
                )
            )
        except (LookupError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"operation {self.name!r}: {error}") from error
        parts = list(made) if isinstance(made, (list, tuple)) else [made]
        shapes, dtypes = [shape_of(part) for part in parts], [str(part.dtype) for part in parts]
        if self.dtype_rule is not None:
            dtypes = [self.dtype_rule] * len(parts)
        return (shapes, dtypes) if isinstance(made, (list, tuple)) else (shapes[0], dtypes[0])

    def _traced(self, values: dict[str, Any]) -> Any:
        with names_that_do_not_count():
            return type(self).function(**values, **self.config)

    def forward(self, x: list[Array], call: Call) -> Any:
        y = super().forward(x, call)
        if call.save:
            call.saved = x
        return y

    def backward(self, dy: Any, call: Call) -> list[Array | None]:
        template = call.arguments["template"]
        _, pull_back = differentiated(
            lambda *tensors: self._traced(self._filled(template, tensors)), call.saved
        )
        return pull_back(dy)


@contextmanager
def names_that_do_not_count() -> Iterator[None]:
    token = names_given.set(Counter())
    try:
        yield
    finally:
        names_given.reset(token)


def differentiated(
    function: Callable[..., Any], arrays: Sequence[Array]
) -> tuple[Any, Callable[[Any], list[Array | None]]]:
    """What a function of operations makes of arrays, and a function from the gradient of that to those of the arrays.

    The function is called once, with symbolic tensors; what it computes is run forth, and back when the second is called.
    Gradients are None for integers and for what has no part in the result.
    """
    tensors = [KerasTensor(a.shape, a.dtype.name) for a in arrays]
    with names_that_do_not_count():
        made = function(*tensors)
    outputs: list[Any] = flatten(made)
    order = _in_order(outputs)
    values: dict[int, Any] = {id(t): a for t, a in zip(tensors, arrays, strict=True)}
    calls = []
    for node in order:
        call = Call(save=True, needs_dx=True)
        call.arguments = node.kwargs
        y = node.layer.forward([values[id(t)] for t in node.inputs], call)
        parts = y if isinstance(y, (list, tuple)) else [y]
        values.update((id(t), part) for t, part in zip(node.outputs, parts, strict=True))
        calls.append(call)

    def pull_back(dy: Any) -> list[Array | None]:
        found: dict[int, Any] = {}

        def add(tensor: Any, gradient: Any) -> None:
            if gradient is not None:
                held = found.get(id(tensor))
                found[id(tensor)] = gradient if held is None else held + gradient

        for output, part in zip(outputs, dy if isinstance(dy, (list, tuple)) else [dy], strict=True):
            add(output, part)
        for node, call in zip(reversed(order), reversed(calls), strict=True):
            given = [found.get(id(t)) for t in node.outputs]
            if not node.layer.passes_gradients or all(g is None for g in given):
                continue
            given = [
                np.zeros_like(values[id(t)]) if g is None else g
                for t, g in zip(node.outputs, given, strict=True)
            ]
            dxs = node.layer.backward(given[0] if len(given) == 1 else tuple(given), call)
            for tensor, dx in zip(node.inputs, dxs, strict=True):
                add(tensor, dx)
        return [
            contiguous(found[id(t)]) if id(t) in found and a.dtype.kind == "f" else None
            for t, a in zip(tensors, arrays, strict=True)
        ]

    return map_leaves(lambda leaf: values.get(id(leaf), leaf), made), pull_back


def _in_order(outputs: list[Any]) -> list[Node]:
    """The operations behind symbolic tensors, each after those whose outputs it takes."""
    order: list[Node] = []
    seen: set[int] = set()

    def visit(tensor: Any) -> None:
        node = tensor.node if isinstance(tensor, KerasTensor) else None
        if node is None or id(node) in seen:
            return
        seen.add(id(node))
        for parent in node.parents:
            visit(parent)
        order.append(node)

    for output in outputs:
        visit(output)
    return order
