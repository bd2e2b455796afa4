# SPDX-License-Identifier: BSD-3-Clause
"""Functions that make arrays, or tell about them: none of a graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..symbolic import KerasTensor, traced_inputs
from .operation import operation
from .rules import as_array, dtype_name, settled, shape_of

Array = npt.NDArray[Any]


def _dtype(dtype: Any) -> np.dtype[Any]:
    return np.dtype("float32" if dtype is None else dtype)


def shape(x: Any) -> tuple[int | None, ...]:
    """The sizes of the axes; None where that of a symbolic tensor is open."""
    return tuple(x.shape) if isinstance(x, KerasTensor) else tuple(np.shape(x))


def ndim(x: Any) -> int:
    """The number of axes."""
    return len(shape(x))


def dtype(x: Any) -> str:
    """The name of the dtype."""
    return x.dtype if isinstance(x, KerasTensor) else np.asarray(as_array(x)).dtype.name


def is_tensor(x: Any) -> bool:
    """Whether it is an array or a symbolic tensor."""
    return isinstance(x, (np.ndarray, KerasTensor))


def convert_to_numpy(x: Any) -> Array:
    """The array, as it is."""
    if isinstance(x, KerasTensor):
        raise ValueError(f"convert_to_numpy: {x} is symbolic and has no values; call a Model with arrays")
    return np.asarray(x)


def convert_to_tensor(x: Any, dtype: Any = None, sparse: Any = None, ragged: Any = None) -> Any:
    """An array: float32 of floats, int32 of integers that have no dtype yet; symbolic tensors as they are."""
    if sparse or ragged:
        raise ValueError("sparse and ragged tensors are not supported")
    if isinstance(x, KerasTensor):
        return x
    array = settled(as_array(x), [x]) if not isinstance(x, (np.ndarray, np.generic)) else np.asarray(x)
    return array if dtype is None else array.astype(np.dtype(dtype))


def array(x: Any, dtype: Any = None) -> Any:
    """As `convert_to_tensor`."""
    return convert_to_tensor(x, dtype)


def zeros(shape: Any, dtype: Any = None) -> Any:
    """An array of 0, float32 by default; symbolic where the first size is None in the `call` of a model."""
    return full(shape, 0, dtype)


def ones(shape: Any, dtype: Any = None) -> Any:
    """An array of 1, float32 by default; symbolic where the first size is None in the `call` of a model."""
    return full(shape, 1, dtype)


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """An array of one number, float32 by default; symbolic where the first size is None in the `call` of a model."""
    if isinstance(shape, (list, tuple)) and None in shape:
        return _full_for_batch(tuple(shape), fill_value, _dtype(dtype).name)
    return np.full(shape, fill_value, _dtype(dtype))


def _full_for_batch(shape: tuple[Any, ...], fill_value: Any, dtype: str) -> Any:
    """A symbolic tensor as long as the batch, which an input of the `call` that is being traced has."""
    from . import repeat, reshape  # operations that are made of functions here

    inputs = traced_inputs.get()
    if not inputs or None in shape[1:]:
        raise ValueError(
            "shape must be made of integers; only its first size may be None, for the number of samples, in the `call` "
            f"of a model. Received: shape={shape}"
        )
    one = full_like(inputs[0][(slice(None), *(0 for _ in inputs[0].shape[1:]))], fill_value, dtype=dtype)
    one = reshape(one, (-1, *(1 for _ in shape[1:])))
    for axis, size in enumerate(shape[1:], 1):
        one = repeat(one, size, axis=axis)
    return one


@operation(
    "FullLike",
    config="dtype",
    shape=lambda x, *_, **__: shape_of(x),
    dtype=lambda x, fill_value, dtype: dtype_name(dtype, str(x.dtype)),
    exact=True,
)
def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Any:
    """One number in the shape of an array."""
    return np.full_like(x, fill_value, dtype=dtype)


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Array:
    """1 on a diagonal, 0 elsewhere."""
    return np.eye(N, M, k, _dtype(dtype))


def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Array:
    """Numbers with one distance; int32, or float32 if one of the arguments is no integer."""
    first, end = (0, start) if stop is None else (start, stop)
    make: Any = np.arange
    made = make(first, end, 1 if step is None else step, None if dtype is None else np.dtype(dtype))
    return made if dtype is not None else np.asarray(settled(made, []))


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """A number of values from one to another; float32 by default."""
    make: Any = np.linspace
    made = make(as_array(start), as_array(stop), num, endpoint, retstep, axis=axis)
    kind = _dtype(dtype)
    return (made[0].astype(kind), np.asarray(made[1], kind)) if retstep else made.astype(kind)
