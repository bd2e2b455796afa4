# SPDX-License-Identifier: BSD-3-Clause
"""Peak memory of training, in processes of their own."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("resource")  # not on Windows
import memory


@pytest.mark.slow
def test_rematerialization_keeps_a_quarter_at_most():
    mib = {case: memory.measured(case) for case in ("short", "long", "remat")}
    hidden, batch, time = memory.SHAPES["long"]
    floats = batch * time * hidden
    given = 4 * floats / 2**20 + mib["short"]  # the input, and a model that has hardly any activations
    kept, whole = mib["remat"] - given, mib["long"] - given
    # four gates and two states for each step: a measurement that sees less than the gates is none
    assert whole > 4 * 4 * floats / 2**20
    assert kept < whole / 4


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="what ru_maxrss counts differs")
def test_training_takes_no_more_than_pytorch():
    pytest.importorskip("torch")
    assert memory.measured("lstm") <= memory.measured("torch")
