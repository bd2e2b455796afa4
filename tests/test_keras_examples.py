# SPDX-License-Identifier: BSD-3-Clause
"""The programs of examples/keras run as a user runs them, and reach what they assert."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples" / "keras"
PROGRAMS = sorted(path.stem for path in EXAMPLES.glob("*.py"))
#: More than about three seconds of one core each.
SLOW = {
    "addition_rnn",
    "captcha_ocr",
    "lstm_character_level_text_generation",
    "lstm_seq2seq",
    "text_classification_with_transformer",
    "timeseries_classification_from_scratch",
}

pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the examples are not here")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in PROGRAMS]
)
def test_runs_and_learns(name, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")],
        capture_output=True,
        encoding="utf-8",
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "LSTMFAST_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert done.stdout.strip()
    assert list(tmp_path.iterdir()) == []  # files go into folders of their own


def test_all_are_listed_and_short():
    listed = re.findall(r"\]\((\w+)\.py\)", (EXAMPLES / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == PROGRAMS
    assert set(PROGRAMS) >= SLOW
    for name in PROGRAMS:
        assert len((EXAMPLES / f"{name}.py").read_text(encoding="utf-8").splitlines()) < 120, name
