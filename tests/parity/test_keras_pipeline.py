# SPDX-License-Identifier: BSD-3-Clause
"""Pipeline against the real Keras 3: outputs, training, configurations, files."""

from __future__ import annotations

import numpy as np
import pytest
from layer_parity import close, floats
from peers import keras

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own


def made(k):
    return k.layers.Pipeline(
        [
            k.layers.Rescaling(2.0, offset=0.5, name="r"),
            k.layers.Dense(3, name="d"),
            k.layers.Dropout(0.5, name="o"),
        ],
        name="p",
    )


def plain(y):
    return y.detach().numpy() if hasattr(y, "detach") else y


def test_alone_and_in_models(tmp_path, rng):
    x, models, results = floats(rng, 6, 4), [], []
    values = [floats(rng, 4, 3), floats(rng, 3)]
    for package in (lf, keras):
        inputs = package.Input((4,))
        layer = made(package)
        models.append(
            package.Model(inputs, package.layers.Dense(1, kernel_initializer="ones")(layer(inputs)))
        )
        layer.set_weights(values)
        results.append(plain(layer(x, training=False)))
        assert (plain(layer(np.ones((200, 4), np.float32))) == 0).any()
    close(*results)
    ours, theirs = models
    close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0))
    assert made(lf).get_config().keys() == made(keras).get_config().keys()
    ours.compile("sgd", "mse")
    ours.fit(x, floats(rng, 6, 1), epochs=2, verbose=0)
    for model, package in ((ours, lf), (ours, keras), (theirs, lf)):
        model.save(tmp_path / "m.keras")
        again = package.saving.load_model(tmp_path / "m.keras")
        close(again.predict(x, verbose=0), model.predict(x, verbose=0))


def test_texts():
    lookup = lf.layers.StringLookup(vocabulary=["a", "b"])
    pipeline = lf.layers.Pipeline([lookup, lf.layers.CategoryEncoding(3, output_mode="multi_hot")])
    np.testing.assert_array_equal(pipeline(np.array([["a", "b"], ["c", "a"]])), [[0, 1, 1], [1, 1, 0]])


def test_wrong_arguments():
    with pytest.raises(ValueError, match="must be layers"):
        lf.layers.Pipeline([3])
    with pytest.raises(ValueError, match="at least one"):
        lf.layers.Pipeline([])
