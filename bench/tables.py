# SPDX-License-Identifier: BSD-3-Clause
"""A report of `duel.py --json` as a table for a README.

    python bench/tables.py REPORT.json [REPORT.json ...] [--limits LIMITS.json] [--brief]

Times are the report's medians in microseconds; the ratio is the report's, the best peer's time over ours. Of several reports
of the same rows and engines the medians of both. With the figures
of `limits.py --json`, of the same machine, the last column is the share of what the machine can do: the time that the
multiply-adds take at its peak or that the weights take at its read rate, whichever is longer, over our time. Weights are
all read once by a single step, and in a sequence the recurrent ones once a time step for the whole batch. The rate is that
of the measured set of their size or the next smaller one, or of a larger one that was read faster (which only noise explains):
where the rate is in doubt the limit is too short a time, and the share too low.
Of training only the multiply-adds count. --brief names the best peer instead of giving each a column.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from engines import TITLES, is_ours
from workloads import Infer, Train, Workload, from_json

NAMES = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "SimpleRNN"}


def median_of(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """One report of several duels over the same rows: median times and ratios, the largest errors."""
    first = reports[0]
    if len(reports) == 1:
        return first
    alike = [(r["machine"], r["engines"], r["rounds"], r.get("clock"), list(r["rows"])) for r in reports]
    if any(other != alike[0] for other in alike):
        sys.exit("the reports are of different machines, engines, rounds or rows")
    rows = {}
    for name, row in first["rows"].items():
        duels = [r["rows"][name] for r in reports]
        engines = [e for e in first["engines"] if all(e in d["seconds"] for d in duels)]
        seconds = {e: statistics.median(d["seconds"][e] for d in duels) for e in engines}
        ratios = [d["ratio"] for d in duels]
        rows[name] = {
            **row,
            "seconds": seconds,
            "error": {
                e: max(d["error"][e] for d in duels) for e in engines if all(e in d["error"] for d in duels)
            },
            "failed": {e: reason for d in duels for e, reason in d["failed"].items()},
            "best": min((e for e in engines if not is_ours(e)), key=seconds.__getitem__, default=None),
            "ratio": None if None in ratios else statistics.median(ratios),
        }
    return {**first, "rows": rows, "duels": len(reports)}


def title(engine: str) -> str:
    return TITLES.get(engine, engine)


def in_words(w: Workload) -> str:
    """Batch x steps, then the layer."""
    shape = f"{w.batch} x {w.time}"
    if isinstance(w, Train):
        return ", ".join(["training", shape, layer(w.kind, w.hidden, w.inputs), *w.notes])
    if w.time == 1:
        shape = "one step" if w.batch == 1 else f"one step of {w.batch}"
    elif w.batch == 1:
        shape = f"sequence of {w.time}"
    stack = f"{'bidirectional' if w.bi else 'stack'} x {w.layers}" if w.layers > 1 else "bidirectional"
    before = f"{stack}, " if w.bi or w.layers > 1 else ""
    return f"{before}{'ragged ' if w.ragged else ''}{shape}, {layer(w.cell, w.hidden, w.features)}"


def layer(cell: str, hidden: int, inputs: int) -> str:
    return f"{NAMES[cell]} {hidden}" + (f" of {inputs}" if inputs != hidden else "")


def read_seconds(bytes_read: int, of: int, gbs: dict[str, float]) -> float:
    sizes = sorted(map(int, gbs))
    size = max((s for s in sizes if s <= of), default=sizes[0])
    return bytes_read / max(gbs[str(s)] for s in sizes if s >= size) * 1e-9


def limit_seconds(w: Workload, limits: dict[str, Any], threads: int) -> float:
    """What the machine needs for this at least."""
    arithmetic: float = w.flops / limits["fma_gflops"][str(threads)] * 1e-9
    if not isinstance(w, Infer):
        return arithmetic
    gbs = limits["read_gbs"][str(threads)]
    return max(arithmetic, sum(read_seconds(count, of, gbs) for count, of in w.streams))


def microseconds(seconds: float) -> str:
    us = seconds * 1e6
    return f"{us:,.1f}" if us < 100 else f"{us:,.0f}"


def cells(
    row: dict[str, Any],
    peers: list[str],
    limits: dict[str, Any] | None,
    threads: int,
    brief: bool,
    errors: bool,
) -> list[str]:
    workload, seconds, error = from_json(row["workload"]), row["seconds"], row["error"]
    ours = row["ours"]

    def time(engine: str | None) -> str:
        if engine in row["failed"]:
            return "failed"
        return microseconds(seconds[engine]) if engine in seconds else "-"

    ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}" + " (slower)" * (row["ratio"] < 1)
    worst = max((e for name, e in error.items() if name in peers), default=None)
    best = (
        [f"{time(row['best'])} {title(row['best'])}" if row["best"] else "-"]
        if brief
        else [*map(time, peers)]
    )
    line = [in_words(workload), time(ours), *best, ratio]
    if errors:
        line += ["-" if e is None else f"{e:.1e}" for e in (error.get(ours), worst)]
    if limits is not None:
        share = None if ours is None else limit_seconds(workload, limits, threads) / seconds[ours]
        line.append("-" if share is None else f"{share:.0%}")
    return line


def sentence(report: dict[str, Any], limits: dict[str, Any] | None) -> str:
    machine, engines = report["machine"], report["engines"]
    threads = machine["threads"]
    clock = "microseconds of processor time" if report.get("clock") == "cpu" else "microseconds"
    rounds = f"{report['duels']} duels of {report['rounds']}" if "duels" in report else report["rounds"]
    parts = [
        f"{machine['cpu']}, {threads} thread{'s' * (threads != 1)}",
        ", ".join(f"{title(name)} {engine['version']}" for name, engine in engines.items()),
        f"{clock}, medians of {rounds} interleaved rounds, batch x steps",
    ]
    used = list(dict.fromkeys(row["ours"] for row in report["rows"].values() if row["ours"]))
    if len(used) > 1:
        parts.append("ours is " + ", else ".join(title(name) for name in engines if name in used))
    if limits is not None:
        parts.append(
            f"the limit is the longer of the multiply-adds at {limits['fma_gflops'][str(threads)]:,.0f} GF/s "
            "and the weights at the rate at which a set of their size can be read"
        )
    return "; ".join(parts) + "."


def table(
    report: dict[str, Any], limits: dict[str, Any] | None = None, brief: bool = False, errors: bool = True
) -> str:
    names = list(report["engines"])
    own = [name for name in names if is_ours(name)]
    peers = [name for name in names if not is_ours(name)]
    header = ["", title(own[0]) if len(own) == 1 else "lstmfast"]
    header += ["best peer"] if brief else [*map(title, peers)]
    header += ["best peer / ours"] + ["our error", "largest error of a peer"] * errors
    header += ["of the limit"] if limits is not None else []
    lines = [header, ["---", *["---:"] * (len(header) - 1)]]
    threads = report["machine"]["threads"]
    lines += [cells(row, peers, limits, threads, brief, errors) for row in report["rows"].values()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{sentence(report, limits)}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reports", type=Path, nargs="+", metavar="REPORT")
    parser.add_argument("--limits", type=Path)
    parser.add_argument("--brief", action="store_true")
    a = parser.parse_args()
    report = median_of([json.loads(path.read_text()) for path in a.reports])
    limits = json.loads(a.limits.read_text()) if a.limits else None
    if limits is not None:
        threads, cpu = report["machine"]["threads"], report["machine"]["cpu"]
        if str(threads) not in limits["fma_gflops"]:
            sys.exit(f"{a.limits} has no figures for {threads} threads: limits.py --threads {threads}")
        if limits.get("cpu", cpu) != cpu:
            sys.exit(f"{a.limits} is of another machine ({limits['cpu']}) than {a.reports[0]} ({cpu})")
    print(table(report, limits, a.brief))


if __name__ == "__main__":
    main()
