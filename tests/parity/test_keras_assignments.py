# SPDX-License-Identifier: BSD-3-Clause
"""A `call` that assigns variables: when they change, and to what, by both libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from peers import keras, torch  # noqa: F401 - Keras's backend

import lstmfast as lf

X = np.arange(16, dtype=np.float32).reshape(8, 2) / 8
Y = X[:, :1] - X[:, 1:]


def counting(library: Any, base: Any) -> Any:
    """A layer or a model that counts its calls."""

    class Counting(base):
        def __init__(self) -> None:
            super().__init__()
            self.dense = library.layers.Dense(1, kernel_initializer="ones")
            self.count = self.add_weight(shape=(), initializer="zeros", name="count", trainable=False)

        def call(self, inputs: Any) -> Any:
            self.count.assign_add(1.0)
            return self.dense(inputs) / self.count  # which is the new one

    return Counting()


def centring(library: Any) -> Any:
    """A layer that keeps a moving mean, twice assigned, and subtracts it."""

    class Centring(library.layers.Layer):
        def build(self, input_shape: Any) -> None:
            shape = (input_shape[-1],)
            self.mean = self.add_weight(shape=shape, initializer="zeros", name="mean", trainable=False)
            self.scale = self.add_weight(shape=shape, initializer="ones", name="scale")

        def call(self, inputs: Any, training: bool = False) -> Any:
            if training:
                self.mean.assign(self.mean * 0.75)
                self.mean.assign_add(library.ops.mean(inputs, axis=0) * 0.25)
            self.mean.assign_sub(0.125 * self.scale)
            return (inputs - self.mean) * self.scale

    return Centring()


def model_of(library: Any, kind: str) -> Any:
    if kind == "model":
        model = counting(library, library.Model)
        model.build((None, 2))
        return model
    layer = counting(library, library.layers.Layer) if kind == "layer" else centring(library)
    return library.Sequential(
        [library.Input((2,)), layer, library.layers.Dense(1, kernel_initializer="ones")]
    )


@pytest.mark.filterwarnings("ignore:__array__ implementation", "ignore:`build\\(\\)` was called on layer")
@pytest.mark.parametrize("kind", ["layer", "model", "mean"])
def test_variables_change_when_keras_changes_them(kind: str) -> None:
    ours, theirs = model_of(lf, kind), model_of(keras, kind)
    actions = (
        lambda m: m.fit(X, Y, batch_size=2, epochs=2, shuffle=False, verbose=0),
        lambda m: m.predict(X, batch_size=4, verbose=0),
        lambda m: m.evaluate(X, Y, batch_size=4, verbose=0),
        lambda m: m(X[:3]),
        lambda m: m.train_on_batch(X, Y),
    )
    for model in (ours, theirs):
        model.compile("sgd", "mse")
    for action in actions:
        for model in (ours, theirs):
            action(model)
        for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(mine, other, rtol=0, atol=1e-5 * max(np.abs(other).max(), 1e-3))


def test_nothing_is_counted_by_building_and_freezing_is_refused() -> None:
    for kind in ("layer", "model"):
        model = model_of(lf, kind)
        held = [v for v in model.variables if v.name == "count"]
        assert [float(v.numpy()) for v in held] == [0.0]
        with pytest.raises(ValueError, match="assigns variables, and nothing changes in a frozen model"):
            model.freeze()
        assert [float(v.numpy()) for v in held] == [0.0]
