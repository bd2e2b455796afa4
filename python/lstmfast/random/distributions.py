# SPDX-License-Identifier: BSD-3-Clause
"""Draws from distributions: arrays, and operations of a graph while a `call` is traced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..symbolic import KerasTensor, traced_inputs
from .seeds import SeedGenerator, check_seed, generator

__all__ = [
    "beta",
    "binomial",
    "categorical",
    "dropout",
    "gamma",
    "normal",
    "randint",
    "shuffle",
    "standard_truncated_normal",
    "truncated_normal",
    "uniform",
]

Array = npt.NDArray[Any]
Seed = int | SeedGenerator | None


def normal(
    shape: Sequence[int], mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Seed = None
) -> Any:
    """Numbers of a normal distribution.

    Parameters
    ----------
    shape : sequence of int
        In a traced `call` sizes may be open, as `ops.shape` gives them.
    mean, stddev : float or array_like
        Arrays that broadcast to `shape`.
    dtype : str, optional
        A type of floating-point numbers, ``"float32"`` by default.
    seed : int, SeedGenerator or None
        A number gives the same values at each call; None the global generator, see `utils.set_random_seed`.

    Raises
    ------
    ValueError
        If a size, the dtype or the seed does not fit.

    Examples
    --------
    >>> from lstmfast import random
    >>> x = random.normal((1000, 2), mean=3.0, seed=1)
    >>> x.shape, x.dtype.name, round(float(x.mean()), 1)
    ((1000, 2), 'float32', 3.0)
    """
    return _drawn(_normal, shape, _floats(dtype, "normal"), seed, mean=mean, stddev=stddev)


def truncated_normal(
    shape: Sequence[int], mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Seed = None
) -> Any:
    """Numbers of a normal distribution; those beyond two standard deviations are drawn again. Arguments as of `normal`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast import random
    >>> bool(np.abs(random.truncated_normal((1000,), seed=1)).max() <= 2)
    True
    """
    return _drawn(_truncated, shape, _floats(dtype, "truncated_normal"), seed, mean=mean, stddev=stddev)


def uniform(
    shape: Sequence[int], minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = None, seed: Seed = None
) -> Any:
    """Numbers from `minval` to below `maxval`, each as probable. Other arguments as of `normal`.

    Examples
    --------
    >>> from lstmfast import random
    >>> x = random.uniform((100,), -1.0, 1.0, seed=1)
    >>> bool((x >= -1).all() and (x < 1).all())
    True
    """
    return _drawn(_uniform, shape, _floats(dtype, "uniform"), seed, minval=minval, maxval=maxval)


def randint(shape: Sequence[int], minval: Any, maxval: Any, dtype: Any = "int32", seed: Seed = None) -> Any:
    """Integers from `minval` to below `maxval`, each as probable; `dtype` a type of integers. Other arguments as of `normal`.

    Examples
    --------
    >>> from lstmfast import random
    >>> sorted(set(random.randint((100,), 2, 5, seed=1).tolist()))
    [2, 3, 4]
    """
    kind = _integers(dtype, "randint")
    return _drawn(_randint, shape, kind, seed, minval=minval, maxval=maxval)


def gamma(shape: Sequence[int], alpha: Any, dtype: Any = None, seed: Seed = None) -> Any:
    """Numbers of a gamma distribution of shape `alpha` and scale 1. Other arguments as of `normal`.

    Examples
    --------
    >>> from lstmfast import random
    >>> round(float(random.gamma((10_000,), 2.0, seed=1).mean()))
    2
    """
    return _drawn(_gamma, shape, _floats(dtype, "gamma"), seed, alpha=alpha)


def beta(shape: Sequence[int], alpha: Any, beta: Any, dtype: Any = None, seed: Seed = None) -> Any:
    """Numbers of a beta distribution, from 0 to 1. Other arguments as of `normal`.

    Examples
    --------
    >>> from lstmfast import random
    >>> round(float(random.beta((10_000,), 2.0, 2.0, seed=1).mean()), 1)
    0.5
    """
    return _drawn(_beta, shape, _floats(dtype, "beta"), seed, alpha=alpha, beta=beta)


def binomial(
    shape: Sequence[int], counts: Any, probabilities: Any, dtype: Any = None, seed: Seed = None
) -> Any:
    """How many of `counts` trials succeed, each with the given probability. Other arguments as of `normal`.

    Examples
    --------
    >>> from lstmfast import random
    >>> random.binomial((3,), counts=[0, 5, 5], probabilities=[0.5, 0.0, 1.0], seed=1)
    array([0., 0., 5.], dtype=float32)
    """
    kind = _floats(dtype, "binomial")
    return _drawn(_binomial, shape, kind, seed, counts=counts, probabilities=probabilities)


def categorical(logits: Any, num_samples: int, dtype: Any = "int32", seed: Seed = None) -> Any:
    """Classes drawn by their log-probabilities, which need not be normalized (by the Gumbel-max trick).

    Parameters
    ----------
    logits : (B, classes)
    num_samples : int
    dtype : str
        A type of integers.
    seed : int, SeedGenerator or None
        See `normal`.

    Returns
    -------
    (B, num_samples) array

    Raises
    ------
    ValueError
        If `logits` has not two axes, or the dtype or the seed does not fit.

    Examples
    --------
    >>> from lstmfast import random
    >>> random.categorical([[0.0, 90.0], [90.0, 0.0]], 3, seed=1)
    array([[1, 1, 1],
           [0, 0, 0]], dtype=int32)
    """
    logits = _tensor(logits)
    if len(logits.shape) != 2:
        raise ValueError(
            f"`logits` should be a 2-D tensor with shape [batch_size, num_classes]. Received: logits={logits}"
        )
    from .. import ops  # operations are layers, and layers draw numbers

    rows, classes = logits.shape
    noise = _drawn(_gumbel, (rows, num_samples, classes), "float32", seed, like=logits)
    drawn = ops.argmax(ops.expand_dims(logits, 1) + noise, axis=-1)
    return ops.cast(drawn, _integers(dtype, "categorical"))


def shuffle(x: Any, axis: int = 0, seed: Seed = None) -> Any:
    """`x` in another order along an axis, the same for all that stands there.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast import random
    >>> sorted(random.shuffle(np.arange(4), seed=1).tolist())
    [0, 1, 2, 3]
    """
    x = _tensor(x)
    from .. import ops

    order = _drawn(_permutation, (x.shape[axis],), "int32", seed, like=ops.moveaxis(x, axis, 0))
    return ops.take(x, order, axis=axis)


def dropout(
    inputs: Any, rate: float, noise_shape: Sequence[int | None] | None = None, seed: Seed = None
) -> Any:
    """Elements are zeroed with the probability `rate`, what stays is scaled by ``1 / (1 - rate)``.

    Parameters
    ----------
    inputs : array_like
    rate : float
        From 0 to below 1.
    noise_shape : sequence of int or None, optional
        Shape of the mask, which broadcasts to `inputs`; None stands for the size there.
    seed : int, SeedGenerator or None
        See `normal`.

    Raises
    ------
    ValueError
        If `rate` or `noise_shape` does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast import random
    >>> sorted(set(random.dropout(np.ones(100, "float32"), 0.5, seed=1).tolist()))
    [0.0, 2.0]
    """
    if not 0 <= rate < 1:
        raise ValueError(f"rate must be from 0 to below 1. Received: rate={rate}")
    inputs = _tensor(inputs)
    shape = tuple(inputs.shape) if noise_shape is None else tuple(noise_shape)
    if len(shape) != len(inputs.shape):
        raise ValueError(
            f"noise_shape must have {len(inputs.shape)} sizes. Received: noise_shape={noise_shape}"
        )
    shape = tuple(full if size is None else size for size, full in zip(shape, inputs.shape, strict=True))
    return inputs * _drawn(_kept, shape, "float32", seed, like=inputs, rate=rate)


# --- values


def _normal(rng: np.random.Generator, shape: tuple[int, ...], mean: Any, stddev: Any) -> Array:
    return np.asarray(mean + stddev * rng.standard_normal(shape))


def _truncated(rng: np.random.Generator, shape: tuple[int, ...], mean: Any, stddev: Any) -> Array:
    return np.asarray(mean + stddev * standard_truncated_normal(rng, shape))


def standard_truncated_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Numbers of a normal distribution of mean 0 and standard deviation 1, none of them beyond 2."""
    values = rng.standard_normal(shape)
    flat = values.reshape(-1)
    outside = np.flatnonzero(np.abs(flat) > 2.0)
    while outside.size:
        flat[outside] = rng.standard_normal(outside.size)
        outside = outside[np.abs(flat[outside]) > 2.0]
    return values


