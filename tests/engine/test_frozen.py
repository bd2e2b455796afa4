# SPDX-License-Identifier: BSD-3-Clause
"""Frozen models: the model's bits, whatever the layers, lengths, masks and shapes."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lstmfast as lf
from lstmfast import Input, Model, Sequential, _core, layers, reference

ODD_SIZES = [1, 3, 15, 17, 31, 33, 100]
CELLS = {
    "lstm": layers.LSTM,
    "gru": layers.GRU,
    "gru_reset_before": lambda n, **k: layers.GRU(n, reset_after=False, **k),
    "simple_rnn": layers.SimpleRNN,
    "peephole": lambda n, **k: layers.LSTM(n, peephole=True, **k),
    "projection": lambda n, **k: layers.LSTM(n, projection=max(1, n // 2), **k),
    "wide_projection": lambda n, **k: layers.LSTM(n, projection=n + 40, peephole=True, **k),
}


@pytest.fixture(params=CELLS)
def cell(request):
    return CELLS[request.param]


def randomized(model, seed=0):
    """The model with weights (biases too) that nothing hides behind."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.4, w.shape) for w in model.get_weights()])
    return model


def same_bits(a, b):
    if isinstance(a, dict):
        return list(a) == list(b) and all(same_bits(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(same_bits, a, b))
    assert a.dtype == b.dtype == np.float32
    return a.shape == b.shape and bool(np.array_equal(a.view(np.int32), b.view(np.int32)))


def ragged(rng, batch, time):
    """Lengths with 0 and the whole time among them, and a mask with a whole row out."""
    lengths = rng.integers(0, time + 1, batch).astype(np.int32)
    lengths[0], lengths[-1] = time, 0
    mask = rng.random((batch, time)) < 0.7
    mask[batch // 2] = False
    return lengths, mask


def check(model, x, lengths=None, mask=None):
    """The frozen model gives the model's bits, with fresh arrays and with `out`, batch and single rows."""
    frozen = model.freeze()
    want = model(x, lengths=lengths, mask=mask)
    with np.errstate(all="raise"):
        got = frozen(x, lengths=lengths, mask=mask)
    assert type(got) is type(want)
    assert same_bits(got, want)
    assert same_bits(frozen(x, lengths=lengths, mask=mask), want)
    return frozen


def check_all(model, x):
    """With lengths, masks and both, where the model has one input with a time axis."""
    rng = np.random.default_rng(5)
    lengths, mask = ragged(rng, *x.shape[:2])
    check(model, x)
    check(model, x, lengths=lengths)
    check(model, x, mask=mask)
    check(model, x, lengths=lengths, mask=mask)


# --- one layer


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("units", ODD_SIZES)
def test_cells(cell, units, sequences, rng, poisoned):
    model = randomized(Sequential([Input((None, 5)), cell(units, return_sequences=sequences)]))
    for batch in (1, 9):
        check_all(model, rng.standard_normal((batch, 6, 5), np.float32))


@pytest.mark.parametrize("options", [{"go_backwards": True}, {"zero_output_for_mask": True}, {"use_bias": False}])
@pytest.mark.parametrize("sequences", [False, True])
def test_options_of_cells(cell, options, sequences, rng, poisoned):
    model = randomized(Sequential([Input((None, 5)), cell(17, return_sequences=sequences, **options)]))
    check_all(model, rng.standard_normal((7, 6, 5), np.float32))


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "linear", "softsign"])
def test_activations_of_cells(cell, activation, rng):
    model = randomized(Sequential([Input((None, 3)), cell(9, activation=activation)]))
    check_all(model, rng.standard_normal((4, 5, 3), np.float32))


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "ave"])
def test_bidirectional(cell, merge, sequences, team, rng, poisoned):
    inner = cell(17, return_sequences=sequences)
    model = randomized(Sequential([Input((None, 5)), layers.Bidirectional(inner, merge_mode=merge)]))
    check_all(model, rng.standard_normal((6, 7, 5), np.float32))


