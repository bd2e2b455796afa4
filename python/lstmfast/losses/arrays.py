# SPDX-License-Identifier: BSD-3-Clause
"""Targets, weights and masks as arrays, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "aligned", "as_rows", "numeric", "refuse_nan"]

Array = npt.NDArray[Any]


def as_rows(y: Array, p: Array, rows: int) -> tuple[Array, Array]:
    if p.ndim == 2:
        return y, p
    width = p.shape[-1]
    return y.reshape((rows, width) if y.ndim == p.ndim else rows), p.reshape(rows, width)


def numeric(values: Any, name: str) -> Array:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name}: expected numbers, got an array of {array.dtype}")
    return array


def refuse_nan(values: Any, name: str) -> None:
    array = np.asarray(values)
    if array.dtype.kind == "f":
        bad = np.isnan(array)
        if bad.any():
            first = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"{name}: expected numbers, got NaN in {int(bad.sum())} places, first at {first}"
            )


def aligned(weights: Array, shape: tuple[int, ...], name: str) -> Array:
    """`weights` with one entry for each value; missing axes are those behind."""
    given = weights.shape
    while weights.ndim > len(shape) and weights.shape[-1] == 1:
        weights = weights[..., 0]
    weights = weights.reshape(weights.shape + (1,) * (len(shape) - weights.ndim))
    try:
        return np.broadcast_to(weights, shape)
    except ValueError:
        raise ValueError(f"{name}: expected shape {shape} or the first axes of it, got {given}") from None
