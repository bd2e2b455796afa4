# SPDX-License-Identifier: BSD-3-Clause
"""Metrics that models and layers hold in attributes: found whenever, and wherever, they are put there."""

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import layers
from lstmfast.layers.attributes import assignments
from lstmfast.metrics import Mean


def compiled(cls=lf.Sequential):
    model = cls([lf.Input((3,)), layers.Dense(2), layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def names(model):
    return [metric.name for metric in model.metrics][1:]


def test_assigned_replaced_deleted():
    model = compiled()
    assert names(model) == []
    model.first = Mean(name="first")
    assert names(model) == ["first"]
    model.first = Mean(name="second")
    assert names(model) == ["second"]
    model.layers[0].inside = [{"deep": Mean(name="third")}]
    assert names(model) == ["second", "third"]
    del model.first
    assert names(model) == ["third"]


@pytest.mark.parametrize("own_class", [True, False])
def test_put_into_containers_later(own_class):
    class Own(lf.Sequential):
        pass

    model = compiled(Own if own_class else lf.Sequential)
    made = Mean(name="made")
    model.held, model.by_name = [], {"few": []}
    assert names(model) == []
    model.held.append(made)
    assert names(model) == ["made"]
    model.by_name["few"].append(Mean(name="later"))
    assert names(model) == ["made", "later"]
    model.held.clear()
    assert names(model) == ["later"]


def test_of_another_model_is_not_mine(rng):
    one, other = compiled(), compiled()
    one.mine = Mean(name="mine")
    other.theirs = Mean(name="theirs")
    assert (names(one), names(other)) == (["mine"], ["theirs"])
    other.inner = one  # a model in an attribute of a Sequential is none of its layers
    assert names(other) == ["theirs", "mine"][: len(names(other))]


def test_training_looks_once(rng):
    """A step of training assigns nothing that makes the next one walk through all attributes again."""
    model = lf.Sequential([
        lf.Input((5, 3), batch_size=4),
        layers.LSTM(2, return_sequences=True, stateful=True),
        layers.BatchNormalization(),
        layers.Bidirectional(layers.RNN(layers.GRUCell(2, dropout=0.1))),
        layers.Dense(1, activity_regularizer="l2"),
    ])  # fmt: skip
    model.compile("adam", "mse", metrics=["mae"])
    x, y = rng.standard_normal((4, 5, 3)), rng.standard_normal((4, 1))
    for _ in range(2):
        model.train_on_batch(x, y)
        model.test_on_batch(x, y)
    before = assignments[0]
    for _ in range(3):
        model.train_on_batch(x, y)
        model.test_on_batch(x, y)
    assert assignments[0] == before


def test_plans_follow_trainable(rng):
    model = compiled()
    x, y = rng.standard_normal((4, 3)), np.zeros((4, 1))
    model.train_on_batch(x, y)
    kept = [w.copy() for w in model.layers[0].get_weights()]
    model.layers[0].trainable = False
    model.train_on_batch(x, y)
    model.train_on_batch(x, y)
    for before, after in zip(kept, model.layers[0].get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    model.layers[0].trainable = True
    model.train_on_batch(x, y)
    assert (model.layers[0].get_weights()[0] != kept[0]).any()