@pytest.mark.parametrize("sequences", [False, True])
def test_bidirectional_with_a_layer_of_its_own(sequences, rng):
    both = layers.Bidirectional(
        layers.LSTM(5, return_sequences=sequences, zero_output_for_mask=True),
        backward_layer=layers.GRU(
            9, return_sequences=sequences, zero_output_for_mask=True, go_backwards=True
        ),
    )
    check_all(randomized(Sequential([Input((None, 4)), both])), rng.standard_normal((6, 7, 4), np.float32))


@pytest.mark.parametrize("activation", _core.activation_names())
@pytest.mark.parametrize("form", ["inside", "folded", "read_twice", "an_output"])
def test_dense_and_activations(activation, form, rng):
    x = Input((None, 7))
    if form == "inside":
        model = Model(x, layers.Dense(33, activation=activation)(x))
    else:
        y = layers.Dense(33)(x)
        z = layers.Activation(activation)(y)
        twice = layers.Concatenate()([z, y])
        model = Model(x, {"folded": z, "read_twice": twice, "an_output": [y, z]}[form])
    frozen = check(randomized(model), rng.standard_normal((3, 5, 7), np.float32))
    kinds = [op.kind for op in frozen._operations]
    assert ("activation" in kinds) == (form in ("read_twice", "an_output") and activation != "linear")


@pytest.mark.parametrize("units", ODD_SIZES)
def test_dense_on_rows_and_on_steps(units, rng):
    for shape in ((9,), (None, 9)):
        model = randomized(Sequential([Input(shape), layers.Dense(units), layers.Activation("softmax")]))
        for batch in (1, 2, 33):
            check(model, rng.standard_normal((batch, *(4 for _ in shape[1:]), 9), np.float32))


def test_an_activation_of_a_dense_that_has_one_already(rng):
    stack = [layers.Dense(5, activation="tanh"), layers.Activation("relu"), layers.Activation("softmax")]
    check(randomized(Sequential([Input((4,)), *stack])), rng.standard_normal((3, 4), np.float32))


def test_dropout_and_linear_activations_vanish(rng):
    stack = [layers.Dropout(0.5), layers.LSTM(4, dropout=0.3, recurrent_dropout=0.2), layers.Dropout(0.9)]
    model = randomized(Sequential([Input((None, 3)), *stack, layers.Activation("linear")]))
    frozen = check(model, rng.standard_normal((4, 5, 3), np.float32))
    assert [op.kind for op in frozen._operations] == ["recurrent"]


# --- masks made by layers


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.int8, np.uint16])
@pytest.mark.parametrize("mask_zero", [False, True])
def test_embedding(cell, mask_zero, dtype, rng, poisoned):
    ids = rng.integers(0, 20, (6, 9)).astype(dtype)
    ids[:, -2:] = 0
    ids[2] = 0
    embedding = layers.Embedding(20, 5, mask_zero=mask_zero)
    stack = [embedding, cell(9, return_sequences=True), layers.Dense(4), layers.Dropout(0.3), cell(17)]
    check_all(randomized(Sequential([Input((None,)), *stack])), ids)
    check_all(randomized(Sequential([Input((None,)), embedding])), ids)


@pytest.mark.parametrize("value", [0, -1.5, 1e-3])
def test_masking(cell, value, rng, poisoned):
    x = rng.standard_normal((6, 9, 5), np.float32)
    x[:, -3:] = value
    x[2] = value
    x[3, 0] = value
    x[4, 1, 2:] = value
    for after in (
        [cell(9)],
        [cell(9, return_sequences=True), cell(4, return_sequences=True)],
        [layers.Dense(4), cell(3)],
        [layers.Dropout(0.2), layers.Activation("tanh"), cell(3)],
        [layers.Bidirectional(cell(9, return_sequences=True)), cell(3)],
        [],
    ):
        check_all(randomized(Sequential([Input((None, 5)), layers.Masking(value), *after])), x)


def test_masked_steps_keep_their_sign_of_zero():
    x = np.zeros((2, 3, 4), np.float32)
    x[0] = -0.0
    x[1, 0] = 1
    check(Sequential([Input((None, 4)), layers.Masking()]), x)


