# SPDX-License-Identifier: BSD-3-Clause
"""Normalization and Rescaling against NumPy in float64: values, gradients, adapt, frozen models, files, errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lstmfast as lf
from lstmfast import Input, Sequential, layers
from lstmfast.testing import check_gradients


def close(actual, expected):
    expected = np.asarray(expected)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * max(np.abs(expected).max(), 1e-6))


@pytest.mark.parametrize("axis", [-1, 1, (1, 2), None, (), (-1, 1), [2]])
@pytest.mark.parametrize("invert", [False, True])
def test_normalization(axis, invert, rng):
    data = rng.normal(3.0, 2.0, (40, 5, 3))
    layer = layers.Normalization(axis, invert=invert)
    layer.adapt(data)
    kept = [k % 3 for k in ([] if axis is None else [axis] if isinstance(axis, int) else axis)]
    others = tuple(k for k in range(3) if k not in kept)
    mean, deviation = data.mean(others, keepdims=True), data.std(others, keepdims=True)
    x = rng.normal(size=(4, 5, 3)).astype("float32")
    close(layer(x), x * deviation + mean if invert else (x - mean) / deviation)
    close(layer.mean, mean)
    close(layer.variance, deviation**2)
    assert [(v.name, v.dtype) for v in layer.weights] == [
        ("mean", "float32"), ("variance", "float32"), ("count", "int32")]  # fmt: skip
    assert layer.trainable_variables == []
    check_gradients(layer, x)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 7), min_size=1, max_size=6), st.integers(0, 10**6), st.sampled_from([-1, None, 1])
)
def test_adapt_to_batches(sizes, seed, axis):
    """Batches of any sizes teach what the whole data do, also where the mean is large beside the deviation."""
    rng = np.random.default_rng(seed)
    data = rng.normal(1000.0, 1.0, (sum(sizes), 4, 2))
    layer = layers.Normalization(axis)
    layer.adapt(batch for batch in np.split(data, np.cumsum(sizes)[:-1]))
    others = {-1: (0, 1), None: (0, 1, 2), 1: (0, 2)}[axis]
    close(layer.adapt_mean.numpy(), data.mean(others))
    close(layer.adapt_variance.numpy(), data.var(others))


def test_adapt_takes_data_sets(rng):
    data = rng.normal(size=(20, 3))
    whole = layers.Normalization()
    whole.adapt(data)
    sliding = lf.utils.timeseries_dataset_from_array(data, data[:, 0], 1, batch_size=7)
    for source in ([data[:5], data[5:]], iter([(data[:8], None), (data[8:], None)]), sliding):
        layer = layers.Normalization()
        layer.adapt(source)
        close(layer.variance.ravel(), whole.variance.ravel())
    whole.adapt(data * 2 + 1)  # once more: what it knew before does not count
    close(whole.mean.ravel(), (data * 2 + 1).mean(axis=0))


def test_given_statistics():
    x = np.array([[1.0, 2.0, 3.0]], "float32")
    close(layers.Normalization(mean=3.0, variance=4.0)(x), (x - 3) / 2)
    close(
        layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 4.0, 9.0])(x), (x - [1, 2, 3]) / [1, 2, 3]
    )
    assert np.isfinite(layers.Normalization(mean=0.0, variance=0.0)(x)).all()
    assert layers.Normalization(mean=0.0, variance=1.0).weights == []


def test_statistics_of_rows_serve_sequences(rng):
    """Learned from (N, features), used on (batch, time, features), as Keras allows."""
    rows = rng.normal(2.0, 3.0, (50, 4))
    layer = layers.Normalization()
    layer.adapt(rows)
    x = rng.normal(size=(2, 6, 4)).astype("float32")
    model = Sequential([Input((None, 4)), layer, layers.GRU(3)])
    close(layer(x), (x - rows.mean(0)) / rows.std(0))
    np.testing.assert_array_equal(model.freeze()(x), model(x))


@pytest.mark.parametrize("make", [
    lambda: layers.Normalization(mean=[1.0, -2.0, 0.5], variance=[4.0, 0.3, 0.0]),
    lambda: layers.Normalization(mean=1.1, variance=2.7, axis=None),
    lambda: layers.Normalization(mean=1.1, variance=2.7, invert=True),
    lambda: layers.Rescaling(1 / 127.5, -1),
    lambda: layers.Rescaling([0.1, 0.2, 0.3], offset=0.7),
    lambda: layers.Rescaling(3, [0.1, 0.2, 0.3]),
])  # fmt: skip
def test_frozen(make, rng):
    """The same bits, in whole batches and streams, alone and between layers, special values too."""
    x = rng.standard_normal((3, 5, 3)).astype("float32")
    x[0, 0] = [-0.0, np.inf, np.nan]
    alone = Sequential([Input((None, 3)), make()])
    assert alone.freeze()(x).tobytes() == alone(x).tobytes()
    assert alone.freeze().stream(3).push(x).tobytes() == alone(x).tobytes()
    model = Sequential(
        [Input((None, 3)), make(), layers.LSTM(4, return_sequences=True), layers.Rescaling(2.0)]
    )
    x[0, 0] = 0
    lengths = np.array([5, 2, 0])
    np.testing.assert_array_equal(model.freeze()(x, lengths=lengths), model(x, lengths=lengths))
    flat = Sequential([Input((3,)), make(), layers.Dense(2)])
    np.testing.assert_array_equal(flat.freeze()(x[:, 1]), flat(x[:, 1]))


def test_what_cannot_be_frozen():
    for layer in (layers.Normalization(1, name="bad"), layers.Rescaling(np.ones((5, 1)), name="bad")):
        with pytest.raises(ValueError, match=r"'bad' cannot be frozen: its .* than the last"):
            Sequential([Input((5, 3)), layer]).freeze()


def test_rescaling(rng):
    x = rng.integers(0, 255, (4, 6, 2)).astype("uint8")
    layer = layers.Rescaling(1 / 255, 0.5)
    assert layer(x).dtype == np.float32
    close(layer(x), x / 255 + 0.5)
    scales = layers.Rescaling([[2.0], [3.0]], offset=[1.0, -1.0])
    y = rng.standard_normal((3, 2, 2)).astype("float32")
    close(scales(y), y * np.array([[2.0], [3.0]]) + [1.0, -1.0])
    check_gradients(scales, y)


def test_masks_go_through(rng):
    x = rng.standard_normal((2, 4, 3)).astype("float32")
    x[0, 2:] = 0
    model = Sequential([Input((4, 3)), layers.Masking(), layers.Rescaling(2.0, 1.0), layers.LSTM(2)])
    lstm = model.layers[-1]
    close(model(x), lstm(x * 2 + 1, mask=(x != 0).any(-1)))
    np.testing.assert_array_equal(model.freeze()(x), model(x))


def test_training_behind_and_before(rng):
    """Statistics stay as they are, and gradients pass through to what lies before."""
    layer = layers.Normalization()
    layer.adapt(rng.normal(5.0, 2.0, (30, 3)))
    before = layer.get_weights()
    model = Sequential([Input((3,)), layers.Dense(3), layer, layers.Dense(1), layers.Rescaling(10.0)])
    model.compile("adam", "mse")
    kernel = model.layers[0].kernel.numpy()
    model.fit(rng.normal(size=(16, 3)), rng.normal(size=(16, 1)), epochs=2, verbose=0)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert (model.layers[0].kernel.numpy() != kernel).all()


@pytest.mark.parametrize("ending", [".safetensors", ".keras"])
def test_files(ending, rng, tmp_path):
    if ending == ".keras":
        pytest.importorskip("h5py")
    learned = layers.Normalization(name="learned")
    learned.adapt(rng.normal(5.0, 2.0, (30, 3)))
    given = layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0], invert=True)
    scaled = layers.Rescaling(np.array([1.0, 2.0, 3.0]), offset=-1)
    model = Sequential([Input((None, 3)), learned, given, scaled, layers.SimpleRNN(2)])
    model.save(tmp_path / f"model{ending}")
    again = lf.saving.load_model(tmp_path / f"model{ending}")
    x = rng.standard_normal((2, 4, 3)).astype("float32")
    np.testing.assert_array_equal(again(x), model(x))
    again.layers[0].adapt(rng.normal(size=(9, 4, 3)))
    copy = lf.models.clone_model(model)
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(copy(x), model(x))


@pytest.mark.parametrize(("make", "error", "match"), [
    (lambda: layers.Normalization(mean=1.0), ValueError, "both `mean` and `variance`"),
    (lambda: layers.Normalization(mean=[1.0], variance=1.0), ValueError, "same shape"),
    (lambda: layers.Normalization(axis=None, mean=[1.0], variance=[1.0]), ValueError, "rank of `mean`"),
    (lambda: layers.Normalization(axis="last"), TypeError, "axis: expected an int"),
    (lambda: layers.Normalization(axis=(0, 1.5)), TypeError, "axis: expected an int"),
    (lambda: layers.Normalization(mean="a", variance="b"), TypeError, "mean must be numeric"),
    (lambda: layers.Normalization(3)(np.ones((2, 3))), ValueError, r"ndim=2, while axis=\(3,\)"),
    (lambda: layers.Normalization()(Input((None, None))), ValueError, "must have a known shape.* index 2"),
    (lambda: layers.Normalization(mean=[1.0, 2.0], variance=[1.0, 2.0])(np.ones((2, 3))), ValueError,
     r"does not broadcast to \(3,\)"),
    (lambda: layers.Rescaling("a"), TypeError, "scale must be numeric"),
    (lambda: layers.Rescaling(1.0, None), TypeError, "offset must be numeric"),
    (lambda: layers.Rescaling([1.0, 2.0])(np.ones((2, 3))), ValueError, r"scale of layer .* \(2,\)"),
    (lambda: layers.Rescaling(np.ones((2, 1, 3)))(np.ones((2, 3))), ValueError, "does not broadcast"),
])  # fmt: skip
def test_errors(make, error, match):
    with pytest.raises(error, match=match):
        make()


@pytest.mark.parametrize(("data", "error", "match"), [
    ([], ValueError, "empty iterable"),
    (np.ones((0, 3)), ValueError, "empty array of shape"),
    ([1.0, 2.0], TypeError, "element of type float"),
    (3.0, TypeError, "got float"),
    ("text", TypeError, "got str"),
    ({"a": np.ones((2, 3))}, TypeError, "got dict"),
    (np.array([["a", "b", "c"]]), TypeError, "must be numeric"),
    ([np.ones((4, 3)), np.ones((4, 2))], ValueError, r"incompatible shape, \(4, 2\)"),
])  # fmt: skip
def test_adapt_errors(data, error, match):
    """What the layer knew stays."""
    layer = layers.Normalization()
    layer.adapt(np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]]))
    before = layer.get_weights()
    with pytest.raises(error, match=match):
        layer.adapt(data)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    with pytest.raises(ValueError, match="nothing for adapt"):
        layers.Normalization(mean=0.0, variance=1.0).adapt(np.ones((2, 3)))
