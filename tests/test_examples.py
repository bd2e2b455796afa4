# SPDX-License-Identifier: BSD-3-Clause
"""The examples run as a user runs them, with small numbers."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the examples are not here")


def run(name, *arguments, cwd):
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_example_is_listed_and_tested():
    names = {path.name for path in EXAMPLES.glob("*.py")}
    listed = set(re.findall(r"\]\((\w+\.py)\)", (EXAMPLES / "README.md").read_text()))
    tested = set(re.findall(r"run\(\s*\"(\w+\.py)\"", Path(__file__).read_text()))
    assert names == listed == tested


def test_choose_units(tmp_path):
    pytest.importorskip("sklearn", minversion="1.6")
    text = run("choose_units.py", "--units", 2, 16, "--epochs", 20, "--folds", 2, "--jobs", 1, cwd=tmp_path)
    assert re.search(r"^ +16 .*best$", text, re.M)
    accuracy = float(re.search(r"test accuracy with 16 units: ([\d.]+)", text)[1])
    assert accuracy > 0.85


def test_look_inside(tmp_path):
    pytest.importorskip("matplotlib")
    text = run("look_inside.py", "--units", 12, "--epochs", 15, "--out", "inside.png", cwd=tmp_path)
    assert float(re.search(r"test accuracy ([\d.]+)", text)[1]) > 0.7
    assert "lstm/f (3, 29, 12)" in text
    assert (tmp_path / "inside.png").read_bytes().startswith(b"\x89PNG")
