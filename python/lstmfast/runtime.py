# SPDX-License-Identifier: BSD-3-Clause
"""The machine under the library: instruction set, threads, configuration."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from . import _core
from ._version import version

_core.isa()  # a wrong LSTMFAST_ISA shows here, at import, and not in the middle of a program

__all__ = [
    "available_isas",
    "get_include",
    "get_num_threads",
    "isa",
    "set_num_threads",
    "show_config",
    "threads",
]


def isa() -> str:
    """The instruction set that the kernels use: ``"avx512"``, ``"avx2"``, ``"sse2"`` or ``"neon"``.

    The best that CPU and operating system support, chosen once. The environment variable ``LSTMFAST_ISA`` forces a
    lower one; naming one that is unknown or unsupported is a ``ValueError`` at import.

    Examples
    --------
    >>> import lstmfast as lf
    >>> lf.isa() in lf.available_isas()
    True
    """
    return _core.isa()


def available_isas() -> list[str]:
    """The instruction sets of this build that run on this machine, best first."""
    return _core.available_isas()


def get_num_threads() -> int:
    """How many threads a call may use.

    What :func:`set_num_threads` said; else ``LSTMFAST_NUM_THREADS``, else ``OMP_NUM_THREADS``, else the CPUs that
    affinity and the cgroup's quota allow. A lower limit set through the OpenMP runtime (``threadpoolctl``) counts.
    1 after a fork, and in a build without OpenMP.
    """
    return _core.get_num_threads()


def set_num_threads(n: int) -> None:
    """Let calls use ``n`` threads, from 1 to 1024; more than there are CPUs is allowed (and slow).

    Results do not depend on it: the bits are the same with any number of threads.

    Raises
    ------
    ValueError
        If ``n`` is out of range.

    Examples
    --------
    >>> import lstmfast as lf
    >>> before = lf.get_num_threads()
    >>> lf.set_num_threads(1)
    >>> lf.get_num_threads()
    1
    >>> lf.set_num_threads(before)
    """
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"n: expected an int, got {type(n).__name__}")
    if not 1 <= n <= 1024:
        raise ValueError(f"n: expected a number of threads from 1 to 1024, got {n}")
    _core.set_num_threads(n)


@contextlib.contextmanager
def threads(n: int) -> Iterator[None]:
    """Use ``n`` threads inside a ``with`` block. The setting is the process's: it holds for other Python threads too.

    Examples
    --------
    >>> import lstmfast as lf
    >>> with lf.threads(1):
    ...     lf.get_num_threads()
    1
    """
    before = _core.get_num_threads()
    set_num_threads(n)
    try:
        yield
    finally:
        _core.set_num_threads(before)


def config() -> dict[str, object]:
    """What :func:`show_config` prints, as a dict."""
    l1, l2, l3 = _core.cache_sizes()
    return {
        "version": version,
        "isa": _core.isa(),
        "compiled ISAs": ", ".join(_core.compiled_isas()),
        "available ISAs": ", ".join(_core.available_isas()),
        "threading": "OpenMP" if _core.has_openmp() else "serial (built without OpenMP)",
        "threads": _core.get_num_threads(),
        "CPUs allowed": _core.cpus_allowed(),
        "meeting": f"{_core.meeting_ns()} ns of two threads (measured when threads are first used)",
        "GIL released": f"from {_core.gil_work():,} operations a call, about {_core.gil_work() / 1e5:.0f} us",
        "caches": f"L1 {l1 >> 10} KiB, L2 {l2 >> 10} KiB, L3 {l3 >> 10} KiB",
    }


def show_config() -> None:
    """Print version, compiled and chosen instruction sets, threading and cache sizes."""
    for name, value in config().items():
        print(f"{name:15s} {value}")


def get_include() -> str:
    """The folder of the C headers for programs that call the kernels without Python.

    Examples
    --------
    >>> import os
    >>> import lstmfast as lf
    >>> os.path.exists(os.path.join(lf.get_include(), "lstmfast", "capi.h"))
    True
    """
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "include")
