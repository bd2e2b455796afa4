# SPDX-License-Identifier: BSD-3-Clause
"""Cells of one's own that write Keras's `call(inputs, states)`: the same class on either package, trained in `RNN`."""

from __future__ import annotations

import numpy as np
import pytest
from layer_parity import close, floats, keras

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own


def minimal(k):
    """The cell of Keras's documentation of `RNN`."""

    class Minimal(k.layers.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units, self.state_size = units, units

        def build(self, input_shape):
            uniform = k.initializers.RandomUniform(seed=1)
            self.kernel = self.add_weight(
                shape=(input_shape[-1], self.units), initializer=uniform, name="kernel"
            )
            self.recurrent_kernel = self.add_weight(
                shape=(self.units, self.units), initializer=uniform, name="recurrent_kernel", regularizer="l2"
            )

        def call(self, inputs, states):
            h = k.ops.matmul(inputs, self.kernel)
            output = h + k.ops.matmul(states[0], self.recurrent_kernel)
            return output, [output]

        def get_config(self):
            return {**super().get_config(), "units": self.units}

    return Minimal


def layered(k):
    """Layers inside, made by the first step; a state of another size, and one that is never read."""

    class Layered(k.layers.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units, self.state_size, self.output_size = units, [units, 1, 2], units + 1
            self.of_input = k.layers.Dense(units, activation=k.layers.LeakyReLU())
            self.of_state = k.layers.Dense(units, use_bias=False)
            self.drop = k.layers.Dropout(0.5)

        def call(self, inputs, states, training=False):
            h, m, unread = states
            h = k.ops.tanh(self.of_input(self.drop(inputs)) + self.of_state(h))
            m = m / 2 + k.ops.sum(h, axis=-1, keepdims=True)
            if training:
                h = h * 1.5
            return k.ops.concatenate([h, m], axis=-1), [h, m, k.ops.zeros_like(unread)]

        def get_config(self):
            return {**super().get_config(), "units": self.units}

    return Layered


KINDS = {"minimal": minimal, "layered": layered}
WRAPS = {
    "one": lambda k, cell: k.layers.RNN(cell(4)),
    "sequences": lambda k, cell: k.layers.RNN(cell(4), return_sequences=True, go_backwards=True),
    "stack": lambda k, cell: k.layers.RNN([cell(4), k.layers.GRUCell(3), cell(2)]),
    "unrolled": lambda k, cell: k.layers.RNN(cell(4), unroll=True),
}


def trained_alike(make, x, y, batch_size=4):
    """The same weights at first, and after some steps; returns our model."""
    ours, theirs = make(lf), make(keras)
    theirs.predict(x, verbose=0)  # Keras makes weights inside cells in the first step
    assert len(ours.trainable_variables) == len(theirs.trainable_variables)
    ours.set_weights(theirs.get_weights())
    close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0))
    for model in (ours, theirs):
        model.compile(model_optimizer(model), "mse")
        model.fit(x, y, batch_size=batch_size, epochs=1, shuffle=False, verbose=0)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        close(a, b, least=0.3)  # a bias begins at 0 and moves by sums of errors of this size
    return ours


def model_optimizer(model):
    package = keras if isinstance(model, keras.Model) else lf
    return package.optimizers.SGD(0.05)


def without_dropout(cell):
    """Its random numbers are each package's own."""

    def make(units):
        made = cell(units)
        if hasattr(made, "drop"):
            made.drop.rate = 0.0
        return made

    return make


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("kind", KINDS)
def test_training(kind, wrap, masked):
    rng = np.random.default_rng(3)
    x = floats(rng, 12, 5, 3)
    if masked:
        x[:, 3:][rng.random(12) < 0.5] = 0

    def make(k):
        cell = without_dropout(KINDS[kind](k))
        layers = [k.Input((5, 3)), *([k.layers.Masking()] if masked else []), WRAPS[wrap](k, cell)]
        return k.Sequential([*layers, k.layers.Dense(2)])

    shape = (12, 5, 2) if wrap == "sequences" else (12, 2)
    trained_alike(make, x, floats(rng, *shape))


@pytest.mark.parametrize("kind", KINDS)
def test_states_between_an_encoder_and_a_decoder(kind):
    rng = np.random.default_rng(4)
    x = [floats(rng, 8, 5, 3), floats(rng, 8, 4, 2)]

    def make(k):
        cell = without_dropout(KINDS[kind](k))
        source, target = k.Input((5, 3)), k.Input((4, 2))
        _, *states = k.layers.RNN(cell(4), return_state=True)(source)
        decoded = k.layers.RNN(cell(4), return_sequences=True)(target, initial_state=states)
        return k.Model([source, target], k.layers.Dense(1)(decoded))

    trained_alike(make, x, floats(rng, 8, 4, 1))


def test_both_directions():
    rng = np.random.default_rng(5)

    def make(k):
        cell = minimal(k)
        with k.saving.custom_object_scope({"Minimal": cell}):
            both = k.layers.Bidirectional(k.layers.RNN(cell(4), return_sequences=True))
        return k.Sequential([k.Input((5, 3)), both, k.layers.Dense(2)])

    trained_alike(make, floats(rng, 8, 5, 3), floats(rng, 8, 5, 2))


def test_gradients():
    """Of everything that a layer with two kinds of states takes and gives, by central differences."""
    rng = np.random.default_rng(6)
    cell = without_dropout(layered(lf))(3)
    cell.of_input.activation = lf.layers.Activation("gelu")  # no corner, over which differences would reach
    layer = lf.layers.RNN(cell, return_sequences=True, return_state=True)
    lf.testing.check_gradients(layer, floats(rng, 2, 4, 2))


def test_dropout_inside_is_drawn_in_training_only():
    rng = np.random.default_rng(7)
    x = floats(rng, 4, 5, 3)
    layer = lf.layers.RNN(layered(lf)(4))
    assert len(layer.weights) == 0
    layer(x)
    assert len(layer.trainable_variables) == 3
    np.testing.assert_array_equal(layer(x), layer(x))
    assert not np.array_equal(layer(x, training=True), layer(x, training=True))


def test_a_call_that_only_knows_arrays_cannot_be_trained():
    class Arrays(lf.layers.Layer):
        state_size = 3

        def call(self, inputs, states):
            h = np.tanh(np.asarray(states[0], np.float32) + np.einsum("bi->b", inputs)[:, None])
            return h, [h]

    x = floats(np.random.default_rng(8), 4, 5, 3)
    model = lf.Sequential([lf.Input((5, 3)), lf.layers.Dense(3), lf.layers.RNN(Arrays())])
    assert model.predict(x, verbose=0).shape == (4, 3)
    model.compile("sgd", "mse")
    with pytest.raises(NotImplementedError, match=r"Arrays cannot be trained.*symbolic inputs"):
        model.fit(x, np.ones((4, 3)), verbose=0)
