# SPDX-License-Identifier: BSD-3-Clause
"""Steps by the graph of operations against the same steps by kernels: `lambda x: ops.tanh(x)` is no activation that they know."""

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import layers, ops
from lstmfast.layers import Call

CELLS = {
    "LSTM": layers.LSTM,
    "GRU": layers.GRU,
    "GRU reset before": lambda *args, **options: layers.GRU(*args, reset_after=False, **options),
    "SimpleRNN": layers.SimpleRNN,
}
DROPOUTS = {
    "none": {},
    "input": {"dropout": 0.4},
    "recurrent": {"recurrent_dropout": 0.3},
    "both": {"dropout": 0.4, "recurrent_dropout": 0.3},
    "one for all gates": {"dropout": 0.4, "recurrent_dropout": 0.3, "variational": True},
}
GIVEN = ["nothing", "mask", "lengths", "resets", "initial_state", "carried_state"]
OPTIONS = {
    "sequences": {"return_sequences": True},
    "last": {},
    "backwards": {"return_sequences": True, "go_backwards": True},
    "zeros": {"return_sequences": True, "zero_output_for_mask": True},
    "no bias": {"use_bias": False},
}


def run(make, options, activation, x, weights, given):
    """Outputs and states, and all gradients of a fixed projection of them."""
    layer = make(5, activation=activation, return_state=True, seed=3, **options)
    layer.build((len(x), None, x.shape[-1]))
    layer.set_weights(weights[: len(layer.weights)])
    call = Call(True, save=True, needs_dx=True)
    for key, value in given.items():
        setattr(call, key, value[: layer.n_states] if isinstance(value, tuple) else value)
    out = layer.forward(x, call)
    dys = tuple(np.cos(np.arange(y.size, dtype=np.float32)).reshape(y.shape) for y in out)
    dx = layer.backward(dys, call)
    carried = call.d_carried_state or ()
    return [*out, dx, *call.d_initial_state, *carried, *(v.grad.copy() for v in layer.weights)]


def compare(cell, dropout, option, given, rng):
    x = rng.standard_normal((4, 7, 3)).astype("float32")
    states = tuple(rng.standard_normal((4, 5)).astype("float32") for _ in range(2))
    given = {
        "nothing": {},
        "mask": {"mask": rng.random((4, 7)) < 0.6},
        "lengths": {"lengths": np.array([7, 0, 4, 1], np.int32)},
        "resets": {"resets": rng.random((4, 7)) < 0.3},
        "initial_state": {"initial_state": states},
        "carried_state": {"carried_state": states, "resets": rng.random((4, 7)) < 0.3},
    }[given]
    options = {**DROPOUTS[dropout], **OPTIONS[option]}
    plain = CELLS[cell](5)
    plain.build((4, None, 3))
    weights = [rng.standard_normal(v.shape) for v in plain.weights]
    kernels, graph = (
        run(CELLS[cell], options, activation, x, weights, given)
        for activation in ("tanh", lambda z: ops.tanh(z))
    )
    for a, b in zip(graph, kernels, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1e-6, np.abs(b).max()))


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("dropout", DROPOUTS)
@pytest.mark.parametrize("cell", CELLS)
def test_dropout(cell, dropout, given, rng):
    compare(cell, dropout, "sequences", given, rng)


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("cell", CELLS)
def test_options(cell, option, given, rng):
    compare(cell, "none", option, given, rng)


def test_the_steps_of_a_layer_know_its_weights(rng):
    """With and without dropout in turns; new weights are seen."""
    x = rng.standard_normal((3, 5, 4)).astype("float32")
    layer, native = (
        layers.LSTM(2, activation=f, recurrent_dropout=0.5, seed=1) for f in (lambda z: ops.tanh(z), "tanh")
    )
    for one in (layer, native):
        one.build((3, 5, 4))
    for _ in range(2):
        weights = [rng.standard_normal(v.shape) for v in layer.weights]
        for one in (layer, native):
            one.set_weights(weights)
        for training in (False, True, False):
            np.testing.assert_allclose(
                layer(x, training=training), native(x, training=training), rtol=0, atol=1e-5
            )


def test_functions_that_are_no_graph(rng):
    """They run, and a training step says what is missing and changes nothing."""
    x = rng.standard_normal((3, 5, 4)).astype("float32")
    for made in (layers.GRU(2, activation=np.tanh), layers.Dense(2, activation=np.tanh)):
        model = lf.Sequential([lf.Input((5, 4)), layers.GRU(3, return_sequences=True), made])
        model.compile("sgd", "mse")
        assert np.isfinite(model.predict(x, verbose=0)).all()
        before = model.get_weights()
        with pytest.raises(NotImplementedError, match=r"tanh.* has no derivative.*lstmfast.ops.*gradient"):
            model.fit(x, np.ones_like(model.predict(x, verbose=0)), verbose=0)
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)


def test_a_gradient_of_ones_own(rng):
    def squashed(z):
        return np.tanh(z)

    squashed.gradient = lambda x, y, dy: (1 - y * y) * dy
    x = rng.standard_normal((3, 5, 4)).astype("float32")
    weights = [rng.standard_normal(shape) for shape in ((4, 20), (5, 20), (20,))]
    own, native = (run(layers.LSTM, {}, f, x, weights, {}) for f in (squashed, "tanh"))
    for a, b in zip(own, native, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())


@pytest.mark.parametrize("activation", [lambda z: 3.0, lambda z: ops.sum(z, axis=-1), lambda z: z[:, :1]])
def test_functions_that_change_the_shape(activation, rng):
    for layer in (layers.SimpleRNN(2, activation=activation), layers.Dense(2, activation=activation)):
        with pytest.raises(ValueError, match=r"activation .*expected an output of the input's shape"):
            layer(rng.standard_normal((3, 5, 4)))


def test_layers_in_functions(rng):
    smooth = layers.Activation("gelu")
    layer = layers.Dense(2, activation=lambda z: smooth(z * 2) + z)
    errors = lf.testing.check_gradients(layer, rng.standard_normal((3, 4)).astype("float32"))
    assert list(errors) == ["x", *(v.path for v in layer.weights)]