@pytest.mark.parametrize("masked", [(True, True), (True, False), (False, True), (False, False)])
def test_concatenated_masks(masked, rng, poisoned):
    inputs = [Input((None,), dtype="int32"), Input((None,), dtype="int32")]
    parts = [layers.Embedding(9, 4, mask_zero=m)(x) for m, x in zip(masked, inputs, strict=True)]
    y = layers.LSTM(7, return_sequences=True)(layers.Concatenate()(parts))
    model = randomized(Model(inputs, layers.GRU(5)(y)))
    check(model, [rng.integers(0, 3, (8, 11)), rng.integers(0, 3, (8, 11))])


@pytest.mark.parametrize("batch", [1, 700])
def test_masks_of_wide_batches(batch, rng, poisoned):
    """The order of rows takes memory only where there is a mask."""
    ids = rng.integers(0, 3, (batch, 3))
    check(randomized(Sequential([Input((None,)), layers.Embedding(3, 2, mask_zero=True), layers.LSTM(1)])), ids)


# --- graphs


def test_several_inputs_and_outputs(rng):
    a, b = Input((None, 3), name="a"), Input((4,), name="b")
    h = layers.LSTM(5)(a)
    both = layers.Concatenate()([h, layers.Dense(3, activation="relu")(b)])
    y = layers.Dense(2, name="y")(both)
    x = {"a": rng.standard_normal((6, 7, 3), np.float32), "b": rng.standard_normal((6, 4), np.float32)}
    for outputs in (y, [y], [y, h], {"last": h, "first": y}, [y, y]):
        model = randomized(Model([a, b], outputs))
        frozen = check(model, list(x.values()))
        assert same_bits(frozen(x), model(x))
        lengths = [[0, 1, 7, 3, 2, 7], None]
        assert same_bits(frozen(x, lengths=lengths), model(x, lengths=lengths))
        assert same_bits(frozen(x, lengths={"a": lengths[0]}), model(x, lengths={"a": lengths[0]}))
        lengths = np.array(lengths[0])
        assert same_bits(frozen(x, lengths=lengths), model(x, lengths=lengths))
    for bad in ({"a": x["a"]}, {**x, "c": x["a"]}, x["a"], [x["a"]], [x["b"], x["a"]]):
        with pytest.raises(ValueError, match="input|arrays"):
            frozen(bad)
    with pytest.raises(ValueError, match="same batch size"):
        frozen([x["a"], x["b"][:3]])
    with pytest.raises(ValueError, match="keys"):
        frozen(x, lengths={"c": [1]})


def test_an_input_that_is_an_output(rng):
    x = Input((None, 3))
    model = Model(x, [x, layers.Dropout(0.5)(x), layers.LSTM(2)(x), layers.Masking()(x)])
    check(model, rng.standard_normal((2, 4, 3), np.float32))


def test_nested_and_shared(rng):
    shared, dense = layers.GRU(4, return_sequences=True), layers.Dense(4)
    inner = Sequential([Input((None, 4)), shared, layers.Dropout(0.3), dense])
    x = Input((None, 4))
    first = inner(layers.Masking(-1.0)(x))
    second = inner(dense(shared(first)))
    outer = Sequential([Input((None, 4)), Model(x, layers.Concatenate()([first, second])), layers.LSTM(3)])
    array = rng.standard_normal((5, 6, 4), np.float32)
    array[:, 4:] = array[1] = -1
    check_all(randomized(outer), array)


def test_a_nested_model_with_several_outputs_and_ids(rng):
    ids = Input((None,), dtype="int32")
    e = layers.Embedding(9, 4, mask_zero=True)(ids)
    inner = Model(ids, [e, layers.LSTM(4, return_sequences=True)(e)])
    outer_ids = Input((None,), dtype="int32")
    y = layers.LSTM(3)(layers.Concatenate()(inner(outer_ids)))
    check(randomized(Model(outer_ids, y)), rng.integers(0, 3, (5, 6)))


