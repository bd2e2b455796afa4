# SPDX-License-Identifier: BSD-3-Clause
"""Scaled dot-product attention in plain NumPy float64: a part of `reference.py`.

``q`` is (B, T, N, K), ``k`` (B, S, M, K), ``v`` (B, S, M, V): B samples, T queries, S keys, N heads of queries, M heads
of keys and values, which adjacent heads of queries share.
"""

from __future__ import annotations

import numpy as np

from .reference_cells import Array, _f64


def attention_forward(
    q: Array,
    k: Array,
    v: Array,
    scale: float,
    mask: Array | None = None,
    drop: Array | None = None,
    zero_blind: bool = False,
) -> tuple[Array, Array]:
    """``P = softmax(scale q k^T)`` (B, N, T, S) and ``(P drop) v`` (B, T, N, V), the latter first (Vaswani et al. 2017).

    Where `mask` is False a score counts as -1e30; a query that sees nothing has equal weights, or 0 with `zero_blind`.
    """
    k, v = (np.repeat(_f64(a), q.shape[2] // a.shape[2], axis=2) for a in (k, v))
    scores = scale * np.einsum("btnk,bsnk->bnts", _f64(q), k)
    if mask is not None:
        scores = np.where(mask, scores, -1e30)
    p = np.exp(scores - scores.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    if mask is not None and zero_blind:
        p = np.where(mask.any(axis=-1, keepdims=True), p, 0.0)
    return np.einsum("bnts,bsnv->btnv", p if drop is None else p * drop, v), p


def attention_backward(
    q: Array,
    k: Array,
    v: Array,
    scale: float,
    p: Array,
    drop: Array | None = None,
    dcontext: Array | None = None,
    dp: Array | None = None,
) -> tuple[Array, Array, Array]:
    """(dq, dk, dv) from the gradients of the context and of P, either of which may be missing."""
    q, p = _f64(q), _f64(p)
    shared = k.shape[2]
    k, v = (np.repeat(_f64(a), q.shape[2] // shared, axis=2) for a in (k, v))
    factors = 1.0 if drop is None else _f64(drop)
    dcontext = np.zeros((*q.shape[:3], v.shape[3])) if dcontext is None else _f64(dcontext)
    dp = np.einsum("btnv,bsnv->bnts", dcontext, v) * factors + (0 if dp is None else _f64(dp))
    ds = p * (dp - (p * dp).sum(axis=-1, keepdims=True))
    dk = scale * np.einsum("bnts,btnk->bsnk", ds, q)
    dv = np.einsum("bnts,btnv->bsnv", p * factors, dcontext)
    dk, dv = (d.reshape(*d.shape[:2], shared, -1, d.shape[3]).sum(axis=3) for d in (dk, dv))
    return scale * np.einsum("bnts,bsnk->btnk", ds, k), dk, dv
