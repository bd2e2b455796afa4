# SPDX-License-Identifier: BSD-3-Clause
"""Draws from distributions: moments, seeds, and draws in a `call`."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import layers, ops, random

DRAWS = {
    "normal": (lambda **k: random.normal((200, 300), 2.0, 3.0, **k), 2.0, 9.0),
    "uniform": (lambda **k: random.uniform((200, 300), -1.0, 5.0, **k), 2.0, 3.0),
    "randint": (lambda **k: random.randint((200, 300), -2, 5, **k), 1.0, 4.0),
    # variance of a normal distribution cut at two deviations: 1 - 4 phi(2) / (2 Phi(2) - 1)
    "truncated_normal": (lambda **k: random.truncated_normal((200, 300), 1.0, 2.0, **k), 1.0, 4 * 0.7737413),
    "gamma": (lambda **k: random.gamma((200, 300), 3.0, **k), 3.0, 3.0),
    "beta": (lambda **k: random.beta((200, 300), 2.0, 3.0, **k), 0.4, 0.04),
    "binomial": (lambda **k: random.binomial((200, 300), 10, 0.3, **k), 3.0, 2.1),
}


@pytest.mark.parametrize("name", DRAWS)
def test_moments_and_seeds(name):
    draw, mean, variance = DRAWS[name]
    x = draw(seed=3)
    assert x.shape == (200, 300) and x.dtype == ("int32" if name == "randint" else "float32")
    assert abs(x.mean() - mean) < 5 * np.sqrt(variance / x.size)  # five standard errors
    assert abs(x.var() - variance) < 0.04 * variance
    np.testing.assert_array_equal(x, draw(seed=3))
    assert not np.array_equal(x, draw(seed=4))
    seeds = random.SeedGenerator(3)
    assert not np.array_equal(draw(seed=seeds), draw(seed=seeds))
    lf.utils.set_random_seed(5)
    first = draw()
    assert not np.array_equal(first, draw())
    lf.utils.set_random_seed(5)
    np.testing.assert_array_equal(first, draw())


def test_uniform_stays_below_its_end():
    assert random.uniform((1_000_000,), 0.0, 1.0, seed=1).max() < 1.0


def test_categorical():
    logits = np.log(np.array([[0.1, 0.6, 0.3], [0.5, 0.25, 0.25]]))
    drawn = random.categorical(logits, 20_000, seed=1)
    assert drawn.shape == (2, 20_000) and drawn.dtype == np.int32
    for row, expected in zip(drawn, np.exp(logits), strict=True):
        np.testing.assert_allclose(np.bincount(row, minlength=3) / row.size, expected, atol=0.02)
    assert random.categorical(logits, 2, dtype="int64").dtype == np.int64


def test_shuffle():
    x = np.arange(24).reshape(4, 6)
    for axis in (0, 1, -1):
        y = random.shuffle(x, axis=axis, seed=2)
        assert not np.array_equal(x, y)
        order = np.argsort(np.take(y, 0, axis=1 - axis % 2))  # rows or columns stay whole
        np.testing.assert_array_equal(np.take(y, order, axis=axis), x)


def test_dropout():
    x = np.random.default_rng(0).normal(size=(50, 20, 8)).astype("f")
    y = random.dropout(x, 0.25, seed=1)
    kept = y != 0
    np.testing.assert_allclose(y[kept], x[kept] / 0.75, rtol=1e-6)
    assert abs(kept.mean() - 0.75) < 0.03
    rows = random.dropout(x, 0.25, noise_shape=(None, 1, 8), seed=1) != 0
    assert (rows == rows[:, :1]).all() and 0 < rows.mean() < 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: random.normal((2, -1)), "shape"),
        (lambda: random.normal((None, 2)), "shape"),
        (lambda: random.normal((2,), dtype="int32"), "floating point"),
        (lambda: random.randint((2,), 0, 3, dtype="float32"), "integer"),
        (lambda: random.normal((2,), seed="a"), "seed"),
        (lambda: random.categorical(np.zeros(3), 2), "2-D"),
        (lambda: random.dropout(np.zeros(3), 1.0), "rate"),
        (lambda: random.dropout(np.zeros(3), 0.5, noise_shape=(1, 1)), "noise_shape"),
    ],
)
def test_bad_arguments(wrong, says):
    with pytest.raises(ValueError, match=says):
        wrong()


class Sampling(layers.Layer):
    """Draws z of a variational autoencoder (Kingma and Welling 2014)."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = random.SeedGenerator(7)

    def call(self, inputs):
        mean, log_variance = inputs
        noise = random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_variance) * noise


def test_a_layer_that_draws_has_new_numbers_in_each_pass_and_trains():
    x = layers.Input((5,))
    mean, log_variance = layers.Dense(3)(x), layers.Dense(3)(x)
    model = lf.Model(x, [mean, log_variance, Sampling()([mean, log_variance])])
    data = np.random.default_rng(0).normal(size=(4, 5)).astype("f")
    first, second = (model.predict(data, verbose=0) for _ in range(2))
    assert not np.array_equal(first[2], second[2])
    model.compile("adam", [None, None, "mse"])
    model.fit(data, [np.zeros((4, 3), "f")] * 3, verbose=0)

    # The gradients, with the noise of that pass recovered from its outputs.
    (m, v, z), tape = model.forward(data, training=True)
    noise = (z - m) * np.exp(-0.5 * v)
    dz = np.random.default_rng(1).normal(size=z.shape).astype("f")
    grads, _, _ = tape.backward([np.zeros_like(m), np.zeros_like(v), dz])
    np.testing.assert_allclose(grads[0], data.T @ dz, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(grads[2], data.T @ (dz * noise * 0.5 * np.exp(0.5 * v)), rtol=1e-4, atol=1e-5)


class Noisy(lf.Model):
    """Everything that is drawn for an open batch and open time."""

    def __init__(self):
        super().__init__()
        self.lstm = layers.LSTM(4, return_sequences=True, kernel_initializer=self.drawn)

    @staticmethod
    def drawn(shape, dtype=None):
        return random.normal(shape, stddev=0.1, dtype=dtype, seed=1)

    def call(self, x):
        y = random.dropout(self.lstm(x), 0.5)
        y = random.shuffle(y, axis=0) + random.uniform((ops.shape(y)[0], 1, 4), 0.0, 0.001)
        return y, random.categorical(y[:, 0], 2)


def test_draws_in_a_model_of_open_sizes():
    model = Noisy()
    for shape in ((2, 3, 2), (5, 7, 2)):
        x = np.ones(shape, "f")
        (a, chosen), (b, _) = model.predict(x, verbose=0), model.predict(x, verbose=0)
        assert a.shape == (*shape[:2], 4) and chosen.shape == (shape[0], 2)
        assert not np.array_equal(a, b)
    (c, _), (d, _) = model.predict(x, verbose=0), pickle.loads(pickle.dumps(model)).predict(x, verbose=0)
    assert c.shape == d.shape and not np.array_equal(c, d)


def test_a_model_that_draws_does_not_freeze():
    x = layers.Input((5,))
    model = lf.Model(x, Sampling()([layers.Dense(3)(x), layers.Dense(3)(x)]))
    with pytest.raises(ValueError, match="RandomNumbers cannot be frozen"):
        model.freeze()
