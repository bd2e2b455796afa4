# SPDX-License-Identifier: BSD-3-Clause
"""Functions that make arrays, or tell about them: none of a graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..symbolic import KerasTensor
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


def zeros(shape: Any, dtype: Any = None) -> Array:
    """An array of 0, float32 by default."""
    return np.zeros(shape, _dtype(dtype))


def ones(shape: Any, dtype: Any = None) -> Array:
    """An array of 1, float32 by default."""
    return np.ones(shape, _dtype(dtype))


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Array:
    """An array of one number, float32 by default."""
    return np.full(shape, fill_value, _dtype(dtype))


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
