# SPDX-License-Identifier: BSD-3-Clause
"""Depthwise, separable and transposed convolutions and adaptive pooling: padded rows, gradients, frozen models."""

import itertools

import numpy as np
import pytest

from lstmfast import Input, Sequential, layers
from lstmfast.layers import Call
from lstmfast.testing import check_gradients

CONVOLUTIONS = {
    f"{kind}-{size}-{stride}-{dilation}-{padding}": (
        lambda kind=kind, given=(size, stride, padding), dilation=dilation: {
            "depthwise": lambda: layers.DepthwiseConv1D(*given, 2, dilation_rate=dilation, activation="tanh"),
            "separable": lambda: layers.SeparableConv1D(4, *given, dilation_rate=dilation, activation="tanh"),
            "transposed": lambda: layers.Conv1DTranspose(
                4, *given, dilation_rate=dilation, activation="tanh"
            ),
        }[kind]()
    )
    for kind, size, (stride, dilation), padding in itertools.product(
        ("depthwise", "separable", "transposed"),
        (1, 2, 3, 5),
        ((1, 1), (2, 1), (3, 1), (1, 2)),
        ("valid", "same"),
    )
}
POOLINGS = {
    "average": lambda: layers.AdaptiveAveragePooling1D(4),
    "maximum": lambda: layers.AdaptiveMaxPooling1D(4),
}


@pytest.mark.parametrize("make", [*CONVOLUTIONS.values(), *POOLINGS.values()], ids=[*CONVOLUTIONS, *POOLINGS])
def test_a_padded_row_is_the_row_alone(make, rng):
    lengths = np.array([14, 9, 6, 3, 1, 0], np.int32)
    x = rng.standard_normal((6, 14, 3)).astype("float32")
    layer = make()
    layer.ensure_built(x.shape)
    padded = x.copy()
    for row, n in enumerate(lengths):
        padded[row, n:] = np.nan
    call = Call(save=True, needs_dx=True, lengths=lengths)
    y, counts = layer.forward(padded, call), layer.output_lengths(lengths)
    assert y.shape == layer.compute_output_shape(x.shape)
    dy = rng.standard_normal(y.shape).astype("float32")
    for row, n in enumerate(counts):
        dy[row, n:] = 0
    dx = layer.backward(dy, call)
    together = [v.grad.copy() for v in layer.weights]
    for v in layer.weights:
        v.clear_grad()
    for row, n in enumerate(lengths):
        assert (dx[row, n:] == 0).all()
        if counts[row] == 0:
            continue
        alone = Call(save=True, needs_dx=True)
        expected = layer.forward(x[row : row + 1, :n], alone)
        np.testing.assert_array_equal(y[row : row + 1, : counts[row]], expected)
        expected = layer.backward(dy[row : row + 1, : counts[row]], alone)
        np.testing.assert_allclose(dx[row : row + 1, :n], expected, rtol=0, atol=1e-6)
    for v, grad in zip(layer.weights, together, strict=True):
        np.testing.assert_allclose(grad, v.grad, rtol=0, atol=1e-5 * max(1, abs(grad).max()))


@pytest.mark.parametrize("kind", ["depthwise-3-2-1-same", "separable-3-1-2-same", "transposed-5-3-1-valid"])
def test_gradients(kind, rng):
    check_gradients(CONVOLUTIONS[kind](), rng.standard_normal((2, 12, 3)))


def test_what_needs_no_gradient_gets_none(rng):
    for layer in (layers.DepthwiseConv1D(2), layers.SeparableConv1D(3, 2), layers.Conv1DTranspose(3, 2)):
        layer.build((2, 5, 4))
        call = Call(save=True, needs_dx=False)
        y = layer.forward(rng.standard_normal((2, 5, 4)).astype("float32"), call)
        assert layer.backward(np.ones_like(y), call) is None
        assert all(v.grad is not None for v in layer.weights)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("name", ["DepthwiseConv1D", "SeparableConv1D"])
