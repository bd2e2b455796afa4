# SPDX-License-Identifier: BSD-3-Clause
"""Training from generators, data sets and loaders, and losses of one's own, against real Keras."""

from __future__ import annotations

import numpy as np
import pytest
from peers import keras, torch

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own

RNG = np.random.default_rng(6)
X = RNG.standard_normal((20, 5, 3)).astype(np.float32)
Y = RNG.standard_normal((20, 5, 2)).astype(np.float32)
W = RNG.uniform(0.2, 2, (20, 5)).astype(np.float32)


def build(lib, masked=False):
    first = [lib.layers.Masking()] if masked else []
    rest = [lib.layers.LSTM(4, return_sequences=True), lib.layers.Dense(2, activation="tanh")]
    return lib.Sequential([lib.Input((5, 3)), *first, *rest])


def pair(masked=False):
    theirs, ours = build(keras, masked), build(lf, masked)
    ours.set_weights(theirs.get_weights())
    return theirs, ours


def trained_alike(theirs, ours):
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())


def batches(weighted=False):
    return [
        (X[i : i + 4], Y[i : i + 4], W[i : i + 4]) if weighted else (X[i : i + 4], Y[i : i + 4])
        for i in range(0, 20, 4)
    ]


def endless(weighted):
    while True:
        yield from batches(weighted)


def data_set(base, weighted):
    class Pieces(base):
        def __len__(self):
            return 5

        def __getitem__(self, index):
            return batches(weighted)[index]

    return Pieces()


SOURCES = {
    "generator": lambda base, weighted: endless(weighted),
    "data set": data_set,
    "Keras's data set": lambda base, weighted: data_set(keras.utils.PyDataset, weighted),
    "loader": lambda base, weighted: torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(*(torch.from_numpy(a) for a in (X, Y, W)[: 3 if weighted else 2])),
        batch_size=4,
    ),
}


@pytest.mark.parametrize("kind", list(SOURCES))
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("steps", [None, 2])
def test_sources(kind, weighted, steps):
    if kind == "generator" and steps is None:
        steps = 3
    theirs, ours = pair()
    for model, lib in ((theirs, keras), (ours, lf)):
        model.compile(lib.optimizers.SGD(0.2), "mse")
        source = SOURCES[kind](lib.utils.PyDataset, weighted)
        model.fit(source, epochs=3, steps_per_epoch=steps, shuffle=False, verbose=0)
    trained_alike(theirs, ours)


@pytest.mark.parametrize("steps", [2, 3, 7])
def test_arrays_in_steps(steps):
    theirs, ours = pair()
    for model, lib in ((theirs, keras), (ours, lf)):
        model.compile(lib.optimizers.SGD(0.2), "mse")
        model.fit(X, Y, batch_size=4, epochs=3, steps_per_epoch=steps, shuffle=False, verbose=0)
    trained_alike(theirs, ours)


def theirs_quartic(y_true, y_pred):
    return keras.ops.sum((y_pred - y_true) ** 4, axis=-1)


def ours_quartic(y_true, y_pred):
    error = y_pred - y_true
    return (error**4).sum(axis=-1), 4 * error**3


def theirs_largest(y_true, y_pred):
    return keras.ops.max(keras.ops.abs(y_pred - y_true), axis=-1)


def ours_largest(y_true, y_pred):
    return np.abs(y_pred - y_true).max(axis=-1)


theirs_largest.__name__ = ours_largest.__name__ = "largest"


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("weight", [None, W], ids=["none", "weights"])
def test_losses_and_metrics_of_ones_own(masked, weight):
    x = X * (np.arange(5) < RNG.integers(1, 6, 20)[:, None])[..., None].astype(np.float32) if masked else X
    theirs, ours = pair(masked)
    logs = []
    for model, lib, loss, metric in (
        (theirs, keras, theirs_quartic, theirs_largest),
        (ours, lf, ours_quartic, ours_largest),
    ):
        model.compile(lib.optimizers.SGD(0.05), loss, metrics=[metric], weighted_metrics=[metric])
        model.fit(x, Y, batch_size=4, epochs=2, shuffle=False, sample_weight=weight, verbose=0)
        # One batch: on PyTorch, Keras's loss scales the weights that its metrics see, in place.
        logs.append(model.evaluate(x, Y, sample_weight=weight, batch_size=20, verbose=0, return_dict=True))
    trained_alike(theirs, ours)
    assert list(logs[0]) == list(logs[1])
    np.testing.assert_allclose(list(logs[1].values()), list(logs[0].values()), rtol=1e-5)


def test_moving_averages_of_weights():
    theirs, ours = pair()
    for model, lib in ((theirs, keras), (ours, lf)):
        model.compile(lib.optimizers.SGD(0.2, use_ema=True, ema_momentum=0.7), "mse")
        model.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    trained_alike(theirs, ours)
