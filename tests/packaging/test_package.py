# SPDX-License-Identifier: BSD-3-Clause
"""Version, contents, dependencies and import time of the installed package."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import _core

PACKAGE = Path(lf.__file__).parent


def test_one_version_everywhere():
    assert lf.__version__ == _core.__version__ == importlib.metadata.version("lstmfast")


def test_what_a_user_needs_is_there():
    for name in ("py.typed", "_core.pyi", "datasets/data/japanese_vowels.npz"):
        assert (PACKAGE / name).is_file(), name


def test_no_sources_in_the_package():
    assert not [p for p in PACKAGE.rglob("*") if p.suffix in {".cpp", ".o", ".c"}]


def test_run_time_dependencies():
    plain = [r for r in importlib.metadata.requires("lstmfast") if "extra ==" not in r]
    assert sorted(r.split(">")[0].strip() for r in plain) == ["numpy", "tqdm"]


def test_licences_travel_along():
    files = [str(f) for f in importlib.metadata.files("lstmfast") if "licenses" in str(f)]
    assert any(f.endswith("LICENSE") for f in files) and any("CC-BY-4.0" in f for f in files)
    assert importlib.metadata.metadata("lstmfast")["License-Expression"] == "BSD-3-Clause AND CC-BY-4.0"


def test_import_is_light():
    """At most 20 ms beyond `import numpy`, each at its fastest of nine, where that takes 85 ms: a slower machine may take
    longer for both. With a model 90 ms. Nothing heavy comes along."""

    def seconds(code: str) -> float:
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
        )
        return time.perf_counter() - start

    programs = ("import numpy", "import lstmfast", "import lstmfast; lstmfast.Sequential")
    for program in programs:
        seconds(program)  # byte code
    numpys, ours, models = (
        min(times) for times in zip(*(map(seconds, programs) for _ in range(9)), strict=True)
    )
    machine = max(1.0, numpys / 0.085)
    assert ours - numpys < 0.020 * machine
    assert models - numpys < 0.090 * machine
    heavy = ("torch", "keras", "h5py", "matplotlib", "sklearn", "onnx")
    code = f"import sys, lstmfast; lstmfast.Sequential; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_every_public_name_is_there():
    """Names load at first use: each in a process of its own, in an order of its own."""
    code = "import lstmfast as lf; assert {*lf.__all__} <= {*dir(lf)}; [getattr(lf, n) for n in reversed(lf.__all__)]"
    subprocess.run([sys.executable, "-c", code], check=True)
    for name in ("LSTM", "FrozenModel", "saving", "losses"):
        subprocess.run([sys.executable, "-c", f"from lstmfast import {name}"], check=True)
    with pytest.raises(AttributeError, match="no attribute 'LSTMs'"):
        lf.LSTMs  # noqa: B018


def test_importing_does_not_change_floating_point_state():
    assert np.float32(1e-45) * np.float32(1) != 0
    code = "import lstmfast, numpy as np; assert np.float32(1e-40) / np.float32(2) != 0"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env=os.environ)
