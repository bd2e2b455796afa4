# SPDX-License-Identifier: BSD-3-Clause
"""Loads the extension module, with the idle threads of its OpenMP runtime on a short leash.

libgomp's idle workers spin for about 10 ms by default before they sleep. Between two of our calls that burns the share of the
CPU that the next call needs: with one other busy process a training step was seen to take 10 times as long. libgomp
reads its setting once, when it is loaded, from the environment, so that is set for that moment and put back. A user's own
``OMP_WAIT_POLICY`` or ``GOMP_SPINCOUNT`` wins. Where libgomp is in the process already (a build that shares it with
others) nothing happens.
"""

from __future__ import annotations

import os

# Iterations of a pause, 50 to 100 us in all: longer than the Python code between the calls of a training step.
_SPIN = "5000"


def _load() -> None:
    own = not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()
    if own:
        os.environ["GOMP_SPINCOUNT"] = _SPIN
    try:
        from . import _core  # noqa: F401
    finally:
        if own:
            del os.environ["GOMP_SPINCOUNT"]


_load()
