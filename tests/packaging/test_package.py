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
    """At most 60 ms beyond `import numpy`, each at its fastest of nine, where that takes 85 ms: a slower machine may take
    longer for both. Nothing heavy comes along."""

    def seconds(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    seconds("import lstmfast")  # byte code
    pairs = [(seconds("import lstmfast"), seconds("import numpy")) for _ in range(9)]
    ours, numpys = (min(times) for times in zip(*pairs, strict=True))
    assert ours - numpys < 0.060 * max(1.0, numpys / 0.085)
    heavy = "import sys, lstmfast; print([m for m in ('torch', 'keras', 'h5py', 'matplotlib', 'sklearn', 'onnx') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", heavy], text=True).strip() == "[]"


def test_importing_does_not_change_floating_point_state():
    assert np.float32(1e-45) * np.float32(1) != 0
    code = "import lstmfast, numpy as np; assert np.float32(1e-40) / np.float32(2) != 0"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env=os.environ)
