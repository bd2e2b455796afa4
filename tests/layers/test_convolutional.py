# SPDX-License-Identifier: BSD-3-Clause
"""Conv1D: padded rows, bits, training, other graphs."""

import itertools

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import Input, Model, Sequential, layers
from lstmfast.layers import Call


@pytest.mark.parametrize(
    ("size", "stride", "dilation", "padding"),
    [
        (size, stride, dilation, padding)
        for size, (stride, dilation), padding in itertools.product(
            (1, 2, 3, 5), ((1, 1), (2, 1), (3, 1), (1, 2)), ("valid", "same", "causal")
        )
    ],
)
def test_a_padded_row_is_the_row_alone(size, stride, dilation, padding, rng):
    lengths = np.array([14, 9, 6, 3, 1, 0], np.int32)
    x = rng.standard_normal((6, 14, 3)).astype("float32")
    layer = layers.Conv1D(4, size, stride, padding, dilation_rate=dilation, activation="tanh")
    layer.build(x.shape)
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
    dkernel = layer.kernel.grad.copy()
    layer.kernel.clear_grad()
    layer.bias.clear_grad()
    for row, n in enumerate(lengths):
        assert (dx[row, n:] == 0).all()
        if counts[row] == 0:
            continue
        alone = Call(save=True, needs_dx=True)
        np.testing.assert_array_equal(
            y[row : row + 1, : counts[row]], layer.forward(x[row : row + 1, :n], alone)
        )
        expected = layer.backward(dy[row : row + 1, : counts[row]], alone)
        np.testing.assert_allclose(dx[row : row + 1, :n], expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(dkernel, layer.kernel.grad, rtol=0, atol=1e-5 * max(1, abs(dkernel).max()))


def test_lengths_through_a_model(rng):
    model = Sequential([Input((None, 3)), layers.Conv1D(5, 3, 2, "same"), layers.Conv1D(5, 2, padding="causal"),
                        layers.GRU(4)])  # fmt: skip
    x = rng.standard_normal((3, 11, 3)).astype("float32")
    lengths = np.array([11, 6, 1])
    y = model(x, lengths=lengths)
    for row, n in enumerate(lengths):
        np.testing.assert_array_equal(y[row : row + 1], model(x[row : row + 1, :n]))


def test_bits_of_a_row(rng):
    layer = layers.Conv1D(37, 4, padding="causal", activation="relu")
    x = rng.standard_normal((9, 60, 19)).astype("float32")
    whole = layer(x)
    for threads in (1, 2, 3):
        with lf.threads(threads):
            np.testing.assert_array_equal(layer(x), whole)
            np.testing.assert_array_equal(layer(x[4:5]), whole[4:5])
            np.testing.assert_array_equal(layer(x[:, :31]), whole[:, :31])


def test_causal_sees_no_future(rng):
    layer = layers.Conv1D(2, 3, padding="causal", dilation_rate=2)
    x = rng.standard_normal((1, 12, 3)).astype("float32")
    y = layer(x)
    x[:, 7:] = np.nan
    np.testing.assert_array_equal(layer(x)[:, :7], y[:, :7])


def test_shared_and_frozen_weights(rng):
    """Used twice in a graph the gradients add up; not trainable there are none."""
    x, z = Input((6, 3)), Input((6, 3))
    conv = layers.Conv1D(4, 3, padding="same")
    model = Model([x, z], layers.Flatten()(layers.add([conv(x), conv(z)])))
    data = [rng.standard_normal((2, 6, 3)).astype("float32") for _ in range(2)]
    y, tape = model.forward(data)
    grads, _, _ = tape.backward(np.ones_like(y))
    expected = np.zeros((3, 3, 4))
    for a in data:
        padded = np.pad(a.astype(float), ((0, 0), (1, 1), (0, 0)))
        for tap in range(3):
            expected[tap] += padded[:, tap : tap + 6].sum(axis=(0, 1))[:, None]
    np.testing.assert_allclose(grads[0], expected, rtol=0, atol=1e-5 * abs(expected).max())
    conv.trainable = False
    assert model.trainable_variables == []


def test_constraints_and_regularizers(rng):
    model = Sequential([Input((8, 2)), layers.Conv1D(3, 2, kernel_constraint="non_neg", kernel_regularizer="l2"),
                        layers.GlobalMaxPooling1D()])  # fmt: skip
    model.compile("sgd", "mse")
    x, y = rng.standard_normal((16, 8, 2)), rng.standard_normal((16, 3))
    model.fit(x, y, epochs=3, verbose=0)
    assert (model.get_weights()[0] >= 0).all()
    plain = ((model.predict(x, verbose=0) - y) ** 2).mean()
    penalty = 0.01 * (model.get_weights()[0] ** 2).sum()
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0), plain + penalty, rtol=1e-4)


def test_unsupported_arguments():
    for argument in ("lora_rank", "lora_alpha", "quantization_config"):
        with pytest.raises(ValueError, match=argument):
            layers.Conv1D(2, 3, **{argument: 4})


def test_a_failed_build_leaves_nothing(rng):
    layer = layers.Conv1D(2, 5)
    with pytest.raises(ValueError, match="zero or negative"):
        layer(np.ones((1, 3, 4)))
    assert not layer.built and layer.weights == []
    assert layer(np.ones((1, 7, 6))).shape == (1, 3, 2)
