# SPDX-License-Identifier: BSD-3-Clause
"""The equations written out: NumPy with a Python loop over time, JAX compiled around `lax.scan`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from workloads import Data, Infer

from . import Ready

Scan = Callable[
    [Any, Any, Any], Any
]  # (step, states, a tuple of arrays with time first) -> outputs, time first


def version(variant: str) -> str:
    if variant == "numpy":
        return np.__version__
    import jax

    return str(jax.__version__)


def _cell(xp: Any, sigmoid: Any, cell: str, u: Any, bias: Any) -> Callable[..., tuple[Any, ...]]:
    """(input product, states) -> new states, h first."""
    n = u.shape[0]

    def lstm(z: Any, h: Any, c: Any) -> tuple[Any, ...]:
        a = z + h @ u
        s = sigmoid(a)
        c = s[:, n : 2 * n] * c + s[:, :n] * xp.tanh(a[:, 2 * n : 3 * n])
        return s[:, 3 * n :] * xp.tanh(c), c

    def gru(z: Any, h: Any) -> tuple[Any, ...]:
        r = h @ u + bias[1]
        s = sigmoid(z[:, : 2 * n] + r[:, : 2 * n])
        new = xp.tanh(z[:, 2 * n :] + s[:, n:] * r[:, 2 * n :])
        return (s[:, :n] * h + (1 - s[:, :n]) * new,)

    def simple_rnn(z: Any, h: Any) -> tuple[Any, ...]:
        return (xp.tanh(z + h @ u),)

    return {"lstm": lstm, "gru": gru, "simple_rnn": simple_rnn}[cell]


def _network(xp: Any, sigmoid: Any, scan: Scan, w: Infer) -> Callable[..., Any]:
    """A function of x (T, B, I), weights, states and lengths."""

    def direction(x: Any, weights: Any, states: Any, alive: Any) -> Any:
        kernel, recurrent, bias = weights
        step = _cell(xp, sigmoid, w.cell, recurrent, bias)
        z = (x.reshape(-1, x.shape[-1]) @ kernel + bias.reshape(-1, kernel.shape[1])[0]).reshape(
            *x.shape[:2], -1
        )
        if not states:
            states = (xp.zeros((w.batch, w.hidden), np.float32),) * (2 if w.cell == "lstm" else 1)

        def masked(states: Any, now: Any) -> Any:
            new = step(now[0], *states)
            if alive is not None:
                new = tuple(xp.where(now[1], a, b) for a, b in zip(new, states, strict=True))
            return new, new[0]

        return scan(masked, tuple(states), (z,) if alive is None else (z, alive))

    def run(x: Any, layers: Any, states: Any, lengths: Any) -> Any:
        alive = None if lengths is None else (xp.arange(w.time)[:, None] < lengths)[:, :, None]
        for layer in layers:
            outputs = [direction(x, layer[0], states, alive)]
            if w.bi:
                flipped = None if alive is None else alive[::-1]
                outputs.append(direction(x[::-1], layer[1], states, flipped)[::-1])
            x = xp.concatenate(outputs, -1) if w.bi else outputs[0]
        return x

    return run


def _loop(step: Any, states: Any, arrays: Any) -> np.ndarray:
    out = np.empty((*arrays[0].shape[:2], states[0].shape[1]), np.float32)
    for t, now in enumerate(zip(*arrays, strict=True)):
        states, out[t] = step(states, now)
    return out


def infer(w: Infer, data: Data, threads: int, variant: str) -> Ready | None:
    x = data.time_major
    given = data.weights, data.states, data.lengths
    if variant == "numpy":
        net = _network(np, lambda a: 1 / (1 + np.exp(-a)), _loop, w)
        return Ready(lambda: net(x, *given), lambda y: y.transpose(1, 0, 2))
    import jax

    net = _network(jax.numpy, jax.nn.sigmoid, lambda step, s, a: jax.lax.scan(step, s, a)[1], w)
    weights, states, lengths = jax.tree.map(jax.numpy.asarray, given)
    compiled = jax.jit(lambda x, states: net(x, weights, states, lengths))
    return Ready(lambda: np.asarray(compiled(x, states)), lambda y: y.transpose(1, 0, 2))
