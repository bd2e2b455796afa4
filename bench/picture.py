# SPDX-License-Identifier: BSD-3-Clause
"""A report of `duel.py --json` as a picture: time against hidden size, single steps beside sequences.

    python bench/picture.py REPORT.json OUT.svg

Takes the rows `step_h*` and `seq1_h*`; needs matplotlib. The same report gives the same bytes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from engines import is_ours
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator
from tables import NAMES, title

PANELS = {"step_h": "one step", "seq1_h": "one sequence"}
OURS = ["#000000", "#777777"]
PEERS = ["#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]  # Okabe and Ito's: for all eyes
MARKERS = "osD^vP"


def curves(report: dict[str, Any], prefix: str) -> dict[str, list[tuple[int, float]]]:
    """(hidden size, microseconds) of each engine, in the report's order; an engine without such a row has no curve."""
    found: dict[str, list[tuple[int, float]]] = {name: [] for name in report["engines"]}
    for name, row in report["rows"].items():
        if name.startswith(prefix):
            for engine, seconds in row["seconds"].items():
                found[engine].append((row["workload"]["hidden"], seconds * 1e6))
    return {engine: sorted(points) for engine, points in found.items() if points}


def styles(engines: list[str]) -> dict[str, dict[str, Any]]:
    """By engine, so that both panels agree."""
    own = [e for e in engines if is_ours(e)]
    peers = [e for e in engines if not is_ours(e)]
    look: dict[str, dict[str, Any]] = {}
    for k, e in enumerate(own):
        look[e] = {"color": OURS[k % len(OURS)], "linewidth": 2.2, "marker": "o", "zorder": 3}
    for k, e in enumerate(peers):
        look[e] = {
            "color": PEERS[k % len(PEERS)],
            "linewidth": 1.3,
            "marker": MARKERS[(k + 1) % len(MARKERS)],
        }
    return look


def heading(report: dict[str, Any], prefix: str) -> str:
    first = next(row["workload"] for name, row in report["rows"].items() if name.startswith(prefix))
    steps = f" of {first['time']} steps" if first["time"] > 1 else ""
    return f"{NAMES[first['cell']]}, {PANELS[prefix]}{steps}"


def draw(report: dict[str, Any], out: Path) -> None:
    panels = {prefix: found for prefix in PANELS if (found := curves(report, prefix))}
    if not panels:
        raise SystemExit(f"the report has no rows {' or '.join(f'{p}*' for p in PANELS)}")
    look = styles(list(report["engines"]))
    plain = FuncFormatter(lambda value, _: f"{value:,g}")
    with rc_context({"svg.hashsalt": "lstmfast", "font.size": 9}):
        figure = Figure(figsize=(4.2 * len(panels), 3.6))  # without pyplot: needs no backend
        axes = figure.subplots(1, len(panels), squeeze=False)
        named: dict[str, Any] = {}
        for ax, (prefix, found) in zip(axes[0], panels.items(), strict=True):
            for engine, points in found.items():
                (named[engine],) = ax.plot(*zip(*points, strict=True), markersize=4, **look[engine])
            ax.set_xscale("log", base=2)
            ax.set_yscale("log")
            ax.set_xticks(sorted({hidden for points in found.values() for hidden, _ in points}))
            ax.xaxis.set_minor_locator(NullLocator())
            ax.xaxis.set_major_formatter(plain)
            ax.yaxis.set_major_formatter(plain)
            ax.set_title(heading(report, prefix), fontsize=10)
            ax.set_xlabel("hidden size")
            ax.grid(axis="y", linewidth=0.4, alpha=0.5)
            ax.spines[["top", "right"]].set_visible(False)
        axes[0][0].set_ylabel("microseconds")
        order = [e for e in look if e in named]
        figure.legend(
            [named[e] for e in order],
            [title(e) for e in order],
            loc="lower center",
            ncols=min(4, len(order)),
            frameon=False,
        )
        figure.tight_layout(rect=(0, 0.07 * -(-len(order) // 4), 1, 1))
        figure.savefig(out, format="svg", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("report", type=Path)
    parser.add_argument("out", type=Path)
    a = parser.parse_args()
    draw(json.loads(a.report.read_text()), a.out)


if __name__ == "__main__":
    main()
