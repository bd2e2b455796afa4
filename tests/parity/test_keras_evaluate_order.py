# SPDX-License-Identifier: BSD-3-Clause
"""The list that `evaluate`, `train_on_batch` and `test_on_batch` return has Keras's order."""

from __future__ import annotations

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 3)).astype(np.float32)
Y = rng.uniform(0.1, 0.9, size=(40, 2)).astype(np.float32)
W = rng.uniform(0.5, 2, size=40).astype(np.float32)


def one(k):
    """Names that are not in alphabetical order."""
    x = k.Input((3,))
    model = k.Model(x, k.layers.Dense(2, kernel_initializer="ones")(x))
    model.compile("sgd", "mse", metrics=["mse", "mae"], weighted_metrics=["msle", "cosine_similarity"])
    return model, Y, W


def several(k):
    x = k.Input((3,))
    first = k.layers.Dense(2, name="q", kernel_initializer="ones")(x)
    second = k.layers.Dense(2, name="a", kernel_initializer="zeros")(x)
    model = k.Model(x, [first, second])
    model.compile(
        "sgd", ["mse", "mae"], metrics=[["mse", "mae"], ["mae"]], weighted_metrics=[["mse"], ["mape"]]
    )
    return model, [Y, Y + 1], [W, W]


@pytest.mark.parametrize("make", [one, several])
@pytest.mark.parametrize("method", ["evaluate", "test_on_batch", "train_on_batch"])
def test_order(make, method):
    results = []
    for k in (lf, keras):
        model, y, weight = make(k)
        quiet = {"verbose": 0} if method == "evaluate" else {}
        results.append(getattr(model, method)(X, y, sample_weight=weight, **quiet))
    assert results[0] == pytest.approx([float(v) for v in results[1]], rel=1e-5)


@pytest.mark.parametrize("losses", [{"q": "mse", "a": "mae"}, {"a": "mae", "q": "mse"}, "mse", {"q": "mse"}])
def test_losses_of_a_dict_of_outputs(losses):
    """A dict of losses keeps its order."""
    results, names = [], []
    for k in (lf, keras):
        x = k.Input((3,))
        first = k.layers.Dense(2, name="q", kernel_initializer="ones")(x)
        second = k.layers.Dense(2, name="a", kernel_initializer="zeros")(x)
        model = k.Model(x, {"q": first, "a": second})
        model.compile("sgd", losses, metrics={"q": ["mse"], "a": ["mae"]})
        results.append(model.evaluate(X, {"q": Y, "a": Y + 1}, verbose=0))
        names.append(model.metrics_names)
    assert results[0] == pytest.approx([float(v) for v in results[1]], rel=1e-5)
    assert names[0] == names[1]
