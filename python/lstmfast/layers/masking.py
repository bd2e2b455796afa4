# SPDX-License-Identifier: BSD-3-Clause
"""Marks the time steps that hold nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .base import Layer
from .call import Call
from .frozen import FrozenLayer
from .input_spec import InputSpec

__all__ = ["Masking"]

Array = npt.NDArray[Any]


class Masking(Layer):
    """Masks the steps at which every feature equals `mask_value`, for the layers behind it.

    Parameters
    ----------
    mask_value : float
        Value that stands for "nothing here".
    **kwargs
        See `Layer`.

    Notes
    -----
    Input and output (batch, time, ...). Masked steps become 0.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Masking
    >>> Masking(-1.0)(np.array([[[-1.0, -1.0], [-1.0, 2.0]]]))
    array([[[ 0.,  0.],
            [-1.,  2.]]], dtype=float32)
    """

    supports_masking = True

    def __init__(self, mask_value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_value = mask_value
        self.input_spec = InputSpec(min_ndim=2)
        self.built = True

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def compute_mask(self, inputs: Array, mask: Any = None) -> Array:
        return np.asarray(np.any(inputs != np.float32(self.mask_value), axis=-1))

    def makes_mask(self, has_mask: bool) -> bool:
        return True

    def forward(self, x: Array, call: Call) -> Array:
        kept = call.output_mask = self.compute_mask(x)
        if self.mask_value == 0:  # masked steps are 0 already
            return x
        return np.where(kept[..., None], x, np.float32(0))

    def backward(self, dy: Array, call: Call) -> Array:
        return np.where(call.output_mask[..., None], dy, np.float32(0))

    def frozen(self) -> FrozenLayer:
        return FrozenLayer("masking", {"value": float(np.float32(self.mask_value))})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mask_value": self.mask_value}
