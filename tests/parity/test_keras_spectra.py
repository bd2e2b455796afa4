# SPDX-License-Identifier: BSD-3-Clause
"""Fourier's transforms, windows of a plane, patterns and triangular factors of arrays alone against Keras's and PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ops_parity import close, numpy_of
from peers import keras, torch

from lstmfast import Input, ops

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own
RNG = np.random.default_rng(3)
X = RNG.normal(size=(2, 3, 24))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_short_transforms_agree(data):
    length = data.draw(st.integers(2, 8))
    fft_length = data.draw(st.integers(length, length + 3))
    stride = data.draw(st.integers(1, length))
    window = data.draw(st.sampled_from(["hann", "hamming", None, "own"]))
    center, dtype = data.draw(st.booleans()), data.draw(st.sampled_from(["float32", "float64"]))
    x = X[data.draw(st.integers(0, 1))].astype(dtype)
    window = np.linspace(0.5, 1, length).astype(dtype) if window == "own" else window
    how = {"window": window, "center": center}
    found = ops.stft(x, length, stride, fft_length, **how)
    expected = [numpy_of(part) for part in keras.ops.stft(x, length, stride, fft_length, **how)]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        close(ours, theirs)

    size = fft_length + stride * (found[0].shape[-2] - 1) - (2 * (fft_length // 2) if center else 0)
    how["length"] = data.draw(st.sampled_from([None, max(size - 2, 1)]))
    try:
        back = ops.istft(found, length, stride, fft_length, **how)
    except ValueError as error:
        assert "multiply some steps by 0" in str(error)
        assume(False)
    # Keras refuses strides below this in its own way of adding windows up, and gives NaN where we refuse.
    assume(stride >= fft_length / found[0].shape[-2])
    close(back, numpy_of(keras.ops.istft(tuple(expected), length, stride, fft_length, **how)))


def test_there_and_back():
    for center in (True, False):
        parts = ops.stft(X, 8, 2, 8, center=center)
        back = ops.istft(parts, 8, 2, 8, center=center)
        inner = np.s_[..., 8:-8]
        np.testing.assert_allclose(back[inner], X[..., : back.shape[-1]][inner], atol=1e-12)
    longer = ops.istft(ops.stft(X, 8, 2, 8), 8, 2, 8, length=40)
    assert longer.shape == (2, 3, 40) and not longer[..., 30:].any()


@pytest.mark.parametrize("shape", [(5, 4, 4), (2, 3, 6), (6, 3), (1, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_triangular_factors(shape, dtype):
    a = RNG.normal(size=shape).astype(dtype)
    packed, pivots = ops.lu_factor(a)
    expected, places = torch.linalg.lu_factor(torch.tensor(a))
    assert packed.dtype == a.dtype and pivots.dtype == np.int32
    close(packed, expected.numpy())
    np.testing.assert_array_equal(pivots, places.numpy() - 1)
    keras_packed, keras_pivots = keras.ops.lu_factor(torch.tensor(a))
    close(packed, numpy_of(keras_packed))
    np.testing.assert_array_equal(pivots, numpy_of(keras_pivots))


def test_a_singular_matrix_has_factors():
    packed, _ = ops.lu_factor(np.zeros((3, 3), np.float32))
    np.testing.assert_array_equal(packed, np.zeros((3, 3)))


@pytest.mark.parametrize(
    ("pattern", "sizes"),
    [
        ("a b c -> c a b", {}),
        ("a b (c d) -> (a c) b d", {"d": 4}),
        ("a b (c d e) -> d (a e) (c b)", {"c": 2, "e": 3}),
        ("a b c -> (a b c)", {}),
        ("a b (c d) -> a b c d", {"c": 6, "d": 4}),
    ],
)
def test_patterns(pattern, sizes):
    x = X.astype(np.float32)
    found = ops.rearrange(x, pattern, **sizes)
    np.testing.assert_array_equal(found, numpy_of(keras.ops.rearrange(x, pattern, **sizes)))
    symbolic = ops.rearrange(Input(batch_shape=X.shape), pattern, **sizes)
    assert symbolic.shape == found.shape


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_windows_of_a_plane(data):
    pair = lambda low, high: st.tuples(st.integers(low, high), st.integers(low, high))  # noqa: E731
    how = {
        "kernel_size": data.draw(pair(1, 3)),
        "dilation": data.draw(pair(1, 2)),
        "padding": data.draw(pair(0, 2)),
        "stride": data.draw(pair(1, 3)),
    }
    x = RNG.normal(size=(2, 3, 6, 5)).astype(np.float32)
    found = ops.unfold(x, **how)
    np.testing.assert_array_equal(found, numpy_of(keras.ops.unfold(torch.tensor(x), **how)))
    close(ops.fold(found, (6, 5), **how), numpy_of(keras.ops.fold(torch.tensor(found), (6, 5), **how)))


def test_open_sizes():
    x = Input((None, 3))
    assert [part.shape for part in ops.stft(ops.transpose(x, (0, 2, 1)), 8, 4, 8)] == [(None, 3, None, 5)] * 2
    assert ops.istft((Input((None, 5)), Input((None, 5))), 8, 4, 8).shape == (None, None)
    assert ops.istft((Input((None, 5)), Input((None, 5))), 8, 4, 8, length=30).shape == (None, 30)
    assert ops.rearrange(x, "b (n t) f -> b n (t f)", t=4).shape == (None, None, 12)
    assert ops.unfold(Input((2, None, 6)), 2).shape == (None, 8, None)
    assert ops.depth_to_space(Input((None, None, 8)), 2).shape == (None, None, None, 2)
    assert ops.extract_sequences(Input((4, None)), 3, 2).shape == (None, 4, None, 3)


PAIR = (np.ones((2, 3), np.float32), np.ones((2, 3), np.float32))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.stft(X, 4, 0, 4), ValueError, "`sequence_stride` must be a positive integer"),
        (lambda: ops.istft(PAIR, 4, 1.5, 4), ValueError, "`sequence_stride` must be a positive integer"),
        (lambda: ops.stft(X, 8, 2, 4), ValueError, "`fft_length` must equal or larger"),
        (lambda: ops.stft(X, 4, 2, 4, window="flat"), ValueError, "it must be one of"),
        (lambda: ops.stft(X, 4, 2, 4, window=np.ones(3)), ValueError, "The shape of `window` must be"),
        (lambda: ops.stft(np.arange(9), 4, 2, 4), TypeError, "Expected `float32` or `float64`"),
        (lambda: ops.stft(X, 60, 2, 60), ValueError, "too short for fft_length=60"),
        (lambda: ops.istft(PAIR[0], 4, 2, 4), ValueError, "should be a tuple of two tensors"),
        (lambda: ops.istft((PAIR[0], X), 4, 2, 4), ValueError, "should have the same shape"),
        (lambda: ops.istft((PAIR[0][0],) * 2, 4, 2, 4), ValueError, "Input should have rank >= 2"),
        (lambda: ops.istft(PAIR, 8, 2, 8), ValueError, "expected 5 numbers in the last axis"),
        (lambda: ops.istft(PAIR, 4, 4, 4, center=False), ValueError, "multiply some steps by 0"),
        (lambda: ops.fft((X, X[:1])), ValueError, "should have the same shape"),
        (lambda: ops.fft((np.float32(1), np.float32(1))), ValueError, "Input should have rank >= 1"),
        (lambda: ops.fft2((X[0, 0], X[0, 0])), ValueError, "Input should have rank >= 2"),
        (lambda: ops.rfft(np.float32(5)), ValueError, "Input should have rank >= 1"),
        (lambda: ops.lu_factor(X[0, 0]), ValueError, "rank >= 2"),
        (lambda: ops.rearrange(X, "a b -> b a"), ValueError, "is for 2 axes"),
        (lambda: ops.rearrange(X, "a b c -> a b"), ValueError, "the same axes, each once"),
        (lambda: ops.rearrange(X, "a b c, a b c"), ValueError, "one `->`"),
        (lambda: ops.rearrange(X, "a b (c d) -> a b c d"), ValueError, "give the sizes of all but one"),
        (lambda: ops.rearrange(X, "a b (c d) -> a b c d", d=5), ValueError, "cannot be taken apart"),
        (lambda: ops.rearrange(X, "a b c -> c b a", b=5), ValueError, "axis b has size 3, not 5"),
        (lambda: ops.unfold(X, 2), ValueError, "must be a 4D tensor"),
        (lambda: ops.unfold(X[None], 9), ValueError, "does not fit into"),
        (lambda: ops.unfold(X[None], 0), ValueError, "kernel_size must be"),
        (lambda: ops.fold(X[None], 3, 2), ValueError, "must be a 3D tensor"),
        (lambda: ops.fold(X, 3, 2), ValueError, "must be divisible by kernel_size product"),
        (lambda: ops.fold(X, (3, 1), 1), ValueError, "has 3 windows, the last axis of the input 24"),
        (lambda: ops.depth_to_space(X, 2), ValueError, "requires a 4D input tensor"),
        (lambda: ops.depth_to_space(X[None], 5), ValueError, "The number of channels"),
        (lambda: ops.space_to_depth(X[None], 1), ValueError, "`block_size` must be at least 2"),
        (lambda: ops.space_to_depth(X[None], 2), ValueError, "Width|Height"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
