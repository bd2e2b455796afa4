# SPDX-License-Identifier: BSD-3-Clause
"""Scaled dot-product attention against reference.py, on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import _core, reference

#: batch, steps, keys, heads, heads of the keys, their size, that of the values
SIZES = [
    (1, 1, 1, 1, 1, 1, 1),
    (2, 3, 5, 2, 2, 4, 3),
    (2, 17, 33, 4, 2, 7, 20),
    (1, 64, 64, 4, 4, 32, 32),
    (3, 31, 16, 6, 1, 33, 17),
    (1, 250, 300, 1, 1, 8, 70),
    (1, 40, 1400, 2, 1, 5, 6),
]
MODES = ["plain", "mask", "causal", "blind", "zero_blind", "drop", "scores", "all"]


def case(rng, sizes, mode):
    """(q, k, v), and the further arguments of a forward pass."""
    b, t, s, n, m, k, v = sizes
    arrays = [
        rng.standard_normal(shape).astype(np.float32) for shape in ((b, t, n, k), (b, s, m, k), (b, s, m, v))
    ]
    mask, drop = None, None
    if mode in ("mask", "blind", "zero_blind", "all"):
        mask = rng.random((b, 1, t, s)) > 0.3
        mask[..., 0] = True
        if mode != "mask":
            mask[:, :, t // 2] = False
        mask = np.broadcast_to(mask, (b, n, t, s))
    if mode == "causal":
        mask = np.broadcast_to(np.arange(t)[:, None] >= np.arange(s), (b, n, t, s))
    if mode in ("drop", "all"):
        drop = ((rng.random((b, n, t, s)) > 0.4) / np.float32(0.6)).astype(np.float32)
    return arrays, (1 / np.sqrt(k), mask, drop, mode in ("zero_blind", "all"))


def gradients_of(rng, sizes, mode):
    b, t, s, n, _, _, v = sizes
    dcontext, dp = rng.standard_normal((b, t, n, v)), rng.standard_normal((b, n, t, s))
    return (
        None if mode == "scores" else dcontext.astype(np.float32),
        dp.astype(np.float32) if mode in ("scores", "all") else None,
    )


def close(actual, expected, what, least=1e-6):
    scale = max(np.abs(expected).max(), least)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * scale, err_msg=what)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_against_reference(isa, sizes, mode, rng, poisoned):
    arrays, (scale, mask, drop, zero_blind) = case(rng, sizes, mode)
    context, p = _core.testing.attention_forward(isa, *arrays, scale, mask, drop, zero_blind, True)
    want_context, want_p = reference.attention_forward(*arrays, scale, mask, drop, zero_blind)
    close(context, want_context, "context")
    close(p, want_p, "probabilities")
    alone, nothing = _core.testing.attention_forward(isa, *arrays, scale, mask, drop, zero_blind, False)
    assert nothing is None and np.array_equal(alone, context)
    given = gradients_of(rng, sizes, mode)
    got = _core.testing.attention_backward(isa, *arrays, scale, p, drop, *given)
    want = reference.attention_backward(*arrays, scale, want_p, drop, *given)
    for name, a, b in zip(("dq", "dk", "dv"), got, want, strict=True):
        # With one key all of a score's gradient cancels.
        close(a, b, name, least=1.0 if name != "dv" else 1e-6)


def test_a_sample_does_not_depend_on_its_company_nor_on_threads(isa, rng):
    sizes = (7, 50, 60, 4, 2, 20, 24)
    arrays, (scale, mask, drop, zero_blind) = case(rng, sizes, "all")
    dcontext, dp = gradients_of(rng, sizes, "all")
    results = []
    for threads in (1, 2, 3):
        with lf.threads(threads):
            context, p = _core.testing.attention_forward(isa, *arrays, scale, mask, drop, zero_blind, True)
            gradients = _core.testing.attention_backward(isa, *arrays, scale, p, drop, dcontext, dp)
            results.append((context, p, *gradients))
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))
    for row in (slice(0, 1), slice(3, 5)):
        some = [np.ascontiguousarray(a[row]) for a in arrays]
        context, p = _core.testing.attention_forward(
            isa, *some, scale, mask[row], drop[row].copy(), zero_blind, True
        )
        gradients = _core.testing.attention_backward(
            isa, *some, scale, p, drop[row].copy(), dcontext[row].copy(), dp[row].copy()
        )
        for a, b in zip((context, p, *gradients), results[0], strict=True):
            assert np.array_equal(a, b[row])


def test_instruction_sets_agree_to_the_bit_in_inference(rng):
    sizes = (2, 40, 70, 2, 2, 20, 24)
    arrays, (scale, mask, drop, zero_blind) = case(rng, sizes, "mask")
    fused = [
        _core.testing.attention_forward(isa, *arrays, scale, mask, drop, zero_blind, True)
        for isa in lf.available_isas()
        if isa != "sse2"
    ]
    for context, p in fused[1:]:
        assert np.array_equal(context, fused[0][0]) and np.array_equal(p, fused[0][1])


def test_wrong_arguments_are_named(rng):
    (q, k, v), (scale, *_) = case(rng, (2, 3, 5, 2, 2, 4, 3), "plain")
    forward = _core.attention_forward
    with pytest.raises(ValueError, match="k: expected shape"):
        forward(q, k[..., :3].copy(), v, scale, None, None, False, False)
    with pytest.raises(ValueError, match="v: expected shape"):
        forward(q, k, v[:, :4].copy(), scale, None, None, False, False)
    with pytest.raises(ValueError, match="divides those of q"):
        forward(q, np.repeat(k, 2, axis=2), np.repeat(v, 2, axis=2), scale, None, None, False, False)
    with pytest.raises(ValueError, match="mask: expected shape"):
        forward(q, k, v, scale, np.ones((2, 1, 3, 5), bool), None, False, False)
    with pytest.raises(TypeError, match="mask: expected an array of bool"):
        forward(q, k, v, scale, np.ones((2, 2, 3, 5), np.float32), None, False, False)
    with pytest.raises(ValueError, match="dcontext: expected an array"):
        _core.attention_backward(q, k, v, scale, np.ones((2, 2, 3, 5), np.float32), None, None, None)
