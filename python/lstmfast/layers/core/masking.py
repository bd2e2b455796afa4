# SPDX-License-Identifier: BSD-3-Clause
"""Marks the time steps that hold nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...saving.registry import deserialize_keras_object
from ...symbolic import KerasTensor
from ..base import Layer
from ..call import Call
from ..frozen import FrozenLayer
from ..input_spec import InputSpec

__all__ = ["Masking"]

Array = npt.NDArray[Any]


class Masking(Layer):
    """Masks the steps at which every feature equals `mask_value`, for the layers behind it.

    Parameters
    ----------
    mask_value : float or array_like
        Value that stands for "nothing here", or one for each feature.
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
        if isinstance(mask_value, dict):  # an array, as files describe it
            mask_value = deserialize_keras_object(mask_value)
        self.mask_value = mask_value
        self._value = np.asarray(mask_value, np.float32)
        self.input_spec = InputSpec(min_ndim=2)
        self._build_at_init()

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        if isinstance(inputs, KerasTensor):
            from ... import ops  # which are not loaded for nothing

            return ops.any(ops.not_equal(inputs, self._value), axis=-1)
        return np.asarray(np.any(inputs != self._value, axis=-1))

    def makes_mask(self, has_mask: bool) -> bool:
        return True

    def forward(self, x: Array, call: Call) -> Array:
        kept = call.output_mask = self.compute_mask(x)
        if not self._value.any():  # masked steps are 0 already
            return x
        return np.where(kept[..., None], x, np.float32(0))

    def backward(self, dy: Array, call: Call) -> Array:
        return np.where(call.output_mask[..., None], dy, np.float32(0))

    def frozen(self) -> FrozenLayer:
        if self._value.ndim:
            raise ValueError(f"layer {self.name!r} cannot be frozen: its mask_value is an array")
        return FrozenLayer("masking", {"value": float(self._value)})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mask_value": self.mask_value}
