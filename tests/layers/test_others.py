# SPDX-License-Identifier: BSD-3-Clause
"""Dense, Embedding, Dropout, Masking, Activation, Flatten, Concatenate, Input."""

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import layers
from lstmfast.layers import Call


def test_dense_of_many_axes(rng):
    layer = layers.Dense(3, activation="tanh")
    x = rng.standard_normal((2, 4, 5, 6)).astype("float32")
    y = layer(x)
    kernel, bias = layer.get_weights()
    np.testing.assert_allclose(y, np.tanh(x @ kernel + bias), rtol=1e-5, atol=1e-6)


def test_gradients_overwrite_then_add(rng):
    layer = layers.Dense(3)
    x, dy = rng.standard_normal((4, 5)).astype("float32"), rng.standard_normal((4, 3)).astype("float32")
    layer.build(x.shape)

    def back():
        call = Call(save=True, needs_dx=True)
        layer.forward(x, call)
        return layer.backward(dy, call)

    back()
    once = layer.kernel.grad.copy()
    back()
    np.testing.assert_allclose(layer.kernel.grad, 2 * once, rtol=1e-6)
    layer.kernel.clear_grad()
    layer.bias.clear_grad()
    assert layer.kernel.grad is None
    back()
    np.testing.assert_array_equal(layer.kernel.grad, once)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "int64", "uint64", "float32", "float64"])
def test_embedding_takes_ids_of_any_type(dtype):
    layer = layers.Embedding(5, 3)
    ids = np.array([[0, 4], [2, 2]], dtype)
    np.testing.assert_array_equal(layer(ids), layer.get_weights()[0][ids.astype(int)])


def test_embedding_cuts_floats_down():
    layer = layers.Embedding(5, 3)
    np.testing.assert_array_equal(layer(np.array([[0.5, 4.9], [2, -0.5]])), layer(np.array([[0, 4], [2, 0]])))


@pytest.mark.parametrize(
    ("ids", "error"),
    [([[0, 5]], ValueError), ([[-1, 0]], ValueError), ([[0.5, np.inf]], ValueError), ([[np.nan, 1]], ValueError),
     ([["a", "b"]], TypeError), ([[1e300, 0]], ValueError)],
)  # fmt: skip
def test_wrong_ids(ids, error):
    layer = layers.Embedding(5, 3, name="e")
    with pytest.raises(error):
        layer(np.array(ids))


def test_wrong_id_is_named_with_its_place():
    with pytest.raises(ValueError, match=r"7.*\(1, 0\)"):
        layers.Embedding(5, 3).check_values(np.array([[0, 1], [7, 0]]))


@pytest.mark.parametrize("sizes", [(0, 3), (3, -1), (2.5, 3), (3, True)])
def test_wrong_embedding_sizes(sizes):
    with pytest.raises(ValueError, match="put_dim"):
        layers.Embedding(*sizes)


def test_embedding_with_a_given_table(rng):
    table = rng.standard_normal((4, 2)).astype("float32")
    for weights in (table, [table]):
        np.testing.assert_array_equal(layers.Embedding(4, 2, weights=weights)(np.arange(4)), table)
    with pytest.raises(ValueError):
        layers.Embedding(4, 3, weights=table)


def test_embedding_input_length_builds_a_sequential():
    model = lf.Sequential([layers.Embedding(10, 3, input_length=7), layers.LSTM(2)])
    assert model.input_shape == (None, 7) and model.count_params() == 30 + 8 * 3 + 8 * 2 + 8


def test_embedding_mask():
    layer = layers.Embedding(5, 2, mask_zero=True)
    np.testing.assert_array_equal(layer.compute_mask(np.array([[1, 0, 3]])), [[True, False, True]])
    assert layers.Embedding(5, 2).compute_mask(np.array([[1, 0]])) is None


def test_dropout(rng):
    layer = layers.Dropout(0.25)
    x = np.ones((200, 50), "float32")
    assert layer(x) is not None and (layer(x) == 1).all()
    lf.utils.set_random_seed(0)
    call = Call(training=True, save=True)
    y = layer.forward(x, call)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert 0.22 < (y == 0).mean() < 0.28
    np.testing.assert_array_equal(layer.backward(x, call), y)
    assert (layers.Dropout(1.0)(x, training=True) == 0).all()
    shared = layers.Dropout(0.5, noise_shape=(None, 1), seed=2)(x, training=True)
    assert (shared == shared[:, :1]).all()
    a, b = (layers.Dropout(0.5, seed=9)(x, training=True) for _ in range(2))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("rate", [-0.1, 1.1, "0.5", None])
def test_wrong_dropout_rate(rate):
    with pytest.raises(ValueError, match="rate"):
        layers.Dropout(rate)


def test_masking_and_its_gradient():
    layer, call = layers.Masking(-1.0), Call(save=True)
    x = np.array([[[-1, -1], [-1, 2]]], "float32")
    np.testing.assert_array_equal(layer.forward(x, call), [[[0, 0], [-1, 2]]])
    np.testing.assert_array_equal(layer.compute_mask(x), [[False, True]])
    np.testing.assert_array_equal(layer.backward(np.ones_like(x), call), [[[0, 0], [1, 1]]])


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_flatten(data_format, rng):
    layer, call = layers.Flatten(data_format), Call(save=True)
    x = rng.standard_normal((2, 3, 4)).astype("float32")
    y = layer.forward(x, call)
    assert y.shape == (2, 12) == layer.compute_output_shape((2, 3, 4))
    np.testing.assert_array_equal(layer.backward(y, call), x)
    assert layer.compute_output_shape((None, None, 4)) == (None, None)


def test_concatenate(rng):
    parts = [rng.standard_normal((2, n, 3)).astype("float32") for n in (1, 4, 2)]
    layer, call = layers.Concatenate(axis=1), Call(save=True)
    y = layer.forward(parts, call)
    np.testing.assert_array_equal(y, np.concatenate(parts, axis=1))
    for a, b in zip(layer.backward(y, call), parts, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="matching shapes"):
        layers.Concatenate()(parts)
    with pytest.raises(ValueError, match="list"):
        layers.Concatenate()(parts[0])
    assert layers.Concatenate().compute_output_shape([(None, None, 2), (None, 3, 4)]) == (None, None, 6)


@pytest.mark.parametrize(
    "options",
    [{}, {"shape": 3}, {"shape": (0,)}, {"shape": (2.5,)}, {"shape": (3,), "batch_shape": (1, 3)},
     {"shape": (3,), "sparse": True}],
)  # fmt: skip
def test_wrong_inputs(options):
    with pytest.raises(ValueError):
        lf.Input(**options)


def test_symbolic_tensors_are_not_arrays():
    x = lf.Input((3,), name="x")
    assert x.shape == (None, 3) and x.name == "x"
    for use in (lambda: np.asarray(x), lambda: bool(x), lambda: list(x)):
        with pytest.raises(TypeError):
            use()