def _uniform(rng: np.random.Generator, shape: tuple[int, ...], minval: Any, maxval: Any) -> Array:
    # float32 from the start: a float64 below `maxval` may round up to it.
    below = rng.random(shape, np.float32)
    return np.asarray(np.float32(minval) + below * (np.float32(maxval) - np.float32(minval)))


def _randint(rng: np.random.Generator, shape: tuple[int, ...], minval: Any, maxval: Any) -> Array:
    return np.asarray(rng.integers(minval, maxval, shape))


def _gamma(rng: np.random.Generator, shape: tuple[int, ...], alpha: Any) -> Array:
    return np.asarray(rng.standard_gamma(alpha, shape))


def _beta(rng: np.random.Generator, shape: tuple[int, ...], alpha: Any, beta: Any) -> Array:
    return np.asarray(rng.beta(alpha, beta, shape))


def _binomial(rng: np.random.Generator, shape: tuple[int, ...], counts: Any, probabilities: Any) -> Array:
    return np.asarray(rng.binomial(np.asarray(counts, np.int64), probabilities, shape))


def _gumbel(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.gumbel(size=shape)


def _permutation(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.permutation(shape[0])


def _kept(rng: np.random.Generator, shape: tuple[int, ...], rate: float) -> Array:
    return np.asarray((rng.random(shape, np.float32) >= np.float32(rate)) / np.float32(1 - rate))


# --- arguments


def _drawn(
    draw: Callable[..., Array], shape: Any, dtype: str, seed: Seed, like: Any = None, **parameters: Any
) -> Any:
    """An array; while a `call` is traced a symbolic tensor, the operation of which draws at every pass.

    Parameters
    ----------
    like : optional
        What the open sizes of `shape` are the sizes of; one of the inputs of the `call` if not given.
    """
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    for name, value in parameters.items():
        if isinstance(value, KerasTensor):
            raise TypeError(f"{name} must be a number or an array, got the symbolic tensor {value.name!r}")
    seed = check_seed(seed)
    values = partial(_values, draw=draw, dtype=dtype, seed=seed, parameters=parameters)
    carriers = (like,) if isinstance(like, KerasTensor) else traced_inputs.get() if like is None else ()
    if not carriers:
        return values(_closed(shape))
    from ..ops.drawing import random_numbers

    for carrier in carriers:
        sizes = carrier.shape
        if all(n is not None or (i < len(sizes) and sizes[i] is None) for i, n in enumerate(shape)):
            return random_numbers(carrier, draw=values, shape=shape, dtype=dtype)
    raise ValueError(f"shape has open sizes that no input of the `call` has at the same place: {shape}")


def _values(
    shape: tuple[int, ...], draw: Callable[..., Array], dtype: str, seed: Seed, parameters: dict[str, Any]
) -> Array:
    """One draw. Of a module, not of a call: models with such operations can be pickled."""
    return np.asarray(draw(generator(seed), shape, **parameters)).astype(dtype, copy=False)


def _closed(shape: tuple[Any, ...]) -> tuple[int, ...]:
    if not all(isinstance(n, (int, np.integer)) and n >= 0 for n in shape):
        raise ValueError(f"shape must be made of sizes, none of them negative. Received: shape={shape}")
    return shape


def _tensor(value: Any) -> Any:
    from ..ops.rules import as_array

    return value if isinstance(value, KerasTensor) else as_array(value)


def _floats(dtype: Any, name: str) -> str:
    kind = np.dtype("float32" if dtype is None else dtype)
    if kind.kind != "f":
        raise ValueError(f"`random.{name}` requires a floating point `dtype`. Received: dtype={dtype}")
    return kind.name


def _integers(dtype: Any, name: str) -> str:
    kind = np.dtype("int32" if dtype is None else dtype)
    if kind.kind not in "iu":
        raise ValueError(f"`random.{name}` requires an integer `dtype`. Received: dtype={dtype}")
    return kind.name
