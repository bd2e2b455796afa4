# SPDX-License-Identifier: BSD-3-Clause
"""`ops.custom_gradient`, and complex numbers of arrays, against Keras's on PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from ops_parity import P, X, close, numpy_of
from peers import keras, torch

import lstmfast as lf
from lstmfast import Input, Model, ops

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own


def log1pexp(o):
    """The example of Keras's documentation."""

    @o.custom_gradient
    def function(x):
        e = o.exp(x)

        def grad(*args, upstream=None):
            if upstream is None:
                (upstream,) = args
            return o.multiply(upstream, 1.0 - 1.0 / o.add(1, e))

        return o.log(1 + e), grad

    return function


def product(o):
    """Of two arguments, with a gradient that is not the product's."""

    @o.custom_gradient
    def function(x, p):
        def grad(*args, upstream):
            return upstream * 3.0, upstream * args[0]

        return x * p, grad

    return function


@pytest.mark.parametrize("make", [log1pexp, product])
@pytest.mark.parametrize("more", [False, True])
def test_values_and_gradients_agree(make, more):
    given = [X, P] if make is product else [X]
    inputs = [Input((4, 6)) for _ in given]
    around = (lambda y: y * y) if more else (lambda y: y)
    model = Model(inputs, around(make(ops)(*inputs)))
    y, tape = model.forward(given, training=True)
    tensors = [torch.tensor(a, requires_grad=True) for a in given]
    expected = around(make(keras.ops)(*tensors))
    close(y, numpy_of(expected))
    close(make(ops)(*given), numpy_of(make(keras.ops)(*given)))
    dy = np.random.default_rng(0).normal(size=y.shape).astype(np.float32)
    (expected * torch.tensor(dy)).sum().backward()
    dx = tape.backward(dy)[1]
    for found, tensor in zip(dx if isinstance(dx, list) else [dx], tensors, strict=True):
        close(found, tensor.grad.numpy())


def test_a_loss_with_its_own_gradient_trains():
    @ops.custom_gradient
    def turned(x):
        return x, lambda upstream: -upstream

    class Against(lf.layers.Layer):
        def call(self, x):
            return turned(x)

    weights = []
    for layer in (Against(), lf.layers.Activation("linear")):
        model = lf.Sequential([Input((6,)), lf.layers.Dense(2, kernel_initializer="ones"), layer])
        model.compile(lf.optimizers.SGD(0.1), "mse")
        before = model.get_weights()[0]
        model.fit(X[0], X[0, :, :2], verbose=0)
        weights.append(model.get_weights()[0] - before)
    close(weights[0], -weights[1])


def test_what_custom_gradient_refuses():
    x = Input((4, 6))
    with pytest.raises(TypeError, match="custom_gradient: f must be callable"):
        ops.custom_gradient(3)
    with pytest.raises(ValueError, match="must return its output and a function"):
        ops.custom_gradient(lambda x: x)(x)
    for wrong, message in (
        (lambda x: (x, lambda upstream: (upstream, upstream)), "one array for each of 1 arguments, got 2"),
        (lambda x: (x, lambda upstream: upstream[0]), "must have the argument's shape"),
    ):
        model = Model(x, ops.custom_gradient(wrong)(x))
        y, tape = model.forward(X, training=True)
        with pytest.raises(ValueError, match=message):
            tape.backward(np.ones_like(y))
    with pytest.raises(NotImplementedError, match="cannot be saved: it holds the function"):
        model.get_config()


def test_several_outputs():
    @ops.custom_gradient
    def both(x):
        return (x, 2 * x), lambda a, b: a - b

    x = Input((4, 6))
    model = Model(x, ops.add(*both(x)))
    y, tape = model.forward(X, training=True)
    close(y, 3 * X)
    np.testing.assert_array_equal(tape.backward(np.ones_like(y))[1], np.zeros_like(X))


Z = np.stack([X, P], -1)
C = Z.view(np.complex64)[..., 0]


@pytest.mark.parametrize(
    "case",
    [
        lambda o: o.polar(P, X),
        lambda o: o.view_as_complex(Z),
        lambda o: o.view_as_real(C),
        lambda o: o.real(C),
        lambda o: o.imag(C),
        lambda o: o.conj(C),
        lambda o: o.angle(C),
        lambda o: o.abs(C),
    ],
)
def test_complex_numbers_of_arrays(case):
    found, expected = case(ops), numpy_of(case(keras.ops))
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


def test_complex_numbers_elsewhere_are_refused():
    x = Input((4, 6))
    for call in (lambda: ops.polar(x, x), lambda: ops.view_as_complex(x), lambda: ops.view_as_real(x)):
        with pytest.raises(ValueError, match="a graph holds no complex numbers"):
            call()
    with pytest.raises(ValueError, match="eig works on arrays"):
        ops.eig(Input((3, 3)))
    with pytest.raises(TypeError, match="a graph holds no complex numbers"):
        x * C
    with pytest.raises(TypeError, match="operations take numbers, got dtype complex64"):
        ops.relu(C)
    with pytest.raises(ValueError, match="must be size 2"):
        ops.view_as_complex(X)
