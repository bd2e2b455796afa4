# SPDX-License-Identifier: BSD-3-Clause
"""Batch normalization of columns against NumPy in float64, on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import _core

EPSILON = 1e-3
COLUMNS = [1, 3, 8, 15, 16, 17, 33, 100]


def case(rng, rows, columns):
    x, dy = ((rng.standard_normal((rows, columns)) + 0.3).astype(np.float32) for _ in range(2))
    gamma, beta = (rng.standard_normal(columns).astype(np.float32) for _ in range(2))
    return x, dy, gamma, beta


def reference(x, dy, gamma, beta, counts, total):
    """(mean, variance, y, dx, dgamma, dbeta)."""
    x, dy, gamma, beta = (np.asarray(a, np.float64) for a in (x, dy, gamma, beta))
    some = slice(None) if counts is None else counts
    mean = x[some].sum(axis=0) / total
    variance = ((x[some] - mean) ** 2).sum(axis=0) / total
    scale = 1 / np.sqrt(variance + EPSILON)
    normal = (x - mean) * scale
    d = dy * gamma
    through = (d.sum(axis=0) + normal * (d * normal).sum(axis=0)) / total
    if counts is not None:
        through = np.where(counts[:, None], through, 0)
    return (
        mean,
        variance,
        normal * gamma + beta,
        scale * (d - through),
        (dy * normal).sum(axis=0),
        dy.sum(axis=0),
    )


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("columns", COLUMNS)
def test_against_numpy(isa, columns, masked, rng, poisoned, guarded):
    for rows in (2, 3, 7, 64, 65, 200):
        x, dy, gamma, beta = map(guarded, case(rng, rows, columns))
        counts, total = None, float(rows)
        if masked:
            counts = rng.random(rows) > 0.4
            counts[:2] = True
            total = counts.sum() + 1e-7
        got = _core.testing.batch_norm(isa, x, dy, gamma, beta, counts, total, EPSILON)
        want = reference(x, dy, gamma, beta, counts, total)
        for name, a, b in zip(("mean", "variance", "y", "dx", "dgamma", "dbeta"), got, want, strict=True):
            # dx is what is left of dy * gamma * scale.
            least = np.abs(dy * gamma).max() / np.sqrt(want[1] + EPSILON).min() if name == "dx" else 1e-3
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(np.abs(b).max(), least), err_msg=name)


def test_a_large_mean_costs_no_digits(isa, rng):
    x = (rng.integers(-100, 100, (300, 20)) / 256 + 4096).astype(np.float32)  # exact
    ones = np.ones(20, np.float32)
    mean, variance, *_ = _core.testing.batch_norm(isa, x, x, ones, ones, None, 300.0, EPSILON)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(variance, exact.var(axis=0), rtol=1e-5)


def test_threads_change_no_bit(isa, rng):
    arguments = case(rng, 3000, 70)
    counts = rng.random(3000) > 0.3
    results = []
    for threads in (1, 2, 3):
        with lf.threads(threads):
            results.append(_core.testing.batch_norm(isa, *arguments, counts, float(counts.sum()), EPSILON))
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_instruction_sets_agree_to_the_bit(rng):
    arguments = case(rng, 150, 37)
    fused = [
        _core.testing.batch_norm(isa, *arguments, None, 150.0, EPSILON)
        for isa in lf.available_isas()
        if isa != "sse2"
    ]
    for other in fused[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(fused[0], other, strict=True))


def test_nan_shows(rng):
    x, *_ = case(rng, 20, 5)
    x[3, 2] = np.nan
    for values in _core.batch_moments(x, None, 20.0):
        assert np.array_equal(np.isnan(values), [False, False, True, False, False])


def test_given_statistics_and_wrong_shapes(rng):
    x, dy, gamma, _ = case(rng, 20, 5)
    mean, scale = gamma, np.abs(gamma) + 1
    dgamma = np.ones(5, np.float32)
    dx = _core.batch_norm_backward(x, dy, mean, scale, gamma, None, 0.0, dgamma, None, True, True)
    np.testing.assert_allclose(dx, dy * gamma * scale, rtol=1e-6)
    np.testing.assert_allclose(dgamma, 1 + (dy * (x - mean) * scale).sum(axis=0), rtol=1e-5, atol=1e-5)
    assert _core.batch_norm_backward(x, dy, mean, scale, None, None, 0.0, None, None, False, False) is None
    with pytest.raises(ValueError, match="mean: expected shape"):
        _core.batch_norm_forward(x, mean[:4].copy(), scale, None, None)
    with pytest.raises(ValueError, match="counts: expected shape"):
        _core.batch_moments(x, np.ones(19, bool), 19.0)
    with pytest.raises(ValueError, match="total: expected a positive number"):
        _core.batch_moments(x, None, 0.0)
