# SPDX-License-Identifier: BSD-3-Clause
"""Operations of arrays alone against Keras's: loops and branches, makers of arrays, what has no fixed size."""

from __future__ import annotations

import numpy as np
import pytest
from ops_parity import P, X, close, numpy_of
from peers import keras

import lstmfast as lf
from lstmfast import Input, Model, ops

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own

V = X[0, 0]
LOOPS = {
    "cond": lambda o: o.cond(True, lambda: X, lambda: P),
    "switch": lambda o: o.switch(7, [lambda x: x, lambda x: 2 * x], X),
    "while_loop": lambda o: o.while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x * 2), (0, X))[1],
    "while_loop most": lambda o: o.while_loop(lambda x: True, lambda x: x * 2, X, maximum_iterations=4),
    "fori_loop": lambda o: o.fori_loop(1, 4, lambda i, x: x * i, X),
    "scan": lambda o: o.scan(lambda c, x: (c + x, c * x), np.ones((4, 6), np.float32), X)[1],
    "scan back": lambda o: o.scan(lambda c, x: (c + x, c * x), np.ones((4, 6), np.float32), X, reverse=True)[
        1
    ],
    "scan carry": lambda o: o.scan(lambda c, x: (c * 2, c), np.float32(1), length=5)[1],
    "associative_scan": lambda o: o.associative_scan(lambda a, b: a + b, X),
    "associative_scan back": lambda o: o.associative_scan(lambda a, b: a * b, X, reverse=True, axis=1),
    "map": lambda o: o.map(lambda x: x * x, X),
    "vectorized_map": lambda o: o.vectorized_map(lambda x: o.sum(x, axis=-1), o.convert_to_tensor(X)),
}
MAKERS = {
    "tri": lambda o: o.tri(3, 4, -1),
    "identity": lambda o: o.identity(3),
    "logspace": lambda o: o.logspace(0, 2, 5),
    "geomspace": lambda o: o.geomspace(1, 100, 5),
    **{
        name: (lambda o, name=name: getattr(o, name)(7))
        for name in ("bartlett", "blackman", "hamming", "hanning")
    },
    "kaiser": lambda o: o.kaiser(7, 3.0),
    "vander": lambda o: o.vander(V, 4, increasing=True),
    "view": lambda o: o.view(V, "int32"),
    "histogram": lambda o: o.histogram(X.ravel(), 5)[0],
    "histogram edges": lambda o: o.histogram(X.ravel(), 4, range=(-1.0, 1.0))[1],
    "unique": lambda o: o.unique(np.array([3, 1, 3, 2], np.int32)),
    "unique counts": lambda o: o.unique(np.array([3, 1, 3, 2], np.int32), return_counts=True)[1],
    "nonzero": lambda o: o.nonzero(np.array([[0, 2], [1, 0]], np.int32))[1],
    "bincount": lambda o: o.bincount(np.array([[0, 2], [1, 1]], np.int32), minlength=4),
    "bincount weights": lambda o: o.bincount(
        np.array([0, 2, 2], np.int32), weights=np.array([1.0, 0.5, 2.0], np.float32)
    ),
    "eig": lambda o: np.sort(np.real(numpy_of(o.eig(X[0, :, :4] @ X[0, :, :4].T)[0]))).astype(np.float32),
    "quantile": lambda o: o.quantile(X, np.array([0.2, 0.7], np.float32), axis=1, method="nearest"),
    "integers": lambda o: o.median(np.array([1, 4, 2], np.int32)),
    "flags": lambda o: o.diff(np.array([True, False, False])),
    "sum of segments": lambda o: o.segment_sum(np.array([1, 2, 3], np.int32), np.array([0, 0, 2], np.int32)),
}


@pytest.mark.parametrize("case", [*LOOPS, *MAKERS])
def test_arrays(case):
    function = {**LOOPS, **MAKERS}[case]
    found, expected = np.asarray(function(lf.ops)), np.asarray(numpy_of(function(keras.ops)))
    assert found.dtype.kind == expected.dtype.kind and found.dtype.itemsize <= 4
    close(found, expected)


