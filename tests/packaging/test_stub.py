# SPDX-License-Identifier: BSD-3-Clause
"""The committed stub of the extension module says what the binary has."""

from __future__ import annotations

import subprocess
import sys

import pytest

# pybind11's classes have a metaclass of their own, which stubs cannot name.
ALLOWED = "lstmfast._core.(Conv1DWeights|DenseWeights|ParameterGroup|Program|RecurrentTape|RecurrentWeights|Stream)\n"


def test_stub_matches_the_binary(tmp_path):
    pytest.importorskip("mypy")
    allowlist = tmp_path / "allowlist"
    allowlist.write_text(ALLOWED)
    command = [sys.executable, "-m", "mypy.stubtest", "lstmfast._core", "--allowlist", str(allowlist)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
