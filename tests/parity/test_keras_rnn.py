# SPDX-License-Identifier: BSD-3-Clause
"""RNN and cells against the real Keras 3: outputs, states, gradients, configurations, files."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import keras, torch

import lstmfast as lf
from lstmfast.layers import Call, Layer
from lstmfast.symbolic import flatten

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own


class Leaky(Layer):
    """Two states of different size, an output of a third: ``h = tanh(x K + h R)``, ``m = m / 2 + sum(h)``."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size, self.output_size = [units, 1], units + 1

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], self.units), name="kernel")
        self.recurrent = self.add_weight((self.units, self.units), name="recurrent")

    def forward(self, x, states, call):
        h = np.tanh(x @ self.kernel.value + states[0] @ self.recurrent.value)
        m = states[1] / 2 + h.sum(axis=1, keepdims=True)
        if call.save:
            call.saved = (x, states[0], h)
        return np.concatenate([h, m], axis=1), [h, m]

    def backward(self, dy, dstates, call):
        x, before, h = call.saved
        dm = dy[:, -1:] + dstates[1]
        dz = (dy[:, :-1] + dstates[0] + dm) * (1 - h * h)
        self.kernel.add_grad(x.T @ dz)
        self.recurrent.add_grad(before.T @ dz)
        return dz @ self.kernel.value.T, [dz @ self.recurrent.value.T, dm / 2]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable()
class KerasLeaky(keras.layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size, self.output_size = [units, 1], units + 1

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")
        self.recurrent = self.add_weight(shape=(self.units, self.units), name="recurrent")

    def call(self, x, states):
        ops = keras.ops
        h = ops.tanh(ops.matmul(x, self.kernel) + ops.matmul(states[0], self.recurrent))
        m = states[1] / 2 + ops.sum(h, axis=1, keepdims=True)
        return ops.concatenate([h, m], axis=1), [h, m]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def close(actual, expected, what=""):
    expected = np.asarray(expected)
    # Not below 0.05: gradients of single numbers are sums whose parts of about 1 may cancel.
    scale = max(float(np.abs(expected).max(initial=0.0)), 0.05)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * scale, err_msg=what)


def as_json(config):
    return json.dumps(config, sort_keys=True)


def gradient(tensor):
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def cells(kinds, library):
    made = []
    for kind, units in kinds:
        if kind == "Leaky":
            made.append(Leaky(units) if library is lf else KerasLeaky(units))
        else:
            made.append(getattr(library.layers, kind)(units))
    return made[0] if len(made) == 1 else made


def compare(ours, theirs, x, rng, mask=None, states=None):
    """The same weights into both; outputs, states and gradients of a random projection must agree."""
    ours.build(x.shape)
    theirs.build(x.shape)
    values = [(rng.standard_normal(v.shape) / np.sqrt(v.shape[0])).astype("float32") for v in ours.weights]
    ours.set_weights(values)
    theirs.set_weights(values)
    call = Call(save=True, needs_dx=True, mask=mask)
    options, tensors = {}, []
    if states is not None:
        call.initial_state = tuple(flatten(states))
        tensors = [torch.tensor(s, requires_grad=True) for s in flatten(states)]
        left = iter(tensors)
        options["initial_state"] = [
            [next(left) for _ in s] if isinstance(s, list) else next(left) for s in states
        ]
    if mask is not None:
        options["mask"] = torch.tensor(mask)
    y = ours.forward(x, call)
    xt = torch.tensor(x, requires_grad=True)
    yt = flatten(theirs(xt, **options))
    y = list(y) if isinstance(y, tuple) else [y]
    assert len(y) == len(yt)
    for k, (a, b) in enumerate(zip(y, yt, strict=True)):
        close(a, b.detach().numpy(), f"output {k}")
    dy = [rng.standard_normal(a.shape).astype("float32") for a in y]
    dx = ours.backward(tuple(dy) if len(dy) > 1 else dy[0], call)
    sum((b * torch.tensor(d)).sum() for b, d in zip(yt, dy, strict=True)).backward()
    close(dx, gradient(xt), "dx")
    for ours_v, theirs_v in zip(ours.weights, theirs.weights, strict=True):
        ours_grad = np.zeros(ours_v.shape) if ours_v.grad is None else ours_v.grad
        close(ours_grad, gradient(theirs_v.value), f"d {ours_v.path}")
    for k, s in enumerate(tensors):
        close(call.d_initial_state[k], gradient(s), f"d initial state {k}")


STACKS = [
    [("LSTMCell", 3)],
    [("GRUCell", 4)],
    [("SimpleRNNCell", 2)],
    [("Leaky", 3)],
    [("LSTMCell", 3), ("LSTMCell", 2)],
    [("GRUCell", 3), ("Leaky", 2), ("SimpleRNNCell", 4)],
    [("Leaky", 2), ("LSTMCell", 3)],
]


