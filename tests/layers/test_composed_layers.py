# SPDX-License-Identifier: BSD-3-Clause
"""Layers whose `call` composes layers and operations train: gradients, refusals, and what else is done with a model."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import layers, ops
from lstmfast.testing import check_gradients

#: Of differences of float32 outputs, beside gradients that are small next to the largest; `test_gradients_of_a_model_that_
#: writes_call` compares bits with those of the same layers in a functional model.
NOISE = 1e-2


@pytest.fixture(autouse=True)
def _seed():
    lf.utils.set_random_seed(0)


class Residual(layers.Layer):
    """Layers made in `build`, one of them called twice."""

    def build(self, input_shape):
        self.shared = layers.Dense(input_shape[-1], activation="tanh")
        self.normalization = layers.LayerNormalization()

    def call(self, x):
        return x + self.normalization(self.shared(self.shared(x)))


class Weighted(layers.Layer):
    """Weights of its own, by operators, operations, `.value` and an index, and a constant."""

    def build(self, input_shape):
        self.w = self.add_weight((input_shape[-1], 3), "glorot_uniform", "w")
        self.bias = self.add_weight((2, 3), "glorot_uniform", "bias")
        self.gain = self.add_weight((3,), "ones", "gain")

    def call(self, x):
        places = np.linspace(0, 1, 3, dtype=np.float32)
        return self.gain.value * ops.tanh(x @ self.w + self.bias[1]) - ops.exp(-self.gain) * places


class Positions(layers.Layer):
    def __init__(self, steps, **kwargs):
        super().__init__(**kwargs)
        self.places, self.inner = layers.Embedding(steps, 4), Residual()

    def call(self, x):
        return self.inner(x) * self.places(ops.arange(ops.shape(x)[1]))


class Recurrent(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.lstm, self.dropout = layers.LSTM(4, return_sequences=True), layers.Dropout(0.5)

    def call(self, x, training=None):
        return self.dropout(self.lstm(x), training=training)


class Merging(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(3)

    def call(self, inputs):
        a, b = inputs
        return self.dense(a) * b, self.dense(a)


class Dropped(layers.Layer):
    """Where its own `compute_output_shape` leaves nothing to try."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense, self.dropout = layers.Dense(4), layers.Dropout(0.5)

    def call(self, x, training=None):
        return x + self.dropout(self.dense(x), training=training)

    def compute_output_shape(self, input_shape):
        return input_shape


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("make", [Residual, Weighted, lambda: Positions(5), Dropped])
def test_gradients(make, training, rng):
    layer = make()
    errors = check_gradients(layer, rng.normal(size=(2, 5, 4)), training=training, tolerance=NOISE)
    assert set(errors) == {"x", *(v.path for v in layer.trainable_variables)}


def test_gradients_of_a_model(rng):
    a, b = lf.Input((5, 4)), lf.Input((5, 3))
    first, second = Merging()([Positions(5)(a), b])
    model = lf.Model([a, b], [first, second])
    check_gradients(model, [rng.normal(size=(2, 5, 4)), rng.normal(size=(2, 5, 3))], tolerance=NOISE)


def test_gradients_of_a_model_that_writes_call(rng):
    class Stack(lf.Model):
        def __init__(self):
            super().__init__()
            self.blocks = [Dropped(), Residual(), Dropped()]

        def call(self, x, training=None):
            for block in self.blocks:
                x = block(x, training=training) if isinstance(block, Dropped) else block(x)
            return x

    model, x = Stack(), rng.normal(size=(3, 5, 4))
    model(x)
    for training in (False, True):
        check_gradients(model, x, training=training, tolerance=NOISE)
    assert len(model.weights) == 8

    outer = lf.Input((5, 4))
    first, middle, last = model.blocks
    h = outer + first.dense(outer)
    h = h + middle.normalization(middle.shared(middle.shared(h)))
    same = lf.Model(outer, h + last.dense(h))
    (y, tape), (expected, other) = model.forward(x), same.forward(x)
    np.testing.assert_array_equal(y, expected)
    (grads, dx, _), (their_grads, their_dx, _) = tape.backward(y), other.backward(y)
    np.testing.assert_array_equal(dx, their_dx)
    theirs = {v.path: g for v, g in zip(same.trainable_variables, their_grads, strict=True)}
    for v, g in zip(model.trainable_variables, grads, strict=True):
        np.testing.assert_array_equal(g, theirs[v.path])


