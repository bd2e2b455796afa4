# SPDX-License-Identifier: BSD-3-Clause
"""Layer and root mean square normalization of rows against reference.py, on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import _core, reference

EPSILON = 1e-3
CANARY = np.float32(-123.25)
COLUMNS = [1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 100, 257]


def framed(*shape):
    """(memory, view): NaN with canaries around it."""
    memory = np.full(int(np.prod(shape)) + 64, CANARY, np.float32)
    memory[32:-32] = np.nan
    return memory, memory[32:-32].reshape(shape)


def forward(isa, x, gamma, beta, centered=True):
    (around_y, y), (around_moments, moments) = framed(*x.shape), framed(len(x), 2)
    _core.testing.layer_norm_forward(isa, x, gamma, beta, EPSILON, centered, y, moments)
    for memory in (around_y, around_moments):
        assert np.all(memory[:32] == CANARY) and np.all(memory[-32:] == CANARY)
    return y, moments


def backward(isa, x, dy, gamma, moments, centered=True):
    memories, (dx, dgamma, dbeta) = zip(
        *(framed(*s) for s in (x.shape, x.shape[1:], x.shape[1:])), strict=True
    )
    _core.testing.layer_norm_backward(isa, x, dy, gamma, moments, centered, dgamma, dbeta, False, dx)
    for memory in memories:
        assert np.all(memory[:32] == CANARY) and np.all(memory[-32:] == CANARY)
    return dx, dgamma, dbeta


def close(actual, expected, least=1e-6):
    scale = max(np.abs(expected).max(), least)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * scale)


def case(rng, rows, columns, mean=0.3):
    x, dy = ((rng.standard_normal((rows, columns)) + mean).astype(np.float32) for _ in range(2))
    gamma, beta = (rng.standard_normal(columns).astype(np.float32) for _ in range(2))
    return x, dy, gamma, beta


@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("columns", COLUMNS)
def test_against_reference(isa, columns, centered, rng, guarded, poisoned):
    for rows in (1, 2, 3, 5, 8, 64, 65, 131):
        x, dy, gamma, beta = map(guarded, case(rng, rows, columns))
        for weights in ((gamma, beta), (None, beta), (gamma, None), (None, None)):
            y, moments = forward(isa, x, *weights, centered)
            want_y, want_moments = reference.layer_norm_forward(x, *weights, EPSILON, centered)
            close(y, want_y)
            close(moments, want_moments)
            got = backward(isa, x, dy, weights[0], moments, centered)
            want = reference.layer_norm_backward(x, dy, weights[0], EPSILON, centered)
            # Two values of a row become +-1 whatever they are: dx is what is left of numbers as large as dy / sqrt(epsilon).
            close(got[0], want[0], least=np.abs(dy).max() * np.abs(want_moments[:, 1]).max())
            close(got[1], want[1])
            close(got[2], want[2])


def test_a_large_mean_costs_no_digits_of_the_variance(isa, rng):
    x = (rng.integers(-100, 100, (4, 200)) / 256 + 4096).astype(np.float32)  # exact
    y, moments = forward(isa, x, None, None)
    want_y, want_moments = reference.layer_norm_forward(x, None, None, EPSILON)
    close(moments[:, 1], want_moments[:, 1])
    # float32 holds the mean to 2.4e-4, half a last digit of 4096, times the scale in y.
    np.testing.assert_allclose(y, want_y, rtol=0, atol=3e-4 * want_moments[:, 1].max())


def test_instruction_sets_agree_to_the_bit(rng):
    x, dy, gamma, beta = case(rng, 70, 77)
    results = {}
    for isa in lf.available_isas():
        y, moments = forward(isa, x, gamma, beta)
        results[isa] = (y, moments, *backward(isa, x, dy, gamma, moments))
    fused = [r for isa, r in results.items() if isa != "sse2"]  # sse2 rounds products
    for other in fused[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(fused[0], other, strict=True))


def test_a_row_does_not_depend_on_its_company(isa, team, rng):
    x, dy, gamma, beta = case(rng, 300, 129)
    y, moments = forward(isa, x, gamma, beta)
    dx, *_ = backward(isa, x, dy, gamma, moments)
    for k in (0, 1, 63, 299):
        row = slice(k, k + 1)
        one, of_one = forward(isa, x[row], gamma, beta)
        assert np.array_equal(one, y[row]) and np.array_equal(of_one, moments[row])
        assert np.array_equal(backward(isa, x[row], dy[row], gamma, of_one)[0], dx[row])


def test_threads_change_no_bit(isa, rng):
    x, dy, gamma, beta = case(rng, 2000, 130)
    results = []
    for threads in (1, 2, 3):
        with lf.threads(threads):
            y, moments = forward(isa, x, gamma, beta)
            results.append((y, moments, *backward(isa, x, dy, gamma, moments)))
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("columns", [65, 256, 1024])
def test_arrays_beyond_the_caches(isa, columns, rng):
    """Rows are taken otherwise there (8 MB each, of 32 MB of cache), for the same bits."""
    rows = 2**21 // columns + 5
    x, dy, gamma, beta = case(rng, rows, columns)
    y, moments = forward(isa, x, gamma, beta)
    assert np.array_equal(
        np.concatenate([forward(isa, x[k : k + 640], gamma, beta)[0] for k in range(0, rows, 640)]), y
    )
    dx, dgamma, dbeta = backward(isa, x, dy, gamma, moments)
    near = [
        backward(isa, *(a[k : k + 640] for a in (x, dy)), gamma, moments[k : k + 640])
        for k in range(0, rows, 640)
    ]
    assert np.array_equal(np.concatenate([part[0] for part in near]), dx)
    for k, whole in ((1, dgamma), (2, dbeta)):
        close(whole, np.sum([part[k] for part in near], axis=0, dtype=float))


def test_nan_and_infinity_stay_in_their_rows(isa, rng):
    x, dy, gamma, beta = case(rng, 9, 20)
    clean, _ = forward(isa, x, gamma, beta)
    x[4, 3], x[6, 19] = np.nan, np.inf
    y, _ = forward(isa, x, gamma, beta)
    assert np.isnan(y[[4, 6]]).all()
    keep = [0, 1, 2, 3, 5, 7, 8]
    assert np.array_equal(y[keep], clean[keep])


def test_accumulate_and_missing_gradients(rng):
    x, dy, gamma, beta = case(rng, 100, 24)
    _, moments = _core.layer_norm_forward(x, gamma, beta, EPSILON, True, True)
    dgamma, dbeta = np.ones(24, np.float32), np.full(24, 2, np.float32)
    assert _core.layer_norm_backward(x, dy, gamma, moments, True, dgamma, dbeta, True, False) is None
    _, want_gamma, want_beta = reference.layer_norm_backward(x, dy, gamma, EPSILON)
    close(dgamma, want_gamma + 1)
    close(dbeta, want_beta + 2)
    assert _core.layer_norm_backward(x, dy, None, moments, True, None, None, False, True).shape == x.shape


def test_wrong_shapes_are_named(rng):
    x, dy, gamma, beta = case(rng, 4, 5)
    with pytest.raises(ValueError, match=r"gamma: expected shape \(5,\), got \(4,\)"):
        _core.layer_norm_forward(x, gamma[:4].copy(), beta, EPSILON, True, True)
    with pytest.raises(ValueError, match=r"x: expected shape"):
        _core.layer_norm_forward(x[0], gamma, beta, EPSILON, True, True)
    moments = np.zeros((4, 2), np.float32)
    with pytest.raises(ValueError, match="dy: expected shape"):
        _core.layer_norm_backward(x, dy[:3], gamma, moments, True, None, None, False, True)
    with pytest.raises(ValueError, match="moments: expected shape"):
        _core.layer_norm_backward(x, dy, gamma, moments[:3], True, None, None, False, True)
