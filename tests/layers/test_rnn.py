# SPDX-License-Identifier: BSD-3-Clause
"""RNN over built-in and user-written cells: equal to the layers, to plain loops, and to finite differences."""

import copy
import itertools
import pickle

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import layers
from lstmfast.layers import RNN, Call, GRUCell, Layer, LSTMCell, SimpleRNNCell, StackedRNNCells

PAIRS = [(layers.LSTM, LSTMCell), (layers.GRU, GRUCell), (layers.SimpleRNN, SimpleRNNCell)]


class Wrapped(Layer):
    """A user's cell that hands every step on to a built-in one."""

    def __init__(self, cell, **kwargs):
        super().__init__(**kwargs)
        self.cell = cell
        self.state_size, self.output_size = cell.state_size, cell.output_size

    def build(self, input_shape):
        self.cell.ensure_built(input_shape)

    def forward(self, x, states, call):
        return self.cell.forward(x, states, call)

    def backward(self, dy, dstates, call):
        return self.cell.backward(dy, dstates, call)


class Plain:
    """A cell that is no layer, with a start of its own: ``h = h + x``."""

    state_size = 2

    def get_initial_state(self, batch_size):
        return np.full((batch_size, 2), 10.0, np.float32)

    def forward(self, x, states, call):
        h = states[0] + x
        return h, h

    def backward(self, dy, dstates, call):
        dh = dy + dstates[0]
        return dh, dh


def run(layer, x, rng, **call_options):
    call = Call(save=True, needs_dx=True, **call_options)
    y = layer.forward(x, call)
    y = y if isinstance(y, tuple) else (y,)
    rng = np.random.default_rng(5)
    dy = tuple(rng.standard_normal(a.shape).astype("float32") for a in y)
    dx = layer.backward(dy if len(dy) > 1 else dy[0], call)
    grads = [v.grad.copy() for v in layer.weights]
    for v in layer.weights:
        v.clear_grad()
    return [*y, dx, *call.d_initial_state, *grads]


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1e-6, np.abs(b).max()))