def test_states_between_layers(cell, rng, poisoned):
    size = 6
    source, target = Input((None, 3)), Input((None, 4))
    for masks in (False, True):
        x, z = (layers.Masking()(source), layers.Masking()(target)) if masks else (source, target)
        y, *states = cell(size, return_state=True, return_sequences=True)(x)
        decoder = cell(size, return_sequences=True)
        decoded = decoder(z, initial_state=states)
        last = layers.GRU(3)(decoded)
        model = randomized(Model([source, target], [y, *states, decoded, last]))
        a, b = rng.standard_normal((5, 6, 3), np.float32), rng.standard_normal((5, 7, 4), np.float32)
        a[1], a[2, 3:], b[1], b[2, 3:] = 0, 0, 0, 0
        check(model, [a, b])
        lengths = [np.array([0, 6, 3, 1, 6]), np.array([7, 0, 3, 1, 0])]
        check(model, [a, b], lengths=lengths)
        check(model, [a, b], mask=[rng.random((5, 6)) < 0.5, rng.random((5, 7)) < 0.5])


def test_states_of_a_layer_that_returns_its_last_step(cell, rng):
    x = Input((None, 3))
    for states_first in (False, True):
        y, *states = cell(5, return_state=True, zero_output_for_mask=True)(x)
        model = randomized(Model(x, [*states, y] if states_first else [y, *states]))
        array = rng.standard_normal((6, 4, 3), np.float32)
        lengths, mask = ragged(rng, 6, 4)
        check(model, array)
        check(model, array, lengths=lengths, mask=mask)
    check(randomized(Model(x, states[-1])), array)


def test_flatten(rng):
    stack = [layers.LSTM(5, return_sequences=True), layers.Flatten(), layers.Dense(3), layers.Flatten()]
    check_all(randomized(Sequential([Input((6, 4)), *stack])), rng.standard_normal((3, 6, 4), np.float32))


# --- anything at once

LAYER_KINDS = ["cell", "bidirectional", "dense", "activation", "dropout", "masking", "split", "nested"]


@st.composite
def models(draw):
    """(a random model of sequences, whether its input are ids)"""
    ids = draw(st.booleans())
    size = st.integers(1, 40)
    width = draw(size)
    x = Input((None,), dtype="int32") if ids else Input((None, width))
    y = layers.Embedding(7, width, mask_zero=draw(st.booleans()))(x) if ids else x
    if not ids and draw(st.booleans()):
        y = layers.Masking(draw(st.sampled_from([0.0, 1.0])))(y)

    def cell(**options):
        make = CELLS[draw(st.sampled_from(sorted(CELLS)))]
        return make(draw(size), zero_output_for_mask=draw(st.booleans()), **options)

    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(LAYER_KINDS))
        if kind == "cell":
            y = cell(return_sequences=True, go_backwards=draw(st.booleans()))(y)
        elif kind == "bidirectional":
            merge = draw(st.sampled_from(["concat", "sum", "mul", "ave"]))
            y = layers.Bidirectional(cell(return_sequences=True), merge_mode=merge)(y)
        elif kind == "dense":
            y = layers.Dense(draw(size), activation=draw(st.sampled_from([None, "relu", "softmax"])))(y)
        elif kind == "activation":
            y = layers.Activation(draw(st.sampled_from(["tanh", "softmax", "gelu"])))(y)
        elif kind == "dropout":
            y = layers.Dropout(0.4)(y)
        elif kind == "masking":
            y = layers.Masking(draw(st.sampled_from([0.0, 0.5])))(y)
        elif kind == "split":
            y = layers.Concatenate()([y, layers.Dense(draw(size))(y), cell(return_sequences=True)(y)])
        else:
            inside = Sequential([Input((None, y.shape[-1])), cell(return_sequences=True), layers.Dropout(0.2)])
            y = inside(y)
    if draw(st.booleans()):
        y = cell()(y)
    return randomized(Model(x, y), draw(st.integers(0, 99))), ids, width


@settings(max_examples=60, deadline=None, derandomize=True)
@given(models(), st.integers(1, 20), st.integers(1, 12), st.sampled_from([1, 2, 3, 5, 8]), st.data())
def test_random_models(case, batch, time, threads, data):
    model, ids, width = case
    lf.set_num_threads(threads)
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    x = rng.integers(0, 7, (batch, time)) if ids else rng.standard_normal((batch, time, width), np.float32)
    if not ids:
        x[rng.random((batch, time)) < 0.3] = data.draw(st.sampled_from([0.0, 1.0]))
    lengths, mask = ragged(rng, batch, time)
    _core.testing.poison_buffers(True)
    try:
        check(
            model,
            x,
            lengths if data.draw(st.booleans()) else None,
            mask if data.draw(st.booleans()) else None,
        )
    finally:
        _core.testing.poison_buffers(False)


