# SPDX-License-Identifier: BSD-3-Clause
"""The equations written out: NumPy with a Python loop over time, JAX compiled around `lax.scan`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from workloads import Data, Infer, Train

from . import Ready

Scan = Callable[
    [Any, Any, Any], Any
]  # (step, states, a tuple of arrays with time first) -> outputs, time first


def version(variant: str) -> str:
    if variant == "numpy":
        return np.__version__
    import jax

    return str(jax.__version__)


def _cell(
    xp: Any, sigmoid: Any, cell: str, u: Any, bias: Any, dropped: Any = None
) -> Callable[..., tuple[Any, ...]]:
    """(input product, states) -> new states, h first. `dropped`: (gates, B, H), a mask of h for each gate, as in Keras."""
    n = u.shape[0]

    def product(h: Any) -> Any:
        if dropped is None:
            return h @ u
        gates = range(u.shape[1] // n)
        return xp.concatenate([(h * dropped[g]) @ u[:, g * n : (g + 1) * n] for g in gates], -1)

    def lstm(z: Any, h: Any, c: Any) -> tuple[Any, ...]:
        a = z + product(h)
        s = sigmoid(a)
        c = s[:, n : 2 * n] * c + s[:, :n] * xp.tanh(a[:, 2 * n : 3 * n])
        return s[:, 3 * n :] * xp.tanh(c), c

    def gru(z: Any, h: Any) -> tuple[Any, ...]:
        r = product(h) + bias[1]
        s = sigmoid(z[:, : 2 * n] + r[:, : 2 * n])
        new = xp.tanh(z[:, 2 * n :] + s[:, n:] * r[:, 2 * n :])
        return (s[:, :n] * h + (1 - s[:, :n]) * new,)

    def simple_rnn(z: Any, h: Any) -> tuple[Any, ...]:
        return (xp.tanh(z + product(h)),)

    return {"lstm": lstm, "gru": gru, "simple_rnn": simple_rnn}[cell]


def recurrent_network(xp: Any, sigmoid: Any, scan: Scan, cell: str, w: Infer | Train) -> Callable[..., Any]:
    """A function of x (T, B, I), weights, states, lengths, and in training what is dropped.

    `dropped` is a pair of lists with an entry for each layer: what its input is multiplied with, and what h is, for each
    direction (see `_cell`); None: nothing.
    """

    def direction(x: Any, weights: Any, states: Any, alive: Any, dropped: Any) -> Any:
        kernel, recurrent, bias = weights
        step = _cell(xp, sigmoid, cell, recurrent, bias, dropped)
        z = (x.reshape(-1, x.shape[-1]) @ kernel + bias.reshape(-1, kernel.shape[1])[0]).reshape(
            *x.shape[:2], -1
        )
        if not states:
            states = (xp.zeros((w.batch, w.hidden), np.float32),) * (2 if cell == "lstm" else 1)

        def masked(states: Any, now: Any) -> Any:
            new = step(now[0], *states)
            if alive is not None:
                new = tuple(xp.where(now[1], a, b) for a, b in zip(new, states, strict=True))
            return new, new[0]

        return scan(masked, tuple(states), (z,) if alive is None else (z, alive))

    def run(x: Any, layers: Any, states: Any, lengths: Any, dropped: Any = None) -> Any:
        alive = None if lengths is None else (xp.arange(w.time)[:, None] < lengths)[:, :, None]
        for n, layer in enumerate(layers):
            inside: Any = (None, None)
            if dropped is not None:
                x = x if dropped[0][n] is None else x * dropped[0][n]
                inside = inside if dropped[1][n] is None else dropped[1][n]
            outputs = [direction(x, layer[0], states, alive, inside[0])]
            if w.bi:
                flipped = None if alive is None else alive[::-1]
                outputs.append(direction(x[::-1], layer[1], states, flipped, inside[1])[::-1])
            x = xp.concatenate(outputs, -1) if w.bi else outputs[0]
        return x

    return run


def _loop(step: Any, states: Any, arrays: Any) -> np.ndarray:
    out = np.empty((*arrays[0].shape[:2], states[0].shape[1]), np.float32)
    for t, now in enumerate(zip(*arrays, strict=True)):
        states, out[t] = step(states, now)
    return out


def _scan(step: Any, states: Any, arrays: Any) -> Any:
    import jax

    return jax.lax.scan(step, states, arrays)[1]


def infer(w: Infer, data: Data, threads: int, variant: str) -> Ready | None:
    x = data.time_major
    given = data.weights, data.states, data.lengths
    if variant == "numpy":
        net = recurrent_network(np, lambda a: 1 / (1 + np.exp(-a)), _loop, w.cell, w)
        return Ready(lambda: net(x, *given), lambda y: y.transpose(1, 0, 2))
    import jax

    net = recurrent_network(jax.numpy, jax.nn.sigmoid, _scan, w.cell, w)
    weights, states, lengths = jax.tree.map(jax.numpy.asarray, given)
    compiled = jax.jit(lambda x, states: net(x, weights, states, lengths))
    return Ready(lambda: np.asarray(compiled(x, states)), lambda y: y.transpose(1, 0, 2))


def train(w: Train, threads: int, variant: str) -> Callable[[], Any] | None:
    if variant == "numpy":
        return None
    import jax

    from .jax_training import training_step

    return training_step(w, recurrent_network(jax.numpy, jax.nn.sigmoid, _scan, w.kind, w))
