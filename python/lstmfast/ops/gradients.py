# SPDX-License-Identifier: BSD-3-Clause
"""Functions that bring a gradient of their own into graphs.

Examples
--------
>>> import numpy as np
>>> from lstmfast import Input, Model, ops
>>> @ops.custom_gradient
... def clipped(x):  # its values pass, its gradient is kept small
...     return x, lambda upstream: ops.clip(upstream, -0.1, 0.1)
>>> x = Input((2,))
>>> y, tape = Model(x, clipped(x * 3.0)).forward(np.ones((1, 2), np.float32), training=True)
>>> tape.backward(np.array([[5.0, -0.05]], np.float32))[1].round(3)
array([[ 0.3 , -0.15]], dtype=float32)
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..layers.call import Call
from ..symbolic import KerasTensor, flatten, is_symbolic, map_leaves
from .composed import names_that_do_not_count
from .operation import Operation, _in_trace, _leaves, _Place
from .rules import as_array, contiguous, settled, shape_of

__all__ = ["custom_gradient"]

Array = npt.NDArray[Any]


class CustomGradient(Operation):
    """A function of `custom_gradient` in a graph, which runs it with arrays and keeps its gradient for the way back."""

    call_names = ("inputs",)

    def __init__(self, f: Callable[..., Any], keywords: dict[str, Any]) -> None:
        super().__init__()
        self._f, self._keywords = f, keywords
        self.passes_gradients = True

    def _output_spec(self, values: dict[str, Any]) -> tuple[Any, Any]:
        alike = map_leaves(
            lambda v: KerasTensor(v.shape, v.dtype) if isinstance(v, KerasTensor) else v, values["inputs"]
        )
        with names_that_do_not_count():
            made, _ = _called(self._f, alike, self._keywords)
        parts = list(made) if isinstance(made, (list, tuple)) else [made]
        shapes, dtypes = [shape_of(part) for part in parts], [str(part.dtype) for part in parts]
        return (shapes, dtypes) if isinstance(made, (list, tuple)) else (shapes[0], dtypes[0])

    def forward(self, x: list[Array], call: Call) -> Any:
        given = self._filled(call.arguments["template"], x)["inputs"]
        made, gradient = _called(self._f, given, self._keywords)
        y = settled(made, [a for a in flatten(given) if isinstance(a, np.ndarray)])
        if call.lengths is not None:
            self._pass_lengths(x, y, call)
        if call.save:
            call.saved = (given, gradient)
        return y[0] if isinstance(y, list) and len(y) == 1 else y

    def backward(self, dy: Any, call: Call) -> list[Array | None]:
        given, gradient = call.saved
        upstream = list(dy) if isinstance(dy, tuple) else dy
        try:
            inspect.signature(gradient).bind(*given, upstream=upstream)
        except (TypeError, ValueError):
            found = gradient(*upstream) if isinstance(upstream, list) else gradient(upstream)
        else:
            found = gradient(*given, upstream=upstream)
        found = _in_line(found)
        places, arrays = _leaves(call.arguments["template"]["inputs"]), _leaves(given)
        if len(found) != len(places):
            raise ValueError(
                f"custom_gradient: the gradient of {_name(self._f)!r} must give one array for each of {len(places)} "
                f"arguments, got {len(found)}"
            )
        made: list[Array | None] = []
        for place, array, g in zip(places, arrays, found, strict=True):
            if not isinstance(place, _Place):
                continue
            if g is not None and np.shape(g) != array.shape:
                raise ValueError(
                    f"custom_gradient: the gradient of {_name(self._f)!r} must have the argument's shape {array.shape}, "
                    f"got {np.shape(g)}"
                )
            made.append(None if g is None or array.dtype.kind != "f" else contiguous(g))
        return made

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError(
            f"operation {self.name!r} cannot be saved: it holds the function {_name(self._f)!r}, which no file can; save "
            "weights, and make the model anew by its program"
        )


def _in_line(found: Any) -> list[Any]:
    """The gradients in order; None where there is none."""
    return _leaves(list(found) if isinstance(found, (list, tuple)) else [found])


def _name(f: Any) -> str:
    return str(getattr(f, "__name__", f))


def _called(f: Any, given: Any, keywords: dict[str, Any]) -> tuple[Any, Any]:
    made = f(*given, **keywords)
    if not isinstance(made, (tuple, list)) or len(made) != 2 or not callable(made[1]):
        raise ValueError(
            f"custom_gradient: {_name(f)!r} must return its output and a function for the gradient, got {type(made).__name__}"
        )
    return made[0], made[1]


def custom_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator: a function that comes with its gradient.

    Parameters
    ----------
    f : callable
        Takes arrays or symbolic tensors and gives ``(output, gradient)``; it is called with symbolic tensors for the shape of
        its output, so it is made of operations. ``gradient(upstream)``, or ``gradient(*args, upstream=upstream)`` as Keras
        wants on PyTorch, gives the gradient of each argument, a tuple where there are several.

    Returns
    -------
    callable
        ``f(*args)[0]``, which in a graph trains by that gradient. What `f` takes from around itself gets none. A model with
        it is not saved whole, as no file holds functions; its weights are.

    Raises
    ------
    TypeError
        `f` is not callable.
    ValueError
        In use: `f` returns something else, or a gradient of another shape.
    """
    if not callable(f):
        raise TypeError(f"custom_gradient: f must be callable, got {f!r}")

    @functools.wraps(f)
    def run(*args: Any, **kwargs: Any) -> Any:
        given = _in_trace({"": list(args)})[""]
        if is_symbolic(given):
            return CustomGradient(f, kwargs)(given)
        return _called(f, map_leaves(as_array, given), kwargs)[0]

    return run
