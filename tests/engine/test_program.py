# SPDX-License-Identifier: BSD-3-Clause
"""Programs made by hand, or of damaged pickles: errors, not crashes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmfast import FrozenModel, Input, Model, Sequential, _core, layers

FLOATS = np.ones((2, 3), np.float32)


def test_slots_are_checked():
    for slots, inputs, outputs in (
        (0, [0], [0]),
        (2, [2], [1]),
        (2, [-1], [1]),
        (2, [0], [5]),
        (2, [], [1]),
        (2, [0], []),
    ):
        with pytest.raises(ValueError, match=r"slot|inputs and outputs"):
            _core.Program(slots, inputs, outputs)
    program = _core.Program(3, [0], [2])
    with pytest.raises(ValueError, match="before it"):
        program.end_mask()
    for inputs, outputs, message in (
        ([3], [1], "slot: expected 0 to 2, got 3"),
        ([0], [-1], "slot: expected"),
        ([1], [2], "reads slot 1"),
        ([0], [0], "writes slot 0 again"),
        ([], [1], r"inputs"),
        ([0, 0], [1], "inputs: expected 1 to 1 slots, got 2"),
    ):
        with pytest.raises(ValueError, match=message):
            program.unit_normalization("unit", inputs, outputs)
    with pytest.raises(ValueError, match="no operation writes output slot 2"):
        program.run([FLOATS])
    program.unit_normalization("unit", [0], [2])
    assert program.run([FLOATS]).shape == (2, 3)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("dense", {"kernel": np.ones(3, np.float32), "bias": None, "activation": "relu"}, "kernel"),
        ("dense", {"kernel": FLOATS, "bias": np.ones(2, np.float32), "activation": "relu"}, "bias"),
        ("arithmetic", {"kind": "add", "constants": np.ones(3, np.float32), "reverse": False}, "constants"),
        ("arithmetic", {"kind": "power", "constants": None, "reverse": False}, "kind"),
        (
            "batch_normalization",
            {"mean": FLOATS[0], "scale": FLOATS[0, :2].copy(), "gamma": None, "beta": None},
            "scale",
        ),
        (
            "group_normalization",
            {"width": 3, "groups": 2, "gamma": None, "beta": None, "epsilon": 0.0},
            "groups",
        ),
        ("adaptive_pooling", {"pool": "max", "windows": 0}, "windows"),
        ("pooling", {"pool": "max", "size": 0, "stride": 1, "same": False}, "size"),
        ("repeat", {"steps": -1}, "steps"),
        ("encode", {"mode": "one_hot", "depth": 0, "strict": False}, "depth"),
        ("discretize", {"boundaries": np.array([2.0, 1.0])}, "boundaries"),
        ("lookup", {"keys": np.array([2, 1]), "values": np.array([0, 1]), "other": 0, "buckets": 1}, "keys"),
        ("lookup", {"keys": np.array([1, 2]), "values": np.array([0]), "other": 0, "buckets": 1}, "values"),
        ("lookup", {"keys": np.array([1]), "values": np.array([2**31]), "other": 0, "buckets": 1}, "values"),
        ("additive_attention", {"value_size": 3, "inner": 1.0, "outer": FLOATS, "causal": False}, "outer"),
    ],
)
def test_arguments_are_checked(kind, arguments, message):
    program = _core.Program(2, [0], [1])
    with pytest.raises((ValueError, TypeError), match=message):
        getattr(program, kind)("layer", [0], [1], **arguments)


OPTIONS = {
    "return_sequences": True,
    "go_backwards": False,
    "zero_output_for_mask": False,
    "zoneout": (0.0, 0.0),
}
GRU = ("gru", np.ones((3, 6), np.float32), np.ones((2, 6), np.float32), None, "tanh", "sigmoid", [])


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ((GRU[0], np.ones((3, 5), np.float32), *GRU[2:]), "kernel"),
        ((*GRU[:2], np.ones((2, 5), np.float32), *GRU[3:]), "recurrent_kernel"),
        ((*GRU[:2], np.ones((3, 6), np.float32), *GRU[3:]), "recurrent_kernel"),
        ((*GRU[:2], np.ones(12, np.float32), *GRU[3:]), "recurrent_kernel"),
        ((*GRU[:3], np.ones(5, np.float32), *GRU[4:]), "bias"),
        ((*GRU[:6], [FLOATS]), "extra"),
    ],
)
def test_weights_of_cells_are_checked(cell, message):
    program = _core.Program(2, [0], [1])
    with pytest.raises(ValueError, match=message):
        program.recurrent("layer", [0], [1], cell, **OPTIONS)
    for cells in ((cell, GRU), (GRU, cell)):
        with pytest.raises(ValueError, match=message):
            program.bidirectional("layer", [0], [1], *cells, merge="concat", **OPTIONS)


def test_states_of_recurrent_operations_are_checked():
    for inputs, outputs, message in (
        ([0, 1, 2], [3], "inputs: expected 1 or 2 slots, got 3"),
        ([0], [3, 4, 5], "outputs: expected 1 or 2 slots, got 3"),
    ):
        with pytest.raises(ValueError, match=message):
            _core.Program(6, [0, 1, 2], [3]).recurrent("layer", inputs, outputs, GRU, **OPTIONS)
    with pytest.raises(ValueError, match="outputs: expected 1 or 3 slots, got 2"):
        _core.Program(3, [0], [1]).bidirectional("layer", [0], [1, 2], GRU, GRU, merge="sum", **OPTIONS)
    program = _core.Program(3, [0, 1], [2])
    program.recurrent("layer", [0, 1], [2], GRU, **OPTIONS)
    x = np.ones((2, 4, 3), np.float32)
    assert program.run([x, np.ones((2, 2), np.float32)]).shape == (2, 4, 2)
    for state in (np.ones((2, 3), np.float32), np.ones((2, 4, 2), np.float32)):
        with pytest.raises(ValueError, match=r"initial states of shape \(batch, 2\)"):
            program.run([x, state])


def frozen_states():
    """What pickles of frozen models hold."""
    x = Input((None, 4))
    h = layers.MultiHeadAttention(2, 3)(x, x)
    h = layers.BatchNormalization()(layers.add([x, h]))
    h = layers.Conv1DTranspose(4, 2, strides=2)(h)
    h = layers.AdditiveAttention()([h, layers.LSTM(4, return_sequences=True)(h)])
    model = Model(x, layers.Dense(2)(layers.AdaptiveMaxPooling1D(3)(h)))
    ids = Input((3,), dtype="int64")
    looked_up = layers.Embedding(9, 2)(layers.IntegerLookup(vocabulary=[5, 3])(ids))
    coded = layers.CategoryEncoding(9)(ids)
    words = Model(ids, [looked_up, coded])
    _, h, c = layers.LSTM(3, return_state=True)(x)
    g = layers.GRU(3)(layers.LSTM(3, return_sequences=True)(x, initial_state=[h, c]))
    states = Model(x, [g, *layers.Bidirectional(layers.GRU(2, return_state=True), merge_mode=None)(x)])
    return [
        model.freeze()._state,
        words.freeze()._state,
        states.freeze()._state,
        Sequential([Input((3, 4)), layers.Flatten(), layers.Dense(2)]).freeze()._state,
    ]


STATES = frozen_states()


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_programs(data):
    """Whatever number is changed: an error, or a result."""
    operations, slots, *rest = data.draw(st.sampled_from(STATES))
    operations = list(operations)
    number = data.draw(st.integers(0, len(operations) - 1))
    op = operations[number]
    small = st.integers(-2, 9)
    key = data.draw(st.sampled_from(["inputs", "outputs", *op.arguments]))

    def damaged(old):
        if isinstance(old, tuple) and old and data.draw(st.booleans()):  # the weights of a cell
            at = data.draw(st.integers(0, len(old) - 1))
            return (*old[:at], damaged(old[at]), *old[at + 1 :])
        if isinstance(old, list):
            return [damaged(old[0]), *old[1:]] if old else [FLOATS]
        if isinstance(old, np.ndarray):
            return np.ones(data.draw(st.lists(st.integers(0, 5), max_size=4)), np.float32)
        return data.draw(st.one_of(small, st.none(), st.just("no"), st.booleans(), st.floats()))

    if key in ("inputs", "outputs"):
        value = tuple(data.draw(st.lists(small, max_size=4)))
        operations[number] = op._replace(**{key: value})
    else:
        value = damaged(op.arguments[key])
        operations[number] = op._replace(arguments={**op.arguments, key: value})
    try:
        frozen = FrozenModel(operations, data.draw(st.sampled_from([slots, 0, 3])), *rest)
        frozen(np.ones((2, 3), np.int64) if frozen._integer_inputs[0] else np.ones((2, 3, 4), np.float32))
    except (ValueError, TypeError):
        pass


def test_memory_is_taken_again_when_nothing_reads_it(rng):
    """Many steps of one size, some read late or passed on, in both orders of magnitude of slots."""
    x = Input((None, 6))
    data = rng.normal(size=(3, 5, 6)).astype("float32")
    mask = rng.random((3, 5)) < 0.6
    for number in (5, 90):
        kept, h = [], x
        for k in range(number):
            h = layers.Dense(6, activation="tanh")(h)
            if k % 7 == 2:
                kept.append(layers.Masking(0.25)(h))
            if k % 5 == 1:
                h = layers.LSTM(6, return_sequences=True)(layers.LSTM(6, return_sequences=True)(h))
            if k % 4 == 3 and kept:
                h = layers.add([h, kept[k // 2 % len(kept)]])
        model = Model(x, [h, kept[0], layers.GRU(3)(h)])
        model.set_weights([rng.normal(0, 0.5, w.shape) for w in model.get_weights()])
        frozen = model.freeze()
        for options in ({}, {"mask": mask}):
            expected = model(data, **options)
            for _ in range(2):
                for a, b in zip(frozen(data, **options), expected, strict=True):
                    np.testing.assert_array_equal(a, b)
        long = rng.normal(size=(1, 300, 6)).astype("float32")  # recurrent layers side by side
        for a, b in zip(frozen(long), model(long), strict=True):
            np.testing.assert_array_equal(a, b)


def test_nothing_is_added_to_a_program_that_has_run():
    program = _core.Program(3, [0], [1])
    program.unit_normalization("unit", [0], [1])
    program.run([FLOATS])
    program.unit_normalization("unit", [1], [2])
    with pytest.raises(ValueError, match="added after the first run"):
        program.run([FLOATS])
