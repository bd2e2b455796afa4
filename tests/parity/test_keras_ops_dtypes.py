# SPDX-License-Identifier: BSD-3-Clause
"""Dtypes, and values in all of them, of operations of arrays and of symbolic tensors against Keras's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ops_parity import numpy_of
from peers import keras, torch

from lstmfast import Input, KerasTensor, Model, ops

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own


def words(text):
    return text.split()


ACTIVATIONS = words(
    "sigmoid relu relu6 silu softplus softsign gelu elu selu celu leaky_relu hard_sigmoid hard_silu hard_tanh log_sigmoid "
    "squareplus softmax log_softmax"
)
FLOATING = words(
    "exp log1p sqrt tanh arctan sinh rsqrt erf exp2 log2 expm1 sigmoid softplus mean std logsumexp"
)
KEEPING = words(
    "abs negative square conj real sign sum prod max min cumsum cumprod ravel flip sort zeros_like relu6 hard_tanh"
)
PAIRS = words("arctan2 logaddexp logaddexp2 hypot add multiply maximum minimum true_divide divide_no_nan")


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_float64(name):
    x = np.random.default_rng(0).normal(size=(3, 5)) * np.array([1, 1, 4, 10, 40])
    found = getattr(ops, name)(x)
    expected = numpy_of(getattr(keras.ops, name)(x))
    assert found.dtype == expected.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


def test_gelu_of_float64_without_the_approximation():
    x = np.linspace(-5, 5, 21)
    expected = numpy_of(keras.ops.gelu(x, approximate=False))
    np.testing.assert_allclose(ops.gelu(x, approximate=False), expected, rtol=1e-12, atol=1e-15)


@st.composite
def arrays(draw, dtypes=("float32", "int32", "uint8", "int8", "bool"), shape=None):
    shape = shape or draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    return rng.integers(0, 4, shape).astype(draw(st.sampled_from(dtypes)))


def agrees(name, *given):
    try:
        expected = numpy_of(getattr(keras.ops, name)(*given))
    except (NotImplementedError, RuntimeError):  # PyTorch has no kernel for the dtype
        return
    found = getattr(ops, name)(*given)
    assert found.dtype == expected.dtype or (found.dtype, expected.dtype) == (np.int32, np.int64), name
    assert found.shape == expected.shape, name
    np.testing.assert_allclose(
        found.astype(float), expected.astype(float), rtol=1e-5, atol=1e-6, err_msg=name
    )
    symbolic = getattr(ops, name)(*(KerasTensor(a.shape, a.dtype.name) for a in given))
    assert (symbolic.shape, symbolic.dtype) == (found.shape, found.dtype.name), name


@settings(max_examples=40, deadline=None, derandomize=True)
@given(x=arrays())
def test_operations_of_one_array(x):
    for name in (*FLOATING, *KEEPING):
        agrees(name, x)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_operations_of_two_arrays(data):
    x = data.draw(arrays())
    p = data.draw(arrays(shape=x.shape[-1:]))
    for name in PAIRS:
        agrees(name, x, p)


@pytest.mark.parametrize("dtype", words("uint8 int8 int16 int32 int64 float32"))
@pytest.mark.parametrize("name", words("relu6 hard_tanh sign"))
def test_what_cuts_off_keeps_the_dtype(name, dtype):
    x = np.array([-100, -2, -1, 0, 1, 5, 6, 7, 100])
    x = (abs(x) if dtype == "uint8" else x).astype(dtype)
    agrees(name, x)
    if (name, dtype) == ("hard_tanh", "uint8"):  # which PyTorch refuses
        found = ops.hard_tanh(x)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, np.minimum(x, 1))


WRAPPING = words(
    "add subtract multiply maximum minimum floor_divide mod bitwise_and bitwise_or bitwise_xor left_shift"
)


@pytest.mark.parametrize("number", [-1, 1, 3, 200, 300, -70000])
@pytest.mark.parametrize("dtype", words("uint8 int8 int16 int32"))
@pytest.mark.parametrize("name", WRAPPING)
def test_plain_integers_beside_small_ones(name, dtype, number):
    """They are of the arrays' dtype, and wrap around in it, on either side and in a graph."""
    x = np.array([0, 1, 2, 7, 100, 127]).astype(dtype)
    divides = name in ("floor_divide", "mod")
    if divides and dtype == "int8" and number == -1:
        number = -3  # -128 / -1 is undefined
    for pair in ((x, number),) if divides or name == "left_shift" else ((x, number), (number, x)):
        try:
            expected = numpy_of(getattr(keras.ops, name)(*pair))
        except (NotImplementedError, RuntimeError):  # PyTorch has no kernel for the dtype
            continue
        found = getattr(ops, name)(*pair)
        assert found.dtype == expected.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(found, expected)
        tensor = Input(batch_shape=(6,), dtype=dtype)
        y = getattr(ops, name)(*(tensor if a is x else a for a in pair))
        assert y.dtype == dtype
        np.testing.assert_array_equal(Model(tensor, y)(x), expected)


