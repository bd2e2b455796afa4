# SPDX-License-Identifier: BSD-3-Clause
"""Layers and functions of operations in the place of activation functions, `Dense(8, activation=LeakyReLU())`, against Keras."""

from __future__ import annotations

import numpy as np
import pytest
from layer_parity import close, compare, floats, keras, same_configuration

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own

ACTIVATIONS = {
    "leaky 0.3": lambda k: k.layers.LeakyReLU(name="b"),
    "leaky 0.2": lambda k: k.layers.LeakyReLU(0.2, name="b"),
    "relu": lambda k: k.layers.ReLU(max_value=1.0, name="b"),
    "elu": lambda k: k.layers.ELU(0.5, name="b"),
    "softmax": lambda k: k.layers.Softmax(name="b"),
    "softmax of axis 1": lambda k: k.layers.Softmax(axis=1, name="b"),
    "activation": lambda k: k.layers.Activation("mish", name="b"),
    "prelu": lambda k: k.layers.PReLU("glorot_uniform", shared_axes=[1], name="b"),
    "operations": lambda k: lambda x: x * k.ops.sigmoid(1.5 * x) - 0.1,
    "an operation": lambda k: k.ops.softplus,
}
#: Of functions Keras keeps byte code.
NO_CONFIGURATION = ("operations",)
LAYERS = {
    "Dense": lambda k, a: k.layers.Dense(4, activation=a, name="a"),
    "EinsumDense": lambda k, a: k.layers.EinsumDense("abc,cd->abd", (5, 4), activation=a, name="a"),
    "Conv1D": lambda k, a: k.layers.Conv1D(4, 2, activation=a, name="a"),
    "SeparableConv1D": lambda k, a: k.layers.SeparableConv1D(4, 2, activation=a, name="a"),
    "DepthwiseConv1D": lambda k, a: k.layers.DepthwiseConv1D(2, activation=a, name="a"),
    "Conv1DTranspose": lambda k, a: k.layers.Conv1DTranspose(4, 2, activation=a, name="a"),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("layer", LAYERS)
def test_values_and_gradients(layer, activation):
    rng = np.random.default_rng(len(layer) + len(activation))
    x = floats(rng, 3, 5, 4)

    def make(k):
        made = LAYERS[layer](k, ACTIVATIONS[activation](k))
        if activation == "prelu":
            made(x)  # Keras makes the weights of an activation in the first call, not in `build`
        return made

    # What is along the output cancels in the gradient of a softmax.
    compare(make, x, rng, None, 1.0 if "softmax" in activation else 1e-6)
    if activation not in NO_CONFIGURATION:
        same_configuration(lambda k: LAYERS[layer](k, ACTIVATIONS[activation](k)))


@pytest.mark.parametrize("name", ["Conv1D", "SeparableConv1D", "DepthwiseConv1D", "Conv1DTranspose"])
@pytest.mark.parametrize("activation", ["softmax", "log_softmax", "gelu", "tanh"])
def test_activation_of_channels_first(name, activation):
    """The last axis is time then, along which a softmax sums to 1."""
    rng = np.random.default_rng(7)
    arguments = (2,) if name == "DepthwiseConv1D" else (4, 2)

    def make(k):
        return getattr(k.layers, name)(*arguments, activation=activation, data_format="channels_first")

    compare(make, floats(rng, 3, 4, 6), rng, None, 1.0 if "softmax" in activation else 1e-6)


def test_weights_of_an_activation_are_trained_and_saved(tmp_path):
    rng = np.random.default_rng(3)
    x, y = floats(rng, 20, 5), floats(rng, 20, 2)
    keras.utils.set_random_seed(3)

    def model(k):
        prelu = k.layers.PReLU("glorot_uniform")
        made = k.Sequential([k.Input((5,)), k.layers.Dense(6, activation=prelu), k.layers.Dense(2)])
        made.compile(k.optimizers.Adam(0.01), "mse")
        return made

    ours, theirs = model(lf), model(keras)
    for made in (ours, theirs):
        made.predict(x, verbose=0)
    assert [w.shape for w in ours.get_weights()] == [tuple(w.shape) for w in theirs.get_weights()]
    ours.set_weights(theirs.get_weights())
    for trained in (ours, theirs):
        trained.fit(x, y, batch_size=5, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        close(a, b, 1e-5)
    ours.save(tmp_path / "ours.keras")
    close(keras.models.load_model(tmp_path / "ours.keras").predict(x, verbose=0), ours.predict(x, verbose=0))
    theirs.save(tmp_path / "theirs.keras")
    close(lf.models.load_model(tmp_path / "theirs.keras").predict(x, verbose=0), theirs.predict(x, verbose=0))


@pytest.mark.parametrize("slope", [0.2, 0.3])
@pytest.mark.parametrize("layer", [name for name in LAYERS if name != "EinsumDense"])
def test_frozen(layer, slope):
    x = floats(np.random.default_rng(5), 2, 6, 4)
    activated = LAYERS[layer](lf, lf.layers.LeakyReLU(slope))
    model = lf.Sequential([lf.Input((6, 4)), activated, lf.layers.LSTM(3)])
    assert np.array_equal(model.freeze()(x), model.predict(x, verbose=0))


CELLS = ["LSTM", "GRU", "SimpleRNN"]
FOREIGN = {
    "leaky 0.3": lambda k: k.layers.LeakyReLU(name="b"),
    "leaky 0.2": lambda k: k.layers.LeakyReLU(0.2, name="b"),
    "softmax": lambda k: "softmax",
    "mish": lambda k: "mish",
    "sparse_sigmoid": lambda k: "sparse_sigmoid",
    "operations": ACTIVATIONS["operations"],
    "an operation": ACTIVATIONS["an operation"],
    "gelu": lambda k: "gelu",  # its slope does not follow from the output
    "silu": lambda k: "silu",
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("activation", FOREIGN)
@pytest.mark.parametrize("name", CELLS)
def test_recurrent_layers(name, activation, sequences, masked):
    rng = np.random.default_rng(11)
    options = {"return_sequences": sequences, "go_backwards": activation == "mish"}
    if name == "GRU":
        options["reset_after"] = activation != "mish"

    def make(k):
        return getattr(k.layers, name)(3, activation=FOREIGN[activation](k), name="a", **options)

    # Only masks that begin with a step that counts: before it Keras's backends differ.
    mask = rng.random((4, 5)) < 0.6 if masked else None
    if masked:
        mask[:, 0] = mask[:, -1] = True
    compare(make, floats(rng, 4, 5, 4), rng, mask, 1.0 if activation == "softmax" else 1e-2)
    if activation not in NO_CONFIGURATION:
        same_configuration(make)


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
@pytest.mark.parametrize("gate", ["softmax", "mish", "operations", "gelu", "silu"])
def test_gates(name, gate):
    rng = np.random.default_rng(12)

    def make(k):
        function = ACTIVATIONS[gate](k) if gate == "operations" else gate
        return getattr(k.layers, name)(3, recurrent_activation=function, use_bias=False)

    compare(make, floats(rng, 4, 5, 4), rng, None, 1.0)


def test_recurrent_layers_in_models():
    """Both directions, dropout of inputs, a state carried from batch to batch; files; not frozen."""
    rng = np.random.default_rng(13)
    x = floats(rng, 6, 5, 4)
    inner = lf.layers.LSTM(
        3, activation=lf.layers.LeakyReLU(), dropout=0.5, return_sequences=True, name="bad"
    )
    model = lf.Sequential([lf.Input((5, 4)), lf.layers.Bidirectional(inner), lf.layers.GRU(2, "mish")])
    model.compile("adam", "mse")
    before = model.evaluate(x, np.ones((6, 2)), verbose=0)
    model.fit(x, np.ones((6, 2)), epochs=5, verbose=0)
    assert model.evaluate(x, np.ones((6, 2)), verbose=0) < before
    again = lf.models.clone_model(model)
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    with pytest.raises(ValueError, match="'forward_bad' cannot be frozen"):
        model.freeze()
    stateful, whole = (
        lf.layers.GRU(3, activation="mish", stateful=kept, return_sequences=True) for kept in (True, False)
    )
    for layer in (stateful, whole):
        layer.build((6, None, 4))
    whole.set_weights(stateful.get_weights())
    parts = np.concatenate([stateful(x[:, :2]), stateful(x[:, 2:])], axis=1)
    np.testing.assert_array_equal(parts, whole(x))


@pytest.mark.parametrize("name", CELLS)
def test_states(name):
    """Those that a call starts with, those that it gives, and those that batches hand on, beside Keras's."""
    rng = np.random.default_rng(14)
    x, h, c = floats(rng, 2, 6, 4), floats(rng, 2, 3), floats(rng, 2, 3)
    initial = [h, c] if name == "LSTM" else [h]

    def make(k, **options):
        layer = getattr(k.layers, name)(3, activation=ACTIVATIONS["operations"](k), **options)
        layer.build((2, None, 4))
        return layer

    ours, theirs = make(lf, return_state=True), make(keras, return_state=True)
    theirs.set_weights(ours.get_weights())
    given = initial if name == "LSTM" else initial[0]
    for a, b in zip(ours(x, initial_state=given), theirs(x, initial_state=given), strict=True):
        close(a, b.detach().numpy())
    ours, theirs = make(lf, stateful=True), make(keras, stateful=True)
    theirs.set_weights(ours.get_weights())
    for _ in range(2):
        for part in (x[:, :4], x[:, 4:]):
            close(ours(part), theirs(part).detach().numpy())
        ours.reset_states()
        theirs.reset_state()


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("activation", ["mish", "leaky"])
def test_files(name, activation, tmp_path):
    x = floats(np.random.default_rng(15), 2, 6, 4)

    def make(k):
        function = k.layers.LeakyReLU(0.3) if activation == "leaky" else activation
        layer = getattr(k.layers, name)(3, activation=function)
        cell = getattr(k.layers, f"{name}Cell")(3, activation=function)
        return k.Sequential([k.Input((6, 4)), k.layers.RNN(cell, return_sequences=True), layer])

    ours, theirs = make(lf), make(keras)
    for model, path in ((ours, "ours"), (theirs, "theirs")):
        model.save(tmp_path / f"{path}.keras")
        for k in (lf, keras):
            again = k.models.load_model(tmp_path / f"{path}.keras")
            close(again.predict(x, verbose=0), model.predict(x, verbose=0))
    ours.save(tmp_path / "ours.safetensors")
    again = lf.saving.load_model(tmp_path / "ours.safetensors")
    np.testing.assert_array_equal(again.predict(x, verbose=0), ours.predict(x, verbose=0))


def test_files_of_named_functions(tmp_path):
    def doubled(x):
        return 2 * lf.ops.tanh(x)

    x = floats(np.random.default_rng(16), 2, 6, 4)
    model = lf.Sequential([
        lf.Input((6, 4)), lf.layers.GRU(3, activation=doubled), lf.layers.Dense(2, activation=doubled)
    ])  # fmt: skip
    model.save(tmp_path / "named.keras")
    again = lf.models.load_model(tmp_path / "named.keras", custom_objects={"doubled": doubled})
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    with pytest.raises((TypeError, ValueError), match="doubled"):
        lf.models.load_model(tmp_path / "named.keras")


@pytest.mark.parametrize("options", [
    {"zoneout": 0.1},
    {"remat": True},
    {"peephole": True},
    {"projection": 2},
])  # fmt: skip
def test_what_only_kernels_do(options):
    with pytest.raises(ValueError, match="activation='mish' is not supported inside a recurrent layer with"):
        lf.layers.LSTM(3, activation="mish", **options)
    with pytest.raises(ValueError, match="weights is not supported inside"):
        lf.layers.LSTM(3, activation=lf.layers.PReLU()).build((None, 5, 4))


@pytest.mark.parametrize("options", [{"remat": True}, {"projection": 2, "peephole": True}])
def test_slopes_that_need_the_input(options):
    """In layers of which Keras has no like, by finite differences."""
    layer = lf.layers.LSTM(3, activation="silu", recurrent_activation="gelu", **options)
    errors = lf.testing.check_gradients(layer, floats(np.random.default_rng(14), 2, 5, 4))
    assert list(errors) == ["x", *(v.path for v in layer.weights)]
