# SPDX-License-Identifier: BSD-3-Clause
"""Activations and recurrent cells of the specification (see `reference.py`): one time step each, float64."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]
States = tuple[Array, ...]


def _f64(a: Any) -> Array:
    return np.asarray(a, dtype=np.float64)


# --- Activations: Keras 3's names, formulas and constants

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. 2017, appendix
_SQRT_2_PI = math.sqrt(2.0 / math.pi)


def _sigmoid(x: Array) -> Array:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x))


def _normal_cdf(x: Array) -> Array:
    return np.array([0.5 * math.erfc(-v / math.sqrt(2.0)) for v in x.ravel()]).reshape(x.shape)


def _gelu_tanh_inner(x: Array) -> Array:
    return np.asarray(np.tanh(_SQRT_2_PI * (x + 0.044715 * x**3)))


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


_FORWARD: dict[str, Any] = {
    "linear": lambda x: x.copy(),
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "softmax": _softmax,
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "selu": lambda x: _SELU_SCALE * np.where(x > 0, x, _SELU_ALPHA * np.expm1(np.minimum(x, 0))),
    "gelu": lambda x: x * _normal_cdf(x),
    "gelu_tanh": lambda x: 0.5 * x * (1 + _gelu_tanh_inner(x)),
    "silu": lambda x: x * _sigmoid(x),
    "softplus": lambda x: np.logaddexp(x, 0),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "exponential": np.exp,
    "leaky_relu": lambda x: np.where(x > 0, x, 0.2 * x),
    "relu6": lambda x: np.clip(x, 0, 6),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
}


def _gelu_tanh_slope(x: Array, y: Array) -> Array:
    t = _gelu_tanh_inner(x)
    return np.asarray(0.5 * (1 + t) + 0.5 * x * (1 - t * t) * _SQRT_2_PI * (1 + 3 * 0.044715 * x * x))


# dy/dx from x and y; where y alone is enough the kernels get no x.
_SLOPE: dict[str, Any] = {
    "linear": lambda x, y: np.ones_like(y),
    "relu": lambda x, y: (y > 0) * 1.0,
    "sigmoid": lambda x, y: y * (1 - y),
    "tanh": lambda x, y: 1 - y * y,
    "hard_sigmoid": lambda x, y: ((y > 0) & (y < 1)) / 6.0,
    "elu": lambda x, y: np.where(y > 0, 1, y + 1),
    "selu": lambda x, y: np.where(y > 0, _SELU_SCALE, y + _SELU_SCALE * _SELU_ALPHA),
    "gelu": lambda x, y: _normal_cdf(x) + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi),
    "gelu_tanh": _gelu_tanh_slope,
    "silu": lambda x, y: _sigmoid(x) * (1 + x * (1 - _sigmoid(x))),
    "softplus": lambda x, y: -np.expm1(-y),
    "softsign": lambda x, y: (1 - np.abs(y)) ** 2,
    "exponential": lambda x, y: y,
    "leaky_relu": lambda x, y: np.where(y > 0, 1, 0.2),
    "relu6": lambda x, y: ((y > 0) & (y < 6)) * 1.0,
    "hard_tanh": lambda x, y: ((y > -1) & (y < 1)) * 1.0,
}


def activation_names() -> list[str]:
    """Names that `activation_forward` and `activation_backward` know."""
    return list(_FORWARD)


def activation_forward(name: str, x: Any) -> Array:
    """``y = f(x)`` element by element; softmax over the last axis."""
    return np.asarray(_FORWARD[name](_f64(x)))


def activation_backward(name: str, x: Any, y: Any, dy: Any) -> Array:
    """``dx`` from ``dy``. `x` may be None except for gelu, gelu_tanh and silu."""
    y, dy = _f64(y), _f64(dy)
    if name == "softmax":
        return np.asarray(y * (dy - (dy * y).sum(axis=-1, keepdims=True)))
    return np.asarray(dy * _SLOPE[name](None if x is None else _f64(x), y))


# --- Cells: one time step. h as the recurrent product reads it is (B, G, H), one copy a gate; u is (H, G, H).
# (With a projection h is (B, P), read as (B, G, P), and u is (P, G, H).)


class _Cell(Protocol):
    gates: int
    states: int
    biases: int
    bias_row: int  # 0: the (first) bias is added to x W; 1: beside h, or where the cell wants it

    def extra_shapes(self, units: int, outputs: int) -> dict[str, tuple[int, ...]]: ...
    def step(
        self, z_x: Array, h: Array, u: Array, bias: Array, states: States, f: str, g: str, *extra: Array
    ) -> Any: ...
    def step_backward(self, kept: Any, d_new: States, u: Array, f: str, g: str, *extra: Array) -> Any: ...


def _product(h: Array, u: Array) -> Array:
    return np.asarray(np.einsum("bgh,hgk->bgk", h, u))


def _product_backward(h: Array, u: Array, dz: Array) -> tuple[Array, Array]:
    """Gradients of h (B, G, P) and u (P, G, H) from dz (B, G, H)."""
    return np.einsum("bgk,hgk->bgh", dz, u), np.einsum("bgh,bgk->hgk", h, dz)


class _NoExtra:
    bias_row = 0

    def extra_shapes(self, units: int, outputs: int) -> dict[str, tuple[int, ...]]:
        return {}


class _OneSum(_NoExtra):
    """Cells whose gates see x and h only as the sum ``z = x W + h U + b``: they write `gates_of` and its backward.

    `step` returns the new states and what `step_backward` needs; that returns dz_x (B, G, H), the gradient of h as
    read (B, G, H), those of the states beside the product (one for each state), du, the second bias's and those of
    the weights that the cell has beside these.
    """

    biases = 1
    gates_of: Any
    gates_backward: Any

    def step(
        self, z_x: Array, h: Array, u: Array, bias: Array, states: States, f: str, g: str, *extra: Array
    ) -> Any:
        z = z_x + _product(h, u)
        new, kept = self.gates_of(z, states, f, g)
        return new, (h, z, kept)

    def step_backward(self, kept: Any, d_new: States, u: Array, f: str, g: str, *extra: Array) -> Any:
        h, z, kept = kept
        dz, d_states = self.gates_backward(z, kept, d_new, f, g)
        dh, du = _product_backward(h, u, dz)
        return dz, dh, d_states, du, np.zeros(dz.shape[1:])


class _SimpleRNN(_OneSum):
    """Elman 1990, ``h = f(z)`` with ``z = x W + h' U + b``."""

    gates, states = 1, 1

    def gates_of(self, z: Array, states: States, f: str, g: str) -> tuple[States, Any]:
        h = activation_forward(f, z[:, 0])
        return (h,), h

    def gates_backward(self, z: Array, h: Array, d_new: States, f: str, g: str) -> tuple[Array, States]:
        return activation_backward(f, z[:, 0], h, d_new[0])[:, None], (np.zeros_like(h),)


