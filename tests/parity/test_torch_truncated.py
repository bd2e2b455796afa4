# SPDX-License-Identifier: BSD-3-Clause
"""`fit(tbptt=)` against a PyTorch loop that detaches the states between windows."""

from __future__ import annotations

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import Input, Sequential, layers

torch = pytest.importorskip("torch")


class Net(torch.nn.Module):
    def __init__(self, kind):
        super().__init__()
        cls = torch.nn.LSTM if kind == "LSTM" else torch.nn.RNN
        self.first, self.second = cls(3, 6, batch_first=True), cls(6, 5, batch_first=True)
        self.dense = torch.nn.Linear(5, 2)

    def forward(self, x, states):
        x, a = self.first(x, states[0])
        x, b = self.second(x, states[1])
        return self.dense(x), (a, b)

    def keras_weights(self, gradients=False):
        def array(p):
            return (p.grad if gradients else p).detach().numpy().T.copy()

        found = []
        for rnn in (self.first, self.second):
            found += [array(rnn.weight_ih_l0), array(rnn.weight_hh_l0), array(rnn.bias_ih_l0)]
        return [*found, array(self.dense.weight), array(self.dense.bias)]


def detached(state):
    return tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()


@pytest.mark.parametrize("kind", ["LSTM", "SimpleRNN"])
@pytest.mark.parametrize(("time", "steps"), [(12, 4), (13, 5), (7, 1), (9, 9)])
@pytest.mark.parametrize("stateful", [False, True])
def test_gradients_of_every_window(kind, time, steps, stateful, rng):
    """Each window's gradients, and the weights after plain SGD on them (of one bias: the second stays 0)."""
    torch.manual_seed(1)
    net = Net(kind)
    for rnn in (net.first, net.second):
        rnn.bias_hh_l0.data.zero_()
        rnn.bias_hh_l0.requires_grad_(False)
    x = rng.standard_normal((8, time, 3)).astype(np.float32)
    y = rng.standard_normal((8, time, 2)).astype(np.float32)
    cell = getattr(layers, kind)
    options = {"return_sequences": True, "stateful": stateful}
    model = Sequential(
        [Input(batch_shape=(4, None, 3)), cell(6, **options), cell(5, **options), layers.Dense(2)]
    )
    model.set_weights(net.keras_weights())
    model.compile(lf.optimizers.SGD(0.2), "mse")
    ours = []
    hook = lf.callbacks.LambdaCallback(
        on_gradients=lambda batch, grads, logs: ours.append([g.copy() for g in grads])
    )
    model.fit(x, y, batch_size=4, epochs=2, shuffle=False, tbptt=steps, verbose=0, callbacks=[hook])

    theirs, states = [], (None, None)
    parameters = [p for p in net.parameters() if p.requires_grad]
    for _ in range(2):
        for at in (0, 4):
            states = states if stateful else (None, None)
            for start in range(0, time, steps):
                window = slice(start, start + steps)
                out, states = net(torch.from_numpy(x[at : at + 4, window]), states)
                states = tuple(detached(s) for s in states)
                loss = torch.nn.functional.mse_loss(out, torch.from_numpy(y[at : at + 4, window]))
                net.zero_grad()
                loss.backward()
                theirs.append(net.keras_weights(gradients=True))
                with torch.no_grad():  # torch.optim takes seconds to import
                    for p in parameters:
                        p -= 0.2 * p.grad
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        for p, q in zip(a, b, strict=True):
            np.testing.assert_allclose(p, q, rtol=0, atol=1e-5 * np.abs(q).max())
    for p, q in zip(model.get_weights(), net.keras_weights(), strict=True):
        np.testing.assert_allclose(p, q, rtol=0, atol=1e-5 * np.abs(q).max())
