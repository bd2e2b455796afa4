# SPDX-License-Identifier: BSD-3-Clause
"""Frozen models and streams under threads and forks, and the memory that many calls take."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
import tracemalloc

import numpy as np
import pytest
from frozen_cases import randomized

import lstmfast as lf
from lstmfast import Input, Model, Sequential, layers


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")


def in_threads(functions):
    """Runs them all at once; what they raised."""
    errors, start = [], threading.Barrier(len(functions))

    def guarded(function):
        start.wait()
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(f,)) for f in functions]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return errors


@pytest.fixture(scope="module")
def masked():
    stack = [layers.Masking(), layers.Bidirectional(layers.LSTM(40, return_sequences=True)), layers.GRU(24)]
    return randomized(Sequential([Input((None, 8)), *stack, layers.Dense(5, activation="softmax")])).freeze()


def batches(rng, n):
    """(x, lengths) of mixed shapes, small calls and calls that drop the interpreter lock."""
    cases = []
    for _ in range(n):
        batch, time = (int(k) for k in rng.integers(1, 40, 2))
        x = rng.standard_normal((batch, time, 8), np.float32)
        x[rng.random((batch, time)) < 0.2] = 0
        cases.append((x, rng.integers(0, time + 1, batch).astype(np.int32)))
    return cases


def test_a_hundred_threads_on_one_model(masked, rng):
    cases = batches(rng, 20)
    want = [masked(x, lengths=n) for x, n in cases]
    wrong = []

    def work(seed):
        order = np.random.default_rng(seed).permutation(len(cases))
        for k in order:
            x, n = cases[k]
            out = np.empty_like(want[k])
            if not np.array_equal(masked(x, lengths=n, out=out if k % 2 else None), want[k]):
                wrong.append(k)

    assert not in_threads([lambda s=s: work(s) for s in range(100)])
    assert not wrong


@pytest.mark.parametrize("wrap", [lambda layer: layer, layers.Bidirectional])
def test_calls_while_the_number_of_threads_changes(wrap, rng):
    """Scratch is sized for the team that uses it."""
    stack = [wrap(layers.LSTM(64, return_sequences=True)), wrap(layers.GRU(32))]
    frozen = randomized(Sequential([Input((None, 8)), *stack, layers.Dense(3)])).freeze()
    x = rng.standard_normal((64, 20, 8), np.float32)
    want, wrong, done = frozen(x), [], threading.Event()

    def change():
        k = 0
        while not done.is_set():
            lf.set_num_threads((1, 8, 2, 64)[k % 4])
            k += 1

    def call():
        for _ in range(100):
            if not np.array_equal(frozen(x), want):
                wrong.append(1)
        done.set()

    assert not in_threads([change, call])
    assert not wrong


@pytest.mark.parametrize("wrap", [lambda layer: layer, layers.Bidirectional])
@pytest.mark.parametrize("units", [15, 31, 39, 64, 100])
def test_calls_after_a_pause(wrap, units, team, rng):
    """A call that follows another one closely uses more threads, which a call must not do within itself."""
    frozen = randomized(Sequential([Input((None, 35)), wrap(layers.SimpleRNN(units))])).freeze()
    for batch in (2, 10, 32):
        x = rng.standard_normal((batch, 8, 35), np.float32)
        want = frozen(x)
        for _ in range(3):
            time.sleep(0.001)
            assert np.array_equal(frozen(x), want)


def test_freezing_and_calling_at_once(rng):
    model = randomized(Sequential([Input((None, 3)), layers.LSTM(16), layers.Dense(3)]))
    x = rng.standard_normal((8, 20, 3), np.float32)
    want = model(x)

    def work():
        for _ in range(10):
            assert np.array_equal(model.freeze()(x), want)

    assert not in_threads([work] * 8)


def test_streams_on_threads_of_their_own(rng):
    stack = [layers.LSTM(200, return_sequences=True), layers.Dense(50), layers.GRU(20, return_sequences=True)]
    frozen = randomized(Sequential([Input((None, 8)), *stack])).freeze()
    xs = rng.standard_normal((4, 3, 40, 8), np.float32)
    want = [frozen(x) for x in xs]

    def work(k):
        stream = frozen.stream(3)
        for cut in (1, 7):
            stream.reset()
            parts = []
            for t in range(0, 40, cut):
                chunk = xs[k][:, t : t + cut]
                parts.append(stream.step(chunk[:, 0])[:, None] if cut == 1 else stream.push(chunk))
            assert np.array_equal(np.concatenate(parts, 1), want[k])

    assert not in_threads([lambda k=k: work(k) for k in range(4)])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("chunks", [False, True])
def test_one_stream_on_two_threads_is_an_error_and_not_a_mixture(chunks, threads, rng):
    """Calls that were refused left nothing behind: those that were not make one valid conversation."""
    lf.set_num_threads(threads)
    frozen = randomized(Sequential([Input((None, 4)), layers.LSTM(600, return_sequences=True)])).freeze()
    x = rng.standard_normal((1, 3 if chunks else 1, 4), np.float32)
    stream = frozen.stream()
    done, refused, lock = [], [], threading.Lock()

    def work(use):
        for _ in range(60):
            try:
                y = use()
            except RuntimeError as error:
                assert "in use by another thread" in str(error)
                refused.append(1)
            else:
                with lock:
                    done.append(y)

    def advance():
        return stream.push(x) if chunks else stream.step(x[:, 0])[:, None]

    others = [lambda: work(advance)] * 3
    for _ in range(20):
        assert not in_threads(others)
        if refused:
            break
    assert refused, "the threads never met"
    whole = frozen.stream()
    made = {whole.push(x).tobytes() if chunks else whole.step(x[:, 0]).tobytes() for _ in done}
    assert {y.tobytes() for y in done} == made
    assert all(np.array_equal(a, b) for a, b in zip(stream.get_state(), whole.get_state(), strict=True))


def test_states_are_guarded_too(rng):
    frozen = randomized(Sequential([Input((None, 4)), layers.LSTM(600)])).freeze()
    stream, x = frozen.stream(), rng.standard_normal((1, 4, 4), np.float32)
    states, seen = [s.tobytes() for s in stream.get_state()], []
    possible = {tuple(states)}
    twin = frozen.stream()
    for _ in range(50):
        twin.push(x)
        possible.add(tuple(s.tobytes() for s in twin.get_state()))
    done = threading.Event()

    def push():
        pushed = 0
        while pushed < 50:
            try:
                stream.push(x)
                pushed += 1
            except RuntimeError:
                pass
        done.set()

    def look():
        while not done.is_set():
            with contextlib.suppress(RuntimeError):
                seen.append(tuple(s.tobytes() for s in stream.get_state()))

    assert not in_threads([push, look])
    assert set(seen) <= possible


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child(masked, rng):
    x = rng.standard_normal((64, 30, 8), np.float32)
    lf.set_num_threads(2)
    frozen = randomized(Sequential([Input((None, 8)), layers.LSTM(300, return_sequences=True)])).freeze()
    stream, z = frozen.stream(3), rng.standard_normal((3, 6, 8), np.float32)
    want, steps = masked(x), frozen(z)
    stream.push(z[:, :2])
    stream.step(z[:, 2])
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        same = np.array_equal(masked(x), want)
        same = same and np.array_equal(stream.step(z[:, 3]), steps[:, 3])
        same = same and np.array_equal(stream.push(z[:, 4:]), steps[:, 4:])
        os.write(write, b"same" if same else b"diff")
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read() == b"same"
    os.waitpid(pid, 0)
    assert np.array_equal(masked(x), want)
    assert np.array_equal(stream.push(z[:, 3:]), steps[:, 3:])


# --- memory


def test_calls_with_out_leave_nothing_in_python(masked, rng):
    x, out = rng.standard_normal((4, 6, 8), np.float32), np.empty((4, 5), np.float32)
    frozen = randomized(Sequential([Input((None, 8)), layers.LSTM(4)])).freeze()
    stream, y = frozen.stream(4), np.empty((4, 4), np.float32)

    def calls(n):
        for _ in range(n):
            masked(x, out=out)
            stream.step(x[:, 0], out=y)
            stream.push(x)

    tracemalloc.start()
    try:
        calls(50)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        calls(1000)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 2000
    finally:
        tracemalloc.stop()


def test_errors_leave_nothing_in_python(masked, rng):
    x = rng.standard_normal((4, 6, 8), np.float32)
    frozen = randomized(Sequential([Input((None, 8)), layers.LSTM(4)])).freeze()
    stream = frozen.stream(4)

    def calls(n):
        for _ in range(n):
            for bad in (
                lambda: masked(x[:, :, :3]),
                lambda: masked(x, out=np.empty((4, 6), np.float32)),
                lambda: stream.step(x),
                lambda: stream.push(x, out=np.empty((4, 6), np.float32)),
                lambda: stream.set_state([]),
                lambda: stream.reset([9]),
            ):
                with pytest.raises((ValueError, IndexError)):
                    bad()

    tracemalloc.start()
    try:
        calls(20)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        calls(300)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 4000
    finally:
        tracemalloc.stop()


@needs_proc
@pytest.mark.slow
def test_a_hundred_thousand_calls_of_any_shape_do_not_grow(rng):
    ids = Input((None,))
    e = layers.Embedding(9, 6, mask_zero=True)(ids)
    y = layers.Bidirectional(layers.LSTM(7, return_sequences=True))(e)
    y, *states = layers.GRU(5, return_state=True, return_sequences=True)(layers.Concatenate()([y, e]))
    frozen = randomized(Model(ids, [layers.Dense(3)(layers.LSTM(4)(y)), *states])).freeze()
    most = 20
    memory = rng.integers(0, 9, (most, most))
    results = [np.empty(most * 5, np.float32) for _ in range(2)]
    lengths = rng.integers(0, most + 1, most).astype(np.int32)
    shapes = rng.integers(1, most + 1, (100_000, 2)).tolist()

    def call(batch, time):
        x = memory.ravel()[: batch * time].reshape(batch, time)
        out = [results[0][: batch * 3].reshape(batch, 3), results[1][: batch * 5].reshape(batch, 5)]
        frozen(x, lengths=np.minimum(lengths[:batch], time), out=out)

    for _ in range(300):
        call(most, most)
    gc.collect()
    before = resident_bytes()
    for shape in shapes:
        call(*shape)
    gc.collect()
    assert resident_bytes() - before < 2 << 20


@needs_proc
def test_models_and_streams_are_given_back(rng):
    model = randomized(Sequential([Input((None, 64)), layers.LSTM(128), layers.Dense(64)]))

    def once():
        frozen = model.freeze()
        stream = frozen.stream(64)
        stream.step(np.zeros((64, 64), np.float32))
        stream.push(np.zeros((64, 2, 64), np.float32))

    for _ in range(30):
        once()
    gc.collect()
    before = resident_bytes()
    for _ in range(100):
        once()
    gc.collect()
    assert resident_bytes() - before < 4 << 20  # a model and its stream are about 2 MB
