# SPDX-License-Identifier: BSD-3-Clause
"""Random numbers in a graph: what the functions of `lstmfast.random` are while a `call` is traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .operation import operation

__all__ = ["random_numbers"]

Array = npt.NDArray[Any]


def _shape(like: Any, draw: Any, shape: tuple[int | None, ...], dtype: str) -> tuple[int | None, ...]:
    return shape


@operation(
    "RandomNumbers",
    home="random",
    config="draw shape dtype",
    shape=_shape,
    dtype=lambda like, draw, shape, dtype: dtype,
    exact=True,
)
def random_numbers(
    like: Any, draw: Callable[..., Array], shape: tuple[int | None, ...], dtype: str = "float32"
) -> Any:
    """What ``draw(shape)`` gives, anew in each pass; open sizes of `shape` are those of `like` at the same place."""
    return np.asarray(draw(tuple(like.shape[i] if n is None else n for i, n in enumerate(shape))))
