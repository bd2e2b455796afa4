# SPDX-License-Identifier: BSD-3-Clause
"""Triangles, diagonals, and products of vectors and tensors."""

from __future__ import annotations

import string
from typing import Any

import numpy as np
import numpy.typing as npt

from .composed import composed
from .functions import as_floating
from .making import _dtype
from .operation import operation
from .products import einsum
from .reductions import sum
from .rules import positive_axis, shape_of
from .shaping import moveaxis, ravel, reshape, stack, transpose

Array = npt.NDArray[Any]


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Array:
    """1 on and below a diagonal, 0 above."""
    return np.tri(N, M, k, dtype=_dtype(dtype))


def identity(n: int, dtype: Any = None) -> Array:
    """1 on the diagonal, 0 elsewhere."""
    return np.identity(n, _dtype(dtype))


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Array:
    """Powers of a vector in columns, falling by default; of arrays."""
    x = np.asarray(x)
    if x.ndim != 1:
        raise ValueError(f"Input tensor must be 1-D. Received: input.shape={x.shape}")
    made = np.vander(x, N, increasing)
    return made.astype(x.dtype if x.dtype.kind == "f" or isinstance(x, np.ndarray) else np.int32)


def _matrix_shape(x: Any, *_: Any, **__: Any) -> Any:
    shape = shape_of(x)
    if len(shape) < 2:
        raise ValueError(f"needs an array of two axes or more, got shape {shape}")
    return shape


@operation("Tril", lambda dy, y, x, k: np.tril(dy, k), config="k", shape=_matrix_shape)
def tril(x: Any, k: int = 0) -> Any:
    """The part on and below a diagonal of the last two axes, 0 above."""
    return np.tril(x, k)


@operation("Triu", lambda dy, y, x, k: np.triu(dy, k), config="k", shape=_matrix_shape)
def triu(x: Any, k: int = 0) -> Any:
    """The part on and above a diagonal of the last two axes, 0 below."""
    return np.triu(x, k)


def _length(m: int | None, n: int | None, k: int) -> int | None:
    """Of the k-th diagonal of an (m, n) matrix."""
    if m is None or n is None:
        return None
    return max(min(m, n - k) if k >= 0 else min(m + k, n), 0)


def _diag_shape(x: Any, k: int = 0) -> Any:
    shape = shape_of(x)
    if len(shape) == 1:
        n = shape[0]
        return (None if n is None else n + abs(k),) * 2
    if len(shape) != 2:
        raise ValueError(f"diag needs a vector or a matrix, got shape {shape}")
    return (_length(*shape, k),)


def _diag_slope(dy: Array, y: Array, x: Array, k: int) -> Array:
    if x.ndim == 1:
        return np.diag(dy, k)
    found = np.zeros_like(x)
    rows = np.arange(len(dy)) + max(-k, 0)
    found[rows, rows + k] = dy
    return found


@operation("Diag", _diag_slope, config="k", shape=_diag_shape)
def diag(x: Any, k: int = 0) -> Any:
    """The matrix with a vector on its k-th diagonal, or that diagonal of a matrix."""
    return np.diag(x, k)


@composed("Diagflat", config="k")
def diagflat(x: Any, k: int = 0) -> Any:
    """The matrix with all elements on its k-th diagonal."""
    return diag(ravel(x), k)


