# SPDX-License-Identifier: BSD-3-Clause
"""Speed and error of lstmfast, PyTorch and a NumPy loop on the same weights and inputs, in turn: the README's table.

    python bench/peers.py [--threads N] [--rounds 7]

Engines run in one process, one after the other, round after round; a cell is the median over the rounds, the
ratios are medians of the rounds' ratios. Error: largest absolute difference of the outputs from float64
(``lstmfast.reference``) on the same numbers.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

if "--threads" in sys.argv:  # before NumPy and PyTorch start their pools
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = sys.argv[
        sys.argv.index("--threads") + 1
    ]

import numpy as np
import torch

import lstmfast as lf
from lstmfast import layers, reference

Engine = Callable[[], Any]
INFERENCE = {  # name: (batch, time, inputs, units)
    "one step of 64": (1, 1, 64, 64),
    "sequence of 100, 128 units": (1, 100, 128, 128),
    "sequence of 100, 512 units": (1, 100, 512, 512),
    "16 x 100, 256 units": (16, 100, 256, 256),
    "32 x 50, 512 units": (32, 50, 512, 512),
    "64 x 100, 128 units": (64, 100, 128, 128),
}
TRAINING = {
    "8 x 50, 64 units": (8, 50, 16, 64),
    "32 x 100, 128 units": (32, 100, 32, 128),
    "64 x 50, 512 units": (64, 50, 512, 512),
}


def numpy_lstm(w: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    kernel, recurrent, bias = w
    batch, steps, _ = x.shape
    units = recurrent.shape[0]
    z = (x.reshape(batch * steps, -1) @ kernel + bias).reshape(batch, steps, -1)
    h = c = np.zeros((batch, units), np.float32)
    out = np.empty((batch, steps, units), np.float32)
    for t in range(steps):
        a = z[:, t] + h @ recurrent
        s = 1 / (1 + np.exp(-a))
        c = s[:, units : 2 * units] * c + s[:, :units] * np.tanh(a[:, 2 * units : 3 * units])
        h = s[:, 3 * units :] * np.tanh(c)
        out[:, t] = h
    return out


def torch_lstm(w: list[np.ndarray]) -> torch.nn.LSTM:
    kernel, recurrent, bias = w
    module = torch.nn.LSTM(kernel.shape[0], recurrent.shape[0], batch_first=True)
    with torch.no_grad():
        module.weight_ih_l0.copy_(torch.from_numpy(kernel.T.copy()))
        module.weight_hh_l0.copy_(torch.from_numpy(recurrent.T.copy()))
        module.bias_ih_l0.copy_(torch.from_numpy(bias))
        module.bias_hh_l0.zero_()
    return module


def inference(shape: tuple[int, ...]) -> tuple[dict[str, Engine], dict[str, float]]:
    batch, steps, inputs, units = shape
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, steps, inputs)).astype(np.float32)
    model = lf.Sequential([lf.Input((None, inputs)), layers.LSTM(units, return_sequences=True)])
    w = model.get_weights()
    module, xt = torch_lstm(w).eval(), torch.from_numpy(x)

    def run_torch() -> np.ndarray:
        with torch.inference_mode():
            return module(xt)[0].numpy()

    engines: dict[str, Engine] = {
        "lstmfast": lambda: model(x),
        "PyTorch": run_torch,
        "NumPy": lambda: numpy_lstm(w, x),
    }
    exact = reference.recurrent_forward("lstm", *w, x, return_sequences=True)[0]
    return engines, {name: float(np.max(np.abs(f() - exact))) for name, f in engines.items()}


def training(shape: tuple[int, ...]) -> tuple[dict[str, Engine], dict[str, float]]:
    batch, steps, inputs, units = shape
    rng = np.random.default_rng(0)
    xs = [rng.standard_normal((batch, steps, inputs)).astype(np.float32) for _ in range(8)]
    ys = [rng.integers(0, 10, batch) for _ in xs]
    model = lf.Sequential(
        [lf.Input((steps, inputs)), layers.LSTM(units), layers.Dense(10, activation="softmax")]
    )
    model.compile(optimizer=lf.optimizers.Adam(1e-4), loss="sparse_categorical_crossentropy")
    lstm, head = torch.nn.LSTM(inputs, units, batch_first=True), torch.nn.Linear(units, 10)
    optimizer = torch.optim.Adam([*lstm.parameters(), *head.parameters()], lr=1e-4, fused=True)
    loss = torch.nn.CrossEntropyLoss()
    pairs = [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in zip(xs, ys, strict=True)]
    turn = {"lstmfast": 0, "PyTorch": 0}

    def ours() -> None:
        turn["lstmfast"] += 1
        k = turn["lstmfast"] % len(xs)
        model.train_on_batch(xs[k], ys[k])

    def theirs() -> None:
        turn["PyTorch"] += 1
        x, y = pairs[turn["PyTorch"] % len(pairs)]
        optimizer.zero_grad()
        loss(head(lstm(x)[0][:, -1]), y).backward()
        optimizer.step()

    return {"lstmfast": ours, "PyTorch": theirs}, {}


def timed(f: Engine, budget: float) -> float:
    """Median seconds of a call, over `budget` seconds of calls."""
    f()
    samples, end = [], time.perf_counter() + budget
    while time.perf_counter() < end or len(samples) < 3:
        start = time.perf_counter()
        f()
        samples.append(time.perf_counter() - start)
    return statistics.median(samples)


def cpu_name() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=lf.get_num_threads())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--budget", type=float, default=0.2, help="seconds an engine has in a round")
    a = parser.parse_args()
    lf.set_num_threads(a.threads)
    torch.set_num_threads(a.threads)
    torch.set_flush_denormal(True)  # PyTorch's default is slower on decaying states
    print(
        f"{cpu_name()}, {lf.isa()}, {a.threads} threads; lstmfast {lf.__version__}, PyTorch {torch.__version__}, NumPy {np.__version__}, "
    )
    print(f"Python {platform.python_version()}; medians of {a.rounds} interleaved rounds.\n")
    print("| | lstmfast | PyTorch | NumPy | PyTorch / lstmfast | error: lstmfast | PyTorch | NumPy |")
    print("|---|---|---|---|---|---|---|---|")
    for kind, grid, make in (("", INFERENCE, inference), ("training, ", TRAINING, training)):
        for name, shape in grid.items():
            engines, errors = make(shape)
            rounds = [{n: timed(f, a.budget) for n, f in engines.items()} for _ in range(a.rounds)]
            us = {n: statistics.median(r[n] for r in rounds) * 1e6 for n in engines}
            ratio = statistics.median(r["PyTorch"] / r["lstmfast"] for r in rounds)
            cells = [f"{us[n]:,.0f} us" if n in us else "-" for n in ("lstmfast", "PyTorch", "NumPy")]
            cells += [f"{ratio:.2f}"] + [
                f"{errors[n]:.1e}" if n in errors else "-" for n in ("lstmfast", "PyTorch", "NumPy")
            ]
            print(f"| {kind}{name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