class _LSTM(_OneSum):
    """Hochreiter and Schmidhuber 1997, forget gate of Gers et al. 2000; gates in Keras's order i, f, c, o.

    ``i, f, o = g(z_i), g(z_f), g(z_o)``;  ``a = f(z_c)``;  ``c = f * c' + i * a``;  ``h = o * f(c)``.
    """

    gates, states = 4, 2

    def gates_of(self, z: Array, states: States, f: str, g: str) -> tuple[States, Any]:
        i, forget, o = (activation_forward(g, z[:, k]) for k in (0, 1, 3))
        a = activation_forward(f, z[:, 2])
        c = forget * states[1] + i * a
        fc = activation_forward(f, c)
        return (o * fc, c), (i, forget, a, o, states[1], c, fc)

    def gates_backward(self, z: Array, kept: Any, d_new: States, f: str, g: str) -> tuple[Array, States]:
        i, forget, a, o, c_prev, c, fc = kept
        dh, dc = d_new
        dc = dc + activation_backward(f, c, fc, dh * o)
        dz = [
            activation_backward(g, z[:, 0], i, dc * a),
            activation_backward(g, z[:, 1], forget, dc * c_prev),
            activation_backward(f, z[:, 2], a, dc * i),
            activation_backward(g, z[:, 3], o, dh * fc),
        ]
        return np.stack(dz, axis=1), (np.zeros_like(dh), dc * forget)


