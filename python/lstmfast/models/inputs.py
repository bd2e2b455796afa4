# SPDX-License-Identifier: BSD-3-Clause
"""A model's input from the caller: arrays, lists or dicts of arrays, checked against the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..layers.arrays import as_float32
from ..symbolic import KerasTensor

if TYPE_CHECKING:
    from .model import Model

Array = npt.NDArray[Any]
_FLOAT32 = np.dtype(np.float32)


def standardize(model: Model, x: Any) -> list[Array]:
    """Arrays for the model's inputs in their order: float32, or integers for layers that take ids.

    Raises
    ------
    ValueError
        If inputs are missing or unknown, a rank or last axis differs, or an array is empty.
    TypeError
        If an array is not numeric.
    """
    executor = model.executor
    tensors, integers = executor.graph.inputs, executor.integer_inputs
    given = distribute(x, tensors, "x")
    if len(given) == 1:  # the common case, quickly
        a = given[0]
        if (
            isinstance(a, np.ndarray)
            and a.dtype == _FLOAT32
            and not integers[0]
            and a.flags.c_contiguous
            and a.ndim == len(tensors[0].shape)
            and a.size
            and tensors[0].shape[-1] in (None, a.shape[-1])
        ):
            return given
    arrays = [_array(a, t, i) for a, t, i in zip(given, tensors, integers, strict=True)]
    sizes = {len(a) for a in arrays}
    if len(sizes) > 1:
        raise ValueError(f"all inputs must have the same number of samples, got {[len(a) for a in arrays]}")
    return arrays


def distribute(x: Any, tensors: list[KerasTensor], what: str) -> list[Any]:
    """Values for the inputs, in order, from one array, a list, or a dict by names."""
    if isinstance(x, dict):
        names = [t.origin.layer.name for t in tensors]
        missing, unknown = [n for n in names if n not in x], [str(k) for k in x if k not in names]
        if missing or unknown:
            raise ValueError(
                f"{what} is a dict with keys {list(x)}, expected {names}: missing {missing}, unknown "
                f"{unknown}"
            )
        return [x[n] for n in names]
    if isinstance(x, (list, tuple)) and (len(tensors) > 1 or _holds_arrays(x, len(tensors[0].shape))):
        if len(x) != len(tensors):
            raise ValueError(f"{what} has {len(x)} arrays, the model has {len(tensors)} inputs")
        return list(x)
    if len(tensors) != 1:
        raise ValueError(f"{what} must be a list or dict of {len(tensors)} arrays, got {type(x).__name__}")
    return [x]


def _holds_arrays(x: Any, rank: int) -> bool:
    """Whether a list is one of whole inputs, rather than of samples or numbers."""
    return bool(x) and all(hasattr(a, "shape") and len(a.shape) == rank for a in x)


def _array(value: Any, tensor: KerasTensor, integers: bool) -> Array:
    name = tensor.origin.layer.name
    what = f"input {name!r}"
    array: Array
    if integers:
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{what} must be numeric, got dtype {array.dtype}")
        if not array.flags.c_contiguous:
            array = np.ascontiguousarray(array)
    else:
        array = as_float32(value, what)
    shape = tensor.shape
    if array.ndim == len(shape) - 1 and shape[-1] == 1:  # as Keras does
        array = array[..., None]
    elif array.ndim == len(shape) + 1 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != len(shape) or (
        array.ndim > 1 and shape[-1] not in (None, array.shape[-1]) and not integers
    ):
        raise ValueError(f"{what} must have shape {shape}, got {array.shape}")
    if array.size == 0:
        raise ValueError(f"{what} must not be empty, got an array of shape {array.shape}")
    return array
