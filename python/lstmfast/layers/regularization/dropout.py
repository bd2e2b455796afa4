# SPDX-License-Identifier: BSD-3-Clause
"""Dropout (Srivastava et al. 2014)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import _core
from ...random import SeedGenerator, check_seed, draw_key, seed_generator
from ...saving.registry import serialize_keras_object
from ..arguments import is_integer
from ..base import Layer
from ..call import Call
from ..input_spec import InputSpec

__all__ = ["Dropout", "SpatialDropout1D", "dropout_mask"]

Array = npt.NDArray[Any]


def dropout_mask(rng: np.random.Generator | SeedGenerator, shape: tuple[int, ...], rate: float) -> Array:
    """0 with probability `rate`, else ``1 / (1 - rate)``, so that the mean stays (float32)."""
    return _core.dropout_mask(draw_key(rng), rate, shape)


def checked_rate(rate: Any, argument: str = "rate") -> Any:
    """`rate` if it is a number from 0 to 1, else a ValueError naming `argument`."""
    if isinstance(rate, (bool, str)) or rate is None or not 0 <= rate <= 1:
        raise ValueError(
            f"Invalid value received for argument `{argument}`. Expected a float value between 0 and 1. "
            f"Received: {argument}={rate!r}"
        )
    return rate


def checked_noise_shape(noise_shape: Any) -> tuple[int | None, ...] | None:
    """`noise_shape` as a tuple of positive integers and None, or None; else a ValueError."""
    if noise_shape is None:
        return None
    if isinstance(noise_shape, str) or not isinstance(noise_shape, Iterable):
        raise ValueError(
            "Invalid value received for argument `noise_shape`. Expected a tuple or list of integers. "
            f"Received: noise_shape={noise_shape!r}"
        )
    shape = tuple(noise_shape)
    for index, n in enumerate(shape):
        expected = None
        if n is not None and not is_integer(n):
            expected = "elements to be integers"
        elif n is not None and n <= 0:
            expected = "dimensions to be positive integers"
        if expected is not None:
            raise ValueError(
                f"Invalid value received for argument `noise_shape`. Expected all {expected} or None. Received "
                f"{n!r} at index {index} of {shape}"
            )
    return shape


def noise_shape_of(layer: Layer, noise_shape: tuple[int | None, ...] | None, x: Array) -> tuple[int, ...]:
    """The shape of the random numbers for `x`; ValueError if they would not broadcast to it."""
    if noise_shape is None:
        return x.shape
    if len(noise_shape) == x.ndim:
        shape = tuple(n if m is None else m for n, m in zip(x.shape, noise_shape, strict=True))
        if all(m in (1, n) for n, m in zip(x.shape, shape, strict=True)):
            return shape
    raise ValueError(
        f"noise_shape={noise_shape} of layer {layer.name!r} does not fit an input of shape {x.shape}: expected an "
        "entry for each axis, its size, 1 or None"
    )


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
        self.rate, self.noise_shape = checked_rate(rate), checked_noise_shape(noise_shape)
        self.seed = check_seed(seed)
        if self.rate > 0:
            self.seed_generator = seed_generator(self.seed)
        self._build_at_init()

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def forward(self, x: Array, call: Call) -> Array:
        if not call.training or self.rate == 0:
            return x
        rng = call.randomness(self)
        if self.noise_shape is None:  # the key is all that the way back needs
            key = call.saved = draw_key(rng)
            return _core.dropout(key, self.rate, np.ascontiguousarray(x))
        mask = call.saved = dropout_mask(rng, noise_shape_of(self, self.noise_shape, x), self.rate)
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
        seed = serialize_keras_object(self.seed)
        return {**super().get_config(), "rate": self.rate, "seed": seed, "noise_shape": self.noise_shape}


class SpatialDropout1D(Dropout):
    """In training, sets whole features to 0, the same ones at every time step (Tompson et al. 2015).

    Parameters
    ----------
    rate : float
        Share of features that is dropped, from 0 to 1.
    seed : int, optional
        Own stream of random numbers; the global one otherwise.
    name, dtype : str, optional
        See `Layer`.

    Notes
    -----
    Input and output (batch, time, features).

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import SpatialDropout1D
    >>> y = SpatialDropout1D(0.5, seed=1)(np.ones((1, 3, 8)), training=True)
    >>> bool((y == y[:, :1]).all())
    True
    """

    def __init__(self, rate: float, seed: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(rate, noise_shape=(None, 1, None), seed=seed, name=name, dtype=dtype)
        self.input_spec = InputSpec(ndim=3)

    def get_config(self) -> dict[str, Any]:
        seed = serialize_keras_object(self.seed)
        return {"rate": self.rate, "seed": seed, "name": self.name, "dtype": self.dtype}
