# SPDX-License-Identifier: BSD-3-Clause
"""Streams: step by step or in chunks, the bits of the whole sequence; states; bad arguments that change nothing."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from frozen_cases import CELLS, randomized, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st

import lstmfast as lf
from lstmfast import Input, Model, Sequential, _core, layers


@pytest.fixture(params=CELLS)
def cell(request):
    return CELLS[request.param]


def sequence_model(*stack, width=5, seed=0):
    return randomized(Sequential([Input((None, width)), *stack]), seed)


def run(stream, x, cuts):
    """All outputs (B, T, O): chunks of these many steps, 0 standing for a single `step`."""
    parts, t = [], 0
    for n in cuts:
        if n == 0:
            parts.append(stream.step(x[:, t])[:, None])
        else:
            parts.append(stream.push(x[:, t : t + n]))
        t += max(n, 1)
    assert t == x.shape[1]
    return np.concatenate(parts, 1)


CUTS = ([0] * 7, [7], [0, 3, 0, 2], [2, 0, 0, 1, 0, 1], [1] * 7)


@pytest.mark.parametrize("batch", [1, 3, 17, 40])
def test_any_cuts(cell, batch, team, rng, poisoned):
    stack = [cell(33, return_sequences=True), layers.Dense(17, activation="tanh")]
    frozen = sequence_model(
        *stack, cell(20, return_sequences=True), layers.Dense(9, activation="softmax")
    ).freeze()
    x = rng.standard_normal((batch, 7, 5), np.float32)
    want = frozen(x)
    for cuts in CUTS:
        stream = frozen.stream(batch)
        assert same_bits(run(stream, x, cuts), want)
        stream.reset()
        assert same_bits(run(stream, x, cuts[::-1]), want)


@pytest.mark.parametrize("name", ["lstm", "gru", "gru_reset_before", "simple_rnn"])
@pytest.mark.parametrize("batch", [1, 17])
def test_layers_that_share_their_units_among_threads(name, batch, team, rng):
    """Wide enough for more than one thread, and for weights that outgrow a cache."""
    frozen = sequence_model(
        CELLS[name](400, return_sequences=True), layers.Dense(300), layers.LSTM(10)
    ).freeze()
    x = rng.standard_normal((batch, 4, 5), np.float32)
    want = frozen(x)
    for cuts in ([0] * 4, [0, 2, 0]):
        assert same_bits(run(frozen.stream(batch), x, cuts)[:, -1], want)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_random_models_and_cuts(data):
    draw = data.draw
    lf.set_num_threads(draw(st.sampled_from([1, 2, 3, 5, 8])))
    size, width, time, batch = st.integers(1, 70), draw(st.integers(1, 30)), 9, draw(st.integers(1, 20))
    ids = draw(st.booleans())
    stack = [Input((None,)), layers.Embedding(6, width, mask_zero=draw(st.booleans()))] if ids else []
    stack = stack or [Input((None, width))]
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["cell", "cell", "dense", "activation", "dropout", "masking"]))
        if kind == "cell":
            make = CELLS[draw(st.sampled_from(sorted(CELLS)))]
            stack.append(make(draw(size), return_sequences=True, zero_output_for_mask=draw(st.booleans())))
        elif kind == "dense":
            stack.append(
                layers.Dense(draw(size), activation=draw(st.sampled_from([None, "relu", "softmax"])))
            )
        elif kind == "activation":
            stack.append(layers.Activation(draw(st.sampled_from(["tanh", "softmax", "gelu"]))))
        elif kind == "dropout":
            stack.append(layers.Dropout(0.4))
        else:
            stack.append(layers.Masking(draw(st.sampled_from([0.0, 0.5]))))
    model = randomized(Sequential([*stack, layers.GRU(3, return_sequences=True)]), draw(st.integers(0, 99)))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    if ids:
        x = rng.integers(0, 3, (batch, time))
    else:
        x = rng.standard_normal((batch, time, width), np.float32)
        x[rng.random((batch, time)) < 0.3] = 0
    cuts, left = [], time
    while left:
        cuts.append(draw(st.integers(0, left)))
        left -= max(cuts[-1], 1)
    _core.testing.poison_buffers(True)
    try:
        frozen = model.freeze()
        assert same_bits(run(frozen.stream(batch), x, cuts), model(x))
    finally:
        _core.testing.poison_buffers(False)


def test_one_output_a_step_where_the_model_returns_the_last(cell, rng):
    frozen = sequence_model(cell(9, return_sequences=True), cell(4), layers.Dense(3)).freeze()
    x = rng.standard_normal((3, 6, 5), np.float32)
    for cuts in ([0] * 6, [6], [1, 0, 4]):
        y = run(frozen.stream(3), x, cuts)
        for t in range(6):
            assert same_bits(np.ascontiguousarray(y[:, t]), frozen(np.ascontiguousarray(x[:, : t + 1])))


def test_cells_in_the_middle_that_return_their_last_step(rng):
    stack = [layers.GRU(4), layers.Dense(3, activation="relu"), layers.Dropout(0.5), layers.Dense(2)]
    frozen, x = sequence_model(*stack).freeze(), rng.standard_normal((2, 5, 5), np.float32)
    assert same_bits(run(frozen.stream(2), x, [0, 3, 0])[:, -1], frozen(x))


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8, np.int16])
@pytest.mark.parametrize("mask_zero", [False, True])
def test_embedding_and_masking(cell, mask_zero, dtype, rng):
    stack = [layers.Embedding(6, 4, mask_zero=mask_zero), cell(9, return_sequences=True), layers.Dense(3)]
    frozen = randomized(Sequential([Input((None,)), *stack])).freeze()
    ids = rng.integers(0, 3, (5, 7)).astype(dtype)
    ids[0, 0] = 0
    for cuts in CUTS:
        assert same_bits(run(frozen.stream(5), ids, cuts), frozen(ids))
    x = rng.standard_normal((5, 7, 5), np.float32)
    x[rng.random((5, 7)) < 0.4] = -1
    frozen = sequence_model(
        layers.Masking(-1), cell(9, return_sequences=True), cell(3, return_sequences=True)
    ).freeze()
    for cuts in CUTS:
        assert same_bits(run(frozen.stream(5), x, cuts), frozen(x))


def test_nested_models(rng):
    inner = Sequential([Input((None, 5)), layers.LSTM(7, return_sequences=True), layers.Dense(4)])
    frozen = sequence_model(inner, layers.GRU(3, return_sequences=True)).freeze()
    x = rng.standard_normal((2, 7, 5), np.float32)
    assert same_bits(run(frozen.stream(2), x, [0, 3, 0, 2]), frozen(x))


def test_two_streams_do_not_meet(rng):
    frozen = sequence_model(layers.LSTM(9, return_sequences=True)).freeze()
    x, z = rng.standard_normal((2, 1, 6, 5), np.float32)
    a, b = frozen.stream(), frozen.stream()
    pairs = [(a.step(x[:, t]), b.step(z[:, t]), frozen(z)) for t in range(6)]
    assert same_bits(np.stack([p[0] for p in pairs], 1), frozen(x))
    assert same_bits(np.stack([p[1] for p in pairs], 1), frozen(z))


def test_a_stream_outlives_the_model(rng):
    x = rng.standard_normal((1, 6, 5), np.float32)
    frozen = sequence_model(layers.LSTM(9, return_sequences=True)).freeze()
    want, stream = frozen(x), frozen.stream()
    del frozen
    assert same_bits(run(stream, x, [0, 3, 0, 1]), want)


# --- states


def state_widths(frozen):
    return [s.shape[1] for s in frozen.stream().get_state()]


def test_states_are_those_of_the_layers(cell, rng):
    x = Input((None, 5))
    y, *states = cell(9, return_state=True)(x)
    model = randomized(Model(x, states if len(states) > 1 else states[0]))
    plain = Sequential([Input((None, 5)), cell(9)])
    plain.set_weights(model.get_weights())
    array = rng.standard_normal((3, 6, 5), np.float32)
    want = model(array)
    want = want if isinstance(want, list) else [want]
    for cuts in ([0] * 6, [6], [0, 5]):
        stream = plain.freeze().stream(3)
        run(stream, array, cuts)
        assert all(same_bits(a, b) for a, b in zip(stream.get_state(), want, strict=True))


@pytest.mark.parametrize("batch", [1, 5])
def test_state_round_trip(cell, batch, rng):
    stack = [cell(9, return_sequences=True), layers.Dense(4), layers.GRU(33, return_sequences=True)]
    frozen = sequence_model(*stack).freeze()
    x = rng.standard_normal((batch, 8, 5), np.float32)
    want = frozen(x)
    for before, after in (([0] * 3, [0] * 5), ([3], [5]), ([0, 2], [0, 4]), ([0] * 3, [5]), ([3], [0] * 5)):
        first, second = frozen.stream(batch), frozen.stream(batch)
        run(first, x[:, :3], before)
        kept = first.get_state()
        assert len(kept) == len(state_widths(frozen)) and all(s.shape[0] == batch for s in kept)
        run(second, x[:, :4], [0, 2, 0])  # whatever was there before
        second.set_state(kept)
        for state in kept:
            state[...] = np.nan  # copies
        assert same_bits(run(second, x[:, 3:], after), np.ascontiguousarray(want[:, 3:]))
        assert same_bits(run(first, x[:, 3:], after), np.ascontiguousarray(want[:, 3:]))


@pytest.mark.parametrize("steps", [1, 2])
def test_reset_of_rows(cell, steps, rng):
    frozen = sequence_model(
        cell(9, return_sequences=True), layers.Dense(3), cell(17, return_sequences=True)
    ).freeze()
    x = rng.standard_normal((5, 6, 5), np.float32)
    for rows in ([1, 4], (0,), np.array([2, 2]), 3, [], None, np.int64(4), range(5)):
        stream = frozen.stream(5)
        run(stream, x[:, :steps], [0] * steps)
        stream.reset(rows) if rows is not None else stream.reset()
        y = run(stream, x[:, steps:], [0] * (6 - steps))
        cleared = set(range(5) if rows is None else np.atleast_1d(rows).astype(int).tolist())
        whole, rest = frozen(x)[:, steps:], frozen(np.ascontiguousarray(x[:, steps:]))
        for row in range(5):
            assert np.array_equal(y[row], rest[row] if row in cleared else whole[row])


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([5], IndexError),
        ([0, -1], IndexError),
        ([0, 2**40], IndexError),
        ([0, -(2**70)], (IndexError, TypeError)),
        ([0.5], TypeError),
        ([True, False, True, False, True], TypeError),
        (["a"], TypeError),
        ([None], TypeError),
    ],
)
def test_reset_of_rows_that_do_not_exist(rows, error, rng):
    stream = sequence_model(layers.LSTM(4)).freeze().stream(5)
    stream.step(rng.standard_normal((5, 5), np.float32))
    before = stream.get_state()
    with pytest.raises(error, match="rows"):
        stream.reset(rows)
    assert all(map(same_bits, stream.get_state(), before))


# --- arguments


@pytest.fixture
def stream(rng):
    """In the middle of a conversation, batch 2, width 5, output 3."""
    stream = sequence_model(layers.LSTM(4, return_sequences=True), layers.Dense(3)).freeze().stream(2)
    stream.push(rng.standard_normal((2, 3, 5), np.float32))
    return stream


@pytest.fixture
def id_stream():
    """Likewise with ids below 7."""
    model = randomized(Sequential([Input((None,)), layers.Embedding(7, 4), layers.GRU(4), layers.Dense(3)]))
    stream = model.freeze().stream(2)
    stream.push([[1, 2, 3], [4, 5, 6]])
    return stream


@pytest.mark.parametrize(
    "state",
    [
        [],
        [np.zeros((2, 4))],
        [np.zeros((2, 4))] * 3,
        [np.zeros((2, 4)), np.zeros((2, 5))],
        [np.zeros((2, 4)), np.zeros((1, 4))],
        [np.zeros((2, 4)), np.zeros(8)],
        [np.zeros((2, 4)), None],
        [np.zeros((2, 4)), "abc"],
        [np.zeros((2, 4)), np.zeros((2, 4), complex)],
        None,
        5,
        "ab",
    ],
)
def test_bad_states(stream, state):
    before = stream.get_state()
    with pytest.raises((ValueError, TypeError), match="state"):
        stream.set_state(state)
    assert all(map(same_bits, stream.get_state(), before))


def test_states_are_converted(stream):
    kept = stream.get_state()
    for given_state in (
        [s.astype(np.float64) for s in kept],
        [np.asfortranarray(s) for s in kept],
        [s.tolist() for s in kept],
        tuple(kept),
        np.stack(kept),
    ):
        stream.reset()
        stream.set_state(given_state)
        assert all(map(same_bits, stream.get_state(), kept))


BAD_STEPS = [
    None,
    "abc",
    np.zeros(5),
    np.zeros((2, 4)),
    np.zeros((3, 5)),
    np.zeros((0, 5)),
    np.zeros((2, 0)),
    np.zeros((2, 5), complex),
    np.zeros((2, 5), "M8[s]"),
    [[1.0] * 5, [1.0]],
    [],
    object(),
    5.0,
]


@pytest.mark.parametrize("x", [*BAD_STEPS, np.zeros((2, 1, 5))])
def test_bad_steps(stream, x):
    before = stream.get_state()
    out = np.full((2, 3), 7, np.float32)
    with pytest.raises((ValueError, TypeError)):
        stream.step(x, out=out)
    assert (out == 7).all() and all(map(same_bits, stream.get_state(), before))


@pytest.mark.parametrize(
    ("args", "keywords", "message"),
    [
        ((), {}, "needs an argument 'x'"),
        ((), {"out": None}, "needs an argument 'x'"),
        ((1, None, 2), {}, "at most 2 arguments, got 3"),
        ((1,), {"x": 1}, "'x' twice"),
        ((1, None), {"out": None}, "'out' twice"),
        ((1,), {"y": 1}, "unexpected argument 'y'"),
    ],
)
def test_steps_with_wrong_arguments(stream, args, keywords, message):
    """`step` takes its arguments apart itself: it is a plain CPython method, not pybind11's."""
    with pytest.raises(TypeError, match=message):
        stream.step(*args, **keywords)


