# SPDX-License-Identifier: BSD-3-Clause
"""Layers in the place of activation functions, `Dense(8, activation=LeakyReLU())`, against Keras."""

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
}
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


@pytest.mark.parametrize("name", ["LSTM", "GRU", "SimpleRNN"])
def test_recurrent_layers_take_those_that_are_named_functions(name):
    rng = np.random.default_rng(11)
    compare(
        lambda k: getattr(k.layers, name)(3, activation=k.layers.LeakyReLU(0.2)), floats(rng, 2, 5, 4), rng
    )
    with pytest.raises(ValueError, match=r"activation=.*LeakyReLU.*recurrent"):
        getattr(lf.layers, name)(3, activation=lf.layers.LeakyReLU(0.25))
