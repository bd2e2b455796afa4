# SPDX-License-Identifier: BSD-3-Clause
"""Random numbers, with Keras 3's functions; the numbers are NumPy's (Philox and PCG64), not those of a Keras backend.

In a `call` that is traced, a layer's or a model's, a draw is an operation of the graph: every pass through it has new numbers.
"""

from .distributions import (
    beta,
    binomial,
    categorical,
    dropout,
    gamma,
    normal,
    randint,
    shuffle,
    truncated_normal,
    uniform,
)
from .seeds import (
    SeedGenerator,
    check_seed,
    draw_key,
    generator,
    global_generator,
    make_default_seed,
    numpy_generator,
    seed_generator,
    set_random_seed,
)

__all__ = [
    "SeedGenerator",
    "beta",
    "binomial",
    "categorical",
    "check_seed",
    "draw_key",
    "dropout",
    "gamma",
    "generator",
    "global_generator",
    "make_default_seed",
    "normal",
    "numpy_generator",
    "randint",
    "seed_generator",
    "set_random_seed",
    "shuffle",
    "truncated_normal",
    "uniform",
]
