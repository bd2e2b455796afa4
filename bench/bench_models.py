# SPDX-License-Identifier: BSD-3-Clause
"""What a user calls: model(x), predict, one training step, import."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import layers


def classifier(inputs, units, classes):
    model = lf.Sequential(
        [lf.Input((None, inputs)), layers.LSTM(units), layers.Dense(classes, activation="softmax")]
    )
    model.compile(optimizer=lf.optimizers.Adam(1e-4), loss="sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize("units,batch,time", [(32, 1, 30), (128, 32, 100)])
def test_call(benchmark, units, batch, time):
    model = classifier(16, units, 10)
    x = np.random.default_rng(0).standard_normal((batch, time, 16)).astype(np.float32)
    benchmark(model, x)


@pytest.mark.parametrize("units,batch,time,inputs", [(64, 8, 50, 16), (128, 32, 100, 32)])
def test_training_step(benchmark, units, batch, time, inputs):
    model, rng = classifier(inputs, units, 10), np.random.default_rng(0)
    x, y = rng.standard_normal((batch, time, inputs)).astype(np.float32), rng.integers(0, 10, batch)
    benchmark(model.train_on_batch, x, y)


def test_text_training_step(benchmark):
    model = lf.Sequential(
        [
            lf.Input((50,), dtype="int32"),
            layers.Embedding(10000, 64),
            layers.LSTM(64, return_sequences=True),
            layers.LSTM(32),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer="adam", loss="binary_crossentropy")
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 10000, (64, 50)).astype(np.int32), rng.integers(0, 2, (64, 1)).astype(np.float32)
    benchmark(model.train_on_batch, x, y)


def test_import(benchmark):
    """Whole processes: what `import lstmfast` adds to `import numpy` (see tests/packaging for the bound)."""
    benchmark.pedantic(
        subprocess.run, args=([sys.executable, "-c", "import lstmfast"],), kwargs={"check": True}, rounds=3
    )
