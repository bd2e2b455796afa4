# SPDX-License-Identifier: BSD-3-Clause
"""Initializers that draw random values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from ..random import SeedGenerator, check_seed, generator, make_default_seed
from ..random.distributions import standard_truncated_normal
from .base import Array, Initializer, Shape, as_shape

__all__ = [
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "LecunNormal",
    "LecunUniform",
    "Orthogonal",
    "RandomInitializer",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "compute_fans",
]


class RandomInitializer(Initializer):
    """Base of the random ones.

    Parameters
    ----------
    seed : int, SeedGenerator or None
    """

    def __init__(self, seed: int | SeedGenerator | None = None) -> None:
        self._init_seed = check_seed(seed)
        self.seed = make_default_seed() if self._init_seed is None else self._init_seed

    def get_config(self) -> dict[str, Any]:
        if not isinstance(self._init_seed, SeedGenerator):
            return {"seed": self._init_seed}
        config = {"class_name": "SeedGenerator", "config": self._init_seed.get_config()}
        return {"seed": {"module": "keras.random", **config, "registered_name": None}}


class RandomNormal(RandomInitializer):
    """Normal distribution.

    Parameters
    ----------
    mean, stddev : float
    seed : int, SeedGenerator or None

    Examples
    --------
    >>> from lstmfast.initializers import RandomNormal
    >>> w = RandomNormal(mean=1.0, stddev=0.1, seed=0)((100, 100))
    >>> round(float(w.mean()), 1), round(float(w.std()), 2)
    (1.0, 0.1)
    """

    def __init__(
        self, mean: float = 0.0, stddev: float = 0.05, seed: int | SeedGenerator | None = None
    ) -> None:
        self.mean = mean
        self.stddev = stddev
        super().__init__(seed)

    def __call__(self, shape: Shape, dtype: npt.DTypeLike | None = None) -> Array:
        return (
            generator(self.seed).normal(self.mean, self.stddev, as_shape(shape)).astype(dtype or np.float32)
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean": self.mean, "stddev": self.stddev}


class TruncatedNormal(RandomNormal):
    """Normal distribution; values more than two standard deviations from the mean are drawn again.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.initializers import TruncatedNormal
    >>> bool(np.abs(TruncatedNormal(stddev=0.5, seed=0)((1000,))).max() <= 1.0)
    True
    """

    def __call__(self, shape: Shape, dtype: npt.DTypeLike | None = None) -> Array:
        values = self.mean + self.stddev * standard_truncated_normal(generator(self.seed), as_shape(shape))
        return values.astype(dtype or np.float32)


class RandomUniform(RandomInitializer):
    """Uniform distribution from `minval` to `maxval`.

    Parameters
    ----------
    minval, maxval : float
    seed : int, SeedGenerator or None

    Examples
    --------
    >>> from lstmfast.initializers import RandomUniform
    >>> w = RandomUniform(0.0, 2.0, seed=0)((100,))
    >>> bool((w >= 0).all() and (w <= 2).all())
    True
    """

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: int | SeedGenerator | None = None
    ) -> None:
        self.minval = minval
        self.maxval = maxval
        super().__init__(seed)

    def __call__(self, shape: Shape, dtype: npt.DTypeLike | None = None) -> Array:
        return (
            generator(self.seed)
            .uniform(self.minval, self.maxval, as_shape(shape))
            .astype(dtype or np.float32)
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "minval": self.minval, "maxval": self.maxval}


class VarianceScaling(RandomInitializer):
    """Random values whose variance is `scale` over the number of inputs, outputs, or the mean of both.

    Parameters
    ----------
    scale : float
        Above 0.
    mode : {"fan_in", "fan_out", "fan_avg"}
    distribution : {"truncated_normal", "untruncated_normal", "uniform"}
        The uniform one spans ``sqrt(3 * scale / n)`` to both sides.
    seed : int, SeedGenerator or None
    input_axes, output_axes : sequence of int, optional
        Axes that count as inputs and outputs; without them the last two do.

    Raises
    ------
    ValueError
        If an argument is none of these.

    Examples
    --------
    >>> from lstmfast.initializers import VarianceScaling
    >>> w = VarianceScaling(scale=1.0, mode="fan_avg", distribution="uniform", seed=0)((30, 20))
    >>> w.shape, bool(abs(w).max() <= (3 / 25) ** 0.5)
    ((30, 20), True)
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | SeedGenerator | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        if scale <= 0.0:
            raise ValueError(f"Argument `scale` must be positive float. Received: scale={scale}")
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ValueError(f"Invalid `mode` argument: {mode}. Please use one of fan_in, fan_out, fan_avg")
        distribution = distribution.lower()
        if distribution == "normal":
            distribution = "truncated_normal"
        if distribution not in ("truncated_normal", "untruncated_normal", "uniform"):
            raise ValueError(
                f"Invalid `distribution` argument: {distribution}. Please use one of truncated_normal, "
                "untruncated_normal, uniform"
            )
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.input_axes = input_axes
        self.output_axes = output_axes
        super().__init__(seed)

    def __call__(self, shape: Shape, dtype: npt.DTypeLike | None = None) -> Array:
        shape = as_shape(shape)
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}[self.mode]
        scale = self.scale / max(1.0, fan)
        rng = generator(self.seed)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * scale)
            values = rng.uniform(-limit, limit, shape)
        elif self.distribution == "untruncated_normal":
            values = rng.normal(0.0, math.sqrt(scale), shape)
        else:  # the constant is the standard deviation of a unit normal cut off at +-2
            values = math.sqrt(scale) / 0.87962566103423978 * standard_truncated_normal(rng, shape)
        return values.astype(dtype or np.float32)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            "input_axes": self.input_axes,
            "output_axes": self.output_axes,
        }


