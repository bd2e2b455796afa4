# SPDX-License-Identifier: BSD-3-Clause
"""Adam's kin, RMSprop, Adagrad, Adadelta and what an optimizer does beside its update, against reference.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lstmfast import _core, reference

SHAPES = [(1,), (3,), (15, 1), (16,), (17,), (31, 2), (33, 3), (), (100,), (0, 5), (700, 99)]
Slots = list[list[np.ndarray]]
# Native call and reference, both for one step (counted from 1); how many slots; what they start with.
Rule = tuple[Callable[[Any, int], None], Callable[[Any, Any, Slots, int], Any], int, float]


def nadam_product(beta_1: float, step: int) -> float:
    return float(np.prod([beta_1 * (1 - 0.5 * 0.96**t) for t in range(1, step + 1)]))


def rmsprop(momentum: float, centered: bool) -> Rule:
    return (
        lambda group, _: group.rmsprop(0.01, 0.8, momentum, 1e-3, centered),
        lambda v, g, s, _: reference.rmsprop(v, g, s, 0.01, 0.8, momentum, 1e-3, centered),
        1 + (momentum > 0) + centered,
        0.0,
    )


RULES: dict[str, Rule] = {
    "amsgrad": (
        lambda group, t: group.adam(0.01, 0.9, 0.99, 1e-7, t, True),
        lambda v, g, s, t: reference.adam(v, g, s[0], s[1], 0.01, 0.9, 0.99, 1e-7, t, s[2]),
        3,
        0.0,
    ),
    "adamax": (
        lambda group, t: group.adamax(0.01, 0.9, 0.99, 1e-7, t),
        lambda v, g, s, t: reference.adamax(v, g, s[0], s[1], 0.01, 0.9, 0.99, 1e-7, t),
        2,
        0.0,
    ),
    "nadam": (
        lambda group, t: group.nadam(0.01, 0.9, 0.99, 1e-7, t, nadam_product(0.9, t)),
        lambda v, g, s, t: reference.nadam(v, g, s[0], s[1], 0.01, 0.9, 0.99, 1e-7, t),
        2,
        0.0,
    ),
    "lion": (
        lambda group, _: group.lion(0.01, 0.9, 0.99),
        lambda v, g, s, _: reference.lion(v, g, s[0], 0.01, 0.9, 0.99),
        1,
        0.0,
    ),
    "rmsprop": rmsprop(0.0, False),
    "rmsprop, momentum": rmsprop(0.5, False),
    "rmsprop, centered": rmsprop(0.0, True),
    "rmsprop, both": rmsprop(0.5, True),
    "adagrad": (
        lambda group, _: group.adagrad(0.1, 1e-7),
        lambda v, g, s, _: reference.adagrad(v, g, s[0], 0.1, 1e-7),
        1,
        0.1,
    ),
    "adadelta": (
        lambda group, _: group.adadelta(1.0, 0.9, 1e-3),
        lambda v, g, s, _: reference.adadelta(v, g, s[0], s[1], 1.0, 0.9, 1e-3),
        2,
        0.0,
    ),
}


def arrays(rng: np.random.Generator) -> list[np.ndarray]:
    return [np.asarray(rng.standard_normal(s), np.float32) for s in SHAPES]


def framed(rng: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Arrays between canaries, and their frames."""
    frames, inner = [], []
    for a in arrays(rng):
        frame = np.full(a.size + 64, 7, np.float32)
        frame[32:-32] = a.ravel()
        frames.append(frame)
        inner.append(frame[32:-32].reshape(a.shape))
    return inner, frames


def intact(frame: np.ndarray) -> bool:
    return bool(np.all(frame[:32] == 7) and np.all(frame[-32:] == 7))


def close(got: list[np.ndarray], want: list[np.ndarray]) -> None:
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("name", RULES)
def test_update(name: str, isa: str, team: int, rng: np.random.Generator) -> None:
    native, plain, slots, start = RULES[name]
    values, value_frames = framed(rng)
    grads, grad_frames = framed(rng)
    group = _core.ParameterGroup(values, grads, slots=slots + 1, isa=isa)
    spare = group.slot(slots)  # one more than the update may touch
    for k in range(slots):
        for a in group.slot(k):
            a[...] = start
    want = [v.astype(float) for v in values]
    kept = [[np.full(s, start) for s in SHAPES] for _ in range(slots)]
    for step in (1, 2, 3):
        for g, new in zip(grads, arrays(rng), strict=True):
            g[...] = new
        sent = [g.copy() for g in grads]
        native(group, step)
        want = plain(want, grads, kept, step)
        close(values, want)
        assert all(np.array_equal(a, b) for a, b in zip(grads, sent, strict=True))
    for k in range(slots):
        close(group.slot(k), kept[k])
    assert not any(np.any(a) for a in spare)
    assert all(map(intact, value_frames)) and all(map(intact, grad_frames))


