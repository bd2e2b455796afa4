# SPDX-License-Identifier: BSD-3-Clause
"""CategoryEncoding and Discretization against loops, in models, errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lstmfast as lf
from lstmfast import Input, Model, Sequential, layers


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(["one_hot", "multi_hot", "count"]),
    st.integers(1, 5),
    st.integers(1, 6),
)
def test_category_encoding(seed, mode, width, tokens):
    x = np.random.default_rng(seed).integers(-1, tokens, (4, width))
    y = layers.CategoryEncoding(tokens, mode)(x)
    expected = np.zeros((4, width, tokens))
    for b, k in np.ndindex(x.shape):
        if x[b, k] >= 0:
            expected[b, k, x[b, k]] = 1
    if mode == "one_hot":
        expected = expected[:, 0] if width == 1 else expected
    else:
        expected = expected.max(axis=1) if mode == "multi_hot" else expected.sum(axis=1)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, expected)


def test_weights_of_counts():
    layer = layers.CategoryEncoding(3, output_mode="count")
    y = layer([[0, 2, 2], [1, 1, 1]], count_weights=np.array([[0.5, 1.0, 2.0], [1, 1, 0]]))
    np.testing.assert_array_equal(y, [[0.5, 0, 3], [0, 2, 0]])


def test_discretization_is_a_search(rng):
    boundaries = np.sort(rng.normal(size=6))
    x = np.concatenate([rng.normal(size=30), boundaries]).reshape(6, 6)
    y = layers.Discretization(boundaries)(x)
    assert y.dtype == np.int32
    expected = [[sum(v >= np.float32(b) for b in boundaries) for v in row] for row in x.astype("float32")]
    # A boundary of float64 may lie above the float32 nearest to it.
    np.testing.assert_array_equal(y[:5], expected[:5])


@pytest.mark.parametrize("bins", [2, 4, 10])
def test_bins_hold_equal_shares(bins, rng):
    data = rng.exponential(size=10_000)
    layer = layers.Discretization(num_bins=bins, epsilon=0.001)
    layer.adapt(np.array_split(data, 7))
    shares = np.bincount(layer(data), minlength=bins) / len(data)
    np.testing.assert_allclose(shares, 1 / bins, atol=0.01)
    before = layer.bin_boundaries
    with pytest.raises(TypeError, match="must be numeric"):
        layer.adapt([np.ones(3), np.array(["a"])])
    assert layer.bin_boundaries == before
    layer.adapt(data[:100], steps=1)
    assert len(layer.bin_boundaries) == bins - 1


def test_in_models(rng, tmp_path):
    ages, colours = Input((1,)), Input((2,), dtype="int64")
    binned = layers.Discretization([20.0, 40.0, 60.0], output_mode="one_hot")(ages)
    encoded = layers.CategoryEncoding(5)(colours)
    embedded = layers.Embedding(4, 2)(layers.Discretization([20.0, 40.0, 60.0])(ages))
    joined = layers.Concatenate()([binned, encoded, layers.Flatten()(embedded)])
    model = Model([ages, colours], layers.Dense(1)(joined))
    x = [rng.uniform(0, 90, (16, 1)), rng.integers(0, 5, (16, 2))]
    model.compile("adam", "mse")
    model.fit(x, rng.normal(size=(16, 1)), verbose=0, epochs=2)
    model.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(lf.saving.load_model(tmp_path / "model.safetensors")(x), model(x))
    given = [x[0].astype(np.float32), x[1]]
    np.testing.assert_array_equal(model.freeze()(given), model(given))
    numbers = Sequential([Input((3,)), layers.Discretization([0.0]), layers.Rescaling(0.5)])
    np.testing.assert_array_equal(numbers(np.array([[-1.0, 0.0, 1.0]])), [[0, 0.5, 0.5]])


@pytest.mark.parametrize(("make", "error", "match"), [
    (lambda: layers.CategoryEncoding(3, sparse=True), ValueError, "sparse=True is not supported"),
    (lambda: layers.CategoryEncoding(2.5), ValueError, "num_tokens=2.5"),
    (lambda: layers.CategoryEncoding(3)([[0, 3]]), ValueError, r"from 0 to 2 \(num_tokens=3\), got 3"),
    (lambda: layers.CategoryEncoding(3)([["a"]]), TypeError, "integer ids"),
    (lambda: layers.CategoryEncoding(3, "count")([[0, 1]], count_weights=[[1.0]]), ValueError,
     r"shape of the inputs, \(1, 2\), got \(1, 1\)"),
    (lambda: layers.CategoryEncoding(3, "count")([[0]], count_weights=[["a"]]), TypeError, "count_weights must be"),
    (lambda: layers.Discretization([1.0, 0.0]), ValueError, "ascending"),
    (lambda: layers.Discretization(["a"]), TypeError, "bin_boundaries must be numeric"),
    (lambda: layers.Discretization(num_bins=3, epsilon=0), ValueError, "epsilon"),
    (lambda: layers.Discretization(num_bins=3, sparse=True), ValueError, "sparse=True"),
    (lambda: layers.Discretization(num_bins=3)([1.0]), ValueError, "adapt"),
    (lambda: layers.Discretization(num_bins=3).adapt([]), ValueError, "no numbers"),
    (lambda: layers.Discretization([1.0]).adapt([1.0]), ValueError, "Cannot adapt"),
])  # fmt: skip
def test_errors(make, error, match):
    with pytest.raises(error, match=match):
        make()


@pytest.mark.parametrize(("mode", "dtype"), [("int", "int32"), ("one_hot", "float32"), ("count", "float32")])
def test_type_of_bins(mode, dtype):
    layer = layers.Discretization([0.0, 1.0], output_mode=mode)
    assert layer.output_dtype == layer(np.ones((2, 3))).dtype == layer(Input((3,))).dtype == dtype
