# SPDX-License-Identifier: BSD-3-Clause
"""ParameterGroup: SGD, Adam, norms and clipping of many arrays in one call, against reference.py."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lstmfast import _core, reference

SHAPES = [(1,), (3,), (15, 1), (16,), (17,), (31, 2), (33, 3), (), (100,), (0, 5), (700, 99)]


def arrays(rng: np.random.Generator, scale: float = 1.0) -> list[np.ndarray]:
    return [np.asarray(rng.standard_normal(s) * scale, np.float32) for s in SHAPES]


def framed(array: np.ndarray) -> np.ndarray:
    """A copy between canaries."""
    frame = np.full(array.size + 64, 7, np.float32)
    frame[32:-32] = array.ravel()
    return frame[32:-32].reshape(array.shape)


def intact(array: np.ndarray) -> bool:
    base = array.base
    while base is not None and base.size != array.size + 64:
        base = base.base
    assert base is not None
    return bool(np.all(base[:32] == 7) and np.all(base[-32:] == 7))


def close(got: list[np.ndarray], want: list[np.ndarray], tolerance: float = 1e-6) -> None:
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd(isa: str, team: int, momentum: float, nesterov: bool, rng: np.random.Generator) -> None:
    values, grads = [framed(v) for v in arrays(rng)], [framed(g) for g in arrays(rng)]
    want, velocity = [v.astype(float) for v in values], [np.zeros(s) for s in SHAPES]
    group = _core.ParameterGroup(values, grads, slots=1, isa=isa)
    for _ in range(3):
        for g, new in zip(grads, arrays(rng), strict=True):
            g[...] = new
        group.sgd(0.1, momentum, nesterov)
        want = reference.sgd(want, grads, velocity, 0.1, momentum, nesterov)
    close(values, want)
    assert all(map(intact, values)) and all(map(intact, grads))
    if momentum:
        close(group.slot(0), velocity)
    else:
        assert not any(np.any(s) for s in group.slot(0))


def test_adam(isa: str, team: int, rng: np.random.Generator) -> None:
    values, grads = [framed(v) for v in arrays(rng)], [framed(g) for g in arrays(rng)]
    want, m, v = (
        [a.astype(float) for a in values],
        [np.zeros(s) for s in SHAPES],
        [np.zeros(s) for s in SHAPES],
    )
    group = _core.ParameterGroup(values, grads, slots=2, isa=isa)
    for step in (1, 2, 3):
        for g, new in zip(grads, arrays(rng), strict=True):
            g[...] = new
        group.adam(0.01, 0.9, 0.999, 1e-7, step)
        want = reference.adam(want, grads, m, v, 0.01, 0.9, 0.999, 1e-7, step)
    close(values, want)
    close(group.slot(0), m)
    close(group.slot(1), v)
    assert all(map(intact, values)) and all(map(intact, grads))


def test_updates_have_the_same_bits_on_any_team(isa: str, rng: np.random.Generator) -> None:
    start, grads = arrays(rng), arrays(rng)
    results = []
    for threads in (1, 2, 3, 5, 8):
        _core.set_num_threads(threads)
        values = [v.copy() for v in start]
        group = _core.ParameterGroup(values, [g.copy() for g in grads], slots=2, isa=isa)
        norms = (group.global_norm(), *group.norms())
        group.clip_global_norm(1.0)
        group.adam(0.01, 0.9, 0.999, 1e-7, 1)
        group.sgd(0.01, 0.5, True)
        results.append((values, norms))
    for values, norms in results[1:]:
        assert norms == results[0][1]
        assert all(np.array_equal(a, b) for a, b in zip(values, results[0][0], strict=True))


def test_avx2_and_avx512_agree_to_the_bit(rng: np.random.Generator) -> None:
    if not {"avx2", "avx512"} <= set(_core.available_isas()):
        pytest.skip("needs a machine with AVX2 and AVX-512")
    start, grads = arrays(rng), arrays(rng)
    results = []
    for isa in ("avx2", "avx512"):
        values = [v.copy() for v in start]
        group = _core.ParameterGroup(values, [g.copy() for g in grads], slots=2, isa=isa)
        norm = group.clip_global_norm(1.0)
        group.adam(0.01, 0.9, 0.999, 1e-7, 1)
        group.sgd(0.01, 0.5, False)
        results.append((norm, b"".join(v.tobytes() for v in values)))
    assert results[0] == results[1]


def test_norms(isa: str, team: int, rng: np.random.Generator) -> None:
    grads = arrays(rng)
    group = _core.ParameterGroup(arrays(rng), grads, isa=isa)
    assert group.global_norm() == pytest.approx(reference.global_norm(grads), rel=1e-6)
    np.testing.assert_allclose(
        group.norms(), [np.linalg.norm(g.astype(float).ravel()) for g in grads], rtol=1e-6
    )
    assert group.size == sum(g.size for g in grads)


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e20, 1e37])
def test_norms_where_squares_leave_float32(isa: str, scale: float, rng: np.random.Generator) -> None:
    grads = arrays(rng, scale)
    group = _core.ParameterGroup(arrays(rng), grads, isa=isa)
    assert group.global_norm() == pytest.approx(reference.global_norm(grads), rel=1e-6)
    if scale > 1:
        group.clip_global_norm(1.0)
        assert group.global_norm() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("limit", [0.5, 1e9])
def test_clipping(isa: str, team: int, limit: float, rng: np.random.Generator) -> None:
    source = arrays(rng)

    def group() -> tuple[_core.ParameterGroup, list[np.ndarray]]:
        grads = [framed(g) for g in source]
        return _core.ParameterGroup(arrays(rng), grads, isa=isa), grads

    g, grads = group()
    assert g.clip_global_norm(limit) == pytest.approx(reference.global_norm(source), rel=1e-6)
    close(grads, reference.clip_global_norm(source, limit))
    assert all(map(intact, grads))
    g, grads = group()
    g.clip_norm(limit)
    close(grads, [reference.clip_global_norm([a], limit)[0] for a in source])
    assert all(map(intact, grads))
    g, grads = group()
    g.clip_value(limit)
    close(grads, [np.clip(a, -limit, limit) for a in source])
    assert all(map(intact, grads))
    if limit == 1e9:
        assert all(np.array_equal(a, b) for a, b in zip(grads, source, strict=True))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_shows(isa: str, bad: float, rng: np.random.Generator) -> None:
    grads = arrays(rng)
    grads[6][5, 1] = bad
    group = _core.ParameterGroup(arrays(rng), grads, isa=isa)
    assert not math.isfinite(group.global_norm())
    group.clip_value(1.0)
    assert np.isnan(grads[6][5, 1]) if np.isnan(bad) else grads[6][5, 1] == 1
    grads[6][5, 1] = bad
    group.clip_global_norm(1.0)  # as Keras: all NaN, not silently zero
    assert all(np.isnan(g).all() for g in grads)


def test_slots_start_at_zero_and_may_be_set(rng: np.random.Generator) -> None:
    values = arrays(rng)
    group = _core.ParameterGroup(values, arrays(rng), slots=2)
    for k in (0, 1):
        assert [s.shape for s in group.slot(k)] == SHAPES
        assert not any(np.any(s) for s in group.slot(k))
    group.slot(0)[6][...] = 2
    assert np.all(group.slot(0)[6] == 2)
    before = values[6].copy()
    group.sgd(0.0, 0.5, False)
    np.testing.assert_allclose(values[6], before + 1, rtol=1e-6)


def test_arrays_are_kept_alive() -> None:
    group = _core.ParameterGroup([np.ones(1000, np.float32)], [np.ones(1000, np.float32)])
    group.sgd(0.5)
    assert group.global_norm() == pytest.approx(math.sqrt(1000))


def test_errors_name_the_argument(rng: np.random.Generator) -> None:
    a, b = np.ones((2, 3), np.float32), np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match="grads: expected as many as values, 1, got 0"):
        _core.ParameterGroup([a], [])
    with pytest.raises(
        ValueError, match=r"grads\[0\]: expected the shape of the value, \(2, 3\), got \(3, 2\)"
    ):
        _core.ParameterGroup([a], [b.reshape(3, 2)])
    with pytest.raises(
        TypeError, match=r"values\[0\]: expected a writable C-contiguous float32 array, got float64"
    ):
        _core.ParameterGroup([a.astype(float)], [b])
    with pytest.raises(TypeError, match=r"grads\[0\]: .* got <class 'NoneType'>"):
        _core.ParameterGroup([a], [None])
    with pytest.raises(TypeError, match=r"values\[0\]: "):
        _core.ParameterGroup([np.ones((3, 2), np.float32).T], [b])
    frozen = a.copy()
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match=r"values\[0\]: .* read-only"):
        _core.ParameterGroup([frozen], [b])
    with pytest.raises(ValueError, match="two overlap"):
        _core.ParameterGroup([a, a], [b, b.copy()])
    with pytest.raises(ValueError, match="slots: expected 0 or more"):
        _core.ParameterGroup([a], [b], slots=-1)
    group = _core.ParameterGroup([a], [b])
    with pytest.raises(ValueError, match="momentum: "):
        group.sgd(0.1, 0.9)
    with pytest.raises(ValueError, match="adam: needs a group made with slots=2"):
        group.adam(0.1, 0.9, 0.999, 1e-7, 1)
    with pytest.raises(IndexError, match="k: "):
        group.slot(0)
    with pytest.raises(ValueError, match="max_norm: expected a positive number"):
        group.clip_global_norm(0.0)
    with pytest.raises(IndexError, match="k: "):
        group.hold_gradients(0)
    with pytest.raises(IndexError, match="k: "):
        group.average_values(-1, 0.5)
    with pytest.raises(ValueError, match="factors: expected one for each of 1 parameters, got 2"):
        group.scale_values([1.0, 2.0])
    with pytest.raises(ValueError, match="factor: expected a number, got NaN"):
        group.scale_gradients(math.nan)
    group = _core.ParameterGroup([a], [b], slots=2)
    with pytest.raises(ValueError, match="step: "):
        group.adam(0.1, 0.9, 0.999, 1e-7, 0)
    with pytest.raises(ValueError, match="beta_2: "):
        group.adam(0.1, 0.9, 1.0, 1e-7, 1)
