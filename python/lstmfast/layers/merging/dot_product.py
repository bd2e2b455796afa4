# SPDX-License-Identifier: BSD-3-Clause
"""Products of two inputs, sample by sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments import is_integer
from ..arrays import clear_padding
from ..call import Call
from .base import Merge

__all__ = ["Dot", "dot"]

Array = npt.NDArray[Any]

#: The least square of a norm that is divided by (Keras's epsilon, 1e-7, is that of the norm).
_EPSILON = np.float32(1e-7)


class Dot(Merge):
    """The sum of products of two inputs along one axis of each, sample by sample.

    Parameters
    ----------
    axes : int or (int, int)
        The axis to sum over, of both inputs or of each; not the batch.
    normalize : bool
        Divide each vector by its length first: the result is the cosine of an angle.
    **kwargs
        See `Layer`.

    Notes
    -----
    From (batch, a, n) and (batch, n, b) with ``axes=(2, 1)`` it makes (batch, a, b); the remaining axes of the first
    input come before those of the second. Two vectors give (batch, 1). The output has no mask. With `lengths`, steps
    behind a row's end count as 0 where the sum runs over time.

    Raises
    ------
    TypeError
        If `axes` is neither an integer nor a sequence.
    ValueError
        If it has not two integers, is the batch, or the sizes there differ; or there are not two inputs.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Dot
    >>> Dot(axes=(2, 1))([np.ones((2, 3, 4)), np.ones((2, 4, 5))]).shape
    (2, 3, 5)
    """

    def __init__(self, axes: Any, normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not is_integer(axes):
            if not isinstance(axes, (list, tuple)):
                raise TypeError(
                    f"Invalid type for argument `axes`: it should be a list or an int. Received: axes={axes!r}"
                )
            if len(axes) != 2:
                raise ValueError(
                    "Invalid format for argument `axes`: it should contain two elements. Received: "
                    f"axes={axes}"
                )
            if not all(map(is_integer, axes)):
                raise ValueError(
                    "Invalid format for argument `axes`: list elements should be integers. Received: "
                    f"axes={axes}"
                )
        self.axes, self.normalize = axes, normalize

    def _axes(self, shapes: Any) -> tuple[int, int]:
        given = (self.axes, self.axes) if is_integer(self.axes) else tuple(self.axes)
        found = []
        for axis, shape in zip(given, shapes, strict=True):
            rank = len(shape)
            if rank < 2 or not -rank <= axis < rank or axis % rank == 0:
                raise ValueError(
                    f"Layer {self.name!r} cannot sum over axis {axis} of an input of shape {tuple(shape)}: expected "
                    "an axis behind the batch"
                )
            found.append(axis % rank)
        return found[0], found[1]

    def check_shapes(self, shapes: Any) -> None:
        several = isinstance(shapes, (list, tuple)) and len(shapes) == 2
        if not several or not all(isinstance(s, (list, tuple)) for s in shapes):
            raise ValueError(
                f"A `Dot` layer should be called on a list of 2 inputs. Received: input_shape={shapes}"
            )
        first, second = self._axes(shapes)
        m, n = shapes[0][first], shapes[1][second]
        if m != n and None not in (m, n):
            raise ValueError(
                f"Incompatible input shapes: axis values {m} (at axis {first}) != {n} (at axis {second}). Full "
                f"input shapes: {tuple(shapes[0])}, {tuple(shapes[1])}"
            )
        if shapes[0][0] != shapes[1][0] and None not in (shapes[0][0], shapes[1][0]):
            raise ValueError(
                f"Cannot do batch_dot on inputs with different batch sizes. Received inputs with shapes "
                f"{tuple(shapes[0])} and {tuple(shapes[1])}."
            )

    def compute_output_shape(self, input_shape: Any) -> Any:
        self.check_shapes(input_shape)
        axes = self._axes(input_shape)
        first, second = (
            [n for i, n in enumerate(shape) if i not in (0, axis)]
            for shape, axis in zip(input_shape, axes, strict=True)
        )
        return (input_shape[0][0], *((first + second) or [1]))

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def makes_mask(self, has_mask: bool) -> bool:
        return False

    def output_lengths(self, lengths: Array | None) -> None:
        return None

    def forward(self, x: list[Array], call: Call) -> Array:
        shapes = [a.shape for a in x]
        axes = self._axes(shapes)
        if call.lengths is not None:
            time = x[0].shape[1]
            x = [
                clear_padding(a, call.lengths) if axis == 1 and a.ndim > 2 and a.shape[1] == time else a
                for a, axis in zip(x, axes, strict=True)
            ]
            if axes[0] != 1 and x[0].ndim > 2:
                call.output_lengths = call.lengths
        inverse_norms: list[Array | None] = [None, None]
        if self.normalize:
            for k, axis in enumerate(axes):
                square = np.square(x[k]).sum(axis=axis, keepdims=True)
                with np.errstate(divide="ignore"):
                    inverse_norms[k] = np.minimum(1 / np.sqrt(square), 1 / _EPSILON)
            x = [a * norm for a, norm in zip(x, inverse_norms, strict=True)]
        left, right = (_as_rows(a, axis) for a, axis in zip(x, axes, strict=True))
        call.saved = (left, right, axes, shapes, x, inverse_norms)
        y: Array = np.matmul(left, right.transpose(0, 2, 1))
        return y.reshape(self.compute_output_shape(shapes))

    def backward(self, dy: Array, call: Call) -> list[Array]:
        left, right, axes, shapes, normed, inverse_norms = call.saved
        dy = dy.reshape(len(left), left.shape[1], right.shape[1])
        gradients = [
            _from_rows(np.matmul(dy, right), shapes[0], axes[0]),
            _from_rows(np.matmul(dy.transpose(0, 2, 1), left), shapes[1], axes[1]),
        ]
        if self.normalize:
            for k, axis in enumerate(axes):
                y, norm = normed[k], inverse_norms[k]
                along = (gradients[k] * y).sum(axis=axis, keepdims=True)
                along = np.where(norm < 1 / _EPSILON, along, np.float32(0))
                gradients[k] = (gradients[k] - y * along) * norm
        if call.lengths is not None:
            time = shapes[0][1]
            for k, axis in enumerate(axes):
                if axis == 1 and len(shapes[k]) > 2 and shapes[k][1] == time:
                    gradients[k] = clear_padding(gradients[k], call.lengths)
        return [np.ascontiguousarray(g) for g in gradients]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axes": self.axes, "normalize": self.normalize}


def _as_rows(x: Array, axis: int) -> Array:
    """(batch, all other axes, summed axis)."""
    moved = np.moveaxis(x, axis, -1)
    return np.ascontiguousarray(moved).reshape(len(x), -1, moved.shape[-1])


def _from_rows(rows: Array, shape: tuple[int, ...], axis: int) -> Array:
    others = [n for i, n in enumerate(shape) if i != axis]
    return np.moveaxis(rows.reshape(*others, shape[axis]), -1, axis)


def dot(inputs: Any, axes: Any = -1, **kwargs: Any) -> Any:
    """`Dot` as a function."""
    return Dot(axes=axes, **kwargs)(inputs)
