# SPDX-License-Identifier: BSD-3-Clause
"""Activations and their gradients against reference.py: every instruction set, ragged sizes, any team."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lstmfast import _core, reference

SIZES = [1, 3, 15, 16, 17, 31, 33, 100]
ELEMENTWISE = [name for name in _core.activation_names() if name != "softmax"]
NEEDS_X = ("gelu", "gelu_tanh", "silu")
CANARY = np.float32(-123.25)

Guarded = Callable[[np.ndarray], np.ndarray]


def framed(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    """NaN to be overwritten, and around it canaries that must stay."""
    n = int(np.prod(shape))
    frame = np.full(n + 64, CANARY, np.float32)
    frame[32 : 32 + n] = np.nan
    return frame[32 : 32 + n].reshape(shape), frame


def intact(frame: np.ndarray) -> bool:
    return bool(np.all(frame[:32] == CANARY) and np.all(frame[-32:] == CANARY))


def inputs(rng: np.random.Generator, n: int) -> np.ndarray:
    """Small, large and very large numbers of both signs, and the corners of the piecewise activations."""
    x = (rng.standard_normal(n) * rng.choice([0.1, 2, 20], n)).astype(np.float32)
    corners = np.array([0, -0.0, 1, -1, 3, -3, 6, 1e-6, -1e-6, 80, -80], np.float32)
    x[rng.random(n) < 0.2] = rng.choice(corners)
    return x


def assert_close(got: np.ndarray, want: np.ndarray, relative: float, absolute: float = 1e-30) -> None:
    assert np.all(np.abs(got - want) <= relative * np.abs(want) + absolute), np.max(np.abs(got - want))


def test_every_activation_has_a_reference() -> None:
    assert set(_core.activation_names()) == set(reference.activation_names())


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("n", SIZES)
def test_forward(isa: str, name: str, n: int, rng: np.random.Generator, guarded: Guarded) -> None:
    x = inputs(rng, n)
    y, frame = framed(n)
    _core.testing.activation_forward(isa, name, guarded(x), y)
    assert intact(frame)
    # Relative to each value. Left tails: the reference's 1/2 + tanh/2 cancels in float64; gelu_tanh and
    # hard_sigmoid cancel in float32 by their formulas.
    absolute = {"sigmoid": 1e-15, "silu": 1e-13, "gelu_tanh": 1e-6, "hard_sigmoid": 1e-7}.get(name, 1e-30)
    assert_close(y, reference.activation_forward(name, x), 2e-6, absolute)


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("n", SIZES)
def test_backward(isa: str, name: str, n: int, rng: np.random.Generator, guarded: Guarded) -> None:
    x, dy = inputs(rng, n), rng.standard_normal(n).astype(np.float32)
    y = reference.activation_forward(name, x).astype(np.float32)
    dx, frame = framed(n)
    needs_x = name in NEEDS_X
    _core.testing.activation_backward(
        isa, name, guarded(x) if needs_x else None, None if needs_x else guarded(y), guarded(dy), dx
    )
    assert intact(frame)
    want = reference.activation_backward(name, x if needs_x else None, y, dy)
    scale = np.maximum(np.abs(dy), np.abs(want))
    assert np.max(np.abs(dx - want) / scale) < 2e-6


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_infinities_and_nan(isa: str, name: str) -> None:
    """The limits where they exist, and NaN only for NaN."""
    limits = {"linear": (-np.inf, np.inf), "leaky_relu": (-np.inf, np.inf), "elu": (-1, np.inf)}
    limits |= dict.fromkeys(["sigmoid", "hard_sigmoid"], (0, 1)) | {"relu6": (0, 6)}
    limits |= dict.fromkeys(["tanh", "softsign", "hard_tanh"], (-1, 1))
    limits["selu"] = (-1.0507009873554805 * 1.6732632423543772, np.inf)
    low, high = limits.get(name, (0, np.inf))
    y = np.zeros(5, np.float32)
    _core.testing.activation_forward(
        isa, name, np.array([-np.inf, np.inf, np.nan, -3e38, 3e38], np.float32), y
    )
    assert np.isnan(y[2]) and not np.isnan(y[[0, 1, 3, 4]]).any()
    np.testing.assert_allclose(y[[0, 1]], [low, high], rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_gradients_of_huge_inputs_are_finite(isa: str, name: str) -> None:
    x = np.array([-3e38, -200, -90, 90, 200, 3e38, -np.inf, np.inf], np.float32)
    if name == "exponential":
        x = np.minimum(x, 80)
    y, dx = np.zeros_like(x), np.zeros_like(x)
    _core.testing.activation_forward(isa, name, x, y)
    _core.testing.activation_backward(isa, name, x, y, np.ones_like(x), dx)
    assert np.all(np.isfinite(dx)) and np.all(np.abs(dx) < 2 if name != "exponential" else dx >= 0)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_in_place_and_any_team_give_the_same_bits(
    isa: str, name: str, team: int, rng: np.random.Generator
) -> None:
    n = 200_003  # enough work for eight threads
    x = inputs(rng, n)
    y, frame = framed(n)
    _core.testing.activation_forward(isa, name, x, y)
    assert intact(frame)
    _core.set_num_threads(1)
    alone = x.copy()
    _core.testing.activation_forward(isa, name, alone, alone)
    assert np.array_equal(y, alone)


@pytest.mark.parametrize("columns", SIZES)
@pytest.mark.parametrize("rows", [1, 2, 7])
def test_softmax(isa: str, rows: int, columns: int, rng: np.random.Generator, guarded: Guarded) -> None:
    x = (rng.standard_normal((rows, columns)) * 10).astype(np.float32)
    dy = rng.standard_normal((rows, columns)).astype(np.float32)
    y, y_frame = framed(rows, columns)
    dx, dx_frame = framed(rows, columns)
    _core.testing.softmax_forward(isa, guarded(x), y)
    assert_close(y, reference.activation_forward("softmax", x), 5e-6)  # the rounding of x - max, up to 60
    _core.testing.softmax_backward(isa, guarded(y), guarded(dy), dx)
    np.testing.assert_allclose(dx, reference.activation_backward("softmax", None, y, dy), atol=1e-6)
    assert intact(y_frame) and intact(dx_frame)


def test_softmax_rows_do_not_depend_on_their_company(isa: str, team: int, rng: np.random.Generator) -> None:
    x = (rng.standard_normal((3001, 67)) * 5).astype(np.float32)
    y = np.empty_like(x)
    _core.testing.softmax_forward(isa, x, y)
    for row in (0, 1, 1500, 3000):
        one = np.empty((1, 67), np.float32)
        _core.testing.softmax_forward(isa, x[row : row + 1], one)
        assert np.array_equal(one[0], y[row])


def test_softmax_of_extreme_rows(isa: str) -> None:
    x = np.full((4, 5), -3e38, np.float32)
    x[0, 2] = 3e38
    x[2, 1:] = -np.inf
    x[3, 0] = np.nan
    y = np.empty_like(x)
    _core.testing.softmax_forward(isa, x, y)
    assert np.array_equal(y[0], [0, 0, 1, 0, 0])
    np.testing.assert_allclose(y[1], 0.2, rtol=1e-6)
    assert np.array_equal(y[2], [1, 0, 0, 0, 0])
    assert np.isnan(y[3]).all()


def test_avx2_and_avx512_agree_to_the_bit(rng: np.random.Generator) -> None:
    if not {"avx2", "avx512"} <= set(_core.available_isas()):
        pytest.skip("needs a machine with AVX2 and AVX-512")
    x = inputs(rng, 4099)
    for name in ELEMENTWISE:
        a, b = np.empty_like(x), np.empty_like(x)
        _core.testing.activation_forward("avx2", name, x, a)
        _core.testing.activation_forward("avx512", name, x, b)
        assert np.array_equal(a, b), name
    for columns in SIZES:
        x = (rng.standard_normal((3, columns)) * 5).astype(np.float32)
        a, b = np.empty_like(x), np.empty_like(x)
        _core.testing.softmax_forward("avx2", x, a)
        _core.testing.softmax_forward("avx512", x, b)
        assert np.array_equal(a, b), columns


# --- the functions that layers call


def test_any_shape_and_out(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 5)).astype(np.float32)
    for shape in ((2, 3, 5), (30,), (0, 4), (2, 0)):
        a = x.ravel()[: int(np.prod(shape))].reshape(shape)
        for name in ("tanh", "softmax"):
            y = _core.activation_forward(name, a)
            assert y.shape == shape and y.dtype == np.float32
            out = np.full(shape, np.nan, np.float32)
            assert np.array_equal(_core.activation_forward(name, a, out), out) and np.array_equal(out, y)
            assert _core.activation_backward(name, None, y, a).shape == shape
    assert _core.activation_forward("relu", np.array(-1, np.float32)).shape == ()


def test_errors_name_the_argument() -> None:
    x = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"name: .*'tanhh'"):
        _core.activation_forward("tanhh", x)
    with pytest.raises(ValueError, match=r"out: expected the shape of x, \(2, 3\), got \(3, 2\)"):
        _core.activation_forward("tanh", x, np.ones((3, 2), np.float32))
    with pytest.raises(ValueError, match="x: softmax needs at least one axis"):
        _core.activation_forward("softmax", np.ones((), np.float32))
    with pytest.raises(ValueError, match="x: the backward pass of 'gelu' needs the input"):
        _core.activation_backward("gelu", None, x, x)
    with pytest.raises(ValueError, match="y: the backward pass of 'tanh' needs the output"):
        _core.activation_backward("tanh", x, None, x)
    with pytest.raises(ValueError, match="y: expected the shape of dy"):
        _core.activation_backward("tanh", None, x, x[:1])


@pytest.mark.parametrize("bad", [np.ones((2, 3)), np.ones((3, 2), np.float32).T, np.ones((2, 3), int)])
def test_nothing_is_converted_silently(bad: np.ndarray) -> None:
    with pytest.raises(TypeError):
        _core.activation_forward("tanh", bad)
    with pytest.raises(TypeError):
        _core.activation_forward("tanh", np.ones((2, 3), np.float32), bad)


def test_read_only_output_is_refused() -> None:
    out = np.zeros(3, np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match=r"read-?only|writeable"):
        _core.activation_forward("tanh", np.ones(3, np.float32), out)
    assert np.array_equal(out, np.zeros(3))