@settings(max_examples=60, deadline=None)
@given(
    kinds=st.sampled_from(STACKS),
    return_sequences=st.booleans(),
    return_state=st.booleans(),
    go_backwards=st.booleans(),
    zero_output_for_mask=st.booleans(),
    masked=st.booleans(),
    with_states=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_rnn(kinds, masked, with_states, seed, **options):
    rng = np.random.default_rng(seed)
    b, t, n = (int(k) for k in rng.integers(1, 6, 3))
    x = rng.standard_normal((b, t, n)).astype("float32")
    mask = None
    if masked:
        mask = rng.integers(0, 2, (b, t)).astype(bool)
        # Before the first step that counts, outputs are 0 in Keras on torch; here they are h0, as on JAX.
        if with_states:
            mask[:, -1 if options["go_backwards"] else 0] = True
    ours, theirs = (k.layers.RNN(cells(kinds, k), **options) for k in (lf, keras))
    states = None
    if with_states:
        states = [
            [rng.standard_normal((b, n)).astype("float32") for n in size]
            if isinstance(size, list)
            else rng.standard_normal((b, size)).astype("float32")
            for size in theirs.state_size
        ]
    compare(ours, theirs, x, rng, mask, states)


@settings(max_examples=12, deadline=None)
@given(
    kinds=st.sampled_from(STACKS[:4]),
    merge_mode=st.sampled_from(["concat", "sum", "mul", "ave", None]),
    return_sequences=st.booleans(),
    return_state=st.booleans(),
    masked=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_bidirectional(kinds, merge_mode, masked, seed, **options):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((3, 5, 2)).astype("float32")
    mask = rng.integers(0, 2, (3, 5)).astype(bool) if masked else None
    ours, theirs = (
        k.layers.Bidirectional(k.layers.RNN(cells(kinds, k), **options), merge_mode=merge_mode)
        for k in (lf, keras)
    )
    compare(ours, theirs, x, rng, mask)


@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "SimpleRNNCell"])
@pytest.mark.parametrize("training", [False, True])
def test_one_step(kind, training, rng):
    ours, theirs = getattr(lf.layers, kind)(4), getattr(keras.layers, kind)(4)
    x = rng.standard_normal((3, 2)).astype("float32")
    assert ours.state_size == theirs.state_size and ours.output_size == theirs.output_size
    states = [rng.standard_normal((3, 4)).astype("float32") for _ in ours.get_initial_state(3)]
    ours.build((3, 2))
    theirs.build((3, 2))
    theirs.set_weights(ours.get_weights())
    y, new = ours(x, states, training=training)
    expected, expected_new = theirs(x, states, training=training)
    close(y, expected.detach().numpy())
    assert isinstance(new, list) and len(new) == len(expected_new)
    for a, b in zip(new, expected_new, strict=True):
        close(a, b.detach().numpy())