def compiled(*inside, shape=(5, 4), out=4):
    model = lf.Sequential([lf.Input(shape), *inside])
    model.compile("sgd", "mse")
    return model


def test_trainable_is_heeded(rng):
    x, y = rng.normal(size=(8, 5, 4)), rng.normal(size=(8, 5, 3))
    layer = Weighted()
    model = compiled(Residual(), layer)
    model.train_on_batch(x, y)
    for flag in (False, True):
        layer.trainable = flag
        model.compile("sgd", "mse")
        before = layer.get_weights()
        model.train_on_batch(x, y)
        changed = [not np.array_equal(a, b) for a, b in zip(layer.get_weights(), before, strict=True)]
        assert changed == [flag] * 3
    inner = model.layers[0].shared
    inner.trainable = False
    model.compile("sgd", "mse")
    before = inner.get_weights()
    model.train_on_batch(x, y)
    assert all(np.array_equal(a, b) for a, b in zip(inner.get_weights(), before, strict=True))


def test_training_reaches_dropout(rng):
    x = np.ones((4, 5, 4), np.float32)
    model = compiled(Recurrent())
    y, _ = model.forward(x)
    np.testing.assert_array_equal(y, model(x))
    y, _ = model.forward(x, training=True)
    assert 0.2 < (y == 0).mean() < 0.8


class Exp(Residual):
    def call(self, x):
        return np.exp(super().call(x))


class Own(Residual):
    def call(self, x):
        return layers.Dense(4)(x)


class Flagged(Recurrent):
    def call(self, x):
        return self.dropout(x, training=True)


class Assigning(Weighted):
    def call(self, x):
        self.gain.assign_add(self.gain.numpy())
        return super().call(x)


class Argument(Residual):
    def call(self, x, factor=None):
        return super().call(x) * (1 if factor is None else factor)


class Number(Weighted):
    def call(self, x):
        return (x @ self.w) * float(self.gain[0])


@pytest.mark.parametrize("make", [Exp, Own, Assigning, Number])
def test_what_does_not_train(make, rng):
    model = compiled(layers.Dense(4), make())
    x = rng.normal(size=(2, 5, 4))
    y = np.zeros(model(x).shape)
    with pytest.raises(
        NotImplementedError, match=rf"of class {make.__name__} cannot be trained: .*Compose layers"
    ):
        model.train_on_batch(x, y)


def test_dropout_that_is_always_on(rng):
    model = compiled(layers.Dense(4), Flagged())
    x = np.ones((8, 5, 4))
    assert (np.asarray(model(x)) == 0).any()
    model.train_on_batch(x, x)
    y, tape = model.forward(x)
    assert (y == 0).any()
    grads, _, _ = tape.backward(np.ones_like(y))
    np.testing.assert_allclose(grads[1], ((y != 0) / (1 - 0.5)).sum(axis=(0, 1)))


def test_an_array_among_the_arguments(rng):
    x = lf.Input((5, 4))
    model = lf.Model(x, Argument()(layers.Dense(4)(x), factor=np.ones(4)))
    model.compile("sgd", "mse")
    y, tape = model.forward(np.ones((2, 5, 4)))
    np.testing.assert_array_equal(tape.backward(np.ones_like(y))[0][1], np.full(4, 10.0))
    model = lf.Model(x, Argument()(layers.Dense(4)(x), factor=2.0))
    model.compile("sgd", "mse")
    model.train_on_batch(np.ones((2, 5, 4)), np.ones((2, 5, 4)))


def test_lengths_and_resets_reach_layers_inside(rng):
    x = rng.normal(size=(3, 5, 4)).astype("float32")
    layer = Recurrent()
    model, plain = compiled(layer), compiled(layer.lstm)
    resets = rng.random((3, 5)) < 0.4
    for given in ({"lengths": np.array([5, 2, 3])}, {"resets": resets}):
        np.testing.assert_array_equal(model(x, **given), plain(x, **given))
    with pytest.raises(ValueError, match="tbptt cannot hand on the states of recurrent layers inside"):
        model.fit(x, np.zeros((3, 5, 4)), tbptt=2, verbose=0)
    tape = model.forward(x)[1]
    with pytest.raises(ValueError, match="cannot be given"):
        model.forward(x, states=tape.states)


