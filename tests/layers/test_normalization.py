# SPDX-License-Identifier: BSD-3-Clause
"""Normalization layers against NumPy in float64, differences, and their rules for masks and moving averages."""

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import layers
from lstmfast.testing import check_gradients


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("axis", [-1, 1, [1, 2]])
def test_layer_normalization(axis, rng):
    x = rng.standard_normal((3, 4, 5)) * 3 + 2
    axes = tuple(axis) if isinstance(axis, list) else axis
    layer = layers.LayerNormalization(axis=axis, epsilon=0.1)
    layer.build(x.shape)
    gamma, beta = (rng.standard_normal(v.shape) for v in layer.weights)
    layer.set_weights([gamma, beta])
    shape = {-1: (5,), 1: (1, 4, 1), (1, 2): (1, 4, 5)}[axes]
    normal = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 0.1)
    close(layer(x), normal * gamma.reshape(shape) + beta.reshape(shape))
    assert max(check_gradients(layer, x).values()) < 1e-5


@pytest.mark.parametrize("axis", [-1, 1, [1, 2]])
def test_rms_and_unit_normalization(axis, rng):
    x = rng.standard_normal((3, 4, 5)) + 1
    axes = tuple(axis) if isinstance(axis, list) else axis
    close(
        layers.RMSNormalization(axis=axis)(x),
        x / np.sqrt(np.mean(x**2, axis=axes, keepdims=True) + 1e-6),
    )
    close(layers.UnitNormalization(axis=axis)(x), x / np.sqrt(np.sum(x**2, axis=axes, keepdims=True)))
    for layer in (layers.RMSNormalization(axis=axis), layers.UnitNormalization(axis=axis)):
        assert max(check_gradients(layer, x).values()) < 1e-5


def test_a_vector_of_zeros_stays_zero():
    np.testing.assert_array_equal(layers.UnitNormalization()(np.zeros((2, 3))), 0)
    np.testing.assert_array_equal(layers.RMSNormalization()(np.zeros((2, 3))), 0)
    np.testing.assert_array_equal(layers.LayerNormalization()(np.full((2, 3), 7.0)), 0)


@pytest.mark.parametrize("groups", [1, 2, 6, -1])
def test_group_normalization(groups, rng):
    x = rng.standard_normal((3, 4, 6)) + 1
    parts = 6 if groups == -1 else groups
    g = x.reshape(3, 4, parts, 6 // parts)
    expected = (g - g.mean((1, 3), keepdims=True)) / np.sqrt(g.var((1, 3), keepdims=True) + 1e-3)
    layer = layers.GroupNormalization(groups)
    close(layer(x), expected.reshape(x.shape))
    assert max(check_gradients(layer, x).values()) < 1e-5


def test_batch_normalization_moves_its_averages(rng):
    x = rng.standard_normal((20, 5, 3)) * 2 + 1
    layer = layers.BatchNormalization(momentum=0.8)
    y = layer(x, training=True)
    mean, variance = x.mean((0, 1)), x.var((0, 1))
    close(y, (x - mean) / np.sqrt(variance + 1e-3))
    close(layer.moving_mean.numpy(), 0.2 * mean)
    close(layer.moving_variance.numpy(), 0.8 + 0.2 * variance)
    before = layer.get_weights()
    close(layer(x), (x - 0.2 * mean) / np.sqrt(0.8 + 0.2 * variance + 1e-3))
    layer.trainable = False
    layer(x, training=True)
    for a, b in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_steps_that_do_not_count_stay_out_of_the_statistics(rng):
    x = rng.standard_normal((4, 5, 3))
    mask = np.arange(5) < np.array([5, 2, 1, 3])[:, None]
    layer = layers.BatchNormalization(momentum=0.0)
    expected = layer(np.where(mask[..., None], x, 1e6), training=True, mask=mask)
    close(layer.moving_mean.numpy(), x[mask].mean(axis=0))
    close(layer.moving_variance.numpy(), x[mask].var(axis=0))
    by_lengths = layer(np.where(mask[..., None], x, -1e6), training=True, lengths=mask.sum(axis=1))
    np.testing.assert_array_equal(by_lengths[mask], expected[mask])
    with pytest.raises(ValueError, match="one dimension less"):
        layers.BatchNormalization()(np.zeros((4, 5, 2, 3)), training=True, mask=mask)


def test_a_model_in_training_and_inference(rng):
    model = lf.Sequential([lf.Input((5, 3)), layers.BatchNormalization(), layers.GRU(4), layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = rng.standard_normal((32, 5, 3)) + 3, rng.standard_normal((32, 1))
    model.fit(x, y, epochs=3, verbose=0)
    moved = model.layers[0].moving_mean.numpy()
    assert (moved > 0).all()
    model.predict(x, verbose=0)
    model.evaluate(x, y, verbose=0)
    np.testing.assert_array_equal(model.layers[0].moving_mean.numpy(), moved)
    assert len(model.trainable_variables) == 2 + 3 + 2 and len(model.weights) == 9


WRONG = [
    (lambda: layers.LayerNormalization(axis="1"), TypeError, "axis"),
    (lambda: layers.LayerNormalization(axis=[]), TypeError, "axis"),
    (lambda: layers.LayerNormalization(axis=3).build((None, 4)), ValueError, "out of bounds"),
    (lambda: layers.LayerNormalization(axis=[1, -1]).build((None, 4)), ValueError, "twice"),
    (
        lambda: layers.LayerNormalization(axis=1).build((None, None, 4)),
        ValueError,
        "must be known|defined dimension",
    ),
    (lambda: layers.GroupNormalization(0), ValueError, "groups"),
    (lambda: layers.GroupNormalization(2, axis=0).build((4, 4)), ValueError, "batch axis"),
    (lambda: layers.BatchNormalization(synchronized=True), ValueError, "synchronized"),
    (lambda: layers.BatchNormalization(renorm=True, renorm_clipping={"r": 1}), ValueError, "renorm_clipping"),
    (lambda: layers.BatchNormalization()(np.zeros((2, 0, 3))), ValueError, "empty"),
]


@pytest.mark.parametrize(("make", "error", "match"), WRONG)
def test_errors(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_rms_scaling_is_deprecated():
    with pytest.warns(UserWarning, match="RMSNormalization"):
        layers.LayerNormalization(rms_scaling=True)
