# SPDX-License-Identifier: BSD-3-Clause
"""Growth of the peak of resident memory by training, over what the imports take; each case in a process of its own.

    python bench/memory.py [--peers ENV/bin/python] [--threads N] [--case NAME]

Cases: `lstm` and `torch` train an LSTM 512 of 512 inputs and a softmax with Adam on batches of 64 x 50; `long` and `remat`
train an LSTM 256 of 256 inputs on 32 x 2000 steps, without and with `remat=True`. A figure is the peak (VmHWM)
after three steps less the peak before the model and its data were made. `--case` runs one here and prints MiB.

`activations` of a long case is the growth less that of the same model on 32 x 8 steps and less the input: what the steps
leave for the backward pass.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from typing import Any

import numpy as np

STEPS = 3
SHAPES = {  # hidden (and inputs), batch, time
    "lstm": (512, 64, 50),
    "torch": (512, 64, 50),
    "long": (256, 32, 2000),
    "remat": (256, 32, 2000),
    "short": (256, 32, 8),
}


def peak_mib() -> float:
    if sys.platform == "linux":
        # getrusage would count from the peak of the process that started this one, a test run of half a gigabyte say
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def data(hidden: int, batch: int, time: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((batch, time, hidden), np.float32), rng.integers(0, 10, batch)


def ours(hidden: int, batch: int, time: int, remat: bool, threads: int) -> float:
    import lstmfast as lf
    from lstmfast import layers

    lf.set_num_threads(threads)
    before = peak_mib()
    x, y = data(hidden, batch, time)
    recurrent = layers.LSTM(hidden, remat=remat)
    model = lf.Sequential([lf.Input((None, hidden)), recurrent, layers.Dense(10, activation="softmax")])
    model.compile(optimizer=lf.optimizers.Adam(1e-4), loss="sparse_categorical_crossentropy")
    for _ in range(STEPS):
        model.train_on_batch(x, y)
    return peak_mib() - before


def pytorch(hidden: int, batch: int, time: int, threads: int) -> float:
    import torch

    torch.set_num_threads(threads)
    # what the first use of a parameter, of an optimizer and of autograd loads counts as import
    tiny = torch.nn.LSTM(2, 2)
    optimizer = torch.optim.Adam(tiny.parameters(), fused=True)
    tiny(torch.zeros(1, 1, 2))[0].sum().backward()
    optimizer.step()
    before = peak_mib()
    x, y = (torch.from_numpy(a) for a in data(hidden, batch, time))
    recurrent, head = torch.nn.LSTM(hidden, hidden, batch_first=True), torch.nn.Linear(hidden, 10)
    loss = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam([*recurrent.parameters(), *head.parameters()], lr=1e-4, fused=True)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss(head(recurrent(x)[0][:, -1]), y).backward()
        optimizer.step()
    return peak_mib() - before


def growth(case: str, threads: int) -> float:
    """In MiB, of this process."""
    shape = SHAPES[case]
    return pytorch(*shape, threads) if case == "torch" else ours(*shape, case == "remat", threads)


def measured(case: str, threads: int = 1, python: str = sys.executable) -> float:
    """In MiB, of a process of its own."""
    command = [python, __file__, "--case", case, "--threads", str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", help="an interpreter that has torch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--case", choices=SHAPES)
    a = parser.parse_args()
    if a.case:
        print(growth(a.case, a.threads))
        return
    mib = {case: measured(case, a.threads) for case in SHAPES if case != "torch"}
    print(f"64 x 50, LSTM 512 of 512: {mib['lstm']:.0f} MiB")
    if a.peers:
        print(f"the same in PyTorch: {measured('torch', a.threads, a.peers):.0f} MiB")
    hidden, batch, time = SHAPES["long"]
    given = 4 * hidden * batch * time / 2**20 + mib["short"]
    whole, kept = mib["long"] - given, mib["remat"] - given
    print(
        f"32 x 2000, LSTM 256 of 256: {mib['long']:.0f} MiB, with remat=True {mib['remat']:.0f} MiB; of these "
        f"activations {whole:.0f} and {kept:.0f} MiB, {kept / whole:.0%}"
    )


if __name__ == "__main__":
    main()
