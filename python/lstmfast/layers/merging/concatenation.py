# SPDX-License-Identifier: BSD-3-Clause
"""Inputs behind one another."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..base import Layer
from ..call import Call
from ..frozen import FrozenLayer
from .base import check_masks

__all__ = ["Concatenate", "concatenate"]

Array = npt.NDArray[Any]


class Concatenate(Layer):
    """Puts arrays behind one another along an axis.

    Parameters
    ----------
    axis : int
        Axis to join along; not the batch axis.
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        If the input is not a list of at least one array, or shapes differ beside the axis.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Concatenate
    >>> Concatenate()([np.zeros((2, 3)), np.ones((2, 1))]).shape
    (2, 4)
    """

    supports_masking = True
    takes_list = True

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def _convert(self, inputs: Any) -> list[Array]:
        if not isinstance(inputs, (list, tuple)):
            raise ValueError("A `Concatenate` layer should be called on a list of inputs")
        return [super(Concatenate, self)._convert(array) for array in inputs]

    def check_shapes(self, shapes: Any) -> None:
        if not isinstance(shapes, (list, tuple)) or not shapes or not isinstance(shapes[0], (list, tuple)):
            raise ValueError(
                "A `Concatenate` layer should be called on a list of at least 1 input. Received: "
                f"input_shape={shapes}"
            )
        ranks = {len(shape) for shape in shapes}
        rank = len(shapes[0])
        if len(ranks) == 1 and not -rank <= self.axis < rank:
            raise ValueError(f"axis={self.axis} is out of range for inputs with {rank} axes")
        matching = len(ranks) == 1
        for axis in range(rank if matching else 0):
            sizes = {shape[axis] for shape in shapes if shape[axis] is not None}
            if axis != self.axis % rank and len(sizes) > 1:
                matching = False
        if not matching:
            raise ValueError(
                "A `Concatenate` layer requires inputs with matching shapes except for the concatenation "
                "axis. "
                f"Received: input_shape={[tuple(s) for s in shapes]}"
            )

    def compute_output_shape(self, input_shape: Any) -> Any:
        self.check_shapes(input_shape)
        shape = list(input_shape[0])
        sizes = [s[self.axis] for s in input_shape]
        shape[self.axis] = None if None in sizes else sum(sizes)
        return tuple(shape)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        check_masks(inputs, mask)
        if mask is None or all(m is None for m in mask):
            return None
        parts = []
        for array, given in zip(inputs, mask, strict=True):
            m = np.ones(array.shape[:1], bool) if given is None else np.asarray(given)
            m = m.reshape(m.shape + (1,) * (len(array.shape) - m.ndim))
            # Of symbolic inputs the mask knows the open axes.
            shape = [own if n is None else n for own, n in zip(m.shape, array.shape, strict=True)]
            parts.append(np.broadcast_to(m, shape))
        return np.concatenate(parts, axis=self.axis).any(axis=-1)

    def output_lengths(self, lengths: Array | None) -> Array | None:
        return None if self.axis == 1 else lengths

    def forward(self, x: list[Array], call: Call) -> Array:
        call.saved = np.cumsum([a.shape[self.axis] for a in x])[:-1]
        return np.concatenate(x, axis=self.axis)

    def backward(self, dy: Array, call: Call) -> list[Array]:
        return [np.ascontiguousarray(part) for part in np.split(dy, call.saved, axis=self.axis)]

    def frozen(self) -> FrozenLayer:
        if self.axis != -1 and self.axis != len(self._build_shape[0]) - 1:
            raise ValueError(
                f"layer {self.name!r} cannot be frozen: only the last axis can be joined natively"
            )
        return FrozenLayer("concatenate", {})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}


def concatenate(inputs: Any, axis: int = -1, **kwargs: Any) -> Any:
    """`Concatenate` as a function."""
    return Concatenate(axis=axis, **kwargs)(inputs)
