# SPDX-License-Identifier: BSD-3-Clause
"""Shapes and dtypes of what operations give, from those of their arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..symbolic import KerasTensor, Shape

__all__ = [
    "as_array",
    "as_floats",
    "axes_of",
    "broadcast",
    "broadcast_shapes",
    "contiguous",
    "dtype_name",
    "evaluated",
    "flags_counted",
    "positive_axis",
    "promoted",
    "reduced",
    "same_shape",
    "settled",
    "shape_of",
    "sizes_of",
    "unbroadcast",
]

Array = npt.NDArray[Any]

#: Dtypes that no result has unless an argument has it; NumPy makes them of smaller ones.
_WIDE = {
    "float64": np.float32,
    "float16": np.float32,
    "int64": np.int32,
    "uint64": np.int32,
    "complex128": np.complex64,
}


# ---- dtypes


def as_array(value: Any, complex_too: bool = False) -> Any:
    """What a function computes with: arrays of array_likes; numbers, None and the insides of lists alike."""
    if value is None or (isinstance(value, (bool, int, float)) and not isinstance(value, np.generic)):
        return value
    if isinstance(value, (list, tuple)) and any(hasattr(item, "shape") for item in value):
        return [as_array(item, complex_too) for item in value]
    array = np.asarray(value)
    if array.dtype.kind not in ("fiubc" if complex_too else "fiub"):
        raise TypeError(f"operations take numbers, got dtype {array.dtype}")
    given = isinstance(value, (np.ndarray, np.generic)) or hasattr(value, "dtype")
    wide = None if given else _WIDE.get(array.dtype.name)  # of plain numbers, as Keras takes them
    return array if wide is None else array.astype(wide)


def as_floats(x: Any) -> Array:
    """Floating-point numbers: float32 for integers and flags; complex ones as they are."""
    array = np.asarray(x)
    return array if array.dtype.kind in "fc" and isinstance(x, np.ndarray) else array.astype(np.float32)


def settled(y: Any, given: Iterable[Any]) -> Any:
    """A result in Keras's dtype: no wider than the widest argument, and 32 bits where NumPy would take 64."""
    if isinstance(y, (list, tuple)):
        return [settled(part, given) for part in y]
    array = np.asarray(y)
    narrow = _WIDE.get(array.dtype.name)
    if narrow is None or any(dtype == array.dtype for dtype in _dtypes(given)):
        return array
    return array.astype(narrow)


def evaluated(function: Callable[..., Any], arrays: dict[str, Any], settings: dict[str, Any]) -> Any:
    """What a function makes of its arguments. A plain integer beside an array of integers is one of their dtype, as in Keras:
    what does not fit wraps around."""
    try:
        return function(**arrays, **settings)
    except OverflowError:
        dtypes = [a.dtype for a in arrays.values() if isinstance(a, np.ndarray)]
        if len(arrays) != 2 or len(dtypes) != 1 or dtypes[0].kind not in "iu":
            raise
        wrapped = {
            key: a if isinstance(a, np.ndarray) else np.asarray(a).astype(dtypes[0])
            for key, a in arrays.items()
        }
        return function(**wrapped, **settings)


def dtype_name(dtype: Any, default: str = "float32") -> str:
    """The name of a dtype that arrays of a graph may have."""
    name = str(np.dtype(default if dtype is None else dtype).name)
    if name in ("float64", "float16"):
        raise ValueError(f"dtype={name!r} is not supported in a graph: lstmfast computes in float32")
    if np.dtype(name).kind not in "fiub":
        raise ValueError(f"dtype={name!r} is not one of numbers")
    return name


def flags_counted(dtype: Any) -> str:
    """int32 for flags, else the dtype itself."""
    name = str(np.dtype(dtype).name)
    return "int32" if name == "bool" else name


def _dtypes(given: Iterable[Any]) -> Iterable[Any]:
    for value in given:
        if isinstance(value, list):
            yield from _dtypes(value)
        elif isinstance(value, np.ndarray):
            yield value.dtype


