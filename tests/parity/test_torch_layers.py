# SPDX-License-Identifier: BSD-3-Clause
"""Layers against PyTorch's own modules: outputs, states and gradients on the same weights."""

from __future__ import annotations

import numpy as np
import pytest

import lstmfast as lf
from lstmfast.layers import Call

torch = pytest.importorskip("torch")

# PyTorch: gates in the same order (its g is Keras's c), weights transposed, two biases that add up.


def close(actual, expected, what=""):
    expected = torch.as_tensor(expected).detach().numpy()
    scale = max(float(np.abs(expected).max(initial=0.0)), 1e-6)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * scale, err_msg=what)


def keras_order(module, array):
    """Columns of PyTorch's GRU are r, z, n; Keras's are z, r, h."""
    if not isinstance(module, torch.nn.GRU):
        return array
    r, z, n = np.split(array, 3, axis=-1)
    return np.concatenate([z, r, n], axis=-1)


def weights_of(module, gradients=False):
    """Kernel, recurrent kernel and bias as Keras has them, or their gradients."""

    def array(name):
        parameter = getattr(module, f"{name}_l0")
        return keras_order(module, (parameter.grad if gradients else parameter).detach().numpy().T)

    b_x, b_h = array("bias_ih"), array("bias_hh")
    bias = np.stack([b_x, b_h]) if isinstance(module, torch.nn.GRU) else b_x if gradients else b_x + b_h
    return [array("weight_ih"), array("weight_hh"), bias]


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN", "SimpleRNN-relu"])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 7, 5, 4), (4, 20, 17, 33), (2, 5, 64, 128)], ids=str)
def test_recurrent(kind, shape, rng):
    b, t, i, h = shape
    torch.manual_seed(0)
    if kind == "LSTM":
        module, layer, n = (
            torch.nn.LSTM(i, h, batch_first=True),
            lf.layers.LSTM(h, return_sequences=True, return_state=True),
            2,
        )
    elif kind == "GRU":
        module, n = torch.nn.GRU(i, h, batch_first=True), 1
        layer = lf.layers.GRU(h, return_sequences=True, return_state=True)
    else:
        activation = "relu" if kind.endswith("relu") else "tanh"
        module = torch.nn.RNN(i, h, batch_first=True, nonlinearity=activation)
        layer, n = lf.layers.SimpleRNN(h, activation, return_sequences=True, return_state=True), 1
    layer.build((None, None, i))
    layer.set_weights(weights_of(module))
    x = rng.standard_normal((b, t, i)).astype("float32")
    states = [rng.standard_normal((b, h)).astype("float32") for _ in range(n)]

    call = Call(save=True, needs_dx=True, initial_state=tuple(states))
    y, *finals = layer.forward(x, call)
    xt = torch.tensor(x, requires_grad=True)
    st = [torch.tensor(s[None], requires_grad=True) for s in states]
    yt, finals_t = module(xt, tuple(st) if n == 2 else st[0])
    finals_t = finals_t if n == 2 else (finals_t,)
    close(y, yt)
    for a, e in zip(finals, finals_t, strict=True):
        close(a, e[0])

    dy = rng.standard_normal(y.shape).astype("float32")
    ds = [rng.standard_normal((b, h)).astype("float32") for _ in range(n)]
    dx = layer.backward((dy, *ds), call)
    (
        (yt * torch.tensor(dy)).sum()
        + sum((f[0] * torch.tensor(d)).sum() for f, d in zip(finals_t, ds, strict=True))
    ).backward()
    close(dx, xt.grad, "dx")
    for variable, gradient in zip(layer.weights, weights_of(module, gradients=True), strict=True):
        close(variable.grad, gradient, variable.name)
    for a, s in zip(call.d_initial_state, st, strict=True):
        close(a, s.grad[0], "initial state")


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_lengths_are_a_packed_sequence(kind, rng):
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    torch.manual_seed(0)
    module = getattr(torch.nn, {"SimpleRNN": "RNN"}.get(kind, kind))(5, 6, batch_first=True)
    layer = getattr(lf.layers, kind)(6, return_sequences=True, return_state=True)
    layer.build((None, None, 5))
    layer.set_weights(weights_of(module))
    x, lengths = rng.standard_normal((4, 9, 5)).astype("float32"), np.array([9, 2, 5, 1])
    packed, finals_t = module(
        pack_padded_sequence(torch.tensor(x), lengths, batch_first=True, enforce_sorted=False)
    )
    yt, _ = pad_packed_sequence(packed, batch_first=True)
    y, *finals = layer(x, lengths=lengths)
    close(y, yt)
    for a, e in zip(finals, finals_t if kind == "LSTM" else (finals_t,), strict=True):
        close(a, e[0])


def test_dense(rng):
    torch.manual_seed(0)
    module, layer = torch.nn.Linear(7, 5), lf.layers.Dense(5, "tanh")
    layer.build((None, 7))
    layer.set_weights([module.weight.detach().numpy().T, module.bias.detach().numpy()])
    x, dy = rng.standard_normal((3, 4, 7)).astype("float32"), rng.standard_normal((3, 4, 5)).astype("float32")
    call = Call(save=True, needs_dx=True)
    xt = torch.tensor(x, requires_grad=True)
    yt = torch.tanh(module(xt))
    close(layer.forward(x, call), yt)
    (yt * torch.tensor(dy)).sum().backward()
    close(layer.backward(dy, call), xt.grad)
    close(layer.kernel.grad, module.weight.grad.T)
    close(layer.bias.grad, module.bias.grad)


def test_embedding(rng):
    torch.manual_seed(0)
    module, layer = torch.nn.Embedding(8, 5), lf.layers.Embedding(8, 5)
    layer.build((None,))
    layer.set_weights([module.weight.detach().numpy()])
    ids, dy = rng.integers(0, 8, (3, 6)), rng.standard_normal((3, 6, 5)).astype("float32")
    call = Call(save=True)
    yt = module(torch.tensor(ids))
    close(layer.forward(ids, call), yt)
    (yt * torch.tensor(dy)).sum().backward()
    layer.backward(dy, call)
    close(layer.embeddings.grad, module.weight.grad)
