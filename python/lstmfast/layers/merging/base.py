# SPDX-License-Identifier: BSD-3-Clause
"""What the layers that join their inputs element by element share."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..base import Layer
from ..call import Call
from ..frozen import FrozenLayer

__all__ = ["Merge", "sum_to"]

Array = npt.NDArray[Any]


class Merge(Layer):
    """Base of the layers that take a list of arrays and join them element by element.

    Parameters
    ----------
    **kwargs
        See `Layer`.

    Notes
    -----
    Shapes are broadcast; an input with fewer axes than the others gets new ones behind the batch. The output has
    a mask where all inputs have one: a step counts if it does in any of them. With `lengths` the first input
    that has some gives those of the output.

    Raises
    ------
    ValueError
        If the input is not a list of arrays, or shapes or batch sizes do not agree.
    """

    supports_masking = True
    takes_list = True
    needs_all_masks = True

    def _convert(self, inputs: Any) -> list[Array]:
        if not isinstance(inputs, (list, tuple)):
            raise ValueError(
                f"A merge layer should be called on a list of inputs. Received: {type(inputs).__name__} (layer "
                f"{self.name!r})"
            )
        return [super(Merge, self)._convert(array) for array in inputs]

    def check_shapes(self, shapes: Any) -> None:
        self.compute_output_shape(shapes)

    def compute_output_shape(self, input_shape: Any) -> Any:
        if not _is_list_of_shapes(input_shape):
            raise ValueError(
                "A merge layer should be called on a list of at least 1 input. Received: "
                f"input_shape={input_shape} (layer {self.name!r})"
            )
        batches = {shape[0] for shape in input_shape} - {None}
        if len(batches) > 1:
            raise ValueError(
                f"Cannot merge tensors with different batch sizes. Received tensors with shapes {input_shape}"
            )
        merged: tuple[int | None, ...] = tuple(input_shape[0][1:])
        for shape in input_shape[1:]:
            merged = _broadcast_shape(merged, tuple(shape[1:]))
        return (batches.pop() if batches else None, *merged)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        check_masks(inputs, mask)
        if mask is None or any(m is None for m in mask):
            return None
        made = mask[0]
        for m in mask[1:]:
            made = np.logical_or(made, m)
        return made

    def forward(self, x: list[Array], call: Call) -> Array:
        rank = max(a.ndim for a in x)
        aligned = [a.reshape(a.shape[:1] + (1,) * (rank - a.ndim) + a.shape[1:]) for a in x]
        masks = None
        if call.mask is not None and all(a.ndim == rank for a in x):  # Keras loses them where axes are added
            masks = [None if m is None else _beside(m, a) for m, a in zip(call.mask, x, strict=True)]
            if all(m is None for m in masks):
                masks = None
        if call.save:
            call.saved = (aligned, masks, [a.shape for a in x])
        return np.ascontiguousarray(self.merge(aligned, masks))

    def backward(self, dy: Array, call: Call) -> list[Array]:
        aligned, masks, shapes = call.saved
        gradients = self.merge_backward(dy, aligned, masks)
        return [sum_to(g, a.shape).reshape(s) for g, a, s in zip(gradients, aligned, shapes, strict=True)]

    def merge(self, x: list[Array], masks: list[Array | None] | None) -> Array:
        """The output for arrays of one rank; masks, where there are any, of the same rank."""
        raise NotImplementedError(f"layer class {type(self).__name__} has no merge(x, masks)")

    def merge_backward(self, dy: Array, x: list[Array], masks: list[Array | None] | None) -> list[Array]:
        """The gradient of each input, of the output's shape."""
        raise NotImplementedError(f"layer class {type(self).__name__} has no merge_backward(dy, x, masks)")

    def _frozen(self, join: str) -> FrozenLayer:
        if any(len({t.shape for t in node.inputs}) > 1 for node in self.inbound_nodes):
            raise ValueError(f"layer {self.name!r} cannot be frozen: its inputs have different shapes")
        return FrozenLayer("merge", {"join": join})


def check_masks(inputs: Any, mask: Any) -> None:
    """Raise a ValueError if `mask` is neither None nor a list with an entry for each input."""
    if mask is None:
        return
    for argument, given in (("mask", mask), ("inputs", inputs)):
        if not isinstance(given, (list, tuple)):
            raise ValueError(f"`{argument}` should be a list. Received: {argument}={given!r}")
    if len(mask) != len(inputs):
        raise ValueError(
            f"The lists `inputs` and `mask` should have the same length. Received {len(inputs)} inputs and "
            f"{len(mask)} masks"
        )


def _is_list_of_shapes(shapes: Any) -> bool:
    return isinstance(shapes, (list, tuple)) and bool(shapes) and isinstance(shapes[0], (list, tuple))


def _broadcast_shape(a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(a) < len(b):
        a, b = b, a
    start = len(a) - len(b)
    merged = list(a[:start])
    for m, n in zip(a[start:], b, strict=True):
        if m is None or n is None:
            merged.append(None)
        elif m != n and 1 not in (m, n):
            raise ValueError(f"Inputs have incompatible shapes. Received shapes {a} and {b}")
        else:
            merged.append(n if m == 1 else m)
    return tuple(merged)


def _beside(mask: Array, x: Array) -> Array:
    """A mask with one axis more than it has, as Keras's merge layers use it, checked against `x`."""
    mask = mask[..., None]
    try:
        return np.broadcast_to(mask, x.shape)
    except ValueError:
        raise ValueError(
            f"a mask of shape {mask.shape[:-1]} does not fit an input of shape {x.shape}"
        ) from None


def sum_to(gradient: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of what was broadcast from `shape`."""
    axes = tuple(i for i, (m, n) in enumerate(zip(gradient.shape, shape, strict=True)) if n == 1 and m != 1)
    return np.ascontiguousarray(gradient.sum(axis=axes, keepdims=True) if axes else gradient)