def promoted(given: Iterable[Any]) -> str:
    """The dtype of a symbolic result: that of the arguments, float32 if any is a floating-point number."""
    kinds, dtypes = set(), []
    for value in _flat(given):
        if isinstance(value, (bool, int, float)):
            kinds.add("f" if isinstance(value, float) else "b" if isinstance(value, bool) else "i")
        elif hasattr(value, "dtype"):
            dtype = np.dtype(value.dtype)
            kinds.add(dtype.kind)
            dtypes += [dtype] if dtype.kind in "iu" else []
    if "f" in kinds:
        return "float32"
    if dtypes:
        return str(np.result_type(*dtypes).name)
    return "int32" if "i" in kinds else "bool"


def _flat(given: Iterable[Any]) -> Iterable[Any]:
    for value in given:
        if isinstance(value, (list, tuple)):
            yield from _flat(value)
        else:
            yield value


# ---- shapes


def shape_of(value: Any) -> Shape:
    """Of a tensor, an array or a number."""
    return tuple(value.shape) if isinstance(value, KerasTensor) else tuple(np.shape(value))


def broadcast(*given: Any, **_: Any) -> Shape:
    """The shape of what is computed element by element."""
    shape: Shape = ()
    for value in given:
        if value is not None:
            shape = broadcast_shapes(shape, shape_of(value))
    return shape


def broadcast_shapes(a: Shape, b: Shape) -> Shape:
    """As NumPy broadcasts; an open axis fits any size and takes that of the other if it is known and not 1."""
    rank = max(len(a), len(b))
    left, right = ((1,) * (rank - len(s)) + tuple(s) for s in (a, b))
    made: list[int | None] = []
    for m, n in zip(left, right, strict=True):
        if m == 1 or (m is None and n not in (1, None)):
            made.append(n)
        elif n in (1, None) or m == n:
            made.append(m)
        else:
            raise ValueError(
                f"operands could not be broadcast together with shapes {tuple(a)} and {tuple(b)}"
            )
    return tuple(made)


def sizes_of(value: Any) -> Any:
    """As `shape_of`, where no size is open: of what a composed function with a rule for its shape is given."""
    return shape_of(value)


def same_shape(x: Any, *_: Any, **__: Any) -> Shape:
    return shape_of(x)


def positive_axis(axis: int, rank: int) -> int:
    """The axis counted from the front; ValueError if there is no such."""
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} is out of bounds for {rank} axes")
    return axis % rank


def axes_of(axis: Any, rank: int) -> tuple[int, ...]:
    """The axes that an argument `axis` names, counted from the front; all for None."""
    if axis is None:
        return tuple(range(rank))
    return tuple(positive_axis(a, rank) for a in (axis if isinstance(axis, (tuple, list)) else (axis,)))


def reduced(x: Any, axis: Any = None, keepdims: bool = False, **_: Any) -> Shape:
    """The shape without some axes, or with 1 in their places."""
    shape = shape_of(x)
    gone = axes_of(axis, len(shape))
    if keepdims:
        return tuple(1 if k in gone else n for k, n in enumerate(shape))
    return tuple(n for k, n in enumerate(shape) if k not in gone)


def contiguous(gradient: Any) -> Array:
    """As float32 in C order; no axes stay none."""
    array = np.asarray(gradient, np.float32)
    return np.ascontiguousarray(array) if array.ndim else array


def unbroadcast(gradient: Array, shape: Sequence[int]) -> Array:
    """The gradient of what was broadcast from `shape`."""
    gradient = np.asarray(gradient)
    if gradient.shape == tuple(shape):
        return gradient
    extra = gradient.ndim - len(shape)
    if extra < 0:
        return np.broadcast_to(gradient, tuple(shape))
    gradient = gradient.sum(axis=tuple(range(extra))) if extra else gradient
    axes = tuple(k for k, (m, n) in enumerate(zip(gradient.shape, shape, strict=True)) if n == 1 and m != 1)
    gradient = gradient.sum(axis=axes, keepdims=True) if axes else gradient
    return np.broadcast_to(gradient, tuple(shape))  # of a gradient that is one number for many
