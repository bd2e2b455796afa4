# SPDX-License-Identifier: BSD-3-Clause
"""One attention layer of ours beside the same one of Keras's: outputs, gradients, masks."""

from __future__ import annotations

import numpy as np
from peers import torch


def close(actual, expected, what=""):
    expected = np.asarray(expected)
    # Not below 0.1: gradients of scores that hardly matter are sums that cancel. That of the keys' bias is 0, the rest
    # of sums of numbers above 1.
    least = 1.0 if what.endswith("key/bias") else 0.1
    scale = max(float(np.abs(expected).max(initial=0.0)), least)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * scale, err_msg=what)


def compare(ours, theirs, x, call, run, rng, value_twice=False):
    """`ours` on arrays `x` with `call`, `theirs` by `run(tensors)`: outputs and all gradients."""
    shapes = [a.shape for a in x]
    ours.ensure_built(shapes[:3] if len(x) > 1 else shapes[0])
    tensors = [torch.tensor(a, requires_grad=a.dtype == np.float32) for a in x]
    run(tensors)
    values = [rng.standard_normal(v.shape).astype("float32") * 0.7 for v in ours.weights]
    ours.set_weights(values)
    theirs.set_weights(values)
    call.save = call.needs_dx = True
    y = ours.forward(x if len(x) > 1 else x[0], call)
    expected = run(tensors)
    y, expected = (v if isinstance(v, tuple) else (v,) for v in (y, expected))
    assert len(y) == len(expected)
    for k, (a, b) in enumerate(zip(y, expected, strict=True)):
        assert a.shape == tuple(b.shape)
        close(a, b.detach().numpy(), f"output {k}")
    dy = [rng.standard_normal(a.shape).astype("float32") for a in y]
    dx = ours.backward(tuple(dy) if len(dy) > 1 else dy[0], call)
    sum((b * torch.tensor(d)).sum() for b, d in zip(expected, dy, strict=True)).backward()
    dx = dx if isinstance(dx, list) else [dx]
    if value_twice:  # it is the key as well
        dx[1:3] = [dx[1] + dx[2], np.zeros_like(dx[2])]
    for k, (a, b) in enumerate(zip(dx, tensors, strict=True)):
        if b.requires_grad:
            close(a, np.zeros(b.shape) if b.grad is None else b.grad.numpy(), f"dx {k}")
    for a, b in zip(ours.weights, theirs.weights, strict=True):
        close(a.grad, b.value.grad.numpy(), f"d {a.path}")


def masks_for(rng, q, v, masked):
    query, value = (rng.random(shape) < 0.6 for shape in (q, v))
    value[:, 0] = True
    return {"neither": None, "query": [query, None], "value": [None, value], "both": [query, value]}[masked]
