# SPDX-License-Identifier: BSD-3-Clause
"""ReversibleEmbedding against the real Keras 3: language models with tied weights, files, masks, configurations."""

from __future__ import annotations

import numpy as np
import pytest
from layer_parity import close, floats
from peers import keras

import lstmfast as lf
from lstmfast.testing import check_gradients

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own

KINDS = [
    {},
    {"tie_weights": False},
    {"logit_soft_cap": 0.5, "mask_zero": True},
    {"tie_weights": False, "logit_soft_cap": 2.0, "embeddings_regularizer": "l2"},
]


def language_model(k, options):
    ids = k.Input((None,), dtype="int64")
    table = k.layers.ReversibleEmbedding(11, 4, **options)
    hidden = k.layers.LSTM(4, return_sequences=True)(table(ids))
    return k.Model(ids, table(hidden, reverse=True))


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_language_models(options, tmp_path, rng):
    ours, theirs = (language_model(package, options) for package in (lf, keras))
    assert [tuple(v.shape) for v in theirs.weights] == [v.shape for v in ours.weights]
    values = [floats(rng, *v.shape) for v in ours.weights]
    ours.set_weights(values)
    theirs.set_weights(values)
    ids = rng.integers(0, 11, (5, 6))
    ids[:, 0] = 1
    close(ours.predict(ids, verbose=0), theirs.predict(ids, verbose=0))
    for model, package in ((ours, lf), (theirs, keras)):
        loss = package.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(package.optimizers.SGD(0.1), loss)
    for _ in range(3):
        target = rng.integers(0, 11, (5, 6))
        close(ours.train_on_batch(ids, target), theirs.train_on_batch(ids, target))
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        close(a, b)
    for model, package in ((ours, keras), (theirs, lf)):
        model.save(tmp_path / "m.keras")
        again = package.saving.load_model(tmp_path / "m.keras")
        close(again.predict(ids, verbose=0), model.predict(ids, verbose=0))
    with pytest.raises(ValueError, match="reverse=True"):
        ours.freeze()


def test_configuration_and_masks(rng):
    for options in KINDS:
        ours, theirs = (
            package.layers.ReversibleEmbedding(7, 3, **options, name="e") for package in (lf, keras)
        )
        assert str(ours.get_config()) == str({k: theirs.get_config()[k] for k in ours.get_config()})
        assert set(ours.get_config()) == set(theirs.get_config())
    layer = lf.layers.ReversibleEmbedding(7, 3, mask_zero=True)
    hidden = layer(np.array([[1, 0]]))
    np.testing.assert_array_equal(hidden._keras_mask, [[True, False]])
    assert getattr(layer(hidden, reverse=True), "_keras_mask", None) is None


def test_gradients_of_the_way_back(rng):
    class Back(lf.layers.Layer):
        def __init__(self, **options):
            super().__init__()
            self.table = lf.layers.ReversibleEmbedding(5, 3, **options)

        def call(self, x):
            return self.table(x, reverse=True)

    for options in ({}, {"tie_weights": False, "logit_soft_cap": 1.5}):
        check_gradients(Back(**options), floats(rng, 2, 4, 3))


def test_wrong_input():
    layer = lf.layers.ReversibleEmbedding(5, 3)
    with pytest.raises(ValueError, match="vectors of 3 numbers"):
        layer(np.ones((2, 4)), reverse=True)
    with pytest.raises(ValueError, match="vectors of 3 numbers"):
        layer(lf.Input((2, 4)), reverse=True)
    with pytest.raises(ValueError, match="reverse_dtype"):
        lf.layers.ReversibleEmbedding(5, 3, reverse_dtype="bfloat16")
