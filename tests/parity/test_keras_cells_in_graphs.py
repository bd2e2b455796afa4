# SPDX-License-Identifier: BSD-3-Clause
"""Cells called with symbolic tensors, masks as outputs, and a Sequential called with arrays of other sizes, as in Keras."""

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore:.*__array__ implementation:DeprecationWarning")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 5, 3)).astype(np.float32)
Y = RNG.normal(size=(6, 4)).astype(np.float32)
SIZES = {"LSTMCell": 2, "GRUCell": 1, "SimpleRNNCell": 1}


def array(value):
    return value.detach().numpy() if hasattr(value, "detach") else np.asarray(value)


def close(ours, theirs, bound=1e-5):
    ours, theirs = array(ours), array(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=bound * max(1, np.abs(theirs).max()))


def unrolled(K, kind):
    """A cell over three steps, and a Dense behind it."""
    x = K.Input((5, 3))
    states = [K.Input((4,)) for _ in range(SIZES[kind])]
    cell, given = getattr(K.layers, kind)(4), list(states)
    for step in range(3):
        y, given = cell(x[:, step], given)
    return K.Model([x, *states], [K.layers.Dense(4)(y), *given])


class Decoder:
    """A model that writes `call` around a cell, one that feeds its output back."""

    @staticmethod
    def make(K):
        class Feeding(K.Model):
            def __init__(self):
                super().__init__()
                self.warm = K.layers.LSTM(4, return_state=True)
                self.cell = K.layers.LSTMCell(4)
                self.out = K.layers.Dense(3)

            def call(self, inputs):
                y, *states = self.warm(inputs)
                made = self.out(y)
                for _ in range(2):
                    y, states = self.cell(made, states)
                    made = self.out(y)
                return made

        model = Feeding()
        model(X)
        return model


def stacked(K):
    x, *states = (K.Input((n,)) for n in (3, 4, 2))
    cells = [K.layers.GRUCell(4), K.layers.SimpleRNNCell(2)]
    y, new = K.layers.StackedRNNCells(cells)(x, states)
    return K.Model([x, *states], [y, *new])


def same_weights(theirs, ours):
    ours.set_weights([np.array(w) for w in theirs.get_weights()])


@pytest.mark.parametrize("kind", SIZES)
def test_a_cell_over_three_steps(kind, tmp_path):
    theirs, ours = unrolled(keras, kind), unrolled(lf, kind)
    same_weights(theirs, ours)
    data = [X, *(RNG.normal(size=(6, 4)).astype(np.float32) for _ in range(SIZES[kind]))]
    for a, b in zip(ours(data), theirs(data), strict=True):
        close(a, b)
    for model in (theirs, ours):
        model.compile("sgd", ["mse"] * (1 + SIZES[kind]))
        model.fit(data, [Y] * (1 + SIZES[kind]), epochs=2, batch_size=6, shuffle=False, verbose=0)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        close(a, b)
    ours.save(tmp_path / "m.keras")
    expected = ours(data)
    for again in (lf.saving.load_model(tmp_path / "m.keras"), keras.saving.load_model(tmp_path / "m.keras")):
        for a, b in zip(again(data), expected, strict=True):
            close(a, b)


def test_a_stack_of_cells():
    theirs, ours = stacked(keras), stacked(lf)
    same_weights(theirs, ours)
    data = [X[:, 0], Y, Y[:, :2]]
    for a, b in zip(ours(data), theirs(data), strict=True):
        close(a, b)


def test_a_model_that_feeds_its_output_back():
    theirs, ours = Decoder.make(keras), Decoder.make(lf)
    same_weights(theirs, ours)
    close(ours(X), theirs(X))
    for model in (theirs, ours):
        model.compile("sgd", "mse")
        model.fit(X, Y[:, :3], epochs=2, batch_size=6, shuffle=False, verbose=0)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        close(a, b)


def test_wrong_states():
    cell, x = lf.layers.LSTMCell(4), lf.Input((3,))
    with pytest.raises(ValueError, match="must be tensors of sizes"):
        cell(x, [lf.Input((4,))])
    with pytest.raises(ValueError, match="must be tensors of sizes"):
        cell(x, [lf.Input((4,)), lf.Input((5,))])
    with pytest.raises(ValueError, match="must be one step"):
        cell(lf.Input((2, 3)), [lf.Input((4,)), lf.Input((4,))])


def test_masks_as_outputs():
    ids, numbers = np.array([[1, 2, 0, 0, 0]]), X[:1] * np.array([1, 0, 1, 0, 0], np.float32)[:, None]
    for x, layer in (
        (ids, lambda K: K.layers.Embedding(7, 3, mask_zero=True)),
        (numbers, lambda K: K.layers.Masking()),
    ):
        made = []
        for K in (keras, lf):
            tensor = K.Input(x.shape[1:], dtype=str(x.dtype))
            made.append(array(K.Model(tensor, layer(K).compute_mask(tensor)).predict(x, verbose=0)))
        assert made[0].dtype == made[1].dtype
        np.testing.assert_array_equal(made[0], made[1])


STACKS = {
    "Flatten": ((2, 3, 4), lambda L: [L.Flatten()]),
    "Flatten and Dense": ((2, 3, 4), lambda L: [L.Flatten(), L.Dense(2)]),
    "Activation": ((2, 3), lambda L: [L.Activation("relu")]),
    "Dense": ((2, 3), lambda L: [L.Dense(2)]),
    "LSTM": ((2, 3, 4), lambda L: [L.LSTM(2)]),
    "BatchNormalization": ((2, 3, 4), lambda L: [L.BatchNormalization()]),
    "LayerNormalization": ((2, 3, 4), lambda L: [L.LayerNormalization()]),
    "Reshape": ((2, 3, 4), lambda L: [L.Reshape((-1,))]),
    "GlobalAveragePooling1D": ((2, 3, 4), lambda L: [L.GlobalAveragePooling1D()]),
    "Conv1D": ((2, 3, 4), lambda L: [L.Conv1D(2, 2)]),
    "TimeDistributed": ((2, 3, 4), lambda L: [L.TimeDistributed(L.Dense(2))]),
    "Permute": ((2, 3, 4), lambda L: [L.Permute((2, 1))]),
    "EinsumDense": ((2, 3, 4), lambda L: [L.EinsumDense("abc,cd->abd", output_shape=(None, 2))]),
    "PReLU": ((2, 3, 4), lambda L: [L.PReLU()]),
}


@pytest.mark.parametrize("kind", STACKS)
def test_other_sizes_in_a_sequential(kind):
    first, layers = STACKS[kind]
    found = []
    for K in (keras, lf):
        model = K.Sequential(layers(K.layers))
        model.predict(np.ones(first, np.float32), verbose=0)
        found.append([])
        for shape in ((2, 3), (2, 5), (2, 3, 4), (2, 5, 4), (2, 3, 6), (2, 6, 2), (2, 4, 3, 1)):
            try:
                found[-1].append(model.predict(np.ones(shape, np.float32), verbose=0).shape)
            except (ValueError, RuntimeError) as error:
                assert K is keras or isinstance(error, ValueError)
                found[-1].append("refused")
    assert found[0] == found[1]


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_batches_of_several_sizes():
    def batches():
        yield (np.ones((2, 3, 4), np.float32),)
        yield (np.ones((2, 4, 3), np.float32),)

    shapes = [K.Sequential([K.layers.Flatten()]).predict(batches(), verbose=0).shape for K in (keras, lf)]
    assert shapes[0] == shapes[1]