@pytest.mark.parametrize(("layer_class", "cell_class"), PAIRS)
@pytest.mark.parametrize("options", list(itertools.product([False, True], repeat=3)), ids=str)
@pytest.mark.parametrize("kind", ["plain", "mask", "lengths", "both", "resets", "mask lengths resets"])
def test_equal_to_the_layer(layer_class, cell_class, kind, options, rng):
    """Natively to the bit; and the Python loop over the same cell: the rules for masks and lengths are the same."""
    names = ("go_backwards", "return_sequences", "zero_output_for_mask")
    options = {**dict(zip(names, options, strict=True)), "return_state": True}
    x = rng.standard_normal((5, 6, 3)).astype("float32")
    layer, native = layer_class(4, **options), RNN(cell_class(4), **options)
    looped = RNN(Wrapped(cell_class(4)), **options)
    for made in (layer, native, looped):
        made.build(x.shape)
    native.set_weights(layer.get_weights())
    looped.set_weights(layer.get_weights())
    call = {}
    if "mask" in kind or kind == "both":
        call["mask"] = rng.integers(0, 2, (5, 6)).astype(bool)
        call["mask"][0] = False
    if "lengths" in kind or kind == "both":
        call["lengths"] = np.array([6, 3, 0 if kind == "lengths" else 2, 1, 5], "int32")
    if "resets" in kind:
        call["resets"] = rng.random((5, 6)) > 0.6
    call["initial_state"] = tuple(rng.standard_normal((5, 4)).astype("float32") for _ in layer.state_size)
    expected = run(layer, x, rng, **call)
    for a, b in zip(run(native, x, rng, **call), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(run(looped, x, rng, **call), expected, strict=True):
        close(a, b)


@pytest.mark.parametrize("kind", ["native", "looped"])
def test_carried_states_and_resets(kind, rng):
    """Where a call goes on, resets still lead to the initial states; gradients of both, by differences of linear cells."""
    cell = SimpleRNNCell(4, activation=None)
    layer = RNN(cell if kind == "native" else Wrapped(cell), return_sequences=True)
    x = rng.standard_normal((3, 6, 2)).astype("float32")
    layer.build(x.shape)
    initial, carried = ((rng.standard_normal((3, 4)).astype("float32"),) for _ in range(2))
    resets = rng.random((3, 6)) > 0.6

    def forward(initial, carried):
        call = Call(save=True, needs_dx=True, initial_state=initial, resets=resets)
        call.carried_state = carried
        return layer.forward(x, call), call

    y, call = forward(initial, carried)
    dy = rng.standard_normal(y.shape).astype("float32")
    layer.backward(dy, call)
    for which, gradient in enumerate((call.d_initial_state, call.d_carried_state)):
        moved = [initial, carried]
        moved[which] = (moved[which][0] + 1,)
        difference = float(((forward(*moved)[0] - y) * dy).sum(dtype=np.float64))
        assert abs(difference - float(gradient[0].sum(dtype=np.float64))) < 1e-4


def test_a_stack_is_layers_behind_one_another(rng):
    x = rng.standard_normal((3, 5, 2)).astype("float32")
    stack = RNN([LSTMCell(4), GRUCell(3), SimpleRNNCell(2)], return_state=True)
    y, (h, c), g, s = stack(x)
    first, second = layers.LSTM(4, return_sequences=True), layers.GRU(3, return_sequences=True)
    third = layers.SimpleRNN(2)
    for layer, cell in zip((first, second, third), stack.cell.cells, strict=True):
        layer.build((None, None, cell.kernel.shape[0]))
        layer.set_weights(cell.get_weights())
    np.testing.assert_array_equal(y, third(second(first(x))))
    np.testing.assert_array_equal(h, first(x)[:, -1])
    np.testing.assert_array_equal(s, y)
    assert g.shape == (3, 3) and c.shape == (3, 4)


def test_a_stack_stepwise_is_the_stack(rng):
    """A subclass of StackedRNNCells with a step of its own runs step by step."""

    class Mine(StackedRNNCells):
        def forward(self, x, states, call):
            return super().forward(x, states, call)

    x = rng.standard_normal((3, 5, 2)).astype("float32")
    options = {"return_state": True, "return_sequences": True, "go_backwards": True}
    fast = RNN(StackedRNNCells([LSTMCell(4), StackedRNNCells([GRUCell(3), SimpleRNNCell(2)])]), **options)
    slow = RNN(Mine([LSTMCell(4), GRUCell(3), SimpleRNNCell(2)]), **options)
    fast.build(x.shape)
    slow.build(x.shape)
    slow.set_weights(fast.get_weights())
    for a, b in zip(run(fast, x, rng), run(slow, x, rng), strict=True):
        close(a, b)
    cell = fast.cell
    y, states = cell(x[:, 0], cell.get_initial_state(3))
    expected, *final = RNN(cell, return_state=True)(x[:, :1])
    close(y, expected)
    assert [len(s) for s in states] == [2, 2] and len(final) == 2


def test_a_subclass_of_a_built_in_cell_keeps_its_step(rng):
    class Clipped(LSTMCell):
        def forward(self, x, states, call):
            y, new = super().forward(x, states, call)
            return np.clip(y, 0, None), new

    x = rng.standard_normal((3, 5, 2)).astype("float32")
    layer = RNN(Clipped(4), return_sequences=True)
    assert layer(x).min() == 0
    assert RNN(layer.cell, return_sequences=True, name="again")(x).shape == (3, 5, 4)


def test_a_cell_that_is_no_layer(rng):
    x = rng.standard_normal((3, 5, 2)).astype("float32")
    np.testing.assert_allclose(RNN(Plain())(x), 10 + x.sum(axis=1), rtol=1e-5)
    mask = np.ones((3, 5), bool)
    mask[0] = False
    mask[1, :2] = False
    y = RNN(Plain(), return_sequences=True)(x, mask=mask)
    np.testing.assert_array_equal(y[0], 10)
    np.testing.assert_array_equal(y[1, :2], 10)
    wide = RNN(Plain())(np.ones((2, 3, 1)))
    np.testing.assert_array_equal(wide, 13)
    stateful = RNN(Plain(), stateful=True)
    np.testing.assert_array_equal(stateful(np.ones((2, 3, 2))), 13)
    np.testing.assert_array_equal(stateful(np.ones((2, 3, 2))), 16)
    stateful.reset_state()
    np.testing.assert_array_equal(stateful(np.ones((2, 3, 2))), 3)  # zeros, as in Keras


def test_nothing_in_padding_reaches_results(rng):
    x = rng.standard_normal((3, 5, 2)).astype("float32")
    mask = np.ones((3, 5), bool)
    mask[:, 3:] = False
    layer = RNN(Wrapped(GRUCell(3)), return_sequences=True)
    layer.build(x.shape)
    expected = run(layer, x, rng, mask=mask)
    x[:, 3:] = np.nan
    for a, b in zip(run(layer, x, rng, mask=mask), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_gradients_of_a_lower_state_alone(rng):
    x = rng.standard_normal((2, 4, 3)).astype("float32")
    stack = RNN([LSTMCell(4), Wrapped(GRUCell(3))], return_state=True)
    inputs = lf.Input((4, 3))
    _, (h, _), _ = stack(inputs)
    model = lf.Model(inputs, h)
    alone = layers.LSTM(4)
    alone.build(x.shape)
    alone.set_weights(stack.get_weights()[:3])
    y, tape = model.forward(x)
    grads, dx, _ = tape.backward(np.ones_like(y))
    expected = run_ones(alone, x)
    close(dx, expected[0])
    for a, b in zip(grads, expected[1:], strict=False):
        close(a, b)
    assert not any(g.any() for g in grads[3:])


def run_ones(layer, x):
    call = Call(save=True, needs_dx=True)
    dx = layer.backward(np.ones_like(layer.forward(x, call)), call)
    return [dx, *(v.grad.copy() for v in layer.weights)]


def test_training_saving_copying(tmp_path, rng):
    lf.utils.set_random_seed(0)
    x, y = rng.standard_normal((40, 6, 2)).astype("float32"), rng.standard_normal((40, 1)).astype("float32")
    model = lf.Sequential([
        lf.Input((6, 2)),
        layers.Bidirectional(RNN([LSTMCell(4, dropout=0.1), Wrapped2(3)], return_sequences=True)),
        RNN(GRUCell(3)),
        layers.Dense(1),
    ])  # fmt: skip
    model.compile("adam", "mse")
    history = model.fit(x, y, epochs=8, verbose=0).history["loss"]
    assert history[-1] < history[0]
    expected = model.predict(x, verbose=0)
    for name in ("m.keras", "m.safetensors"):
        model.save(tmp_path / name)
        with pytest.raises(ValueError, match="Wrapped2"):
            lf.saving.load_model(tmp_path / name)
        again = lf.saving.load_model(tmp_path / name, custom_objects={"Wrapped2": Wrapped2})
        np.testing.assert_array_equal(again.predict(x, verbose=0), expected)


def test_copies_have_weights_of_their_own(rng):
    x = rng.standard_normal((2, 6, 2)).astype("float32")
    layer = RNN([LSTMCell(4), Wrapped2(3)])
    expected = layer(x)
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(again(x), expected)
        again.set_weights([w * 0 for w in again.get_weights()])
        np.testing.assert_array_equal(layer(x), expected)
        assert not again(x).any()


class Wrapped2(Wrapped):
    def __init__(self, units, **kwargs):
        super().__init__(GRUCell(units, name="inner"), **kwargs)
        self.units = units

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def test_frozen(rng):
    x = rng.standard_normal((2, 6, 3)).astype("float32")
    model = lf.Sequential([
        lf.Input((6, 3)),
        layers.Bidirectional(RNN(LSTMCell(4), return_sequences=True)),
        RNN(GRUCell(3)),
    ])  # fmt: skip
    np.testing.assert_array_equal(model.freeze()(x), model.predict(x, verbose=0))
    for cell in ([LSTMCell(2), LSTMCell(2)], Wrapped(LSTMCell(2))):
        with pytest.raises(ValueError, match="frozen"):
            lf.Sequential([lf.Input((6, 3)), RNN(cell)]).freeze()


def test_dropout_is_one_mask_for_the_sequence(rng):
    x = np.ones((4, 6, 50), "float32")
    cell = SimpleRNNCell(3, dropout=0.5, seed=1, activation=None, recurrent_initializer="zeros")
    y = RNN(cell, return_sequences=True)(x, training=True)
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1], y.shape))
    assert not np.array_equal(y[0], y[1])


