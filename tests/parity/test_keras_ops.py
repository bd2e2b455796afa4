# SPDX-License-Identifier: BSD-3-Clause
"""`lstmfast.ops` on arrays and in graphs against `keras.ops`: values, dtypes, shapes, gradients, configurations."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ops_parity import close, graph, graph_agrees, numpy_of
from peers import keras, torch
from test_keras_more_ops import ALONE
from test_keras_more_ops import CASES as MORE

import lstmfast as lf
from lstmfast.ops.operation import CLASSES

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras's own


def of_first(name):
    return lambda o, x, p: getattr(o, name)(x)


def of_second(name):
    return lambda o, x, p: getattr(o, name)(p)


#: name -> function of `ops` and two symbolic tensors of shape (batch, 4, 6): the second one's values are positive.
CASES = {
    "add": lambda o, x, p: o.add(x, p),
    "subtract": lambda o, x, p: o.subtract(1.5, x),
    "multiply": lambda o, x, p: o.multiply(x, p),
    "divide": lambda o, x, p: o.divide(x, p),
    "true_divide": lambda o, x, p: o.true_divide(2, p),
    "power": lambda o, x, p: o.power(p, x),
    "maximum": lambda o, x, p: o.maximum(x, p - 0.5),
    "minimum": lambda o, x, p: o.minimum(x, 0.1),
    "mod": lambda o, x, p: o.mod(x, p),
    "floor_divide": lambda o, x, p: o.floor_divide(o.stop_gradient(x), o.stop_gradient(p)) + x,
    "arctan2": lambda o, x, p: o.arctan2(x, p),
    "logaddexp": lambda o, x, p: o.logaddexp(x, p),
    "where": lambda o, x, p: o.where(o.logical_and(o.greater(x, 0), o.less_equal(p, 1.0)), x, p),
    "isnan": lambda o, x, p: o.cast(o.logical_or(o.isnan(x), o.isinf(x)), "float32") + x,
    "negative": lambda o, x, p: o.negative(x),
    "absolute": lambda o, x, p: o.absolute(x),
    "abs": lambda o, x, p: o.abs(x),
    **{
        name: of_first(name)
        for name in (
            *(
                "exp",
                "expm1",
                "square",
                "sin",
                "cos",
                "tan",
                "sinh",
                "cosh",
                "tanh",
                "sigmoid",
                "relu",
                "relu6",
            ),
            *(
                "selu",
                "silu",
                "swish",
                "softplus",
                "softsign",
                "hard_sigmoid",
                "hard_silu",
                "hard_swish",
                "hard_tanh",
            ),
            *(
                "log_sigmoid",
                "leaky_relu",
                "elu",
                "celu",
                "gelu",
                "squareplus",
                "softmax",
                "log_softmax",
                "ravel",
            ),
            *("mean", "sum", "max", "min", "prod", "var", "std", "logsumexp", "cumsum", "transpose", "flip"),
        )
    },
    **{name: of_second(name) for name in ("log", "log1p", "log2", "log10", "sqrt", "rsqrt", "reciprocal")},
    "sign": lambda o, x, p: o.sign(x) + o.floor(x) + o.ceil(p) + o.round(x, 1) + x,
    "leaky_relu 0.3": lambda o, x, p: o.leaky_relu(x, 0.3),
    "elu 0.5": lambda o, x, p: o.elu(x, alpha=0.5),
    "celu 0.5": lambda o, x, p: o.celu(x, 0.5),
    "gelu exact": lambda o, x, p: o.gelu(x, approximate=False),
    "squareplus 2": lambda o, x, p: o.squareplus(x, 2),
    "softmax 1": lambda o, x, p: o.softmax(x, axis=1),
    "log_softmax 1": lambda o, x, p: o.log_softmax(x, axis=1),
    "clip": lambda o, x, p: o.clip(x, -0.5, 0.5),
    "cast": lambda o, x, p: o.cast(x, "int32") * p + o.cast(x > 0, "float32"),
    "stop_gradient": lambda o, x, p: o.stop_gradient(x) * x,
    "one_hot": lambda o, x, p: (
        o.one_hot(o.argmax(x, axis=-1), 6) * p + o.one_hot(o.argmin(x, axis=-1), 6) * x
    ),
    "any": lambda o, x, p: o.where(o.any(x > 1, axis=-1, keepdims=True), x, p),
    "all": lambda o, x, p: o.where(o.all(x > -2, axis=(1, 2), keepdims=True), x, p),
    "sum 1": lambda o, x, p: o.sum(x, axis=1),
    "mean kept": lambda o, x, p: o.mean(x, axis=(1, -1), keepdims=True),
    "max 1": lambda o, x, p: o.max(x, axis=1),
    "min initial": lambda o, x, p: o.min(x, axis=-1, keepdims=True, initial=10.0),
    "prod 2": lambda o, x, p: o.prod(x, axis=2),
    "var 1": lambda o, x, p: o.var(x, axis=1, keepdims=True),
    "std 12": lambda o, x, p: o.std(x, axis=(1, 2)),
    "logsumexp 1": lambda o, x, p: o.logsumexp(x, axis=1),
    "cumsum 1": lambda o, x, p: o.cumsum(x, axis=1),
    "reshape": lambda o, x, p: o.reshape(x, (-1, 2, 12)),
    "expand_dims": lambda o, x, p: o.squeeze(o.expand_dims(x, 1), 1) + o.expand_dims(p, -1)[..., 0],
    "transpose": lambda o, x, p: o.transpose(x, (0, 2, 1)),
    "swapaxes": lambda o, x, p: o.swapaxes(x, 1, -1),
    "moveaxis": lambda o, x, p: o.moveaxis(x, -1, 1),
    "flip": lambda o, x, p: o.flip(x, axis=1),
    "roll": lambda o, x, p: o.roll(x, 2, axis=1),
    "concatenate": lambda o, x, p: o.concatenate([x, p, x], axis=1),
    "stack": lambda o, x, p: o.stack([x, p], axis=2),
    "split": lambda o, x, p: o.multiply(*o.split(x, 2, axis=-1)),
    "split at": lambda o, x, p: o.split(x, [1, 3], axis=1)[1],
    "unstack": lambda o, x, p: o.unstack(x, axis=1)[2] + o.unstack(p, 4, 1)[-1],
    "pad": lambda o, x, p: o.pad(x, ((0, 0), (2, 1), (0, 3)), constant_values=1.5),
    "pad reflect": lambda o, x, p: o.pad(x, ((0, 0), (2, 1), (0, 0)), mode="reflect"),
    "tile": lambda o, x, p: o.tile(x, (1, 2, 3)),
    "repeat": lambda o, x, p: o.repeat(x, 3, axis=1),
    "broadcast_to": lambda o, x, p: o.broadcast_to(o.sum(x, axis=(0, 1)), (5, 6)),
    "zeros_like": lambda o, x, p: o.zeros_like(x) + o.ones_like(p) * x,
    "take": lambda o, x, p: o.take(x, np.array([[0, 2], [3, 3]]), axis=1),
    "take_along_axis": lambda o, x, p: o.take_along_axis(x, o.argmax(p, axis=1, keepdims=True), axis=1),
    "get_item": lambda o, x, p: x[:, -1] + p[:, 0, :] + x[:, 1:2][:, 0],
    "get_item steps": lambda o, x, p: x[:, ::2, None, 1:-1],
    "get_item ends": lambda o, x, p: x[..., 3],
    "matmul": lambda o, x, p: o.matmul(x, o.transpose(p, (0, 2, 1))),
    "matmul array": lambda o, x, p: o.matmul(x, np.arange(12, dtype="float32").reshape(6, 2)),
    "matmul vector": lambda o, x, p: x @ np.arange(6, dtype="float32"),
    "dot": lambda o, x, p: o.dot(x, np.arange(12, dtype="float32").reshape(6, 2)),
    "einsum": lambda o, x, p: o.einsum("bti,bsi->bts", x, p),
    "einsum sums": lambda o, x, p: o.einsum("bti,btj->bj", x, p),
    "operators": lambda o, x, p: (2**p - p**2 + 1 / p - -x + p % 0.7) * abs(x) / 3 - 1 + round(x, 1),
    "comparisons": lambda o, x, p: (
        o.cast(((x < 0) | (p >= 1)) & ~(x != p) ^ (x <= 1), "float32") * (x > -1) * x
    ),
    "arrays": lambda o, x, p: x * np.arange(6.0) + p * np.float32(2),
}


@pytest.mark.parametrize("case", CASES)
def test_graph(case):
    graph_agrees(CASES[case])


def test_every_operation_is_covered():
    cases = [*CASES.values(), *MORE.values(), *(case for case, _ in ALONE.values())]
    used = {entry["class_name"] for case in cases for entry in graph(lf, case).get_config()["layers"]}
    elsewhere = {
        "RandomNumbers",
        "ReLU",
    }  # in test_random.py, which loads it, and those of `activations.relu`
    assert set(CLASSES) - used - elsewhere == {"Equal", "Isfinite"}  # as NotEqual and Isnan; arrays below


# ---- arrays

EAGER = {
    "floats of integers": lambda o: o.exp(np.array([1, 2])),
    "mean of integers": lambda o: o.mean(np.array([1, 2], "int32")),
    "numbers": lambda o: o.add(1, 2.5),
    "int32 and a number": lambda o: o.multiply(np.array([1, 2], "int32"), 0.5),
    "flags": lambda o: o.subtract(1, np.array([True, False])),
    "sum of int32": lambda o: o.sum(np.array([[1, 2]], "int32"), axis=0),
    "sum of flags": lambda o: o.sum(np.array([True, True])),
    "int32 by int32": lambda o: o.divide(np.array([1], "int32"), np.array([2], "int32")),
    "int64 stays": lambda o: o.add(np.array([1], "int64"), 1),
    "argmax": lambda o: o.argmax(np.array([[1.0, 3.0]], "float32"), axis=1),
    "lists": lambda o: o.concatenate([[1.0, 2.0], np.array([3.0], "float32")]),
    "arange": lambda o: o.arange(5),
    "arange of floats": lambda o: o.arange(0, 1, 0.25),
    "zeros": lambda o: o.zeros((2, 3)),
    "ones": lambda o: o.ones((2,), "int32"),
    "full": lambda o: o.full((2,), 3),
    "full_like": lambda o: o.full_like(np.zeros((2,), "float32"), 7),
    "eye": lambda o: o.eye(2, 3),
    "linspace": lambda o: o.linspace(0, 1, 5),
    "zeros_like": lambda o: o.zeros_like(np.array([1, 2], "int32")),
    "ones_like": lambda o: o.ones_like(np.array([1.0, 2.0], "float32")),
    "one_hot": lambda o: o.one_hot(np.array([0, 2]), 3),
    "equal": lambda o: o.equal(np.array([1, 2]), [1, 3]),
    "isfinite": lambda o: o.isfinite(np.array([1.0, np.inf, np.nan], "float32")),
    "logical_not": lambda o: o.logical_not(np.array([True, False])),
    "logical_xor": lambda o: o.logical_xor(np.array([True, False]), True),
    "take": lambda o: o.take(np.array([[1.0, 2.0]], "float32"), [1, 0]),
    "take_along_axis": lambda o: o.take_along_axis(np.array([[1.0, 2.0]], "float32"), np.array([[1]]), 1),
    "cumsum": lambda o: o.cumsum(np.array([[1, 2]], "int32"), axis=1),
    "convert_to_tensor": lambda o: o.convert_to_tensor([1, 2]),
    "convert floats": lambda o: o.convert_to_tensor([1.0, 2.0]),
    "convert dtype": lambda o: o.convert_to_tensor([1, 2], dtype="float32"),
    "cast": lambda o: o.cast(np.array([1.7, -1.7], "float32"), "int32"),
    "split": lambda o: o.split(np.arange(4, dtype="float32"), 2)[1],
    "softmax": lambda o: o.softmax(np.array([1.0, 2.0], "float32")),
    "exp of a number": lambda o: o.exp(1.0),
    "matmul": lambda o: o.matmul(np.ones((2, 3), "float32"), np.ones(3, "float32")),
}


@pytest.mark.parametrize("case", EAGER)
def test_arrays(case):
    ours, theirs = EAGER[case](lf.ops), numpy_of(EAGER[case](keras.ops))
    assert isinstance(ours, np.ndarray)
    assert ours.dtype == theirs.dtype
    close(ours, theirs)


def test_signatures():
    for name in sorted(set(lf.ops.__all__) - {"einsum"}):  # Keras's takes arguments of TensorFlow's besides
        theirs = getattr(keras.ops, name)
        assert list(inspect.signature(getattr(lf.ops, name)).parameters) == list(
            inspect.signature(theirs).parameters
        ), name


# ---- random shapes


@st.composite
def broadcastable(draw):
    shape = draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    one = [draw(st.sampled_from((n, 1))) for n in shape[1:]]
    other = [draw(st.sampled_from((n, 1))) for n in shape[1:]]
    return (shape[0], *one), tuple(other[draw(st.integers(0, len(other))) :])


def gradients_agree(ours, theirs, arrays):
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    expected = theirs(tensors if len(tensors) > 1 else tensors[0])
    y, tape = ours.forward(arrays if len(arrays) > 1 else arrays[0], training=True)
    assert ours.output_shape == theirs.output_shape
    close(y, numpy_of(expected))
    dy = np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
    (expected * torch.tensor(dy)).sum().backward()
    _, dx, _ = tape.backward(dy)
    for found, tensor in zip(dx if len(arrays) > 1 else [dx], tensors, strict=True):
        close(found, tensor.grad.numpy(), 2e-5)


QUICK = settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(
    broadcastable(),
    st.sampled_from(("add", "subtract", "multiply", "divide", "maximum", "power")),
    st.integers(0, 9),
)
def test_broadcasting(shapes, name, seed):
    """A tensor and a constant array, either side."""
    rng = np.random.default_rng(seed)
    x, constant = (rng.uniform(0.5, 2, shape).astype(np.float32) for shape in shapes)
    for order in (1, -1):

        def make(k, order=order):
            tensor = k.Input(x.shape[1:])
            return k.Model(tensor, getattr(k.ops, name)(*[tensor, constant][::order]))

        gradients_agree(make(lf), make(keras), [x])


@QUICK
@given(st.data())
def test_reductions(data):
    shape = data.draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    rank = len(shape)
    axes = data.draw(st.lists(st.integers(1, rank - 1), min_size=1, max_size=rank - 1, unique=True))
    axes = [a - rank if data.draw(st.booleans()) else a for a in axes]
    axis = axes[0] if len(axes) == 1 else tuple(axes)
    name = data.draw(st.sampled_from(("sum", "mean", "max", "min", "var", "logsumexp")))
    keepdims = data.draw(st.booleans())
    x = np.random.default_rng(rank).normal(size=shape).astype(np.float32)

    def make(k):
        tensor = k.Input(x.shape[1:])
        return k.Model(tensor, getattr(k.ops, name)(tensor, axis=axis, keepdims=keepdims))

    gradients_agree(make(lf), make(keras), [x])


@st.composite
def keys(draw, shape):
    found = [slice(None)]
    for n in shape[1:]:
        kind = draw(st.sampled_from(("index", "slice", "all", "end")))
        if kind == "end":
            break
        ends = st.none() | st.integers(-n, n)
        cut = slice(draw(ends), draw(ends), draw(st.none() | st.integers(1, 3)))
        cut = cut if len(range(n)[cut]) else slice(None)
        found.append({"index": draw(st.integers(-n, n - 1)), "slice": cut, "all": slice(None)}[kind])
    if draw(st.booleans()):
        found.insert(draw(st.integers(1, len(found))), None)
    if draw(st.booleans()) and len([k for k in found if k is not None]) < len(shape):
        found.append(Ellipsis)
    return tuple(found)


@QUICK
@given(st.data())
def test_indices(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 5), min_size=2, max_size=4)))
    key = data.draw(keys(shape))
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)

    def make(k):
        tensor = k.Input(shape[1:])
        return k.Model(tensor, tensor[key])

    ours = make(lf)
    gradients_agree(ours, make(keras), [x])
    np.testing.assert_array_equal(ours(x), x[key])
    np.testing.assert_array_equal(lf.ops.get_item(x, key), x[key])
    read = lf.Model.from_config(json.loads(ours.to_json())["config"])
    np.testing.assert_array_equal(read(x), x[key])
