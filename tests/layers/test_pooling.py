# SPDX-License-Identifier: BSD-3-Clause
"""Pooling over time: in plain NumPy, with lengths, in models."""

import numpy as np
import pytest

from lstmfast import Input, Model, Sequential, layers
from lstmfast.layers import Call

OPTIONS = [
    (size, stride, padding)
    for size in (1, 2, 3, 5)
    for stride in (1, 2, 3, 4)
    for padding in ("valid", "same")
]


def plainly(kind, x, size, stride, padding):
    """Window by window in float64: only the steps that exist."""
    time = len(x)
    if padding == "valid":
        starts = range(0, time - size + 1, stride)
    else:
        outputs = -(-time // stride)
        left = max((outputs - 1) * stride + size - time, 0) // 2
        starts = [t * stride - left for t in range(outputs)]
    return [getattr(np, kind)(x[max(s, 0) : s + size].astype(float), axis=0) for s in starts]


@pytest.mark.parametrize(("size", "stride", "padding"), OPTIONS)
@pytest.mark.parametrize("name", ["MaxPooling1D", "AveragePooling1D"])
def test_rows_with_and_without_padding(name, size, stride, padding, rng):
    """Each row as if alone, in NumPy; the gradient by differences along one direction."""
    lengths = np.array([9, 7, 4, 1, 0], np.int32)
    x = rng.standard_normal((5, 9, 2)).astype("float32")
    layer = getattr(layers, name)(size, stride, padding)
    kind = "max" if name == "MaxPooling1D" else "mean"
    padded = x.copy()
    for row, n in enumerate(lengths):
        padded[row, n:] = np.nan
    call = Call(save=True, needs_dx=True, lengths=lengths)
    y, counts = layer.forward(padded, call), layer.output_lengths(lengths)
    dy = rng.standard_normal(y.shape).astype("float32")
    for row, n in enumerate(counts):
        dy[row, n:] = 0
    dx = layer.backward(dy, call)
    assert np.isfinite(y).all() and np.isfinite(dx).all()
    change = rng.standard_normal(x.shape) * 1e-6
    for row, n in enumerate(lengths):
        expected = plainly(kind, x[row, :n], size, stride, padding) if n else []
        assert counts[row] == len(expected)
        if expected:
            np.testing.assert_allclose(y[row, : len(expected)], expected, rtol=1e-5, atol=1e-6)
            up = plainly(kind, x[row, :n] + change[row, :n], size, stride, padding)
            difference = ((np.array(up) - np.array(expected)) * dy[row, : len(expected)]).sum()
            np.testing.assert_allclose(
                (dx[row, :n] * change[row, :n]).sum(), difference, rtol=1e-4, atol=1e-11
            )
        assert (dx[row, n:] == 0).all()


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("name", ["GlobalMaxPooling1D", "GlobalAveragePooling1D"])
def test_global_pooling_of_padded_rows(name, width, keepdims, rng):
    lengths = np.array([400, 133, 1, 0], np.int32)
    x = rng.standard_normal((4, 400, width)).astype("float32")
    layer = getattr(layers, name)(keepdims=keepdims)
    padded = x.copy()
    for row, n in enumerate(lengths):
        padded[row, n:] = np.nan
    call = Call(save=True, needs_dx=True, lengths=lengths)
    y = layer.forward(padded, call)
    dy = rng.standard_normal(y.shape).astype("float32")
    dx = layer.backward(dy, call)
    for row, n in enumerate(lengths[:3]):
        alone = Call(save=True, needs_dx=True)
        np.testing.assert_array_equal(y[row : row + 1], layer.forward(x[row : row + 1, :n], alone))
        np.testing.assert_array_equal(dx[row : row + 1, :n], layer.backward(dy[row : row + 1], alone))
        assert (dx[row, n:] == 0).all()
    assert (y[3] == 0).all() and (dx[3] == 0).all()


def test_lengths_through_a_model(rng):
    model = Sequential([Input((None, 3)), layers.MaxPooling1D(3, 2), layers.GRU(4, return_sequences=True),
                        layers.AveragePooling1D(2, padding="same"), layers.GlobalAveragePooling1D()])  # fmt: skip
    x = rng.standard_normal((3, 11, 3)).astype("float32")
    lengths = np.array([11, 6, 4])
    y = model(x, lengths=lengths)
    for row, n in enumerate(lengths):
        np.testing.assert_array_equal(y[row : row + 1], model(x[row : row + 1, :n]))


def test_masked_mean_in_a_model(rng):
    x = Input((5, 3))
    model = Model(x, layers.GlobalAveragePooling1D()(layers.Dense(2)(layers.Masking()(x))))
    data = rng.standard_normal((2, 5, 3)).astype("float32")
    data[0, 2:] = 0
    for row, n in enumerate((2, 5)):
        expected = model.layers[2](data[row, :n]).mean(axis=0)
        np.testing.assert_allclose(model(data)[row], expected, rtol=1e-5)


def test_windows_longer_than_the_input():
    with pytest.raises(ValueError, match=r"(?s)zero or negative.*'p'"):
        layers.MaxPooling1D(5, name="p")(np.ones((2, 3, 4)))
    assert layers.MaxPooling1D(5, padding="same")(np.ones((2, 3, 4))).shape == (2, 1, 4)


@pytest.mark.parametrize(
    "layer",
    [layers.MaxPooling1D(2, data_format="channels_first", name="bad"),
     layers.GlobalAveragePooling1D(data_format="channels_first", name="bad")],
)  # fmt: skip
def test_what_cannot_be_frozen(layer):
    with pytest.raises(ValueError, match=r"'bad'.* cannot be frozen"):
        Sequential([Input((5, 3)), layer]).freeze()