class _Preset(VarianceScaling):
    """A `VarianceScaling` with everything but seed and axes fixed."""

    _preset: tuple[float, str, str]

    def __init__(
        self,
        seed: int | SeedGenerator | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(*self._preset, seed=seed, input_axes=input_axes, output_axes=output_axes)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {name: config[name] for name in ("seed", "input_axes", "output_axes")}


class GlorotUniform(_Preset):
    """Uniform within ``sqrt(6 / (fan_in + fan_out))`` (Glorot and Bengio 2010).

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.initializers import GlorotUniform
    >>> w = GlorotUniform(seed=0)((20, 30))
    >>> w.shape, w.dtype, bool(np.abs(w).max() <= (6 / 50) ** 0.5)
    ((20, 30), dtype('float32'), True)
    """

    _preset = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Preset):
    """Truncated normal, standard deviation ``sqrt(2 / (fan_in + fan_out))`` (Glorot and Bengio 2010)."""

    _preset = (1.0, "fan_avg", "truncated_normal")


class LecunNormal(_Preset):
    """Truncated normal, standard deviation ``sqrt(1 / fan_in)`` (LeCun et al. 1998)."""

    _preset = (1.0, "fan_in", "truncated_normal")


class LecunUniform(_Preset):
    """Uniform within ``sqrt(3 / fan_in)`` (LeCun et al. 1998)."""

    _preset = (1.0, "fan_in", "uniform")


class HeNormal(_Preset):
    """Truncated normal, standard deviation ``sqrt(2 / fan_in)`` (He et al. 2015)."""

    _preset = (2.0, "fan_in", "truncated_normal")


class HeUniform(_Preset):
    """Uniform within ``sqrt(6 / fan_in)`` (He et al. 2015)."""

    _preset = (2.0, "fan_in", "uniform")


class Orthogonal(RandomInitializer):
    """A random orthogonal matrix times `gain` (Saxe et al. 2014); more than two axes are flattened but the
    last.

    Parameters
    ----------
    gain : float
    seed : int, SeedGenerator or None

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.initializers import Orthogonal
    >>> u = Orthogonal(seed=1)((4, 4))
    >>> bool(np.allclose(u @ u.T, np.eye(4), atol=1e-6))
    True
    """

    def __init__(self, gain: float = 1.0, seed: int | SeedGenerator | None = None) -> None:
        self.gain = gain
        super().__init__(seed)

    def __call__(self, shape: Shape, dtype: npt.DTypeLike | None = None) -> Array:
        shape = as_shape(shape)
        if len(shape) < 2:
            raise ValueError(
                f"The tensor to initialize must be at least two-dimensional. Received: shape={shape} of rank "
                f"{len(shape)}."
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        draws = generator(self.seed)
        # Q with a positive diagonal of R: any other signs would not be uniform over the orthogonal matrices.
        q = draws.normal(size=(max(rows, columns), min(rows, columns)))
        while not _core.orthonormalize(q):  # columns that nearly depend on each other; never seen
            q = draws.normal(size=q.shape)
        return (self.gain * (q.T if rows < columns else q)).reshape(shape).astype(dtype or np.float32)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gain": self.gain}


def compute_fans(
    shape: Shape, input_axes: Sequence[int] | None = None, output_axes: Sequence[int] | None = None
) -> tuple[int, int]:
    """How many inputs each output has and outputs each input, for weights of a shape.

    Examples
    --------
    >>> from lstmfast.initializers import compute_fans
    >>> compute_fans((3, 5)), compute_fans((2, 3, 5)), compute_fans((7,))
    ((3, 5), (6, 10), (7, 7))
    """
    if input_axes is not None and output_axes is not None:
        return math.prod(shape[a] for a in input_axes), math.prod(shape[a] for a in output_axes)
    if len(shape) < 2:
        return (int(shape[0]),) * 2 if shape else (1, 1)
    field = math.prod(shape[:-2])
    return int(shape[-2] * field), int(shape[-1] * field)
