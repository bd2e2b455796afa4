# SPDX-License-Identifier: BSD-3-Clause
"""LSTM and SimpleRNN layers: against reference.py, states, lengths, masks, dropout, same bits."""

import functools

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import layers
from lstmfast import reference as ref
from lstmfast.layers import Call

KINDS = [
    layers.LSTM,
    layers.GRU,
    layers.SimpleRNN,
    pytest.param(functools.partial(layers.LSTM, peephole=True), id="LSTM-peephole"),
    pytest.param(functools.partial(layers.LSTM, projection=3), id="LSTM-projection"),
    pytest.param(functools.partial(layers.LSTM, layer_norm=True), id="LSTM-layer_norm"),
]


def made(kind, units, n, rng, **options):
    layer = kind(units, **options)
    layer.build((None, None, n))
    layer.set_weights([rng.standard_normal(v.shape) / np.sqrt(v.shape[0]) for v in layer.weights])
    return layer


def close(a, b, tolerance=1e-5, floor=1e-6):
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(floor, float(np.abs(b).max(initial=0))))


def check(layer, x, rng, **given):
    """Forward and backward of the layer against reference.py."""
    options = {k: getattr(layer, k) for k in ("return_sequences", "go_backwards", "zero_output_for_mask")}
    weights = layer.get_weights()
    if not layer.use_bias:
        weights.insert(2, None)
    extra = weights[3:]
    initial = given.get("initial_state")
    call = Call(save=True, needs_dx=True, mask=given.get("mask"), lengths=given.get("lengths"))
    call.initial_state = initial
    out = layer.forward(x, call)
    y, *states = out if layer.return_state else (out,)
    expected, final, tape = ref.recurrent_forward(
        layer.cell_name, *weights[:3], x, **given, **options, extra=extra
    )
    close(y, expected)
    for a, b in zip(states, final, strict=False):
        close(a, b)
    dy = rng.standard_normal(y.shape).astype("float32")
    ds = [rng.standard_normal(s.shape).astype("float32") for s in states]
    dx = layer.backward((dy, *ds) if layer.return_state else dy, call)
    edx, einitial, *eweights = ref.recurrent_backward(tape, dy, ds)
    # A normalized sum does not change with the size of its only term: what epsilon leaves of that gradient is the small
    # difference of terms around 0.1.
    floor = 0.1 if getattr(layer, "layer_norm", False) and 1 in (x.shape[2], layer.output_size) else 1e-6
    close(dx, edx, floor=floor)
    if not layer.use_bias:
        del eweights[2]
    for v, e in zip(layer.weights, eweights, strict=True):
        close(v.grad, e, floor=floor)
    for a, b in zip(call.d_initial_state, einitial, strict=True):
        close(a, b, floor=floor)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 5, 2, 3), (7, 4, 17, 19), (2, 33, 5, 40)], ids=str)
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("extra", ["none", "mask", "lengths", "state", "no_bias", "zero_output"])
def test_against_the_reference(kind, shape, return_sequences, go_backwards, extra, rng):
    b, t, i, h = shape
    options = {"return_state": extra != "none", "use_bias": extra != "no_bias"}
    options["zero_output_for_mask"] = extra == "zero_output"
    layer = made(kind, h, i, rng, return_sequences=return_sequences, go_backwards=go_backwards, **options)
    x = rng.standard_normal((b, t, i)).astype("float32")
    given = {}
    if extra in ("mask", "zero_output"):
        given["mask"] = rng.integers(0, 2, (b, t)).astype(bool)
    if extra == "lengths":
        given["lengths"] = rng.integers(0, t + 1, b).astype(np.int32)
    if extra == "state":
        given["initial_state"] = tuple(
            rng.standard_normal((b, size)).astype("float32") for size in layer.state_size
        )
    check(layer, x, rng, **given)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_has_the_same_bits_in_any_company(kind, rng):
    layer = made(kind, 24, 10, rng, return_sequences=True)
    x = rng.standard_normal((9, 13, 10)).astype("float32")
    whole = layer(x)
    for threads in (1, 2, 3):
        with lf.threads(threads):
            np.testing.assert_array_equal(layer(x), whole)
            for rows in ([0], [3], [8, 1], list(range(5))):
                np.testing.assert_array_equal(layer(x[rows]), whole[rows])


