# SPDX-License-Identifier: BSD-3-Clause
"""`lstmfast.backend` beside `keras.backend`."""

import numpy as np
import pytest
from peers import keras

import lstmfast as lf


@pytest.mark.parametrize("name", ["epsilon", "floatx", "image_data_format"])
def test_constants(name):
    assert getattr(lf.backend, name)() == getattr(keras.backend, name)()


@pytest.mark.parametrize("dtype", ["float16", "float32", np.float64, np.int8, "uint16", "bool", None])
def test_dtypes(dtype):
    assert lf.backend.standardize_dtype(dtype) == keras.backend.standardize_dtype(dtype)
    name = lf.backend.standardize_dtype(dtype)
    assert lf.backend.is_float_dtype(name) == keras.backend.is_float_dtype(name)
    assert lf.backend.is_int_dtype(name) == keras.backend.is_int_dtype(name)


def test_what_is_no_dtype():
    for backend in (lf.backend, keras.backend):
        with pytest.raises(ValueError, match="nonsense"):
            backend.standardize_dtype("nonsense")


def test_a_fresh_session():
    for k in (lf, keras):
        k.backend.clear_session()
        names = [k.layers.LSTM(2).name for _ in range(2)]
        k.backend.clear_session()
        assert [*names, k.layers.LSTM(2).name] == ["lstm", "lstm_1", "lstm"]


def test_numbers_for_prefixes():
    for k in (lf, keras):
        assert [k.backend.get_uid(p) for p in ("own", "own", "other")] == [1, 2, 1]


def test_tensors():
    for k in (lf, keras):
        assert k.backend.is_keras_tensor(k.Input((2,)))
    assert not lf.backend.is_keras_tensor(np.zeros(2))


def test_the_only_type():
    lf.backend.set_floatx("float32")
    with pytest.raises(ValueError, match="float64"):
        lf.backend.set_floatx("float64")
