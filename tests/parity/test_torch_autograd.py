# SPDX-License-Identifier: BSD-3-Clause
"""What PyTorch's layers lack, written down in PyTorch's float64 operations: its autograd against the kernels' gradients."""

from __future__ import annotations

import numpy as np
import pytest

from lstmfast import _core, reference

torch = pytest.importorskip("torch")

B, T, N, H, P = 3, 9, 5, 6, 4
CELLS = [
    "lstm",
    "lstm_peephole",
    "lstm_layer_norm",
    "lstm_projection",
    "lstm_peephole_projection",
    "lstm_layer_norm_projection",
    "gru",
    "gru_reset_before",
    "simple_rnn",
]
MODES = [
    "plain",
    "mask",
    "lengths",
    "resets",
    "mask_resets",
    "dropout",
    "gate_dropout",
    "zoneout",
    "zoneout_resets",
    "zoneout_dropout",
    "zoneout_gate_dropout_mask_resets",
    "zoneout_shares",
    "backwards",
]


def layer_norm(z, gain, offset):
    return torch.nn.functional.layer_norm(z, z.shape[-1:], gain, offset, eps=1e-3)


def products(x, h, kernel, recurrent, gates):
    """x W and h U by gates, where x (B, gates, N) and h (B, gates, P) may be one a gate."""
    w, u = kernel.reshape(kernel.shape[0], gates, -1), recurrent.reshape(recurrent.shape[0], gates, -1)
    return torch.einsum("bgi,igh->bgh", x, w), torch.einsum("bgi,igh->bgh", h, u)


def step(cell, x, h_used, states, weights):
    """One step: the new states, h first. x and h_used: (B, gates, size), behind their dropout masks."""
    kernel, recurrent, bias, *extra = weights
    if cell.startswith("lstm"):
        of_x, of_h = products(x, h_used, kernel, recurrent, 4)
        c = states[1]
        if "layer_norm" in cell:
            gh, bh, gx, bx, gc, bc = extra[:6]
            flat = layer_norm(of_h.reshape(len(c), -1), gh, bh) + layer_norm(of_x.reshape(len(c), -1), gx, bx)
            z = (flat + bias).reshape(len(c), 4, -1)
        else:
            z = of_x + of_h + bias.reshape(4, -1)
        z_i, z_f, z_c, z_o = z.unbind(1)
        if "peephole" in cell:
            p_i, p_f, p_o = extra[0]
            z_i, z_f = z_i + p_i * c, z_f + p_f * c
        new_c = torch.sigmoid(z_f) * c + torch.sigmoid(z_i) * torch.tanh(z_c)
        if "peephole" in cell:
            z_o = z_o + p_o * new_c
        shown = layer_norm(new_c, gc, bc) if "layer_norm" in cell else new_c
        h = torch.sigmoid(z_o) * torch.tanh(shown)
        return (h @ extra[-1] if "projection" in cell else h), new_c
    if cell == "simple_rnn":
        of_x, of_h = products(x, h_used, kernel, recurrent, 1)
        return (torch.tanh((of_x + of_h)[:, 0] + bias),)
    of_x, of_h = products(x, h_used, kernel, recurrent, 3)
    (h,) = states
    if cell == "gru":
        of_x, of_h = of_x + bias[0].reshape(3, -1), of_h + bias[1].reshape(3, -1)
        z, r = torch.sigmoid(of_x[:, 0] + of_h[:, 0]), torch.sigmoid(of_x[:, 1] + of_h[:, 1])
        n = torch.tanh(of_x[:, 2] + r * of_h[:, 2])
    else:
        of_x = of_x + bias.reshape(3, -1)
        z, r = torch.sigmoid(of_x[:, 0] + of_h[:, 0]), torch.sigmoid(of_x[:, 1] + of_h[:, 1])
        n = torch.tanh(of_x[:, 2] + (r * h_used[:, 2]) @ recurrent[:, 2 * H :])
    return (z * h + (1 - z) * n,)


