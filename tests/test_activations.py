# SPDX-License-Identifier: BSD-3-Clause
"""Activations: derivatives against finite differences in float64, names, functions of the user."""

import json

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import _core, activations, reference

NAMES = sorted(set(activations._BY_NAME) - {"threshold"})


def plain(name, x):
    """The function in float64: the reference's, or the NumPy one's own formula."""
    if activations.native_name(activations.get(name)):
        return reference.activation_forward(activations.native_name(activations.get(name)), x)
    e = np.exp
    softplus = np.logaddexp(x, 0)
    formulas = {
        "celu": lambda: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
        "glu": lambda: x[..., :3] / (1 + e(-x[..., 3:])),
        "hard_shrink": lambda: x * (abs(x) > 0.5),
        "hard_silu": lambda: x * np.clip(x / 6 + 0.5, 0, 1),
        "hard_swish": lambda: x * np.clip(x / 6 + 0.5, 0, 1),
        "log_sigmoid": lambda: -np.logaddexp(-x, 0),
        "log_softmax": lambda: x - np.log(e(x).sum(-1, keepdims=True)),
        "mish": lambda: x * np.tanh(softplus),
        "soft_shrink": lambda: np.sign(x) * np.maximum(abs(x) - 0.5, 0),
        "sparse_plus": lambda: np.where(x <= -1, 0, np.where(x < 1, (x + 1) ** 2 / 4, x)),
        "sparse_sigmoid": lambda: np.clip((x + 1) / 2, 0, 1),
        "sparsemax": lambda: simplex_projection(x),
        "squareplus": lambda: (x + np.sqrt(x * x + 4)) / 2,
        "tanh_shrink": lambda: x - np.tanh(x),
    }
    return formulas[name]()


def simplex_projection(x):
    """By bisection for the threshold tau with sum(max(x - tau, 0)) = 1."""
    low, high = x.min(-1, keepdims=True) - 1, x.max(-1, keepdims=True)
    for _ in range(100):
        tau = (low + high) / 2
        more = np.maximum(x - tau, 0).sum(-1, keepdims=True) > 1
        low, high = np.where(more, tau, low), np.where(more, high, tau)
    return np.maximum(x - tau, 0)


def away_from_corners(rng):
    x = rng.normal(0, 2, (4, 6))
    for corner in (-3, -1, -0.5, 0, 0.5, 1, 3, 6):
        x[abs(x - corner) < 0.01] += 0.05
    return x


@pytest.mark.parametrize("name", NAMES)
def test_forward_and_backward(name, rng):
    x = away_from_corners(rng)
    function = activations.get(name)
    y = function(x)
    np.testing.assert_allclose(y, plain(name, x), rtol=2e-6, atol=1e-6)
    assert y.dtype == np.float32 or name == "linear"
    y32, x32 = np.asarray(y, np.float32), x.astype(np.float32)
    np.testing.assert_array_equal(activations.forward(function, x32), y32)
    dy = rng.normal(size=y.shape)
    given = x32 if activations.needs_input(function) else None
    dx = activations.backward(function, given, y32, dy.astype(np.float32))
    expected, step = np.empty_like(x), 1e-6
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        expected[index] = ((plain(name, up) - plain(name, down)) * dy).sum() / (2 * step)
    assert dx.dtype == np.float32
    np.testing.assert_allclose(dx, expected, rtol=0, atol=1e-5 * max(1.0, abs(expected).max()))


def test_native_names_are_those_of_the_library():
    ours = {activations.native_name(f) for f in map(activations.get, NAMES)} - {None}
    assert ours <= set(_core.activation_names())
    assert activations.get(None) is activations.linear


@pytest.mark.parametrize("shape", [(), (3,), (0, 3), (2, 3, 4)])
def test_any_shape(shape):
    for name in ("relu", "mish", "tanh"):
        assert activations.get(name)(np.ones(shape)).shape == shape


def test_function_of_the_user(rng):
    def cube(x):
        return x**3

    x, dy = rng.normal(size=(2, 3)).astype(np.float32), rng.normal(size=(2, 3)).astype(np.float32)
    y = activations.forward(activations.get(cube), x)
    np.testing.assert_allclose(activations.backward(cube, x, y, dy), 3 * x**2 * dy, rtol=1e-5)
    with pytest.raises(NotImplementedError, match="gradient"):
        activations.backward(np.cbrt, x, np.cbrt(x), dy)
    cube.gradient = lambda x, y, dy: 3 * x**2 * dy
    np.testing.assert_allclose(activations.backward(cube, x, y, dy), 3 * x**2 * dy)
    assert activations.serialize(cube)["config"] == "cube"
    with lf.utils.custom_object_scope({"cube": cube}):
        assert activations.get("cube") is cube
    with pytest.raises(ValueError, match="shape"):
        activations.forward(lambda x: x[:1], x)


OPERATIONS = [
    "elu",
    "hard_sigmoid",
    "hard_tanh",
    "leaky_relu",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softsign",
    "tanh",
]


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_native_where_they_are_the_same(name, rng):
    operation, named = getattr(lf.ops, name), activations.get(name)
    assert activations.native_name(operation) == activations.native_name(named) == name
    x, dy = 4 * rng.normal(size=(2, 3, 8)).astype(np.float32)
    y = activations.forward(operation, x)
    np.testing.assert_array_equal(y, operation(x))
    np.testing.assert_array_equal(y, named(x))
    expected = activations.backward(named, x, y, dy)
    np.testing.assert_array_equal(activations.backward(operation, x, y, dy), expected)
    assert activations.native_name(lambda x: operation(x)) is None


@pytest.mark.parametrize("name", ["gelu", "softmax", "exp", "mish"])
def test_other_operations_are_not(name):
    """`ops.gelu` is the approximation."""
    assert activations.native_name(getattr(lf.ops, name, np.exp)) is None


@pytest.mark.parametrize("name", [*OPERATIONS, "gelu", "exp", "softmax"])
def test_operations_in_configurations(name):
    """As Keras writes them where they are activations too; others come back as what they are."""
    operation = getattr(lf.ops, name)
    config = activations.serialize(operation)
    assert (config == name) == (name in OPERATIONS)
    again = activations.get(json.loads(json.dumps(config)))
    x = np.linspace(-3, 3, 12, dtype=np.float32).reshape(2, 6)
    np.testing.assert_array_equal(activations.forward(again, x), operation(x))


@pytest.mark.parametrize("config", [None, 3, [], "loads", "Path", "__all__", "composed"])
def test_configurations_name_operations_only(config):
    described = {"module": "lstmfast.ops.nn", "class_name": "function", "config": config}
    with pytest.raises(ValueError, match=r"a function classname, instead got|Could not locate function"):
        activations.deserialize(described)


@pytest.mark.parametrize("identifier", ["nonsense", 3, ["relu"], "get", "f32", "__init__"])
def test_unknown_names(identifier):
    with pytest.raises(ValueError, match="activation"):
        activations.get(identifier)


def test_odd_axis_of_glu():
    with pytest.raises(ValueError, match="divisible by 2"):
        activations.glu(np.ones((2, 3)))


def test_softmax_over_several_axes():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    for axes in ((1, 2), (3, 1), (0, 1, 2, 3), (-1, 0)):
        raised = np.exp(x)
        expected = raised / raised.sum(axis=axes, keepdims=True)
        np.testing.assert_allclose(activations.softmax(x, axis=axes), expected, rtol=1e-5)
