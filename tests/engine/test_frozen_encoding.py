# SPDX-License-Identifier: BSD-3-Clause
"""Layers that make ids, or vectors of ids, in frozen models."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from frozen_cases import randomized, same_bits

from lstmfast import Input, Model, Sequential, layers

IDS = np.array([[3, -7, 12, 3], [0, 5, 36, -1], [12, 12, 12, 7], [2**40, -(2**40), 36, 0]])


def check(model, data):
    frozen = pickle.loads(pickle.dumps(model.freeze()))
    assert same_bits(frozen(data), model(data))
    assert same_bits(frozen(data[:1]), model(data[:1]))
    return frozen


@pytest.mark.parametrize("mode", ["multi_hot", "count", "one_hot"])
def test_categories(mode):
    model = randomized(
        Sequential(
            [Input((4,), dtype="int64"), layers.CategoryEncoding(6, mode, name="code"), layers.Dense(3)]
        )
    )
    ids = np.array([[0, 1, 1, -1], [5, 5, 5, 5], [-3, 4, 0, 2]])
    for given in (ids, ids.astype("int32"), ids.astype("float32")):
        check(model, given)
    for run in (model, model.freeze()):
        with pytest.raises(ValueError, match=r"layer 'code'.*categories from 0 to 5.*got 6"):
            run(np.array([[0, 1, 6, 2]]))
    with pytest.raises(ValueError, match="layer 'code' cannot run in a stream"):
        model.freeze().stream()


def test_one_number_a_sample():
    for shape in ((), (1,)):
        model = randomized(
            Sequential([Input(shape, dtype="int64"), layers.CategoryEncoding(6, "one_hot"), layers.Dense(3)])
        )
        ids = np.array([0, 5, 2, -1]).reshape(4, *shape)
        check(model, ids)


@pytest.mark.parametrize("mode", ["int", "multi_hot", "count", "one_hot"])
def test_ranges(mode, rng):
    after = [layers.Embedding(4, 3, mask_zero=True), layers.LSTM(2)] if mode == "int" else [layers.Dense(3)]
    coded = layers.Discretization([-1.0, 0.5, 1.1], output_mode=mode, name="ranges")
    model = randomized(Sequential([Input((5,)), coded, *after]))
    x = rng.normal(size=(7, 5)).astype("float32")
    x[0] = [np.float32(-1), np.float32(0.5), np.float32(1.1), np.inf, -np.inf]
    x[1, 0] = np.nan
    check(model, x)
    few = Sequential([Input((5,)), layers.Discretization([0.0], name="few"), layers.Embedding(2, 3)])
    check(few, x)


@pytest.mark.parametrize("mask_token", [None, 0, 99])
@pytest.mark.parametrize("unknown", [1, 3])
@pytest.mark.parametrize("mode", ["int", "multi_hot", "count", "one_hot", "tf_idf"])
def test_lookups(mode, unknown, mask_token):
    options = {"idf_weights": [0.5, 1.0, 2.0, 0.1]} if mode == "tf_idf" else {}
    lookup = layers.IntegerLookup(
        vocabulary=[12, 36, 7, -7],
        num_oov_indices=unknown,
        mask_token=mask_token,
        output_mode=mode,
        name="lookup",
        **options,
    )
    after = [layers.Embedding(9, 3, mask_zero=True), layers.LSTM(2)] if mode == "int" else [layers.Dense(3)]
    model = randomized(Sequential([Input((4,), dtype="int64"), lookup, *after]))
    check(model, IDS)
    check(model, (IDS % 100).astype("int32"))
    if mode == "int":
        stream = model.freeze().stream(batch=4)
        pushed = stream.push(IDS)
        stream.reset()
        assert same_bits(np.stack([stream.step(IDS[:, t]) for t in range(4)], 1), pushed)
        assert same_bits(pushed[:, -1], model(IDS))


def test_a_small_embedding_is_refused_at_the_call():
    ids = Input((4,), dtype="int64")
    lookup = layers.IntegerLookup(vocabulary=[12, 36, 7])
    model = Model(ids, layers.Embedding(3, 2, name="words")(lookup(ids)))
    with pytest.raises(ValueError, match="layer 'words': expected ids from 0 to 2, and may get 3"):
        model.freeze()(np.array([[12, 36, 12, 12]]))


def test_vocabularies_without_others():
    ids = Input((4,), dtype="int64")
    lookup = layers.IntegerLookup(vocabulary=[3, 5, 0], num_oov_indices=0, name="closed")
    model = randomized(Model(ids, layers.Embedding(3, 2)(lookup(ids))))
    check(model, np.array([[3, 5, 0, 0], [0, 0, 3, 5]]))
    for run in (model, model.freeze()):
        with pytest.raises(ValueError, match="vocabulary"):
            run(np.array([[3, 5, 0, 4]]))


def test_what_is_refused():
    ids, x = Input((4,), dtype="int64"), Input((6, 2))
    table = {"vocabulary": [12, 36, 7], "name": "layer"}
    coded = layers.IntegerLookup(**table)(ids)
    for model, message in (
        (Model(ids, coded), "output 'layer' cannot be frozen: it is of int64"),
        (Model(ids, layers.Dense(2)(coded)), "it reads ids as numbers"),
        (Model(ids, layers.Embedding(5, 2)(layers.IntegerLookup(**table, invert=True)(ids))), "it has invert=True"),
        (
            Model(ids, layers.Embedding(9, 2)(layers.IntegerLookup(**table, num_oov_indices=2, salt=3, oov_method="farmhash")(ids))),
            "it has oov_method='farmhash'",
        ),
        (
            Model(x, layers.Flatten()(layers.Discretization([0.5], output_mode="one_hot", name="layer")(x))),
            r"its input is not \(batch, features\)",
        ),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            model.freeze()
    with pytest.raises(ValueError, match="layer 'layer' cannot be frozen: it has no boundaries yet"):
        Sequential(
            [Input((4,)), layers.Discretization(num_bins=3, name="layer"), layers.Embedding(9, 2)]
        ).freeze()
