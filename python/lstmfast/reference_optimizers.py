# SPDX-License-Identifier: BSD-3-Clause
"""Optimizers in plain NumPy float64: a part of `reference.py`.

Each function takes lists of values and gradients and the lists of running means (slots) that the optimizer keeps,
writes the new running means into those lists and returns the new values.
"""

from __future__ import annotations

import math

import numpy as np

from .reference_cells import Array, _f64


def sgd(
    values: list[Array],
    grads: list[Array],
    velocity: list[Array],
    lr: float,
    momentum: float = 0.0,
    nesterov: bool = False,
) -> list[Array]:
    """``v <- m v - lr g``; ``p <- p + v``, with `nesterov` ``p + m v - lr g`` (Sutskever et al. 2013)."""
    out = []
    for k, (p, g) in enumerate(zip(values, grads, strict=True)):
        p, g = _f64(p), _f64(g)
        velocity[k] = momentum * velocity[k] - lr * g
        out.append(p + (momentum * velocity[k] - lr * g if nesterov else velocity[k]))
    return out


def adam(
    values: list[Array],
    grads: list[Array],
    m: list[Array],
    v: list[Array],
    lr: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    step: int,
    largest: list[Array] | None = None,
) -> list[Array]:
    """Kingma and Ba 2015 as ordered at the end of their section 2: epsilon joins the uncorrected root.

    ``m <- b1 m + (1-b1) g``; ``v <- b2 v + (1-b2) g^2``;
    ``p <- p - lr sqrt(1 - b2^step) / (1 - b1^step) m / (sqrt(v) + eps)``. With `largest`
    (AMSGrad, Reddi et al. 2018) the largest v so far takes v's place.
    """
    rate = lr * math.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    out = []
    for k, (p, g) in enumerate(zip(values, grads, strict=True)):
        g = _f64(g)
        m[k] = m[k] + (g - m[k]) * (1 - beta_1)
        v[k] = v[k] + (g * g - v[k]) * (1 - beta_2)
        divisor = v[k]
        if largest is not None:
            divisor = largest[k] = np.maximum(largest[k], v[k])
        out.append(_f64(p) - rate * m[k] / (np.sqrt(divisor) + epsilon))
    return out


def adamax(
    values: list[Array],
    grads: list[Array],
    m: list[Array],
    u: list[Array],
    lr: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    step: int,
) -> list[Array]:
    """Kingma and Ba 2015, section 7: ``u <- max(b2 u, |g|)``; ``p <- p - lr / (1 - b1^step) m / (u + eps)``."""
    out = []
    for k, (p, g) in enumerate(zip(values, grads, strict=True)):
        g = _f64(g)
        m[k] = beta_1 * m[k] + (1 - beta_1) * g
        u[k] = np.maximum(beta_2 * u[k], np.abs(g))
        out.append(_f64(p) - lr / (1 - beta_1**step) * m[k] / (u[k] + epsilon))
    return out


def nadam(
    values: list[Array],
    grads: list[Array],
    m: list[Array],
    v: list[Array],
    lr: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    step: int,
) -> list[Array]:
    """Dozat 2016 with the momentum ``b(t) = b1 (1 - 0.96^t / 2)``.

    ``p <- p - lr (b(t+1) m / (1 - prod b(1..t+1)) + (1 - b(t)) g / (1 - prod b(1..t))) / (sqrt(v / (1 - b2^t)) +
    eps)``.
    """
    schedule = [beta_1 * (1 - 0.5 * 0.96**t) for t in range(1, step + 2)]
    product, product_next = math.prod(schedule[:-1]), math.prod(schedule)
    out = []
    for k, (p, g) in enumerate(zip(values, grads, strict=True)):
        g = _f64(g)
        m[k] = beta_1 * m[k] + (1 - beta_1) * g
        v[k] = beta_2 * v[k] + (1 - beta_2) * g * g
        ahead = schedule[-1] * m[k] / (1 - product_next) + (1 - schedule[-2]) * g / (1 - product)
        out.append(_f64(p) - lr * ahead / (np.sqrt(v[k] / (1 - beta_2**step)) + epsilon))
    return out


