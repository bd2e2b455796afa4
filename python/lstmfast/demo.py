# SPDX-License-Identifier: BSD-3-Clause
"""``lstmfast demo``: who speaks? From the data to a saved and timed model in a few seconds."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import callbacks, datasets, layers, optimizers, runtime, saving, utils
from ._version import version
from .models import Model, Sequential

__all__ = ["build_model", "numpy_model", "run"]

Floats = npt.NDArray[np.float32]

BATCH_SIZE = 32
LEARNING_RATE = 5e-3
SPEAKERS = 9


def run(
    epochs: int = 40,
    units: int = 100,
    seed: int = 0,
    threads: int | None = None,
    picture: str | None = None,
    save: str | None = None,
) -> int:
    """The whole demonstration; prints as it goes and returns the exit status."""
    if picture is not None:
        _require_matplotlib()  # before the work, not after it
    with runtime.threads(threads) if threads is not None else contextlib.nullcontext():
        utils.set_random_seed(seed)
        x_train, y_train, x_test, y_test, n_train, n_test = datasets.japanese_vowels(return_lengths=True)
        scale = np.concatenate([x[:n] for x, n in zip(x_train, n_train, strict=True)]).std(axis=0)
        x_train, x_test = x_train / scale, x_test / scale  # the padding stays zero

        model = build_model(units)
        print(f"lstmfast {version}, {runtime.isa()}, {_count(runtime.get_num_threads(), 'thread')}")
        print(
            f"JapaneseVowels: {len(x_train)} utterances to train with, "
            f"{len(x_test)} to test with, {SPEAKERS} speakers"
        )
        print(f"model: LSTM of {units} units, {model.count_params():,} parameters")
        seconds = _train(model, x_train, y_train, epochs)
        loss, accuracy = model.evaluate(x_test, y_test, batch_size=128, verbose=0)
        print(
            f"trained {_count(epochs, 'epoch')} in {seconds:.1f} s; "
            f"test loss {loss:.3f}, test accuracy {accuracy:.4f}"
        )

        predicted = model.predict(x_test, batch_size=128, verbose=0)
        if not _check_reload(model, x_test, predicted, save):
            return 1
        counts = np.zeros((SPEAKERS, SPEAKERS), int)
        np.add.at(counts, (y_test, predicted.argmax(axis=1)), 1)
        _print_table(counts)
        if picture is not None:
            _draw(counts, float(accuracy), picture)
            print(f"picture: {picture}")
        _compare_with_numpy(model, x_test, n_test)
    return 0


def build_model(units: int) -> Sequential:
    """The classifier: an LSTM over the frames of an utterance, dropout around it, a softmax over speakers."""
    model = Sequential(
        [
            layers.Input((None, 12)),
            layers.Masking(),  # frames of zeros are padding
            layers.Dropout(0.3),
            layers.LSTM(units),
            layers.Dropout(0.5),
            layers.Dense(SPEAKERS, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=optimizers.Adam(LEARNING_RATE), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def _train(model: Model, x: Floats, y: npt.NDArray[np.int64], epochs: int) -> float:
    """Fit with one live progress bar over all epochs; return the seconds it took."""
    decay = callbacks.LearningRateScheduler(lambda epoch, rate: LEARNING_RATE * (1 - epoch / epochs))
    start = time.perf_counter()
    with _EpochBar(epochs) as bar:
        model.fit(x, y, batch_size=BATCH_SIZE, epochs=epochs, verbose=0, callbacks=[decay, bar])
    return time.perf_counter() - start


class _EpochBar(callbacks.Callback):
    """A progress bar over the epochs with loss, accuracy and the time left."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        from tqdm import tqdm

        self._bar = tqdm(total=epochs, desc="training", unit="epoch", ascii=None, dynamic_ncols=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        values = {name: f"{logs[name]:.3f}" for name in ("loss", "accuracy") if name in logs}
        self._bar.set_postfix(values, refresh=False)
        self._bar.update()

    def __enter__(self) -> _EpochBar:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()


def _check_reload(model: Model, x: Floats, predicted: Floats, save: str | None) -> bool:
    """Save, load, and predict again: the same bits, or the demonstration has failed."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(save) if save is not None else Path(directory, "speakers.safetensors")
        model.save(path)
        start = time.perf_counter()
        loaded = saving.load_model(path)
        milliseconds = 1e3 * (time.perf_counter() - start)
        size = path.stat().st_size
    same = np.array_equal(loaded.predict(x, batch_size=128, verbose=0), predicted)
    kept = f" to {save}" if save is not None else ""
    print(
        f"saved{kept} ({size / 1e3:.0f} kB), loaded in {milliseconds:.1f} ms: predictions are "
        f"{'the same, bit for bit' if same else 'NOT the same'}"
    )
    return same


def _print_table(counts: npt.NDArray[np.int_]) -> None:
    """Predicted (columns) against true (rows) speakers."""
    print("\ntrue speaker | recognised as" + " " * 25 + "| right")
    print("             | " + "".join(f"{n + 1:4d}" for n in range(SPEAKERS)) + "  |")
    for speaker, row in enumerate(counts):
        cells = "".join(f"{n:4d}" if n else "   ." for n in row)
        print(f"{speaker + 1:12d} | {cells}  | {row[speaker] / row.sum():6.1%}")
    print()


def _require_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise SystemExit(f"--picture needs matplotlib ({error}): pip install 'lstmfast[plot]'") from None


def _draw(counts: npt.NDArray[np.int_], accuracy: float, path: str) -> None:
    """The same table as an image, through the file-only backend: no display is needed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    share = counts / counts.sum(axis=1, keepdims=True)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    ticks, names = range(SPEAKERS), [str(n + 1) for n in range(SPEAKERS)]
    axes.set(xticks=ticks, yticks=ticks, xticklabels=names, yticklabels=names)
    axes.set(
        xlabel="recognised as speaker",
        ylabel="true speaker",
        title=f"JapaneseVowels, test accuracy {accuracy:.1%}",
    )
    for (row, column), n in np.ndenumerate(counts):
        if n:
            color = "white" if share[row, column] > 0.5 else "black"
            axes.text(column, row, str(n), ha="center", va="center", color=color)
    figure.savefig(path, dpi=150)


def numpy_model(weights: list[Floats]) -> Callable[[Floats], Floats]:
    """The trained classifier in plain NumPy, one utterance at a time, as one would write it by hand.

    Parameters
    ----------
    weights : list of ndarray
        ``model.get_weights()``: kernel (12, 4H), recurrent kernel (H, 4H) and bias (4H,) of the LSTM with
        gates i, f, c, o, then kernel (H, 9) and bias (9,) of the output layer.

    Returns
    -------
    callable
        Maps frames (T, 12) to probabilities (9,).
    """
    kernel, recurrent_kernel, bias, out_kernel, out_bias = weights

    def sigmoid(x: Floats) -> Floats:
        return np.float32(1) / (np.float32(1) + np.exp(-x))

    def classify(frames: Floats) -> Floats:
        h = np.zeros(recurrent_kernel.shape[0], np.float32)
        c = np.zeros_like(h)
        for z in frames @ kernel + bias:
            i, f, g, o = np.split(z + h @ recurrent_kernel, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        logits = h @ out_kernel + out_bias
        exponentials = np.exp(logits - logits.max())
        result: Floats = exponentials / exponentials.sum()
        return result

    return classify


def _compare_with_numpy(model: Model, x: Floats, lengths: npt.NDArray[np.int64]) -> None:
    """Milliseconds for one utterance, and the largest difference over all of them."""
    classify = numpy_model(model.get_weights())
    utterances = [np.ascontiguousarray(frames[:n]) for frames, n in zip(x, lengths, strict=True)]
    difference = max(float(np.abs(model(u[None])[0] - classify(u)).max()) for u in utterances)
    one = next(u for u in utterances if len(u) == int(np.median(lengths)))
    ours, plain = _microseconds(lambda: model(one[None])), _microseconds(lambda: classify(one))
    print(
        f"one utterance of {len(one)} frames: lstmfast {ours:.0f} us, plain NumPy {plain:.0f} us "
        f"({plain / ours:.0f} times); "
        f"largest difference over {len(utterances)} utterances {difference:.1e}"
    )


def _microseconds(call: Callable[[], object]) -> float:
    """The best of some runs: what the code takes when nothing else disturbs it."""
    best = float("inf")
    deadline = time.perf_counter() + 0.3
    while time.perf_counter() < deadline:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best * 1e6


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
