# SPDX-License-Identifier: BSD-3-Clause
"""The examples run as a user runs them, with small numbers."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
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


def number(pattern, text):
    return float(re.search(pattern, text)[1])


def test_remember_and_turn(tmp_path):
    text = run("remember_and_turn.py", "--updates", 120, cwd=tmp_path)
    assert number(r"right turns ([\d.]+) of", text) > 0.95  # 0.5 without memory
    assert number(r"chance 0\.5\), ([\d.]+) steps", text) < 9  # the shortest way takes 7


def test_forecast_uncertainty(tmp_path):
    text = run("forecast_uncertainty.py", "--epochs", 20, cwd=tmp_path)
    likelihood, best, plain = (
        number(pattern + r" (-?[\d.]+)", text) for pattern in ("likelihood", "of the truth", "for all hours")
    )
    assert best < likelihood < best + 0.15 < plain - 0.2
    assert number(r"log deviation ([\d.]+)", text) > 0.95
    assert number(r"between the quantiles of 5 and 95 %: ([\d.]+)", text) == pytest.approx(0.9, abs=0.04)
    assert number(r"by night ([\d.]+)", text) < 0.5 * number(r"by day ([\d.]+)", text)


def test_its_losses_have_the_right_gradients():
    example = runpy.run_path(str(EXAMPLES / "forecast_uncertainty.py"))
    rng = np.random.default_rng(0)
    for name, outputs in (("gaussian_nll", 2), ("pinball", 3)):
        loss, y = example[name], rng.standard_normal((4, 5, 1))
        at, way = rng.standard_normal((2, 4, 5, outputs))
        slope = (loss(y, at + 1e-6 * way)[0] - loss(y, at - 1e-6 * way)[0]) / 2e-6
        np.testing.assert_allclose((loss(y, at)[1] * way).sum(-1), slope, atol=1e-6 * np.abs(slope).max())


def test_one_long_series(tmp_path):
    text = run("one_long_series.py", "--epochs", 15, cwd=tmp_path)
    assert "optimizer steps 1200" in text  # 15 times 4000 / 50
    assert number(r"go differ by ([\d.e+-]+)", text) == 0
    assert number(r"square error ([\d.]+)", text) < 0.2 * number(r"as a forecast ([\d.]+)", text)
