# SPDX-License-Identifier: BSD-3-Clause
"""Sequential models without an Input whose first layer takes a dict or a list of arrays, as in Keras."""

import numpy as np
import pytest
from peers import keras

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore:.*__array__ implementation:DeprecationWarning")

RNG = np.random.default_rng(0)
A, B = (RNG.normal(size=(6, n)).astype(np.float32) for n in (3, 2))
Y = RNG.normal(size=(6, 1)).astype(np.float32)


def models(kind, K):
    L = K.layers

    class Joined(L.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.a, self.b = L.Dense(4), L.Dense(4)

        def build(self, shape):
            first, second = (shape["a"], shape["b"]) if isinstance(shape, dict) else shape
            self.a.build(first)
            self.b.build(second)
            self.built = True

        def call(self, x):
            first, second = (x["a"], x["b"]) if isinstance(x, dict) else x
            return self.a(first) * self.b(second)

    class Same(L.Layer):
        def call(self, x):
            return x

    stack = [L.Add()] if kind == "add" else [Same(), Joined()] if kind == "passed on" else [Joined()]
    return K.Sequential([*stack, L.Dense(1)])


CASES = {
    "dict": {"b": B, "a": A},
    "list": [A, B],
    "passed on": {"a": A, "b": B},
    "add": [A, A * 2],
}


@pytest.mark.parametrize("kind", CASES)
def test_trained_alike(kind):
    x = CASES[kind]
    theirs, ours = models(kind, keras), models(kind, lf)
    theirs(x), ours(x)
    assert [v.shape for v in ours.weights] == [tuple(v.shape) for v in theirs.weights]
    ours.set_weights(theirs.get_weights())
    results = []
    for model, K in ((theirs, keras), (ours, lf)):
        model.compile(K.optimizers.SGD(0.02), "mse")
        losses = model.fit(x, Y, epochs=3, batch_size=3, shuffle=False, verbose=0).history["loss"]
        results.append([losses, model.evaluate(x, Y, verbose=0), model.predict(x, verbose=0)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    ours.summary(print_fn=lambda line: None)
    assert len(ours.layers) == len(theirs.layers)


def test_several_outputs_too():
    class Same(lf.layers.Layer):
        def call(self, x):
            return x

    model = lf.Sequential([Same()])
    y = model({"a": A, "b": B})
    assert type(y) is dict and np.array_equal(y["a"], A) and np.array_equal(y["b"], B)
    model = lf.Sequential([Same()])
    y = model([A, B])
    assert type(y) is list and np.array_equal(y[0], A) and np.array_equal(y[1], B)


def test_files_clones_and_changes(tmp_path):
    model = lf.Sequential([lf.layers.Add(), lf.layers.Dense(2)])
    expected = model([A, A])
    model.save(tmp_path / "m.keras")
    model.save(tmp_path / "m.safetensors")
    for name in ("m.keras", "m.safetensors"):
        assert np.array_equal(lf.saving.load_model(tmp_path / name)([A, A]), expected)
    twin = lf.Sequential.from_config(model.get_config())
    assert twin.built and [w.shape for w in twin.weights] == [w.shape for w in model.weights]
    assert np.array_equal(model.freeze()([A, A]), expected)
    clone = lf.models.clone_model(model)
    clone([A, A])
    assert len(clone.weights) == 2
    model.pop()
    assert np.array_equal(model([A, A]), A + A)
    model.pop()
    assert not model.built
    model.add(lf.layers.Dense(3))
    assert model(A).shape == (6, 3)