CELLS = [
    ("LSTMCell", {}),
    ("LSTMCell", {"activation": "relu", "dropout": 0.1, "recurrent_dropout": 0.2, "seed": 3, "kernel_regularizer": "l2",
                  "unit_forget_bias": False, "name": "mine", "trainable": False, "bias_constraint": "non_neg"}),
    ("GRUCell", {}),
    ("GRUCell", {"reset_after": False, "seed": 3, "use_bias": False, "recurrent_activation": "hard_sigmoid"}),
    ("SimpleRNNCell", {}),
    ("SimpleRNNCell", {"activation": "relu", "bias_initializer": "ones", "seed": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "options"), CELLS)
def test_configuration_of_cells(kind, options):
    options = {"name": "cell", **options}
    ours, theirs = getattr(lf.layers, kind)(3, **options), getattr(keras.layers, kind)(3, **options)
    expected = theirs.get_config()
    assert ours.get_config() == expected
    assert type(ours).from_config(expected).get_config() == expected
    for key in expected.keys() & {"units", "use_bias", "dropout", "seed"}:
        assert getattr(ours, key) == getattr(theirs, key)
    assert len(ours.trainable_variables) == len(theirs.trainable_variables) == 0
    for layer in (ours, theirs):
        layer.build((2, 5))
    assert [(v.path, v.shape) for v in ours.weights] == [(v.path, tuple(v.shape)) for v in theirs.weights]
    assert len(ours.trainable_variables) == len(theirs.trainable_variables)


@pytest.mark.parametrize("kinds", [s for s in STACKS if all(kind != "Leaky" for kind, _ in s)], ids=str)
@pytest.mark.parametrize("built", [False, True])
def test_configuration_of_rnn(kinds, built):
    lf.utils.clear_session()
    keras.utils.clear_session()
    options = {
        "return_sequences": True,
        "zero_output_for_mask": True,
        "name": "a",
        "activity_regularizer": "l2",
    }
    ours, theirs = (k.layers.RNN(cells(kinds, k), **options) for k in (lf, keras))
    shape = (None, 5, 4)
    if built:
        ours(lf.Input((5, 4)))
        theirs(keras.Input((5, 4)))
        assert [(v.path, v.shape) for v in ours.weights] == [(v.path, tuple(v.shape)) for v in theirs.weights]
    expected = as_json(theirs.get_config())
    assert as_json(ours.get_config()) == expected
    again = lf.layers.RNN.from_config(json.loads(expected))
    if not built:
        assert as_json(again.get_config()) == expected
    assert ours.compute_output_shape(shape) == theirs.compute_output_shape(shape)


@pytest.mark.parametrize("kinds", [s for s in STACKS if all(kind != "Leaky" for kind, _ in s)], ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_files_both_ways(kinds, masked, tmp_path, rng):
    pytest.importorskip("h5py")

    def make(k):
        x = k.Input((6, 3))
        h = k.layers.Masking()(x) if masked else x
        h, *states = flatten(k.layers.RNN(cells(kinds, k), return_sequences=True, return_state=True)(h))
        h = k.layers.Bidirectional(k.layers.RNN(cells(kinds[:1], k)))(h)
        return k.Model(x, [k.layers.Dense(2)(h), states[0]])

    x = rng.standard_normal((2, 6, 3)).astype("float32")
    x[0, 4:] = 0
    ours, theirs = make(lf), make(keras)
    ours.save(tmp_path / "ours.keras")
    for a, b in zip(
        ours.predict(x, verbose=0), keras.saving.load_model(tmp_path / "ours.keras")(x), strict=True
    ):
        close(a, b.detach().numpy())
    theirs.save(tmp_path / "theirs.keras")
    for a, b in zip(
        lf.saving.load_model(tmp_path / "theirs.keras").predict(x, verbose=0), theirs(x), strict=True
    ):
        close(a, b.detach().numpy())


def test_an_encoder_and_a_decoder_of_stacks(tmp_path, rng):
    """Nested states as initial states in a graph, saved and loaded both ways."""
    pytest.importorskip("h5py")

    def make(k):
        first, second = k.Input((5, 3), name="first"), k.Input((4, 2), name="second")
        stack = [("LSTMCell", 4), ("GRUCell", 3)]
        _, *states = k.layers.RNN(cells(stack, k), return_state=True, name="encoder")(first)
        decoder = k.layers.RNN(cells(stack, k), return_sequences=True, name="decoder")
        return k.Model([first, second], k.layers.Dense(2, name="out")(decoder(second, initial_state=states)))

    ours, theirs = make(lf), make(keras)
    assert [v.shape for v in ours.weights] == [tuple(v.shape) for v in theirs.weights]
    theirs.set_weights(ours.get_weights())
    x = [rng.standard_normal(shape).astype("float32") for shape in ((2, 5, 3), (2, 4, 2))]
    y, tape = ours.forward(x)
    tensors = [torch.tensor(a, requires_grad=True) for a in x]
    expected = theirs(tensors)
    close(y, expected.detach().numpy())
    dx = tape.backward(np.ones_like(y))[1]
    expected.sum().backward()
    for a, b in zip(dx, tensors, strict=True):
        close(a, b.grad.numpy())
    ours.save(tmp_path / "ours.keras")
    close(keras.saving.load_model(tmp_path / "ours.keras")(x).detach().numpy(), y)
    theirs.save(tmp_path / "theirs.keras")
    close(lf.saving.load_model(tmp_path / "theirs.keras").predict(x, verbose=0), y)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_every_argument_of_keras_s_layers_is_accepted(kind):
    import inspect

    theirs = inspect.signature(getattr(keras.layers, kind).__init__).parameters
    ours = inspect.signature(getattr(lf.layers, kind).__init__).parameters
    assert [name for name in theirs if name in ours] == list(theirs)
    defaults = {name: p.default for name, p in theirs.items() if p.default is not p.empty}
    assert {name: ours[name].default for name in defaults} == defaults
    for library in (lf, keras):
        getattr(library.layers, kind)(3, unroll=True, zero_output_for_mask=True)
        with pytest.raises(ValueError, match="time_major"):
            getattr(library.layers, kind)(3, time_major=True)


@pytest.mark.parametrize("cell", [3, None, "lstm", [], [1]])
def test_errors_are_keras_s(cell):
    for library in (lf, keras):
        if library is keras and cell == []:
            continue  # an IndexError when it is called
        with pytest.raises(ValueError, match=r"cell"):
            library.layers.RNN(cell)


@pytest.mark.parametrize("merge_mode", ["concat", None])
def test_bidirectional_states_of_stacks_are_nested(merge_mode, tmp_path, rng):
    pytest.importorskip("h5py")
    stack = [("LSTMCell", 4), ("GRUCell", 3)]

    def structure(values):
        return [structure(v) if isinstance(v, (list, tuple)) else tuple(v.shape) for v in values]

    def layer(k):
        return k.layers.Bidirectional(
            k.layers.RNN(cells(stack, k), return_state=True), merge_mode=merge_mode, name="b"
        )

    def make(k):
        first, second = k.Input((5, 3)), k.Input((4, 3))
        made = layer(k)
        outputs = made(first)
        states = outputs[2 if merge_mode is None else 1 :]
        return k.Model([first, second], k.layers.Dense(2, name="out")(made(second, initial_state=states)[0]))

    x = [rng.standard_normal((2, t, 3)).astype("float32") for t in (5, 4)]
    ours, theirs = layer(lf), layer(keras)
    # In graphs: with arrays Keras puts a GRU's single state into a list as well.
    assert structure(ours(lf.Input((5, 3)))) == structure(theirs(keras.Input((5, 3))))
    assert len(structure(ours(x[0]))) == len(structure(theirs(x[0])))
    theirs.set_weights(ours.get_weights())
    states = ours(x[0])[2 if merge_mode is None else 1 :]
    tensors = [[torch.tensor(a) for a in s] if isinstance(s, list) else torch.tensor(s) for s in states]
    expected = flatten(theirs(x[0], initial_state=tensors))
    for a, b in zip(flatten(ours(x[0], initial_state=states)), expected, strict=True):
        close(a, b.detach().numpy())
    ours, theirs = make(lf), make(keras)
    theirs.set_weights(ours.get_weights())
    close(ours.predict(x, verbose=0), theirs(x).detach().numpy())
    ours.save(tmp_path / "ours.keras")
    close(keras.saving.load_model(tmp_path / "ours.keras")(x).detach().numpy(), ours.predict(x, verbose=0))
    theirs.save(tmp_path / "theirs.keras")
    close(lf.saving.load_model(tmp_path / "theirs.keras").predict(x, verbose=0), theirs(x).detach().numpy())


@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN"])
def test_cell_of_a_layer(name):
    """`layer.cell` is the layer's step with the layer's weights, as programs for Keras read it."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((3, 4, 2)).astype("float32")
    options = {"dropout": 0.25, "recurrent_dropout": 0.5, "seed": 3, "kernel_regularizer": "l2"}
    ours, theirs = (getattr(k.layers, name)(5, name="a", **options) for k in (lf, keras))
    assert not ours.cell.built
    for layer in (ours, theirs):
        layer.build(x.shape)
    theirs.set_weights(ours.get_weights())
    cell = ours.cell
    assert type(cell).__name__ == type(theirs.cell).__name__
    for attribute in (
        "units",
        "dropout",
        "recurrent_dropout",
        "use_bias",
        "built",
        "trainable",
        "output_size",
        "seed",
    ):
        assert getattr(cell, attribute) == getattr(theirs.cell, attribute)
    assert cell.state_size == theirs.cell.state_size
    assert cell.get_config()["kernel_regularizer"] == theirs.cell.get_config()["kernel_regularizer"]
    for attribute in ("kernel", "recurrent_kernel", "bias"):
        assert getattr(cell, attribute) is getattr(ours, attribute)
    assert cell.weights == ours.weights
    assert [w.shape for w in cell.trainable_variables] == [
        tuple(w.shape) for w in theirs.cell.trainable_variables
    ]
    states = [rng.standard_normal((3, 5)).astype("float32") for _ in ours.state_size]
    y, new = cell(x[:, 0], states)
    expected, their_new = theirs.cell(x[:, 0], [keras.ops.convert_to_tensor(s) for s in states])
    for a, b in zip([y, *new], [expected, *their_new], strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=0, atol=1e-6)
    cell.recurrent_kernel.assign(np.zeros_like(cell.recurrent_kernel.numpy()))
    assert not ours.get_weights()[1].any()
    model = lf.Sequential([lf.Input((4, 2)), ours])
    model.compile("sgd", "mse")
    assert [layer.name for layer in model.layers] == ["a"] and len(model.trainable_variables) == 3


def test_asking_for_a_cell_draws_no_random_number():
    random.seed(4)
    expected = random.random()
    layer = lf.layers.LSTM(3, seed=1)
    random.seed(4)
    assert layer.cell.units == 3
    assert random.random() == expected