def test_size_and_empty():
    assert ops.size(X) == 72 and ops.size(Input((4,))) is None
    assert ops.empty((2, 3)).shape == (2, 3) and ops.empty((2,), "int32").dtype == np.int32
    np.testing.assert_allclose(ops.vectorize(lambda a, b: a + 2 * b)(V, P[0]), V + 2 * P[0], rtol=1e-6)


def scanned(o, x):
    """A simple recurrent network over steps first."""
    steps = o.transpose(x, (1, 0, 2))
    return o.scan(lambda h, x: (o.tanh(0.5 * h + x), h * x), o.zeros_like(steps[0]), steps, reverse=True)


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        (lambda x: scanned(ops, x)[0], lambda x: scanned(keras.ops, x)[0]),
        (lambda x: scanned(ops, x)[1], lambda x: scanned(keras.ops, x)[1]),
        (lambda x: ops.scan(lambda c, _: (c * x, c), x, length=3)[1][2], lambda x: x**3),
        (lambda x: ops.fori_loop(1, 4, lambda i, y: y * x + i, x), lambda x: ((x * x + 1) * x + 2) * x + 3),
        (
            lambda x: ops.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * x), (0, x))[1],
            lambda x: x**4,
        ),
        (lambda x: ops.map(lambda row: row * row, ops.moveaxis(x, 1, 0)), lambda x: (x * x).swapaxes(0, 1)),
        (
            lambda x: ops.vectorized_map(lambda row: ops.sum(row, axis=-1), ops.moveaxis(x, 2, 0)),
            lambda x: np.moveaxis(x, 2, 0).sum(-1),
        ),
        (lambda x: ops.associative_scan(lambda a, b: a * b, x, axis=1), lambda x: np.cumprod(x, 1)),
        (
            lambda x: ops.associative_scan(lambda a, b: a + b, x, reverse=True, axis=1),
            lambda x: np.cumsum(x[:, ::-1], 1)[:, ::-1],
        ),
        (lambda x: ops.cond(True, lambda: x, lambda: 2 * x), lambda x: x),
        (
            lambda x: ops.cond(ops.sum(x) > 0, lambda: x * x, lambda: 2 * x),
            lambda x: x * x if x.sum() > 0 else 2 * x,
        ),
        (
            lambda x: ops.switch(
                ops.cast(ops.sum(x) * 0, "int32") + 1, [lambda y: y, lambda y: y**2, lambda y: y**3], x
            ),
            lambda x: x**2,
        ),
        (
            lambda x: ops.switch(
                ops.cast(ops.sum(x) * 0, "int32") - 3, [lambda y: (y, y), lambda y: (y, -y)], x
            )[1],
            lambda x: x,
        ),
        (lambda x: ops.switch(9, [lambda y: y, lambda y: y**3], x), lambda x: x**3),
    ],
)
def test_branches_and_loops_in_graphs(ours, expected):
    """Values and gradients, and the same after a file's configuration."""
    x = Input((4, 6))
    model = Model(x, ours(x))
    y, tape = model.forward(X, training=True)
    wide = X.astype(np.float64)
    close(y, numpy_of(expected(wide)), 2e-5)
    np.testing.assert_array_equal(Model.from_config(model.get_config())(X), y)
    rng = np.random.default_rng(0)
    dy, along, h = rng.normal(size=y.shape), rng.normal(size=X.shape), 1e-5
    ahead, behind = (np.asarray(numpy_of(expected(wide + s * h * along))) for s in (1, -1))
    slope = float((tape.backward(dy.astype(np.float32))[1] * along).sum())
    np.testing.assert_allclose(slope, ((ahead - behind) * dy).sum() / (2 * h), rtol=1e-4)


