# SPDX-License-Identifier: BSD-3-Clause
"""Normalization, Rescaling, CategoryEncoding and Discretization beside Keras's, with their files."""

import json

import numpy as np
import pytest
from layer_parity import close, floats, same_configuration, same_error
from peers import keras, torch

import lstmfast as lf

# Keras's torch backend asks NumPy for arrays in a way NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def through(layer, x):
    return np.asarray(layer(torch.tensor(x)).detach())


@pytest.mark.parametrize("kwargs", [
    {}, {"axis": None}, {"axis": 1}, {"axis": (1, 2)}, {"axis": (-1,)}, {"invert": True}, {"axis": 1, "invert": True},
])  # fmt: skip
def test_normalization(kwargs, rng):
    data, x = floats(rng, 30, 4, 3) * 2 + 1, floats(rng, 5, 4, 3)
    ours, theirs = lf.layers.Normalization(**kwargs), keras.layers.Normalization(**kwargs)
    ours.adapt(data)
    theirs.adapt(data)
    close(ours(x), through(theirs, x))
    assert [(v.name, v.shape) for v in ours.weights] == [(v.name, tuple(v.shape)) for v in theirs.weights]
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        close(mine, other)
    close(ours.mean, np.asarray(theirs.mean))


@pytest.mark.parametrize("kwargs", [
    {"mean": 1.0, "variance": 4.0}, {"mean": [1.0, 2.0, 3.0], "variance": [4.0, 5.0, 0.0]},
    {"axis": (1, 2), "mean": [1.0, 2.0, 3.0], "variance": [4.0, 5.0, 6.0]},
    {"axis": (1, 2), "mean": np.ones((4, 1)), "variance": np.full((4, 1), 2.0), "invert": True},
])  # fmt: skip
def test_given_statistics(kwargs, rng):
    x = floats(rng, 5, 4, 3)
    close(lf.layers.Normalization(**kwargs)(x), through(keras.layers.Normalization(**kwargs), x))


@pytest.mark.parametrize("make", [
    lambda p: p.layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0]),
    lambda p: p.layers.Normalization(mean=1.0, variance=5.0, invert=True),
    lambda p: p.layers.Rescaling(0.3, [1.0, 2.0, 3.0]),
    lambda p: p.layers.Rescaling([1.0, 2.0, 3.0], 4),
])  # fmt: skip
def test_gradients(make, rng):
    x, dy = floats(rng, 5, 3), floats(rng, 5, 3)
    tensor = torch.tensor(x, requires_grad=True)
    expected = make(keras)(tensor)
    (expected * torch.tensor(dy)).sum().backward()
    layer, call = make(lf), lf.layers.Call(save=True, needs_dx=True)
    layer.ensure_built(x.shape)
    close(layer.forward(x, call), expected.detach().numpy())
    close(layer.backward(dy, call), tensor.grad.numpy())


@pytest.mark.parametrize("make", [
    lambda p: p.layers.Normalization(name="n"),
    lambda p: p.layers.Normalization(axis=None, name="n"),
    lambda p: p.layers.Normalization(axis=[1, 2], mean=np.ones(3), variance=np.ones(3), invert=True, name="n"),
    lambda p: p.layers.Rescaling(1 / 255, name="r"),
    lambda p: p.layers.Rescaling([1.0, 2.0], offset=-1, name="r"),
    lambda p: p.layers.Discretization([0.0, 1.0], name="d"),
    lambda p: p.layers.Discretization(num_bins=3, epsilon=0.1, output_mode="count", name="d"),
    lambda p: p.layers.CategoryEncoding(3, name="c"),
    lambda p: p.layers.CategoryEncoding(num_tokens=3, output_mode="one_hot", name="c"),
])  # fmt: skip
def test_configuration(make):
    same_configuration(make, nested=True)


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("shape", [(5, 3), (5, 1), (7,), (4, 3, 2)])
def test_category_encoding(mode, shape, rng):
    x = rng.integers(-1, 6, shape)
    ours, theirs = lf.layers.CategoryEncoding(6, mode), keras.layers.CategoryEncoding(6, mode)
    y, expected = ours(x), through(theirs, x)
    assert y.dtype == expected.dtype
    np.testing.assert_array_equal(y, expected)
    assert ours.compute_output_shape(shape) == y.shape
    if mode == "count":
        weights = rng.random(shape)
        close(
            ours(x, count_weights=weights),
            np.asarray(theirs(torch.tensor(x), count_weights=torch.tensor(weights))),
        )


@pytest.mark.parametrize("mode", ["int", "one_hot", "multi_hot", "count"])
def test_discretization(mode, rng):
    data = rng.gamma(2.0, size=(400, 3))
    for x in (floats(rng, 6, 4), floats(rng, 6, 1), floats(rng, 7)):
        for kwargs in (
            {"bin_boundaries": [-1.0, 0.0, 0.5]},
            {"num_bins": 7},
            {"num_bins": 3, "epsilon": 0.2},
        ):
            ours = lf.layers.Discretization(output_mode=mode, **kwargs)
            theirs = keras.layers.Discretization(output_mode=mode, **kwargs)
            if "num_bins" in kwargs:
                ours.adapt([data[:100], data[100:]])
                for batch in (data[:100], data[100:]):  # Keras's adapt() needs TensorFlow
                    theirs.update_state(batch)
                theirs.finalize_state()
                assert ours.bin_boundaries == theirs.bin_boundaries
            np.testing.assert_array_equal(ours(x), through(theirs, x))
            described = json.loads(json.dumps(keras.saving.serialize_keras_object(theirs)))
            np.testing.assert_array_equal(lf.saving.deserialize_keras_object(described)(x), ours(x))


@pytest.mark.parametrize("make", [
    lambda p: p.layers.Normalization(mean=1.0),
    lambda p: p.layers.Normalization(mean=[1.0], variance=1.0),
    lambda p: p.layers.Normalization(axis=None, mean=[1.0], variance=[1.0]),
    lambda p: p.layers.Normalization(axis=3)(np.ones((2, 3), "float32")),
    lambda p: p.layers.Normalization()(p.layers.Input((None, None))),
    lambda p: p.layers.CategoryEncoding(),
    lambda p: p.layers.CategoryEncoding(0),
    lambda p: p.layers.CategoryEncoding(3, "int"),
    lambda p: p.layers.CategoryEncoding(3)([[1, 2]], count_weights=[[1.0, 2.0]]),
    lambda p: p.layers.Discretization(),
    lambda p: p.layers.Discretization([0.0], num_bins=3),
    lambda p: p.layers.Discretization(num_bins=-1),
    lambda p: p.layers.Discretization([0.0], output_mode="tf_idf"),
])  # fmt: skip
def test_errors(make):
    same_error(make, ".")


def test_files(rng, tmp_path):
    """``.keras`` files of either library, read by the other."""
    pytest.importorskip("h5py")
    data, x = floats(rng, 20, 5, 3) + 2, floats(rng, 2, 5, 3)

    def build(p):
        learned = p.layers.Normalization()
        learned.adapt(data)
        given = p.layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0], invert=True)
        tail = [given, p.layers.Rescaling(0.5, offset=[1.0, 0.0, -1.0]), p.layers.LSTM(2)]
        return p.Sequential([p.layers.Input((None, 3)), learned, *tail])

    ours, theirs = build(lf), build(keras)
    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    close(through(keras.saving.load_model(tmp_path / "ours.keras"), x), ours(x))
    close(lf.saving.load_model(tmp_path / "theirs.keras")(x), through(theirs, x))
