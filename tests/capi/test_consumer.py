# SPDX-License-Identifier: BSD-3-Clause
"""A Cython program compiled against the installed package calls the kernels and gets the same bits."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import _core

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.fixture(scope="module")
def consumer(tmp_path_factory):
    pytest.importorskip("Cython")
    folder = tmp_path_factory.mktemp("capi")
    source = shutil.copy(Path(__file__).with_name("consumer.pyx"), folder)
    package = Path(lf.__file__).parents[1]
    subprocess.run([sys.executable, "-m", "cython", "-3", "-I", str(package), source], check=True, cwd=folder)
    out = folder / f"consumer{sysconfig.get_config_var('EXT_SUFFIX')}"
    command = [
        "cc",
        "-shared",
        "-fPIC",
        "-O1",
        "-w",
        "-I",
        sysconfig.get_paths()["include"],
        "-I",
        lf.get_include(),
    ]
    subprocess.run([*command, str(folder / "consumer.c"), "-o", str(out)], check=True)
    spec = importlib.util.spec_from_file_location("consumer", out)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_lstm(consumer, rng):
    kernel, recurrent = rng.standard_normal((5, 28), np.float32), rng.standard_normal((7, 28), np.float32)
    bias, x = rng.standard_normal(28, np.float32), rng.standard_normal((3, 4, 5), np.float32)
    y, h, c = np.empty((3, 4, 7), np.float32), np.empty((3, 7), np.float32), np.empty((3, 7), np.float32)
    consumer.lstm(kernel, recurrent, bias, x, y, h, c)
    weights = _core.RecurrentWeights("lstm", kernel, recurrent, bias)
    want, states, _ = _core.recurrent_forward(weights, x, return_sequences=True)
    assert np.array_equal(y, want) and np.array_equal(h, states[0]) and np.array_equal(c, states[1])


def test_dense(consumer, rng):
    kernel, x = rng.standard_normal((5, 6), np.float32), rng.standard_normal((3, 5), np.float32)
    y = np.empty((3, 6), np.float32)
    assert consumer.dense(kernel, x, y) == 0
    assert np.array_equal(y, _core.dense_forward(_core.DenseWeights(kernel, None), x))


def test_errors_are_told(consumer):
    message = consumer.error_of_unknown_cell()
    assert message.startswith("cell: expected one of 'lstm', ") and message.endswith("got 'gated'")


def test_versions(consumer):
    assert consumer.versions() == (1, lf.isa(), lf.get_num_threads())
