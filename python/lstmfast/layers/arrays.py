# SPDX-License-Identifier: BSD-3-Clause
"""Arrays on their way into a layer: conversion, masks, lengths, with errors that name the argument."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


_PAD = "sequences of different lengths must be made equally long first, by utils.pad_sequences"


def as_numeric(value: Any, what: str) -> Array:
    """`value` as an array of real numbers of any type; a ValueError or TypeError naming `what` if it is none."""
    try:
        array = np.asarray(value)
    except ValueError as error:  # ragged lists
        raise ValueError(f"{what} must be an array: {_PAD} ({error})") from None
    if array.dtype.kind not in "fiub":
        ragged = array.dtype == object and array.ndim == 1 and all(hasattr(row, "__len__") for row in array)
        raise TypeError(f"{what} must be numeric, got dtype {array.dtype}" + (f": {_PAD}" if ragged else ""))
    return array


def as_float32(value: Any, what: str) -> Array:
    """`value` as a C-contiguous float32 array; TypeError naming `what` if it is not made of real numbers."""
    array = as_numeric(value, what)
    return np.ascontiguousarray(array, np.float32) if array.ndim else array.astype(np.float32)


def checked_mask(mask: Any, x: Any) -> Any:
    """A mask as (B, T) bool, or None; ValueError if it does not fit the input."""
    if mask is None:
        return None
    if isinstance(x, (list, tuple)):
        if not isinstance(mask, (list, tuple)) or len(mask) != len(x):
            raise ValueError(f"mask must be a list of {len(x)} masks, one for each input")
        return [checked_mask(m, a) for m, a in zip(mask, x, strict=True)]
    return _checked_flags(mask, "mask", x)


def checked_resets(resets: Any, x: Any) -> Array | None:
    """Resets as (B, T) bool, or None; ValueError if they do not fit the input."""
    return None if resets is None else _checked_flags(resets, "resets", x)


def _checked_flags(flags: Any, what: str, x: Array) -> Array:
    array = np.asarray(flags)
    if array.dtype.kind not in "biu" and not (array.dtype.kind == "f" and np.isin(array, (0, 1)).all()):
        raise TypeError(f"{what} must be boolean, got dtype {array.dtype}")
    if array.shape != x.shape[:2]:
        raise ValueError(f"{what} must have shape {x.shape[:2]} (batch, time), got {array.shape}")
    return np.ascontiguousarray(array, np.bool_)


def checked_lengths(lengths: Any, x: Any) -> Array | None:
    """Lengths as (B,) int32, or None; ValueError if they do not fit the input."""
    if lengths is None:
        return None
    if isinstance(x, (list, tuple)):
        x = x[0]
    array = np.asarray(lengths)
    if array.dtype.kind not in "iu":
        raise TypeError(f"lengths must be integers, got dtype {array.dtype}")
    if array.shape != x.shape[:1]:
        raise ValueError(f"lengths must have shape {x.shape[:1]} (batch,), got {array.shape}")
    if x.ndim >= 2 and array.size and (array.min() < 0 or array.max() > x.shape[1]):
        raise ValueError(
            f"lengths must be between 0 and the {x.shape[1]} time steps of the input, got values from "
            f"{array.min()} to {array.max()}"
        )
    return np.ascontiguousarray(array, np.int32)


def shapes_of(x: Any) -> Any:
    if x is None:
        return None
    if isinstance(x, dict):
        return {key: shapes_of(a) for key, a in x.items()}
    return [shapes_of(a) for a in x] if isinstance(x, (list, tuple)) else x.shape


def within_lengths(lengths: Array, time: int) -> Array:
    """(B, T) bool: the steps before each row's end."""
    return np.arange(time, dtype=np.int32) < lengths[:, None]


def clear_padding(x: Array, lengths: Array | None) -> Array:
    """`x` (B, T, ...) with 0 behind each row's end, whatever stood there (NaN too); `x` itself without lengths."""
    if lengths is None:
        return x
    inside = within_lengths(lengths, x.shape[1])
    return np.where(inside.reshape(inside.shape + (1,) * (x.ndim - 2)), x, np.float32(0))