def test_frozen(name, padding, rng):
    x = rng.standard_normal((5, 13, 4)).astype("float32")
    lengths = np.array([13, 8, 4, 1, 0])
    options = {"strides": 2, "padding": padding, "depth_multiplier": 2, "activation": "tanh"}
    layer = getattr(layers, name)(**options, kernel_size=3, **({"filters": 5} if name[0] == "S" else {}))
    model = Sequential([Input((None, 4)), layer, layers.GRU(3, return_sequences=True)])
    model.set_weights([rng.standard_normal(v.shape) for v in model.weights])
    frozen = model.freeze()
    np.testing.assert_array_equal(frozen(x), model(x))
    np.testing.assert_array_equal(frozen(x, lengths=lengths), model(x, lengths=lengths))
    with pytest.raises(ValueError, match=layer.name):
        frozen.stream()


def test_separable_convolution_of_single_steps_streams(rng):
    model = Sequential([Input((None, 4)), layers.SeparableConv1D(5, 1, activation="relu"), layers.GRU(3)])
    x = rng.standard_normal((1, 6, 4)).astype("float32")
    stream = model.freeze().stream()
    np.testing.assert_array_equal(stream.push(x)[:, -1], model(x))


@pytest.mark.parametrize("activation", [None, "relu", "softmax"])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    "sizes", [(1, 1, 1, None), (3, 1, 1, None), (3, 2, 1, None), (2, 3, 1, None), (4, 3, 1, 1), (3, 1, 2, 0)]
)
def test_frozen_transposed_convolution(sizes, padding, activation, rng):
    size, strides, dilation, more = sizes
    layer = layers.Conv1DTranspose(
        5, size, strides, padding, more, dilation_rate=dilation, activation=activation
    )
    model = Sequential([Input((None, 4)), layer, layers.GRU(3, return_sequences=True)])
    model.set_weights([rng.standard_normal(v.shape) for v in model.weights])
    frozen, lengths = model.freeze(), np.array([13, 8, 4, 1, 0])
    x = rng.standard_normal((5, 13, 4)).astype("float32")
    y = model(x)
    np.testing.assert_array_equal(frozen(x), y)
    np.testing.assert_array_equal(frozen(x[:1]), y[:1])
    np.testing.assert_array_equal(frozen(x[:, :2]), model(x[:, :2]))
    np.testing.assert_array_equal(frozen(x, lengths=lengths), model(x, lengths=lengths))
    with pytest.raises(ValueError, match=layer.name):
        frozen.stream()


def test_what_transposed_convolution_cannot_be_frozen():
    for options in ({"data_format": "channels_first"}, {"activation": np.cbrt}):
        with pytest.raises(ValueError, match="layer 'up' cannot be frozen"):
            Sequential([Input((6, 4)), layers.Conv1DTranspose(5, 3, name="up", **options)]).freeze()


@pytest.mark.parametrize("strides", [1, 2, 5])
def test_frozen_transposed_convolution_keeps_one_packed_kernel(strides, rng):
    """Which is its own: the model's weights may change, and go."""
    model = Sequential([Input((6, 16)), layers.Conv1DTranspose(16, 3, strides=strides)])
    x = rng.standard_normal((2, 6, 16)).astype("float32")
    want, frozen = model(x), model.freeze()
    model.set_weights([w * np.nan for w in model.get_weights()])
    del model
    np.testing.assert_array_equal(frozen(x), want)
    assert 3 * 16 * 16 * 4 <= frozen.nbytes < 1.5 * 3 * 16 * 16 * 4


@pytest.mark.parametrize("windows", [1, 3, 7, 20])
@pytest.mark.parametrize("kind", ["Average", "Max"])
def test_frozen_adaptive_pooling(kind, windows, rng):
    layer = getattr(layers, f"Adaptive{kind}Pooling1D")(windows, name="pool")
    model = Sequential([Input((None, 4)), layer, layers.GRU(3)])
    frozen, lengths = model.freeze(), np.array([13, 8, 4, 1, 0])
    x = rng.standard_normal((5, 13, 4)).astype("float32")
    mask = rng.random((5, 13)) < 0.5
    np.testing.assert_array_equal(frozen(x, mask=mask), model(x, mask=mask))
    np.testing.assert_array_equal(frozen(x), model(x))
    np.testing.assert_array_equal(frozen(x, lengths=lengths), model(x, lengths=lengths))
    with pytest.raises(ValueError, match="layer 'pool' cannot run in a stream"):
        frozen.stream()
    first = getattr(layers, f"Adaptive{kind}Pooling1D")(windows, data_format="channels_first", name="first")
    with pytest.raises(ValueError, match="layer 'first' cannot be frozen: data_format"):
        Sequential([Input((5, 4)), first]).freeze()
