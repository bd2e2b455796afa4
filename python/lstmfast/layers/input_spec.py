# SPDX-License-Identifier: BSD-3-Clause
"""What a layer demands of the shape of its input."""

from __future__ import annotations

from typing import Any

__all__ = ["InputSpec"]


class InputSpec:
    """Rank and axes that a layer's input must have.

    Parameters
    ----------
    ndim, min_ndim, max_ndim : int, optional
        Exact, least and greatest number of axes.
    axes : dict of int to int, optional
        Required size of single axes.

    Examples
    --------
    >>> from lstmfast.layers import InputSpec
    >>> InputSpec(ndim=3).check((7, 5), "lstm")
    Traceback (most recent call last):
        ...
    ValueError: Input of layer 'lstm' is incompatible with the layer: expected ndim=3, found ndim=2. Full shape received: (7, 5)
    """

    __slots__ = ("axes", "max_ndim", "min_ndim", "ndim")

    def __init__(
        self,
        ndim: int | None = None,
        min_ndim: int | None = None,
        max_ndim: int | None = None,
        axes: dict[int, int] | None = None,
    ) -> None:
        self.ndim, self.min_ndim, self.max_ndim = ndim, min_ndim, max_ndim
        self.axes = dict(axes or {})

    def check(self, shape: Any, name: str) -> None:
        """Raise a ValueError that names the layer if `shape` does not fit."""
        n = len(shape)
        if n and isinstance(shape[0], (list, tuple)):
            raise ValueError(f"Layer '{name}' expects 1 input, but it received {n} input tensors.")
        problem = None
        if self.ndim is not None and n != self.ndim:
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
        if problem:
            raise ValueError(f"Input of layer '{name}' is incompatible with the layer: {problem}")
