# SPDX-License-Identifier: BSD-3-Clause
"""Layers that add noise in training, or a penalty on what passes through."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import regularizers
from ...random import check_seed, numpy_generator, seed_generator
from ...saving.registry import serialize_keras_object
from ..base import Layer
from ..call import Call
from .dropout import checked_noise_shape, checked_rate, noise_shape_of

__all__ = ["ActivityRegularization", "AlphaDropout", "GaussianDropout", "GaussianNoise"]

Array = npt.NDArray[Any]


class _Noise(Layer):
    """Does something random in training and nothing otherwise."""

    supports_masking = True

    def __init__(self, seed: Any, amount: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = check_seed(seed)
        if amount > 0:
            self.seed_generator = seed_generator(self.seed)
        self._build_at_init()

    def rng(self, call: Call) -> np.random.Generator:
        return numpy_generator(call.randomness(self))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def backward(self, dy: Array, call: Call) -> Array:
        """By the factors of x that `forward` saved; without any, noise was added."""
        return dy if call.saved is None else np.asarray(dy * call.saved)

    def _config(self, **arguments: Any) -> dict[str, Any]:
        return {**super().get_config(), **arguments, "seed": serialize_keras_object(self.seed)}


class GaussianNoise(_Noise):
    """In training, adds normally distributed numbers of mean 0.

    Parameters
    ----------
    stddev : float
        Their standard deviation, from 0 to 1.
    seed : int, optional
        Own stream of random numbers; the global one otherwise.
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        If `stddev` is not between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import GaussianNoise
    >>> GaussianNoise(0.5)(np.ones((1, 2)))
    array([[1., 1.]], dtype=float32)
    """

    def __init__(self, stddev: float, seed: Any = None, **kwargs: Any) -> None:
        super().__init__(seed, checked_rate(stddev, "stddev"), **kwargs)
        self.stddev = stddev

    def forward(self, x: Array, call: Call) -> Array:
        if not call.training or self.stddev == 0:
            return x
        noise: Array = self.rng(call).standard_normal(x.shape, np.float32)
        return np.asarray(x + noise * np.float32(self.stddev))

    def frozen(self) -> None:
        return None

    def get_config(self) -> dict[str, Any]:
        return self._config(stddev=self.stddev)


class GaussianDropout(_Noise):
    """In training, multiplies with normally distributed numbers of mean 1 (Srivastava et al. 2014, section 10).

    Parameters
    ----------
    rate : float
        From 0 to below 1; their standard deviation is ``sqrt(rate / (1 - rate))``.
    seed : int, optional
        Own stream of random numbers; the global one otherwise.
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        If `rate` is not between 0 and 1.
    ZeroDivisionError
        In training with a rate of 1, as in Keras.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import GaussianDropout
    >>> GaussianDropout(0.5)(np.ones((1, 2)))
    array([[1., 1.]], dtype=float32)
    """

    def __init__(self, rate: float, seed: Any = None, **kwargs: Any) -> None:
        super().__init__(seed, checked_rate(rate), **kwargs)
        self.rate = rate

    def forward(self, x: Array, call: Call) -> Array:
        if not call.training or self.rate == 0:
            return x
        stddev = np.float32(math.sqrt(self.rate / (1.0 - self.rate)))
        call.saved = self.rng(call).standard_normal(x.shape, np.float32) * stddev + np.float32(1)
        return np.asarray(x * call.saved)

    def frozen(self) -> None:
        return None

    def get_config(self) -> dict[str, Any]:
        return self._config(rate=self.rate)


class AlphaDropout(_Noise):
    """Dropout for SELU networks: keeps mean 0 and variance 1 (Klambauer et al. 2017).

    Parameters
    ----------
    rate : float
        Share that is dropped, from 0 to 1.
    noise_shape : sequence of int or None, optional
        As of `Dropout`.
    seed : int, optional
        Own stream of random numbers; the global one otherwise.
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        If `rate` is not between 0 and 1.
    ZeroDivisionError
        In training with a rate of 1, as in Keras.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import AlphaDropout
    >>> AlphaDropout(0.5)(np.ones((1, 2)))
    array([[1., 1.]], dtype=float32)
    """

    #: Where dropped values go: -scale * alpha of SELU.
    _LOW = -1.6732632423543772848170429916717 * 1.0507009873554804934193349852946

    def __init__(self, rate: float, noise_shape: Any = None, seed: Any = None, **kwargs: Any) -> None:
        super().__init__(seed, checked_rate(rate), **kwargs)
        self.rate, self.noise_shape = rate, checked_noise_shape(noise_shape)

    def forward(self, x: Array, call: Call) -> Array:
        if not call.training or self.rate == 0:
            return x
        shape = noise_shape_of(self, self.noise_shape, x)
        kept = self.rng(call).random(shape, np.float32) >= np.float32(self.rate)
        scale = ((1 - self.rate) * (1 + self.rate * self._LOW**2)) ** -0.5
        call.saved = kept * np.float32(scale)
        return np.where(kept, x, np.float32(self._LOW)) * np.float32(scale) - np.float32(
            scale * self._LOW * self.rate
        )

    def frozen(self) -> None:
        return None

    def get_config(self) -> dict[str, Any]:
        return self._config(rate=self.rate, noise_shape=self.noise_shape)


class ActivityRegularization(Layer):
    """Gives back its input and adds a penalty on it to the loss.

    Parameters
    ----------
    l1, l2 : float
        Weights of the sum of magnitudes and of the sum of squares.
    **kwargs
        See `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import ActivityRegularization
    >>> ActivityRegularization(l2=0.1)(np.ones((1, 2)))
    array([[1., 1.]], dtype=float32)
    """

    supports_masking = True

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(activity_regularizer=regularizers.L1L2(l1=l1, l2=l2), **kwargs)
        self.l1, self.l2 = l1, l2
        self._build_at_init()

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def forward(self, x: Array, call: Call) -> Array:
        return x

    def backward(self, dy: Array, call: Call) -> Array:
        return dy

    def frozen(self) -> None:
        return None

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "l1": self.l1, "l2": self.l2}
        del config["activity_regularizer"]
        return config
