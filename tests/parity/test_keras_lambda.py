# SPDX-License-Identifier: BSD-3-Clause
"""`Lambda` with functions of operations and operators, beside Keras 3: such a layer trains without a gradient of its own."""

from __future__ import annotations

import numpy as np
import pytest
from peers import keras

import lstmfast as lf
from lstmfast.testing import check_gradients

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own, and of masks that end at a layer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 5, 3)).astype("float32")
X[:4, 3:] = 0
Y = RNG.normal(size=(12, 1)).astype("float32")


def masked_mean(K):
    def function(x, mask=None):
        weight = K.ops.expand_dims(K.ops.cast(mask, "float32"), -1)
        return K.ops.sum(x * weight, axis=1) / K.ops.sum(weight, axis=1)

    return function


FUNCTIONS = {
    "last step": lambda K: lambda x: x[:, -1, :],
    "operators": lambda K: lambda x: (1 - x[:, 0]) * 2.0 / 3,
    "operations": lambda K: lambda x: K.ops.softmax(K.ops.max(x, axis=1)),
    "arguments": lambda K: lambda x, factor=1.0: K.ops.mean(x, axis=1) * factor,
    "training": lambda K: lambda x, training=None: x[:, 1],
    "mask": masked_mean,
}


def trained(K, model, x):
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    model.compile(K.optimizers.Adam(0.01), "mse")
    history = model.fit(x, Y, epochs=3, batch_size=5, shuffle=False, verbose=0).history["loss"]
    return history, model.predict(x, verbose=0)


def same(results):
    for theirs, ours in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


CASES = [(name, masked) for name in FUNCTIONS for masked in (False, True) if masked or name != "mask"]


@pytest.mark.parametrize(("name", "masked"), CASES)
def test_training(name, masked):
    results = []
    for K in (keras, lf):
        x = K.Input((5, 3))
        h = K.layers.Masking()(x) if masked else x
        h = K.layers.LSTM(4, return_sequences=True)(h)
        arguments = {"factor": 0.5} if name == "arguments" else None
        h = K.layers.Lambda(FUNCTIONS[name](K), output_shape=(4,), arguments=arguments)(h)
        results.append(trained(K, K.Model(x, K.layers.Dense(1)(h)), X))
    same(results)


def test_several_inputs():
    """Twins compared by their distance."""
    results = []
    for K in (keras, lf):
        a, b, twin = K.Input((5, 3)), K.Input((5, 3)), K.layers.GRU(4)

        def near(pair, ops=K.ops):
            return ops.exp(-ops.sum(ops.abs(pair[0] - pair[1]), axis=1, keepdims=True))

        model = K.Model([a, b], K.layers.Lambda(near, output_shape=(1,))([twin(a), twin(b)]))
        results.append(trained(K, model, [X, X[::-1].copy()]))
    same(results)


@pytest.mark.parametrize("name", ["last step", "operators", "operations"])
def test_gradients(name):
    errors = check_gradients(lf.layers.Lambda(FUNCTIONS[name](lf)), RNG.normal(size=(2, 3, 4)))
    assert list(errors) == ["x"]


def test_the_mask_ends():
    """As without training, also where the function gives its input back."""
    model = lf.Sequential([
        lf.Input((5, 3)), lf.layers.Masking(), lf.layers.Lambda(lambda x: x), lf.layers.LSTM(2), lf.layers.Dense(1)
    ])  # fmt: skip
    np.testing.assert_allclose(model.forward(X, training=True)[0], model(X), rtol=1e-6)


def test_lengths_go_on():
    model = lf.Sequential([lf.Input((None, 3)), lf.layers.Lambda(lambda x: x * 2), lf.layers.LSTM(2)])
    lengths = np.arange(12) % 5 + 1
    y, tape = model.forward(X, training=True, lengths=lengths)
    np.testing.assert_array_equal(y, model(X, lengths=lengths))
    _, dx, _ = tape.backward(np.ones_like(y))
    assert not dx[np.arange(5) >= lengths[:, None]].any()


def test_a_function_that_is_no_graph():
    model = lf.Sequential(
        [lf.Input((5, 3)), lf.layers.LSTM(2), lf.layers.Lambda(np.asarray), lf.layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    before = model.get_weights()
    with pytest.raises(NotImplementedError, match=r"'lambda.*symbolic inputs.*gradient"):
        model.fit(X, Y, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_lengths_count_as_in_operations():
    """Also in inference: the last step is that of each row, and what would mix padding in is refused."""
    lengths = np.arange(12) % 5 + 1
    last = lf.Sequential([lf.Input((5, 3)), lf.layers.Lambda(lambda x: x[:, -1])])
    np.testing.assert_array_equal(last(X, lengths=lengths), X[np.arange(12), lengths - 1])
    mean = lf.Sequential([lf.Input((5, 3)), lf.layers.Lambda(lambda x: lf.ops.mean(x, axis=1))])
    for training in (False, True):
        with pytest.raises(ValueError, match="cannot be used with lengths: it mixes the time steps"):
            mean.forward(X, training=training, lengths=lengths)
