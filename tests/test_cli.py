# SPDX-License-Identifier: BSD-3-Clause
"""The command line: the demo end to end, small and at its defaults, and the errors users make."""

import re
import subprocess
import sys

import numpy as np
import pytest

import lstmfast as lf
from lstmfast.cli import main


def test_info(capsys):
    assert main(["info"]) == 0
    assert lf.isa() in capsys.readouterr().out


def test_module_and_entry_point_are_one():
    run = subprocess.run(
        [sys.executable, "-m", "lstmfast", "info"], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith("version")


@pytest.mark.parametrize(
    "arguments",
    [[], ["nonsense"], ["demo", "--epochs", "0"], ["demo", "--units", "x"], ["demo", "--seed", "-1"]],
)
def test_wrong_arguments(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: lstmfast" in capsys.readouterr().err


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit):
        main(["demo", "--help"])
    out = capsys.readouterr().out
    for option in ("--epochs", "--units", "--seed", "--threads", "--save", "--picture"):
        assert option in out


def test_demo_in_small(capsys, tmp_path):
    path = tmp_path / "kept.safetensors"
    before = lf.get_num_threads()
    assert main(["demo", "--epochs", "2", "--units", "8", "--threads", "1", "--save", str(path)]) == 0
    assert lf.get_num_threads() == before
    captured = capsys.readouterr()
    assert "the same, bit for bit" in captured.out
    assert "true speaker" in captured.out
    assert "training" in captured.err  # the progress bar
    assert float(re.search(r"largest difference over 370 utterances (\S+)", captured.out)[1]) < 1e-5
    assert lf.saving.load_model(path).layers[2].units == 8


def test_demo_reaches_its_accuracy(capsys):
    """As README's first command runs it, but for another seed."""
    assert main(["demo", "--seed", "7"]) == 0
    assert float(re.search(r"test accuracy (\S+)", capsys.readouterr().out)[1]) >= 0.95


def test_demo_is_reproducible(capsys):
    outputs = []
    for threads in ("1", "2"):
        main(["demo", "--epochs", "1", "--units", "8", "--seed", "3", "--threads", threads])
        outputs.append(re.search(r"test loss.*", capsys.readouterr().out)[0])
    assert outputs[0] == outputs[1]


def test_picture(tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "speakers.png"
    assert main(["demo", "--epochs", "1", "--units", "4", "--picture", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")


def test_picture_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SystemExit, match=r"lstmfast\[plot\]"):
        main(["demo", "--picture", "x.png"])


def test_numpy_model_is_the_model(rng):
    from lstmfast.demo import build_model, numpy_model

    model = build_model(6)
    frames = rng.normal(size=(9, 12)).astype(np.float32)
    np.testing.assert_allclose(
        numpy_model(model.get_weights())(frames), model(frames[None])[0], rtol=1e-5, atol=1e-6
    )