def test_steps_by_keywords_and_without_an_object(stream):
    x = np.ones((stream.batch, 5), np.float32)
    state = stream.get_state()
    expected = stream.step(x)
    for call in (lambda: stream.step(x=x), lambda: stream.step(out=None, x=x), lambda: stream.step(x, None)):
        stream.set_state(state)
        np.testing.assert_array_equal(call(), expected)
    with pytest.raises(TypeError, match="not initialized"):
        _core.Stream.__new__(_core.Stream).step(x)
    with pytest.raises(TypeError, match="'step' for"):
        _core.Stream.step(object(), x)


@pytest.mark.parametrize(
    "x", [*BAD_STEPS, np.zeros((2, 5)), np.zeros((2, 0, 5)), np.zeros((2, 2, 2, 5)), np.zeros((3, 2, 5))]
)
def test_bad_chunks(stream, x):
    before = stream.get_state()
    out = np.full((2, 2, 3), 7, np.float32)
    with pytest.raises((ValueError, TypeError)):
        stream.push(x, out=out)
    assert (out == 7).all() and all(map(same_bits, stream.get_state(), before))


@pytest.mark.parametrize(
    "x", [None, "ab", [1], [1, 2, 3], [1, 7], [1, -1], [2**40, 1], [1.5, 2.0], [[1], [2]], [], 5]
)
def test_bad_ids_in_streams(id_stream, x):
    before = id_stream.get_state()
    out = np.full((2, 3), 7, np.float32)
    with pytest.raises((ValueError, TypeError)):
        id_stream.step(x, out=out)
    if x != [[1], [2]]:  # a chunk of one step
        with pytest.raises((ValueError, TypeError)):
            id_stream.push(x)
    assert (out == 7).all() and all(map(same_bits, id_stream.get_state(), before))


