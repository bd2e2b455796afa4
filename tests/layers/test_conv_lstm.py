# SPDX-License-Identifier: BSD-3-Clause
"""ConvLSTM1D: a plain loop over convolutions in float64, finite differences, states, files."""

import numpy as np
import pytest

import lstmfast as lf
from lstmfast.layers import LSTM, Bidirectional, Call, ConvLSTM1D
from lstmfast.testing import check_gradients


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def convolved(x, kernel, left):
    """Windows of x (B, L, C), padded to both sides, times kernel (K, C, F), place by place."""
    size = len(kernel)
    padded = np.pad(x, ((0, 0), (left, size - 1 - left), (0, 0)))
    return np.stack(
        [np.einsum("bkc,kcf->bf", padded[:, n : n + size], kernel) for n in range(x.shape[1])], axis=1
    )


def plain(layer, x):
    kernel, recurrent, bias = (w.astype("float64") for w in layer.get_weights())
    left = (len(kernel) - 1) // 2
    h = c = np.zeros((len(x), x.shape[2], layer.filters))
    outputs = []
    for t in range(x.shape[1]):
        z = convolved(x[:, t].astype("float64"), kernel, left) + convolved(h, recurrent, left) + bias
        i, f, g, o = np.split(z, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.stack(outputs, axis=1), h, c


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_plain_loop_gives_the_same(size, rng):
    x = rng.standard_normal((2, 4, 6, 3)).astype("float32")
    layer = ConvLSTM1D(5, size, padding="same", return_sequences=True, return_state=True)
    for ours, expected in zip(layer(x), plain(layer, x), strict=True):
        close(ours, expected)
    assert [v.path for v in layer.weights] == [
        f"{layer.name}/conv_lstm_cell/{n}" for n in ("kernel", "recurrent_kernel", "bias")
    ]
    np.testing.assert_array_equal(layer.get_weights()[2], [0] * 5 + [1] * 5 + [0] * 10)


def test_one_place_and_a_window_of_one_is_an_lstm(rng):
    x = rng.standard_normal((3, 7, 1, 4)).astype("float32")
    layer, lstm = ConvLSTM1D(5, 1), LSTM(5)
    y = layer(x)
    lstm.build((3, 7, 4))
    kernel, recurrent, bias = layer.get_weights()
    lstm.set_weights([kernel[0], recurrent[0], bias])
    close(y[:, 0], lstm(x[:, :, 0]))


@pytest.mark.parametrize(
    "options",
    [
        {"padding": "same"},
        {"strides": 2, "padding": "same"},
        {"dilation_rate": 2, "go_backwards": True},
        {"data_format": "channels_first", "activation": "gelu"},
        {"dropout": 0.4, "recurrent_dropout": 0.3, "seed": 3, "padding": "same"},
    ],
    ids=str,
)
def test_gradients(options, rng):
    shape = (2, 3, 2, 5) if "data_format" in options else (2, 3, 5, 2)
    layer = ConvLSTM1D(3, 2, return_sequences=True, **options)
    check_gradients(layer, rng.standard_normal(shape).astype("float32"), training="dropout" in options)


def test_padding_changes_nothing_even_nan(rng):
    x = rng.standard_normal((2, 5, 6, 3)).astype("float32")
    layer = ConvLSTM1D(4, 3, return_sequences=True, return_state=True)
    alone = layer(x[:1, :3])
    dirty = x.copy()
    dirty[0, 3:] = np.nan
    call = Call(save=True, needs_dx=True, lengths=np.array([3, 5], np.int32))
    y, h, c = layer.forward(dirty, call)
    np.testing.assert_array_equal(y[0, :3], alone[0][0])
    assert not y[0, 3:].any()
    np.testing.assert_array_equal((h[0], c[0]), (alone[1][0], alone[2][0]))
    dx = layer.backward((np.ones_like(y), None, None), call)
    assert not dx[0, 3:].any()
    assert all(np.isfinite(v.grad).all() for v in layer.weights)
    mask = np.array([[True, False, True, True, False]] * 2)
    close(layer(x, mask=mask)[1], layer(x[:, [0, 2, 3]])[1])


def test_states_are_carried_given_and_kept(rng):
    x = rng.standard_normal((2, 6, 5, 3)).astype("float32")
    layer = ConvLSTM1D(4, 3, padding="same", return_sequences=True, return_state=True)
    whole = layer(x)
    first = layer(x[:, :2])
    second = layer(x[:, 2:], initial_state=first[1:])
    np.testing.assert_array_equal(np.concatenate([first[0], second[0]], axis=1), whole[0])
    np.testing.assert_array_equal(second[2], whole[2])
    stateful = ConvLSTM1D(4, 3, padding="same", stateful=True)
    stateful.build((2, None, 5, 3))
    stateful.set_weights(layer.get_weights())
    stateful(x[:, :4])
    np.testing.assert_array_equal(stateful(x[:, 4:]), whole[1])
    assert [s.shape for s in stateful.states] == [(2, 5, 4)] * 2
    stateful.reset_state()
    np.testing.assert_array_equal(stateful(x), whole[1])
    resets = np.zeros((2, 6), bool)
    resets[:, 3] = True
    np.testing.assert_array_equal(layer(x, resets=resets)[1], layer(x[:, 3:])[1])
    with pytest.raises(ValueError, match=r"must have shape \(2, 5, 4\), got \(2, 4\)"):
        layer(x, initial_state=[np.zeros((2, 4))] * 2)


def test_models_train_and_come_back_from_files(tmp_path, rng):
    lf.utils.set_random_seed(1)
    x = rng.standard_normal((12, 4, 6, 2)).astype("float32")
    y = x[:, -1].mean(axis=(1, 2))[:, None]
    inputs = lf.Input((None, 6, 2))
    hidden, h, c = ConvLSTM1D(4, 3, padding="same", return_sequences=True, return_state=True)(inputs)
    assert hidden.shape == (None, None, 6, 4)
    assert h.shape == c.shape == (None, 6, 4)
    last = Bidirectional(ConvLSTM1D(3, 3))(hidden, initial_state=None)
    more = ConvLSTM1D(4, 3, padding="same", dropout=0.1)(hidden, initial_state=[h, c])
    joined = lf.layers.Concatenate()([lf.layers.Flatten()(last), lf.layers.Flatten()(more)])
    model = lf.Model(inputs, lf.layers.Dense(1)(joined))
    model.compile("adam", "mse")
    history = model.fit(x, y, epochs=6, verbose=0).history["loss"]
    assert history[-1] < history[0]
    expected = model.predict(x, verbose=0)
    for name in ("m.keras", "m.safetensors"):
        model.save(tmp_path / name)
        np.testing.assert_array_equal(lf.saving.load_model(tmp_path / name).predict(x, verbose=0), expected)
    with pytest.raises(ValueError, match="no native form"):
        model.freeze()


def test_wrong_arguments():
    with pytest.raises(ValueError, match="`strides > 1` is not compatible with `dilation_rate > 1`"):
        ConvLSTM1D(1, 1, strides=2, dilation_rate=3)
    with pytest.raises(ValueError, match="`filters`"):
        ConvLSTM1D(0, 1)
    with pytest.raises(ValueError, match="`padding`"):
        ConvLSTM1D(1, 2, padding="causal")
    with pytest.raises(ValueError, match="static input shapes for the spatial dimension"):
        ConvLSTM1D(1, 2)(lf.Input((3, None, 2)))
    with pytest.raises(ValueError, match="zero or negative"):
        ConvLSTM1D(1, 4)(np.zeros((1, 2, 3, 2)))