class _LSTMPeephole:
    """`_LSTM` whose gates see the cell, each unit its own (Gers and Schmidhuber 2000): p (3, H) in the order i, f, o.

    ``i, f = g(z_i + p_i * c'), g(z_f + p_f * c')``;  ``o = g(z_o + p_o * c)`` sees the new c.
    """

    gates, states, biases, bias_row = 4, 2, 1, 0

    def extra_shapes(self, units: int, outputs: int) -> dict[str, tuple[int, ...]]:
        return {"peephole_kernel": (3, units)}

    def step(
        self, z_x: Array, h: Array, u: Array, bias: Array, states: States, f: str, g: str, *extra: Array
    ) -> Any:
        (p,), c_prev = extra, states[1]
        z = z_x + _product(h, u)
        z_i, z_f = z[:, 0] + p[0] * c_prev, z[:, 1] + p[1] * c_prev
        i, forget = activation_forward(g, z_i), activation_forward(g, z_f)
        a = activation_forward(f, z[:, 2])
        c = forget * c_prev + i * a
        z_o = z[:, 3] + p[2] * c
        o, fc = activation_forward(g, z_o), activation_forward(f, c)
        return (o * fc, c), (h, z_i, z_f, z[:, 2], z_o, i, forget, a, o, c_prev, c, fc)

    def step_backward(self, kept: Any, d_new: States, u: Array, f: str, g: str, *extra: Array) -> Any:
        h, z_i, z_f, z_a, z_o, i, forget, a, o, c_prev, c, fc = kept
        (p,), (dh, dc) = extra, d_new
        dz_o = activation_backward(g, z_o, o, dh * fc)
        dc = dc + activation_backward(f, c, fc, dh * o) + dz_o * p[2]
        dz_i = activation_backward(g, z_i, i, dc * a)
        dz_f = activation_backward(g, z_f, forget, dc * c_prev)
        dz = np.stack([dz_i, dz_f, activation_backward(f, z_a, a, dc * i), dz_o], axis=1)
        dh_read, du = _product_backward(h, u, dz)
        dp = np.stack([(dz_i * c_prev).sum(axis=0), (dz_f * c_prev).sum(axis=0), (dz_o * c).sum(axis=0)])
        d_c_prev = dc * forget + dz_i * p[0] + dz_f * p[1]
        return dz, dh_read, (np.zeros_like(dh), d_c_prev), du, np.zeros(dz.shape[1:]), dp


def layer_norm_forward(x: Array, gain: Array, offset: Array) -> tuple[Array, Any]:
    """``y = gain * (x - mean) / sqrt(variance + 1e-3) + offset`` over the last axis; the biased variance."""
    centred = x - x.mean(axis=-1, keepdims=True)
    scale = 1.0 / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-3)
    return gain * centred * scale + offset, (centred * scale, scale)


def layer_norm_backward(kept: Any, gain: Array, dy: Array) -> tuple[Array, Array, Array]:
    """Gradients of x, gain and offset."""
    normal, scale = kept
    e = dy * gain
    dx = scale * (e - e.mean(axis=-1, keepdims=True) - normal * (e * normal).mean(axis=-1, keepdims=True))
    return dx, (dy * normal).sum(axis=0), dy.sum(axis=0)