@pytest.mark.parametrize("kind", ["stream", "id_stream"])
def test_out(kind, request):
    stream = request.getfixturevalue(kind)
    x = np.ones((2, 5), np.float32) if kind == "stream" else np.array([1, 2])
    start = stream.get_state()
    want = stream.step(x)
    after = stream.get_state()
    chunk = x[:, None]
    for out, advance in (
        (np.zeros((2, 3), np.float32), stream.step),
        (np.zeros((2, 1, 3), np.float32), stream.push),
    ):
        stream.set_state(start)
        assert advance(x if out.ndim == 2 else chunk, out=out) is out
        assert np.array_equal(out.reshape(2, 3), want)
        stream.set_state(start)
        wrong = [
            np.zeros((*out.shape[:-1], 4), np.float32),
            np.zeros((3, *out.shape[1:]), np.float32),
            np.zeros((2, 1, 1, 3), np.float32),
            np.zeros((6,), np.float32),
            np.zeros(out.shape),
            np.zeros((*out.shape[:-1], 6), np.float32)[..., ::2],
            np.zeros(out.shape, np.float32),
            [[0.0] * 3] * 2,
            "abc",
        ]
        wrong[6].flags.writeable = False
        for bad in wrong:
            with pytest.raises((ValueError, TypeError), match="out: expected"):
                advance(x if out.ndim == 2 else chunk, out=bad)
            assert not isinstance(bad, np.ndarray) or not bad.any()
        assert all(map(same_bits, stream.get_state(), start))
        advance(x if out.ndim == 2 else chunk, out=None)
        assert all(map(same_bits, stream.get_state(), after))


