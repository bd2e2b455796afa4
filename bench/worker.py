# SPDX-License-Identifier: BSD-3-Clause
"""One engine in a process of its own; `duel.py` starts it and gives it orders, a line of JSON each.

{"order": "hello"}                               -> {"version": ..., "python": ...}
{"order": "load", "row": ..., "expected": FILE}  -> {"has": true, "error": ...} or {"has": false}
{"order": "time", "seconds": ..., "clock": "wall" or "cpu"} -> {"seconds": median of a call}
A failure is answered with {"failed": why}.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from typing import Any

import engines
import numpy as np
from workloads import Infer, largest_error, load_grid

SAMPLE = 1e-3  # shorter calls are timed several at once


class Worker:
    def __init__(self, engine: str, threads: int, grid: str | None) -> None:
        self.engine, self.threads, self.grid = engine, threads, load_grid(grid)
        self.ready: engines.Ready | None = None
        self.calls = 1  # in a sample

    def hello(self) -> dict[str, Any]:
        return {"version": engines.version(self.engine), "python": platform.python_version()}

    def load(self, row: str, expected: str | None = None) -> dict[str, Any]:
        self.ready = None  # frees the last workload before the next one is built
        workload = self.grid[row]
        self.ready = engines.prepare(self.engine, workload, self.threads)
        if self.ready is None:
            return {"has": False}
        call = self.ready.call
        first = call()
        error = None
        if self.ready.outputs and expected and isinstance(workload, Infer):
            error = largest_error(workload, self.ready.outputs(first), np.load(expected))
        call()
        start = time.perf_counter()
        call()
        self.calls = max(1, int(SAMPLE / max(time.perf_counter() - start, 1e-7)))
        return {"has": True, "error": error}

    def time(self, seconds: float, clock: str = "wall") -> dict[str, Any]:
        assert self.ready is not None
        call, calls, samples = self.ready.call, range(self.calls), []
        now = time.process_time if clock == "cpu" else time.perf_counter
        call()
        end = time.perf_counter() + seconds
        while len(samples) < 3 or time.perf_counter() < end:
            start = now()
            for _ in calls:
                call()
            samples.append(now() - start)
        return {"seconds": statistics.median(samples) / self.calls}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=engines.ENGINES)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--grid")
    a = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not come between the answers
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(
            0, sorted(os.sched_getaffinity(0))[: a.threads]
        )  # binds engines that size their own pools
    worker = Worker(a.engine, a.threads, a.grid)
    for line in sys.stdin:
        arguments = json.loads(line)
        try:
            answer = getattr(worker, arguments.pop("order"))(**arguments)
        except Exception as e:
            answer = {"failed": f"{type(e).__name__}: {e}".splitlines()[0][:300]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
