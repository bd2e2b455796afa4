# SPDX-License-Identifier: BSD-3-Clause
"""Whole trainings on real data, of the same model by the same steps in lstmfast and in PyTorch.

    python bench/real_training.py --peers ENV/bin/python [--threads N] [--seeds N] [--task NAME] [--out FILE]

`vowels`: nine speakers told apart (JapaneseVowels), LSTM 64 and a softmax, 40 epochs of batches of 16 with Adam at 1e-3.
`characters`: Python's own reference (`pydoc_data.topics`), Embedding 64, LSTM 256, a softmax over the next character,
2 epochs of Adam at 3e-3; 16 pieces of the first nine tenths side by side, a step for each window of 64 characters, states
carried from window to window. Bits are those of the last tenth, read from its beginning as one sequence.

Both begin with the same weights, drawn by lstmfast's (that is, Keras's) initializers, and PyTorch's second bias stays zero, so
that the model is the same; a seed changes weights and the order of batches. Times are of the loop of training alone. Each
training has a process of its own; the two take turns.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import memory
import numpy as np
from duel import cpu_name
from workloads import Train

HERE = Path(__file__).parent
VOWELS = Train(64, 16, 29, 12, classes=9, ragged=True)
EPOCHS, RATE = 40, 1e-3
STREAMS, WINDOW, PASSES, CHARACTER_RATE = 16, 64, 2, 3e-3


def text() -> tuple[np.ndarray, np.ndarray, int]:
    """Ids to train with, (STREAMS, n) with the target behind; ids to test with; how many characters there are."""
    from pydoc_data import topics

    whole = "\n".join(topics.topics.values())
    alphabet = {character: n for n, character in enumerate(sorted(set(whole)))}
    ids = np.array([alphabet[character] for character in whole], np.int32)
    cut = len(ids) * 9 // 10
    each = (cut - 1) // STREAMS
    pieces = np.stack([ids[k * each : (k + 1) * each + 1] for k in range(STREAMS)])
    return pieces, ids[cut:], len(alphabet)


def character_model(characters: int) -> Train:
    return Train(256, STREAMS, WINDOW, 64, classes=characters, per_step=True, vocabulary=characters)


def draw_weights(w: Train, seed: int) -> dict[str, Any]:
    """Of a new model, by names "0", "1", ..."""
    import lstmfast as lf

    lf.utils.set_random_seed(seed)
    stack = [lf.Input((None,) if w.vocabulary else (None, w.inputs), dtype="int32" if w.vocabulary else None)]
    stack += [lf.layers.Embedding(w.vocabulary, w.inputs)] if w.vocabulary else []
    model = lf.Sequential([*stack, lf.layers.LSTM(w.hidden), lf.layers.Dense(w.classes)])
    return {str(n): array for n, array in enumerate(model.get_weights())}


def first_weights(data: Any) -> list[Any]:
    return [data[name] for name in sorted(name for name in data if name.isdigit())]


def torch_network(w: Train, rate: float, data: Any) -> tuple[Any, Any]:
    """With the first weights of lstmfast, and an optimizer."""
    import torch
    from engines.pytorch import Network, set_weights

    network = Network(w, padded=True)
    *embedding, kernel, recurrent, bias, head, head_bias = first_weights(data)
    set_weights(network.recurrent, w.kind, [[(kernel, recurrent, bias)]])
    network.recurrent.bias_hh_l0.requires_grad_(False)
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(head.T))
        network.head.bias.copy_(torch.from_numpy(head_bias))
        if embedding:
            network.embedding.weight.copy_(torch.from_numpy(embedding[0]))
    trained = [p for p in network.parameters() if p.requires_grad]
    return network, torch.optim.Adam(trained, lr=rate, eps=1e-7, fused=True)


def vowels_ours(seed: int, data: Any) -> tuple[float, float]:
    from engines.keras_like import training_model

    import lstmfast as lf

    lf.utils.set_random_seed(seed)
    model = training_model(lf, VOWELS, True, RATE)
    model.set_weights(first_weights(data))
    start = time.perf_counter()
    model.fit(data["x"], data["y"], lengths=data["n"], epochs=EPOCHS, batch_size=VOWELS.batch, verbose=0)
    seconds = time.perf_counter() - start
    guess = model.predict(data["x_test"], lengths=data["n_test"], verbose=0).argmax(1)
    return float(np.mean(guess == data["y_test"])), seconds


def vowels_torch(seed: int, data: Any) -> tuple[float, float]:
    import torch

    torch.manual_seed(seed)
    network, optimizer = torch_network(VOWELS, RATE, data)
    loss = torch.nn.CrossEntropyLoss()
    x, y, n = (torch.from_numpy(data[name]) for name in ("x", "y", "n"))
    start = time.perf_counter()
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(VOWELS.batch):
            optimizer.zero_grad()
            loss(network(x[rows], n[rows]), y[rows]).backward()
            optimizer.step()
    seconds = time.perf_counter() - start
    with torch.inference_mode():
        guess = network(torch.from_numpy(data["x_test"]), torch.from_numpy(data["n_test"])).argmax(1)
    return float(np.mean(guess.numpy() == data["y_test"])), seconds


def characters_ours(seed: int, data: Any) -> tuple[float, float]:
    from engines.keras_like import training_model

    import lstmfast as lf

    lf.utils.set_random_seed(seed)
    pieces, test, count = text()
    model = training_model(lf, character_model(count), True, CHARACTER_RATE)
    model.set_weights(first_weights(data))
    x, y = pieces[:, :-1], pieces[:, 1:]
    start = time.perf_counter()
    model.fit(x, y, batch_size=STREAMS, epochs=PASSES, tbptt=WINDOW, shuffle=False, verbose=0)
    seconds = time.perf_counter() - start
    loss = model.evaluate(test[None, :-1], test[None, 1:], verbose=0)
    return loss / np.log(2), seconds / (PASSES * x.size)


def characters_torch(seed: int, data: Any) -> tuple[float, float]:
    import torch

    pieces, test, count = text()
    network, optimizer = torch_network(character_model(count), CHARACTER_RATE, data)
    loss = torch.nn.CrossEntropyLoss()
    whole = torch.from_numpy(pieces.astype(np.int64))

    def bits(ids: Any, targets: Any, states: Any) -> tuple[Any, Any]:
        y, states = network.recurrent(network.embedding(ids), states)
        return loss(network.head(y).flatten(0, 1), targets.flatten()), states

    start = time.perf_counter()
    for _ in range(PASSES):
        states = None
        for first in range(0, whole.shape[1] - 1, WINDOW):
            window = whole[:, first : first + WINDOW + 1]
            optimizer.zero_grad()
            value, states = bits(window[:, :-1], window[:, 1:], states)
            value.backward()
            optimizer.step()
            states = tuple(s.detach() for s in states)
    seconds = time.perf_counter() - start
    ids = torch.from_numpy(test.astype(np.int64))[None]
    with torch.inference_mode():
        value, _ = bits(ids[:, :-1], ids[:, 1:], None)
    return float(value) / np.log(2), seconds / (PASSES * (whole.shape[1] - 1) * STREAMS)


TASKS = {
    ("vowels", "lstmfast"): vowels_ours,
    ("vowels", "torch"): vowels_torch,
    ("characters", "lstmfast"): characters_ours,
    ("characters", "torch"): characters_torch,
}


def one(task: str, engine: str, seed: int, threads: int, file: str) -> None:
    """Train here, print a line of JSON."""
    if engine == "torch":
        from engines.pytorch import settings, version

        settings(threads)
    else:
        from engines.ours import lf, version

        lf.set_num_threads(threads)
    quality, seconds = TASKS[task, engine](seed, dict(np.load(file)))
    print(json.dumps({"quality": quality, "seconds": seconds, "version": version("")}))


def play(task: str, a: argparse.Namespace, data: dict[str, Any], folder: str) -> dict[str, Any]:
    """Every seed in both engines, in turn."""
    file = f"{folder}/data.npz"
    w = VOWELS if task == "vowels" else character_model(text()[2])
    found: dict[str, Any] = {"lstmfast": [], "torch": []}
    for seed in range(a.seeds if task == "vowels" else 1):
        np.savez(file, **data, **draw_weights(w, seed))
        for engine, python in (("lstmfast", sys.executable), ("torch", a.peers)):
            command = [python, __file__, "--task", task, "--engine", engine, "--seed", seed, "--file", file]
            command += ["--threads", a.threads]
            done = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True)
            found[engine].append(json.loads(done.stdout.splitlines()[-1]))
            print(task, engine, seed, found[engine][-1], flush=True)
    return found


def spread(figures: list[float], form: str) -> str:
    mean = form.format(statistics.mean(figures))
    if len(figures) == 1:
        return mean
    return f"{mean} ({form.format(min(figures))} to {form.format(max(figures))})"


def page(results: dict[str, Any], mib: dict[str, float], threads: int) -> str:
    units = {
        "vowels": ("test accuracy", "seconds", 1.0, "{:.4f}", "{:.2f}"),
        "characters": ("bits a character", "us a character", 1e6, "{:.3f}", "{:.1f}"),
    }
    lines = ["| | | lstmfast | PyTorch |", "| --- | --- | ---: | ---: |"]
    for task, found in results.items():
        quality, unit, scale, form, time_form = units[task]
        rows = {
            quality: [spread([r["quality"] for r in f], form) for f in found.values()],
            unit: [
                time_form.format(scale * statistics.median(r["seconds"] for r in f)) for f in found.values()
            ],
        }
        lines += [f"| {task} | {name} | {' | '.join(cells)} |" for name, cells in rows.items()]
    versions = {name: runs[0]["version"] for name, runs in next(iter(results.values())).items()}
    seeds = max(len(f["lstmfast"]) for f in results.values())
    method = (__doc__ or "").split("\n\n", 2)[2].strip()
    hidden, batch, steps = memory.SHAPES["long"]
    given = 4 * hidden * batch * steps / 2**20 + mib["short"]
    share = (mib["remat"] - given) / (mib["long"] - given)
    return "\n\n".join(
        [
            "# Real training, and memory",
            f"`python bench/real_training.py --peers ENV/bin/python --threads {threads} --seeds {seeds}`: {cpu_name()}, "
            f"{platform.platform()}, {threads} thread{'s' * (threads != 1)}; lstmfast {versions['lstmfast']}, PyTorch "
            f"{versions['torch']}.",
            method,
            f"Of {seeds} seeds of `vowels` the mean accuracy (lowest to highest) and the median time; one of "
            "`characters`. PyTorch is given padded batches, takes the output of the last valid step, and flushes denormals.",
            "\n".join(lines),
            "## Memory",
            "Growth of the peak of resident memory over what the imports take (`python bench/memory.py`).",
            "\n".join(
                [
                    "| | lstmfast | PyTorch |",
                    "| --- | ---: | ---: |",
                    f"| LSTM 512 of 512, batches of 64 x 50, Adam | {mib['lstm']:.0f} MiB | {mib['torch']:.0f} MiB |",
                    f"| LSTM 256 of 256, 32 x 2000 | {mib['long']:.0f} MiB | |",
                    f"| the same with `remat=True` | {mib['remat']:.0f} MiB | |",
                ]
            ),
            f"With `remat=True` activations take {share:.0%} of what they take without.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", default=sys.executable, help="an interpreter that has torch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--task", choices=["vowels", "characters"])
    parser.add_argument("--out", type=Path, default=HERE / "results" / "real-training.md")
    for internal in ("--engine", "--file"):
        parser.add_argument(internal, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.engine:
        one(a.task, a.engine, a.seed, a.threads, a.file)
        return
    import tempfile

    import lstmfast as lf

    with tempfile.TemporaryDirectory() as folder:
        names = ("x", "y", "x_test", "y_test", "n", "n_test")
        data = dict(zip(names, lf.datasets.japanese_vowels(return_lengths=True), strict=True))
        tasks = [a.task] if a.task else ["vowels", "characters"]
        results = {task: play(task, a, data, folder) for task in tasks}
    if a.task:
        return
    mib = {
        case: memory.measured(case, a.threads, a.peers if case == "torch" else sys.executable)
        for case in memory.SHAPES
    }
    a.out.write_text(page(results, mib, a.threads) + "\n")
    print(f"written: {a.out}")


if __name__ == "__main__":
    main()