@pytest.mark.parametrize("name", RULES)
def test_same_bits_on_any_team(name: str, isa: str, rng: np.random.Generator) -> None:
    native, _, slots, _ = RULES[name]
    start, grads = arrays(rng), arrays(rng)
    results = []
    for threads in (1, 2, 3, 5, 8):
        _core.set_num_threads(threads)
        values = [v.copy() for v in start]
        group = _core.ParameterGroup(values, [g.copy() for g in grads], slots=slots + 2, isa=isa)
        group.scale_values([0.9] * len(values))
        group.hold_gradients(slots)
        group.release_gradients(slots, 0.5)
        native(group, 1)
        group.average_values(slots + 1, 0.3)
        results.append(b"".join(a.tobytes() for a in [*values, *group.slot(slots + 1)]))
    assert len(set(results)) == 1


@pytest.mark.parametrize("name", RULES)
def test_avx2_and_avx512_agree_to_the_bit(name: str, rng: np.random.Generator) -> None:
    if not {"avx2", "avx512"} <= set(_core.available_isas()):
        pytest.skip("needs a machine with AVX2 and AVX-512")
    native, _, slots, _ = RULES[name]
    start, grads = arrays(rng), arrays(rng)
    results = []
    for isa in ("avx2", "avx512"):
        values = [v.copy() for v in start]
        group = _core.ParameterGroup(values, [g.copy() for g in grads], slots=slots + 1, isa=isa)
        native(group, 1)
        group.average_values(slots, 0.3)
        results.append(b"".join(a.tobytes() for a in [*values, *group.slot(slots)]))
    assert results[0] == results[1]


@pytest.mark.parametrize("name", RULES)
def test_a_gradient_that_is_not_a_number_shows(name: str, isa: str, rng: np.random.Generator) -> None:
    native, _, slots, _ = RULES[name]
    values, grads = arrays(rng), arrays(rng)
    grads[6][5, 1] = np.nan
    native(_core.ParameterGroup(values, grads, slots=slots, isa=isa), 1)
    assert np.isnan(values[6][5, 1]) and sum(int(np.isnan(v).sum()) for v in values) == 1


def test_a_mean_without_memory_forgets(isa: str) -> None:
    """beta = 0 after a gradient that dwarfs the next: the step is the next one's alone."""
    values, grads = [np.zeros(19, np.float32)], [np.full(19, 1e4, np.float32)]
    group = _core.ParameterGroup(values, grads, slots=2, isa=isa)
    group.adam(0.01, 0.0, 0.0, 1e-7, 1)
    values[0][:], grads[0][:] = 0, 1e-3
    group.adam(0.01, 0.0, 0.0, 1e-7, 2)
    np.testing.assert_allclose(values[0], -0.01 * 1e-3 / (1e-3 + 1e-7), rtol=1e-5)


def test_lion_stands_still_where_there_is_no_direction(isa: str) -> None:
    values = [np.ones(19, np.float32)]
    _core.ParameterGroup(values, [np.zeros(19, np.float32)], slots=1, isa=isa).lion(0.1, 0.9, 0.99)
    assert np.all(values[0] == 1)


def test_decay_averages_and_accumulation(isa: str, team: int, rng: np.random.Generator) -> None:
    values, value_frames = framed(rng)
    grads, grad_frames = framed(rng)
    start, first = [v.astype(float) for v in values], [g.astype(float) for g in grads]
    group = _core.ParameterGroup(values, grads, slots=2, isa=isa)
    factors = [1.0 if i % 3 == 0 else 0.5 + i for i in range(len(values))]
    group.scale_values(factors)
    want = [v * f for v, f in zip(start, factors, strict=True)]
    close(values, want)
    group.average_values(1, 0.0)
    group.scale_values([2.0] * len(values))
    group.average_values(1, 0.25)
    close(group.slot(1), [0.25 * v + 0.75 * 2 * v for v in want])
    group.hold_gradients(0)
    group.scale_gradients(3.0)
    group.hold_gradients(0)
    close(group.slot(0), [4 * g for g in first])
    group.release_gradients(0, 0.5)
    close(grads, [3.5 * g for g in first])
    assert not any(np.any(s) for s in group.slot(0))
    assert all(map(intact, value_frames)) and all(map(intact, grad_frames))


def test_errors_name_the_argument() -> None:
    group = _core.ParameterGroup([np.ones(3, np.float32)], [np.ones(3, np.float32)])
    for name, (native, _, slots, _) in RULES.items():
        with pytest.raises(ValueError, match=f"needs a group made with slots={slots}, got slots=0"):
            native(group, 1)
        if name in ("amsgrad", "adamax", "nadam"):
            full = _core.ParameterGroup([np.ones(3, np.float32)], [np.ones(3, np.float32)], slots=3)
            with pytest.raises(ValueError, match="step: expected 1 for the first update"):
                native(full, 0)
    full = _core.ParameterGroup([np.ones(3, np.float32)], [np.ones(3, np.float32)], slots=3)
    with pytest.raises(ValueError, match="beta_1: expected 0 <= beta < 1"):
        full.adamax(0.1, 1.0, 0.9, 1e-7, 1)
    with pytest.raises(ValueError, match="product: expected 0 <= beta < 1"):
        full.nadam(0.1, 0.9, 0.9, 1e-7, 1, 1.0)
