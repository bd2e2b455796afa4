# SPDX-License-Identifier: BSD-3-Clause
"""Functional models of one's own class with layers that only attributes hold: weights, training and files, as in Keras."""

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

h5py = pytest.importorskip("h5py")
pytestmark = pytest.mark.filterwarnings("ignore:.*__array__ implementation:DeprecationWarning")
X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def classes(K):
    class Backbone(K.Model):
        def __init__(self, name="backbone"):
            encoder, decoder = K.layers.Dense(4, name="encoder"), K.layers.Dense(2, name="decoder")
            x = K.Input((3,))
            super().__init__(x, encoder(x), name=name)
            self.decoder, self.more = decoder, [K.layers.Dense(1, name="last")]

        def get_config(self):
            return {"name": self.name}

        @classmethod
        def from_config(cls, config):
            model = cls(**config)
            built(model)
            return model

    class Task(K.Model):
        def __init__(self, backbone):
            super().__init__(backbone.input, backbone.decoder(backbone(backbone.input)))
            self.backbone = backbone

    return Backbone, Task


def built(model):
    model.decoder.build((None, 4))
    model.more[0].build((None, 2))
    return model


def backbone(K):
    return built(classes(K)[0]())


def task(K):
    first, second = classes(K)
    return second(first())


def groups(model, path):
    model.save_weights(path)
    found = []
    with h5py.File(path) as file:
        file.visititems(lambda name, thing: found.append(name) if isinstance(thing, h5py.Dataset) else None)
    return sorted(found)


@pytest.mark.parametrize("make", [backbone, task])
def test_weights_and_files(make, tmp_path):
    theirs, ours = make(keras), make(lf)
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
    assert len(ours.trainable_variables) == len(theirs.trainable_variables)
    assert ours.count_params() == theirs.count_params()
    assert groups(ours, tmp_path / "ours.weights.h5") == groups(theirs, tmp_path / "theirs.weights.h5")
    ours.load_weights(tmp_path / "theirs.weights.h5")
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    other = make(keras)
    other.load_weights(tmp_path / "ours.weights.h5")
    ours.save_weights(tmp_path / "m.npz")
    again = make(lf)
    again.load_weights(tmp_path / "m.npz")
    for a, b in zip(again.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("ending", ["keras", "safetensors"])
def test_whole_models(ending, tmp_path):
    model = backbone(lf)
    model.save(tmp_path / f"m.{ending}")
    again = lf.saving.load_model(tmp_path / f"m.{ending}", custom_objects={"Backbone": type(model)})
    assert len(again.weights) == 6
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_files_of_older_versions(tmp_path):
    """They had the decoder where the graph has it."""
    model, path = task(lf), tmp_path / "m.weights.h5"
    model.save_weights(path)
    with h5py.File(path, "a") as file:
        file.move("layers/backbone/decoder/vars", "layers/dense/vars")
    again = task(lf)
    again.load_weights(path)
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
