# SPDX-License-Identifier: BSD-3-Clause
"""Which axes attention runs over, for inputs with more axes than (batch, time, features)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["AttentionAxes", "steps_mask"]

Array = npt.NDArray[Any]


def steps_mask(mask: Any, x: Array, argument: str = "mask") -> Array | None:
    """A mask of the steps of x (B, ..., F) as bool with an axis for each of x but the last: it may be given for the
    leading ones alone, at least (B, T).
    """
    if mask is None:
        return None
    array = np.asarray(mask)
    if array.dtype.kind not in "biu" and not (array.dtype.kind == "f" and np.isin(array, (0, 1)).all()):
        raise TypeError(f"{argument} must be boolean, got dtype {array.dtype}")
    if not 2 <= array.ndim < x.ndim or array.shape != x.shape[: array.ndim]:
        raise ValueError(f"{argument} must have shape {x.shape[:-1]}, got {array.shape}")
    open_axes = array.reshape(array.shape + (1,) * (x.ndim - 1 - array.ndim))
    return np.ascontiguousarray(np.broadcast_to(open_axes, x.shape[:-1]), np.bool_)


class AttentionAxes:
    """Attention over the axes `over` of inputs with `rank` axes; the others but the last lie apart, as batches do.

    Projections (B, ..., N, H) of inputs (B, ..., F), with N heads, become (batches, steps, N, H), `steps` those of all
    axes that attention runs over.
    """

    def __init__(self, rank: int, over: tuple[int, ...]) -> None:
        self.over = over
        self.apart = tuple(axis for axis in range(rank - 1) if axis not in over)
        self._order = (*self.apart, *over, rank - 1, rank)
        self._plain = self._order == tuple(range(rank + 1)) and len(over) == 1 == len(self.apart)

    @classmethod
    def of(cls, rank: int, over: tuple[int, ...] | None, layer: str) -> AttentionAxes:
        """For a layer's argument: None for all axes between the first and the last, negative ones from behind."""
        if over is None:
            return cls(rank, tuple(range(1, rank - 1)))
        axes = tuple(axis + rank if axis < 0 else axis for axis in over)
        if len(set(axes)) != len(axes) or not all(0 < axis < rank - 1 for axis in axes):
            raise ValueError(
                f"attention_axes={over} of layer {layer!r} must name axes between the first and the last of inputs "
                f"with {rank} axes"
            )
        return cls(rank, axes)

    def sizes(self, shape: Any) -> tuple[Any, ...]:
        """Those of the axes that attention runs over."""
        return tuple(shape[axis] for axis in self.over)

    def scores_shape(self, query: Any, value: Any, heads: int) -> tuple[Any, ...]:
        return (*(query[axis] for axis in self.apart), heads, *self.sizes(query), *self.sizes(value))

    def as_batches(self, a: Array) -> Array:
        """(B, ..., N, H) to (batches, steps, N, H), contiguous."""
        if self._plain:
            return np.ascontiguousarray(a)
        ordered = np.ascontiguousarray(a.transpose(self._order))
        batches = math.prod(ordered.shape[: len(self.apart)])
        return ordered.reshape(batches, -1, *a.shape[-2:])

    def apart_again(self, a: Array, shape: Any) -> Array:
        """The inverse, for an input of this shape."""
        if self._plain:
            return a
        full = (*shape[:-1], *a.shape[-2:])
        ordered = a.reshape([full[axis] for axis in self._order])
        return np.ascontiguousarray(ordered.transpose(np.argsort(self._order)))

    def mask_of_batches(self, mask: Array, query: Any, shape: Any) -> Array:
        """A mask that broadcasts to (apart..., N, T, S) as one of `shape` (batches, N, T, S)."""
        if self._plain:
            return np.broadcast_to(mask, shape)
        return np.broadcast_to(mask, (*(query[axis] for axis in self.apart), *shape[1:])).reshape(shape)

    def steps(self, mask: Array) -> Array:
        """A mask of steps (B, ...) as (apart..., 1, steps)."""
        apart = mask.transpose((*self.apart, *self.over))
        return apart.reshape(*apart.shape[: len(self.apart)], 1, -1)

    def pairs(self, mask: Array, query: Any, value: Any, heads: int) -> Array:
        """A mask of pairs of steps, (..., query sizes..., value sizes...), as it broadcasts to (apart..., N, T, S).

        Raises
        ------
        ValueError
            If it does not.
        """
        steps, keys = self.sizes(query), self.sizes(value)
        wanted = (*(query[axis] for axis in self.apart), heads)
        behind = len(steps) + len(keys)
        leading = mask.shape[: max(mask.ndim - behind, 0)]
        inner = np.broadcast_to(mask, (*leading, *steps, *keys))
        inserted = (1,) * (len(wanted) - len(leading))
        if np.broadcast_shapes((*leading, *inserted), wanted) != wanted:
            raise ValueError
        return inner.reshape(*leading, *inserted, math.prod(steps), math.prod(keys))
