# SPDX-License-Identifier: BSD-3-Clause
"""Training in JAX: the whole step, with Optax's Adam, is one compiled function whose weights are updated in place."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from workloads import GATES, Train, draw_ends, draw_layers, training_batches


def _dropped(w: Train, key: Any) -> Any:
    """For `recurrent_network`: masks of inputs, new ones every step, and of h, one a row."""
    inputs: list[Any] = [None] * w.layers
    inside: list[Any] = [None] * w.layers
    for n in range(w.layers):
        key, first, second = jax.random.split(key, 3)
        if w.dropout and n:
            keep = 1 - w.dropout
            shape = (w.time, w.batch, w.directions * w.hidden)
            inputs[n] = jax.random.bernoulli(first, keep, shape) / keep
        if w.recurrent_dropout:
            keep = 1 - w.recurrent_dropout
            shape = (w.directions, GATES[w.kind], w.batch, w.hidden)
            inside[n] = jax.random.bernoulli(second, keep, shape) / keep
            inside[n] = [inside[n][d] for d in range(w.directions)]
    return inputs, inside


def training_step(w: Train, network: Callable[..., Any]) -> Callable[[], float]:
    embedding, kernel, bias = draw_ends(w)
    weights: Any = {"embedding": embedding, "layers": draw_layers(w), "head": kernel, "bias": bias}
    weights = jax.tree.map(jnp.asarray, weights)

    def loss(p: Any, x: Any, y: Any, lengths: Any, key: Any) -> Any:
        x = p["embedding"][x] if w.vocabulary else x
        outputs = network(x.swapaxes(0, 1), p["layers"], (), lengths, _dropped(w, key))
        if not w.per_step:
            last = outputs[-1]  # behind its end a row's state stays as it is
            if w.bi:
                last = jnp.concatenate([outputs[-1, :, : w.hidden], outputs[0, :, w.hidden :]], -1)
            return optax.softmax_cross_entropy_with_integer_labels(last @ p["head"] + p["bias"], y).mean()
        losses = optax.softmax_cross_entropy_with_integer_labels(outputs @ p["head"] + p["bias"], y.T)
        if lengths is None:
            return losses.mean()
        alive = jnp.arange(w.time)[:, None] < lengths
        return (losses * alive).sum() / alive.sum()

    adam = optax.adam(1e-4, eps=1e-7)

    def step(p: Any, state: Any, x: Any, y: Any, lengths: Any, key: Any) -> Any:
        key, now = jax.random.split(key)
        value, gradients = jax.value_and_grad(loss)(p, x, y, lengths, now)
        updates, state = adam.update(gradients, state)
        return optax.apply_updates(p, updates), state, key, value

    compiled = jax.jit(step, donate_argnums=(0, 1))
    turn = itertools.cycle([jax.tree.map(jnp.asarray, tuple(b)) for b in training_batches(w)])
    held = [weights, adam.init(weights), jax.random.key(0)]

    def call() -> float:
        held[0], held[1], held[2], value = compiled(held[0], held[1], *next(turn), held[2])
        return float(value)

    return call
