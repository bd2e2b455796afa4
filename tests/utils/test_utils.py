# SPDX-License-Identifier: BSD-3-Clause
"""Helpers: padding, one-hot labels, names, seeds."""

import random

import numpy as np
import pytest

from lstmfast import utils
from lstmfast.utils import naming


def test_pad_sequences():
    x = [[1], [2, 3], [4, 5, 6], []]
    assert utils.pad_sequences(x).tolist() == [[0, 0, 1], [0, 2, 3], [4, 5, 6], [0, 0, 0]]
    assert utils.pad_sequences(x, maxlen=2, padding="post", truncating="post").tolist() == [
        [1, 0],
        [2, 3],
        [4, 5],
        [0, 0],
    ]
    assert utils.pad_sequences(x, value=9, padding="post").tolist()[0] == [1, 9, 9]
    assert utils.pad_sequences(x).dtype == np.int32
    features = [np.ones((2, 3)), np.ones((1, 3))]
    assert utils.pad_sequences(features, dtype="float32").shape == (2, 2, 3)
    assert utils.pad_sequences([["a"], ["b", "c"]], dtype=object, value="")[0].tolist() == ["", "a"]
    assert utils.pad_sequences(x, maxlen=0).shape == (4, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3,), "iterable"),
        (([1, 2],), "non-iterable"),
        (([[1]], 2, "int32", "left"), "padding"),
        (([[1]], 2, "int32", "pre", "right"), "truncating"),
        (([np.ones((2, 3)), np.ones((2, 4))],), "different from expected"),
        (([[1]], 2, "int32", "pre", "pre", "x"), "dtype=object"),
    ],
)
def test_pad_sequences_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        utils.pad_sequences(*arguments)


def test_pad():
    x, lengths = utils.pad([np.ones((2, 3)), np.zeros((0, 3)), np.ones((4, 3))], value=-1)
    assert (
        x.shape == (3, 4, 3)
        and x.dtype == np.float32
        and lengths.tolist() == [2, 0, 4]
        and lengths.dtype == np.int32
    )
    assert (x[0, 2:] == -1).all() and (x[1] == -1).all() and (x[2] == 1).all()
    ids, lengths = utils.pad([[1, 2], [3]])
    assert ids.tolist() == [[1, 2], [3, 0]] and ids.dtype.kind == "i"
    with pytest.raises(ValueError, match="at least one"):
        utils.pad([])
    with pytest.raises(ValueError, match=r"sequences\[1\]"):
        utils.pad([np.ones((2, 3)), np.ones((2, 4))])
    with pytest.raises(TypeError, match=r"sequences\[0\]"):
        utils.pad([["a"]])


def test_to_categorical():
    assert utils.to_categorical([1, 0]).tolist() == [[0, 1], [1, 0]]
    assert utils.to_categorical([[1], [0]], num_classes=3).shape == (2, 3)
    assert utils.to_categorical(np.zeros((2, 4), int), 3).shape == (2, 4, 3)
    assert utils.to_categorical(2).tolist() == [0, 0, 1]
    assert utils.to_categorical([1.0, 0.0]).dtype == np.float64
    for wrong in ([-1], [3], [0.5], [np.nan], ["a"]):
        with pytest.raises(ValueError, match="x: "):
            utils.to_categorical(wrong, num_classes=3)
    with pytest.raises(ValueError, match="num_classes"):
        utils.to_categorical([])


def test_normalize():
    assert utils.normalize([[3.0, 4.0], [0.0, 0.0]]).tolist() == [[0.6, 0.8], [0, 0]]
    np.testing.assert_allclose(
        utils.normalize([[1.0, 2.0], [3.0, 2.0]], axis=0, order=1), [[0.25, 0.5], [0.75, 0.5]]
    )


def test_names():
    naming.clear_session()
    assert [naming.unique_name("LSTM") for _ in range(3)] == ["lstm", "lstm_1", "lstm_2"]
    assert naming.unique_name("SimpleRNN") == "simple_rnn"
    utils.clear_session()
    assert naming.unique_name("LSTM") == "lstm"
    assert naming.object_name(naming.unique_name) == "unique_name"


def test_set_random_seed():
    draws = []
    for _ in range(2):
        utils.set_random_seed(11)
        draws.append((random.random(), np.random.rand(), utils.set_random_seed.__module__))
    assert draws[0] == draws[1]