# --- an independent oracle


@pytest.mark.parametrize("name", ["lstm", "gru", "gru_reset_before", "simple_rnn", "peephole", "projection"])
@pytest.mark.parametrize("sequences", [False, True])
def test_against_the_reference(name, sequences, isa, team, rng, poisoned):
    layer = CELLS[name](17, return_sequences=sequences)
    model = randomized(Sequential([Input((None, 5)), layer]))
    x = rng.standard_normal((6, 8, 5), np.float32)
    lengths, mask = ragged(rng, 6, 8)
    frozen = model.freeze()
    kernel, recurrent, bias, *extra = model.get_weights()
    for options in ({}, {"lengths": lengths}, {"mask": mask}, {"lengths": lengths, "mask": mask}):
        want = reference.recurrent_forward(
            layer.cell_name, kernel, recurrent, bias, x, return_sequences=sequences, extra=extra, **options
        )[0]
        garbage = x.copy()
        if "lengths" in options:
            for row, n in enumerate(lengths):
                garbage[row, n:] = np.nan
        np.testing.assert_allclose(frozen(garbage, **options), want, rtol=0, atol=2e-5)


@pytest.mark.parametrize("wrap", ["plain", "stacked", "bidirectional", "nested"])
def test_padding_is_never_read(cell, wrap, rng, guarded):
    stack = {
        "plain": [cell(9)],
        "stacked": [cell(9, return_sequences=True), cell(4, return_sequences=True)],
        "bidirectional": [layers.Bidirectional(cell(9, return_sequences=True)), cell(5)],
        "nested": [Sequential([Input((None, 5)), cell(9, return_sequences=True)])],
    }[wrap]
    frozen = randomized(Sequential([Input((None, 5)), *stack])).freeze()
    x = rng.standard_normal((6, 8, 5), np.float32)
    lengths = ragged(rng, 6, 8)[0]
    want = frozen(x, lengths=lengths)
    for garbage in (np.nan, np.inf):
        for row, n in enumerate(lengths):
            x[row, n:] = garbage
        assert same_bits(frozen(guarded(x), lengths=guarded(lengths)), want)
    for row, n in enumerate(lengths):
        if n:
            alone = frozen(np.ascontiguousarray(x[row : row + 1, :n]))[0]
            assert same_bits(alone, want[row, :n] if want.ndim == 3 else want[row])


# --- arguments


@pytest.fixture
def small():
    return randomized(Sequential([Input((None, 3)), layers.LSTM(4), layers.Dense(2)]))


def test_whatever_the_model_takes(small, rng):
    x = rng.standard_normal((5, 6, 3))
    frozen = small.freeze()
    wide = np.zeros((5, 6, 6), np.float32)
    wide[..., ::2] = x
    for given_x in (
        x,
        x.tolist(),
        [x.astype(np.float32)],
        (x.astype(np.float32),),
        wide[..., ::2],
        np.asfortranarray(x, np.float32),
        x.astype(">f4"),
        (x * 3).astype(np.int64),
        x > 0,
        x[:1].tolist(),
        {small.input_names[0]: x},
    ):
        assert same_bits(frozen(given_x), small(given_x))
    assert same_bits(frozen.predict(x), small.predict(x, verbose=0))
    one = randomized(Sequential([Input((None, 1)), layers.LSTM(2)]))
    assert same_bits(one.freeze()(x[..., 0]), one(x[..., 0]))


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "abc",
        np.zeros((2, 3)),
        np.zeros((2, 3, 4)),
        np.zeros((2, 2, 3, 3)),
        np.zeros((0, 2, 3)),
        np.zeros((2, 0, 3)),
        np.zeros(()),
        np.zeros((2, 5, 3), complex),
        [[1, 2], [3]],
        {"nothing": 1},
        object(),
        np.zeros((2, 5, 3), np.float32).astype("M8[s]"),
    ],
)
def test_bad_inputs(small, bad):
    frozen = small.freeze()
    with pytest.raises((ValueError, TypeError), match=r"input|features|keys|x"):
        frozen(bad)


