# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures shared by all tests, and the seeded sample of the expensive ones."""

from __future__ import annotations

import ctypes
import mmap
import os
import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import _core

EXPENSIVE = ("slow", "exhaustive")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--everything", action="store_true", help="run all slow and exhaustive tests, not a sample"
    )
    parser.addoption(
        "--sample-seed",
        type=int,
        default=int(os.environ.get("LSTMFAST_SAMPLE_SEED", "0")),
        help="which of the slow and exhaustive tests a normal run takes (default 0)",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without --everything, keep a seeded tenth of the slow and exhaustive tests (at least one of each)."""
    if config.getoption("--everything"):
        return
    rng = random.Random(config.getoption("--sample-seed"))
    dropped: set[pytest.Item] = set()
    for marker in EXPENSIVE:
        marked = [item for item in items if item.get_closest_marker(marker) and item not in dropped]
        kept = set(rng.sample(marked, max(1, len(marked) // 10))) if marked else set()
        dropped.update(item for item in marked if item not in kept)
    if dropped:
        config.hook.pytest_deselected(items=list(dropped))
        items[:] = [item for item in items if item not in dropped]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1234)


@pytest.fixture(params=lf.available_isas())
def isa(request: pytest.FixtureRequest) -> str:
    """Every instruction set of this machine."""
    return request.param


@pytest.fixture(params=[1, 2, 3, 5, 8])
def team(request: pytest.FixtureRequest) -> Iterator[int]:
    """Numbers of threads, more than this machine has CPUs among them."""
    before = lf.get_num_threads()
    lf.set_num_threads(request.param)
    yield request.param
    lf.set_num_threads(before)


@pytest.fixture(autouse=True)
def _threads_restored() -> Iterator[None]:
    before = lf.get_num_threads()
    yield
    lf.set_num_threads(before)


@pytest.fixture
def poisoned() -> Iterator[None]:
    """All scratch memory of the kernels starts as NaN: a read of what nobody wrote shows in the result."""
    _core.testing.poison_buffers(True)
    yield
    _core.testing.poison_buffers(False)


@pytest.fixture
def guarded() -> Iterator[Callable[[np.ndarray], np.ndarray]]:
    """Copies an array to the end of a page whose successor may not be touched: an over-read is a crash, not luck."""
    libc = ctypes.CDLL(None, use_errno=True)
    kept: list[tuple[mmap.mmap, ctypes.c_char]] = []

    def place(array: np.ndarray) -> np.ndarray:
        array = np.ascontiguousarray(array)
        page = mmap.PAGESIZE
        body = -(-array.nbytes // page) * page
        memory = mmap.mmap(-1, body + page)
        start = ctypes.c_char.from_buffer(memory)
        address = ctypes.addressof(start)
        if libc.mprotect(ctypes.c_void_p(address + body), ctypes.c_size_t(page), 0) != 0:
            pytest.skip("this system does not let a test protect a page")
        kept.append((memory, start))
        copy = np.frombuffer(memory, array.dtype, array.size, body - array.nbytes).reshape(array.shape)
        copy[...] = array
        return copy

    yield place
    for _, start in kept:  # unmapped when the last array on them is gone
        libc.mprotect(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(1), 3)
