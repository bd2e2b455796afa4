# SPDX-License-Identifier: BSD-3-Clause
"""Dropout (Srivastava et al. 2014)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from ..random import draw_key
from .base import Layer
from .call import Call

__all__ = ["Dropout", "dropout_mask"]

Array = npt.NDArray[Any]


def dropout_mask(rng: np.random.Generator, shape: tuple[int, ...], rate: float) -> Array:
    """0 with probability `rate`, else ``1 / (1 - rate)``, so that the mean stays (float32)."""
    return _core.dropout_mask(draw_key(rng), rate, shape)


class Dropout(Layer):
    """In training, sets a random share of the inputs to 0 and scales the rest up.

    Parameters
    ----------
    rate : float
        Share that is dropped, from 0 to 1.
    noise_shape : sequence of int or None, optional
        Shape of the random mask, None for the input's own size; 1 shares the mask along an axis.
    seed : int, optional
        Own stream of random numbers; the global one otherwise.
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        If `rate` is not between 0 and 1, or `noise_shape` is not made of positive integers and None.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Dropout
    >>> Dropout(0.5, seed=1)(np.ones((1, 4)))
    array([[1., 1., 1., 1.]], dtype=float32)
    >>> Dropout(0.5, seed=1)(np.ones((1, 4)), training=True).max()
    np.float32(2.0)
    """

    supports_masking = True

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(rate, (bool, str)) or rate is None or not 0 <= rate <= 1:
            raise ValueError(
                "Invalid value received for argument `rate`. Expected a float value between 0 and 1. "
                f"Received: {rate=}"
            )
        if noise_shape is not None:
            noise_shape = tuple(noise_shape)
            if any(n is not None and (not isinstance(n, (int, np.integer)) or n <= 0) for n in noise_shape):
                raise ValueError(
                    "Invalid value received for argument `noise_shape`. Expected positive integers or None. "
                    f"Received: {noise_shape}"
                )
        self.rate, self.noise_shape, self.seed = rate, noise_shape, seed
        self._generator = None if seed is None else np.random.default_rng(seed)
        self.built = True

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def forward(self, x: Array, call: Call) -> Array:
        if not call.training or self.rate == 0:
            return x
        rng = self._generator or call.rng
        if self.noise_shape is None:  # the key is all that the way back needs
            key = call.saved = draw_key(rng)
            return _core.dropout(key, self.rate, np.ascontiguousarray(x))
        shape = tuple(n if m is None else m for n, m in zip(x.shape, self.noise_shape, strict=True))
        mask = call.saved = dropout_mask(rng, shape, self.rate)
        return x * mask

    def backward(self, dy: Array, call: Call) -> Array:
        if call.saved is None:
            return dy
        if isinstance(call.saved, int):
            return _core.dropout(call.saved, self.rate, np.ascontiguousarray(dy, np.float32))
        mask: Array = call.saved
        return dy * mask

    def frozen(self) -> None:
        return None

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed, "noise_shape": self.noise_shape}
