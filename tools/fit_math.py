# SPDX-License-Identifier: BSD-3-Clause
"""Fit the coefficients of csrc/simd/math-inl.h.

Each function is a polynomial or rational form with some coefficients held at exact values. A Lawson
iteration (C. L. Lawson 1961; linearised for quotients as Loeb 1957) finds the minimax fit in float64;
then the coefficients are rounded to float32 and a random search over neighbouring floats lowers the
largest error of the whole float32 evaluation, roundings of every operation included. Needs numpy and
scipy; run as ``python tools/fit_math.py [tanh exp log expm1 cdf]`` and paste what it prints.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]


def lawson(
    u: F64, g: F64, fixed_p: Sequence[float], n: int, fixed_q: Sequence[float], m: int
) -> tuple[F64, F64, float]:
    """Minimax relative fit of g(u) by P(u)/Q(u): the first coefficients are given, n and m more free."""
    scale = np.abs(u).max()
    v = u / scale
    powers_p = [v**i for i in range(len(fixed_p), len(fixed_p) + n)]
    powers_q = [v**i for i in range(len(fixed_q), len(fixed_q) + m)]
    p0 = sum((c * u**i for i, c in enumerate(fixed_p)), np.zeros_like(u))
    q0 = sum((c * u**i for i, c in enumerate(fixed_q)), np.zeros_like(u))
    columns = np.column_stack([p / g for p in powers_p] + [-q for q in powers_q])
    target = q0 - p0 / g
    weight, q, best, found = np.ones_like(u), np.ones_like(u), np.inf, np.zeros(n + m)
    for _ in range(80):
        w = np.sqrt(weight) / np.abs(q)
        norm = np.linalg.norm(columns * w[:, None], axis=0)
        c = np.linalg.lstsq(columns * w[:, None] / norm, target * w, rcond=1e-17)[0] / norm
        p = p0 + sum(a * b for a, b in zip(c[:n], powers_p, strict=True))
        q = q0 + sum((a * b for a, b in zip(c[n:], powers_q, strict=True)), np.zeros_like(u))
        error = np.abs(p / q / g - 1)
        if error.max() < best:
            best, found = float(error.max()), c
        weight *= error / error.mean()
        weight /= weight.sum()
    p_all = np.r_[fixed_p, found[:n] / scale ** np.arange(len(fixed_p), len(fixed_p) + n)]
    q_all = np.r_[fixed_q, found[n:] / scale ** np.arange(len(fixed_q), len(fixed_q) + m)]
    return p_all, q_all, best


def fma(a: F32 | np.float32, b: F32 | np.float32, c: F32 | np.float32) -> F32:
    """float32 fused multiply-add: the product is exact in float64 (its sum is rounded twice, harmlessly)."""
    return (np.float64(a) * np.float64(b) + np.float64(c)).astype(np.float32)


def horner(c: Sequence[np.float32], x: F32) -> F32:
    y = fma(c[-1], x, c[-2])
    for a in c[-3::-1]:
        y = fma(y, x, a)
    return y


def ulps(y: F32, exact: F64) -> F64:
    """Error in units of the last place of the exact value."""
    spacing = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    return np.abs(y.astype(np.float64) - exact) / spacing


def search(start: F64, free: Sequence[int], score: Callable[[F32], float], rounds: int) -> F32:
    """Random walk over float32 neighbours of the free coefficients; keeps what lowers the score."""
    rng = np.random.default_rng(1)
    best = start.astype(np.float32)
    lowest = score(best)
    for i in range(rounds):
        trial = best.copy()
        for k in rng.choice(free, size=rng.integers(1, 4), replace=False):
            trial[k] += np.float32(
                rng.integers(-1, 2) * 2.0 ** rng.integers(0, 6 if i < rounds // 2 else 3)
            ) * np.spacing(trial[k])
        s = score(trial)
        if s <= lowest:
            best, lowest = trial, s
    print(f"  float32 evaluation: {lowest:.3f} ulp")
    return best


def show(name: str, coefficients: F32) -> None:
    print(f"  {name}:", ", ".join(f"{float(c):.9g}f" for c in coefficients))


def chebyshev(low: float, high: float, count: int) -> F64:
    k = np.arange(count)
    return low + (high - low) * (1 - np.cos(np.pi * (k + 0.5) / count)) / 2


def tanh_rational(c: F32, x: F32) -> F32:
    s = x * x
    return (x * horner(c[:5], s)) / horner(c[5:], s)


def fit_tanh(rounds: int) -> None:
    """tanh(x) = x P(x^2)/Q(x^2), both of degree 4, P(0) = Q(0) = 1: exact for tiny x.

    From about 8.1 on the result is to be exactly 1. tanh(8.1) is 3 ulp below 1, less than the quotient's own
    roundings make elsewhere, so the fit ends a little above and an argument is chosen as clamp for which
    the quotient happens to be 1, with no quotient above 1 before it. The coefficients in use come from a
    run of 25 s at 20000 trials a second (this search in C++, 131072 points); their largest error over all
    floats is 4.93 ulp, of which the fit's own is 0.2: the rest is the rounding of 13 operations.
    """
    end = 8.2
    x = chebyshev(1e-3, end, 3000)
    p, q, error = lawson(x * x, np.tanh(x) / x, [1.0], 4, [1.0], 4)
    print(f"tanh: minimax {error:.2e}")
    rng = np.random.default_rng(0)
    xs = np.r_[rng.uniform(0, end, 40000), np.exp(rng.uniform(-6, np.log(end), 40000))].astype(np.float32)
    exact = np.tanh(xs.astype(np.float64))

    def score(c: F32) -> float:
        y = tanh_rational(c, xs)
        over = float(y.max()) - 1
        return float(ulps(y, exact).max()) + (1 + over / 2.0**-23 if over > 0 else 0)

    c = search(np.r_[p, q], [1, 2, 3, 4, 6, 7, 8, 9], score, rounds)
    show("P", c[:5])
    show("Q", c[5:])
    bits = np.array([7.0, 8.4], np.float32).view(np.int32)
    top = np.arange(bits[0], bits[1], dtype=np.int32).view(np.float32)
    y = tanh_rational(c, top)
    first_over = int(np.argmax(y > 1)) if np.any(y > 1) else len(y)
    ones = np.flatnonzero(y[:first_over] == 1)
    print(f"  clamp: {top[ones[-1]]:.9g}" if len(ones) else "  no clamp: try more rounds")


def fit_exp(rounds: int) -> None:
    """exp(r) = 1 + r + r^2 C(r) on |r| <= ln 2 / 2."""
    r = chebyshev(-0.347, 0.347, 2000)
    r = r[np.abs(r) > 1e-3]
    c, _, error = lawson(r, np.exp(r), [1.0, 1.0], 5, [1.0], 0)
    print(f"exp: minimax {error:.2e}")
    xs = np.random.default_rng(0).uniform(-0.3466, 0.3466, 100000).astype(np.float32)
    exact = np.exp(xs.astype(np.float64))
    show("C", search(c, [2, 3, 4, 5, 6], lambda t: float(ulps(horner(t, xs), exact).max()), rounds))


def fit_expm1(rounds: int) -> None:
    """expm1(r) = r + r^2 C(r) on |r| <= ln 2 / 2."""
    r = chebyshev(-0.347, 0.347, 2000)
    r = r[np.abs(r) > 1e-3]
    c, _, error = lawson(r, np.expm1(r) / r, [1.0], 5, [1.0], 0)
    print(f"expm1: minimax {error:.2e}")
    xs = np.random.default_rng(0).uniform(-0.3466, 0.3466, 100000).astype(np.float32)
    exact = np.expm1(xs.astype(np.float64))

    def score(t: F32) -> float:
        return float(ulps(fma(xs * xs, horner(t[1:], xs), xs), exact).max())

    show("C", search(c, [1, 2, 3, 4, 5], score, rounds)[1:])


def fit_log(rounds: int) -> None:
    """log(1 + f) = f - f^2/2 + f^3 C(f) for 1 + f in [sqrt(1/2), sqrt(2)]."""
    f = chebyshev(np.sqrt(0.5) - 1, np.sqrt(2) - 1, 3000)
    f = f[np.abs(f) > 1e-3]
    c, _, error = lawson(f, np.log1p(f) / f, [1.0, -0.5], 8, [1.0], 0)
    print(f"log: minimax {error:.2e}")
    xs = np.random.default_rng(0).uniform(-0.2929, 0.4142, 100000).astype(np.float32)
    exact = np.log1p(xs.astype(np.float64))

    def score(t: F32) -> float:
        s = xs * xs
        tail = fma(s, np.float32(-0.5) * np.ones_like(xs), (xs * s) * horner(t[2:], xs))
        return float(ulps(xs + tail, exact).max())

    show("C", search(c, list(range(2, 10)), score, rounds)[2:])


def fit_cdf(rounds: int) -> None:
    """The normal distribution's tail: Phi(-t) = exp(-t^2/2) P(t)/Q(t), P(0) = 1/2, for 0 <= t <= 14."""
    t = chebyshev(0, 14.2, 4000)
    p, q, error = lawson(t, 0.5 * erfcx(t / np.sqrt(2)), [0.5], 4, [1.0], 5)
    print(f"cdf: minimax {error:.2e}")
    rng = np.random.default_rng(0)
    xs = np.r_[rng.uniform(0, 14, 50000), np.exp(rng.uniform(-8, 2.6, 50000))].astype(np.float32)
    exact = 0.5 * erfcx(xs.astype(np.float64) / np.sqrt(2))
    c = search(
        np.r_[p, q],
        [1, 2, 3, 4, 6, 7, 8, 9, 10],
        lambda k: float(ulps(horner(k[:5], xs) / horner(k[5:], xs), exact).max()),
        rounds,
    )
    show("P", c[:5])
    show("Q", c[5:])


FITS = {"tanh": fit_tanh, "exp": fit_exp, "expm1": fit_expm1, "log": fit_log, "cdf": fit_cdf}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("functions", nargs="*", help=f"some of {', '.join(FITS)}; all by default")
    parser.add_argument(
        "--rounds", type=int, default=3000, help="trials of the search over float32 neighbours"
    )
    arguments = parser.parse_args()
    for function in arguments.functions or FITS:
        FITS[function](arguments.rounds)
