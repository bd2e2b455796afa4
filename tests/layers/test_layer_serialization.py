# SPDX-License-Identifier: BSD-3-Clause
"""`layers.serialize` and `layers.deserialize`."""

from __future__ import annotations

import os

import numpy as np
import pytest

from lstmfast import initializers, layers, preprocessing, utils
from lstmfast.layers import Layer


class Doubled(Layer):
    def forward(self, x, call):
        return 2 * x

    def backward(self, dy, call):
        return 2 * dy


def test_there_and_back():
    layer = layers.Bidirectional(layers.LSTM(3, name="inner"), merge_mode="sum", name="both")
    again = layers.deserialize(layers.serialize(layer))
    assert type(again) is layers.Bidirectional
    assert again.get_config() == layer.get_config()


def test_own_classes_are_named_by_the_caller():
    config = layers.serialize(Doubled(name="d"))
    with pytest.raises(ValueError, match="Doubled"):
        layers.deserialize(config)
    again = layers.deserialize(
        config, custom_objects={"Doubled": Doubled, config["registered_name"]: Doubled}
    )
    assert again(np.ones((1, 2))).tolist() == [[2.0, 2.0]]


def test_other_things_are_refused():
    with pytest.raises(TypeError, match="layer: expected a Layer, got 3"):
        layers.serialize(3)
    with pytest.raises(ValueError, match="expected the configuration of a layer"):
        layers.deserialize(utils.serialize_keras_object(initializers.Zeros()))
    with pytest.raises(ValueError, match="expected the configuration of a layer"):
        layers.deserialize("Dense")


def test_equal_to_keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    ours = layers.serialize(layers.Dense(3, activation="relu", name="d"))
    theirs = keras.layers.serialize(keras.layers.Dense(3, activation="relu", name="d"))
    assert keras.layers.deserialize(ours).get_config() == keras.layers.deserialize(theirs).get_config()
    assert {**ours, "config": None} == {**theirs, "config": None}
    assert layers.deserialize(theirs).get_config() == layers.Dense(3, "relu", name="d").get_config()


def test_preprocessing_is_another_place_for_utils():
    assert preprocessing.sequence.pad_sequences is utils.pad_sequences
    assert preprocessing.timeseries_dataset_from_array is utils.timeseries_dataset_from_array
