# SPDX-License-Identifier: BSD-3-Clause
"""Models whose `call` has no single graph, because it adds losses or branches on `training`: copies, files, frozen."""

import copy
import pickle

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import Input, Model, layers, models, ops, saving
from lstmfast.symbolic import flatten

# Of `Branches`: what inference alone uses has no part in the loss, as Keras says too.
pytestmark = pytest.mark.filterwarnings("ignore:Gradients do not exist")

RNG = np.random.default_rng(0)
X, Y = (RNG.normal(size=(4, 5, 4)).astype(np.float32) for _ in range(2))


class Branches(Model):
    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.a, self.b = layers.Dense(4), layers.Dense(4)
        self.gru = layers.GRU(units, return_sequences=True)

    def call(self, x, training=False):
        return self.gru(self.a(x) if training else self.b(x))


class Adds(Model):
    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.a, self.gru = layers.Dense(4), layers.GRU(units, return_sequences=True)

    def call(self, x):
        y = self.gru(self.a(x))
        self.add_loss(0.1 * ops.mean(ops.square(y)))
        return y


class Nested(Model):
    """Several outputs, with other operations in training."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.gru = layers.GRU(4, return_sequences=True)

    def call(self, x, training=False):
        y = self.gru(x)
        return {"y": y, "z": [y * 2 if training else y + 1]}


CLASSES = {cls.__name__: cls for cls in (Branches, Adds, Nested)}


def trained(cls):
    model = cls()
    several = cls is Nested
    model.compile("adam", {"y": "mse", "z": ["mse"]} if several else "mse")
    targets = {"y": Y, "z": [Y]} if several else Y
    model.fit(X, targets, verbose=0)
    return model, targets


def outputs(model):
    return flatten(model.predict(X, verbose=0))


def same(a, b):
    return all(np.array_equal(one, other) for one, other in zip(a, b, strict=True))


@pytest.mark.parametrize("cls", CLASSES.values(), ids=CLASSES)
def test_copies_files_and_frozen(cls, tmp_path):
    model, targets = trained(cls)
    expected = outputs(model)
    assert same(expected, flatten(model.freeze()(X)))
    assert isinstance(models.clone_model(model), cls)
    assert [layer.name for layer in model.layers][-1] == model.gru.name
    assert all(v.path.startswith(f"{model.name}/") for v in model.weights)
    twins = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    for name in ("m.keras", "m.safetensors", "m.h5"):
        model.save(tmp_path / name)
        twins.append(saving.load_model(tmp_path / name, custom_objects=CLASSES))
    logs = model.fit(X, targets, verbose=0, shuffle=False).history
    for twin in twins:
        assert same(expected, outputs(twin))
        assert twin.fit(X, targets, verbose=0, shuffle=False).history == logs
        assert same(model.get_weights(), twin.get_weights())
    model.save_weights(tmp_path / "m.weights.h5")
    fresh = cls()
    fresh(X)
    fresh.load_weights(tmp_path / "m.weights.h5")
    assert same(outputs(model), outputs(fresh))


@pytest.mark.parametrize("cls", [Branches, Adds])
def test_inside_a_saved_functional_model(cls, tmp_path):
    x = Input((5, 4))
    model = Model(x, layers.Dense(2)(cls()(x)))
    model.compile("sgd", "mse")
    model.fit(X, Y[..., :2], verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = saving.load_model(tmp_path / "m.keras", custom_objects=CLASSES)
    assert same(outputs(model), outputs(loaded))
    assert same(outputs(model), [model.freeze()(X)])


def test_gradients_of_a_tape_hold_added_losses():
    model = Adds()
    model(X)
    y, tape = model.forward(X, training=True)
    gradients, dx, _ = tape.backward(np.zeros_like(y))
    loss = lambda: float(0.1 * np.mean(np.square(np.asarray(model(X), np.float64))))  # noqa: E731
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        value, place = variable.numpy(), np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        ends = []
        for step in (1e-2, -1e-2):
            moved = value.copy()
            moved[place] += step
            variable.assign(moved)
            ends.append(loss())
        variable.assign(value)
        assert abs((ends[0] - ends[1]) / 2e-2 - gradient[place]) < 2e-3 * abs(gradient[place]) + 1e-6
    assert dx.shape == X.shape and np.abs(dx).max() > 0


def test_refusals():
    model = Branches()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="tbptt cannot hand on the states"):
        model.fit(X, Y, tbptt=2, verbose=0)

    class Unheld(Model):
        def call(self, x, training=False):
            return layers.Dense(2)(x) if training else x

    with pytest.raises(ValueError, match="no attribute"):
        Unheld()(X)

    class Shapes(Model):
        def call(self, x, training=False):
            self.add_loss(x)
            return x

    with pytest.raises(ValueError, match="takes numbers"):
        Shapes()(X)


def test_a_zero_added_to_the_loss_is_a_loss():
    class Mean(layers.Layer):
        def build(self, shape):
            self.w = self.add_weight((4,), "zeros", name="w")

        def call(self, x):
            self.add_loss(ops.mean(x * self.w))
            return x

    model = lf.Sequential([Input((5, 4)), Mean()])
    model.compile(lf.optimizers.SGD(1.0))
    assert model.evaluate(X, verbose=0) == 0
    assert model.fit(X, batch_size=4, verbose=0).history == {"loss": [0.0]}
    np.testing.assert_allclose(model.get_weights()[0], -X.mean(axis=(0, 1)) / 4, rtol=1e-5)


def test_cells_add_losses_at_each_step():
    class Cell(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.state_size = 4
            self.dense = layers.Dense(4)

        def call(self, x, states):
            y = self.dense(x) + 0.5 * states[0]
            self.add_loss(ops.mean(y))
            return y, [y]

    for rnn in (
        layers.RNN(Cell(), return_sequences=True),
        layers.RNN([Cell(), Cell()], return_sequences=True),
    ):
        model = lf.Sequential([Input((5, 4)), rnn])
        model.compile(lf.optimizers.SGD(1.0))
        before = model.get_weights()

        def loss(weights):
            """In NumPy: means of all outputs of all cells over the steps."""
            total, seen = 0.0, X.astype(np.float64)
            for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
                state, made = 0.0, []
                for t in range(5):
                    state = seen[:, t] @ kernel + bias + 0.5 * state
                    made.append(state)
                    total += state.mean()
                seen = np.stack(made, axis=1)
            return total

        np.testing.assert_allclose(model.evaluate(X, verbose=0), loss(before), rtol=1e-5)
        model.fit(X, batch_size=4, verbose=0)
        for number, after in enumerate(model.get_weights()):
            moved = [w.astype(np.float64) for w in before]
            moved[number].flat[0] += 1.0  # the loss is linear in each weight
            gradient = loss(moved) - loss(before)
            np.testing.assert_allclose(before[number].flat[0] - after.flat[0], gradient, rtol=1e-4)
        with pytest.raises(ValueError, match="neither with masks nor with lengths"):
            model.fit(X, lengths=[1, 2, 3, 4], verbose=0)