def lion(
    values: list[Array], grads: list[Array], m: list[Array], lr: float, beta_1: float, beta_2: float
) -> list[Array]:
    """Chen et al. 2023: ``p <- p - lr sign(b1 m + (1-b1) g)``; ``m <- b2 m + (1-b2) g``."""
    out = []
    for k, (p, g) in enumerate(zip(values, grads, strict=True)):
        g = _f64(g)
        out.append(_f64(p) - lr * np.sign(beta_1 * m[k] + (1 - beta_1) * g))
        m[k] = beta_2 * m[k] + (1 - beta_2) * g
    return out


def rmsprop(
    values: list[Array],
    grads: list[Array],
    slots: list[list[Array]],
    lr: float,
    rho: float,
    momentum: float,
    epsilon: float,
    centered: bool,
) -> list[Array]:
    """Hinton 2012, centered as Graves 2013 (equation 40), epsilon under the root as Keras has it.

    ``v <- rho v + (1-rho) g^2``; ``a <- rho a + (1-rho) g``; ``s <- momentum s + lr g / sqrt(v - a^2 + eps)``; ``p <-
    p - s``. `slots`: the lists of v, then of s where ``momentum > 0``, then of a where `centered`.
    """
    v, s, a = slots[0], slots[1] if momentum > 0 else None, slots[-1] if centered else None
    out = []
    for k, (p, g) in enumerate(zip(values, grads, strict=True)):
        g = _f64(g)
        spread = v[k] = rho * v[k] + (1 - rho) * g * g
        if a is not None:
            a[k] = rho * a[k] + (1 - rho) * g
            spread = v[k] - a[k] * a[k]
        move = lr * g / np.sqrt(spread + epsilon)
        if s is not None:
            move = s[k] = momentum * s[k] + move
        out.append(_f64(p) - move)
    return out


def adagrad(
    values: list[Array], grads: list[Array], total: list[Array], lr: float, epsilon: float
) -> list[Array]:
    """Duchi et al. 2011: ``s <- s + g^2``; ``p <- p - lr g / sqrt(s + eps)``."""
    out = []
    for k, (p, g) in enumerate(zip(values, grads, strict=True)):
        g = _f64(g)
        total[k] = total[k] + g * g
        out.append(_f64(p) - lr * g / np.sqrt(total[k] + epsilon))
    return out


def adadelta(
    values: list[Array],
    grads: list[Array],
    squares: list[Array],
    moves: list[Array],
    lr: float,
    rho: float,
    epsilon: float,
) -> list[Array]:
    """Zeiler 2012: ``v <- rho v + (1-rho) g^2``; ``d = sqrt(s + eps) / sqrt(v + eps) g``; ``s <- rho s + (1-rho)
    d^2``; ``p <- p - lr d``."""
    out = []
    for k, (p, g) in enumerate(zip(values, grads, strict=True)):
        g = _f64(g)
        squares[k] = rho * squares[k] + (1 - rho) * g * g
        d = np.sqrt(moves[k] + epsilon) / np.sqrt(squares[k] + epsilon) * g
        moves[k] = rho * moves[k] + (1 - rho) * d * d
        out.append(_f64(p) - lr * d)
    return out


def global_norm(grads: list[Array]) -> float:
    """Euclidean norm of all gradients taken as one vector."""
    return math.sqrt(sum(float((_f64(g) ** 2).sum()) for g in grads))


def clip_global_norm(grads: list[Array], max_norm: float) -> list[Array]:
    """All gradients times ``max_norm / max(norm, max_norm)`` (Pascanu et al. 2013)."""
    scale = max_norm / max(global_norm(grads), max_norm)
    return [_f64(g) * scale for g in grads]
