# SPDX-License-Identifier: BSD-3-Clause
"""The same workloads on several engines, in turn: times, ratios, and errors against float64.

    python bench/duel.py lstmfast_frozen lstmfast torch=ENV/bin/python onnxruntime=ENV/bin/python ...
    options: --only PREFIX[,PREFIX...]  --grid FILE  --threads N  --rounds N  --budget SECONDS  --clock wall|cpu  --json FILE|-

Each engine is NAME or NAME=PYTHON, the interpreter of an environment that has it (default: this one, which must have
lstmfast for the float64 results). Every engine gets a process of its own; they run one after the other, round after
round, so that a drifting machine hits all alike. A cell is the median over the rounds. The ratio is the best peer's
time over that of the first lstmfast engine named that has the row: the median of the rounds' ratios, above 1 we are
faster. `-`: no such workload in that engine; FAILED: see the end of the output.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, TextIO

import engines
import numpy as np
from workloads import Infer, as_json, expected, load_grid

HERE = Path(__file__).parent
PAUSE = 0.02  # seconds between turns: thread pools spin for a while after their last task


class Seat:
    """An engine's process, and why it failed if it did."""

    def __init__(self, spec: str, threads: int, grid: str | None) -> None:
        self.name, _, python = spec.partition("=")
        if self.name not in engines.ENGINES:
            sys.exit(f"unknown engine {self.name!r}; there are {', '.join(engines.ENGINES)}")
        command = [python or sys.executable, str(HERE / "worker.py"), self.name, "--threads", str(threads)]
        command += ["--grid", grid] if grid else []
        environment = os.environ | {
            name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        }
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def ask(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        line = ""
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(order), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        if not line:
            return {"failed": f"the process ended ({self._process.wait()})"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def leave(self) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait()


def play(
    seats: list[Seat], row: str, workload: Any, rounds: int, budget: float, clock: str = "wall"
) -> dict[str, Any]:
    """One row: what each engine took in each round, its error, and why it failed."""
    failed: dict[str, str] = {}
    error: dict[str, float] = {}
    playing = []
    with tempfile.TemporaryDirectory() as folder:
        order: dict[str, Any] = {"order": "load", "row": row}
        if isinstance(workload, Infer):
            order["expected"] = f"{folder}/expected.npy"
            np.save(order["expected"], expected(workload))
        for seat in seats:
            answer = seat.ask(**order)
            if "failed" in answer:
                failed[seat.name] = answer["failed"]
            elif answer["has"]:
                playing.append(seat)
                if answer["error"] is not None:
                    error[seat.name] = answer["error"]
    taken: dict[str, list[float]] = {seat.name: [] for seat in playing}
    for _ in range(rounds):
        for seat in playing:
            if seat.name not in failed:
                time.sleep(PAUSE)
                answer = seat.ask(order="time", seconds=budget / rounds, clock=clock)
                if "failed" in answer:
                    failed[seat.name] = answer["failed"]
                else:
                    taken[seat.name].append(answer["seconds"])
    taken = {name: t for name, t in taken.items() if name not in failed}
    return {
        "workload": as_json(workload),
        "rounds": taken,
        "error": error,
        "failed": failed,
        **verdict(taken),
    }


def verdict(taken: dict[str, list[float]]) -> dict[str, Any]:
    """Medians; and the best peer in each round over our first engine in that round."""
    seconds = {name: statistics.median(t) for name, t in taken.items()}
    ours = next((name for name in taken if engines.is_ours(name)), None)
    peers = [name for name in taken if not engines.is_ours(name)]
    if ours is None or not peers:
        return {"seconds": seconds, "ours": ours, "best": None, "ratio": None}
    ratios = [min(peer) / own for own, *peer in zip(taken[ours], *(taken[p] for p in peers), strict=True)]
    best = min(peers, key=lambda p: seconds[p])
    return {"seconds": seconds, "ours": ours, "best": best, "ratio": statistics.median(ratios)}


def cpu_name() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.processor()


def show(row: str, result: dict[str, Any], names: list[str], out: TextIO) -> None:
    cells = []
    for name in names:
        if name in result["failed"]:
            cells.append("FAILED")
        elif name in result["seconds"]:
            cells.append(f"{result['seconds'][name] * 1e6:,.1f}")
        else:
            cells.append("-")
    ratio = "" if result["ratio"] is None else f"{result['ratio']:.2f} {result['best']}"
    worst = max((e for n, e in result["error"].items() if engines.is_ours(n)), default=None)
    own = "" if worst is None else f"{worst:.1e}"
    print(f"{row:28s}" + "".join(f"{c:>16s}" for c in cells) + f"  {own:>8s}  {ratio}", file=out, flush=True)


def summary(rows: dict[str, Any], out: TextIO) -> None:
    ratios = {row: r["ratio"] for row, r in rows.items() if r["ratio"] is not None}
    if ratios:
        lowest = min(ratios, key=lambda row: ratios[row])
        print(
            f"{len(ratios)} rows compared: geometric mean {statistics.geometric_mean(ratios.values()):.2f}, "
            f"lowest {ratios[lowest]:.2f} ({lowest}), behind in {sum(r < 1 for r in ratios.values())}",
            file=out,
        )
    for row, r in rows.items():
        for name, why in r["failed"].items():
            print(f"FAILED {name} {row}: {why}", file=out)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument("engines", nargs="+", metavar="NAME[=PYTHON]", help=", ".join(engines.ENGINES))
    parser.add_argument("--only", default="", help="rows whose names begin with one of these")
    parser.add_argument("--grid", help="a Python file with other rows, like grid.py")
    parser.add_argument("--threads", type=int, default=allowed, help="each process is bound to as many CPUs")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--budget", type=float, default=1.4, help="seconds an engine has for a row, all rounds"
    )
    parser.add_argument(
        "--clock",
        choices=["wall", "cpu"],
        default="wall",
        help="cpu: processor time, which neighbours on a busy machine hardly change; on one thread only, as waiting "
        "for another thread may spin",
    )
    parser.add_argument(
        "--json", help="write everything measured to this file; -: to stdout, instead of the table"
    )
    a = parser.parse_args()

    if a.clock == "cpu" and a.threads != 1:
        parser.error("--clock cpu needs --threads 1")
    chosen = {n: w for n, w in load_grid(a.grid).items() if n.startswith(tuple(a.only.split(",")))}
    if not chosen:
        parser.error("--only: no row begins so")
    out = sys.stderr if a.json == "-" else sys.stdout
    seats = [Seat(spec, a.threads, a.grid) for spec in a.engines]
    names = [seat.name for seat in seats]
    versions = {seat.name: seat.ask(order="hello") for seat in seats}
    absent = {name: v["failed"] for name, v in versions.items() if "failed" in v}
    if absent:
        sys.exit("\n".join(f"{name} does not start: {why}" for name, why in absent.items()))
    print(f"{cpu_name()}, {a.threads} threads; microseconds, medians of {a.rounds} rounds", file=out)
    print(", ".join(f"{name} {v['version']}" for name, v in versions.items()), file=out)
    header = f"{'':28s}" + "".join(f"{n:>16s}" for n in names)
    print(f"{header}  {'error':>8s}  ratio, best peer", file=out)
    rows = {}
    for row, workload in chosen.items():
        rows[row] = play(seats, row, workload, a.rounds, a.budget, a.clock)
        show(row, rows[row], names, out)
    for seat in seats:
        seat.leave()
    summary(rows, out)
    machine = {"cpu": cpu_name(), "system": platform.platform(), "threads": a.threads}
    report = {"machine": machine, "rounds": a.rounds, "clock": a.clock, "engines": versions, "rows": rows}
    if a.json == "-":
        json.dump(report, sys.stdout, indent=1)
    elif a.json:
        Path(a.json).write_text(json.dumps(report, indent=1))
    return 1 if any(r["failed"] for r in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