@pytest.mark.parametrize("ids", [[[0, 7]], [[-1, 2]], [[2**40, 0]], [[1.5, 2]], [[np.nan, 1]], [["a", "b"]], [[np.inf, 1]]])
def test_bad_ids(ids):
    frozen = Sequential([Input((None,)), layers.Embedding(7, 3, name="words"), layers.LSTM(2)]).freeze()
    with np.errstate(all="raise"), pytest.raises((ValueError, TypeError), match="ids|numeric"):
        frozen(np.array(ids))
    assert frozen(np.array([[0.0, 6.0]])).shape == (1, 2)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"lengths": [1, 2]}, ValueError),
        ({"lengths": [-1, 2, 3]}, ValueError),
        ({"lengths": [1, 2, 7]}, ValueError),
        ({"lengths": [1.0, 2.0, 3.0]}, TypeError),
        ({"lengths": "abc"}, TypeError),
        ({"lengths": [2**33, 1, 1]}, ValueError),
        ({"mask": np.ones((3, 5), bool)}, ValueError),
        ({"mask": np.full((3, 6), 0.5)}, TypeError),
        ({"mask": np.ones(3, bool)}, ValueError),
    ],
)
def test_bad_lengths_and_masks(small, options, error, rng):
    frozen, x = small.freeze(), rng.standard_normal((3, 6, 3), np.float32)
    out = np.full((3, 2), 7, np.float32)
    with pytest.raises(error, match="lengths|mask"):
        frozen(x, out=out, **options)
    assert (out == 7).all()


def test_out_is_written_and_returned(small, rng):
    x = rng.standard_normal((5, 6, 3), np.float32)
    frozen = small.freeze()
    out = np.full((5, 2), np.nan, np.float32)
    assert frozen(x, out=out) is out
    assert same_bits(out, small(x))
    a = Input((None, 3))
    y, h, c = layers.LSTM(4, return_state=True, return_sequences=True)(a)
    several = Model(a, {"y": y, "h": h, "c": c})
    outs = [np.empty((5, 6, 4), np.float32), np.empty((5, 4), np.float32), np.empty((5, 4), np.float32)]
    got = several.freeze()(x, out=outs)
    assert same_bits(got, several(x))
    assert all(p is q for p, q in zip(got.values(), outs, strict=True))


