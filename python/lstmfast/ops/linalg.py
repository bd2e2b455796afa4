# SPDX-License-Identifier: BSD-3-Clause
"""Linear algebra of matrices in the last two axes. Those without a gradient say so."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .complexes import of_arrays
from .composed import composed
from .matrices import tril, triu
from .operation import operation
from .rules import as_floats, shape_of
from .shaping import swapaxes
from .tables import refused

Array = npt.NDArray[Any]


def _turned(x: Any) -> Any:
    return np.swapaxes(x, -1, -2)


def _matrices(x: Any) -> Any:
    shape = shape_of(x)
    if len(shape) < 2:
        raise ValueError(f"Input should have rank >= 2. Received: input.shape = {shape}")
    return shape


def _square(x: Any, *_: Any, **__: Any) -> Any:
    shape = shape_of(x)
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ValueError(f"expected square matrices, got shape {shape}")
    return shape


def _numbers(x: Any, *_: Any, **__: Any) -> Any:
    return _square(x)[:-2]


@operation(
    "Det",
    lambda dy, y, x: (dy * y)[..., None, None] * _turned(np.linalg.inv(x)),
    home="linalg",
    shape=_numbers,
    dtype="float32",
)
def det(x: Any) -> Any:
    """Determinants."""
    _square(x)
    return np.linalg.det(as_floats(x))


@operation(
    "Inv", lambda dy, y, x: -_turned(y) @ dy @ _turned(y), home="linalg", shape=_square, dtype="float32"
)
def inv(x: Any) -> Any:
    """Inverse matrices."""
    _square(x)
    return np.linalg.inv(as_floats(x))


@operation(
    "Logdet",
    lambda dy, y, x: np.asarray(dy)[..., None, None] * _turned(np.linalg.inv(x)),
    home="math",
    shape=_numbers,
    dtype="float32",
)
def logdet(x: Any) -> Any:
    """Logarithms of the determinants of positive definite matrices; NaN where the determinant is negative."""
    _square(x)
    sign, logarithm = np.linalg.slogdet(as_floats(x))
    return np.where(sign < 0, np.float32(np.nan), logarithm)


def _slogdet_slope(dy: Any, y: Any, x: Array) -> Array:
    return np.asarray(np.asarray(dy[1])[..., None, None] * _turned(np.linalg.inv(x)))


@operation("Slogdet", _slogdet_slope, shape=lambda x: [_numbers(x)] * 2, dtype="float32")
def slogdet(x: Any) -> Any:
    """Signs of determinants, and logarithms of their sizes."""
    _square(x)
    return list(np.linalg.slogdet(as_floats(x)))


def _factor_slope(dy: Array, y: Array, x: Array, upper: bool) -> Array:
    """Murray 2016, "Differentiation of the Cholesky decomposition", equation 10."""
    low, slope = (_turned(y), _turned(dy)) if upper else (y, dy)
    half = np.tril(_turned(low) @ np.tril(slope))
    half = half - np.eye(half.shape[-1], dtype=half.dtype) * half / 2
    back = np.linalg.inv(low)
    found = _turned(back) @ half @ back
    return np.asarray((found + _turned(found)) / 2)


@operation("Cholesky", _factor_slope, home="linalg", config="upper", shape=_square, dtype="float32")
def cholesky(x: Any, upper: bool = False) -> Any:
    """The lower triangular matrices whose products with their transposes are `x`; or the upper ones."""
    _square(x)
    low = np.linalg.cholesky(as_floats(x))
    return np.ascontiguousarray(_turned(low)) if upper else low


@composed("CholeskyInverse", home="linalg", config="upper", dtype="float32")
def cholesky_inverse(x: Any, upper: bool = False) -> Any:
    """The inverse of the matrix whose Cholesky factor `x` is."""
    back = inv(triu(x) if upper else tril(x))
    return back @ swapaxes(back, -1, -2) if upper else swapaxes(back, -1, -2) @ back


def _solved_shape(a: Any, b: Any, **_: Any) -> Any:
    left, right = _square(a), shape_of(b)
    rows = (
        right[-1 if len(right) == len(left) - 1 else -2] if len(right) in (len(left), len(left) - 1) else -1
    )
    if rows != left[-1] and None not in (rows, left[-1]):
        raise ValueError(f"cannot solve with matrices of shape {left} for an array of shape {right}")
    return right


def _columns(a: Array, b: Array) -> Array:
    return b[..., None] if b.ndim == a.ndim - 1 else b


def _solve(a: Any, b: Any) -> Array:
    found = np.linalg.solve(a, _columns(a, b))
    return found[..., 0] if b.ndim == a.ndim - 1 else found


@operation(
    "Solve",
    (
        lambda dy, y, a, b: -_columns(a, _solve(_turned(a), dy)) @ _turned(_columns(a, y)),
        lambda dy, y, a, b: _solve(_turned(a), dy),
    ),
    home="linalg",
    shape=_solved_shape,
    dtype="float32",
)
def solve(a: Any, b: Any) -> Any:
    """The arrays `x` with ``a @ x = b``."""
    _solved_shape(a, b)
    return _solve(as_floats(a), as_floats(b))


@composed("SolveTriangular", home="linalg", config="lower", dtype="float32")
def solve_triangular(a: Any, b: Any, lower: bool = False) -> Any:
    """As `solve`, with the upper or lower triangles of `a`."""
    return solve(tril(a) if lower else triu(a), b)


# ---- decompositions


def _singular_shape(x: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    *batch, m, n = _matrices(x)
    k = None if m is None or n is None else min(m, n)
    if not compute_uv:
        return (*batch, k)
    return [(*batch, m, m if full_matrices else k), (*batch, k), (*batch, n if full_matrices else k, n)]


def _singular_slope(dy: Any, y: Any, x: Array, full_matrices: bool, compute_uv: bool) -> Array:
    if compute_uv:
        if any(np.any(part) for part in (dy[0], dy[2])):
            raise ValueError(
                "svd has a gradient of its values only, none of vectors: use stop_gradient on those"
            )
        dy = dy[1]
    u, _, v = np.linalg.svd(x, full_matrices=False)
    return np.asarray((u * dy[..., None, :]) @ v)


@operation(
    "SVD",
    _singular_slope,
    home="linalg",
    config="full_matrices compute_uv",
    shape=_singular_shape,
    dtype="float32",
)
def svd(x: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """Singular values and vectors ``u, s, v`` with ``u @ diag(s) @ v = x``; only the values have a gradient."""
    decompose: Any = np.linalg.svd
    found = decompose(as_floats(x), full_matrices=full_matrices, compute_uv=compute_uv)
    return list(found) if compute_uv else found


def _qr_shape(x: Any, mode: str = "reduced") -> Any:
    if mode not in ("reduced", "complete"):
        raise ValueError(
            "`mode` argument value not supported. Expected one of {'reduced', 'complete'}. "
            f"Received: mode={mode}"
        )
    *batch, m, n = _matrices(x)
    k = m if mode == "complete" else None if m is None or n is None else min(m, n)
    return [(*batch, m, k), (*batch, k, n)]


@operation("Qr", refused("qr"), home="linalg", config="mode", shape=_qr_shape, dtype="float32")
def qr(x: Any, mode: str = "reduced") -> Any:
    """An orthogonal and an upper triangular factor; no gradient."""
    _qr_shape(x, mode)
    return list(np.linalg.qr(as_floats(x), mode))  # type: ignore[call-overload]


def _eigen_slope(dy: Any, y: Any, x: Array) -> Array:
    """Giles 2008, "Collected matrix derivative results", section 3.1."""
    values, vectors = y
    with np.errstate(divide="ignore"):
        gaps = 1 / (values[..., None, :] - values[..., :, None])
    gaps[..., range(values.shape[-1]), range(values.shape[-1])] = 0
    inner = gaps * (_turned(vectors) @ dy[1]) if np.any(dy[1]) else np.zeros_like(vectors)
    inner[..., range(values.shape[-1]), range(values.shape[-1])] += dy[0]
    found = vectors @ inner @ _turned(vectors)
    return np.asarray((found + _turned(found)) / 2)


@operation(
    "Eigh", _eigen_slope, home="linalg", shape=lambda x: [_square(x)[:-1], _square(x)], dtype="float32"
)
def eigh(x: Any) -> Any:
    """Eigenvalues in ascending order and eigenvectors of symmetric matrices."""
    _square(x)
    return list(np.linalg.eigh(as_floats(x)))


def eig(x: Any) -> Any:
    """Eigenvalues and eigenvectors as complex numbers; of arrays."""
    of_arrays("eig", x)
    _square(x)
    values, vectors = np.linalg.eig(as_floats(x))
    return values.astype(np.complex64), vectors.astype(np.complex64)


@operation(
    "Pinv",
    refused("pinv"),
    home="linalg",
    config="rcond",
    shape=lambda x, rcond: (*_matrices(x)[:-2], *_matrices(x)[:-3:-1]),
    dtype="float32",
)
def pinv(x: Any, rcond: float | None = None) -> Any:
    """Moore and Penrose's inverse; no gradient."""
    x = as_floats(x)
    least = max(x.shape[-2:]) * np.finfo(np.float32).eps if rcond is None else rcond
    return np.linalg.pinv(x, least)