def _diagonal_shape(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    shape = _matrix_shape(x)
    a, b = positive_axis(axis1, len(shape)), positive_axis(axis2, len(shape))
    if a == b:
        raise ValueError(f"axis1 and axis2 must differ, got {axis1} and {axis2}")
    return (*(n for k, n in enumerate(shape) if k not in (a, b)), _length(shape[a], shape[b], offset))


def _diagonal_slope(dy: Array, y: Array, x: Array, offset: int, axis1: int, axis2: int) -> Array:
    found = np.zeros_like(x)
    rows = np.arange(dy.shape[-1]) + max(-offset, 0)
    np.moveaxis(found, (axis1, axis2), (-2, -1))[..., rows, rows + offset] = dy
    return found


@operation("Diagonal", _diagonal_slope, config="offset axis1 axis2", shape=_diagonal_shape)
def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """A diagonal of the matrices in two axes, along a last axis."""
    return np.array(np.diagonal(x, offset, axis1, axis2))


@composed("Trace", config="offset axis1 axis2")
def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of a diagonal of the matrices in two axes."""
    return sum(diagonal(x, offset, axis1, axis2), -1)


# ---- products


@composed("Outer")
def outer(x1: Any, x2: Any) -> Any:
    """Products of each element of one with each of the other."""
    return reshape(x1, (-1, 1)) * reshape(x2, (1, -1))


@composed("Vdot")
def vdot(x1: Any, x2: Any) -> Any:
    """The sum of products of all elements."""
    return sum(ravel(x1) * ravel(x2))


@composed("Inner")
def inner(x1: Any, x2: Any) -> Any:
    """Sums of products over the last axes."""
    if not shape_of(x1) or not shape_of(x2):
        return x1 * x2
    m, n = shape_of(x1)[-1], shape_of(x2)[-1]
    if None not in (m, n) and m != n:
        raise ValueError(
            f"`x1` and `x2` must have the same last dimension. Received: x1.shape={shape_of(x1)}, x2.shape={shape_of(x2)}"
        )
    return _contracted(x1, x2, [-1], [-1])


def _contracted(x1: Any, x2: Any, first: Any, second: Any) -> Any:
    a, b = len(shape_of(x1)), len(shape_of(x2))
    first, second = [positive_axis(k, a) for k in first], [positive_axis(k, b) for k in second]
    if len(first) != len(second) or a + b > len(string.ascii_letters):
        raise ValueError(f"axes {first} and {second} do not go together")
    left = string.ascii_letters[:a]
    right = list(string.ascii_letters[a : a + b])
    for m, n in zip(first, second, strict=True):
        right[n] = left[m]
    kept = [left[k] for k in range(a) if k not in first] + [right[k] for k in range(b) if k not in second]
    return einsum(f"{left},{''.join(right)}->{''.join(kept)}", x1, x2)


@composed("Tensordot", config="axes")
def tensordot(x1: Any, x2: Any, axes: Any = 2) -> Any:
    """Sums of products over some axes: the last `axes` of `x1` and first of `x2`, or the axes in two lists."""
    if isinstance(axes, int):
        first: Any = range(len(shape_of(x1)) - axes, len(shape_of(x1)))
        second: Any = range(axes)
    else:
        first, second = ((k,) if isinstance(k, int) else k for k in axes)
    return _contracted(x1, x2, list(first), list(second))


def _kron_shape(x1: Any, x2: Any) -> Any:
    a, b = shape_of(x1), shape_of(x2)
    rank = max(len(a), len(b))
    pairs = zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True)
    return tuple(None if m is None or n is None else m * n for m, n in pairs)


@composed("Kron", shape=_kron_shape)
def kron(x1: Any, x2: Any) -> Any:
    """Kronecker's product: each element of `x1` times all of `x2`."""
    a, b = shape_of(x1), shape_of(x2)
    rank = max(len(a), len(b))
    a, b = (1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b
    left = reshape(x1, tuple(n for m in a for n in (m, 1)))
    right = reshape(x2, tuple(n for m in b for n in (1, m)))
    return reshape(left * right, _kron_shape(x1, x2))


@composed("Cross", config="axisa axisb axisc axis")
def cross(
    x1: Any, x2: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    """Cross product of vectors of two or three elements; of two of two, the one number that is not 0."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = moveaxis(x1, axisa, -1), moveaxis(x2, axisb, -1)
    sizes = shape_of(a)[-1], shape_of(b)[-1]
    if any(n not in (2, 3, None) for n in sizes):
        raise ValueError(
            "`x1`'s dim on `axis={axisa}` and `x2`'s dim on `axis={axisb}` must be either 2 or 3. Received: "
            f"x1.shape={shape_of(x1)}, x2.shape={shape_of(x2)}"
        )
    last = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    if sizes == (2, 2):
        return last
    a2, b2 = (v[..., 2] if n != 2 else 0 * v[..., 0] for v, n in zip((a, b), sizes, strict=True))
    parts = [a[..., 1] * b2 - a2 * b[..., 1], a2 * b[..., 0] - a[..., 0] * b2, last]
    return moveaxis(stack(parts, -1), -1, axisc)


def _corrcoef_shape(x: Any) -> Any:
    shape = shape_of(x)
    return (shape[0],) * 2 if len(shape) == 2 else ()


@composed("Corrcoef", shape=_corrcoef_shape, dtype="float32")
def corrcoef(x: Any) -> Any:
    """Correlations between the rows of a matrix."""
    from .elementwise import clip, sqrt
    from .reductions import mean

    x = as_floating(x)
    if len(shape_of(x)) < 2:
        return x[0] * 0 + 1
    deviation = x - mean(x, -1, True)
    products = deviation @ transpose(deviation)
    spread = sqrt(diagonal(products))
    return clip(products / (reshape(spread, (-1, 1)) * reshape(spread, (1, -1))), -1.0, 1.0)


@operation(
    "Correlate", config="mode", shape=lambda x1, x2, mode="valid": _correlated(x1, x2, mode), dtype="float32"
)
def correlate(x1: Any, x2: Any, mode: str = "valid") -> Any:
    """Sums of products of one vector with the other at every place; no gradient."""
    return np.correlate(np.asarray(x1, np.float32), np.asarray(x2, np.float32), mode)  # type: ignore[call-overload]


def _correlated(x1: Any, x2: Any, mode: str) -> Any:
    (m,), (n,) = shape_of(x1), shape_of(x2)
    if m is None or n is None:
        return (None,)
    return ({"valid": max(m, n) - min(m, n) + 1, "same": max(m, n), "full": m + n - 1}[mode],)