def test_out_may_not_overlap(rng):
    for stack in ([layers.LSTM(5, return_sequences=True)], [layers.Masking(), layers.LSTM(5)]):
        stream = sequence_model(*stack).freeze().stream(2)
        x = np.ones((2, 5), np.float32)
        before = stream.get_state()
        with pytest.raises(ValueError, match=r"out: .*overlap"):
            stream.step(x, out=x)
        with pytest.raises(ValueError, match=r"out: .*overlap"):
            stream.push(x[:, None], out=x[:, None])
        assert (x == 1).all() and all(map(same_bits, stream.get_state(), before))


@pytest.mark.parametrize("first", [[], [layers.Masking(-5)], [layers.Activation("tanh")]])
def test_inputs_are_converted(first, rng):
    frozen = sequence_model(*first, layers.LSTM(4, return_sequences=True)).freeze()
    x = rng.integers(-3, 4, (2, 6, 5))
    wide = np.zeros((2, 6, 10), np.float32)
    wide[..., ::2] = x
    want = frozen(x)
    for given_x in (
        x,
        x.astype(np.float64),
        x.astype(np.int8),
        wide[..., ::2],
        np.asfortranarray(x),
        x.astype(">f4"),
    ):
        for cuts in ([0] * 6, [6], [0, 5]):
            assert same_bits(run(frozen.stream(2), given_x, cuts), want)
    stream = frozen.stream(2)
    assert same_bits(np.stack([stream.step(x[:, t].tolist()) for t in range(6)], 1), want)
    assert same_bits(frozen.stream(2).push(x.tolist()), want)