@operation("MatrixRank", home="linalg", config="tol", shape=lambda x, tol: _matrices(x)[:-2], dtype="int32")
def matrix_rank(x: Any, tol: float | None = None) -> Any:
    """How many singular values are above `tol`."""
    return np.asarray(np.linalg.matrix_rank(as_floats(x), tol)).astype(np.int32)


def _least_shape(a: Any, b: Any, rcond: Any = None) -> Any:
    return (shape_of(a)[-1], *shape_of(b)[1:])


@operation("Lstsq", refused("lstsq"), home="linalg", config="rcond", shape=_least_shape, dtype="float32")
def lstsq(a: Any, b: Any, rcond: float | None = None) -> Any:
    """The arrays `x` for which ``a @ x`` is nearest to `b`; no gradient."""
    return np.linalg.lstsq(as_floats(a), as_floats(b), rcond)[0]


def _lu_shape(x: Any) -> Any:
    *batch, m, n = _matrices(x)
    return [(*batch, m, n), (*batch, None if m is None or n is None else min(m, n))]


def _lu_slope(dy: Any, y: Any, x: Array) -> Array:
    """The product rule for ``x = P @ low @ up`` with what is free in the factors; of square matrices."""
    packed, pivots = y
    n = packed.shape[-1]
    if packed.shape[-2] != n:
        raise ValueError(
            f"lu_factor has a gradient of square matrices only, got shape {packed.shape}: use stop_gradient"
        )
    low, up = np.tril(packed, -1) + np.eye(n, dtype=packed.dtype), np.triu(packed)
    inner = np.tril(_turned(low) @ np.tril(dy[0], -1), -1) + np.triu(np.triu(dy[0]) @ _turned(up))
    found = np.linalg.solve(_turned(low), inner) @ _turned(np.linalg.inv(up))
    for k in range(n)[::-1]:
        _exchange(found, k, pivots[..., k])
    return np.asarray(found)


