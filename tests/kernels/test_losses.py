# SPDX-License-Identifier: BSD-3-Clause
"""Losses fused with their gradients against reference.py; stable for any logits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lstmfast import _core, reference

SIZES = [1, 2, 3, 15, 16, 17, 31, 33, 100]
CANARY = np.float32(-123.25)
Guarded = Callable[[np.ndarray], np.ndarray]


class Case:
    """Arguments of a loss, and NaN with canaries around it where its results go."""

    def __init__(
        self, name: str, rows: int, columns: int, rng: np.random.Generator, scale: float = 3.0
    ) -> None:
        self.name = name
        self.logits = (rng.standard_normal((rows, columns)) * scale).astype(np.float32)
        self.labels = None
        targets = rng.random((rows, columns))
        if name.startswith("softmax"):
            targets /= targets.sum(axis=1, keepdims=True)
        if name == "softmax, labels":
            self.labels = rng.integers(0, columns, rows)
        self.targets = None if self.labels is not None else targets.astype(np.float32)
        self.weight = rng.random(rows).astype(np.float32)

    def native(self, isa: str, weighted: bool = True, place: Guarded = np.array) -> list[np.ndarray]:
        kernel = "softmax_cross_entropy" if self.name.startswith("softmax") else self.name
        shapes = [self.logits.shape[:1], self.logits.shape, self.logits.shape]
        frames = [np.full(int(np.prod(s)) + 64, CANARY, np.float32) for s in shapes]
        out = []
        for frame, shape in zip(frames, shapes, strict=True):
            frame[32:-32] = np.nan
            out.append(frame[32:-32].reshape(shape))
        _core.testing.loss(
            isa,
            kernel,
            place(self.logits),
            self.labels,
            None if self.targets is None else place(self.targets),
            place(self.weight) if weighted else None,
            out[0],
            out[1],
            None if kernel == "mean_squared_error" else out[2],
        )
        for frame in frames:
            assert np.all(frame[:32] == CANARY) and np.all(frame[-32:] == CANARY)
        return out[:2] if kernel == "mean_squared_error" else out

    def expected(self, weighted: bool = True) -> tuple[np.ndarray, ...]:
        weight = self.weight if weighted else None
        if self.name.startswith("softmax"):
            return reference.softmax_cross_entropy(self.logits, self.labels, self.targets, weight)
        return getattr(reference, self.name)(self.logits, self.targets, weight)


NAMES = ["softmax, labels", "softmax, targets", "sigmoid_cross_entropy", "mean_squared_error"]


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("columns", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_against_reference(
    isa: str, name: str, columns: int, weighted: bool, rng: np.random.Generator, guarded: Guarded
) -> None:
    for rows in (1, 3, 17, 33):
        case = Case(name, rows, columns, rng)
        for got, want in zip(case.native(isa, weighted, guarded), case.expected(weighted), strict=True):
            np.testing.assert_allclose(got, want, rtol=3e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_has_the_same_bits_in_any_company(
    isa: str, team: int, name: str, rng: np.random.Generator
) -> None:
    for columns in (1, 19):
        case = Case(name, 16_001, columns, rng)
        whole = case.native(isa)
        for row in (0, 1, 8000, 16_000):
            one = Case(name, 1, columns, rng)
            one.logits, one.weight = case.logits[row : row + 1], case.weight[row : row + 1]
            one.labels = None if case.labels is None else case.labels[row : row + 1]
            one.targets = None if case.targets is None else case.targets[row : row + 1]
            for a, b in zip(one.native(isa), whole, strict=True):
                assert np.array_equal(a[0], b[row])


@pytest.mark.parametrize("scale", [1e4, 1e20, 1e38])
@pytest.mark.parametrize("name", NAMES[:3])
def test_any_finite_logit_gives_finite_results(
    isa: str, name: str, scale: float, rng: np.random.Generator
) -> None:
    case = Case(name, 5, 9, rng)
    case.logits = np.clip(case.logits.astype(float) * scale, -1e38, 1e38).astype(np.float32)
    got = case.native(isa)
    assert all(np.isfinite(g).all() for g in got)
    for a, want in zip(got, case.expected(), strict=True):
        np.testing.assert_allclose(a, want, rtol=3e-6, atol=1e-6)


def test_a_confident_right_answer_costs_next_to_nothing(isa: str) -> None:
    case = Case("sigmoid_cross_entropy", 2, 3, np.random.default_rng(0))
    case.logits = np.array([[20, -20, 60], [-60, 100, -100]], np.float32)
    case.targets = (case.logits > 0).astype(np.float32)
    loss, gradient, _ = case.native(isa, weighted=False)
    np.testing.assert_allclose(loss, case.expected(weighted=False)[0], rtol=1e-5)  # relative: about 1e-9
    assert np.all(np.abs(gradient) < 1e-8)


def test_infinite_logits(isa: str) -> None:
    """On the right side they cost nothing, on the wrong side infinity; gradients stay p - t."""
    rng = np.random.default_rng(0)
    case = Case("softmax, labels", 3, 4, rng)
    case.logits = np.array([[0, -np.inf, 0, 0], [0, -np.inf, 0, 0], [1, np.nan, 0, 0]], np.float32)
    case.labels = np.array([0, 1, 2])
    loss, gradient, p = case.native(isa, weighted=False)
    np.testing.assert_allclose(loss, [np.log(3), np.inf, np.nan], rtol=1e-6)
    np.testing.assert_allclose(p[0], [1 / 3, 0, 1 / 3, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(gradient[1], [1 / 3, -1, 1 / 3, 1 / 3], rtol=1e-6)
    assert np.isnan(gradient[2]).all()

    case = Case("softmax, targets", 2, 3, rng)
    case.logits = np.array([[0, -np.inf, 0], [0, -np.inf, 0]], np.float32)
    case.targets = np.array([[0.5, 0, 0.5], [0, 1, 0]], np.float32)
    np.testing.assert_allclose(case.native(isa, weighted=False)[0], [np.log(2), np.inf], rtol=1e-6)

    for columns in (1, 5):
        case = Case("sigmoid_cross_entropy", 5, columns, rng)
        case.logits = np.repeat(
            np.array([[np.inf], [-np.inf], [np.inf], [-np.inf], [np.nan]], np.float32), columns, axis=1
        )
        case.targets = np.repeat(np.array([[1], [0], [0], [1], [1]], np.float32), columns, axis=1)
        loss, gradient, p = case.native(isa, weighted=False)
        assert np.array_equal(loss, [0, 0, np.inf, np.inf, np.nan], equal_nan=True)
        assert np.array_equal(p[:4, 0], [1, 0, 1, 0])
        np.testing.assert_allclose(gradient[:, 0] * columns, [0, 0, 1, -1, np.nan], rtol=1e-6)


def test_avx2_and_avx512_agree_to_the_bit(rng: np.random.Generator) -> None:
    if not {"avx2", "avx512"} <= set(_core.available_isas()):
        pytest.skip("needs a machine with AVX2 and AVX-512")
    for name in NAMES:
        for columns in SIZES:
            case = Case(name, 19, columns, rng)
            for a, b in zip(case.native("avx2"), case.native("avx512"), strict=True):
                assert np.array_equal(a, b), (name, columns)


def test_the_gradient_may_replace_the_logits(isa: str, rng: np.random.Generator) -> None:
    for name in NAMES:
        case = Case(name, 4, 21, rng)
        want = case.native(isa)
        x, loss, p = case.logits.copy(), np.empty(4, np.float32), np.empty((4, 21), np.float32)
        kernel = "softmax_cross_entropy" if name.startswith("softmax") else name
        output = None if kernel == "mean_squared_error" else p
        _core.testing.loss(isa, kernel, x, case.labels, case.targets, case.weight, loss, x, output)
        assert np.array_equal(x, want[1]) and np.array_equal(loss, want[0])


# --- the functions that losses.py calls


def test_public_functions_return_the_same(rng: np.random.Generator) -> None:
    chosen = _core.isa()
    case = Case("softmax, labels", 6, 5, rng)
    for a, b in zip(
        _core.softmax_cross_entropy(case.logits, case.labels, None, case.weight),
        case.native(chosen),
        strict=True,
    ):
        assert np.array_equal(a, b)
    case = Case("softmax, targets", 6, 5, rng)
    got = _core.softmax_cross_entropy(case.logits, targets=case.targets)
    for a, b in zip(got, case.native(chosen, weighted=False), strict=True):
        assert np.array_equal(a, b)
    for name in ("sigmoid_cross_entropy", "mean_squared_error"):
        case = Case(name, 6, 5, rng)
        for a, b in zip(
            getattr(_core, name)(case.logits, case.targets, case.weight), case.native(chosen), strict=True
        ):
            assert np.array_equal(a, b)


def test_no_rows_are_no_error() -> None:
    empty = np.empty((0, 3), np.float32)
    loss, gradient, p = _core.softmax_cross_entropy(empty, np.empty(0, np.int64))
    assert loss.shape == (0,) and gradient.shape == p.shape == (0, 3)


def test_errors_name_the_argument() -> None:
    x, labels = np.zeros((3, 4), np.float32), np.zeros(3, np.int64)
    with pytest.raises(ValueError, match=r"labels: expected numbers from 0 to 3, got 4 at \[1\]"):
        _core.softmax_cross_entropy(x, np.array([0, 4, 9]))
    with pytest.raises(ValueError, match=r"labels: .*got -1 at \[2\]"):
        _core.softmax_cross_entropy(x, np.array([0, 3, -1]))
    with pytest.raises(ValueError, match=r"labels: expected shape \(3,\), got \(2,\)"):
        _core.softmax_cross_entropy(x, labels[:2])
    with pytest.raises(ValueError, match="labels: expected either labels or targets"):
        _core.softmax_cross_entropy(x)
    with pytest.raises(ValueError, match="labels: expected either labels or targets"):
        _core.softmax_cross_entropy(x, labels, x)
    with pytest.raises(ValueError, match=r"targets: expected shape \(3, 4\), got \(4, 3\)"):
        _core.sigmoid_cross_entropy(x, np.zeros((4, 3), np.float32))
    with pytest.raises(ValueError, match=r"weight: expected shape \(3,\), got \(4,\)"):
        _core.mean_squared_error(x, x, np.zeros(4, np.float32))
    with pytest.raises(ValueError, match="pred: expected at least one column"):
        _core.mean_squared_error(x[:, :0].copy(), x[:, :0].copy())
    with pytest.raises(TypeError):
        _core.softmax_cross_entropy(x, labels.astype(np.float32))
    with pytest.raises(TypeError):
        _core.softmax_cross_entropy(x.astype(np.float64), labels)
