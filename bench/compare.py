# SPDX-License-Identifier: BSD-3-Clause
"""Paired benchmark runs of two installations: fails where the new one is slower beyond a ratio.

    python bench/compare.py OLD_PYTHON NEW_PYTHON [--ratio 1.10] [--rounds 5] [-k EXPRESSION]

Each PYTHON is the interpreter of an environment with lstmfast (an older wheel, a newer one), pytest and pytest-benchmark.
The two take turns, round after round, on the same benchmark files, so that a drifting machine hits both; a row's figure is the
median over the rounds of new time over old time. Rows that only one of them has are listed and do not count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

BENCH = Path(__file__).parent


def measure(python: str, expression: str) -> dict[str, float]:
    """Median seconds of each benchmark in one process."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        command = [
            python,
            "-m",
            "pytest",
            str(BENCH),
            "-q",
            "-p",
            "no:cacheprovider",
            "--benchmark-max-time=0.3",
            "--benchmark-disable-gc",
        ]
        command += [f"--benchmark-json={out}", *(["-k", expression] if expression else [])]
        done = subprocess.run(command, capture_output=True, text=True, cwd=BENCH.parent)
        if not out.exists() or not out.stat().st_size:
            sys.exit(f"{python}: no benchmark ran\n{done.stdout}\n{done.stderr}")
        return {b["fullname"]: b["stats"]["median"] for b in json.loads(out.read_text())["benchmarks"]}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument(
        "--ratio", type=float, default=1.10, help="new/old above which a row is a regression (default 1.10)"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("-k", dest="expression", default="", help="pytest's -k")
    a = parser.parse_args()

    rounds = [(measure(a.old, a.expression), measure(a.new, a.expression)) for _ in range(a.rounds)]
    both = [row for row in rounds[0][0] if all(row in old and row in new for old, new in rounds)]
    slower = []
    for row in both:
        ratio = statistics.median(new[row] / old[row] for old, new in rounds)
        old_us = statistics.median(old[row] for old, _ in rounds) * 1e6
        mark = "  REGRESSION" if ratio > a.ratio else ""
        print(f"{row:80s} {old_us:12.1f} us  new/old {ratio:5.2f}{mark}")
        if mark:
            slower.append(row)
    for row in sorted({r for pair in rounds for side in pair for r in side} - set(both)):
        print(f"{row:80s} not in both")
    print(f"{len(both)} rows, {len(slower)} slower than {a.ratio:.2f} times the old")
    return 1 if slower or not both else 0


if __name__ == "__main__":
    sys.exit(main())