@pytest.mark.parametrize("kind", KINDS)
def test_two_halves_have_the_bits_of_the_whole(kind, rng):
    layer = made(kind, 20, 6, rng, return_sequences=True, return_state=True)
    x = rng.standard_normal((3, 11, 6)).astype("float32")
    y, *states = layer(x)
    first, *middle = layer(x[:, :4])
    rest, *ends = layer(x[:, 4:], initial_state=middle)
    np.testing.assert_array_equal(np.concatenate([first, rest], axis=1), y)
    for a, b in zip(ends, states, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_does_not_matter(kind, rng):
    layer = made(kind, 8, 4, rng, return_sequences=True, return_state=True)
    x, n = rng.standard_normal((4, 7, 4)).astype("float32"), np.array([7, 3, 0, 5])
    y, *states = layer(x, lengths=n)
    garbage = np.where(np.arange(7)[None, :, None] < n[:, None, None], x, np.float32(np.nan))
    y2, *states2 = layer(garbage, lengths=n)
    np.testing.assert_array_equal(y, y2)
    for b, length in enumerate(n):
        assert (y[b, length:] == 0).all()
        if length:
            alone, *ends = layer(x[b : b + 1, :length])
            np.testing.assert_array_equal(alone[0], y[b, :length])
            for a, e in zip(states, ends, strict=True):
                np.testing.assert_array_equal(a[b], e[0])
        else:
            assert all((s[b] == 0).all() for s in states)


@pytest.mark.parametrize(
    ("lengths", "error"),
    [([1, 2], ValueError), ([-1, 2, 3], ValueError), ([1, 2, 9], ValueError), ([1.0, 2.0, 3.0], TypeError),
     ([[1], [2], [3]], ValueError)],
)  # fmt: skip
def test_wrong_lengths(lengths, error):
    with pytest.raises(error, match="lengths"):
        layers.LSTM(2)(np.zeros((3, 5, 2)), lengths=np.array(lengths))


def test_wrong_masks_and_states():
    lstm, x = layers.LSTM(2), np.zeros((3, 5, 2))
    with pytest.raises(ValueError, match="mask"):
        lstm(x, mask=np.ones((3, 4), bool))
    with pytest.raises(TypeError, match="mask"):
        lstm(x, mask=np.full((3, 5), 0.5))
    with pytest.raises(ValueError, match="initial_state"):
        lstm(x, initial_state=[np.zeros((3, 2))])
    with pytest.raises(ValueError, match=r"initial_state\[1\].*\(3, 2\)"):
        lstm(x, initial_state=[np.zeros((3, 2)), np.zeros((2, 2))])
    with pytest.raises(ValueError, match="activation"):
        layers.LSTM(2, activation=lambda x: x, zoneout=0.5)
    with pytest.raises(ValueError, match="use_cudnn"):
        layers.LSTM(2, use_cudnn="maybe")


def test_stateful(rng):
    x = rng.standard_normal((2, 6, 3)).astype("float32")
    plain = layers.LSTM(4, return_sequences=True)
    plain.build((2, None, 3))
    layer = layers.LSTM(4, return_sequences=True, stateful=True)
    with pytest.raises(ValueError, match="static"):
        layer.build((None, None, 3))
    layer.build((2, None, 3))
    layer.set_weights(plain.get_weights())
    parts = [layer(x[:, :2]), layer(x[:, 2:])]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), plain(x))
    layer.reset_state()
    np.testing.assert_array_equal(layer(x[:, :2]), parts[0])
    layer.reset_states([np.zeros((2, 4)), np.zeros((2, 4))])
    np.testing.assert_array_equal(layer(x[:, :2]), parts[0])
    with pytest.raises(ValueError, match="batch size"):
        layer(x[:1])


