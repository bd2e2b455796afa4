# SPDX-License-Identifier: BSD-3-Clause
"""Hashing and HashedCrossing: the results that Keras's documentation shows, in models, from files, wrong arguments."""

import numpy as np
import pytest

import lstmfast as lf
from lstmfast.layers import HashedCrossing, Hashing

LETTERS = [["A"], ["B"], ["C"], ["D"], ["E"]]


@pytest.mark.parametrize(
    ("options", "inputs", "expected"),
    [
        ({}, LETTERS, [1, 0, 1, 1, 2]),
        ({"mask_value": ""}, [["A"], ["B"], [""], ["C"], ["D"]], [1, 1, 0, 2, 2]),
        ({"salt": [133, 137]}, LETTERS, [1, 2, 1, 0, 2]),
        ({"salt": 133}, LETTERS, [0, 0, 2, 1, 0]),
    ],
)
def test_as_keras_documents(options, inputs, expected):
    y = Hashing(3, **options)(inputs)
    assert y.dtype == np.int64
    np.testing.assert_array_equal(y, np.array(expected)[:, None])


def test_crossing_as_keras_documents():
    letters, numbers = np.array(["A", "B", "A", "B", "A"]), np.array([101, 101, 101, 102, 102])
    np.testing.assert_array_equal(HashedCrossing(5)((letters, numbers)), [1, 4, 1, 1, 3])
    vectors = HashedCrossing(5, output_mode="one_hot")((letters, numbers))
    np.testing.assert_array_equal(vectors, np.eye(5)[[1, 4, 1, 1, 3]])


def test_vectors():
    bins = Hashing(4)(np.array([[1, 2, 3], [3, 3, 9]]))
    counts = Hashing(4, output_mode="count")(np.array([[1, 2, 3], [3, 3, 9]]))
    np.testing.assert_array_equal(counts, [np.bincount(row, minlength=4) for row in bins])
    several = Hashing(4, output_mode="multi_hot")(np.array([[1, 2, 3], [3, 3, 9]]))
    np.testing.assert_array_equal(several, counts > 0)
    assert several.dtype == np.float32


def test_in_models_and_files(tmp_path, rng):
    words, ids = lf.Input((1,), dtype="string", name="words"), lf.Input((1,), dtype="int64", name="ids")
    hashed = lf.layers.Flatten()(lf.layers.Embedding(8, 2)(Hashing(8, salt=3)(words)))
    crossed = HashedCrossing(6, output_mode="one_hot")([words, ids])
    y = lf.layers.Dense(1)(lf.layers.Concatenate()([hashed, crossed, Hashing(3, output_mode="one_hot")(ids)]))
    model = lf.Model([words, ids], y)
    model.compile("sgd", "mse")
    x = [np.array([["red"], ["green"], ["red"], ["blue"]]), np.array([[7], [8], [7], [-9]])]
    y = model.predict(x, verbose=0)
    np.testing.assert_array_equal(y[0], y[2])
    model.fit(x, rng.standard_normal((4, 1)), verbose=0)
    y = model.predict(x, verbose=0)
    for name in ("m.keras", "m.safetensors"):
        model.save(tmp_path / name)
        np.testing.assert_array_equal(lf.saving.load_model(tmp_path / name).predict(x, verbose=0), y)


def test_wrong_arguments():
    for wrong in (0, -1, None, 2.5):
        with pytest.raises(ValueError, match="`num_bins`"):
            Hashing(wrong)
    with pytest.raises(ValueError, match="`output_mode`"):
        HashedCrossing(3, output_mode="count")
    with pytest.raises(ValueError, match="`salt`"):
        Hashing(3, salt=[1, 2, 3])
    with pytest.raises(ValueError, match="`dtype` should be an integer type"):
        Hashing(3, dtype="float32")
    with pytest.raises(ValueError, match="sparse"):
        Hashing(3, output_mode="count", sparse=True)
    with pytest.raises(ValueError, match="at least two inputs"):
        HashedCrossing(3)([np.array([1])])
    with pytest.raises(ValueError, match="identical shapes"):
        HashedCrossing(3)([np.array([1]), np.array([1, 2])])
    with pytest.raises(ValueError, match=r"\(batch_size, 1\)"):
        HashedCrossing(3)([np.ones((2, 2), int)] * 2)
    with pytest.raises(ValueError, match="should have shape"):
        HashedCrossing(3)([np.ones((2, 2, 1))] * 2)
    with pytest.raises(ValueError, match="integer or string"):
        HashedCrossing(3)([np.ones(2), np.ones(2)])