def test_bad_out(small, rng):
    x = rng.standard_normal((5, 6, 3), np.float32)
    frozen = small.freeze()
    read_only = np.zeros((5, 2), np.float32)
    read_only.flags.writeable = False
    for out, message in (
        (np.zeros((5, 3), np.float32), r"out: expected shape \(5, 2\), got \(5, 3\)"),
        (np.zeros((5, 1, 2), np.float32), r"out: expected shape \(5, 2\), got \(5, 1, 2\)"),
        (np.zeros((0, 2), np.float32), r"out: expected shape \(5, 2\), got \(0, 2\)"),
        (np.zeros((5, 2)), "out: .*float64"),
        (np.zeros((5, 2), ">f4"), "out: .*>f4"),
        (np.zeros((5, 4), np.float32)[:, ::2], "out: .*contiguous"),
        (np.zeros((2, 5), np.float32).T, "out: .*contiguous"),
        (read_only, "out: .*writeable"),
        ([[0.0] * 2] * 5, "out: "),
        ("abc", "out: .*str"),
        ([np.zeros((5, 2), np.float32)] * 2, "out: expected 1 arrays, got 2"),
        ([], "out: expected 1 arrays, got 0"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            frozen(x, out=out)
        if isinstance(out, np.ndarray):
            assert not out.any()


def test_out_may_not_overlap(rng):
    model = Sequential([Input((None, 4)), layers.LSTM(4, return_sequences=True)])
    frozen, x = model.freeze(), rng.standard_normal((3, 5, 4), np.float32)
    before = x.copy()
    with pytest.raises(ValueError, match="out: .*overlap"):
        frozen(x, out=x)
    memory = np.zeros(2 * x.size, np.float32)
    view = memory[: x.size].reshape(x.shape)
    with pytest.raises(ValueError, match="out: .*overlap"):
        frozen(view, out=memory[4 : 4 + x.size].reshape(x.shape))
    frozen(view, out=memory[x.size :].reshape(x.shape))
    a = Input((None, 4))
    two = Model(a, [layers.Dense(2)(a), layers.Dense(2)(a)]).freeze()
    same = np.zeros((3, 5, 2), np.float32)
    with pytest.raises(ValueError, match="out: .*overlap"):
        two(x, out=[same, same])
    assert np.array_equal(x, before) and not same.any()


# --- immutable


def test_later_changes_of_the_model_do_not_reach_it(small, rng):
    x = rng.standard_normal((5, 6, 3), np.float32)
    frozen = small.freeze()
    want, nbytes = frozen(x), frozen.nbytes
    small.compile(optimizer="sgd", loss="mse")
    small.fit(x, np.ones((5, 2)), epochs=2, verbose=0)
    assert not same_bits(small(x), want)
    assert same_bits(frozen(x), want)
    small.set_weights([np.zeros_like(w) for w in small.get_weights()])
    for variable in small.variables:
        variable.value[...] = 5
    assert same_bits(frozen(x), want)
    assert same_bits(pickle.loads(pickle.dumps(frozen))(x), want)
    frozen(x)[...] = np.nan
    assert same_bits(frozen(x), want) and frozen.nbytes == nbytes > 0 and frozen.dtype == "float32"


def test_what_is_given_out_are_not_views_of_weights():
    model = Sequential([Input((None,)), layers.Embedding(5, 4)])
    frozen, ids = model.freeze(), np.array([[1, 2]])
    want = frozen(ids).copy()
    frozen(ids)[...] = 0
    model.layers[0].embeddings.value[...] = 0
    assert same_bits(frozen(ids), want)
    assert frozen(ids).flags.owndata and frozen(ids).flags.writeable


def test_copies_and_pickles(rng):
    x = Input((None, 3))
    y, *states = layers.LSTM(4, return_state=True)(layers.Masking()(x))
    model = randomized(Model(x, {"y": layers.Dense(2)(y), "c": states[1]}))
    frozen, array = model.freeze(), rng.standard_normal((2, 5, 3), np.float32)
    want = frozen(array)
    for twin in (copy.copy(frozen), copy.deepcopy(frozen), pickle.loads(pickle.dumps(frozen))):
        assert same_bits(twin(array), want) and twin.nbytes == frozen.nbytes and repr(twin) == repr(frozen)


def test_a_pickle_in_another_process(small, rng, tmp_path):
    x = rng.standard_normal((5, 6, 3), np.float32)
    frozen = small.freeze()
    want = frozen(x)
    with open(tmp_path / "frozen", "wb") as file:
        pickle.dump((frozen, x), file)
    code = (
        "import pickle, sys; frozen, x = pickle.load(open(sys.argv[1], 'rb'));"
        "sys.stdout.buffer.write(frozen(x).tobytes())"
    )
    got = subprocess.check_output([sys.executable, "-c", code, str(tmp_path / "frozen")])
    assert got == want.tobytes()


# --- instruction sets

ISA_CODE = """
import sys, numpy as np, lstmfast as lf
from lstmfast import layers
assert lf.isa() == sys.argv[1]
rng = np.random.default_rng(0)
def weights(model):
    model.set_weights([rng.normal(0, .4, w.shape) for w in model.get_weights()])
    return model
for cell in (layers.LSTM, layers.GRU, layers.SimpleRNN):
    stack = [cell(33, return_sequences=True), layers.Dense(17, activation="gelu"), cell(9, return_sequences=True)]
    ends = [layers.Dense(7), layers.Activation("softmax")]
    model = weights(lf.Sequential([lf.Input((None, 5)), *stack, *ends]))
    x = rng.standard_normal((3, 6, 5), np.float32)
    frozen = model.freeze()
    y = frozen(x)
    assert np.array_equal(y, model(x))
    stream = frozen.stream(3)
    assert np.array_equal(np.stack([stream.step(x[:, t]) for t in range(6)], 1), y)
    sys.stdout.buffer.write(y.tobytes())
"""


def test_instruction_sets():
    bits = {}
    for name in lf.available_isas():
        done = subprocess.run(
            [sys.executable, "-c", ISA_CODE, name],
            env={**os.environ, "LSTMFAST_ISA": name},
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr.decode()
        bits[name] = done.stdout
    if "avx2" in bits and "avx512" in bits:
        assert bits["avx2"] == bits["avx512"]
    arrays = [np.frombuffer(b, np.float32) for b in bits.values()]
    for array in arrays[1:]:
        np.testing.assert_allclose(array, arrays[0], atol=1e-5)


# --- what cannot be frozen


class Doubled(layers.Layer):
    def forward(self, x, call):
        return 2 * x


class DoubledDense(layers.Dense):
    def forward(self, x, call):
        return 2 * super().forward(x, call)


class RenamedLSTM(layers.LSTM):
    """The same numbers by another name."""


def test_layers_that_have_no_native_form():
    x = Input((4, 3))
    cases = [
        Doubled(name="bad"),
        DoubledDense(3, name="bad"),
        layers.Activation(lambda a: a, name="bad"),
        layers.Dense(3, activation=lambda a: a, name="bad"),
        layers.Bidirectional(layers.LSTM(3, return_sequences=True), merge_mode=None, name="bad"),
        layers.Bidirectional(layers.LSTM(3, return_state=True), name="bad"),
        layers.Flatten(data_format="channels_first", name="bad"),
    ]
    for layer in cases:
        model = Model(x, layer(x))
        with pytest.raises(ValueError, match="'bad'.* cannot be frozen"):
            model.freeze()
        with pytest.raises(ValueError, match="'bad'.* cannot be frozen"):
            Sequential([Input((4, 3)), Model(x, layer(x))]).freeze()
    with pytest.raises(ValueError, match="'bad'.* cannot be frozen"):
        Model(x, layers.Concatenate(axis=1, name="bad")([x, x])).freeze()
    for axis in (-1, 2):
        Model(x, layers.Concatenate(axis=axis)([x, x])).freeze()
    Model(x, RenamedLSTM(3)(x)).freeze()


def test_bidirectional_with_an_initial_state_cannot_be_frozen():
    x, h = Input((4, 3)), Input((5,))
    y = layers.Bidirectional(layers.GRU(5), name="bad")(x, initial_state=[h, h])
    with pytest.raises(ValueError, match="'bad'.* cannot be frozen"):
        Model([x, h], y).freeze()


def test_stateful_layers_cannot_be_frozen():
    for layer in (
        layers.GRU(3, stateful=True, name="bad"),
        layers.Bidirectional(layers.GRU(3, stateful=True), name="bad"),
    ):
        model = Sequential([Input(batch_shape=(2, None, 3)), layer])
        with pytest.raises(ValueError, match="'bad'.* cannot be frozen.*stateful"):
            model.freeze()


def test_ids_that_are_read_as_numbers_cannot_be_frozen():
    ids = Input((1,), dtype="int32", name="words")
    e = layers.LSTM(2)(layers.Embedding(5, 3)(ids))
    for layer in (layers.Dense(2, name="bad"), layers.Flatten(name="bad")):
        with pytest.raises(ValueError, match="'bad' cannot be frozen"):
            Model(ids, layers.Concatenate()([e, layer(ids)])).freeze()
    with pytest.raises(ValueError, match="'words' cannot be frozen"):
        Model(ids, [ids, e]).freeze()


def test_inputs_of_too_many_axes_cannot_be_frozen():
    x = Input((2, 3, 4), name="cube")
    with pytest.raises(ValueError, match="'cube' cannot be frozen"):
        Model(x, layers.Dense(2)(x)).freeze()
    ids = Input((2, 3), dtype="int32", name="cube")
    with pytest.raises(ValueError, match="'cube' cannot be frozen"):
        Model(ids, layers.Embedding(5, 2)(ids)).freeze()


def test_models_that_cannot_be_frozen(small):
    with pytest.raises(ValueError, match="built"):
        Sequential([layers.LSTM(3)]).freeze()
    with pytest.raises(ValueError, match="nothing to freeze"):
        Sequential([Input((3,)), layers.Dropout(0.5)]).freeze()
    for dtype in ("int8", "float64", None, 5, np.float32):
        with pytest.raises(ValueError, match="dtype: expected 'float32', got"):
            small.freeze(dtype=dtype)
