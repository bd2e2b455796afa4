# SPDX-License-Identifier: BSD-3-Clause
"""Functions of operations in frozen models: `Lambda` layers, and activations that no kernel has."""

from __future__ import annotations

import numpy as np
import pytest
from frozen_cases import randomized, same_bits

from lstmfast import Input, Model, Sequential, activations, layers, ops

pytestmark = pytest.mark.filterwarnings("ignore:.*passed an input with a mask")


@pytest.fixture
def x(rng):
    return rng.normal(size=(5, 6, 4)).astype("float32")


def check(model, data, rng):
    """The program beside the model, with nothing, a mask and lengths."""
    randomized(model)
    frozen = model.freeze()
    first = data[0] if isinstance(data, list) else data
    mask = rng.random(first.shape[:2]) < 0.6
    lengths = np.array([6, 0, 3, 1, 6], np.int32)
    if isinstance(data, list):
        mask, lengths = [mask] * len(data), [lengths] * len(data)
    for given in ({}, {"mask": mask}, {"lengths": lengths}):
        assert same_bits(frozen(data, **given), model(data, **given)), given
    return frozen


def weighted(x, mask=None):
    return x if mask is None else x * ops.cast(ops.expand_dims(mask, -1), "float32")


FUNCTIONS = {
    "the input": lambda x: x,
    "operators": lambda x: (1 - x) * 2 / 3,
    "last step": lambda x: x[:, -1],
    "first step as a sequence": lambda x: ops.expand_dims(x[:, 0], 1),
    "operations": lambda x: ops.tanh(x) * ops.sigmoid(x),
    "constant array": lambda x: x * np.arange(4.0),
    "joined": lambda x: ops.concatenate([x, abs(x)], axis=-1),
}


@pytest.mark.parametrize("steps", [6, None])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_lambda(name, masked, steps, x, rng):
    inputs = Input((steps, 4))
    h = layers.Masking()(inputs) if masked else inputs
    h = layers.Lambda(FUNCTIONS[name])(h)
    h = layers.LSTM(3)(h) if len(h.shape) == 3 else h
    check(Model(inputs, layers.Dense(2)(h)), x * (rng.random((5, 6, 1)) < 0.7), rng)


def test_a_function_that_takes_the_mask(x, rng):
    inputs = Input((6, 4))
    h = layers.Lambda(weighted)(layers.Masking()(inputs))
    check(Model(inputs, layers.LSTM(3)(h)), x * (rng.random((5, 6, 1)) < 0.7), rng)
    plain = Model(inputs, layers.LSTM(3)(layers.Lambda(weighted, name="taker")(inputs))).freeze()
    with pytest.raises(ValueError, match="layer 'taker': it was frozen for inputs without a mask"):
        plain(x, mask=np.ones((5, 6), bool))


@pytest.mark.parametrize("function", [lambda x: x, lambda x: x * 2])
@pytest.mark.parametrize("mask", [lambda x, mask: mask, lambda x, mask: ops.logical_not(mask)])
def test_a_mask_of_ones_own(function, mask, x, rng):
    inputs = Input((6, 4))
    h = layers.Lambda(function, mask=mask)(layers.Masking()(inputs))
    model = randomized(Model(inputs, layers.LSTM(3)(h)))
    data = x * (rng.random((5, 6, 1)) < 0.7)
    assert same_bits(model.freeze()(data), model(data))


def test_several_inputs_and_arguments(x, rng):
    a, b = Input((6, 4)), Input((6, 4))
    difference = layers.Lambda(lambda pair, by=1.0: (pair[0] - pair[1]) * by, arguments={"by": 0.5})
    check(Model([a, b], layers.GRU(3)(difference([a, b]))), [x, x[::-1].copy()], rng)


