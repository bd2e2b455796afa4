# SPDX-License-Identifier: BSD-3-Clause
"""Normalizations in frozen models and streams: the model's bits, where that runs native kernels too."""

from __future__ import annotations

import numpy as np
import pytest
from frozen_cases import randomized as with_any
from frozen_cases import same_bits

import lstmfast as lf
from lstmfast import Input, Sequential, layers

KINDS = {
    "plain": lambda: layers.LayerNormalization(),
    "no_gamma": lambda: layers.LayerNormalization(scale=False, epsilon=0.1),
    "no_beta": lambda: layers.LayerNormalization(center=False),
    "neither": lambda: layers.LayerNormalization(scale=False, center=False),
    "named_axis": lambda: layers.LayerNormalization(axis=2),
    "rms": lambda: layers.RMSNormalization(),
    "batch": lambda: layers.BatchNormalization(),
    "batch_plain": lambda: layers.BatchNormalization(scale=False, center=False, epsilon=0.2),
    "batch_renorm": lambda: layers.BatchNormalization(renorm=True, center=False),
}


def randomized(model, seed=0):
    """With variances that are positive."""
    made = with_any(model, seed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_variance.assign(np.abs(layer.moving_variance.numpy()) + 0.1)
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_the_models_bits(kind, rng):
    model = randomized(
        Sequential([Input((None, 5)), layers.GRU(9, return_sequences=True), KINDS[kind](), layers.Dense(3)])
    )
    x = rng.standard_normal((3, 11, 5)).astype("float32")
    frozen = model.freeze()
    y = model(x)
    assert same_bits(frozen(x), y)
    assert same_bits(frozen(x[:1]), y[:1])
    stream = frozen.stream(batch=3)
    chunks = [stream.push(x[:, :4]), stream.step(x[:, 4])[:, None], stream.push(x[:, 5:])]
    assert same_bits(np.concatenate(chunks, axis=1), y)


@pytest.mark.parametrize("kind", [*KINDS, "group", "unit"])
def test_masks_go_through_or_end(kind, rng):
    norm = {"group": lambda: layers.GroupNormalization(2), "unit": layers.UnitNormalization, **KINDS}[kind]()
    stack = [Input((None, 4)), layers.Masking(), norm, layers.LSTM(5)]
    model = randomized(Sequential(stack[:2]) if kind == "rms" else Sequential(stack))
    if kind == "rms":
        with pytest.warns(UserWarning, match="does not support masking"):
            model.add(norm)
        model.add(stack[3])
    x = rng.standard_normal((4, 9, 4)).astype("float32")
    x[rng.random((4, 9)) < 0.4] = 0
    y, expected = model.freeze()(x), model(x)
    if kind in ("group", "unit"):  # NumPy adds in another order
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6)
    else:
        assert same_bits(y, expected)


@pytest.mark.parametrize("groups", [1, 3, 6, -1])
@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False, "epsilon": 0.1}], ids=str)
def test_groups(groups, axes, options, rng):
    shape = (6,) if axes == 2 else (None, 6)
    model = randomized(
        Sequential([Input(shape), layers.GroupNormalization(groups, name="groups", **options)])
    )
    frozen = model.freeze()
    for batch, steps in ((1, 1), (5, 7), (3, 60)):
        x = rng.normal(3, 2, (batch, 6) if axes == 2 else (batch, steps, 6)).astype("float32")
        y = frozen(x)
        np.testing.assert_allclose(y, model(x), rtol=0, atol=1e-5 * np.abs(y).max())
        assert same_bits(frozen(x[:1]), y[:1])
        for threads in (1, 2):
            with lf.threads(threads):
                assert same_bits(frozen(x), y)
    if axes == 3:
        with pytest.raises(
            ValueError, match="layer 'groups' cannot run in a stream: it needs all time steps"
        ):
            frozen.stream()


def test_unit_length(rng):
    model = Sequential([Input((None, 7)), layers.UnitNormalization()])
    x = rng.normal(size=(4, 9, 7)).astype("float32")
    x[0, 0], x[1, 1], x[2, 2] = 0, 1e-15, [3e19, 0, 0, 0, 0, 0, 0]
    with np.errstate(over="ignore"):
        expected = model(x)
    frozen = model.freeze()
    np.testing.assert_allclose(frozen(x), expected, rtol=1e-6)
    stream = frozen.stream(batch=4)
    assert same_bits(np.stack([stream.step(x[:, t]) for t in range(9)], 1), frozen(x))


def test_two_axes(rng):
    model = randomized(Sequential([Input((33,)), layers.LayerNormalization(), layers.Dense(2)]))
    x = rng.standard_normal((6, 33)).astype("float32")
    assert same_bits(model.freeze()(x), model(x))


def test_what_cannot_be_frozen():
    for layer in (
        layers.LayerNormalization(axis=1),
        layers.RMSNormalization(axis=[1, 2]),
        layers.BatchNormalization(axis=1),
        layers.GroupNormalization(1, axis=1),
        layers.UnitNormalization(axis=1),
        layers.UnitNormalization(axis=[1, 2]),
    ):
        with pytest.raises(ValueError, match="not the last axis alone"):
            Sequential([Input((5, 4)), layer]).freeze()


def test_spectral_normalization(rng):
    """In inference the layer inside is as it is."""
    for inner in (layers.Dense(3), layers.Conv1D(3, 2), layers.EinsumDense("abc,cd->abd", (None, 3))):
        model = with_any(Sequential([Input((None, 5)), layers.SpectralNormalization(inner), layers.GRU(2)]))
        x = rng.normal(size=(3, 7, 5)).astype("float32")
        assert same_bits(model.freeze()(x), model(x))
    split = layers.SpectralNormalization(layers.EinsumDense("abc,cde->abde", (None, 3, 2), name="split"))
    with pytest.raises(ValueError, match="layer 'split' cannot be frozen"):
        Sequential([Input((4, 5)), split, layers.Flatten()]).freeze()