class _LSTMLayerNorm:
    """`_LSTM` with layer normalization (Ba, Kiros and Hinton 2016, equations 20 to 22).

    ``z = LN(h' U) + LN(x W) + b``, each over all 4H sums;  ``h = o * f(LN(c))``. The weights are gain and offset of
    these three.
    """

    gates, states, biases, bias_row = 4, 2, 1, 1

    def extra_shapes(self, units: int, outputs: int) -> dict[str, tuple[int, ...]]:
        sizes = {"recurrent": 4 * units, "kernel": 4 * units, "state": units}
        return {f"{name}_norm_{part}": (size,) for name, size in sizes.items() for part in ("gamma", "beta")}

    def step(
        self, z_x: Array, h: Array, u: Array, bias: Array, states: States, f: str, g: str, *extra: Array
    ) -> Any:
        shape = z_x.shape
        from_h, kept_h = layer_norm_forward(_product(h, u).reshape(len(h), -1), *extra[:2])
        from_x, kept_x = layer_norm_forward(z_x.reshape(len(h), -1), *extra[2:4])
        z = (from_h + from_x).reshape(shape) + bias
        i, forget, o = (activation_forward(g, z[:, k]) for k in (0, 1, 3))
        a = activation_forward(f, z[:, 2])
        c = forget * states[1] + i * a
        normal, kept_c = layer_norm_forward(c, *extra[4:])
        y = activation_forward(f, normal)
        return (o * y, c), (h, kept_h, kept_x, z, i, forget, a, o, states[1], kept_c, normal, y)

    def step_backward(self, kept: Any, d_new: States, u: Array, f: str, g: str, *extra: Array) -> Any:
        h, kept_h, kept_x, z, i, forget, a, o, c_prev, kept_c, normal, y = kept
        dh, dc = d_new
        through, *d_state = layer_norm_backward(kept_c, extra[4], activation_backward(f, normal, y, dh * o))
        dc = dc + through
        dz = [
            activation_backward(g, z[:, 0], i, dc * a),
            activation_backward(g, z[:, 1], forget, dc * c_prev),
            activation_backward(f, z[:, 2], a, dc * i),
            activation_backward(g, z[:, 3], o, dh * y),
        ]
        flat = np.stack(dz, axis=1).reshape(len(h), -1)
        from_h, *d_recurrent = layer_norm_backward(kept_h, extra[0], flat)
        from_x, *d_kernel = layer_norm_backward(kept_x, extra[2], flat)
        dh_read, du = _product_backward(h, u, from_h.reshape(z.shape))
        dbias = flat.sum(axis=0).reshape(z.shape[1:])
        direct = (np.zeros_like(dh), dc * forget)
        return from_x.reshape(z.shape), dh_read, direct, du, dbias, *d_recurrent, *d_kernel, *d_state


class _Projected:
    """A cell whose h is a product of what it makes (Sak et al. 2014): ``h = (o * f(c)) @ projection_kernel``, (B, P)."""

    def __init__(self, cell: _Cell) -> None:
        self.cell = cell
        self.gates, self.states = cell.gates, cell.states
        self.biases, self.bias_row = cell.biases, cell.bias_row

    def extra_shapes(self, units: int, outputs: int) -> dict[str, tuple[int, ...]]:
        return {**self.cell.extra_shapes(units, outputs), "projection_kernel": (units, outputs)}

    def step(
        self, z_x: Array, h: Array, u: Array, bias: Array, states: States, f: str, g: str, *extra: Array
    ) -> Any:
        (whole, c), kept = self.cell.step(z_x, h, u, bias, states, f, g, *extra[:-1])
        return (whole @ extra[-1], c), (whole, kept)

    def step_backward(self, kept: Any, d_new: States, u: Array, f: str, g: str, *extra: Array) -> Any:
        whole, kept = kept
        dh, dc = d_new
        dz, dh_read, direct, *rest = self.cell.step_backward(
            kept, (dh @ extra[-1].T, dc), u, f, g, *extra[:-1]
        )
        return dz, dh_read, (np.zeros_like(dh), direct[1]), *rest, whole.T @ dh


