# SPDX-License-Identifier: BSD-3-Clause
"""Operations where Keras is no measure: valid lengths of rows, errors, layers of one's own, frozen models."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lstmfast as lf
from lstmfast import Input, Model, layers, ops
from lstmfast.saving import deserialize_keras_object, serialize_keras_object
from lstmfast.testing import check_gradients

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 6, 3)).astype(np.float32)
LENGTHS = np.array([6, 1, 4, 2])


# ---- lengths: a row is computed as if its padding were not there


@pytest.mark.parametrize(
    "key",
    [
        *(np.s_[:, -1], np.s_[:, -2], np.s_[:, 0], np.s_[:, 1:], np.s_[:, :-1], np.s_[:, -3:], np.s_[:, ::2]),
        *(np.s_[:, 1:5:2, 1:], np.s_[..., 0], np.s_[:, :, None], np.s_[:, -1, 2:], np.s_[:, 2:3, None, 1]),
    ],
    ids=str,
)
def test_indices_count_in_each_row(key):
    x = Input((None, 3))
    model = Model(x, x[key])
    y, tape = model.forward(X, lengths=LENGTHS)
    dy = RNG.normal(size=y.shape).astype(np.float32)
    _, dx, _ = tape.backward(dy)
    for row, n in enumerate(LENGTHS):
        alone = X[row : row + 1, :n]
        expected = np.zeros_like(alone)
        try:
            part = alone[key]
        except IndexError:  # the row is too short
            assert not y[row].any() and not dx[row].any()
            continue
        valid = (slice(None), *(slice(0, size) for size in part.shape[1:]))
        np.testing.assert_array_equal(y[row : row + 1][valid], part)
        expected[key] = dy[row : row + 1][valid]
        np.testing.assert_array_equal(dx[row, :n], expected[0])
        assert not dx[row, n:].any()
        if part.shape[1:] != y.shape[1:]:  # behind the row's end
            assert not y[row, part.shape[1] :].any()


def test_lengths_go_on():
    x = Input((None, 3))
    pooled = layers.GlobalAveragePooling1D()
    for y in (x[:, 1:] * 2 + 1, ops.softmax(x[:, 1:] / 2), ops.concatenate([x[:, 1:], x[:, 1:]], axis=-1)):
        model = Model(x, pooled(y))
        whole = model(X, lengths=LENGTHS)
        for row, n in enumerate(LENGTHS):
            if n > 1:
                np.testing.assert_allclose(whole[row], model(X[row : row + 1, :n])[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "mix", [lambda x: ops.mean(x, axis=1), lambda x: ops.flip(x, axis=1), lambda x: ops.softmax(x, axis=1)]
)
def test_what_mixes_steps_refuses_lengths(mix):
    x = Input((6, 3))
    model = Model(x, mix(x))
    with pytest.raises(ValueError, match=r"operation '\w+' cannot be used with lengths: it mixes"):
        model(X, lengths=LENGTHS)
    assert model(X).shape[0] == 4


# ---- frozen


def mixture(x, z):
    """Every operation with a native form."""
    h = layers.LSTM(4, return_sequences=True)(x)
    gate = layers.Dense(1, activation="sigmoid")(h)
    y = h * gate + h / 2 - 1 + z * np.arange(4, dtype=np.float32)
    y = ops.maximum(y, 0.1) - ops.minimum(h, y) * (1 - gate) + 2 / (1.5 + abs(y)) - y**2 / (ops.square(h) + 1)
    for name in ("tanh", "sigmoid", "relu", "relu6", "elu", "selu", "silu", "softplus", "softsign", "exp"):
        y = y + getattr(ops, name)(h * 0.5)
    y = y + ops.hard_sigmoid(h) - ops.leaky_relu(-h) * ops.hard_tanh(h) + ops.reciprocal(3 + h)
    return ops.concatenate([ops.softmax(y), h], axis=-1)


def test_frozen_models_have_the_same_bits():
    lf.utils.set_random_seed(0)
    x, z = Input((None, 3)), Input((1, 4))
    y = mixture(x, z)
    model = Model([x, z], layers.Dense(2)(layers.GRU(3, return_sequences=True)(y)[:, -1] * 0.5))
    frozen = model.freeze()
    data = [X, RNG.normal(size=(4, 1, 4)).astype(np.float32)]
    np.testing.assert_array_equal(frozen(data), model(data))
    np.testing.assert_array_equal(frozen(data, lengths=[LENGTHS, None]), model(data, lengths=[LENGTHS, None]))
    import pickle

    np.testing.assert_array_equal(pickle.loads(pickle.dumps(frozen))(data), model(data))


@pytest.mark.parametrize("step", [0, 2, -1, -3])
@pytest.mark.parametrize("options", [{}, {"go_backwards": True}, {"zero_output_for_mask": True}], ids=str)
def test_frozen_step(step, options):
    lf.utils.set_random_seed(0)
    x = Input((None, 3))
    model = Model(x, layers.Dense(2)(layers.LSTM(4, return_sequences=True, **options)(x)[:, step]))
    frozen = model.freeze()
    np.testing.assert_array_equal(frozen(X), model(X))
    np.testing.assert_array_equal(frozen(X, lengths=LENGTHS), model(X, lengths=LENGTHS))
    mask = RNG.random((4, 6)) < 0.6
    np.testing.assert_array_equal(frozen(X, mask=mask), model(X, mask=mask))
    with pytest.raises(ValueError, match=r"found|picks step"):
        frozen(np.zeros((1, 1, 3), np.float32)) if step in (2, -3) else frozen(X[0])


def test_the_last_step_costs_nothing():
    x = Input((None, 3))
    h = layers.LSTM(4, return_sequences=True)(x)
    frozen = Model(x, layers.Dense(2)(h[:, -1])).freeze()
    assert [op.kind for op in frozen._operations] == ["recurrent", "dense"]
    assert frozen.stream().steps_directly
    assert [op.kind for op in Model(x, [h[:, -1], h]).freeze()._operations] == ["recurrent", "pick"]


def test_stream():
    lf.utils.set_random_seed(0)
    x = Input((None, 3))
    h = layers.GRU(4, return_sequences=True)(x * np.array([0.5, 1, 2], np.float32))
    model = Model(x, layers.Dense(2)(1 - ops.tanh(h[:, -1]) / 2))
    stream = model.freeze().stream(batch=4)
    outputs = [stream.step(X[:, t]) for t in range(6)]
    np.testing.assert_array_equal(outputs[-1], model(X))
    stream.reset()
    np.testing.assert_array_equal(stream.push(X), np.stack(outputs, 1))
    with pytest.raises(ValueError, match="cannot run in a stream: it picks one step"):
        Model(x, h[:, 0]).freeze().stream()
    with pytest.raises(ValueError, match="cannot run in a stream: it has several inputs"):
        Model(x, x + x).freeze().stream()


@pytest.mark.parametrize(
    "join", [lambda e: e * 2, lambda e: e + e, ops.tanh, abs, lambda e: ops.concatenate([e, e], -1)]
)
def test_masks_end_in_frozen_models_too(join):
    lf.utils.set_random_seed(0)
    ids = Input((4,), dtype="int32")
    words = layers.Embedding(5, 3, mask_zero=True)(ids)
    model = Model(ids, layers.LSTM(2)(join(words)))
    given = np.array([[1, 2, 0, 0], [3, 1, 2, 0]])
    np.testing.assert_array_equal(model.freeze()(given), model(given))


@pytest.mark.parametrize(
    "make",
    [
        ops.log,
        lambda x: x[:, 1:],
        lambda x: ops.mean(x, axis=2),
        lambda x: x > 0,
        lambda x: x * np.ones((4, 6, 1)),
    ],
)
def test_without_native_form(make):
    x = Input((6, 3))
    with pytest.raises(
        ValueError, match=r"operation '\w+' of class \w+ cannot be frozen: it has no native form"
    ):
        Model(x, make(x)).freeze()


# ---- errors


def test_what_does_not_fit_is_refused():
    x = Input((4, 3))
    for wrong, error, message in (
        (lambda: x + Input((4, 2)), ValueError, "could not be broadcast"),
        (lambda: x[:, 4], ValueError, "index 4 is out of bounds for an axis of size 4"),
        (lambda: x[0, 0, 0, 0], ValueError, "too many indices"),
        (lambda: x[..., ...], ValueError, "one ellipsis"),
        (lambda: x[:, [0, 1]], ValueError, "unsupported key"),
        (lambda: x[x > 0], ValueError, "unsupported key"),
        (lambda: ops.softmax(x, axis=(1, 5)), ValueError, "axis 5 is out of bounds"),
        (lambda: ops.concatenate([x, Input((4, 2))], axis=1), ValueError, "cannot be joined"),
        (lambda: ops.stack([x, Input((4, 2))]), ValueError, "could not be broadcast|same shape"),
        (lambda: ops.concatenate([]), ValueError, "needs a list of arrays"),
        (lambda: ops.squeeze(x, axis=1), ValueError, "has not the size 1"),
        (lambda: ops.split(x, 3, axis=1), ValueError, "cannot be cut into 3"),
        (lambda: ops.mean(x, axis=3), ValueError, "axis 3 is out of bounds"),
        (lambda: ops.transpose(x, (0, 1)), ValueError, "valid permutation of 3 axes"),
        (lambda: ops.matmul(x, Input((4, 3))), ValueError, "matmul cannot multiply"),
        (lambda: ops.einsum("bti,bi->bt", x, x), ValueError, "other axes than 'bi'"),
        (lambda: ops.einsum("...i->...", x), ValueError, "without '...'"),
        (lambda: ops.pad(x, ((1, 1), (2, 2))), ValueError, "for each of 3 axes"),
        (lambda: ops.pad(x, 1, mode="mean"), ValueError, "mode must be constant"),
        (lambda: ops.pad(x, 1, "edge", 2), ValueError, "can only be provided when"),
        (lambda: ops.softmax(x, axis=3), ValueError, "axis 3 is out of bounds"),
        (lambda: ops.unstack(x, 10**9, axis=0), ValueError, "cannot be unstacked"),
        (lambda: ops.split(x, 10**9), ValueError, "cannot be cut into"),
        (lambda: ops.cast(x, "object"), ValueError, "is not one of numbers"),
        (lambda: ops.cast(x, "float64"), ValueError, "computes in float32"),
        (lambda: ops.where(x > 0), ValueError, "needs `x1` and `x2`"),
        (lambda: ops.one_hot(x, 3, sparse=True), ValueError, "sparse"),
        (lambda: ops.mean(), TypeError, "missing a required argument: 'x'"),
        (lambda: ops.add(np.array(["a"]), 1), TypeError, "operations take numbers"),
        (lambda: ops.take(X, [0.5]), TypeError, "indices must be integers"),
        (lambda: float(x), TypeError, "has no value"),
        (lambda: [*x], TypeError, "iterated"),
    ):
        with pytest.raises(error, match=message):
            wrong()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("class_name",), "Eval"),
        (("config", "shape"), 3),
        (("inbound_nodes", 0, "args", 1), {"class_name": "__slice__", "config": {"start": "x"}}),
        (("inbound_nodes", 0, "args", 1, 1), {"class_name": "__lambda__", "config": {}}),
        (("inbound_nodes", 0, "args"), []),
        (("inbound_nodes", 0, "kwargs"), {"more": 1}),
        (("inbound_nodes", 0, "args", 1, 1), 99),
        (("inbound_nodes", 0, "args", 1, 1), {"a": 1}),
        (("inbound_nodes", 0, "args", 0, "config", "keras_history"), ["x", 0, 5]),
    ],
)
def test_hostile_configurations(place, value):
    x = Input((4, 3), name="x")
    config = json.loads(Model(x, x[:, -1]).to_json())["config"]
    spot = next(entry for entry in config["layers"] if entry["class_name"] == "GetItem")
    for key in place[:-1]:
        spot = spot[key]
    spot[place[-1]] = value
    with pytest.raises((ValueError, TypeError)):
        Model.from_config(config)


def test_large_results_in_a_file_take_no_memory():
    """The shape is found without computing: a file of a kilobyte cannot ask for a terabyte."""
    x = Input((4, 3))
    model = Model(x, ops.repeat(ops.tile(ops.pad(x, 10**9), (1, 10**9, 1)), 10**6, axis=1))
    assert Model.from_config(model.get_config()).output_shape == model.output_shape


# ---- beside


def test_slices_in_configurations():
    for value in (slice(None), slice(1, -1, 2), Ellipsis):
        assert deserialize_keras_object(json.loads(json.dumps(serialize_keras_object(value)))) == value


def test_layers_of_ones_own():
    class Standardize(layers.Layer):
        def forward(self, x, call):
            deviation = x - ops.mean(x, axis=-1, keepdims=True)
            scale = ops.rsqrt(ops.mean(ops.square(deviation), axis=-1, keepdims=True) + 1e-3)
            call.saved = deviation * scale, scale
            return deviation * scale

        def backward(self, dy, call):
            y, scale = call.saved
            inner = dy - ops.mean(dy, axis=-1, keepdims=True) - y * ops.mean(dy * y, axis=-1, keepdims=True)
            return scale * inner

    assert max(check_gradients(Standardize(), X).values()) < 1e-3
    x = Input((6, 3))
    assert Model(x, Standardize()(x) * 2)(X).dtype == np.float32


def test_numpy_leaves_operators_to_tensors():
    x = Input((4, 3))
    for y in (np.ones(3) * x, np.float32(2) - x, np.ones((3, 2)).T @ ops.transpose(x, (0, 2, 1))):
        assert isinstance(y, lf.KerasTensor)
    values = X[:, :4]
    np.testing.assert_array_equal(Model(x, np.float32(2) - x)(values), 2 - values)
    assert x in [x] and len({x, x}) == 1


def test_operations_are_no_layers_of_the_model():
    x = Input((6, 3))
    model = Model(x, layers.Dense(2, name="top")(x[:, -1]) + 1)
    assert [layer.name for layer in model.layers[1:]] == ["top"]
    assert [type(op).__name__ for op in model.operations] == ["InputLayer", "GetItem", "Dense", "Add"]
    inside = Model(model.operations[1].output, model.output)  # begins at what an operation gives
    np.testing.assert_array_equal(inside(X[:, -1]), model(X))
    assert set(model.trace(X)) >= {"top", model.operations[1].name}


def test_gradients_stop_where_nothing_can_be_differentiated():
    x = Input((6, 3))
    first, second = layers.Dense(3), layers.Dense(3)
    model = Model(x, second(ops.cast(first(x) > 0, "float32")))
    _, tape = model.forward(X, training=True)
    grads, dx, _ = tape.backward(np.ones((4, 6, 3), np.float32))
    assert dx is None or not np.any(dx)
    assert [g is not None and bool(np.any(g)) for g in grads] == [False, False, True, True]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4), st.lists(st.integers(1, 4), min_size=1, max_size=4)
)
def test_broadcast_shapes_are_numpys(a, b):
    from lstmfast.ops.rules import broadcast_shapes

    try:
        expected = np.broadcast_shapes(tuple(a), tuple(b))
    except ValueError:
        with pytest.raises(ValueError, match="broadcast"):
            broadcast_shapes(tuple(a), tuple(b))
    else:
        assert broadcast_shapes(tuple(a), tuple(b)) == expected
