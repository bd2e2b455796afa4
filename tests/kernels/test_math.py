# SPDX-License-Identifier: BSD-3-Clause
"""simd/math-inl.h against float64 NumPy: its ulp bounds, exact values, NaN, infinities, denormals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from lstmfast import _core

Oracle = Callable[[np.ndarray], np.ndarray]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _normal_cdf(x: np.ndarray) -> np.ndarray:
    try:
        from scipy.special import ndtr
    except ImportError:
        return np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])
    return np.asarray(ndtr(x))


# Largest error in ulp: with fused multiply-add, and without (sse2).
FUNCTIONS: dict[str, tuple[Oracle, float, float]] = {
    "tanh": (np.tanh, 5.0, 6.0),
    "sigmoid": (_sigmoid, 2.5, 2.5),
    "exp": (np.exp, 1.0, 1.2),
    "expm1": (np.expm1, 1.5, 1.7),
    "log": (np.log, 0.9, 0.9),
    "log1p_unit": (np.log1p, 1.5, 1.5),
    "softplus": (_softplus, 1.9, 1.9),
    "normal_cdf": (_normal_cdf, 6.0, 7.2),
}


def run(isa: str, name: str, x: np.ndarray, flush: bool = False) -> np.ndarray:
    y = np.full_like(x, np.nan)
    _core.testing.math(isa, name, x, y, flush)
    return y


def largest_error(isa: str, name: str, x: np.ndarray) -> tuple[float, float]:
    """The largest error in ulp of the exact value, and where; infinities and NaN must be the very same."""
    oracle = FUNCTIONS[name][0]
    y = run(isa, name, x)
    with np.errstate(all="ignore"):
        exact = oracle(x.astype(np.float64))
        rounded = exact.astype(np.float32)
        exponent = np.maximum((exact.view(np.int64) >> 52 & 0x7FF) - 1023, -126)
        ulps = np.abs(y - exact) * np.left_shift(1023 + 23 - exponent, 52).view(np.float64)
    special = ~(np.isfinite(rounded) & np.isfinite(y))
    if special.any():
        same = (rounded[special] == y[special]) | (np.isnan(rounded[special]) & np.isnan(y[special]))
        # At the edge of the range one of the two may round up to infinity and the other stay below.
        edge = np.abs(np.abs(exact[special]) / 2.0**128 - 1) < 1e-6
        assert np.all(same | edge), f"{name}({x[special][~(same | edge)][0]})"
        ulps[special] = 0
    k = int(np.argmax(ulps))
    return float(ulps[k]), float(x[k])


def bound(isa: str, name: str) -> float:
    _, fused, unfused = FUNCTIONS[name]
    return unfused if isa == "sse2" else fused


def floats(first: int, last: int) -> np.ndarray:
    """float32 values by their bits."""
    return np.arange(first, last, dtype=np.uint32).view(np.float32)


def sample(name: str) -> Iterator[np.ndarray]:
    """Every 997th float, and all floats near the places where something changes."""
    dense = np.arange(0, 2**32, 997, dtype=np.uint32).view(np.float32)
    spots = [0.0, 1e-45, 1.17549435e-38, 2.0**-12, 0.34657359, 0.41421356, 0.5, 0.7071068, 1.0, 1.414214]
    spots += [3.0, 8.0, 8.14, 9.0, 14.4, 16.6, 18.0, 87.3, 88.37626, 88.72284, 103.97, 3.4028235e38]
    near = [np.arange(max(0, bits - 3000), bits + 3000, dtype=np.uint32).view(np.float32)
            for bits in np.array(spots, np.float32).view(np.uint32).tolist()]  # fmt: skip
    for x in (dense, np.concatenate(near), -np.concatenate(near)):
        yield x[(x >= 0) & (x <= 1)] if name == "log1p_unit" else x


@pytest.mark.parametrize("name", FUNCTIONS)
def test_errors_on_a_dense_sample(isa: str, name: str) -> None:
    if name == "normal_cdf":
        pytest.importorskip("scipy", reason="millions of erfc need scipy")
    for x in sample(name):
        error, where = largest_error(isa, name, np.ascontiguousarray(x))
        assert error <= bound(isa, name), f"{name}({where!r}) is off by {error:.2f} ulp"


PARTS = 16
BLOCK = 2**13  # float64 temporaries below the 128 KiB from which malloc maps fresh pages


def shortcut(isa: str, name: str, x: np.ndarray) -> bool:
    """Whether a block of neighbours is settled at its ends.

    All these functions increase: where the ends round to one value, or to themselves, so does all between.
    NaN comes in blocks.
    """
    with np.errstate(all="ignore"):
        ends = FUNCTIONS[name][0](x[[0, -1]].astype(np.float64)).astype(np.float32)
    limit = bound(isa, name)
    if np.isnan(ends).all():
        return bool(np.isnan(run(isa, name, x)).all())
    if ends[0] == ends[1]:
        y = run(isa, name, x)
        low, high = y.min(), y.max()
        return bool(
            low == high == ends[0]
            or max(high - ends[0], ends[0] - low) <= limit * np.spacing(np.abs(ends[0]))
        )
    if np.array_equal(ends, x[[0, -1]]):
        return bool(np.abs(run(isa, name, x).view(np.int32) - x.view(np.int32)).max() <= limit)
    return False


@pytest.mark.exhaustive
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", FUNCTIONS)
def test_errors_on_all_floats(isa: str, name: str, part: int) -> None:
    if name == "normal_cdf":
        pytest.importorskip("scipy", reason="billions of erfc need scipy")
    size = 2**32 // PARTS
    for first in range(part * size, (part + 1) * size, BLOCK):
        x = floats(first, first + BLOCK)
        if name == "log1p_unit":
            x = x[(x >= 0) & (x <= 1)]
        if x.size == 0:
            continue
        if isa == "avx2" and "avx512" in _core.available_isas():  # the bits that are counted for AVX-512
            assert np.array_equal(run(isa, name, x), run("avx512", name, x), equal_nan=True)
            continue
        if shortcut(isa, name, x):
            continue
        error, where = largest_error(isa, name, x)
        assert error <= bound(isa, name), f"{name}({where!r}) is off by {error:.2f} ulp"


@pytest.mark.parametrize("name", [*FUNCTIONS, "sigmoid_of_half"])
def test_avx2_and_avx512_agree_to_the_bit(name: str) -> None:
    if not {"avx2", "avx512"} <= set(_core.available_isas()):
        pytest.skip("needs a machine with AVX2 and AVX-512")
    for x in sample(name):
        a, b = run("avx2", name, x.copy()), run("avx512", name, x.copy())
        assert np.array_equal(a, b, equal_nan=True)


def test_tanh_saturates_to_exactly_one_and_stays_within(isa: str) -> None:
    x = np.concatenate([np.linspace(0, 12, 1 << 20, dtype=np.float32), floats(0x41000000, 0x41200000)])
    y = run(isa, "tanh", x)
    assert y.max() == 1 and np.all(y[x >= 8.5] == 1)
    assert np.array_equal(run(isa, "tanh", -x), -y)  # odd, to the bit
    assert np.array_equal(run(isa, "tanh", np.array([np.inf, -np.inf], np.float32)), [1, -1])


def test_tanh_of_tiny_numbers_is_the_number(isa: str) -> None:
    x = np.concatenate(
        [floats(0, 5000), floats(0x00800000 - 5000, 0x00800000 + 5000), floats(0x20000000, 0x20001000)]
    )
    for sign in (1, -1):
        assert np.array_equal(run(isa, "tanh", sign * x).view(np.int32), (sign * x).view(np.int32))


def test_sigmoid_of_half_is_accurate_relative_to_one(isa: str) -> None:
    x = np.concatenate([np.linspace(-10, 10, 1 << 20), np.geomspace(1e-6, 10, 1 << 18)]).astype(np.float32)
    y = run(isa, "sigmoid_of_half", x)
    assert np.abs(y - _sigmoid(2 * x.astype(np.float64))).max() <= (2.1e-7 if isa == "sse2" else 1.8e-7)
    assert np.all((y >= 0) & (y <= 1))
    assert np.array_equal(
        run(isa, "sigmoid_of_half", np.array([-20, 20, 0, np.inf, -np.inf], np.float32)), [0, 1, 0.5, 1, 0]
    )


@pytest.mark.parametrize("name", [*FUNCTIONS, "sigmoid_of_half"])
def test_nan_stays_nan_in_its_lane(isa: str, name: str) -> None:
    x = np.full(37, 0.25, np.float32)
    x[[0, 5, 18, 36]] = np.nan
    y = run(isa, name, x)
    assert np.array_equal(np.isnan(y), np.isnan(x))


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("exp", [0.0, -0.0, np.inf, -np.inf, 89.0, -104.0], [1, 1, np.inf, 0, np.inf, 0]),
        ("expm1", [0.0, -0.0, np.inf, -np.inf, -30.0], [0, -0.0, np.inf, -1, -1]),
        ("log", [1.0, 0.0, -0.0, np.inf, 1e-45], [0, -np.inf, -np.inf, np.inf, math.log(2.0**-149)]),
        ("sigmoid", [0.0, np.inf, -np.inf], [0.5, 1, 0]),
        ("softplus", [np.inf, -np.inf, 3e38], [np.inf, 0, 3e38]),
        ("normal_cdf", [0.0, np.inf, -np.inf, 20.0, -20.0], [0.5, 1, 0, 1, 0]),
    ],
)
def test_values_that_must_be_exact(isa: str, name: str, x: list[float], y: list[float]) -> None:
    got = run(isa, name, np.array(x, np.float32))
    assert np.array_equal(got.view(np.int32), np.array(y, np.float32).view(np.int32))


def test_log_of_a_negative_number_is_nan(isa: str) -> None:
    assert np.isnan(run(isa, "log", np.array([-1, -1e-45, -np.inf], np.float32))).all()


@pytest.mark.parametrize("name", ["tanh", "exp", "expm1", "sigmoid", "softplus"])
def test_flushing_changes_nothing_but_denormals(isa: str, name: str) -> None:
    """A team flushes denormals: as arguments they count as 0, as results they are 0; no other bit changes."""
    tiny = np.float32(1.17549435e-38)
    for x in sample(name):
        x = np.ascontiguousarray(x[np.isfinite(x)])
        plain, flushed = run(isa, name, x), run(isa, name, x, flush=True)
        normal = (np.abs(x) >= tiny) & (np.abs(plain) >= tiny)
        assert np.array_equal(plain[normal], flushed[normal])
        assert np.abs(flushed[~normal] - plain[~normal]).max(initial=0) <= tiny


@pytest.mark.parametrize("n", [1, 3, 15, 16, 17, 31, 33, 100])
@pytest.mark.parametrize("name", [*FUNCTIONS, "sigmoid_of_half"])
def test_tails_write_nothing_beyond(
    isa: str, name: str, n: int, rng: np.random.Generator, guarded: Callable[..., np.ndarray]
) -> None:
    x = rng.random(n, np.float32)
    y = np.full(n + 32, 7, np.float32)
    _core.testing.math(isa, name, guarded(x), y[16 : 16 + n])
    assert np.array_equal(y[16 : 16 + n], run(isa, name, np.r_[x, np.zeros(64, np.float32)])[:n])
    assert np.all(y[:16] == 7) and np.all(y[16 + n :] == 7)
