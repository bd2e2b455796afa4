# SPDX-License-Identifier: BSD-3-Clause
"""Random numbers: one generator that everything without a seed of its own draws from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = [
    "SeedGenerator",
    "check_seed",
    "draw_key",
    "generator",
    "global_generator",
    "make_default_seed",
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
    import random as python_random

    seed = int(seed)
    python_random.seed(seed)
    np.random.seed(seed)
    _global = np.random.default_rng(seed)


def draw_key(rng: np.random.Generator) -> int:
    """64 random bits: the key from which the kernels make a mask, as often as it is needed (Philox, Salmon et al. 2011)."""
    return int(rng.integers(0, 2**64, dtype=np.uint64))


def make_default_seed() -> int:
    """A seed drawn from the global generator."""
    return int(global_generator().integers(1, 1_000_000_000))


class SeedGenerator:
    """A source of random numbers with its own state: every use gives new ones (Keras's
    `random.SeedGenerator`).

    Parameters
    ----------
    seed : int, optional
        Where it starts; drawn from the global generator if not given.
    name : str, optional

    Examples
    --------
    >>> from lstmfast.random import SeedGenerator
    >>> a, b = SeedGenerator(1), SeedGenerator(1)
    >>> bool(a.generator.random() == b.generator.random())
    True
    """

    def __init__(self, seed: int | None = None, name: str | None = None) -> None:
        from .utils.naming import unique_name  # utils imports this module

        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, (int, np.integer))):
            raise ValueError(f"Argument `seed` must be an integer. Received: seed={seed!r}")
        self.name = name or unique_name(type(self).__name__)
        self._initial_seed = None if seed is None else int(seed)
        self.generator = generator(make_default_seed() if seed is None else int(seed))

    def next(self, ordered: bool = True) -> np.ndarray[Any, np.dtype[np.uint32]]:
        """Two random numbers to seed another generator with, new ones with each call; they always come in order."""
        return self.generator.integers(0, 2**32, 2, np.uint32)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self._initial_seed, "name": self.name}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> SeedGenerator:
        return cls(**config)


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
    """The NumPy generator for a seed: the global one for None, a `SeedGenerator`'s own, a fresh one for a
    number."""
    if seed is None:
        return global_generator()
    if isinstance(seed, SeedGenerator):
        return seed.generator
    return np.random.default_rng(seed & (2**64 - 1))  # negative seeds are accepted, as Keras does
