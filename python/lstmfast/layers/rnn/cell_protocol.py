# SPDX-License-Identifier: BSD-3-Clause
"""What a cell is, and what `RNN` asks of any.

A cell is what `RNN` walks along the time axis with. It has

- ``state_size``, an int or a list of ints, one for each state, and perhaps ``output_size`` (else the size of the
  first state);
- ``forward(x_t, states, call) -> (y_t, new_states)`` for arrays ``x_t`` (B, n), ``y_t`` (B, output_size) and lists
  of (B, size) states; keeps in ``call.saved`` what the way back needs, if ``call.save``;
- ``backward(dy_t, dstates, call) -> (dx_t, dstates_before)``, with the same ``call``: gradients of what went in,
  from those of what came out (arrays, never None); adds those of the weights by `Variable.add_grad`;
- perhaps ``get_initial_state(batch_size)``, a list of states; zeros otherwise.

A layer that writes Keras's ``call(x_t, states)`` has both methods from `keras_call`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...utils.naming import to_snake_case
from ..base import Layer


def check_cell(cell: Any, argument: str) -> None:
    """Raise a ValueError if `cell` lacks what a cell must have."""
    for method in ("forward", "backward"):
        if not callable(getattr(cell, method, None)):
            raise ValueError(f"Argument `{argument}` should have a `{method}` method. Received: {cell!r}")
    size = getattr(cell, "state_size", None)
    if size is None:
        raise ValueError(
            f"Argument `{argument}` should have a `state_size` attribute (single integer or list of integers, "
            f"one integer per RNN state). Received: {cell!r}"
        )
    numbers = flat_sizes(size)
    if not numbers or any(not isinstance(n, (int, np.integer)) or n <= 0 for n in numbers):
        raise ValueError(
            "state_size must be an integer, or a list/tuple of integers (one for each state tensor), got "
            f"{size!r} of {cell!r}"
        )
    if not isinstance(output_size(cell), (int, np.integer)):
        raise ValueError(f"output_size must be an integer, got {output_size(cell)!r} of {cell!r}")


def flat_sizes(state_size: Any) -> list[int]:
    if isinstance(state_size, (list, tuple)):
        return [size for part in state_size for size in flat_sizes(part)]
    return [state_size]


def state_shapes(cell: Any) -> list[tuple[int, ...]]:
    """Shapes of a cell's states without the batch axis: its own `state_shapes`, else from the sizes."""
    own = getattr(cell, "state_shapes", None)
    return [(size,) for size in flat_sizes(cell.state_size)] if own is None else own()


def output_shape(cell: Any) -> tuple[int, ...]:
    """Shape of a cell's output without the batch axis."""
    return state_shapes(cell)[0] if hasattr(cell, "state_shapes") else (output_size(cell),)


def output_size(cell: Any) -> int:
    """The size of a cell's output: `output_size`, else that of its first state."""
    size = getattr(cell, "output_size", None)
    return flat_sizes(cell.state_size)[0] if size is None else size


def zero_state(batch_size: int | None, shape: Any) -> Any:
    """An array of zeros; a symbolic tensor for the open number of samples in the `call` of a model."""
    if batch_size is None:
        from ... import ops  # operations are layers

        return ops.zeros((None, *shape))
    return np.zeros((batch_size, *shape), np.float32)


def initial_state(cell: Any, batch_size: int | None) -> list[Any]:
    """What the cell starts with: its `get_initial_state`, else zeros."""
    make = getattr(cell, "get_initial_state", None)
    if make is None:
        return [zero_state(batch_size, shape) for shape in state_shapes(cell)]
    states = make(batch_size)
    return list(states) if isinstance(states, (list, tuple)) else [states]


def split_states(cells: Sequence[Any], states: Sequence[Any]) -> list[Sequence[Any]]:
    """Flat states as one list for each cell."""
    parts, start = [], 0
    for cell in cells:
        n = len(flat_sizes(cell.state_size))
        parts.append(states[start : start + n])
        start += n
    return parts


def nest(states: Sequence[Any], state_size: Any) -> list[Any]:
    """Flat states in the structure of `state_size`, a list."""
    left = iter(states)

    def walk(size: Any) -> Any:
        return [walk(s) for s in size] if isinstance(size, (list, tuple)) else next(left)

    return [walk(size) for size in state_size]


def prefix_paths(layer: Layer, prefix: str) -> None:
    for variable in layer.weights:
        variable.path = f"{prefix}/{variable.path}"


def numbered_children(attribute: str, layers: Sequence[Any]) -> list[tuple[str, Layer]]:
    """Layers in a list under the names that Keras's weight files give them: class, then class_1..."""
    used: dict[str, int] = {}
    children = []
    for layer in layers:
        if isinstance(layer, Layer):
            kind = to_snake_case(type(layer).__name__)
            number = used[kind] = used.get(kind, -1) + 1
            children.append((f"{attribute}/{kind}" + (f"_{number}" if number else ""), layer))
    return children
