# SPDX-License-Identifier: BSD-3-Clause
"""Duels over the standard rows of training and those of train_grid.py, and a page of their results.

    python bench/training.py --peers ENV/bin/python [--threads 1,2] [--duels N] [--rounds N] [--budget SECONDS] [--out FILE]

PyTorch (packed, and padded where that is possible) and JAX run with the interpreter of --peers; both take turns with lstmfast
in `duel.py`, --duels times for each number of threads, about five minutes each; of several duels the medians count. On one
thread processor time counts, as neighbours disturb it least; on more, wall time. The machine's limits are measured first.
The page says machine, versions and method, and for each number of threads the geometric mean, the rows that we lose, and
all rows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tables import in_words, limit_seconds, median_of, table
from workloads import STANDARD, Train, from_json

HERE = Path(__file__).parent
METHOD = """Training steps: forward, loss, backward and Adam, in float32, batches and first weights the same for all engines,
`train_on_batch` on our side. Ragged rows are given lengths, masked rows a Masking layer or an Embedding with `mask_zero` on
our side; PyTorch gets packed sequences ("PyTorch") and, where the result is the same, the whole padded batch ("PyTorch,
padded"); JAX, one compiled function around `lax.scan`, holds states still behind the ends. PyTorch has no recurrent
dropout. Padding does not count for the limit: multiply-adds of forward and backward pass at the machine's measured peak."""


def run(script: str, *arguments: Any) -> None:
    done = subprocess.run([sys.executable, str(HERE / script), *map(str, arguments)], check=False)
    if done.returncode not in (0, 1):  # 1: a row of an engine failed, which the page shows
        sys.exit(f"{script} ended with {done.returncode}")


def merged(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """The rows of all in one report."""
    return {**reports[0], "rows": {name: row for report in reports for name, row in report["rows"].items()}}


def verdict(report: dict[str, Any], limits: dict[str, Any]) -> str:
    """Geometric mean, share of the limit and losing rows in words."""
    threads, rows = report["machine"]["threads"], report["rows"]
    ratios = {name: row["ratio"] for name, row in rows.items() if row["ratio"] is not None}
    shares = [
        limit_seconds(from_json(row["workload"]), limits, threads) / row["seconds"][row["ours"]]
        for row in rows.values()
        if row["ours"]
    ]
    lost = [
        f"{in_words(from_json(rows[name]['workload']))} ({ratio:.2f} of {rows[name]['best']})"
        for name, ratio in sorted(ratios.items(), key=lambda item: item[1])
        if ratio < 1
    ]
    text = (
        f"{len(ratios)} rows compared: geometric mean of best peer's time over ours "
        f"{statistics.geometric_mean(ratios.values()):.2f}; share of the limit: median {statistics.median(shares):.0%}. "
    )
    return text + (f"Below 1.0 in {len(lost)}: {'; '.join(lost)}." if lost else "No row below 1.0.")


def page(reports: list[dict[str, Any]], limits: dict[str, Any], command: str) -> str:
    system = reports[0]["machine"]["system"]
    parts = ["# Training", f"`{command}`, on {system}.", METHOD]
    for report in reports:
        threads = report["machine"]["threads"]
        parts += [f"## {threads} thread{'s' * (threads != 1)}", verdict(report, limits)]
        parts.append(table(report, limits, errors=False))
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--peers", default=sys.executable, help="an interpreter that has torch, jax and optax"
    )
    parser.add_argument("--threads", default="1,2", help="duels, with so many threads each")
    parser.add_argument(
        "--duels", type=int, default=1, help="so many for each number of threads; medians count"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=0.45, help="seconds an engine has for a row")
    parser.add_argument("--wall", action="store_true", help="wall time on one thread too, not processor time")
    parser.add_argument("--only", default="", help="rows whose names begin with one of these")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "training.md")
    a = parser.parse_args()

    teams = [int(n) for n in a.threads.split(",")]
    engines = ["lstmfast", *(f"{name}={a.peers}" for name in ("torch", "torch_padded", "jax"))]
    standard = [name for name, w in STANDARD.items() if isinstance(w, Train)]
    with tempfile.TemporaryDirectory() as folder:
        report, limits = Path(folder) / "report.json", Path(folder) / "limits.json"
        run("limits.py", "--threads", max(teams), "--json", limits)
        figures, reports = json.loads(limits.read_text()), []
        command = "python bench/training.py --peers ENV/bin/python "
        command += f"--threads {a.threads} --duels {a.duels} --rounds {a.rounds} --budget {a.budget}"
        chosen = [name for name in standard if name.startswith(tuple(a.only.split(",")))]
        grids = [["--only", ",".join(chosen)]] if chosen else []
        grids.append(["--grid", HERE / "train_grid.py", "--only", a.only])
        for threads in teams:
            size = ["--threads", threads, "--rounds", a.rounds, "--budget", a.budget]
            size += ["--clock", "cpu"] if threads == 1 and not a.wall else []
            duels = []
            for _ in range(a.duels):
                both = []
                for grid in grids:
                    run("duel.py", *engines, *grid, *size, "--json", report)
                    both.append(json.loads(report.read_text()))
                duels.append(merged(both))
            reports.append(median_of(duels))
            print(f"{threads} threads: {verdict(reports[-1], figures)}")
            a.out.write_text(
                page(reports, figures, command)
            )  # already now, should the next duel be cut short
            print(f"written: {a.out}", flush=True)


if __name__ == "__main__":
    main()
