# SPDX-License-Identifier: BSD-3-Clause
"""What the engines are asked to do: shapes, and the numbers that all of them are given.

Weights, inputs and states are drawn by NumPy from seeds, in Keras's layout, so that every engine computes the same
function in its own process; `expected` is that function in float64.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
GATES = {"lstm": 4, "gru": 3, "simple_rnn": 1}
CHECKED_SEQUENCES = 8  # of a batch; float64 in NumPy is slow, and sequences do not depend on one another


@dataclass(frozen=True)
class Infer:
    """One call of stacked recurrent layers that return sequences."""

    hidden: int
    batch: int = 1
    time: int = 1  # 1: a step from a given state, as in a stream; else a sequence from zeros
    inputs: int = 0  # 0: as many as hidden
    cell: str = "lstm"  # lstm, gru or simple_rnn
    layers: int = 1
    bi: bool = False
    ragged: bool = False  # lengths drawn evenly from a tenth of `time` up to `time`

    @property
    def features(self) -> int:
        return self.inputs or self.hidden

    @property
    def directions(self) -> int:
        return 2 if self.bi else 1

    @property
    def is_step(self) -> bool:
        return self.time == 1 and self.layers == 1 and not self.bi

    @cached_property
    def layer_inputs(self) -> list[int]:
        return [self.features] + [self.directions * self.hidden] * (self.layers - 1)

    @property
    def flops(self) -> int:
        """Of the matrix products; padding does not count."""
        steps = int(draw_lengths(self).sum()) if self.ragged else self.batch * self.time
        columns = 2 * self.directions * GATES[self.cell] * self.hidden
        return steps * columns * sum(i + self.hidden for i in self.layer_inputs)

    @property
    def weight_bytes(self) -> int:
        columns = 4 * self.directions * GATES[self.cell] * self.hidden
        return columns * sum(i + self.hidden for i in self.layer_inputs)

    @property
    def recurrent_bytes(self) -> int:
        """Of the weights that every time step has to read."""
        return 4 * self.directions * GATES[self.cell] * self.hidden**2 * self.layers

    @property
    def steps(self) -> int:
        """Of the longest sequence; they can only follow one another."""
        return int(draw_lengths(self).max()) if self.ragged else self.time

    @property
    def streams(self) -> list[tuple[int, int]]:
        """Weights that no call gets around reading: (bytes read, bytes of the set over which they are read again and again).

        A batch shares what is read. Steps of a sequence read one layer's recurrent weights in one direction in turn (the
        smallest set, so the fastest one); all else is read once a call.
        """
        if self.time == 1:
            return [(self.weight_bytes, self.weight_bytes)]
        one = self.recurrent_bytes // (self.directions * self.layers)
        return [
            (self.steps * self.recurrent_bytes, one),
            (self.weight_bytes - self.recurrent_bytes, self.weight_bytes),
        ]

    def describe(self) -> str:
        cell = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "SimpleRNN"}[self.cell]
        text = f"{'bidirectional ' if self.bi else ''}{cell} {self.hidden}"
        text = f"{self.layers} x {text}" if self.layers > 1 else text
        text += f" of {self.inputs}" if self.inputs else ""
        size = "one step" if self.time == 1 else f"{self.time} steps"
        size = f"batch {self.batch}, {size}" if self.batch > 1 else size
        return f"{text}, {size}{', ragged' if self.ragged else ''}"


@dataclass(frozen=True)
class Train:
    """One training step (Adam) of recurrent layers and a softmax over their last output, or over every step's.

    Lengths of ragged and masked batches are drawn evenly from a quarter of `time` up to `time`; behind them inputs are zeros,
    and nothing there counts.
    """

    hidden: int
    batch: int
    time: int
    inputs: int
    classes: int = 10
    kind: str = "lstm"  # lstm, gru or simple_rnn
    layers: int = 1
    bi: bool = False
    masked: bool = False  # steps of zeros are left out, which a layer has to find (of ids: the id 0)
    ragged: bool = False  # lengths are given
    per_step: bool = False  # a softmax and a target at every step
    vocabulary: int = 0  # ids of as many words through an Embedding to `inputs`
    dropout: float = 0.0  # between layers
    recurrent_dropout: float = 0.0

    @property
    def directions(self) -> int:
        return 2 if self.bi else 1

    @property
    def has_lengths(self) -> bool:
        return self.masked or self.ragged

    @cached_property
    def layer_inputs(self) -> list[int]:
        return [self.inputs] + [self.directions * self.hidden] * (self.layers - 1)

    @property
    def flops(self) -> int:
        """Forward, dW and dh, and dx where a trained layer lies below; of the softmax's layer if it is at every step.

        Padding does not count: lengths are the mean of those drawn.
        """
        steps = self.batch * self.time
        if self.has_lengths:
            steps = round(float(np.mean([batch.lengths.sum() for batch in training_batches(self)])))  # type: ignore[union-attr]
        wide = 2 * steps * self.directions * GATES[self.kind] * self.hidden
        below = [self.inputs if self.vocabulary else 0, *self.layer_inputs[1:]]
        total = sum(
            wide * (2 * i + 3 * self.hidden + dx) for i, dx in zip(self.layer_inputs, below, strict=True)
        )
        head = 3 * 2 * steps * self.directions * self.hidden * self.classes if self.per_step else 0
        return total + head

    def describe(self) -> str:
        layer = f"{self.kind.upper()} {self.hidden} of {self.inputs}"
        return (
            f"training, {layer}, batch {self.batch}, {self.time} steps{''.join(f', {n}' for n in self.notes)}"
        )

    @property
    def notes(self) -> list[str]:
        """What else there is, in words."""
        stack = f"{'bidirectional' if self.bi else 'stack'} x {self.layers}"
        said = {
            stack if self.layers > 1 else "bidirectional": self.bi or self.layers > 1,
            "masked": self.masked,
            "ragged": self.ragged,
            f"embedding of {self.vocabulary:,}": self.vocabulary,
            "dropout": self.dropout,
            "recurrent dropout": self.recurrent_dropout,
            f"{self.classes} classes a step": self.per_step,
        }
        return [words for words, there in said.items() if there]


Workload = Infer | Train

STANDARD: dict[str, Workload] = {
    **{f"step_h{h}": Infer(h) for h in (32, 64, 128, 256, 512, 1024)},
    **{f"seq1_h{h}": Infer(h, time=100) for h in (64, 128, 256, 512, 1024)},
    "b4_h256": Infer(256, 4, 100),
    "b16_h256": Infer(256, 16, 100),
    "b32_h512": Infer(512, 32, 50),
    "b64_h128": Infer(128, 64, 100),
    "b128_h1024": Infer(1024, 128, 20),
    "bi2_b8_h256": Infer(256, 8, 100, layers=2, bi=True),
    "stack3_h256": Infer(256, 1, 100, layers=3),
    "ragged_b32_h256": Infer(256, 32, 200, ragged=True),
    "gru_step_h128": Infer(128, cell="gru"),
    "gru_seq1_h256": Infer(256, 1, 100, cell="gru"),
    "gru_b16_h256": Infer(256, 16, 100, cell="gru"),
    "gru_ragged_b32_h256": Infer(256, 32, 200, cell="gru", ragged=True),
    "simple_rnn_step_h128": Infer(128, cell="simple_rnn"),
    "simple_rnn_seq1_h256": Infer(256, 1, 100, cell="simple_rnn"),
    "simple_rnn_b16_h256": Infer(256, 16, 100, cell="simple_rnn"),
    "train_b8_h64": Train(64, 8, 50, 16),
    "train_b32_h128": Train(128, 32, 100, 32),
    "train_b64_h512": Train(512, 64, 50, 512),
    "train_gru_b32_h256": Train(256, 32, 100, 64, kind="gru"),
}


def load_grid(path: str | None) -> dict[str, Workload]:
    """The standard grid, or that of a Python file which defines INFER and TRAIN with the two classes above."""
    if path is None:
        return STANDARD
    names: dict[str, Any] = {"Infer": Infer, "Train": Train}
    exec(compile(Path(path).read_text(), path, "exec"), names)
    return {**names.get("INFER", {}), **names.get("TRAIN", {})}


def as_json(w: Workload) -> dict[str, Any]:
    return {"type": type(w).__name__, **asdict(w), "flops": w.flops, "text": w.describe()}


def from_json(described: dict[str, Any]) -> Workload:
    """The workload of which `as_json` made this."""
    kind: type[Workload] = {"Infer": Infer, "Train": Train}[described["type"]]
    return kind(**{f.name: described[f.name] for f in fields(kind)})


def draw_lengths(w: Infer) -> Array:
    return np.random.default_rng(7).integers(max(1, w.time // 10), w.time + 1, w.batch).astype(np.int32)


def draw_cell(rng: np.random.Generator, cell: str, inputs: int, hidden: int) -> tuple[Array, Array, Array]:
    """Kernel, recurrent kernel and bias in Keras's layout and PyTorch's distribution."""
    columns, bound = GATES[cell] * hidden, hidden**-0.5
    bias = (2, columns) if cell == "gru" else (columns,)
    shapes = (inputs, columns), (hidden, columns), bias
    kernel, recurrent, b = (rng.uniform(-bound, bound, s).astype(np.float32) for s in shapes)
    return kernel, recurrent, b


class Data:
    """The numbers of an `Infer`.

    Attributes
    ----------
    x : (B, T, I) float32
    weights : a list of layers, each a list of directions, each (kernel, recurrent kernel, bias)
    states : (B, H) float32 each; empty unless the workload is a single step
    lengths : (B,) int32 or None
    """

    def __init__(self, w: Infer) -> None:
        rng = np.random.default_rng(1)
        self.x = rng.standard_normal((w.batch, w.time, w.features)).astype(np.float32)
        self.weights = [
            [draw_cell(rng, w.cell, inputs, w.hidden) for _ in range(w.directions)]
            for inputs in w.layer_inputs
        ]
        count = (2 if w.cell == "lstm" else 1) if w.is_step else 0
        self.states = [rng.uniform(-1, 1, (w.batch, w.hidden)).astype(np.float32) for _ in range(count)]
        self.lengths = draw_lengths(w) if w.ragged else None

    @property
    def time_major(self) -> Array:
        return np.ascontiguousarray(self.x.transpose(1, 0, 2))


def expected(w: Infer) -> Array:
    """Outputs of the first sequences of the batch in float64, (CHECKED_SEQUENCES or fewer, T, D*H)."""
    from lstmfast import reference

    data, rows = Data(w), slice(CHECKED_SEQUENCES)
    y = data.x[rows].astype(np.float64)
    states = tuple(s[rows] for s in data.states) or None
    lengths = None if data.lengths is None else data.lengths[rows]
    for layer in data.weights:
        outputs = []
        for weights, backwards in zip(layer, (False, True), strict=False):
            out = reference.recurrent_forward(
                w.cell, *weights, y, states, None, lengths, return_sequences=True, go_backwards=backwards
            )[0]
            outputs.append(out[:, ::-1] if backwards else out)
        y = np.concatenate(outputs, axis=-1)
    return y


def largest_error(w: Infer, y: Array, exact: Array) -> float:
    """Over the outputs that `exact` has, without padding."""
    difference = np.abs(y[: len(exact)] - exact)
    if w.ragged:
        difference = difference[np.arange(w.time) < draw_lengths(w)[: len(exact), None]]
    return float(difference.max())


class Batch(NamedTuple):
    """x (B, T, I) float32 or (B, T) int32; y (B,) or (B, T) int64; lengths (B,) int32 or None."""

    x: Array
    y: Array
    lengths: Array | None


def training_batches(w: Train) -> list[Batch]:
    """Several batches, to be used in turn: one learnt by heart would drive gradients into denormals."""
    rng, batches = np.random.default_rng(2), []
    for _ in range(16):
        if w.vocabulary:
            x = rng.integers(1, w.vocabulary, (w.batch, w.time)).astype(np.int32)
        else:
            x = rng.standard_normal((w.batch, w.time, w.inputs)).astype(np.float32)
        y = rng.integers(0, w.classes, (w.batch, w.time) if w.per_step else w.batch)
        lengths = None
        if w.has_lengths:
            lengths = rng.integers(max(1, w.time // 4), w.time + 1, w.batch).astype(np.int32)
            x[np.arange(w.time) >= lengths[:, None]] = 0
        batches.append(Batch(x, y, lengths))
    return batches


def draw_layers(w: Train) -> list[list[tuple[Array, Array, Array]]]:
    """Weights to begin with: a list of layers, each a list of directions."""
    rng = np.random.default_rng(1)
    return [
        [draw_cell(rng, w.kind, inputs, w.hidden) for _ in range(w.directions)] for inputs in w.layer_inputs
    ]


def draw_ends(w: Train) -> tuple[Array | None, Array, Array]:
    """Embedding (V, I), if there is one; kernel (D*H, classes) and bias (classes,) of the softmax's layer."""
    rng = np.random.default_rng(3)
    wide = w.directions * w.hidden
    kernel, bias = (
        rng.uniform(-(wide**-0.5), wide**-0.5, s).astype(np.float32) for s in ((wide, w.classes), w.classes)
    )
    embedding = rng.standard_normal((w.vocabulary, w.inputs)).astype(np.float32) if w.vocabulary else None
    return embedding, kernel, bias
