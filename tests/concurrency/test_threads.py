# SPDX-License-Identifier: BSD-3-Clause
"""Teams, barriers, forks, nested and simultaneous calls, denormals."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import _core


def weights(rng, inputs=24, units=64):
    return _core.RecurrentWeights(
        "lstm",
        rng.standard_normal((inputs, 4 * units), np.float32) * 0.1,
        rng.standard_normal((units, 4 * units), np.float32) * 0.1,
        None,
    )


def run(w, x):
    return _core.recurrent_forward(w, x, return_sequences=True)[0]


@pytest.mark.parametrize("threads", [1, 2, 3, 5, 8])
def test_barrier_with_any_team_size(threads):
    assert _core.testing.barrier_errors(threads, 300) == 0


def test_team_may_exceed_the_cpus():
    if not _core.has_openmp():
        pytest.skip("built without OpenMP")
    assert _core.testing.team_size(_core.cpus_allowed() + 3) == _core.cpus_allowed() + 3


def test_a_busy_neighbour_does_not_stop_the_barrier():
    spinner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        assert _core.testing.barrier_errors(_core.cpus_allowed() + 1, 200) == 0
    finally:
        spinner.kill()
        spinner.wait()


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 16])
def test_a_busy_neighbour_costs_about_its_core(batch, rng):
    """With as many threads as CPUs and one of these burnt by another process: at most 3 times the quiet time of one thread."""
    model = lf.Sequential([lf.Input((None, 256)), lf.layers.LSTM(256, return_sequences=True)]).freeze()
    x = rng.standard_normal((batch, 100, 256), np.float32)

    def seconds(threads):
        with lf.threads(threads):
            model(x)
            times = []
            until = time.perf_counter() + 1.5
            while time.perf_counter() < until or len(times) < 5:
                start = time.perf_counter()
                model(x)
                times.append(time.perf_counter() - start)
        return np.median(times)

    quiet = seconds(1)
    spinner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        assert seconds(_core.cpus_allowed()) < 3 * quiet
    finally:
        spinner.kill()
        spinner.wait()


def test_what_a_meeting_costs_is_known():
    assert 10 <= _core.meeting_ns() <= 1000
    assert f"{_core.meeting_ns()} ns" in str(lf.runtime.config()["meeting"])


def test_python_threads_may_call_at_the_same_time(rng):
    w, x = weights(rng), rng.standard_normal((8, 50, 24), np.float32)
    want, wrong = run(w, x), []

    def work():
        for _ in range(20):
            if not np.array_equal(run(w, x), want):
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(6)]
    for t in workers:
        t.start()
    for t in workers:
        t.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_runs_serial_and_gets_the_same_bits(rng):
    w, x = weights(rng), rng.standard_normal((64, 50, 24), np.float32)
    lf.set_num_threads(2)
    want = run(w, x)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, b"same" if np.array_equal(run(w, x), want) and lf.get_num_threads() == 1 else b"diff")
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read() == b"same"
    os.waitpid(pid, 0)
    assert np.array_equal(run(w, x), want)


def test_the_callers_denormals_survive(rng):
    tiny = np.array([1e-310, 1e-40])
    w, x = weights(rng), rng.standard_normal((64, 50, 24), np.float32)
    for threads in (1, 2):
        lf.set_num_threads(threads)
        run(w, x)
        assert (tiny * 0.5 != 0).all()


@pytest.mark.parametrize("n", [0, -1, 1025, 10**9])
def test_impossible_numbers_of_threads(n):
    with pytest.raises(ValueError, match="n: expected a number of threads from 1 to 1024"):
        lf.set_num_threads(n)


def test_number_of_threads_must_be_an_int():
    with pytest.raises(TypeError, match="n: expected an int, got float"):
        lf.set_num_threads(2.0)  # type: ignore[arg-type]


def test_threads_context_restores():
    before = lf.get_num_threads()
    with lf.threads(3):
        assert lf.get_num_threads() == 3
    assert lf.get_num_threads() == before


@pytest.mark.parametrize(
    ("variables", "expected"),
    [({"OMP_NUM_THREADS": "3"}, 3), ({"LSTMFAST_NUM_THREADS": "2", "OMP_NUM_THREADS": "3"}, 2), ({}, None)],
)
def test_environment_sets_the_number(variables, expected):
    if not _core.has_openmp():
        pytest.skip("built without OpenMP")
    env = {
        k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "LSTMFAST_NUM_THREADS")
    } | variables
    out = subprocess.check_output(
        [sys.executable, "-c", "import lstmfast as lf; print(lf.get_num_threads())"], env=env, text=True
    )
    assert int(out) == (expected or _core.cpus_allowed())


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs affinity")
@pytest.mark.parametrize(
    "variables",
    [
        {"OMP_PROC_BIND": "true"},
        {"OMP_PROC_BIND": "spread", "OMP_PLACES": "cores"},
        {"OMP_WAIT_POLICY": "active"},
        {"OMP_THREAD_LIMIT": "2"},
        {"OMP_DYNAMIC": "true"},
    ],
)
def test_settings_of_the_openmp_runtime(variables):
    """Teams work, and an idle process is idle, whatever the user tells OpenMP."""
    code = """
import time, lstmfast as lf
from lstmfast import _core
lf.set_num_threads(4)
assert _core.testing.barrier_errors(4, 200) == 0
assert _core.testing.barrier_errors(8, 50) == 0
print(_core.testing.team_size(2))
time.sleep(0.05)
busy = time.process_time()
time.sleep(0.3)
assert time.process_time() - busy < 0.1, time.process_time() - busy
"""
    out = subprocess.check_output(
        [sys.executable, "-c", code], env=os.environ | variables, text=True, timeout=60
    )
    assert int(out) <= 2


def test_threadpoolctl_limits_us():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    if not _core.has_openmp():
        pytest.skip("built without OpenMP")
    lf.set_num_threads(2)
    with threadpoolctl.threadpool_limits(1):
        assert lf.get_num_threads() == 1
    assert lf.get_num_threads() == 2


@pytest.mark.parametrize(
    ("name", "message"), [("mmx", "unknown instruction set 'mmx'"), ("neon", "instruction set 'neon'")]
)
def test_a_wrong_isa_is_a_clear_error(name, message):
    if name in lf.available_isas():
        pytest.skip(f"{name} runs here")
    done = subprocess.run(
        [sys.executable, "-c", "import lstmfast"],
        env={**os.environ, "LSTMFAST_ISA": name},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "LSTMFAST_ISA" in done.stderr and message in done.stderr


@pytest.mark.parametrize("name", lf.available_isas())
def test_the_isa_can_be_forced(name):
    code = "import lstmfast as lf; print(lf.isa())"
    assert (
        subprocess.check_output(
            [sys.executable, "-c", code], env={**os.environ, "LSTMFAST_ISA": name}, text=True
        ).strip()
        == name
    )
