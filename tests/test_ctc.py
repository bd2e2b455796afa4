# SPDX-License-Identifier: BSD-3-Clause
"""CTC against its definition: the sum over all ways to place labels in time; decoding; refused arguments."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import _core, losses
from lstmfast.utils import ctc_decode


def collapsed(path: tuple[int, ...], blank: int = 0) -> tuple[int, ...]:
    return tuple(k for k, _ in itertools.groupby(path) if k != blank)


def labellings(logits: np.ndarray, blank: int = 0) -> dict[tuple[int, ...], float]:
    """The probability of every labelling of one sequence (T, C), by enumeration of all C^T paths in float64."""
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(axis=1, keepdims=True)
    sums: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(p.shape[1]), repeat=len(p)):
        labels = collapsed(path, blank)
        sums[labels] = sums.get(labels, 0.0) + math.prod(p[t, k] for t, k in enumerate(path))
    return sums


@pytest.mark.parametrize(("time", "classes"), [(1, 2), (2, 3), (4, 3), (5, 4), (6, 2)])
def test_every_labelling(time: int, classes: int, isa: str, rng: np.random.Generator) -> None:
    logits = rng.normal(0, 2, (time, classes)).astype(np.float32)
    total = 0.0
    for labels, probability in labellings(logits).items():
        y = np.zeros((1, time), np.int64)
        y[0, : len(labels)] = labels
        (loss,), _ = _core.ctc_loss(logits[None], y, np.array([len(labels)]), np.array([time]), 0, isa=isa)
        assert loss == pytest.approx(-math.log(probability), rel=1e-5, abs=1e-6)
        total += math.exp(-loss)
    assert total == pytest.approx(1, rel=1e-5)


def test_gradient_is_that_of_the_enumeration(rng: np.random.Generator) -> None:
    logits = rng.normal(0, 2, (4, 3)).astype(np.float32)
    labels, step = (1, 1), 1e-4
    _, grad = losses.CTC().value_and_grad([labels], logits[None])
    for index in np.ndindex(logits.shape):
        up, down = logits.astype(np.float64), logits.astype(np.float64)
        up[index] += step
        down[index] -= step
        slope = -(math.log(labellings(up)[labels]) - math.log(labellings(down)[labels])) / (2 * step)
        assert grad[0][index] == pytest.approx(slope, abs=1e-5)


def test_same_bits_on_any_team_and_in_any_batch(isa: str, rng: np.random.Generator) -> None:
    z = rng.normal(size=(9, 40, 12)).astype(np.float32)
    labels, lengths, steps = rng.integers(1, 12, (9, 15)), rng.integers(0, 16, 9), rng.integers(30, 41, 9)
    results = []
    for threads in (1, 2, 3, 8):
        _core.set_num_threads(threads)
        loss, grad = _core.ctc_loss(z, labels, lengths, steps, 0, isa=isa)
        assert grad is not None
        results.append(loss.tobytes() + grad.tobytes())
    assert len(set(results)) == 1
    alone, alone_grad = _core.ctc_loss(z[4:5], labels[4:5], lengths[4:5], steps[4:5], 0, isa=isa)
    assert alone_grad is not None
    assert alone[0] == loss[4] and np.array_equal(alone_grad[0], grad[4])
    assert np.array_equal(_core.ctc_loss(z, labels, lengths, steps, 0, gradient=False, isa=isa)[0], loss)


@pytest.mark.usefixtures("poisoned")
def test_no_scratch_is_read_that_nobody_wrote(rng: np.random.Generator) -> None:
    z = rng.normal(size=(3, 7, 4)).astype(np.float32)
    labels, lengths = rng.integers(1, 4, (3, 3)), np.array([0, 3, 2])
    loss, grad = _core.ctc_loss(z, labels, lengths, np.array([7, 6, 5]), 0)
    assert np.isfinite(loss).all() and grad is not None and np.isfinite(grad).all()
    assert not grad[1, 6:].any() and not grad[2, 5:].any()
    np.testing.assert_allclose(grad.sum(axis=2), 0, atol=1e-6)  # logits of a step are only known up to a sum


def test_certain_outputs(rng: np.random.Generator) -> None:
    """Logits of +-1000 and -infinity: nothing overflows, and the only way has probability 1."""
    z = np.full((1, 3, 3), -1000, np.float32)
    z[0, [0, 1, 2], [1, 0, 1]] = 1000
    value, grad = losses.CTC().value_and_grad([[1, 1]], z)
    assert value == 0 and not grad.any()
    z[z < 0] = -np.inf
    value, grad = losses.CTC().value_and_grad([[1, 1]], z)
    assert value == 0 and not grad.any()
    assert np.isinf(losses.CTC()([[2]], z))


def test_a_logit_that_is_not_a_number_shows(rng: np.random.Generator) -> None:
    z = rng.normal(size=(2, 5, 3)).astype(np.float32)
    z[1, 2, 1] = np.nan
    values, grad = losses.CTC(reduction="none").value_and_grad([[1], [2]], z)
    assert np.isfinite(values[0]) and np.isnan(values[1])
    assert np.isfinite(grad[0]).all() and np.isnan(grad[1]).all()


def test_a_mask_leaves_steps_out(rng: np.random.Generator) -> None:
    z = rng.normal(size=(2, 6, 4)).astype(np.float32)
    y = np.array([[1, 2], [3, 0]])
    mask = np.array([[1, 1, 1, 1, 0, 0], [0, 1, 0, 1, 1, 1]], bool)
    value, grad = losses.CTC("sum").value_and_grad(y, z, None, mask)
    parts = [losses.CTC().value_and_grad(y[b : b + 1], z[b : b + 1, mask[b]]) for b in range(2)]
    assert value == pytest.approx(parts[0][0] + parts[1][0], rel=1e-6)
    for b in range(2):
        np.testing.assert_allclose(grad[b, mask[b]], parts[b][1][0], atol=1e-6)
        assert not grad[b, ~mask[b]].any()
    with pytest.raises(ValueError, match=r"mask: expected shape \(2, 6\)"):
        losses.CTC()(y, z, None, mask[:, :5])


def test_a_model_learns_labels_without_their_places(rng: np.random.Generator) -> None:
    """Sequences in which two marks stand somewhere: after training their order is decoded."""
    lf.utils.set_random_seed(1)
    y = rng.integers(1, 4, (64, 2))
    x = rng.normal(0, 0.1, (64, 12, 4)).astype(np.float32)
    for b, (first, second) in enumerate(y):
        places = sorted(rng.choice(12, 2, replace=False))
        x[b, places[0], first] += 3
        x[b, places[1], second] += 3
    model = lf.Sequential([lf.Input((12, 4)), lf.layers.LSTM(24, return_sequences=True), lf.layers.Dense(4)])
    model.compile(lf.optimizers.Adam(0.02), loss="ctc")
    history = model.fit(x, y, epochs=40, verbose=0)
    assert history.history["loss"][-1] < 0.2 * history.history["loss"][0]
    paths, _ = ctc_decode(model.predict(x, verbose=0), np.full(64, 12))
    assert (paths[0, :, :2] == y).all(axis=1).mean() > 0.9


@pytest.mark.parametrize(
    ("y", "shape", "error"),
    [
        ([1, 2], (2, 3, 4), "Targets `y_true` are expected"),
        ([[1, 2]], (1, 4), "Logits `y_pred` are expected"),
        ([[1], [2]], (1, 3, 4), "y_true: expected 1 rows"),
        (
            [[0, 1]],
            (1, 3, 4),
            r"y_true\[0\]: expected class numbers from 1 and then 0 as padding, got \[0, 1\]",
        ),
        ([[1, 4]], (1, 3, 4), r"y_true: expected class numbers from 1 to 3, .* got 4 at \(0, 1\)"),
        ([[1, -1]], (1, 3, 4), "got -1"),
        ([[1, 1.5]], (1, 3, 4), "whole class numbers, got 1.5"),
    ],
)
def test_refused_targets(y: object, shape: tuple[int, ...], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        losses.CTC()(y, np.zeros(shape))


def test_targets_are_looked_through_before_training() -> None:
    loss = losses.CTC()
    loss.check_targets([[1, 1, 0]], (None, 3, 4))
    loss.check_targets([[1, 1, 0]], (None, None, 4))
    with pytest.raises(
        ValueError, match=r"y\[1\]: these labels need at least 3 time steps, the output has 2"
    ):
        loss.check_targets([[1, 2], [1, 1]], (None, 2, 4))
    with pytest.raises(ValueError, match="needs labels"):
        loss.check_targets([1, 2], (None, 2, 4))


def test_refused_arguments_of_the_kernel() -> None:
    z, y, one = np.zeros((1, 3, 4), np.float32), np.array([[1, 2]]), np.array([1])
    for arguments, error in (
        ((z[0], y, one, one, 0), r"logits: expected shape \(\*, \*, \*\)"),
        ((z, y, one, one, 4), "blank: expected a class number below 4, got 4"),
        ((z, y, np.array([3]), one, 0), r"label_lengths\[0\]: expected 0 to 2, got 3"),
        ((z, y, one, np.array([4]), 0), r"input_lengths\[0\]: expected 0 to 3, got 4"),
        (
            (z, y, one, one, 1),
            r"labels\[0, 0\]: expected a class number below 4 other than the blank 1, got 1",
        ),
        ((z, np.array([[9, 1]]), one, one, 0), r"labels\[0, 0\]: .* got 9"),
        ((z, y, one, one, 0, np.ones(2, np.float32)), r"weight: expected shape \(1,\)"),
    ):
        with pytest.raises(ValueError, match=error):
            _core.ctc_loss(*arguments)


# ---- decoding


@pytest.mark.parametrize("blank", [0, 1, 2])
def test_a_beam_wide_enough_finds_the_best_labellings(blank: int, rng: np.random.Generator) -> None:
    logits = rng.normal(0, 1.5, (3, 5, 3)).astype(np.float32)
    lengths = np.array([5, 3, 1])
    paths, scores = ctc_decode(logits, lengths, "beam_search", beam_width=500, top_paths=4, mask_index=blank)
    assert paths.shape == (4, 3, 5) and scores.shape == (3, 4)
    for b, length in enumerate(lengths):
        best = sorted(labellings(logits[b, :length], blank).items(), key=lambda item: -item[1])
        for k in range(4):
            found = tuple(int(i) for i in paths[k, b] if i >= 0)
            if k < len(best):
                assert found == best[k][0]
                assert scores[b, k] == pytest.approx(math.log(best[k][1]), rel=1e-5)
            else:
                assert found == () and scores[b, k] == -np.inf


def test_greedy_decoding() -> None:
    logits = np.full((1, 7, 3), -1, np.float32)
    logits[0, range(7), [1, 1, 0, 1, 2, 2, 1]] = 2
    paths, scores = ctc_decode(logits, [6])
    assert paths.tolist() == [[[1, 1, 2, -1, -1, -1, -1]]] and scores.tolist() == [[-12]]
    paths, _ = ctc_decode(logits, [6], merge_repeated=False)
    assert paths.tolist() == [[[1, 1, 1, 2, 2, -1, -1]]]
    paths, _ = ctc_decode(logits, [7], mask_index=2)
    assert paths.tolist() == [[[1, 0, 1, 1, -1, -1, -1]]]


def test_decoding_of_nothing() -> None:
    for strategy in ("greedy", "beam_search"):
        paths, scores = ctc_decode(np.zeros((2, 3, 4)), [0, 0], strategy)
        assert (paths == -1).all() and not scores.any()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"strategy": "best"}, "Invalid strategy best. Supported values are 'greedy' and 'beam_search'."),
        ({"inputs": np.zeros((3, 4))}, r"inputs: expected shape \(B, T, C\), got \(3, 4\)"),
        ({"inputs": np.full((1, 3, 4), np.nan)}, "inputs: expected numbers, got NaN"),
        ({"sequence_lengths": [4]}, r"sequence_lengths: expected 0 to 3, got 4"),
        ({"sequence_lengths": [1, 1]}, r"sequence_lengths: expected shape \(1,\)"),
        ({"sequence_lengths": [1.5]}, "sequence_lengths: expected whole numbers"),
        ({"mask_index": 4}, "mask_index: expected a class number from 0 to 3, got 4"),
        ({"strategy": "beam_search", "beam_width": 0}, "beam_width: expected 1 or more, got 0"),
        ({"strategy": "beam_search", "top_paths": 0}, "top_paths: expected 1 or more, got 0"),
    ],
)
def test_refused_arguments_of_decoding(change: dict[str, object], error: str) -> None:
    arguments: dict[str, object] = {"inputs": np.zeros((1, 3, 4)), "sequence_lengths": [3], **change}
    with pytest.raises(ValueError, match=error):
        ctc_decode(**arguments)  # type: ignore[arg-type]
