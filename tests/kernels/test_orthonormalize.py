# SPDX-License-Identifier: BSD-3-Clause
"""Orthonormal columns: the Q of LAPACK's QR, up to the signs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lstmfast import _core

SHAPES = [(1, 1), (3, 1), (3, 3), (15, 7), (17, 16), (33, 31), (100, 33), (100, 100), (260, 65)]
Guarded = Callable[[np.ndarray], np.ndarray]


@pytest.mark.parametrize("shape", SHAPES)
def test_is_the_q_of_qr(isa: str, shape: tuple[int, int], rng: np.random.Generator, guarded: Guarded) -> None:
    a = rng.standard_normal(shape)
    q, r = np.linalg.qr(a)
    got = guarded(a)
    assert _core.orthonormalize(got, isa=isa)
    np.testing.assert_allclose(got.T @ got, np.eye(shape[1]), atol=1e-14)
    condition = np.linalg.cond(a)
    np.testing.assert_allclose(got, q * np.sign(np.diag(r)), atol=1e-15 * max(condition, 10))


def test_hard_matrices(isa: str, rng: np.random.Generator) -> None:
    """Scales do not matter, and a condition number of 1e4 costs nothing that the second pass does not bring back."""
    u, _ = np.linalg.qr(rng.standard_normal((60, 20)))
    v, _ = np.linalg.qr(rng.standard_normal((20, 20)))
    a = u * np.logspace(0, -4, 20) @ v * np.logspace(-100, 100, 20)
    assert _core.orthonormalize(a, isa=isa)
    np.testing.assert_allclose(a.T @ a, np.eye(20), atol=1e-14)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_dependent_columns_are_told(isa: str, value: float, rng: np.random.Generator) -> None:
    a = rng.standard_normal((9, 5))
    a[:, 3] = a[:, 1] if value == 0 else value
    assert not _core.orthonormalize(a, isa=isa)
    assert not _core.orthonormalize(np.zeros((4, 2)), isa=isa)


def test_bits_do_not_depend_on_the_width_of_vectors(rng: np.random.Generator) -> None:
    results = []
    a = rng.standard_normal((70, 41))
    for name in {"avx2", "avx512"} & set(_core.available_isas()):
        results.append(a.copy())
        assert _core.orthonormalize(results[-1], isa=name)
    assert all(np.array_equal(r, results[0]) for r in results)


@pytest.mark.parametrize("shape", [(2, 3), (4,), (2, 2, 2)])
def test_bad_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a: expected"):
        _core.orthonormalize(np.ones(shape))
    with pytest.raises(TypeError):
        _core.orthonormalize(np.ones((3, 2), np.float32))
