# SPDX-License-Identifier: BSD-3-Clause
"""Products of matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .native import product
from .operation import operation
from .rules import broadcast_shapes, shape_of, unbroadcast

Array = npt.NDArray[Any]


def _product_shape(x1: Any, x2: Any) -> Any:
    a, b = shape_of(x1), shape_of(x2)
    if not a or not b:
        raise ValueError(f"matmul needs arrays with axes, got shapes {a} and {b}")
    left, right = (1, *a) if len(a) == 1 else a, (*b, 1) if len(b) == 1 else b
    if None not in (left[-1], right[-2]) and left[-1] != right[-2]:
        raise ValueError(f"matmul cannot multiply arrays of shapes {a} and {b}")
    shape = broadcast_shapes(left[:-2], right[:-2])
    rows = () if len(a) == 1 else left[-2:-1]
    return (*shape, *rows, *(() if len(b) == 1 else right[-1:]))


def _matrices(dy: Array, a: Any, b: Any) -> tuple[Array, Array, Array]:
    a, b = np.asarray(a), np.asarray(b)
    if b.ndim == 1:
        b, dy = b[:, None], dy[..., None]
    if a.ndim == 1:
        a, dy = a[None], np.expand_dims(dy, -2)
    return dy, a, b


def _left_gradient(dy: Array, y: Array, a: Any, b: Any) -> Array:
    dy, left, right = _matrices(dy, a, b)
    return unbroadcast(dy @ right.swapaxes(-1, -2), left.shape).reshape(np.shape(a))


def _right_gradient(dy: Array, y: Array, a: Any, b: Any) -> Array:
    dy, left, right = _matrices(dy, a, b)
    if right.ndim == 2 and left.ndim > 2:  # one product of all rows
        found = left.reshape(-1, left.shape[-1]).T @ dy.reshape(-1, dy.shape[-1])
        return found.reshape(np.shape(b))
    return unbroadcast(left.swapaxes(-1, -2) @ dy, right.shape).reshape(np.shape(b))


@operation("Matmul", (_left_gradient, _right_gradient), shape=_product_shape, frozen=product)
def matmul(x1: Any, x2: Any) -> Any:
    """``x1 @ x2``: products of matrices in the last two axes."""
    return np.matmul(x1, x2)


def _dot_shape(x1: Any, x2: Any) -> Any:
    a, b = shape_of(x1), shape_of(x2)
    if not a or not b:
        return a or b
    k = b[-2] if len(b) > 1 else b[0]
    if None not in (a[-1], k) and a[-1] != k:
        raise ValueError(f"dot cannot multiply arrays of shapes {a} and {b}")
    return (*a[:-1], *(() if len(b) == 1 else (*b[:-2], b[-1])))


def _columns(b: Array) -> Array:
    """(k, everything else) of the second factor of `dot`."""
    return b[:, None] if b.ndim == 1 else np.moveaxis(b, -2, 0).reshape(b.shape[-2], -1)


def _dot_left(dy: Array, y: Array, a: Any, b: Any) -> Array:
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return np.asarray(dy * b)
    columns = _columns(np.asarray(b))
    return np.reshape(dy.reshape(-1, columns.shape[1]) @ columns.T, np.shape(a))


def _dot_right(dy: Array, y: Array, a: Any, b: Any) -> Array:
    a, b = np.asarray(a), np.asarray(b)
    if a.ndim == 0 or b.ndim == 0:
        return np.asarray(dy * a)
    found = a.reshape(-1, a.shape[-1]).T @ dy.reshape(-1, _columns(b).shape[1])
    return (
        found[:, 0]
        if b.ndim == 1
        else np.moveaxis(found.reshape(b.shape[-2], *b.shape[:-2], b.shape[-1]), 0, -2)
    )


@operation("Dot", (_dot_left, _dot_right), shape=_dot_shape)
def dot(x1: Any, x2: Any) -> Any:
    """Sums of products over the last axis of `x1` and the last but one of `x2`."""
    return np.dot(x1, x2)


# ---- einsum


def _labels(subscripts: str, number: int) -> tuple[list[str], str]:
    """The labels of each operand, and of the result."""
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    operands = left.split(",")
    if "." in text or len(operands) != number or any(len(set(s)) != len(s) for s in [*operands, right]):
        raise ValueError(
            f"einsum in a graph takes labels without '...' and none twice in an array, one group for each of {number} "
            f"arrays; got {subscripts!r}"
        )
    if not arrow:
        every = "".join(operands)
        right = "".join(sorted(label for label in set(every) if every.count(label) == 1))
    return operands, right


def _einsum_shape(operands: Any, subscripts: str) -> Any:
    given, result = _labels(subscripts, len(operands))
    sizes: dict[str, Any] = {}
    for labels, operand in zip(given, operands, strict=True):
        shape = shape_of(operand)
        if len(shape) != len(labels):
            raise ValueError(
                f"einsum {subscripts!r}: an array of shape {shape} has other axes than {labels!r}"
            )
        for label, n in zip(labels, shape, strict=True):
            known = sizes.get(label)
            if None not in (known, n) and known != n:
                raise ValueError(f"einsum {subscripts!r}: axis {label!r} has the sizes {known} and {n}")
            sizes[label] = n if known is None else known
    return tuple(sizes[label] for label in result)


def _einsum_gradient(dy: Array, y: Array, operands: Sequence[Array], subscripts: str) -> list[Array]:
    given, result = _labels(subscripts, len(operands))
    found = []
    for k, (labels, operand) in enumerate(zip(given, operands, strict=True)):
        others = [(s, a) for i, (s, a) in enumerate(zip(given, operands, strict=True)) if i != k]
        known = "".join(label for label in labels if label in result or any(label in s for s, _ in others))
        terms = ",".join([result, *(s for s, _ in others)])
        part = np.einsum(f"{terms}->{known}", dy, *(a for _, a in others), optimize=True)
        wide = part[tuple(slice(None) if label in known else None for label in labels)]
        found.append(np.broadcast_to(wide, operand.shape))
    return found


@operation("Einsum", _einsum_gradient, config="subscripts", shape=_einsum_shape, variadic=True)
def _einsum(operands: Any, subscripts: str) -> Any:
    return np.einsum(subscripts, *operands, optimize=True)


def einsum(subscripts: str, *operands: Any) -> Any:
    """Sums of products along labelled axes, ``einsum("bti,ij->btj", x, w)``."""
    return _einsum(list(operands), subscripts)
