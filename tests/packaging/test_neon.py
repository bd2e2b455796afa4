# SPDX-License-Identifier: BSD-3-Clause
"""The AArch64 build, cross-compiled and run under qemu: every kernel against the ones of this machine.

neon_check.cpp feeds random numbers through the kernels; built for this machine with AVX2, which has fused
multiply-add too, it must write the same bits.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from lstmfast import _core

ROOT = Path(__file__).parents[2]
CROSS = "aarch64-linux-gnu-g++"
EMULATOR = "qemu-aarch64-static"
FLAGS = ["-std=c++20", "-w", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
FLAGS += ["-I", str(ROOT / "csrc")]
ENGINE = ["dispatch", "threading", "memory", "gemm", "recurrent", "layers"]

pytestmark = pytest.mark.skipif(not (ROOT / "csrc").is_dir(), reason="needs the sources")


def compile_kernels(compiler: str, isa: str, flags: list[str], out: Path) -> Path:
    command = [compiler, *FLAGS, *flags, "-O2", "-fno-exceptions", "-fno-rtti"]
    command += [f"-DLSTMFAST_ISA={isa}", f"-DLSTMFAST_ISA_{isa}=1", "-o", str(out)]
    subprocess.run([*command, "-c", str(ROOT / "csrc/kernels/compile_for_isa.cpp")], check=True)
    return out


def build(compiler: str, isa: str, flags: list[str], folder: Path) -> Path:
    """neon_check.cpp and everything below the bindings, for one instruction set."""
    folder.mkdir()
    (folder / "isa_list.inc").write_text(f"LSTMFAST_ISA_ROW({isa}, 0)\n")
    kernels = compile_kernels(compiler, isa, flags, folder / "kernels.o")
    sources = [str(path) for part in ENGINE for path in sorted((ROOT / "csrc" / part).glob("*.cpp"))]
    program = folder / "check"
    sources += [str(Path(__file__).with_name("neon_check.cpp")), str(kernels)]
    command = [compiler, *FLAGS, "-O1", "-static", "-pthread", "-I", str(folder), *sources]
    subprocess.run([*command, "-o", str(program)], check=True)
    return program


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def test_neon_kernels_compile_and_export_one_symbol(tmp_path: Path) -> None:
    need(CROSS, "aarch64-linux-gnu-nm")
    out = compile_kernels(CROSS, "neon", [], tmp_path / "neon.o")
    symbols = subprocess.check_output(["aarch64-linux-gnu-nm", "-C", str(out)], text=True).splitlines()
    exported = [
        s.split(maxsplit=2)[2] for s in symbols if len(s.split()) > 2 and s.split()[1] in "ABDGRSTVWuvw"
    ]
    assert exported == ["lstmfast::neon::kKernels"]


@pytest.mark.slow
def test_neon_kernels_give_the_bits_of_this_machine(tmp_path: Path) -> None:
    need(CROSS, EMULATOR, "g++")
    if "avx2" not in _core.available_isas():
        pytest.skip("needs an x86-64 with fused multiply-add to compare with")
    here = build("g++", "avx2", ["-mavx2", "-mfma"], tmp_path / "avx2")
    there = build(CROSS, "neon", [], tmp_path / "neon")

    rng = np.random.default_rng(5)
    numbers = (rng.standard_normal(70_000) * rng.choice([0.3, 1, 5], 70_000)).astype(np.float32)
    numbers[:400:50] = [-0.0, np.inf, -np.inf, np.nan, 1e-40, 3e38, 8.14, -88]
    data = numbers.tobytes()
    want = subprocess.run([str(here)], input=data, capture_output=True, check=True)
    got = subprocess.run([EMULATOR, str(there)], input=data, capture_output=True, check=True)
    assert want.stderr == got.stderr == b""
    a, b = np.frombuffer(want.stdout, np.float32), np.frombuffer(got.stdout, np.float32)
    exact = 1 + int(a[0])
    assert exact > 40_000 and a.size == b.size > exact
    assert np.array_equal(a[:exact], b[:exact], equal_nan=True)
    np.testing.assert_allclose(b[exact:], a[exact:], rtol=1e-5, atol=1e-5)
