# SPDX-License-Identifier: BSD-3-Clause
"""Frozen models: what they take and refuse, and that nothing changes them."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
from frozen_cases import randomized, same_bits

from lstmfast import Input, Model, Sequential, layers

# --- arguments


@pytest.fixture
def small():
    return randomized(Sequential([Input((None, 3)), layers.LSTM(4), layers.Dense(2)]))


@pytest.mark.filterwarnings("ignore:The structure of `inputs`:UserWarning")
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


@pytest.mark.parametrize(
    "ids", [[[0, 7]], [[-1, 2]], [[2**40, 0]], [[1.5, 2]], [[np.nan, 1]], [["a", "b"]], [[np.inf, 1]]]
)
def test_bad_ids(ids):
    frozen = Sequential([Input((None,)), layers.Embedding(7, 3, name="words"), layers.LSTM(2)]).freeze()
    with np.errstate(all="raise"), pytest.raises((ValueError, TypeError), match=r"ids|numeric"):
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
    with pytest.raises(error, match=r"lengths|mask"):
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
    outs = {"y": np.empty((5, 6, 4), np.float32), **{k: np.empty((5, 4), np.float32) for k in "hc"}}
    frozen = several.freeze()
    for given_outs in (outs, [outs["c"], outs["h"], outs["y"]]):  # lists: in the order of sorted keys
        got = frozen(x, out=given_outs)
        assert same_bits(got, several(x))
        assert all(got[k] is outs[k] for k in outs)
    with pytest.raises(ValueError, match="out has keys"):
        frozen(x, out={"y": outs["y"]})


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
        ({"y": np.zeros((5, 2), np.float32)}, "out has keys"),
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
    with pytest.raises(ValueError, match=r"out: .*overlap"):
        frozen(x, out=x)
    memory = np.zeros(2 * x.size, np.float32)
    view = memory[: x.size].reshape(x.shape)
    with pytest.raises(ValueError, match=r"out: .*overlap"):
        frozen(view, out=memory[4 : 4 + x.size].reshape(x.shape))
    frozen(view, out=memory[x.size :].reshape(x.shape))
    a = Input((None, 4))
    two = Model(a, [layers.Dense(2)(a), layers.Dense(2)(a)]).freeze()
    same = np.zeros((3, 5, 2), np.float32)
    with pytest.raises(ValueError, match=r"out: .*overlap"):
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
        variable.assign(np.full(variable.shape, 5))
    assert same_bits(frozen(x), want)
    assert same_bits(pickle.loads(pickle.dumps(frozen))(x), want)
    frozen(x)[...] = np.nan
    assert same_bits(frozen(x), want) and frozen.nbytes == nbytes > 0 and frozen.dtype == "float32"


def test_what_is_given_out_are_not_views_of_weights():
    model = Sequential([Input((None,)), layers.Embedding(5, 4)])
    frozen, ids = model.freeze(), np.array([[1, 2]])
    want = frozen(ids).copy()
    frozen(ids)[...] = 0
    model.layers[0].embeddings.assign(np.zeros((5, 4)))
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
        layers.Activation(np.cbrt, name="bad"),
        layers.Dense(3, activation=np.cbrt, name="bad"),
        layers.Lambda(np.cbrt, name="bad"),
        layers.Flatten(data_format="channels_first", name="bad"),
    ]
    for layer in cases:
        model = Model(x, layer(x))
        with pytest.raises(ValueError, match=r"'bad'.* cannot be frozen"):
            model.freeze()
        with pytest.raises(ValueError, match=r"'bad'.* cannot be frozen"):
            Sequential([Input((4, 3)), Model(x, layer(x))]).freeze()
    with pytest.raises(ValueError, match=r"'bad'.* cannot be frozen"):
        Model(x, layers.Concatenate(axis=1, name="bad")([x, x])).freeze()
    for axis in (-1, 2):
        Model(x, layers.Concatenate(axis=axis)([x, x])).freeze()
    Model(x, RenamedLSTM(3)(x)).freeze()


def test_bidirectional_with_an_initial_state_cannot_be_frozen():
    x, h = Input((4, 3)), Input((5,))
    y = layers.Bidirectional(layers.GRU(5), name="bad")(x, initial_state=[h, h])
    with pytest.raises(ValueError, match=r"'bad'.* cannot be frozen"):
        Model([x, h], y).freeze()


def test_stateful_layers_cannot_be_frozen():
    for layer in (
        layers.GRU(3, stateful=True, name="bad"),
        layers.Bidirectional(layers.GRU(3, stateful=True), name="bad"),
    ):
        model = Sequential([Input(batch_shape=(2, None, 3)), layer])
        with pytest.raises(ValueError, match=r"'bad'.* cannot be frozen.*stateful"):
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


@pytest.mark.parametrize(
    "ids", [np.array([[2**63 + 1, 1]], np.uint64), np.array([[1e30, 1.0]]), np.array([[1.0, -1e30]])]
)
def test_ids_beyond_all_integers(ids):
    """Named as they are, not as the number that a cast makes of them, and without NumPy's warning."""
    frozen = Sequential([Input((2,)), layers.Embedding(5, 3), layers.GRU(2)]).freeze()
    with pytest.raises(ValueError, match=r"must hold ids, got (9223372036854775809|1e\+30)"):
        frozen(ids)
    with pytest.raises(ValueError, match="must hold ids"):
        frozen.stream().push(ids)
