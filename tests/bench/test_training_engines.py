# SPDX-License-Identifier: BSD-3-Clause
"""All engines train the same model on the same numbers: their losses agree, from step to step."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
from engines import prepare
from workloads import STANDARD, Train, load_grid

GRID = Path(__file__).parents[2] / "bench" / "train_grid.py"
ROWS = load_grid(str(GRID)) if GRID.is_file() else {}
SMALL = {
    name: replace(w, batch=min(w.batch, 5), time=min(w.time, 9), hidden=min(w.hidden, 16), dropout=0.0)
    for name, w in ROWS.items()
    if isinstance(w, Train)
}


@pytest.fixture(autouse=True)
def settings_of_pytorch():
    """Its engine flushes denormals, for the whole thread, and sets the number of threads, ours too where both have one
    OpenMP: not for the tests behind."""
    torch = importlib.import_module("torch") if importlib.util.find_spec("torch") else None
    threads = torch and torch.get_num_threads()
    yield
    if torch:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


def losses(engine, w):
    ready = prepare(engine, w, 1)
    return None if ready is None else [float(ready.call()) for _ in range(4)]


def one_way(w):
    """Without what is drawn anew every step."""
    return replace(w, recurrent_dropout=0.0)


@pytest.mark.parametrize("row", SMALL)
def test_losses_are_those_of_pytorch(row):
    pytest.importorskip("torch")
    w = one_way(SMALL[row])
    ours, packed, padded = (losses(engine, w) for engine in ("lstmfast", "torch", "torch_padded"))
    assert packed[0] == pytest.approx(ours[0], rel=1e-5)
    # it has two biases where we have one (all cells but the GRU), so that Adam takes two steps with them
    assert packed == pytest.approx(ours, rel=1e-5 if w.kind == "gru" else 1e-3)
    assert (padded is None) == (w.bi or not w.has_lengths)
    assert padded is None or padded == pytest.approx(packed, rel=1e-5)


@pytest.mark.parametrize("row", SMALL)
def test_losses_are_those_of_jax(row):
    pytest.importorskip("jax")
    pytest.importorskip("optax")
    w = one_way(SMALL[row])
    assert losses("jax", w) == pytest.approx(losses("lstmfast", w), rel=1e-5)


def test_pytorch_has_no_recurrent_dropout():
    pytest.importorskip("torch")
    assert prepare("torch", SMALL["lstm_recurrent_dropout_h100_b16_t60_i40"], 1) is None


def test_multiply_adds():
    # two layers: 2 flops x 3 x 4 steps x 2 directions x 4 gates x 5; per column forward and dW of the inputs, forward,
    # dW and dh of h, dx where something trains below; and three products of 10 x 7 a step
    w = Train(5, 3, 4, 6, classes=7, layers=2, bi=True, per_step=True)
    columns = 2 * 12 * 2 * 20
    assert w.flops == columns * (2 * 6 + 15) + columns * (3 * 10 + 15) + 2 * 12 * 3 * 70
    assert replace(w, vocabulary=9).flops == w.flops + columns * 6
    ragged = replace(w, batch=400, time=40, ragged=True)
    # lengths from 10 to 40, their mean is 25
    assert ragged.flops == pytest.approx(replace(ragged, ragged=False).flops * 25 / 40, rel=0.02)


def test_rows_are_told_apart():
    texts = [w.describe() for w in [*ROWS.values(), *STANDARD.values()]]
    assert len(set(texts)) == len(texts)
    assert sum(isinstance(w, Train) for w in ROWS.values()) >= 25