POOLS = {
    "mean": lambda x: ops.mean(x, axis=1),
    "max": lambda x: ops.max(x, axis=-2),
    "a tuple": lambda x: ops.mean(x, axis=(1,)),
    "kept": lambda x: ops.mean(ops.tanh(x), axis=1, keepdims=True),
    "kept max": lambda x: ops.max(x, 1, keepdims=True),
    "with a mask": lambda x, mask=None: ops.mean(weighted(x, mask), axis=1),
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", POOLS)
def test_pools_over_time(name, masked, x, rng):
    """Of all steps, whatever a mask says. NumPy adds them in the same order, but not always."""
    inputs = Input((None, 4))
    h = layers.Dense(3)(layers.Masking()(inputs) if masked else inputs)
    h = layers.Lambda(POOLS[name])(h)
    model = randomized(Model(inputs, layers.GRU(2)(h) if len(h.shape) == 3 else h))
    frozen, data = model.freeze(), x * (rng.random((5, 6, 1)) < 0.7)
    mask = {"mask": rng.random((5, 6)) < 0.6}
    for given in ({}, mask if name != "with a mask" else {}):
        np.testing.assert_allclose(frozen(data, **given), model(data, **given), rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="cannot run in a stream"):
        frozen.stream()


@pytest.mark.parametrize("function", [
    lambda x: ops.mean(x, axis=-1), lambda x: ops.mean(x), lambda x: ops.max(x, axis=1, initial=0.0),
    lambda x: ops.min(x, axis=1),
])  # fmt: skip
def test_other_reductions_have_no_native_form(function):
    inputs = Input((6, 4))
    with pytest.raises(ValueError, match="cannot be frozen: it has no native form"):
        Model(inputs, layers.Lambda(function)(inputs)).freeze()


@pytest.mark.parametrize("function", [np.tanh, lambda x: x * float(np.asarray(x).sum())])
def test_what_cannot_be_frozen(function):
    inputs = Input((6, 4))
    h = layers.Lambda(function, output_shape=(6, 4), name="bad")(inputs)
    with pytest.raises(
        ValueError, match="'bad' of class Lambda cannot be frozen: its function does not work"
    ):
        Model(inputs, layers.LSTM(3)(h)).freeze()
    constant = layers.Lambda(lambda x: x * 2, mask=np.ones((5, 6), bool), name="bad")(inputs)
    with pytest.raises(ValueError, match=r"'bad' of class Lambda cannot be frozen: .*mask"):
        Model(inputs, layers.LSTM(3)(constant)).freeze()


def swish_like(x):
    return x * ops.sigmoid(1.5 * x) - 0.1


ACTIVATED = {
    "Dense": lambda f: layers.Dense(3, activation=f),
    "Conv1D": lambda f: layers.Conv1D(3, 2, padding="causal", activation=f),
    "Activation": lambda f: layers.Activation(f),
    "EinsumDense": lambda f: layers.EinsumDense("abc,cd->abd", (None, 3), activation=f),
    "TimeDistributed": lambda f: layers.TimeDistributed(layers.Dense(3, activation=f)),
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", ACTIVATED)
def test_activations(name, masked, x, rng):
    """The layer's mask goes on."""
    inputs = Input((6, 4))
    h = layers.Masking()(inputs) if masked else inputs
    model = Model(inputs, layers.LSTM(3)(ACTIVATED[name](swish_like)(h)))
    data = x * (rng.random((5, 6, 1)) < 0.7)
    if name == "TimeDistributed":
        with pytest.raises(ValueError, match="Dense has no native form in TimeDistributed"):
            model.freeze()
    else:
        check(model, data, rng)


@pytest.mark.parametrize("function", [
    lambda z: ops.tanh(z) * 2.0,
    lambda z: ops.leaky_relu(z - 0.5),
    lambda z: abs(ops.relu(z)),
    lambda z: z,
])  # fmt: skip
def test_functions_of_one_thing_run_in_streams(function, x, rng):
    """Each operation takes what the one before gives; the mask goes on all the same."""
    line = [layers.Dense(3, activation=function), layers.Lambda(function), layers.GRU(2)]
    model = Sequential([Input((None, 4)), layers.Masking(), *line])
    frozen = check(model, x, rng)
    assert same_bits(frozen.stream(5).push(x)[:, -1], model(x))
    model = randomized(Sequential([Input((None, 4)), layers.Dense(3, activation=swish_like, name="two")]))
    with pytest.raises(ValueError, match=r"layer 'multiply.*' cannot run in a stream: it has several inputs"):
        model.freeze().stream()


def test_activations_without_a_native_form(x):
    for function in (np.cbrt, lambda z: ops.cumsum(z, axis=-1), activations.mish):
        model = Sequential([Input((6, 4)), layers.Dense(3, activation=function, name="odd")])
        with pytest.raises(
            ValueError, match="layer 'odd' cannot be frozen: its activation has no native form"
        ):
            model.freeze()


def test_functions_that_give_their_input(x):
    for layer in (layers.Activation(lambda z: z), layers.Lambda(lambda z: z)):
        frozen = Sequential([Input((6, 4)), layer]).freeze()
        assert same_bits(frozen(x), x)
        assert frozen(x) is not x


def test_an_operation_behind_dense_ends_the_mask(x, rng):
    """Also where both become one."""
    inputs = Input((6, 4))
    h = ops.tanh(layers.Dense(3)(layers.Masking()(inputs)))
    check(Model(inputs, layers.LSTM(2)(h)), x * (rng.random((5, 6, 1)) < 0.7), rng)
