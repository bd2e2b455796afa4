# SPDX-License-Identifier: BSD-3-Clause
"""The data set inside the package: shapes, counts of the paper, values of the source, padding."""

import hashlib

import numpy as np

from lstmfast.datasets import japanese_vowels


def test_shapes_and_dtypes():
    data = japanese_vowels(return_lengths=True)
    assert [a.shape for a in data] == [(270, 29, 12), (270,), (370, 29, 12), (370,), (270,), (370,)]
    assert [a.dtype for a in data] == [np.float32, np.int64, np.float32, np.int64, np.int64, np.int64]
    assert all(a.flags.c_contiguous for a in data)


def test_without_lengths_gives_the_same_first_four():
    for a, b in zip(japanese_vowels(), japanese_vowels(return_lengths=True), strict=False):
        np.testing.assert_array_equal(a, b)


def test_speakers_as_published():
    _, y_train, _, y_test = japanese_vowels()
    assert np.bincount(y_train).tolist() == [30] * 9
    assert np.bincount(y_test).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]


def test_lengths_and_padding():
    x_train, _, x_test, _, n_train, n_test = japanese_vowels(return_lengths=True)
    lengths = np.concatenate([n_train, n_test])
    assert (lengths.min(), lengths.max(), lengths.sum()) == (7, 29, 9961)
    for x, n in ((x_train, n_train), (x_test, n_test)):
        valid = np.arange(29) < n[:, None]
        assert not x[~valid].any()
        assert x[valid].any(axis=-1).all()  # Masking(0) finds exactly the padding


def test_values_of_the_source():
    x_train = japanese_vowels()[0]
    # The first frames of the first utterance in ae.train.
    np.testing.assert_array_equal(x_train[0, :3, 0], np.float32([1.860936, 1.891651, 1.939205]))
    np.testing.assert_array_equal(x_train[0, :2, 1], np.float32([-0.207383, -0.193249]))


def test_every_value_is_unchanged():
    digest = hashlib.sha256()
    for array in japanese_vowels(return_lengths=True):
        digest.update(array.tobytes())
    assert digest.hexdigest() == "2d8afaaaf32196cffdece6339ebab3b8b80f403fddd81e9a50fb88b347fd960e"


def test_result_can_be_changed_without_harm():
    x = japanese_vowels()[0]
    x[:] = 0
    assert japanese_vowels()[0].any()