def test_freezing(rng):
    x = rng.normal(size=(3, 5, 4)).astype("float32")
    model = compiled(Residual(), Recurrent())
    model.train_on_batch(x, np.zeros((3, 5, 4)))
    np.testing.assert_array_equal(model.freeze()(x), model(x))
    model = compiled(Weighted())
    np.testing.assert_array_equal(model.freeze()(x), model(x))
    layer = Exp()
    with pytest.raises(
        ValueError, match=rf"layer '{layer.name}' of class .* cannot be frozen: .*symbolic inputs"
    ):
        compiled(layer).freeze()


def test_copies(rng, tmp_path):
    x, y = rng.normal(size=(8, 5, 4)), rng.normal(size=(8, 5, 4))
    model = compiled(Positions(5), Residual())
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.safetensors")
    objects = {"Positions": Positions, "Residual": Residual}
    with lf.saving.custom_object_scope(objects):
        clone = lf.models.clone_model(model)
    assert [v.shape for v in clone.weights] == [v.shape for v in model.weights]
    clone.set_weights(model.get_weights())
    clone.compile("sgd", "mse")
    loaded = lf.saving.load_model(tmp_path / "model.safetensors", custom_objects=objects)
    others = [copy.deepcopy(model), pickle.loads(pickle.dumps(model)), clone, loaded]
    for other in (model, *others):
        other.fit(x, y, verbose=0, shuffle=False)
    for other in others:
        for a, b in zip(other.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_nothing_is_left_of_a_trace(rng):
    class Noting(Recurrent):
        def call(self, x, training=None):
            self.last = x
            return super().call(x, training)

    layer = Noting()
    model = compiled(layer)
    model(np.ones((1, 5, 4)))
    nodes, name = len(layer.lstm.inbound_nodes), layers.Add().name
    for size in range(2, 80):  # more signatures than are kept
        model.train_on_batch(np.ones((size, 5, 4)), np.ones((size, 5, 4)))
    assert isinstance(layer.last, np.ndarray)
    assert len(layer.lstm.inbound_nodes) == nodes
    assert (
        int(layers.Add().name.removeprefix("add_"))
        == int("0" + name.removeprefix("add").removeprefix("_")) + 1
    )


def test_a_constant_attention_mask(rng):
    class Causal(layers.Layer):
        def __init__(self, by_flag, **kwargs):
            super().__init__(**kwargs)
            self.by_flag, self.attention = by_flag, layers.MultiHeadAttention(2, 3)

        def call(self, x):
            if self.by_flag:
                return self.attention(x, x, use_causal_mask=True)
            n = ops.shape(x)[1]
            i, j = ops.expand_dims(ops.arange(n), 1), ops.arange(n)
            mask = np.broadcast_to(i >= j, (ops.shape(x)[0], n, n))
            return self.attention(x, x, attention_mask=mask)

    x, y = rng.normal(size=(4, 5, 4)), rng.normal(size=(4, 5, 4))
    one, other = (compiled(Causal(flag)) for flag in (True, False))
    other.set_weights(one.get_weights())
    for model in (one, other):
        model.train_on_batch(x, y)
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


def test_masks_inside_as_in_a_functional_model(rng):
    class Block(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.supports_masking = True
            self.attention, self.add = layers.MultiHeadAttention(2, 4), layers.Add()
            self.gru = layers.GRU(8, return_sequences=True)

        def call(self, x):
            return self.gru(self.add([x, self.attention(x, x)]))

    ids = rng.integers(1, 12, (6, 5))
    ids[::2, 3:] = 0
    inputs = lf.Input((5,), dtype="int32")
    h = embedded = layers.Embedding(12, 8, mask_zero=True)(inputs)
    blocks = [Block(), Block()]
    model = lf.Model(inputs, layers.LSTM(3)(blocks[1](blocks[0](embedded))))
    for block in blocks:
        h = block.gru(layers.Add()([h, block.attention(h, h)]))
    same = lf.Model(inputs, model.layers[-1](h))
    (y, tape), (expected, other) = model.forward(ids), same.forward(ids)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(y, model(ids))
    theirs = {v.path: g for v, g in zip(same.trainable_variables, other.backward(y)[0], strict=True)}
    for v, g in zip(model.trainable_variables, tape.backward(y)[0], strict=True):
        np.testing.assert_array_equal(g, theirs[v.path])
