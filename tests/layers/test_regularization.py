# SPDX-License-Identifier: BSD-3-Clause
"""The dropout family: gradients through the same draw, seeds, threads, frozen models."""

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import Input, Sequential, layers
from lstmfast.layers import Call

RANDOM = {
    "dropout": lambda **k: layers.Dropout(0.4, **k),
    "shared": lambda **k: layers.Dropout(0.4, (None, 1, None), **k),
    "spatial": lambda **k: layers.SpatialDropout1D(0.4, **k),
    "noise": lambda **k: layers.GaussianNoise(0.5, **k),
    "gaussian": lambda **k: layers.GaussianDropout(0.4, **k),
    "alpha": lambda **k: layers.AlphaDropout(0.4, **k),
    "alpha shared": lambda **k: layers.AlphaDropout(0.4, (None, 1, None), **k),
}


@pytest.mark.parametrize("name", RANDOM)
def test_gradient_is_that_of_the_draw(name, rng):
    """All are affine in x for a given draw: the change of the output by a change of x, exactly as the gradient says."""
    x, change = (rng.standard_normal((3, 4, 5)).astype("float32") for _ in range(2))
    call = Call(training=True, save=True, needs_dx=True)
    y = RANDOM[name](seed=7).forward(x, call)
    other = RANDOM[name](seed=7).forward(x + change, Call(training=True))
    np.testing.assert_allclose(other - y, RANDOM[name](seed=7).backward(change, call), rtol=0, atol=2e-6)
    assert y.dtype == np.float32


@pytest.mark.parametrize("name", RANDOM)
def test_seeds_and_threads(name):
    x = np.ones((64, 32, 16), np.float32)
    draws = []
    for threads in (1, 2, 3):
        with lf.threads(threads):
            layer = RANDOM[name](seed=3)
            draws.append([layer(x, training=True) for _ in range(2)])
    for first, second in draws[1:]:
        np.testing.assert_array_equal(first, draws[0][0])
        np.testing.assert_array_equal(second, draws[0][1])
    assert not np.array_equal(*draws[0])
    seen = []
    for _ in range(2):
        lf.utils.set_random_seed(1)
        seen.append(RANDOM[name]()(x, training=True))
    np.testing.assert_array_equal(*seen)
    np.testing.assert_array_equal(RANDOM[name]()(x), x)


def test_off_at_rate_zero():
    x = np.ones((2, 3, 4), np.float32)
    for layer in (
        layers.Dropout(0),
        layers.GaussianNoise(0),
        layers.GaussianDropout(0),
        layers.AlphaDropout(0),
    ):
        call = Call(training=True, save=True)
        assert layer.forward(x, call) is x and layer.backward(x, call) is x


def test_a_noise_shape_that_does_not_fit():
    for shape in ((1,), (2, 3, 4, 1), (None, 2, None)):
        for cls in (layers.Dropout, layers.AlphaDropout):
            with pytest.raises(ValueError, match="noise_shape"):
                cls(0.5, shape)(np.ones((2, 3, 4)), training=True)


def test_two_layers_share_a_seed_generator():
    shared = lf.random.SeedGenerator(3)
    a, b = layers.Dropout(0.5, seed=shared), layers.Dropout(0.5, seed=shared)
    x = np.ones((8, 8), np.float32)
    assert not np.array_equal(a(x, training=True), b(x, training=True))
    config = lf.saving.serialize_keras_object(a)
    assert lf.saving.serialize_keras_object(lf.saving.deserialize_keras_object(config)) == config


def test_frozen_models_leave_them_out(rng):
    model = Sequential([Input((None, 3)), *(make() for make in RANDOM.values()), layers.ActivityRegularization(0.1),
                        layers.LSTM(4)])  # fmt: skip
    frozen = model.freeze()
    x = rng.standard_normal((2, 5, 3)).astype("float32")
    np.testing.assert_array_equal(frozen(x), model(x))
    assert "1 operations" in repr(frozen)
