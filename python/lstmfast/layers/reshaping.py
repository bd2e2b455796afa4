# SPDX-License-Identifier: BSD-3-Clause
"""Layers that only move axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .base import Layer
from .call import Call
from .frozen import FrozenLayer
from .input_spec import InputSpec

__all__ = ["Flatten"]

Array = npt.NDArray[Any]


class Flatten(Layer):
    """All axes behind the batch into one.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
        With "channels_first" axis 1 becomes the last before flattening.
    **kwargs
        See `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Flatten
    >>> Flatten()(np.zeros((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if data_format not in (None, "channels_last", "channels_first"):
            raise ValueError(f"data_format must be 'channels_last' or 'channels_first', got {data_format!r}")
        self.data_format = data_format or "channels_last"
        self.input_spec = InputSpec(min_ndim=1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        rest = input_shape[1:]
        return (input_shape[0], None if None in rest else math.prod(rest))

    def output_lengths(self, lengths: Array | None) -> None:
        return None

    def forward(self, x: Array, call: Call) -> Array:
        if self.data_format == "channels_first" and x.ndim > 1:
            x = np.moveaxis(x, 1, -1)
        call.saved = x.shape
        return np.ascontiguousarray(x).reshape(len(x), math.prod(x.shape[1:]))

    def backward(self, dy: Array, call: Call) -> Array:
        dx = dy.reshape(call.saved)
        if self.data_format == "channels_first" and dx.ndim > 1:
            dx = np.ascontiguousarray(np.moveaxis(dx, -1, 1))
        return dx

    def frozen(self) -> FrozenLayer:
        if self.data_format == "channels_first":
            raise ValueError(f"layer {self.name!r} cannot be frozen: data_format is 'channels_first'")
        return FrozenLayer("flatten", {}, "it needs all time steps at once")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}