class _GRU(_NoExtra):
    """Cho et al. 2014 with the reset gate after the product (Keras's ``reset_after=True``); gates z, r, h~.

    ``z, r = g(.), g(.)`` of the sums; ``n = f(x W_h + b_h + r * (h' U_h + c_h))``; ``h = z * h' + (1 - z) * n``.
    """

    gates, states, biases = 3, 1, 2

    def step(
        self, z_x: Array, h: Array, u: Array, bias: Array, states: States, f: str, g: str, *extra: Array
    ) -> Any:
        z_h = _product(h, u) + bias
        sums = z_x[:, :2] + z_h[:, :2]
        z, r = activation_forward(g, sums[:, 0]), activation_forward(g, sums[:, 1])
        z_n = z_x[:, 2] + r * z_h[:, 2]
        n = activation_forward(f, z_n)
        return (z * states[0] + (1 - z) * n,), (h, sums, z_h[:, 2], z, r, z_n, n, states[0])

    def step_backward(self, kept: Any, d_new: States, u: Array, f: str, g: str, *extra: Array) -> Any:
        h, sums, h_part, z, r, z_n, n, h_prev = kept
        dh = d_new[0]
        dn = activation_backward(f, z_n, n, dh * (1 - z))
        dz = activation_backward(g, sums[:, 0], z, dh * (h_prev - n))
        dr = activation_backward(g, sums[:, 1], r, dn * h_part)
        dz_h = np.stack([dz, dr, dn * r], axis=1)
        dh_read, du = _product_backward(h, u, dz_h)
        return np.stack([dz, dr, dn], axis=1), dh_read, (dh * z,), du, dz_h.sum(axis=0)


class _GRUResetBefore(_NoExtra):
    """Cho et al. 2014 as published, ``reset_after=False``: ``n = f(x W_h + b_h + (r * h') U_h)``."""

    gates, states, biases = 3, 1, 1

    def step(
        self, z_x: Array, h: Array, u: Array, bias: Array, states: States, f: str, g: str, *extra: Array
    ) -> Any:
        sums = z_x[:, :2] + _product(h[:, :2], u[:, :2])
        z, r = activation_forward(g, sums[:, 0]), activation_forward(g, sums[:, 1])
        z_n = z_x[:, 2] + (r * h[:, 2]) @ u[:, 2]
        n = activation_forward(f, z_n)
        return (z * states[0] + (1 - z) * n,), (h, sums, z, r, z_n, n, states[0])

    def step_backward(self, kept: Any, d_new: States, u: Array, f: str, g: str, *extra: Array) -> Any:
        h, sums, z, r, z_n, n, h_prev = kept
        dh = d_new[0]
        dn = activation_backward(f, z_n, n, dh * (1 - z))
        d_reset = dn @ u[:, 2].T
        dz = activation_backward(g, sums[:, 0], z, dh * (h_prev - n))
        dr = activation_backward(g, sums[:, 1], r, d_reset * h[:, 2])
        dh_read, du = _product_backward(h[:, :2], u[:, :2], np.stack([dz, dr], axis=1))
        dh_read = np.concatenate([dh_read, (d_reset * r)[:, None]], axis=1)
        du = np.concatenate([du, ((r * h[:, 2]).T @ dn)[:, None]], axis=1)
        dz_x = np.stack([dz, dr, dn], axis=1)
        return dz_x, dh_read, (dh * z,), du, np.zeros(dz_x.shape[1:])


CELLS: dict[str, _Cell] = {
    "lstm": _LSTM(),
    "lstm_peephole": _LSTMPeephole(),
    "lstm_layer_norm": _LSTMLayerNorm(),
    "lstm_projection": _Projected(_LSTM()),
    "lstm_peephole_projection": _Projected(_LSTMPeephole()),
    "lstm_layer_norm_projection": _Projected(_LSTMLayerNorm()),
    "gru": _GRU(),
    "gru_reset_before": _GRUResetBefore(),
    "simple_rnn": _SimpleRNN(),
}
