# SPDX-License-Identifier: BSD-3-Clause
"""What this machine can do at most, by a small program that the system's C++ compiler makes of limits.cpp.

    python bench/limits.py [--threads N] [--seconds S] [--json FILE|-]

Measured on one thread, on two, and on as many as --threads says, each bound to a CPU: float32 multiply-adds on numbers in
registers (GF/s); reads of a set again and again, of which each thread has its own share (GB/s); and how long two threads
take to tell each other that they are there. A figure is the best of the trials in S seconds, as neighbours only slow
down. CXX names another compiler.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, TextIO

from duel import cpu_name

SOURCE = Path(__file__).with_name("limits.cpp")
FLAGS = ["-std=c++20", "-O3", "-ffp-contract=fast", "-pthread"]
COMPILERS = [os.environ.get("CXX", ""), "c++", "g++", "clang++"]


def run(seconds: float, teams: list[int]) -> str:
    compiler = next((c for c in COMPILERS if c and shutil.which(c)), None)
    if compiler is None:
        sys.exit("limits.py needs a C++ compiler: there is no c++, g++ or clang++, and CXX names none")
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/limits"
        subprocess.run([compiler, *FLAGS, str(SOURCE), "-o", program], check=True)
        command = [program, str(seconds), *map(str, teams)]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def parse(lines: str) -> dict[str, Any]:
    """What the program printed, as --json writes it; the threads and bytes are keys, so strings."""
    fma: dict[str, dict[str, float]] = {}
    read: dict[str, dict[str, float]] = {}
    meeting = None
    for line in lines.splitlines():
        kind, *values = line.split()
        if kind == "fma":
            fma.setdefault(values[0], {})[values[1]] = float(values[2])
        elif kind == "read":
            read.setdefault(values[0], {})[values[1]] = float(values[2])
        elif kind == "meeting":
            meeting = float(values[0])
    isas = list(fma)
    return {
        "isas": isas,
        # the ceiling is the faster one: some CPUs clock lower with the wider registers
        "fma_gflops": {threads: max(fma[isa][threads] for isa in isas) for threads in fma[isas[0]]},
        **{f"{isa}_fma_gflops": figures for isa, figures in fma.items()},
        "read_gbs": read,
        "meeting_ns": meeting,
    }


def show(limits: dict[str, Any], out: TextIO) -> None:
    teams = list(limits["fma_gflops"])

    def line(name: str, values: list[str]) -> None:
        print(f"{name:28s}" + "".join(f"{v:>14s}" for v in values), file=out)

    print(limits["cpu"], file=out)
    line("threads", teams)
    for isa in limits["isas"]:
        line(f"multiply-adds, {isa}, GF/s", [f"{limits[f'{isa}_fma_gflops'][t]:,.1f}" for t in teams])
    for size in limits["read_gbs"][teams[0]]:
        line(f"read {int(size) >> 10} KiB, GB/s", [f"{limits['read_gbs'][t][size]:,.1f}" for t in teams])
    if limits["meeting_ns"] is not None:
        print(f"a meeting of two threads: {limits['meeting_ns']:.0f} ns", file=out)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument("--threads", type=int, default=allowed)
    parser.add_argument("--seconds", type=float, default=0.3, help="for each figure (default 0.3)")
    parser.add_argument("--json", help="write the figures to this file; -: to stdout, instead of the table")
    a = parser.parse_args()

    teams = sorted({1, min(2, a.threads), a.threads})
    limits = {"cpu": cpu_name(), **parse(run(a.seconds, teams))}
    show(limits, sys.stderr if a.json == "-" else sys.stdout)
    if a.json == "-":
        json.dump(limits, sys.stdout, indent=1)
    elif a.json:
        Path(a.json).write_text(json.dumps(limits, indent=1))


if __name__ == "__main__":
    main()