def test_nan_stays_in_its_row(stream):
    other = stream.get_state()
    x = np.ones((2, 5), np.float32)
    want = stream.step(x)
    stream.set_state(other)
    x[0] = np.nan
    y = stream.step(x)
    assert np.isnan(y[0]).all() and np.array_equal(y[1], want[1])
    assert np.isnan(stream.step(np.ones((2, 5)))[0]).all()
    stream.reset([0])
    assert np.isfinite(stream.step(np.ones((2, 5)))).all()


def test_what_is_given_out_is_fresh(stream):
    x = np.ones((2, 5), np.float32)
    a, b = stream.step(x), stream.step(x)
    assert a is not b and not np.shares_memory(a, b) and a.flags.owndata and a.flags.writeable
    kept = stream.get_state()
    kept[0][...] = np.nan
    assert np.isfinite(stream.step(x)).all()


# --- what cannot be streamed


@pytest.mark.parametrize("batch", [0, -1, 1.0, True, None, "1", 2**31])
def test_bad_batches(batch):
    with pytest.raises(ValueError, match="batch: expected a positive integer"):
        sequence_model(layers.LSTM(2)).freeze().stream(batch)


def test_batch_may_be_a_numpy_integer():
    assert sequence_model(layers.LSTM(2)).freeze().stream(np.int64(3)).step(np.zeros((3, 5))).shape == (3, 2)


