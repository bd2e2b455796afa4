# SPDX-License-Identifier: BSD-3-Clause
"""Merge layers: lengths, masks in graphs, gradients in NumPy, frozen models."""

import numpy as np
import pytest

from lstmfast import Input, Model, Sequential, layers, optimizers
from lstmfast.layers import Call


@pytest.mark.parametrize("name", ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"])
def test_gradients_by_differences(name, rng):
    layer = getattr(layers, name)()
    x = [rng.standard_normal(s) for s in ((2, 3, 4), (2, 1, 4))]
    masks = [rng.random((2, 3)) < 0.6, rng.random((2, 1)) < 0.6]
    for mask in (None, masks, [masks[0], None], [None, masks[1]]):
        call = Call(save=True, needs_dx=True, mask=mask)
        y = layer.forward([a.astype("float32") for a in x], call)
        dy = rng.standard_normal(y.shape).astype("float32")
        gradients = layer.backward(dy, call)

        def loss(arrays, mask=mask, dy=dy):
            full = None if mask is None else [
                None if m is None else np.broadcast_to(m[..., None], a.shape) for m, a in zip(mask, arrays, strict=True)
            ]  # fmt: skip
            return float((layer.merge(arrays, full) * dy).sum())

        for k in range(2):
            expected = np.empty_like(x[k])
            for index in np.ndindex(x[k].shape):
                up, down = ([a.copy() for a in x] for _ in range(2))
                up[k][index] += 1e-6
                down[k][index] -= 1e-6
                expected[index] = (loss(up) - loss(down)) / 2e-6
            np.testing.assert_allclose(
                gradients[k], expected, rtol=0, atol=1e-5 * max(1, abs(expected).max())
            )


def test_a_mask_needs_all_inputs():
    x, z = Input((4, 3)), Input((4, 3))
    masked = layers.Masking()(x)
    assert layers.Add()([masked, masked]).has_mask and not layers.Add()([masked, z]).has_mask
    assert layers.Concatenate()([masked, z]).has_mask
    inner = Model([x, z], layers.Add()([x, z]))
    assert not inner([masked, z]).has_mask or inner.makes_mask(True)


@pytest.mark.parametrize("make", [layers.Add, lambda: layers.Dot(2)])
def test_lengths_go_on(make, rng):
    """A recurrent layer behind sees them: each row's result is that of the row alone."""
    x = Input((None, 3))
    a, b = layers.Dense(4)(x), layers.LSTM(4, return_sequences=True)(x)
    y = make()([a, b])
    if y.shape[-1] is None:  # scores of every step for every step: cut to a width that does not vary
        y = layers.Dot(axes=(2, 1))([y, b])
    model = Model(x, layers.GRU(2)(y))
    data = rng.standard_normal((3, 6, 3)).astype("float32")
    lengths = np.array([6, 3, 1])
    y = model(data, lengths=lengths)
    for row, n in enumerate(lengths):
        np.testing.assert_allclose(y[row : row + 1], model(data[row : row + 1, :n]), rtol=0, atol=1e-6)


def test_dot_over_time_leaves_padding_out(rng):
    x = rng.standard_normal((2, 5, 3)).astype("float32")
    z = rng.standard_normal((2, 5, 2)).astype("float32")
    lengths = np.array([5, 2], np.int32)
    expected = np.stack([x[r, :n].T @ z[r, :n] for r, n in enumerate(lengths)])
    x[1, 2:] = np.nan
    layer, call = layers.Dot(1), Call(save=True, needs_dx=True, lengths=lengths)
    np.testing.assert_allclose(layer.forward([x, z], call), expected, rtol=0, atol=1e-6)
    dx, dz = layer.backward(np.ones((2, 3, 2), np.float32), call)
    assert (dx[1, 2:] == 0).all() and (dz[1, 2:] == 0).all() and np.isfinite(dx).all()
    assert layer.output_lengths(lengths) is None and call.output_lengths is None


def test_what_cannot_be_frozen():
    x, z = Input((4, 3)), Input((3,))
    with pytest.raises(ValueError, match=r"'bad' cannot be frozen: its inputs have different shapes"):
        Model([x, z], layers.Add(name="bad")([x, z])).freeze()
    with pytest.raises(ValueError, match=r"'bad'.* cannot be frozen"):
        Model(x, layers.Dot(2, name="bad")([x, x])).freeze()


def test_training(rng):
    x = Input((3,))
    joined = layers.multiply([layers.Dense(4)(x), layers.Dense(4, "sigmoid")(x)])
    model = Model(x, layers.Dense(1)(layers.maximum([joined, layers.Dense(1)(x)])))
    model.compile(optimizers.Adam(0.02), "mse")
    data = rng.standard_normal((64, 3))
    target = data[:, :1] * data[:, 1:2]
    before = model.evaluate(data, target, verbose=0)
    model.fit(data, target, epochs=30, verbose=0)
    assert model.evaluate(data, target, verbose=0) < before / 2


def test_an_input_that_is_no_list():
    with pytest.raises(ValueError, match="list"):
        layers.Add()(np.ones((2, 3)))
    with pytest.raises(ValueError, match="list"):
        Sequential([Input((3,)), layers.Add()])
