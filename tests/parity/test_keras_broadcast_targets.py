# SPDX-License-Identifier: BSD-3-Clause
"""Targets with axes of length 1, dicts of outputs in their order, and logs that callbacks change, as in Keras."""

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore:.*__array__ implementation:DeprecationWarning")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 3)).astype(np.float32)
NAMES = [
    "MeanSquaredError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredLogarithmicError",
    "Huber",
    "LogCosh",
    "KLDivergence",
    "Poisson",
    "Hinge",
    "SquaredHinge",
    "CategoricalHinge",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "shapes", [((1, 1), (1, 2)), ((6, 1), (6, 4)), ((2, 3, 1), (2, 3, 4)), ((1, 4), (3, 4))]
)
def test_losses(name, shapes):
    y, p = (RNG.uniform(0.1, 0.9, size=shape).astype(np.float32) for shape in shapes)
    tensor = keras.ops.convert_to_tensor(p).requires_grad_(True)
    theirs = getattr(keras.losses, name)()(y, tensor)
    theirs.backward()
    value, gradient = getattr(lf.losses, name)().value_and_grad(y, p)
    np.testing.assert_allclose(value, theirs.detach().numpy(), rtol=1e-5)
    expected = tensor.grad.numpy()
    assert np.abs(gradient - expected).max() <= 1e-5 * np.abs(expected).max()


def test_trained_with_one_target_for_several_units():
    y = X[:, :1]
    models = [K.Sequential([K.Input((3,)), K.layers.Dense(4)]) for K in (keras, lf)]
    models[1].set_weights([np.array(w) for w in models[0].get_weights()])
    results = []
    for model, K in zip(models, (keras, lf), strict=True):
        model.compile(K.optimizers.SGD(0.1), "mse", metrics=["mae"])
        history = model.fit(X, y, epochs=2, batch_size=3, shuffle=False, verbose=0).history
        results.append([*history["loss"], *history["mae"], *model.evaluate(X, y, verbose=0)])
    np.testing.assert_allclose(*results, rtol=1e-5)


@pytest.mark.parametrize("shape", [(6, 2), (5, 1), (6,)])
def test_what_stands_for_nothing(shape):
    model = lf.Sequential([lf.Input((3,)), lf.layers.Dense(4)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError):
        model.fit(X, np.zeros(shape), verbose=0)


def test_order_of_outputs_in_dicts():
    orders = []
    for K in (keras, lf):
        x = K.Input((3,))
        made = {"z": K.layers.Dense(1)(x), "a": K.layers.Dense(1)(x), "m": {"y": x, "b": x}}
        model = K.Model(x, made)
        outputs = [model(X), model.predict(X, verbose=0), model.predict_on_batch(X), model.output]
        orders.append([[list(y), list(y["m"])] for y in outputs])

        class Own(K.Model):
            def __init__(self, K=K):
                super().__init__()
                self.dense = K.layers.Dense(1)

            def call(self, x):
                return {"z": self.dense(x), "a": x}

        own = Own()
        orders[-1] += [list(own(X)), list(own.predict(X, verbose=0))]
    assert orders[0] == orders[1]


def test_what_callbacks_put_into_logs():
    seen = []
    for K in (keras, lf):

        class Watch(K.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                seen.append(sorted(logs))

            def on_train_end(self, logs=None):
                seen.append(sorted(logs))

        model = K.Sequential([K.Input((3,)), K.layers.Dense(1)])
        model.compile("sgd", "mse")
        scheduler = K.callbacks.LearningRateScheduler(lambda epoch: 0.1)
        history = model.fit(X, X[:, :1], epochs=2, verbose=0, callbacks=[Watch(), scheduler, Watch()])
        seen.append(sorted(history.history))
    assert seen[: len(seen) // 2] == seen[len(seen) // 2 :]


@pytest.mark.parametrize(
    ("kind", "loss"),
    [
        ("list", ["mse"]),
        ("tuple", ("mae",)),
        ("dict", {"p": "mse", "other": None}),
        ("nested", {"p": "mse", "other": None}),
    ],
)
@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_losses_of_some_outputs(kind, loss):
    y = X[:, :2]
    targets = {"list": [y, y], "tuple": (y, y), "dict": {"p": y, "q": y}, "nested": {"p": y, "q": [y, y]}}[
        kind
    ]
    results, models = [], []
    for K in (keras, lf):
        x = K.Input((3,))
        a, b, c = (K.layers.Dense(2, name=name)(x) for name in "abc")
        made = {"list": [a, b], "tuple": (a, b), "dict": {"p": a, "q": b}, "nested": {"p": a, "q": [b, c]}}
        models.append(K.Model(x, made[kind]))
    models[1].set_weights([np.array(w) for w in models[0].get_weights()])
    for model, K in zip(models, (keras, lf), strict=True):
        model.compile(K.optimizers.SGD(0.1), loss)
        history = model.fit(X, targets, epochs=2, shuffle=False, verbose=0).history
        assert list(history) == ["loss"]
        results.append([*history["loss"], model.evaluate(X, targets, verbose=0)])
    np.testing.assert_allclose(*results, rtol=1e-5)
