# SPDX-License-Identifier: BSD-3-Clause
"""The layer that does nothing."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from ..base import Layer
from ..call import Call

__all__ = ["Identity"]

Array = npt.NDArray[Any]


class Identity(Layer):
    """Gives back its input: a placeholder.

    Parameters
    ----------
    **kwargs
        See `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Identity
    >>> Identity()(np.array([[1.0, 2.0]]))
    array([[1., 2.]], dtype=float32)
    """

    supports_masking = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._build_at_init()

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def forward(self, x: Array, call: Call) -> Array:
        return x

    def backward(self, dy: Array, call: Call) -> Array:
        return dy

    def frozen(self) -> None:
        return None
