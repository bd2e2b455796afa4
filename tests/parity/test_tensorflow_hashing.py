# SPDX-License-Identifier: BSD-3-Clause
"""Hashing and HashedCrossing beside Keras's on TensorFlow, which Keras needs for hashes."""

import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
tf = pytest.importorskip("tensorflow")
if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
    pytest.skip("Keras runs on another backend here", allow_module_level=True)
keras = pytest.importorskip("keras")

import lstmfast as lf  # noqa: E402


def words(rng, *shape):
    letters = np.array(list("abc ÄΩ日-"))
    made = ["".join(rng.choice(letters, n)) for n in rng.integers(0, 90, int(np.prod(shape)))]
    return np.array(made).reshape(shape)


def numbers(rng, *shape):
    return rng.integers(-(2**62), 2**62, shape)


@pytest.mark.parametrize("make", [words, numbers])
@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("options", [{}, {"salt": 5}, {"salt": [3, 2**40], "mask_value": True}])
def test_hashing(make, mode, options, rng):
    for shape in ((40, 1), (30, 3)):
        x = make(rng, *shape)
        given = {**options, "mask_value": x.ravel()[0].item()} if "mask_value" in options else options
        layers = [k.layers.Hashing(11, **given, output_mode=mode, name="h") for k in (lf, keras)]
        ours, theirs = (layer(x) for layer in layers)
        np.testing.assert_array_equal(ours, np.asarray(theirs))
        assert layers[0].get_config() == layers[1].get_config()


@pytest.mark.parametrize("mode", ["int", "one_hot"])
@pytest.mark.parametrize("kinds", [(words, words), (words, numbers), (numbers, numbers, words)])
def test_crossing(kinds, mode, rng):
    for shape in ((50,), (50, 1)):
        x = [make(rng, *shape) for make in kinds]
        layers = [k.layers.HashedCrossing(1013, output_mode=mode, name="h") for k in (lf, keras)]
        ours, theirs = (layer(x) for layer in layers)
        np.testing.assert_array_equal(ours, np.asarray(theirs))
        assert layers[0].get_config() == layers[1].get_config()
