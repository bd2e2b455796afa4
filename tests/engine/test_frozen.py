# SPDX-License-Identifier: BSD-3-Clause
"""Frozen models: the model's bits, whatever the layers, lengths, masks and shapes."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from frozen_cases import CELLS, randomized, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

import lstmfast as lf
from lstmfast import Input, Model, Sequential, _core, layers, reference

ODD_SIZES = [1, 3, 15, 17, 31, 33, 100]


@pytest.fixture(params=CELLS)
def cell(request):
    return CELLS[request.param]


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


@pytest.mark.parametrize(
    "options", [{"go_backwards": True}, {"zero_output_for_mask": True}, {"use_bias": False}]
)
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


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("merge", ["concat", "mul", None])
def test_bidirectional_with_several_outputs(cell, merge, states, sequences, zeros, team, rng, poisoned):
    inner = cell(17, return_sequences=sequences, return_state=states)
    both = layers.Bidirectional(inner, merge_mode=merge)
    for layer in (both.forward_layer, both.backward_layer):
        layer.zero_output_for_mask = zeros
    x = Input((None, 5))
    outputs = both(x)
    model = randomized(Model(x, outputs))
    check_all(model, rng.standard_normal((6, 7, 5), np.float32))


def test_states_of_both_directions_begin_a_decoder(rng):
    x, begun = Input((None, 5)), Input((None, 3))
    _, fh, fc, bh, bc = layers.Bidirectional(layers.LSTM(4, return_state=True))(x)
    h, c = layers.Concatenate()([fh, bh]), layers.Concatenate()([fc, bc])
    y = layers.LSTM(8, return_sequences=True)(begun, initial_state=[h, c])
    model = randomized(Model([x, begun], layers.Dense(2)(y)))
    arrays = [rng.standard_normal((3, 6, 5), np.float32), rng.standard_normal((3, 4, 3), np.float32)]
    np.testing.assert_array_equal(model.freeze()(arrays), model.predict(arrays, verbose=0))


@pytest.mark.parametrize("sequences", [False, True])
def test_bidirectional_with_a_layer_of_its_own(sequences, rng):
    both = layers.Bidirectional(
        layers.LSTM(5, return_sequences=sequences, zero_output_for_mask=True),
        backward_layer=layers.GRU(
            9, return_sequences=sequences, zero_output_for_mask=True, go_backwards=True
        ),
    )
    check_all(randomized(Sequential([Input((None, 4)), both])), rng.standard_normal((6, 7, 4), np.float32))


@pytest.mark.parametrize("activation", [n for n in _core.activation_names() if n != "gelu_tanh"])
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
    check(
        randomized(Sequential([Input((None,)), layers.Embedding(3, 2, mask_zero=True), layers.LSTM(1)])), ids
    )


# --- graphs


def test_several_inputs_and_outputs(rng):
    a, b = Input((None, 3), name="a"), Input((4,), name="b")
    h = layers.LSTM(5)(a)
    both = layers.Concatenate()([h, layers.Dense(3, activation="relu")(b)])
    y = layers.Dense(2, name="y")(both)
    x = {"a": rng.standard_normal((6, 7, 3), np.float32), "b": rng.standard_normal((6, 4), np.float32)}
    for outputs in (y, [y], [y, h], {"last": h, "first": y}, [y, y], (y, [h, {"y": y, "b": h}])):
        model = randomized(Model([a, b], outputs))
        frozen = check(model, list(x.values()))
        assert same_bits(frozen(x), model(x))
        lengths = [[0, 1, 7, 3, 2, 7], None]
        assert same_bits(frozen(x, lengths=lengths), model(x, lengths=lengths))
        assert same_bits(frozen(x, lengths={"a": lengths[0]}), model(x, lengths={"a": lengths[0]}))
        lengths = np.array(lengths[0])
        assert same_bits(frozen(x, lengths=lengths), model(x, lengths=lengths))
    assert same_bits(frozen({**x, "c": x["a"]}), model(x))  # as the model, and Keras
    for bad in ({"a": x["a"]}, x["a"], [x["a"]], [x["b"], x["a"]]):
        with pytest.raises(ValueError, match=r"input|arrays|keys"):
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
            inside = Sequential(
                [Input((None, y.shape[-1])), cell(return_sequences=True), layers.Dropout(0.2)]
            )
            y = inside(y)
    y = cell()(y) if draw(st.booleans()) else layers.Dense(draw(size))(y)
    return randomized(Model(x, y), draw(st.integers(0, 99))), ids, width


@settings(max_examples=1500, deadline=None, derandomize=True)
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
def test_against_the_reference(name, sequences, team, rng, poisoned):
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