def _exchange(x: Array, k: int, other: Array) -> None:
    """Row `k` of each matrix in place of row `other` of it, and that in place of row `k`."""
    at = other[..., None, None].astype(np.intp)
    row, before = np.take_along_axis(x, at, -2), x[..., k : k + 1, :].copy()
    np.put_along_axis(x, at, before, -2)
    x[..., k : k + 1, :] = row


@operation("LuFactor", _lu_slope, home="linalg", shape=_lu_shape, dtype=lambda x: ["float32", "int32"])
def lu_factor(x: Any) -> Any:
    """Lower and upper triangular factors in one matrix, and the pivots: row k was exchanged with row ``pivots[k]``.

    The ones on the lower factor's diagonal are not kept (Golub and Van Loan 2013, algorithm 3.4.1).
    """
    _matrices(x)
    packed = np.array(as_floats(x))
    pivots = np.zeros((*packed.shape[:-2], min(packed.shape[-2:])), np.int32)
    for k in range(pivots.shape[-1]):
        pivots[..., k] = k + np.argmax(np.abs(packed[..., k:, k]), -1)
        _exchange(packed, k, pivots[..., k])
        pivot = packed[..., k, k][..., None]
        below = packed[..., k + 1 :, k]
        below /= np.where(pivot == 0, np.float32(1), pivot)
        packed[..., k + 1 :, k + 1 :] -= below[..., None] * packed[..., None, k, k + 1 :]
    return [packed, pivots]
