# SPDX-License-Identifier: BSD-3-Clause
"""PyTorch: inference mode, time first, denormals flushed (its default is slower on decaying states)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.utils import rnn
from workloads import GATES, Data, Infer, Train, draw_cell, training_batches

from . import Ready

MODULES = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "simple_rnn": torch.nn.RNN}
ORDER = {"lstm": (0, 1, 2, 3), "gru": (1, 0, 2), "simple_rnn": (0,)}  # its gates among Keras's


def version(variant: str) -> str:
    return str(torch.__version__)


def _settings(threads: int) -> None:
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)


def _columns_to_rows(cell: str, a: np.ndarray) -> torch.Tensor:
    """(..., G*H) with Keras's gates as (G*H, ...) with PyTorch's."""
    gates = np.split(a, GATES[cell], axis=-1)
    return torch.from_numpy(np.concatenate([gates[k].T for k in ORDER[cell]]).copy())


@torch.no_grad()
def _set_weights(module: torch.nn.RNNBase, cell: str, layers: list[Any]) -> None:
    for n, layer in enumerate(layers):
        for suffix, (kernel, recurrent, bias) in zip(("", "_reverse"), layer, strict=False):
            own = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
            arrays = {"weight_ih": kernel, "weight_hh": recurrent, "bias_ih": own[0], "bias_hh": own[1]}
            for name, array in arrays.items():
                getattr(module, f"{name}_l{n}{suffix}").copy_(_columns_to_rows(cell, array))


def infer(w: Infer, data: Data, threads: int, variant: str) -> Ready | None:
    _settings(threads)
    module = MODULES[w.cell](w.features, w.hidden, w.layers, bidirectional=w.bi).eval()
    _set_weights(module, w.cell, data.weights)
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


def train(w: Train, threads: int, variant: str) -> Callable[[], Any]:
    _settings(threads)
    recurrent = MODULES[w.kind](w.inputs, w.hidden, batch_first=True)
    _set_weights(recurrent, w.kind, [[draw_cell(np.random.default_rng(1), w.kind, w.inputs, w.hidden)]])
    head, loss = torch.nn.Linear(w.hidden, w.classes), torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam([*recurrent.parameters(), *head.parameters()], lr=1e-4, fused=True)
    turn = itertools.cycle([(torch.from_numpy(x), torch.from_numpy(y)) for x, y in training_batches(w)])

    def step() -> float:
        x, y = next(turn)
        optimizer.zero_grad()
        value = loss(head(recurrent(x)[0][:, -1]), y)
        value.backward()
        optimizer.step()
        return float(value.item())

    return step
