# SPDX-License-Identifier: BSD-3-Clause
"""What a layer demands of the shape of its input."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["InputSpec"]


class InputSpec:
    """Rank and axes that a layer's input must have.

    Parameters
    ----------
    dtype : str, optional
        Kept; inputs are converted to float32 before they are checked.
    shape : tuple of int or None, optional
        Required size of all axes; None where it may vary.
    ndim, max_ndim, min_ndim : int, optional
        Exact, greatest and least number of axes.
    axes : dict of int to int, optional
        Required size of single axes.
    allow_last_axis_squeeze : bool
        With `shape`: a last axis of size 1 may be there or not.
    name : str, optional
    optional : bool
        Kept; all inputs of lstmfast's layers are needed.

    Examples
    --------
    >>> from lstmfast.layers import InputSpec
    >>> InputSpec(ndim=3).check((7, 5), "lstm")
    Traceback (most recent call last):
        ...
    ValueError: Input of layer 'lstm' is incompatible with the layer: expected ndim=3, found ndim=2. Full shape received: (7, 5)
    """

    __slots__ = (
        "allow_last_axis_squeeze",
        "axes",
        "dtype",
        "max_ndim",
        "min_ndim",
        "name",
        "ndim",
        "optional",
        "shape",
    )

    def __init__(
        self,
        dtype: Any = None,
        shape: Any = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: dict[int, int] | None = None,
        allow_last_axis_squeeze: bool = False,
        name: str | None = None,
        optional: bool = False,
    ) -> None:
        try:
            self.axes = {int(axis): size for axis, size in (axes or {}).items()}
        except (AttributeError, TypeError, ValueError):
            raise TypeError(
                f"Argument `axes` must be a dict with integer keys. Received: axes={axes!r}"
            ) from None
        self.dtype = None if dtype is None else np.dtype(dtype).name
        self.shape = None if shape is None else tuple(shape)
        self.ndim = ndim if self.shape is None else len(self.shape)
        rank = self.ndim if self.ndim is not None else max_ndim
        wrong = [axis for axis in self.axes if rank is not None and not -rank <= axis < rank]
        if wrong:
            raise ValueError(f"Axis {wrong[0]} is greater than the maximum allowed value: {rank - 1}")  # type: ignore[operator]
        self.min_ndim, self.max_ndim = min_ndim, max_ndim
        self.allow_last_axis_squeeze = bool(allow_last_axis_squeeze)
        self.name, self.optional = name, bool(optional)

    def check(self, shape: Any, name: str) -> None:
        """Raise a ValueError that names the layer if `shape` does not fit."""
        n = len(shape)
        if n and isinstance(shape[0], (list, tuple)):
            raise ValueError(f"Layer '{name}' expects 1 input, but it received {n} input tensors.")
        problem = None
        if self.ndim is not None and n != self.ndim and not self.allow_last_axis_squeeze:
            problem = f"expected ndim={self.ndim}, found ndim={n}. Full shape received: {tuple(shape)}"
        elif self.min_ndim is not None and n < self.min_ndim:
            problem = (
                f"expected min_ndim={self.min_ndim}, found ndim={n}. Full shape received: {tuple(shape)}"
            )
        elif self.max_ndim is not None and n > self.max_ndim:
            problem = (
                f"expected max_ndim={self.max_ndim}, found ndim={n}. Full shape received: {tuple(shape)}"
            )
        else:
            for axis, size in self.axes.items():
                if -n <= axis < n and shape[axis] is not None and shape[axis] != size:
                    problem = (
                        f"expected axis {axis} of input shape to have value {size}, but received input with "
                        f"shape {tuple(shape)}"
                    )
                    break
        if problem is None and self.shape is not None and not self._fits(tuple(shape)):
            problem = f"expected shape={self.shape}, found shape={tuple(shape)}"
        if problem:
            raise ValueError(f"Input of layer '{name}' is incompatible with the layer: {problem}")

    def _fits(self, shape: tuple[Any, ...]) -> bool:
        expected = self.shape or ()
        if self.allow_last_axis_squeeze:
            expected, shape = (s[:-1] if s and s[-1] == 1 else s for s in (expected, shape))
        sizes = zip(expected, shape, strict=False)
        return len(expected) == len(shape) and all(m is None or n is None or m == n for m, n in sizes)
