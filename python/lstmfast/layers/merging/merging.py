# SPDX-License-Identifier: BSD-3-Clause
"""Layers that join several inputs element by element."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..frozen import FrozenLayer
from .base import Merge, sum_to

__all__ = [
    "Add",
    "Average",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
    "add",
    "average",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]

Array = npt.NDArray[Any]


class Add(Merge):
    """The sum of its inputs.

    Parameters
    ----------
    **kwargs
        See `Layer`; for shapes and masks see `Merge`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Add
    >>> Add()([np.ones((1, 2)), np.array([[3.0, 4.0]])])
    array([[4., 5.]], dtype=float32)
    """

    def merge(self, x: list[Array], masks: list[Array | None] | None) -> Array:
        y = x[0]
        for a in x[1:]:
            y = y + a
        return y

    def merge_backward(self, dy: Array, x: list[Array], masks: list[Array | None] | None) -> list[Array]:
        return [dy] * len(x)

    def frozen(self) -> FrozenLayer:
        return self._frozen("add")


class Subtract(Merge):
    """The first of two inputs less the second.

    Parameters
    ----------
    **kwargs
        See `Layer`; for shapes and masks see `Merge`.

    Raises
    ------
    ValueError
        If there are not exactly two inputs.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Subtract
    >>> Subtract()([np.ones((1, 2)), np.array([[3.0, 4.0]])])
    array([[-2., -3.]], dtype=float32)
    """

    def check_shapes(self, shapes: Any) -> None:
        super().check_shapes(shapes)
        if len(shapes) != 2:
            raise ValueError(
                "A `Subtract` layer should be called on exactly 2 inputs. Received: "
                f"input_shape={[tuple(s) for s in shapes]}"
            )

    def merge(self, x: list[Array], masks: list[Array | None] | None) -> Array:
        return np.asarray(x[0] - x[1])

    def merge_backward(self, dy: Array, x: list[Array], masks: list[Array | None] | None) -> list[Array]:
        return [dy, -dy]

    def frozen(self) -> FrozenLayer:
        return self._frozen("subtract")


class Multiply(Merge):
    """The product of its inputs.

    Parameters
    ----------
    **kwargs
        See `Layer`; for shapes and masks see `Merge`.

    Notes
    -----
    A masked step of an input counts as 1; where all inputs are masked the output is 0.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Multiply
    >>> Multiply()([np.full((1, 2), 2.0), np.array([[3.0, 4.0]])])
    array([[6., 8.]], dtype=float32)
    """

    @staticmethod
    def _factors(x: list[Array], masks: list[Array | None] | None) -> tuple[list[Array], Array | None]:
        """The inputs with 1 where they are masked, and where any counts if all have masks."""
        if masks is None:
            return x, None
        factors, counts, complete = [], np.zeros((), bool), True
        for a, m in zip(x, masks, strict=True):
            factors.append(a if m is None else np.where(m, a, np.float32(1)))
            complete &= m is not None
            if m is not None:
                counts = counts | m
        return factors, counts if complete else None

    def merge(self, x: list[Array], masks: list[Array | None] | None) -> Array:
        factors, counts = self._factors(x, masks)
        y = factors[0]
        for a in factors[1:]:
            y = y * a
        return y if counts is None else np.where(counts, y, np.float32(0))

    def merge_backward(self, dy: Array, x: list[Array], masks: list[Array | None] | None) -> list[Array]:
        factors, counts = self._factors(x, masks)
        if counts is not None:
            dy = np.where(counts, dy, np.float32(0))
        before = [dy]  # dy times the factors before each
        for a in factors[:-1]:
            before.append(before[-1] * a)
        gradients, behind = [], np.ones((), np.float32)
        for k in range(len(factors) - 1, -1, -1):
            g, mask = before[k] * behind, None if masks is None else masks[k]
            gradients.append(g if mask is None else np.where(mask, g, np.float32(0)))
            behind = behind * factors[k]
        return gradients[::-1]

    def frozen(self) -> FrozenLayer:
        return self._frozen("multiply")


class Average(Merge):
    """The mean of its inputs.

    Parameters
    ----------
    **kwargs
        See `Layer`; for shapes and masks see `Merge`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Average
    >>> Average()([np.ones((1, 2)), np.array([[3.0, 5.0]])])
    array([[2., 3.]], dtype=float32)
    """

    def merge(self, x: list[Array], masks: list[Array | None] | None) -> Array:
        y = x[0]
        for a in x[1:]:
            y = y + a
        return y / np.float32(len(x))

    def merge_backward(self, dy: Array, x: list[Array], masks: list[Array | None] | None) -> list[Array]:
        return [dy / np.float32(len(x))] * len(x)

    def frozen(self) -> FrozenLayer:
        return self._frozen("average")


class _Pair(NamedTuple):
    """What was compared, which of the two counted where, and the shape of the result before."""

    left: Array
    right: Array
    left_mask: Array | None
    right_mask: Array | None
    shape: tuple[int, ...]


class _Extremum(Merge):
    """Maximum and Minimum: pair by pair; at a step that only one of a pair counts, that one is taken."""

    _choose: Any = None  # a NumPy function of two arrays
    _sign = np.float32(1)

    def _pairs(self, x: list[Array], masks: list[Array | None] | None) -> tuple[Array, list[_Pair]]:
        """The output, and for each pair what was compared and which of the two masks held there."""
        y, mask = x[0], None if masks is None else masks[0]
        steps: list[_Pair] = []
        for k, a in enumerate(x[1:], 1):
            m = None if masks is None else masks[k]
            right = a if m is None else np.where(m, a, y)
            left = y if mask is None else np.where(mask, y, right)
            steps.append(_Pair(left, right, mask, m, y.shape))
            y = type(self)._choose(left, right)
            mask = None if mask is None or m is None else mask | m
        return y, steps

    def merge(self, x: list[Array], masks: list[Array | None] | None) -> Array:
        return self._pairs(x, masks)[0]

    def merge_backward(self, dy: Array, x: list[Array], masks: list[Array | None] | None) -> list[Array]:
        gradients = []
        zero, half = np.float32(0), np.float32(0.5)
        for left, right, left_mask, right_mask, shape in reversed(self._pairs(x, masks)[1]):
            ahead = (left - right) * self._sign
            dright = np.where(ahead < 0, dy, np.where(ahead == 0, half * dy, zero))  # ties share it
            dleft = dy - dright
            if left_mask is not None:
                dright = dright + np.where(left_mask, zero, dleft)
                dleft = np.where(left_mask, dleft, zero)
            if right_mask is not None:
                dleft = dleft + np.where(right_mask, zero, dright)
                dright = np.where(right_mask, dright, zero)
            gradients.append(dright)
            dy = sum_to(dleft, shape)
        gradients.append(dy)
        return gradients[::-1]


class Maximum(_Extremum):
    """The greatest of its inputs, element by element.

    Parameters
    ----------
    **kwargs
        See `Layer`; for shapes and masks see `Merge`.

    Notes
    -----
    A masked step of an input is left out where the others count. Equal inputs share the gradient.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Maximum
    >>> Maximum()([np.array([[1.0, 9.0]]), np.array([[3.0, 5.0]])])
    array([[3., 9.]], dtype=float32)
    """

    _choose = staticmethod(np.maximum)

    def frozen(self) -> FrozenLayer:
        return self._frozen("maximum")


class Minimum(_Extremum):
    """The least of its inputs, element by element.

    Parameters
    ----------
    **kwargs
        See `Layer`; for shapes and masks see `Merge`.

    Notes
    -----
    A masked step of an input is left out where the others count. Equal inputs share the gradient.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Minimum
    >>> Minimum()([np.array([[1.0, 9.0]]), np.array([[3.0, 5.0]])])
    array([[1., 5.]], dtype=float32)
    """

    _choose = staticmethod(np.minimum)
    _sign = np.float32(-1)

    def frozen(self) -> FrozenLayer:
        return self._frozen("minimum")


def add(inputs: Any, **kwargs: Any) -> Any:
    """`Add` as a function."""
    return Add(**kwargs)(inputs)


def subtract(inputs: Any, **kwargs: Any) -> Any:
    """`Subtract` as a function."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs: Any, **kwargs: Any) -> Any:
    """`Multiply` as a function."""
    return Multiply(**kwargs)(inputs)


def average(inputs: Any, **kwargs: Any) -> Any:
    """`Average` as a function."""
    return Average(**kwargs)(inputs)


def maximum(inputs: Any, **kwargs: Any) -> Any:
    """`Maximum` as a function."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs: Any, **kwargs: Any) -> Any:
    """`Minimum` as a function."""
    return Minimum(**kwargs)(inputs)