def test_initializers_are_keras_s():
    lstm = layers.LSTM(5)
    lstm.build((None, None, 3))
    kernel, recurrent, bias = lstm.get_weights()
    np.testing.assert_array_equal(bias, np.repeat([0, 1, 0, 0], 5))
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(5), atol=1e-5)
    assert np.abs(kernel).max() <= np.sqrt(6 / 23)
    plain = layers.LSTM(5, unit_forget_bias=False)
    plain.build((None, None, 3))
    assert (plain.get_weights()[2] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_only_in_training_and_reproducible(kind, rng):
    x = rng.standard_normal((3, 5, 4)).astype("float32")
    layer = made(kind, 6, 4, rng, dropout=0.4, recurrent_dropout=0.3)
    same = made(kind, 6, 4, rng)
    same.set_weights(layer.get_weights())
    np.testing.assert_array_equal(layer(x), same(x))
    start = layer.seed_generator.state.numpy()
    first = layer(x, training=True)
    assert not np.array_equal(first, layer(x, training=True))
    layer.seed_generator.state.assign(start)
    np.testing.assert_array_equal(layer(x, training=True), first)
    seeds = []
    for _ in range(2):
        lf.utils.set_random_seed(3)
        seeds.append(made(kind, 6, 4, rng, dropout=0.4).seed_generator.state.numpy())
    np.testing.assert_array_equal(*seeds)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rates", [(0.4, 0.0), (0.0, 0.4), (0.4, 0.3)], ids=str)
def test_dropout_backward_is_the_derivative(kind, rates, rng):
    """Directional derivatives in float32 with the same masks drawn again."""
    layer = made(kind, 5, 4, rng, dropout=rates[0], recurrent_dropout=rates[1], return_sequences=True)
    x = rng.standard_normal((3, 5, 4)).astype("float32")
    w = rng.standard_normal((3, 5, layer.output_size)).astype("float32")

    def run(x, save=False):
        call = Call(training=True, save=save, needs_dx=True, rng=np.random.default_rng(5))
        return layer.forward(x, call), call

    y, call = run(x, save=True)
    dx = layer.backward(w, call)
    for array, gradient in [(x, dx), *((v._data, v.grad) for v in layer.weights)]:
        direction = rng.standard_normal(array.shape).astype("float32")
        old, step = array.copy(), np.float32(1e-2)
        values = []
        for sign in (1, -1):
            array[...] = old + sign * step * direction
            for v in layer.weights:
                v.touch()
            values.append(float((run(x)[0].astype("float64") * w).sum()))
        array[...] = old
        for v in layer.weights:
            v.touch()
        numeric = (values[0] - values[1]) / (2 * float(step))
        assert numeric == pytest.approx(float((gradient * direction).sum()), rel=2e-2, abs=2e-2)


def test_lstm_gates_have_masks_of_their_own(rng):
    """Keras's LSTMCell with recurrent dropout draws one mask a gate for inputs and for h."""
    layer = made(layers.LSTM, 6, 4, rng, dropout=0.5, recurrent_dropout=0.5)
    x = rng.standard_normal((2, 3, 4)).astype("float32")
    masks = layer._dropout_masks(x, Call(training=True))
    assert [m.shape for m in masks] == [(2, 4, 4), (2, 4, 6)]
    only = made(layers.LSTM, 6, 4, rng, dropout=0.5)._dropout_masks(x, Call(training=True))
    assert only[0].shape == (2, 4) and only[1] is None


def test_a_gradient_through_the_state_alone(rng):
    layer = made(layers.LSTM, 4, 3, rng, return_state=True)
    x = rng.standard_normal((2, 5, 3)).astype("float32")
    call = Call(save=True, needs_dx=True)
    y, _, c = layer.forward(x, call)
    dx = layer.backward((None, None, np.ones_like(c)), call)
    call2 = Call(save=True, needs_dx=True)
    layer.forward(x, call2)
    for v in layer.weights:
        v.clear_grad()
    np.testing.assert_array_equal(
        layer.backward((np.zeros_like(y), np.zeros_like(y), np.ones_like(c)), call2), dx
    )
