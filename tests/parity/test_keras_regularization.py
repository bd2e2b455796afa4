# SPDX-License-Identifier: BSD-3-Clause
"""The dropout family against Keras: configurations, errors, shapes, the distributions drawn, penalties."""

from __future__ import annotations

import numpy as np
import pytest
from layer_parity import compare, floats, keras, same_configuration, same_error

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own

LAYERS = [
    ("Dropout", {"rate": 0.3}),
    ("Dropout", {"rate": 0.3, "noise_shape": [None, 1, None], "seed": 3}),
    ("SpatialDropout1D", {"rate": 0.4, "seed": 5}),
    ("SpatialDropout1D", {"rate": 0.4}),
    ("GaussianNoise", {"stddev": 0.7}),
    ("GaussianDropout", {"rate": 0.3, "seed": 1}),
    ("AlphaDropout", {"rate": 0.2}),
    ("AlphaDropout", {"rate": 0.2, "noise_shape": (None, 1, None), "seed": 3}),
    ("ActivityRegularization", {"l1": 0.1, "l2": 0.2}),
]


@pytest.mark.parametrize(("name", "options"), LAYERS)
def test_inference_and_configuration(name, options, rng):
    compare(lambda k: getattr(k.layers, name)(**options), floats(rng, 3, 4, 5), rng, rng.random((3, 4)) < 0.5)
    same_configuration(lambda k: getattr(k.layers, name)(**options, name="a"))


@pytest.mark.parametrize(
    ("name", "options"), [case for case in LAYERS if case[0] != "ActivityRegularization"]
)
def test_the_same_distribution(name, options):
    """Mean, deviation and share of zeros of 10^6 draws: within 5 standard errors of Keras's."""
    x = np.full((200, 50, 100), 1.5, np.float32)
    ours = getattr(lf.layers, name)(**options)(x, training=True)
    theirs = getattr(keras.layers, name)(**options)(x, training=True).numpy()
    draws = x.size if "noise_shape" not in options and name != "SpatialDropout1D" else 200 * 100
    for statistic, spread in (
        (np.mean, theirs.std()),
        (np.std, theirs.std()),
        (lambda a: (a == 0).mean(), 0.5),
    ):
        assert abs(statistic(ours) - statistic(theirs)) <= 8 * spread / np.sqrt(draws) + 1e-6
    if draws < x.size:
        assert (ours == ours[:, :1]).all()


def test_penalty_of_activity(rng):
    def make(k):
        model = k.Sequential(
            [k.Input((4, 3)), k.layers.Dense(5), k.layers.ActivityRegularization(0.1, 0.2), k.layers.Dense(2)]
        )
        model.compile("sgd", "mse")
        return model

    ours, theirs = make(lf), make(keras)
    theirs.set_weights(ours.get_weights())
    x, y = floats(rng, 8, 4, 3), floats(rng, 8, 4, 2)
    for _ in range(3):
        np.testing.assert_allclose(ours.train_on_batch(x, y), float(theirs.train_on_batch(x, y)), rtol=1e-5)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda k: k.layers.Dropout(-0.1),
        lambda k: k.layers.Dropout(0.5, noise_shape=5),
        lambda k: k.layers.Dropout(0.5, noise_shape="ab"),
        lambda k: k.layers.Dropout(0.5, noise_shape=(1, 0)),
        lambda k: k.layers.Dropout(0.5, noise_shape=(1, 1.5)),
        lambda k: k.layers.Dropout(0.5, seed="a"),
        lambda k: k.layers.SpatialDropout1D(1.5),
        lambda k: k.layers.SpatialDropout1D(0.5)(np.ones((2, 3))),
        lambda k: k.layers.SpatialDropout1D(0.5, trainable=False),
        lambda k: k.layers.GaussianNoise(2.0),
        lambda k: k.layers.GaussianDropout(-1),
        lambda k: k.layers.GaussianDropout(1.0)(np.ones((2, 3)), training=True),
        lambda k: k.layers.AlphaDropout(2),
        lambda k: k.layers.AlphaDropout(1.0)(np.ones((2, 3)), training=True),
    ],
)
def test_errors(make):
    same_error(make)
