# SPDX-License-Identifier: BSD-3-Clause
"""The matrix kernel against float64 products, at ragged sizes, on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest

from lstmfast import _core

SIZES = [1, 2, 3, 5, 6, 7, 12, 13, 15, 16, 17, 31, 33, 64, 100]


def product(isa, a, b, bias=None, c=None, accumulate=False, blocked=True):
    c = np.full((len(a), b.shape[1]), np.nan, np.float32) if c is None else c
    _core.testing.matmul(isa, a, b, bias, c, accumulate, blocked)
    return c


def close(got, a, b, add=0.0):
    want = a.astype(float) @ b.astype(float) + add
    scale = np.abs(a).astype(float) @ np.abs(b).astype(float) + np.abs(add) + 1e-30
    # k additions in a row, each rounded once: k/2 ulp is generous, and random signs keep it far below.
    assert np.max(np.abs(got - want) / scale) < 1e-6


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("n", SIZES)
def test_products_at_ragged_sizes(isa, n, blocked, rng, guarded, poisoned):
    for m in SIZES:
        for k in (1, 3, 17, 100):
            a, b = (
                guarded(rng.standard_normal((m, k), np.float32)),
                guarded(rng.standard_normal((k, n), np.float32)),
            )
            bias = guarded(rng.standard_normal(n, np.float32))
            c = guarded(np.full((m, n), np.nan, np.float32))
            close(product(isa, a, b, bias, c, blocked=blocked), a, b, bias.astype(float))
            close(product(isa, a, b, blocked=blocked), a, b)


def test_accumulates_on_what_is_there(isa, rng):
    a, b = rng.standard_normal((7, 33), np.float32), rng.standard_normal((33, 21), np.float32)
    start = rng.standard_normal((7, 21), np.float32)
    close(product(isa, a, b, c=start.copy(), accumulate=True), a, b, start.astype(float))


@pytest.mark.parametrize("m", [1, 4, 6, 30, 300])
def test_blocks_of_depth_and_rows_change_no_bit(isa, m, rng):
    a, b = rng.standard_normal((m, 1000), np.float32), rng.standard_normal((1000, 150), np.float32)
    assert np.array_equal(product(isa, a, b, blocked=True), product(isa, a, b, blocked=False))


def test_a_row_has_the_same_bits_in_any_batch(isa, rng):
    a, b = rng.standard_normal((37, 129), np.float32), rng.standard_normal((129, 70), np.float32)
    whole = product(isa, a, b)
    for rows in (1, 2, 3, 5, 6, 7, 13):
        assert np.array_equal(product(isa, a[:rows], b), whole[:rows])


def test_avx2_and_avx512_agree_to_the_bit(rng):
    isas = _core.available_isas()
    if not {"avx2", "avx512"} <= set(isas):
        pytest.skip("needs a machine with AVX2 and AVX-512")
    a, b = rng.standard_normal((11, 77), np.float32), rng.standard_normal((77, 50), np.float32)
    assert np.array_equal(product("avx2", a, b), product("avx512", a, b))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_infinities_and_nan_stay_in_their_row(isa, value, rng):
    a, b = rng.standard_normal((9, 20), np.float32), rng.standard_normal((20, 18), np.float32)
    clean = product(isa, a, b)
    a[4, 3] = value
    got = product(isa, a, b)
    assert not np.isfinite(got[4]).any()
    others = np.arange(9) != 4
    assert np.array_equal(got[others], clean[others])


def test_unknown_instruction_set_is_named():
    with pytest.raises(ValueError, match="unknown instruction set 'mmx'"):
        product("mmx", np.ones((1, 1), np.float32), np.ones((1, 1), np.float32))


@pytest.mark.parametrize("n", [1, 15, 16, 33, 64, 100, 200])
@pytest.mark.parametrize("depth", [1, 5, 17, 100, 256, 300, 600])
def test_a_product_beside_that_of_a_row(isa, n, depth, rng, guarded):
    """Both have the bits that they have alone, wherever the row's product leaves the other one."""
    a, b = (
        guarded(rng.standard_normal(depth, np.float32)),
        guarded(rng.standard_normal((depth, n), np.float32)),
    )
    want_c = product(isa, a[None], b)[0]
    close(want_c[None], a[None], b)
    whole = _core.testing.beside_rows(isa)  # fewer rows wait for the end
    for m, inner, times in [
        (1, 3, 1),
        (whole, 16, 1),
        (whole, 100, 3),
        (whole, 256, 2),
        (whole, 257, 9),
        (whole, 600, 9),
        (whole, 40, 0),
    ]:
        x, w = (
            guarded(rng.standard_normal((m, inner), np.float32)),
            guarded(rng.standard_normal((inner, n), np.float32)),
        )
        for bias in (None, guarded(rng.standard_normal(n, np.float32))):
            c, d = np.full(n, np.nan, np.float32), np.full((m, n), np.nan, np.float32)
            _core.testing.matmul_beside(isa, a, b, x, w, bias, c, d, times)
            if times:
                assert np.array_equal(c, want_c)
            assert np.array_equal(d, product(isa, x, w, bias))