class Recurrent(lf.layers.Layer):
    """A recurrent layer that its `call` writes with a loop."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units))
        self.recurrent = self.add_weight(shape=(self.units, self.units))
        self.built = True

    def call(self, x):
        steps = ops.transpose(ops.matmul(x, self.kernel), (1, 0, 2))

        def step(h, x):
            h = ops.tanh(x + ops.matmul(h, self.recurrent))
            return h, h

        return ops.transpose(ops.scan(step, ops.zeros_like(steps[0]), steps)[1], (1, 0, 2))


def test_a_layer_that_loops_over_time_is_the_recurrent_layer():
    rnn = lf.layers.SimpleRNN(5, use_bias=False, return_sequences=True)
    own = Recurrent(5)
    models = [lf.Sequential([Input((4, 6)), layer, lf.layers.Dense(1)]) for layer in (rnn, own)]
    models[1].set_weights(models[0].get_weights())
    target = np.random.default_rng(1).normal(size=(3, 4, 1)).astype(np.float32)
    for model in models:
        model.compile(lf.optimizers.SGD(0.1), "mse")
        model.fit(X, target, epochs=5, verbose=0, shuffle=False)
    for found, expected in zip(models[1].get_weights(), models[0].get_weights(), strict=True):
        close(found, expected)
    close(models[1].predict(X, verbose=0), models[0].predict(X, verbose=0))


def test_a_long_loop():
    x = Input((1500, 2))
    model = Model(
        x, ops.scan(lambda c, x: (0.9 * c + x, c), ops.zeros_like(x[:, 0]), ops.moveaxis(x, 1, 0))[0]
    )
    y, tape = model.forward(np.ones((3, 1500, 2), np.float32), training=True)
    np.testing.assert_allclose(y, 10, rtol=1e-5)
    np.testing.assert_allclose(tape.backward(np.ones_like(y))[1][:, -3:, 0], [[0.81, 0.9, 1]] * 3, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x: ops.while_loop(lambda y: ops.sum(y) < 3, lambda y: y + 1, x),
            "while_loop: whether the loop goes on",
        ),
        (
            lambda x: ops.fori_loop(0, ops.sum(x), lambda i, y: y, x),
            "fori_loop: the number of steps must be known",
        ),
        (lambda x: ops.vectorize(lambda a: a)(x), "vectorize: what its function is given must be known"),
        (lambda x: ops.scan(lambda c, x: (c, x), 0.0, x), "scan goes along a first axis of known size"),
        (lambda x: ops.map(lambda x: x, x), "map goes along a first axis of known size"),
        (lambda x: ops.cond(x > 0, lambda: x, lambda: x), "cond in a graph needs a choice without axes"),
        (
            lambda x: ops.cond(ops.sum(x) > 0, lambda: x, lambda: x[0]),
            "branches that give the same structure",
        ),
        (
            lambda x: ops.cond(ops.sum(x) > 0, lambda: x, lambda: (x, x)),
            "branches that give the same structure",
        ),
    ],
)
def test_what_a_graph_cannot_hold_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call(Input((4, 6)))


def test_training_through_what_has_no_gradient_is_refused():
    x = Input((4, 6))
    model = Model(x, ops.qr(lf.layers.Dense(6)(x))[1])
    y, tape = model.forward(X, training=True)
    with pytest.raises(ValueError, match="qr has no gradient: use stop_gradient"):
        tape.backward(np.ones_like(y))
    model = Model(x, ops.qr(ops.stop_gradient(x))[1] + x)
    y, tape = model.forward(X, training=True)
    np.testing.assert_array_equal(tape.backward(np.ones_like(y))[1], np.ones_like(X))


def test_errors_name_what_is_wrong():
    for wrong, error, message in (
        (lambda: ops.top_k(X, 9), ValueError, "top_k cannot take 9"),
        (lambda: ops.det(X), ValueError, "square matrices"),
        (lambda: ops.quantile(X, 0.5, method="most"), ValueError, "method must be one of"),
        (lambda: ops.conv(X, P), ValueError, "channels"),
        (lambda: ops.max_pool(X, 9), ValueError, "does not fit"),
        (lambda: ops.max_pool(X, 2, padding="causal"), ValueError, "padding must be"),
        (lambda: ops.segment_sum(X, np.zeros((3, 4), np.int32)), ValueError, "should be an 1-D vector"),
        (lambda: ops.scatter_update(X, [[0]], X[:1], "most"), ValueError, "Unsupported reduction"),
        (lambda: ops.dot_product_attention(X, X, X), ValueError, "only supports 4D"),
        (lambda: ops.scan(3, 0.0, X), TypeError, "should be a callable"),
        (lambda: ops.average(X, axis=1, weights=V), ValueError, "weights must have the shape"),
        (lambda: ops.norm(X, ord=3), ValueError, "needs `axis`"),
    ):
        with pytest.raises(error, match=message):
            wrong()
