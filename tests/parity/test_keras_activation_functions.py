# SPDX-License-Identifier: BSD-3-Clause
"""Activation functions of symbolic tensors, and functions of one's own as activations, against Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from layer_parity import close, floats
from peers import keras

import lstmfast as lf

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own

X, Y = floats(np.random.default_rng(0), 6, 5, 3), floats(np.random.default_rng(1), 6, 1)
#: Names, and the arguments of those that take some.
FUNCTIONS = [
    *(
        "celu",
        "elu",
        "exponential",
        "gelu",
        "hard_shrink",
        "hard_sigmoid",
        "hard_tanh",
        "leaky_relu",
        "linear",
    ),
    *(
        "log_sigmoid",
        "log_softmax",
        "mish",
        "relu",
        "relu6",
        "selu",
        "sigmoid",
        "silu",
        "soft_shrink",
        "softmax",
    ),
    *("softplus", "softsign", "sparse_plus", "sparse_sigmoid", "squareplus", "tanh", "tanh_shrink"),
]
WITH_ARGUMENTS = [
    *(("relu", {"negative_slope": 0.1}), ("relu", {"max_value": 0.5}), ("relu", {"threshold": 0.2})),
    ("relu", {"negative_slope": 0.1, "max_value": 0.5, "threshold": 0.2}),
    *(("leaky_relu", {"negative_slope": 0.3}), ("elu", {"alpha": 0.5}), ("celu", {"alpha": 0.5})),
    *(("gelu", {"approximate": True}), ("softmax", {"axis": 1}), ("log_softmax", {"axis": 1}), ("glu", {})),
    *(("squareplus", {"b": 2}), ("threshold", {"threshold": 0.1, "default_value": 0.2})),
]
CASES = [*((name, {}) for name in FUNCTIONS), *WITH_ARGUMENTS]
#: Of which Keras makes no graph of symbolic tensors outside of a `call`.
NOT_IN_KERASS_GRAPHS = {"mish"}


def dense_of(library: Any, function: Any) -> Any:
    """A layer of one's own that hands what it makes to a function."""

    class Own(library.layers.Layer):  # type: ignore[name-defined, misc]
        def __init__(self):
            super().__init__()
            self.dense = library.layers.Dense(4)

        def call(self, x):
            return function(self.dense(x))

    return Own()


def trained(make: Any) -> list[Any]:
    """What `make(library)`'s models predict, and their weights after two epochs."""
    values: Any = None
    found = []
    for library in (keras, lf):
        model = make(library)
        if values is None:
            values = [0.5 * floats(np.random.default_rng(2), *w.shape) for w in model.get_weights()]
        model.set_weights(values)
        model.compile("sgd", "mse")
        before = model.predict(X, verbose=0)
        model.fit(X, Y, epochs=2, verbose=0, shuffle=False)
        found.append([before, *model.get_weights()])
    for ours, theirs in zip(found[1], found[0], strict=True):
        close(ours, theirs, least=1e-2)
    return found[1]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_in_the_call_of_a_layer(name, options):
    def make(library):
        def function(x):
            return getattr(library.activations, name)(x, **options)

        layers = library.layers
        own = dense_of(library, function)
        return library.Sequential([library.Input((5, 3)), own, layers.Flatten(), layers.Dense(1)])

    trained(make)


@pytest.mark.parametrize(("name", "options"), [case for case in CASES if case[0] not in NOT_IN_KERASS_GRAPHS])
def test_in_graphs_and_files(name, options, tmp_path):
    models = []
    for library in (keras, lf):
        inputs = library.Input((5, 4))
        models.append(library.Model(inputs, getattr(library.activations, name)(inputs, **options)))
    theirs, ours = models
    x = floats(np.random.default_rng(3), 2, 5, 4)
    assert ours.output_shape == theirs.output_shape
    close(ours(x), theirs.predict(x, verbose=0))
    theirs.save(tmp_path / "theirs.keras")
    close(lf.models.load_model(tmp_path / "theirs.keras")(x), ours(x))
    ours.save(tmp_path / "ours.keras")
    close(keras.models.load_model(tmp_path / "ours.keras").predict(x, verbose=0), ours(x))


def swish(library: Any) -> Any:
    return lambda x: x * library.activations.sigmoid(1.5 * x)


def shrunk(library: Any) -> Any:
    return lambda x: library.ops.square(library.ops.tanh(x)) - 0.1 * x


LAYERS = {
    "Dense": lambda k, f: k.layers.Dense(4, activation=f),
    "Activation": lambda k, f: k.layers.Activation(f),
    "Conv1D": lambda k, f: k.layers.Conv1D(4, 2, activation=f),
    "TimeDistributed": lambda k, f: k.layers.TimeDistributed(k.layers.Dense(2, activation=f)),
    "LSTM": lambda k, f: k.layers.LSTM(3, activation=f, return_sequences=True),
    "GRU": lambda k, f: k.layers.GRU(3, recurrent_activation=f, return_sequences=True),
}


@pytest.mark.parametrize("function", [swish, shrunk, lambda library: library.ops.relu])
@pytest.mark.parametrize("layer", LAYERS)
def test_a_function_of_ones_own(layer, function):
    def make(library):
        layers = library.layers
        inner = LAYERS[layer](library, function(library))
        return library.Sequential(
            [library.Input((5, 3)), layers.Dense(3), inner, layers.Flatten(), layers.Dense(1)]
        )

    trained(make)


def test_a_function_in_numpy_says_how_to_train():
    model = lf.Sequential([lf.Input((3,)), lf.layers.Dense(2, activation=lambda x: np.tanh(x))])
    model.compile("sgd", "mse")
    assert model.predict(X[:, 0], verbose=0).shape == (6, 2)
    with pytest.raises(
        NotImplementedError,
        match=r"Write it with `lstmfast.ops` and operators, or give it an attribute `gradient`",
    ):
        model.fit(X[:, 0], X[:, 0, :2], verbose=0)


def test_a_constant_function():
    layer = lf.layers.Dense(2, activation=lambda x: lf.ops.zeros_like(x))
    model = lf.Sequential([lf.Input((3,)), layer, lf.layers.Dense(1)])
    model.compile("sgd", "mse")
    before = layer.get_weights()
    model.fit(X[:, 0], Y, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(layer.get_weights(), before, strict=True))
