# SPDX-License-Identifier: BSD-3-Clause
"""Objects compiled for one instruction set export their table and nothing that a linker could share.

A weak symbol compiled for AVX-512 may be the copy that baseline code runs: an illegal instruction on older CPUs. Wheels
do not carry the objects, so this test compiles the kernels itself, with the flags of cmake/isa.cmake.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None or shutil.which("nm") is None or not (ROOT / "csrc").is_dir(),
    reason="needs g++, nm and the sources",
)


def isa_lines() -> list[tuple[str, list[str]]]:
    """(name, GNU flags) of each instruction set of this machine's architecture."""
    text = (ROOT / "cmake" / "isa.cmake").read_text()
    arch = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    lines = re.findall(r"^lstmfast_add_isa\((\w+) ARCH (\w+)([^)]*)\)", text, re.M)
    found = []
    for name, line_arch, rest in lines:
        flags = re.search(r"GNU ((?:\s*-\S+)+)", rest)
        if line_arch == arch:
            found.append((name, flags.group(1).split() if flags else []))
    return found


def test_the_list_is_read():
    assert isa_lines()


@pytest.mark.parametrize(("name", "flags"), isa_lines(), ids=lambda v: v if isinstance(v, str) else "")
def test_objects_export_one_symbol_and_nothing_weak(name, flags, tmp_path):
    out = tmp_path / f"{name}.o"
    command = [
        "g++",
        "-std=c++20",
        "-O2",
        "-w",
        "-fPIC",
        "-fno-exceptions",
        "-fno-rtti",
        "-fvisibility=hidden",
        "-ffp-contract=off",
    ]
    command += [*flags, f"-DLSTMFAST_ISA={name}", f"-DLSTMFAST_ISA_{name}=1", "-I", str(ROOT / "csrc")]
    subprocess.run(
        [*command, "-c", str(ROOT / "csrc/kernels/compile_for_isa.cpp"), "-o", str(out)], check=True
    )
    symbols = [
        line.split() for line in subprocess.check_output(["nm", "-C", str(out)], text=True).splitlines()
    ]
    exported = [" ".join(s[2:]) for s in symbols if len(s) >= 3 and s[1].isupper() and s[1] != "U"]
    assert exported == [f"lstmfast::{name}::kKernels"]
    assert not [s for s in symbols if s[-2] in "VWuvw" and len(s[-2]) == 1]


def test_who_may_include_whom():
    """bindings, capi -> engine -> recurrent, layers -> gemm -> dispatch, threading, memory -> kernels/kernel_table.h; kernels -> simd."""
    csrc = ROOT / "csrc"
    contract = {"kernel_table.h", "elementwise_args.h", "kernels.def"}
    low = {"dispatch", "threading", "memory"}
    allowed = {
        "simd": {"simd"},
        "dispatch": {"dispatch"},
        "threading": {"threading"},
        "memory": {"memory"},
        "gemm": {"gemm"} | low,
        "recurrent": {"recurrent", "gemm"} | low,
        "layers": {"layers", "gemm"} | low,
        "engine": {"engine", "recurrent", "layers", "gemm"} | low,
        "bindings": {"bindings", "capi", "engine", "recurrent", "layers", "gemm"} | low,
        "capi": {"capi", "recurrent", "layers", "gemm"} | low,
        "kernels": {"simd", "kernels"},
    }
    for source in csrc.rglob("*.[ch]*"):
        folder = source.relative_to(csrc).parts[0]
        for include in re.findall(r'#include "([^"]+)"', source.read_text()):
            if "/" not in include:
                assert include == "isa_list.inc", f"{source}: {include}"
                continue
            if include == "lstmfast/capi.h":  # the public header
                assert folder == "capi"
                continue
            target, name = include.split("/", 1)
            ok = target in allowed[folder] or (target == "kernels" and name in contract)
            assert ok, f"{source.relative_to(csrc)} must not include {include}"
            if name.endswith("-inl.h"):
                assert folder == "simd" or source.name == "compile_for_isa.cpp", (
                    f"{source}: only compile_for_isa.cpp includes {include}"
                )
