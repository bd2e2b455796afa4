# SPDX-License-Identifier: BSD-3-Clause
"""PyTorch: denormals flushed (its default is slower on decaying states); inference is in inference mode, time first.

Ragged batches are packed sequences. Training has a second way, `torch_padded`, where the result is the same: all steps of
the padded batch, then each row's last valid one (or a loss that leaves padding out). Bidirectional layers have to be packed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.utils import rnn
from workloads import GATES, Data, Infer, Train, draw_ends, draw_layers, training_batches

from . import Ready

MODULES = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "simple_rnn": torch.nn.RNN}
ORDER = {"lstm": (0, 1, 2, 3), "gru": (1, 0, 2), "simple_rnn": (0,)}  # its gates among Keras's


def version(variant: str) -> str:
    return str(torch.__version__)


def settings(threads: int) -> None:
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)


def _columns_to_rows(cell: str, a: np.ndarray) -> torch.Tensor:
    """(..., G*H) with Keras's gates as (G*H, ...) with PyTorch's."""
    gates = np.split(a, GATES[cell], axis=-1)
    return torch.from_numpy(np.concatenate([gates[k].T for k in ORDER[cell]]).copy())


@torch.no_grad()
def set_weights(module: torch.nn.RNNBase, cell: str, layers: list[Any]) -> None:
    for n, layer in enumerate(layers):
        for suffix, (kernel, recurrent, bias) in zip(("", "_reverse"), layer, strict=False):
            own = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
            arrays = {"weight_ih": kernel, "weight_hh": recurrent, "bias_ih": own[0], "bias_hh": own[1]}
            for name, array in arrays.items():
                getattr(module, f"{name}_l{n}{suffix}").copy_(_columns_to_rows(cell, array))


def infer(w: Infer, data: Data, threads: int, variant: str) -> Ready | None:
    if variant == "padded":
        return None
    settings(threads)
    module = MODULES[w.cell](w.features, w.hidden, w.layers, bidirectional=w.bi).eval()
    set_weights(module, w.cell, data.weights)
    x: Any = torch.from_numpy(data.time_major)
    states: Any = [torch.from_numpy(s)[None] for s in data.states]
    states = None if not states else tuple(states) if w.cell == "lstm" else states[0]
    if data.lengths is None:

        def call() -> Any:
            with torch.inference_mode():
                return module(x, states)[0]
    else:
        lengths = torch.from_numpy(data.lengths.astype(np.int64))
        x = rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)

        def call() -> Any:
            with torch.inference_mode():
                return rnn.pad_packed_sequence(module(x)[0], total_length=w.time)[0]

    return Ready(call, lambda y: y.numpy().transpose(1, 0, 2))


class Network(torch.nn.Module):
    """Embedding, recurrent layers, a linear one. Ragged batches are packed, or (`padded`) computed whole and then cut."""

    def __init__(self, w: Train, padded: bool) -> None:
        super().__init__()
        self.w, self.padded = w, padded
        self.embedding = torch.nn.Embedding(w.vocabulary, w.inputs) if w.vocabulary else None
        self.recurrent = MODULES[w.kind](
            w.inputs, w.hidden, w.layers, bidirectional=w.bi, dropout=w.dropout, batch_first=True
        )
        set_weights(self.recurrent, w.kind, draw_layers(w))
        self.head = torch.nn.Linear(w.directions * w.hidden, w.classes)
        embedding, kernel, bias = draw_ends(w)
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(kernel.T))
            self.head.bias.copy_(torch.from_numpy(bias))
            if self.embedding is not None:
                self.embedding.weight.copy_(torch.from_numpy(embedding))

    def forward(self, x: Any, lengths: Any) -> Any:
        x = x if self.embedding is None else self.embedding(x)
        if lengths is not None and not self.padded:
            x = rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        y, states = self.recurrent(x)
        if self.w.per_step:
            return self.head(y.data if isinstance(y, rnn.PackedSequence) else y.flatten(0, 1))
        if lengths is not None and self.padded:
            return self.head(y[torch.arange(len(y)), lengths - 1])
        if lengths is None and not self.w.bi:
            return self.head(y[:, -1])
        last = states[0] if self.w.kind == "lstm" else states
        return self.head(torch.cat((last[-2], last[-1]), -1) if self.w.bi else last[-1])


def _targets(w: Train, y: np.ndarray, lengths: np.ndarray | None, padded: bool) -> torch.Tensor:
    """In the order of `Network`'s rows; -100, which the loss leaves out, for padding."""
    if not w.per_step or lengths is None:
        return torch.from_numpy(y.ravel())
    if padded:
        return torch.from_numpy(np.where(np.arange(w.time) < lengths[:, None], y, -100).ravel())
    own = torch.from_numpy(lengths.astype(np.int64))
    return rnn.pack_padded_sequence(torch.from_numpy(y), own, batch_first=True, enforce_sorted=False).data


def train(w: Train, threads: int, variant: str) -> Callable[[], Any] | None:
    padded = variant == "padded"
    if w.recurrent_dropout or (padded and (w.bi or not w.has_lengths)):
        return None
    settings(threads)
    network, loss = Network(w, padded), torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, eps=1e-7, fused=True)
    turn = itertools.cycle(
        [
            (
                torch.from_numpy(b.x),
                _targets(w, b.y, b.lengths, padded),
                None if b.lengths is None else torch.from_numpy(b.lengths.astype(np.int64)),
            )
            for b in training_batches(w)
        ]
    )

    def step() -> float:
        x, y, lengths = next(turn)
        optimizer.zero_grad()
        value = loss(network(x, lengths), y)
        value.backward()
        optimizer.step()
        return float(value.item())

    return step
