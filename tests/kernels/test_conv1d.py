# SPDX-License-Identifier: BSD-3-Clause
"""Convolution forward and backward against reference.py, on every instruction set, with teams of any size."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmfast import _core, reference

#: batch, time, channels, filters, taps, stride, dilation, groups
SHAPES = [
    (1, 1, 1, 1, 1, 1, 1, 1),
    (2, 9, 3, 5, 3, 1, 1, 1),
    (3, 20, 7, 33, 4, 1, 3, 1),
    (2, 23, 16, 18, 5, 3, 1, 1),
    (2, 11, 4, 6, 2, 5, 1, 2),
    (1, 40, 130, 64, 3, 1, 2, 1),
    (2, 15, 12, 12, 3, 1, 1, 12),
    (3, 30, 6, 9, 7, 2, 1, 3),
    (2, 8, 300, 70, 3, 1, 1, 1),
]


def close(got, want):
    assert got.shape == want.shape
    assert np.max(np.abs(got - want), initial=0) <= 1e-5 * max(1e-3, np.max(np.abs(want), initial=0))


def arrays(rng, shape):
    batch, time, channels, filters, taps, stride, dilation, groups = shape
    normal = lambda *s: (rng.standard_normal(s) * 0.5).astype(np.float32)  # noqa: E731
    outputs = (time - (taps - 1) * dilation - 1) // stride + 1
    return (
        normal(taps, channels // groups, filters),
        normal(filters),
        normal(batch, time, channels),
        normal(batch, outputs, filters),
    )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_against_the_reference(isa, shape, rng, guarded, poisoned):
    kernel, bias, x, dz = map(guarded, arrays(rng, shape))
    stride, dilation, groups = shape[5:]
    weights = _core.Conv1DWeights(kernel, bias, groups, isa)
    for threads in (1, 2, 3, 5):
        _core.set_num_threads(threads)
        out = guarded(np.full(dz.shape, np.nan, np.float32))
        for activation in ("linear", "relu", "tanh"):
            assert _core.conv1d_forward(weights, x, stride, dilation, activation, out) is out
            z = reference.conv1d_forward(kernel, bias, x, stride, dilation)
            close(out, reference.activation_forward(activation, z))
        dkernel, dbias = guarded(np.full_like(kernel, np.nan)), guarded(np.full_like(bias, np.nan))
        dx = _core.conv1d_backward(weights, x, dz, stride, dilation, dkernel, dbias)
        want = reference.conv1d_backward(kernel, x, dz, stride, dilation)
        for got, expected in zip((dx, dkernel, dbias), want, strict=True):
            close(got, expected)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_any_shape(data, seed):
    groups, taps = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 6))
    stride = data.draw(st.integers(1, 4))
    dilation = data.draw(st.integers(1, 3)) if stride == 1 else 1
    time = (taps - 1) * dilation + 1 + data.draw(st.integers(0, 20))
    channels, filters = groups * data.draw(st.integers(1, 9)), groups * data.draw(st.integers(1, 20))
    shape = (data.draw(st.integers(1, 4)), time, channels, filters, taps, stride, dilation, groups)
    kernel, bias, x, dz = arrays(np.random.default_rng(seed), shape)
    weights = _core.Conv1DWeights(kernel, bias, groups)
    close(
        _core.conv1d_forward(weights, x, stride, dilation),
        reference.conv1d_forward(kernel, bias, x, stride, dilation),
    )
    dkernel, dbias = np.ones_like(kernel), np.ones_like(bias)
    dx = _core.conv1d_backward(weights, x, dz, stride, dilation, dkernel, dbias, True)
    want = reference.conv1d_backward(kernel, x, dz, stride, dilation)
    for got, expected in zip((dx, dkernel - 1, dbias - 1), want, strict=True):
        assert np.abs(got - expected).max() <= 1e-5 * max(1, np.abs(expected).max())
    np.testing.assert_array_equal(_core.conv1d_input_gradient(weights, dz, time, stride, dilation), dx)


def test_bits_do_not_depend_on_threads_or_batch(isa, rng):
    shape = (6, 90, 24, 40, 5, 1, 2, 2)
    kernel, bias, x, dz = arrays(rng, shape)
    weights, results = _core.Conv1DWeights(kernel, bias, 2, isa), []
    for threads in (1, 2, 3, 5, 8):
        _core.set_num_threads(threads)
        dkernel, dbias = np.empty_like(kernel), np.empty_like(bias)
        y = _core.conv1d_forward(weights, x, 1, 2, "tanh")
        results.append((y, _core.conv1d_backward(weights, x, dz, 1, 2, dkernel, dbias), dkernel, dbias))
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))
    y, dx = results[0][:2]
    for row in range(6):
        one = np.s_[row : row + 1]
        assert np.array_equal(_core.conv1d_forward(weights, x[one], 1, 2, "tanh"), y[one])
        assert np.array_equal(_core.conv1d_backward(weights, x[one], dz[one], 1, 2, dkernel, dbias), dx[one])
    assert np.array_equal(
        _core.conv1d_forward(weights, np.ascontiguousarray(x[:, 3:50]), 1, 2, "tanh"), y[:, 3 : 50 - 8]
    )


def test_without_a_bias_and_a_gradient_of_x(rng):
    kernel, _, x, dz = arrays(rng, SHAPES[1])
    weights, dkernel = _core.Conv1DWeights(kernel, None), np.empty_like(kernel)
    close(_core.conv1d_forward(weights, x), reference.conv1d_forward(kernel, None, x))
    assert _core.conv1d_backward(weights, x, dz, 1, 1, dkernel, None, False, False) is None
    close(dkernel, reference.conv1d_backward(kernel, x, dz)[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.zeros((2, 5, 4), np.float32)}, r"x: expected shape \(\*, \*, 3\), got \(2, 5, 4\)"),
        (
            {"x": np.zeros((2, 1, 3), np.float32)},
            "x: expected at least 2 time steps, as many as a window has, got 1",
        ),
        ({"dilation": 5}, "x: expected at least 6 time steps"),
        ({"dilation": 2**62}, "x: expected at least"),
        ({"stride": 0}, "stride: expected a positive integer, got 0"),
        ({"dilation": -1}, "dilation: expected a positive integer, got -1"),
        ({"stride": 2, "dilation": 2}, "dilation: expected 1 with a stride above 1, got 2"),
        ({"activation": "swish2"}, "activation: no native activation is called 'swish2'"),
        ({"out": np.zeros((2, 4, 5), np.float32)}, r"out: expected shape \(2, 4, 4\), got \(2, 4, 5\)"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    weights = _core.Conv1DWeights(np.zeros((2, 3, 4), np.float32))
    with pytest.raises(ValueError, match=message):
        _core.conv1d_forward(weights, **{"x": np.zeros((2, 5, 3), np.float32), **arguments})


def test_bad_weights_are_refused():
    with pytest.raises(ValueError, match="kernel: expected a shape without zeros"):
        _core.Conv1DWeights(np.zeros((0, 3, 4), np.float32))
    for groups in (0, 3):
        with pytest.raises(ValueError, match=f"groups: expected a divisor of the 4 filters, got {groups}"):
            _core.Conv1DWeights(np.zeros((2, 3, 4), np.float32), None, groups)
    with pytest.raises(ValueError, match=r"bias: expected shape \(4,\)"):
        _core.Conv1DWeights(np.zeros((2, 3, 4), np.float32), np.zeros(3, np.float32))


def test_input_gradient_refuses_what_does_not_fit(rng):
    weights = _core.Conv1DWeights(np.ones((3, 2, 4), np.float32))
    dz = np.ones((2, 5, 4), np.float32)
    with pytest.raises(ValueError, match="dz"):
        _core.conv1d_input_gradient(weights, dz, 9)
    with pytest.raises(ValueError, match="dz"):
        _core.conv1d_input_gradient(weights, dz[..., :3].copy(), 7)
    for time in (2, 2**62):
        with pytest.raises(ValueError, match="x: "):
            _core.conv1d_input_gradient(weights, dz, time)
    with pytest.raises(ValueError, match="stride"):
        _core.conv1d_input_gradient(weights, dz, 7, 0)


def test_gradients_of_the_input_at_several_strides_from_one_packing():
    """Packed anew for each stride, by whichever thread comes first."""
    rng = np.random.default_rng(3)
    kernel = rng.standard_normal((5, 4, 6)).astype("float32")
    weights = _core.Conv1DWeights(kernel)
    cases = []
    for stride in (1, 2, 3, 7, 2, 1):
        time = 5 + 3 * stride
        x = rng.standard_normal((2, time, 4)).astype("float32")
        dz = rng.standard_normal((2, 4, 6)).astype("float32")
        cases.append((dz, time, stride, reference.conv1d_backward(kernel, x, dz, stride, 1)[0]))
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda case: _core.conv1d_input_gradient(weights, *case[:3]), cases * 4))
    for got, (*_, want) in zip(found, cases * 4, strict=True):
        close(got, want)
