# SPDX-License-Identifier: BSD-3-Clause
"""Losses of one's own written with operations, as Keras's programs write them: trainings of both libraries are one."""

from __future__ import annotations

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 5, 3)).astype(np.float32)
Y = RNG.uniform(0.1, 0.9, (12, 2)).astype(np.float32)
CLASSES = RNG.integers(0, 2, 12).astype(np.int32)
WEIGHTS = RNG.uniform(0.2, 2, 12).astype(np.float32)


def huber(k):
    def loss(y_true, y_pred):
        error = k.ops.abs(y_true - y_pred)
        return k.ops.mean(k.ops.where(error < 0.5, 0.5 * error**2, 0.5 * error - 0.125), axis=-1)

    return loss


def kept_axis(k):
    return lambda y_true, y_pred: k.ops.sum(k.ops.square(y_true - y_pred), axis=-1, keepdims=True)


def one_number(k):
    """Of the batch as a whole: its rows have a part in each other's gradient."""
    return lambda y_true, y_pred: (
        k.ops.mean(k.ops.square(y_pred - k.ops.mean(y_pred, axis=0)))
        + k.ops.mean(k.ops.binary_crossentropy(y_true, k.ops.sigmoid(y_pred)))
    )


def classes(k):
    def loss(y_true, y_pred):
        hot = k.ops.one_hot(k.ops.cast(k.ops.reshape(y_true, (-1,)), "int32"), 2)
        return -k.ops.sum(hot * k.ops.log_softmax(y_pred, axis=-1), axis=-1)

    return loss


def contrast(k):
    """Each row against all: values depend on other rows' predictions."""

    def loss(y_true, y_pred):
        p = k.ops.normalize(y_pred, axis=-1)
        return k.ops.logsumexp(k.ops.matmul(p, k.ops.transpose(p)), axis=-1) - k.ops.sum(y_true * p, axis=-1)

    return loss


def as_class(k):
    class Quantile(k.losses.Loss):
        def __init__(self, q=0.8, **kwargs):
            super().__init__(**kwargs)
            self.q = q

        def call(self, y_true, y_pred):
            error = y_true - y_pred
            return k.ops.mean(k.ops.maximum(self.q * error, (self.q - 1) * error), axis=-1)

    return Quantile(0.7, reduction="sum")


def train(k, loss, y, options, start):
    model = k.Sequential([k.Input((5, 3)), k.layers.LSTM(4), k.layers.Dense(2)])
    model.set_weights(start)
    model.compile(k.optimizers.SGD(0.1), loss(k))
    history = model.fit(X, y, batch_size=4, epochs=3, shuffle=False, verbose=0, **options).history["loss"]
    return history, model.get_weights(), model.evaluate(X, y, batch_size=4, verbose=0, **options)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", [huber, kept_axis, one_number, classes, contrast, as_class])
def test_training(loss, weighted):
    if weighted and loss in (one_number, kept_axis):
        pytest.skip("Keras spreads one number over the weights, and pairs each kept axis with each weight")
    y = CLASSES if loss is classes else Y
    options = {"sample_weight": WEIGHTS} if weighted else {}
    lf.utils.set_random_seed(1)
    start = lf.Sequential([lf.Input((5, 3)), lf.layers.LSTM(4), lf.layers.Dense(2)]).get_weights()
    ours, theirs = (train(k, loss, y, options, start) for k in (lf, keras))
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5)
    np.testing.assert_allclose(ours[2], theirs[2], rtol=1e-5)
    for a, b in zip(ours[1], theirs[1], strict=True):
        # Nine steps add up the roundings of each.
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5 * max(1.0, np.abs(b).max()))
