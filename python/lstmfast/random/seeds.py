# SPDX-License-Identifier: BSD-3-Clause
"""Seeds: one generator that everything without a seed of its own draws from, and generators with a state."""

from __future__ import annotations

import random as python_random
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..variables import Variable

__all__ = [
    "SeedGenerator",
    "check_seed",
    "draw_key",
    "generator",
    "global_generator",
    "make_default_seed",
    "numpy_generator",
    "seed_generator",
    "set_random_seed",
]

_global: np.random.Generator | None = None  # made when first asked for: importing numpy.random takes 10 ms


def global_generator() -> np.random.Generator:
    """The generator behind shuffling, dropout and initializers that were given no seed."""
    global _global
    if _global is None:
        _global = np.random.default_rng()
    return _global


def set_random_seed(seed: int) -> None:
    """Seed Python's `random`, NumPy's global generator and lstmfast's own: what follows is reproducible.

    Parameters
    ----------
    seed : int
        From 0 to 2**32 - 1.

    Raises
    ------
    ValueError
        If `seed` is not such an integer.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast import initializers
    >>> from lstmfast.utils import set_random_seed
    >>> set_random_seed(7)
    >>> first = initializers.GlorotUniform()((2, 3))
    >>> set_random_seed(7)
    >>> np.array_equal(first, initializers.GlorotUniform()((2, 3)))
    True
    """
    global _global
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**32:
        raise ValueError(
            f"Expected `seed` argument to be an integer from 0 to 2**32 - 1. Received: seed={seed!r}"
        )
    seed = int(seed)
    python_random.seed(seed)
    np.random.seed(seed)
    _global = np.random.default_rng(seed)


def draw_key(source: np.random.Generator | SeedGenerator) -> int:
    """64 bits: the key from which the kernels make a mask, as often as it is needed (Philox, Salmon et al. 2011)."""
    if isinstance(source, SeedGenerator):
        return source.key()
    return int(source.integers(0, 2**64, dtype=np.uint64))


def make_default_seed() -> int:
    """A seed drawn from the global generator."""
    return int(global_generator().integers(1, 1_000_000_000))


#: Two threads must not get the same number of one generator.
_lock = threading.Lock()


class SeedGenerator:
    """A source of random numbers with its own state, a seed and a count of its uses (Keras's `random.SeedGenerator`).

    What is drawn is a function of these two: they are the key of the counter-based generator Philox (Salmon et al. 2011). As an
    attribute of a layer its `state` is among the layer's `variables`, and model files keep it.

    Parameters
    ----------
    seed : int, optional
        Where it starts; drawn from Python's `random` if not given, as in Keras. Of larger numbers the last 32 bits count.
    name : str, optional

    Attributes
    ----------
    state : Variable
        uint32, shape (2,): the seed and how often `next` was called.

    Raises
    ------
    ValueError
        If `seed` is no integer.

    Examples
    --------
    >>> from lstmfast.random import SeedGenerator
    >>> seeds = SeedGenerator(7)
    >>> seeds.next(), seeds.next()
    (array([7, 0], dtype=uint32), array([7, 1], dtype=uint32))
    >>> seeds.state.numpy()
    array([7, 2], dtype=uint32)
    """

    def __init__(self, seed: int | None = None, name: str | None = None, **kwargs: Any) -> None:
        from ..utils.naming import unique_name  # utils imports this module

        if kwargs.pop("backend", None) is not None or kwargs:
            raise ValueError(f"Unrecognized keyword arguments: {kwargs or 'backend'}")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, (int, np.integer))):
            raise ValueError(f"Argument `seed` must be an integer. Received: seed={seed!r}")
        self.name = name or unique_name(type(self).__name__)
        self._initial_seed = None if seed is None else int(seed)
        start = python_random.randint(1, 1_000_000_000) if seed is None else int(seed)
        state = np.array([start & 0xFFFFFFFF, 0], np.uint32)
        self.state = Variable(state, name="seed_generator_state", trainable=False)
        self.state.path = f"{self.name}/{self.state.name}"

    def next(self, ordered: bool = True) -> np.ndarray[Any, np.dtype[np.uint32]]:
        """The state as it was, two numbers to seed another generator with; then the state is another one.

        Parameters
        ----------
        ordered : bool
            Whether the second number counts; else both jump about between 0 and 933199, as in Keras.
        """
        with _lock:
            data = self.state._data
            now = data.copy()
            if ordered:
                data[1] = (int(data[1]) + 1) & 0xFFFFFFFF
            else:
                data[:] = (now.astype(np.uint64) + 1) * 5387 % 933199
            self.state.touch()
        return now

    def key(self) -> int:
        """`next` as one number of 64 bits."""
        seed, count = self.next().tolist()
        return int(seed | count << 32)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self._initial_seed, "name": self.name}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> SeedGenerator:
        return cls(**config)


def seed_generator(seed: Any) -> SeedGenerator:
    """The `SeedGenerator` of a layer's argument `seed`; a ValueError if it is none that `check_seed` takes."""
    checked = check_seed(seed)
    return checked if isinstance(checked, SeedGenerator) else SeedGenerator(checked)


def numpy_generator(source: np.random.Generator | SeedGenerator) -> np.random.Generator:
    """A NumPy generator: the source itself, or a fresh one for the source's next state."""
    if isinstance(source, SeedGenerator):
        return np.random.Generator(np.random.Philox(key=source.key()))
    return source


def check_seed(seed: Any) -> int | SeedGenerator | None:
    """`seed` if it is None, an integer or a `SeedGenerator`, else a ValueError; a config of the latter is
    read."""
    if seed is None or isinstance(seed, SeedGenerator):
        return seed
    if isinstance(seed, Mapping):
        config = seed.get("config", seed)
        if isinstance(config, Mapping) and set(config) <= {"seed", "name"}:
            return SeedGenerator.from_config(config)
    elif isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
        return int(seed)
    raise ValueError(
        "`seed` argument should be an instance of `lstmfast.random.SeedGenerator` or an integer. Received: "
        f"seed={seed!r}"
    )


def generator(seed: int | SeedGenerator | None) -> np.random.Generator:
    """The NumPy generator for a seed: the global one for None, else a fresh one, for a `SeedGenerator`'s next state or a
    number."""
    if seed is None:
        return global_generator()
    if isinstance(seed, SeedGenerator):
        return numpy_generator(seed)
    return np.random.default_rng(seed & (2**64 - 1))  # negative seeds are accepted, as Keras does