def test_weights_shared_by_two_layers(rng):
    """One cell in two RNNs: one set of weights, whose changes both see."""
    x = rng.standard_normal((2, 4, 3)).astype("float32")
    cell = LSTMCell(4)
    a, b = RNN(cell), RNN(cell, return_sequences=True)
    np.testing.assert_array_equal(a(x), b(x)[:, -1])
    cell.kernel.assign(np.zeros(cell.kernel.shape))
    np.testing.assert_array_equal(a(x), b(x)[:, -1])
    assert a.cell.kernel is b.cell.kernel and a.weights == b.weights


def test_input_errors(rng):
    cell = GRUCell(3)
    with pytest.raises(ValueError, match="one step"):
        cell(np.zeros((2, 3, 4)), [np.zeros((2, 3))])
    with pytest.raises(ValueError, match="must be 1 arrays, got 2"):
        cell(np.zeros((2, 3)), [np.zeros((2, 3))] * 2)
    with pytest.raises(ValueError, match=r"states\[0\].*\(2, 3\), got \(3, 3\)"):
        cell(np.zeros((2, 3)), [np.zeros((3, 3))])
    with pytest.raises(ValueError, match="symbolic tensors"):
        cell(lf.Input((3,)), [np.zeros((2, 3))])
    with pytest.raises(ValueError, match="return_state"):
        GRUCell(3, return_state=True)
    with pytest.raises(AttributeError, match="return_sequences"):
        cell.return_sequences  # noqa: B018
    with pytest.raises(ValueError, match="ndim"):
        RNN(GRUCell(3))(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="initial_state"):
        RNN(GRUCell(3))(np.zeros((2, 4, 3)), initial_state=[np.zeros((2, 4))])
    with pytest.raises(ValueError, match="batch size must be static"):
        RNN(GRUCell(3), stateful=True)(lf.Input((4, 3)))


class Wrong(Plain):
    def __init__(self, where):
        self.where = where

    def forward(self, x, states, call):
        y, h = super().forward(x, states, call)
        return (y[:, :1], h) if self.where == "output" else (y, h[:1])


@pytest.mark.parametrize("where", ["output", "state"])
def test_a_cell_that_gives_wrong_shapes(where):
    with pytest.raises(ValueError, match=r"forward of cell .*Wrong.* gave arrays of shapes"):
        RNN(Wrong(where))(np.zeros((2, 3, 2)))


@pytest.mark.parametrize("size", [0, -1, 2.5, [], [2, None], "3"])
def test_wrong_state_size(size):
    cell = Plain()
    cell.state_size = size
    with pytest.raises(ValueError, match="state_size"):
        RNN(cell)