def test_plain_integers_compared_with_small_ones_are_what_they_are():
    x = np.array([0, 255], np.uint8)
    np.testing.assert_array_equal(ops.equal(x, -1), [False, False])
    np.testing.assert_array_equal(ops.less(x, 300), [True, True])


def test_integers_clipped_at_fractions_are_floating_point_numbers():
    x = np.arange(6, dtype=np.int32)
    for low, high, kind in ((1.5, 4, "float32"), (1, 4, "int32")):
        found, expected = ops.clip(x, low, high), numpy_of(keras.ops.clip(x, low, high))
        assert ops.clip(KerasTensor((6,), "int32"), low, high).dtype == found.dtype.name == kind
        assert expected.dtype == kind
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("shape", "places"), [((1, 5), (3, 2)), ((3, 5), (1, 2)), ((1, 5, 4), (3, 2, 1))])
def test_indices_along_an_axis_are_broadcast(shape, places):
    rng = np.random.default_rng(0)
    x, at = rng.normal(size=shape).astype(np.float32), rng.integers(0, 5, places).astype(np.int32)
    tensor = torch.tensor(x, requires_grad=True)
    expected = keras.ops.take_along_axis(tensor, at, axis=1)
    inputs = Input(batch_shape=shape)
    model = Model(inputs, ops.take_along_axis(inputs, at, axis=1))
    y, tape = model.forward(x, training=True)
    np.testing.assert_array_equal(y, numpy_of(expected))
    assert model.output_shape == y.shape
    dy = rng.normal(size=y.shape).astype(np.float32)
    (expected * torch.tensor(dy)).sum().backward()
    np.testing.assert_allclose(tape.backward(dy)[1], tensor.grad.numpy(), rtol=1e-5, atol=1e-6)
    opened = ops.take_along_axis(KerasTensor((None, *shape[1:])), KerasTensor((1, *places[1:]), "int32"), 1)
    assert opened.shape[:2] == (None, places[1])


def test_every_nan_is_a_value_of_its_own():
    x = np.array([1.0, np.nan, 2.0, np.nan], np.float32)
    np.testing.assert_array_equal(ops.unique(x), numpy_of(keras.ops.unique(x)))


@pytest.mark.filterwarnings("default")
def test_a_softmax_of_one_element_is_told_of():
    x = np.ones((2, 1), np.float32)
    for o in (ops, keras.ops):
        with pytest.warns(
            UserWarning, match=r"softmax over axis 1 of a tensor of shape .* Did you mean to use a sigmoid"
        ):
            o.softmax(x, 1)


def test_shapes_are_checked_before_anything_is_computed():
    x = KerasTensor((None, 3, 4))
    ones = KerasTensor((4,))
    for at in (3, 4):
        given = [x, ones, ones, -1, ones, ones]
        given[{3: 4, 4: 5}[at]] = KerasTensor((3,))
        name = {3: "offset", 4: "scale"}[at]
        with pytest.raises(ValueError, match=f"`{name}` must be a vector of length"):
            ops.batch_normalization(*given)
    assert ops.conv_transpose(KerasTensor((2, 4, None)), KerasTensor((2, 4, 5)), 2).shape == (2, 8, 4)
    with pytest.raises(ValueError, match="Cannot infer argument `num` from shape"):
        ops.unstack(KerasTensor((2, None, None)), axis=1)
    with pytest.raises(ValueError, match="is symbolic and has no values"):
        ops.convert_to_numpy(x)
    with pytest.raises(ValueError, match="Invalid strategy most"):
        ops.ctc_decode(np.zeros((1, 2, 3), np.float32), [3, 3], strategy="most")
    with pytest.raises(ValueError, match="must be an positive integer or boolean"):
        ops.scan(lambda c, x: (c, x), 0.0, np.zeros(3), unroll=-1)
    for wrong, message in (
        (lambda: ops.reshape(np.zeros(20), (-2, 5)), r"non-negative integer.*-1.*newshape=\(-2, 5\)"),
        (lambda: ops.reshape(np.zeros(20), (-1, -1, 5)), "at most one unknown dimension"),
        (lambda: ops.repeat(KerasTensor((2, 3)), [1, 1]), "one for each of 6 elements"),
        (lambda: ops.repeat(KerasTensor((2, 3)), [1, 1, 1], axis=0), "one for each of 2 elements"),
        (lambda: ops.take_along_axis(x, KerasTensor((1, 4), "int32"), 0), "as many axes of indices"),
        (lambda: ops.take_along_axis(ones, KerasTensor((2, 4), "int32"), 0), "as many axes of indices"),
        (lambda: ops.histogram(np.zeros(3), range=(5, 1)), "must be greater than the first"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()
    for a, b in (((None, 4, 3), (None, 4, 2)), ((2, 3, 3), (2, 4, 1))):
        with pytest.raises(ValueError, match=r"square|cannot solve"):
            ops.solve(KerasTensor(a), KerasTensor(b))
