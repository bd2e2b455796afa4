# SPDX-License-Identifier: BSD-3-Clause
"""Dense forward and backward against reference.py, on every instruction set, at ragged sizes, with teams of any size."""

from __future__ import annotations

import numpy as np
import pytest

from lstmfast import _core, reference

SHAPES = [(1, 1, 1), (3, 5, 7), (6, 17, 10), (15, 16, 33), (31, 100, 1), (100, 33, 64), (300, 70, 130)]


def close(got, want):
    assert got.shape == want.shape
    assert np.max(np.abs(got - want), initial=0) <= 1e-5 * max(1e-3, np.max(np.abs(want), initial=0))


def arrays(rng, m, k, n):
    normal = lambda *shape: (rng.standard_normal(shape) * 0.5).astype(np.float32)  # noqa: E731
    return normal(k, n), normal(n), normal(m, k), normal(m, n)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_against_the_reference(isa, shape, rng, guarded, poisoned):
    m, k, n = shape
    kernel, bias, x, dz = map(guarded, arrays(rng, m, k, n))
    weights = _core.DenseWeights(kernel, bias, isa)
    for threads in (1, 2, 3, 5, 8):
        _core.set_num_threads(threads)
        out = guarded(np.full((m, n), np.nan, np.float32))
        for activation in ("linear", "relu", "tanh", "sigmoid"):
            assert _core.dense_forward(weights, x, activation, out) is out
            close(out, reference.dense_forward(kernel, bias, x, activation))
        dkernel, dbias = guarded(np.full_like(kernel, np.nan)), guarded(np.full_like(bias, np.nan))
        dx = _core.dense_backward(weights, x, dz, dkernel, dbias)
        for got, want in zip((dx, dkernel, dbias), reference.dense_backward(kernel, x, dz), strict=True):
            close(got, want)


def test_bits_do_not_depend_on_threads(isa, rng):
    kernel, bias, x, dz = arrays(rng, 400, 150, 200)
    weights, results = _core.DenseWeights(kernel, bias, isa), []
    for threads in (1, 2, 3, 5, 8):
        _core.set_num_threads(threads)
        dkernel, dbias = np.empty_like(kernel), np.empty_like(bias)
        y = _core.dense_forward(weights, x)
        results.append((y, _core.dense_backward(weights, x, dz, dkernel, dbias), dkernel, dbias))
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_a_row_alone_and_in_a_batch(isa, rng):
    kernel, bias, x, _ = arrays(rng, 50, 129, 70)
    weights = _core.DenseWeights(kernel, bias, isa)
    whole = _core.dense_forward(weights, x, "tanh")
    for rows in (1, 2, 5, 7, 13):
        assert np.array_equal(_core.dense_forward(weights, x[:rows], "tanh"), whole[:rows])


def test_gradients_add_up_on_request(isa, rng):
    kernel, bias, x, dz = arrays(rng, 20, 9, 11)
    weights = _core.DenseWeights(kernel, bias, isa)
    dkernel, dbias = np.ones_like(kernel), np.ones_like(bias)
    assert _core.dense_backward(weights, x, dz, dkernel, dbias, True, False) is None
    _, want_kernel, want_bias = reference.dense_backward(kernel, x, dz)
    close(dkernel, want_kernel + 1)
    close(dbias, want_bias + 1)


def test_without_a_bias(isa, rng):
    kernel, _, x, dz = arrays(rng, 7, 5, 6)
    weights = _core.DenseWeights(kernel, None, isa)
    close(_core.dense_forward(weights, x), reference.dense_forward(kernel, None, x))
    dkernel = np.empty_like(kernel)
    _core.dense_backward(weights, x, dz, dkernel, None)
    close(dkernel, reference.dense_backward(kernel, x, dz)[1])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("x", np.zeros((2, 4), np.float32), r"x: expected shape \(\*, 3\), got \(2, 4\)"),
        ("activation", "swish2", "activation: no native activation is called 'swish2'"),
        ("out", np.zeros((1, 4), np.float32), r"out: expected shape \(2, 4\), got \(1, 4\)"),
    ],
)
def test_bad_arguments_are_named(name, value, message):
    weights = _core.DenseWeights(np.zeros((3, 4), np.float32), None)
    arguments = {"x": np.zeros((2, 3), np.float32), name: value}
    with pytest.raises(ValueError, match=message):
        _core.dense_forward(weights, **arguments)


def test_empty_weights_are_refused():
    with pytest.raises(ValueError, match=r"kernel: expected a shape without zeros, got \(0, 4\)"):
        _core.DenseWeights(np.zeros((0, 4), np.float32), None)


def test_an_output_is_never_a_copy(rng):
    """float64, strided or read-only outputs are refused, not filled and thrown away."""
    kernel, _, x, _ = arrays(rng, 4, 3, 6)
    weights = _core.DenseWeights(kernel, None)
    for wrong in (np.zeros((4, 6)), np.zeros((4, 12), np.float32)[:, ::2]):
        with pytest.raises(TypeError):
            _core.dense_forward(weights, x, "linear", wrong)
    frozen = np.zeros((4, 6), np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="out: expected a writeable array"):
        _core.dense_forward(weights, x, "linear", frozen)
