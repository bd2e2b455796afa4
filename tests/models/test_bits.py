# SPDX-License-Identifier: BSD-3-Clause
"""The promise about bits, on whole models of random shape: batch, threads, padding and cuts change nothing."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import lstmfast as lf
from lstmfast import layers

SIZES = st.integers(1, 70)


@st.composite
def cases(draw):
    """(seed, (B, T, I), recurrent layers, dense layer): what `build` makes a model and a batch of."""
    shape = draw(st.integers(1, 40)), draw(st.integers(1, 25)), draw(st.integers(1, 40))
    cells = draw(
        st.lists(st.tuples(st.sampled_from([layers.LSTM, layers.SimpleRNN]), SIZES), min_size=1, max_size=2)
    )
    dense = draw(SIZES), draw(st.sampled_from(["linear", "tanh", "softmax", "gelu"]))
    return draw(st.integers(0, 2**31)), shape, cells, dense


def build(case):
    """(model that returns sequences, a batch of inputs)"""
    seed, (batch, time, inputs), cells, (units, activation) = case
    lf.utils.set_random_seed(seed)
    stack = [cell(n, return_sequences=True) for cell, n in cells]
    model = lf.Sequential([lf.Input((None, inputs)), *stack, layers.Dense(units, activation=activation)])
    return model, np.random.default_rng(seed).standard_normal((batch, time, inputs)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(cases(), st.sampled_from([1, 2, 3, 5, 8]), st.data())
def test_rows_threads_and_batches(case, threads, data):
    model, x = build(case)
    lf.set_num_threads(1)
    whole = model(x)
    lf.set_num_threads(threads)
    assert np.array_equal(model(x), whole)
    assert np.array_equal(model.predict(x, batch_size=data.draw(st.integers(1, 50)), verbose=0), whole)
    row = data.draw(st.integers(0, len(x) - 1))
    assert np.array_equal(model(x[row : row + 1])[0], whole[row])


@settings(max_examples=40, deadline=None)
@given(cases(), st.sampled_from([1, 2, 3, 5, 8]), st.data())
def test_padding(case, threads, data):
    model, x = build(case)
    lf.set_num_threads(threads)
    lengths = np.array(data.draw(st.lists(st.integers(0, x.shape[1]), min_size=len(x), max_size=len(x))))
    recurrent = lf.Sequential(model.layers[:-1])
    y = recurrent(x, lengths=lengths)
    garbage = x.copy()
    for row, n in enumerate(lengths):
        garbage[row, n:] = np.nan
    assert np.array_equal(recurrent(garbage, lengths=lengths), y)
    for row, n in enumerate(lengths):
        assert not y[row, n:].any()
        if n:
            assert np.array_equal(recurrent(x[row : row + 1, :n])[0], y[row, :n])


@settings(max_examples=40, deadline=None)
@given(cases(), st.sampled_from([1, 2, 3, 5, 8]), st.data())
def test_two_parts_through_initial_state(case, threads, data):
    model, x = build(case)
    lf.set_num_threads(threads)
    cut = data.draw(st.integers(0, x.shape[1]))
    layer = model.layers[0]
    layer.return_state = True
    y, *states = layer(x)
    parts, state = [], None
    for part in (x[:, :cut], x[:, cut:]):
        if part.shape[1]:
            out, *state = layer(part, initial_state=state)
            parts.append(out)
    assert np.array_equal(np.concatenate(parts, 1), y)
    assert all(np.array_equal(a, b) for a, b in zip(state, states, strict=True))


def test_a_seeded_fit_is_reproducible_at_any_number_of_threads():
    x, y, *_ = lf.datasets.japanese_vowels()
    results = []
    for threads in (1, 2, 3, 5, 8, 2):
        lf.set_num_threads(threads)
        lf.utils.set_random_seed(5)
        model = lf.Sequential(
            [
                lf.Input((None, 12)),
                layers.Masking(),
                layers.LSTM(40, return_sequences=True, dropout=0.1),
                layers.LSTM(24, recurrent_dropout=0.1),
                layers.Dropout(0.2),
                layers.Dense(9, activation="softmax"),
            ]
        )
        model.compile(
            optimizer=lf.optimizers.Adam(0.01, global_clipnorm=1.0), loss="sparse_categorical_crossentropy"
        )
        history = model.fit(x, y, epochs=2, batch_size=50, verbose=0)
        results.append((history.history["loss"], model.get_weights()))
    for loss, weights in results[1:]:
        assert loss == results[0][0]
        assert all(np.array_equal(a, b) for a, b in zip(weights, results[0][1], strict=True))