def sequence(cell, x, initial, weights, gates, masks):
    """Outputs (B, T, P) and final states."""
    states, outputs = initial, []
    order = range(T - 1, -1, -1) if masks["backwards"] else range(T)
    for position, t in enumerate(order):
        exists = masks["exists"][:, t, None]
        anew = masks["resets"][:, t, None] & exists
        states = [torch.where(anew, a, b) for a, b in zip(initial, states, strict=True)]
        x_used = x[:, t, None] * masks["input"]
        new = step(cell, x_used, states[0][:, None] * masks["recurrent"], states, weights)
        new = [
            k[position] * b + (1 - k[position]) * a
            for k, a, b in zip(masks["keeps"], new, states, strict=True)
        ]
        valid = exists & masks["mask"][:, t, None]
        states = [torch.where(valid, a, b) for a, b in zip(new, states, strict=True)]
        outputs.append(torch.where(exists, states[0], torch.zeros(())))
    return torch.stack(outputs, 1), states


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cell", CELLS)
def test_gradients(cell, mode, rng):
    spec = reference.CELLS[cell]
    gates, outputs = spec.gates, P if "projection" in cell else H

    def normal(*shape):
        return (rng.standard_normal(shape) * 0.5).astype(np.float32)

    shapes = [(N, gates * H), (outputs, gates * H), (gates * H,) if spec.biases == 1 else (2, gates * H)]
    weights = [normal(*s) for s in [*shapes, *spec.extra_shapes(H, outputs).values()]]
    x, dy = normal(B, T, N), normal(B, T, outputs)
    initial = [normal(B, size) for size in (outputs, H)[: spec.states]]
    dstates = [normal(*s.shape) for s in initial]
    given: dict = {"go_backwards": mode == "backwards"}
    mask = rng.random((B, T)) > 0.4 if "mask" in mode else np.ones((B, T), bool)
    resets = rng.random((B, T)) > 0.6 if "resets" in mode else np.zeros((B, T), bool)
    lengths = np.array([T, 4, 0], np.int32) if mode == "lengths" else np.full(B, T, np.int32)
    if "mask" in mode:
        given["mask"] = mask
    if "resets" in mode:
        given["resets"] = resets
    if mode == "lengths":
        given["lengths"] = lengths
    input_mask, recurrent_mask = np.ones((B, gates, N), np.float32), np.ones((B, gates, outputs), np.float32)
    if mode in ("dropout", "zoneout_dropout"):
        given["recurrent_mask"] = (rng.random((B, outputs)) > 0.3) * np.float32(1 / 0.7)
        recurrent_mask = np.repeat(given["recurrent_mask"][:, None], gates, axis=1)
    if "gate_dropout" in mode:
        given["input_mask"] = input_mask = (rng.random((B, gates, N)) > 0.3) * np.float32(1 / 0.7)
        given["recurrent_mask"] = recurrent_mask = (rng.random((B, gates, outputs)) > 0.3) * np.float32(
            1 / 0.7
        )
        if gates == 1:
            given["recurrent_mask"] = given["recurrent_mask"][:, 0].copy()
    keeps = [np.zeros((T, B, s.shape[1])) for s in initial]
    if mode == "zoneout_shares":
        given["zoneout"] = (0.25, 0.5)
        keeps = [np.full(k.shape, rate) for k, rate in zip(keeps, (0.25, 0.5), strict=False)]
    elif "zoneout" in mode:
        given["zoneout"], given["zoneout_key"] = (0.25, 0.5), 1234567
        keeps = [
            np.array(
                [
                    [
                        reference.random_bits(1234567, (k, b, t), keep.shape[2]) < int(rate * 2**32)
                        for b in range(B)
                    ]
                    for t in range(T)
                ]
            )
            for k, (keep, rate) in enumerate(zip(keeps, (0.25, 0.5), strict=False))
        ]

    def double(a):
        return torch.tensor(np.asarray(a, np.float64), requires_grad=True)

    leaves = [double(a) for a in (x, *initial, *weights)]
    masks = {
        "exists": torch.tensor(np.arange(T) < lengths[:, None]),
        "mask": torch.tensor(mask),
        "resets": torch.tensor(resets),
        "input": torch.tensor(input_mask, dtype=torch.float64),
        "recurrent": torch.tensor(recurrent_mask, dtype=torch.float64),
        "keeps": [torch.tensor(k, dtype=torch.float64) for k in keeps],
        "backwards": mode == "backwards",
    }
    n = 1 + len(initial)
    y, final = sequence(cell, leaves[0], leaves[1:n], leaves[n:], gates, masks)
    loss = (y * torch.tensor(dy)).sum() + sum(
        (s * torch.tensor(d)).sum() for s, d in zip(final, dstates, strict=True)
    )
    want = torch.autograd.grad(loss, leaves, allow_unused=True)

    native = _core.RecurrentWeights(cell, *weights[:3], extra=weights[3:])
    got_y, got_final, tape = _core.recurrent_forward(
        native, x, tuple(initial), return_sequences=True, save=True, **given
    )
    grads = [np.empty_like(w) for w in weights]
    dx, dinitial, _ = _core.recurrent_backward(
        native, tape, dy, tuple(dstates), *grads[:3], False, True, grads[3:]
    )
    results = zip((got_y, *got_final, dx, *dinitial, *grads), (y, *final, *want), strict=True)
    for got, expected in results:
        expected = np.zeros(got.shape) if expected is None else expected.detach().numpy()
        # A layer-normalized sum of one term aside, gradients are of order 1: 1e-5 of the largest.
        np.testing.assert_allclose(
            got, expected, rtol=0, atol=1e-5 * max(0.1, np.abs(expected).max(initial=0))
        )
