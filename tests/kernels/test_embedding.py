# SPDX-License-Identifier: BSD-3-Clause
"""Embedding: rows by id, and gradients that add up where an id repeats."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lstmfast import _core, reference

WIDTHS = [1, 3, 15, 16, 17, 31, 33, 100]
Guarded = Callable[[np.ndarray], np.ndarray]


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("width", WIDTHS)
def test_forward_copies_rows(width: int, dtype: type, rng: np.random.Generator, guarded: Guarded) -> None:
    table = guarded(rng.standard_normal((11, width)).astype(np.float32))
    for shape in ((1,), (7,), (3, 5), (2, 3, 4), (0,), (2, 0), ()):
        ids = rng.integers(0, 11, shape).astype(dtype)
        y = _core.embedding_forward(table, ids)
        assert y.shape == (*shape, width) and np.array_equal(y, table[ids])


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("width", WIDTHS)
def test_backward_adds_repeated_ids(
    isa: str, width: int, accumulate: bool, rng: np.random.Generator, guarded: Guarded
) -> None:
    for n in (0, 1, 3, 17, 100):
        ids = rng.integers(0, 6, n)
        dy = rng.standard_normal((n, width)).astype(np.float32)
        frame = np.full((8, width), 7, np.float32)  # first and last row: canaries
        table = frame[1:-1]
        table[...] = 0.5 if accumulate else np.nan
        _core.testing.embedding_backward(isa, ids, guarded(dy) if n else dy, table, accumulate)
        want = reference.embedding_backward(ids, dy, 6) + (0.5 if accumulate else 0)
        np.testing.assert_allclose(table, want, rtol=1e-5, atol=1e-5)
        assert np.all(frame[[0, -1]] == 7)


def test_sums_run_in_the_order_of_the_rows_on_any_team(isa: str, team: int, rng: np.random.Generator) -> None:
    ids = rng.integers(0, 50, 20_000)
    dy = (rng.standard_normal((20_000, 33)) * 10.0 ** rng.integers(-4, 4, (20_000, 1))).astype(np.float32)
    table = np.full((50, 33), np.nan, np.float32)
    _core.testing.embedding_backward(isa, ids, dy, table, False)
    want = np.zeros((50, 33), np.float32)
    for i, row in zip(ids, dy, strict=True):  # float32, one after the other: the same bits
        want[i] += row
    assert np.array_equal(table, want)


def test_public_backward_takes_both_integer_types_and_any_shape(rng: np.random.Generator) -> None:
    ids = rng.integers(0, 6, (4, 5))
    dy = rng.standard_normal((4, 5, 8)).astype(np.float32)
    a, b = np.full((6, 8), np.nan, np.float32), np.full((6, 8), np.nan, np.float32)
    _core.embedding_backward(ids, dy, a)
    _core.embedding_backward(ids.astype(np.int32), dy, b, accumulate=False)
    assert np.array_equal(a, b)
    np.testing.assert_allclose(a, reference.embedding_backward(ids, dy, 6), rtol=1e-5, atol=1e-5)
    _core.embedding_backward(ids, dy, a, accumulate=True)
    np.testing.assert_allclose(a, 2 * b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("bad", [-1, 10, 2**31 - 1])
def test_ids_out_of_range(bad: int, dtype: type) -> None:
    table = np.zeros((10, 3), np.float32)
    ids = np.array([[0, 9, 1], [2, bad, 99]], dtype)
    message = rf"ids: expected numbers from 0 to 9, got {bad} at \[1, 1\]"
    with pytest.raises(ValueError, match=message):
        _core.embedding_forward(table, ids)
    before = table.copy()
    with pytest.raises(ValueError, match=message):
        _core.embedding_backward(ids, np.ones((2, 3, 3), np.float32), table)
    assert np.array_equal(table, before)


def test_errors_name_the_argument() -> None:
    table, ids = np.zeros((10, 3), np.float32), np.zeros(4, np.int64)
    with pytest.raises(ValueError, match=r"table: expected shape \(\*, \*\), got \(3,\)"):
        _core.embedding_forward(table[0], ids)
    with pytest.raises(ValueError, match="dy: expected the shape of ids and one axis of 3 more"):
        _core.embedding_backward(ids, np.zeros((4, 2), np.float32), table)
    for bad in (ids.astype(np.float32), ids.astype(np.int16), ids[::2]):
        with pytest.raises(TypeError, match="ids: expected a C-contiguous array of int32 or int64"):
            _core.embedding_forward(table, bad)
    with pytest.raises(TypeError):
        _core.embedding_forward(table.astype(np.float64), ids)
    with pytest.raises(ValueError, match=r"ids: expected numbers from 0 to -1, got 0"):
        _core.embedding_forward(np.zeros((0, 3), np.float32), ids)