def test_layers_that_are_refused(rng):
    x, h = Input((6, 5)), Input((4,))
    y = layers.LSTM(4, return_sequences=True)(x)
    cases = [
        (x, layers.Bidirectional(layers.LSTM(4, return_sequences=True), name="bad")(x)),
        (x, layers.LSTM(4, go_backwards=True, name="bad")(x)),
        (x, layers.Flatten(name="bad")(y)),
        (x, layers.Concatenate(name="bad")([y, y])),
        (x, layers.LSTM(4, return_state=True, name="bad")(y)[0]),
        ([x, h], layers.GRU(4, name="bad")(x, initial_state=h)),
    ]
    for inputs, outputs in cases:
        frozen = Model(inputs, outputs).freeze()
        with pytest.raises(ValueError, match="layer 'bad' cannot run in a stream"):
            frozen.stream()
        nested = Model(inputs, Model(inputs, outputs)(inputs)).freeze()
        with pytest.raises(ValueError, match="layer 'bad' cannot run in a stream"):
            nested.stream()


def test_graphs_that_are_refused():
    x, z = Input((None, 5)), Input((None, 5))
    y = layers.LSTM(4, return_sequences=True)(x)
    for inputs, outputs in (
        ([x, z], [y, layers.Dense(3)(z)]),
        (x, [y, layers.Dense(3)(y)]),
        (x, {"y": layers.Dense(3)(y)}),
    ):
        with pytest.raises(ValueError, match="stream"):
            Model(inputs, outputs).freeze().stream()


def test_a_layer_beside_the_line_is_refused():
    x = Input((None, 5))
    y = layers.Dense(5)(x)
    z = layers.LSTM(4)(x)
    with pytest.raises(ValueError, match="stream"):
        Model(x, [z, y]).freeze().stream()


def test_streams_are_neither_copied_nor_pickled(stream):
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="get_state"):
            attempt(stream)


def test_inputs_without_a_time_axis(rng):
    """Row by row models, which have no states: a step is a row of each conversation."""
    frozen = randomized(
        Sequential([Input((5,)), layers.Dense(4, activation="relu"), layers.Dense(3)])
    ).freeze()
    x = rng.standard_normal((2, 5), np.float32)
    stream = frozen.stream(2)
    assert same_bits(stream.step(x), frozen(x)) and stream.get_state() == []
    stream.set_state([])
    stream.reset()
    stream.reset([1])
