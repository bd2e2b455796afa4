# SPDX-License-Identifier: BSD-3-Clause
"""A look inside an LSTM that tells speakers apart: its gates over time, how it learned, whom it confuses."""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # pictures go into files
import numpy as np
from matplotlib import pyplot

import lstmfast as lf
from lstmfast import Input, Sequential, layers, plotting


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("look_inside.png"), help="the picture")
    arguments = parser.parse_args()

    lf.utils.set_random_seed(0)
    x, y, x_test, y_test, n, n_test = lf.datasets.japanese_vowels(return_lengths=True)
    model = Sequential(
        [
            Input((None, 12)),
            layers.LSTM(arguments.units, name="lstm"),
            layers.Dense(9, activation="softmax", name="speaker"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        x,
        y,
        lengths=n,
        epochs=arguments.epochs,
        batch_size=16,
        validation_data=(x_test, y_test, None, n_test),
        verbose=0,
    )
    predicted = model.predict(x_test, lengths=n_test, verbose=0)
    print(f"test accuracy {np.mean(predicted.argmax(axis=1) == y_test):.4f}")

    # Every gate of every unit at every step of three utterances; NaN behind the end of each.
    inside = model.trace(x_test[:3], lengths=n_test[:3])
    print("traced:", ", ".join(f"{key} {array.shape}" for key, array in inside.items()))
    forget = inside["lstm/f"][0]
    held = np.nanmean(forget, axis=0)
    print(
        f"the unit that forgets least keeps {held.max():.0%} of c a step, the one that forgets most {held.min():.0%}"
    )

    figure, axes = pyplot.subplots(2, 3, figsize=(15, 8), layout="constrained")
    plotting.plot_gates(inside, "lstm", ax=axes[0, 0])
    plotting.plot_gates(inside, "lstm", unit=int(held.argmax()), ax=axes[0, 1])
    plotting.plot_gate_map(inside, "lstm/f", ax=axes[0, 2])
    plotting.plot_gate_map(inside, "lstm/c", ax=axes[1, 0])
    plotting.plot_history(history, ["loss", "accuracy"], ax=axes[1, 1])
    plotting.plot_confusion_matrix(y_test, predicted, ax=axes[1, 2])
    figure.savefig(arguments.out, dpi=110)
    print(f"picture: {arguments.out}")


if __name__ == "__main__":
    main()
