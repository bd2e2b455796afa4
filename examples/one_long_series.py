# SPDX-License-Identifier: BSD-3-Clause
"""One long series: truncated back-propagation through it, then a forecast that remembers from piece to piece.

The series is the chaotic one of Mackey and Glass ("Oscillation and chaos in physiological control systems", 1977), with noise
on what is seen of it. The network reads the first part as one sequence of thousands of steps; the optimizer steps
after every window, and states go on from window to window. A stateful copy then reads the rest in pieces, as they would
come in, and forecasts some steps ahead.
"""

from __future__ import annotations

import argparse

import numpy as np

import lstmfast as lf
from lstmfast import Input, Sequential, layers


def mackey_glass(steps: int, rng: np.random.Generator, delay: int = 17) -> np.ndarray:
    """dx/dt = 0.2 x(t - delay) / (1 + x(t - delay)^10) - 0.1 x, by Euler's method in steps of a tenth."""
    fine, skipped = 10, 500
    x = np.empty((steps + skipped) * fine + delay * fine)
    x[: delay * fine] = 1.2 + 0.1 * rng.standard_normal()
    for t in range(delay * fine, len(x)):
        late = x[t - delay * fine]
        x[t] = x[t - 1] + (0.2 * late / (1 + late**10) - 0.1 * x[t - 1]) / fine
    return x[(delay + skipped) * fine :: fine]


def network(units: int, stateful: bool = False) -> Sequential:
    first = Input(batch_shape=(1, None, 1)) if stateful else Input((None, 1))
    return Sequential([first, layers.LSTM(units, return_sequences=True, stateful=stateful), layers.Dense(1)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--window", type=int, default=50)
    parser.add_argument("--ahead", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    lf.utils.set_random_seed(arguments.seed)
    rng, ahead, cut = np.random.default_rng(arguments.seed), arguments.ahead, 4000
    truth = mackey_glass(cut + 1000 + ahead, rng)
    truth = (truth - truth[:cut].mean()) / truth[:cut].std()
    seen = truth + 0.05 * rng.standard_normal(len(truth))
    x, y = (a[None, :, None].astype(np.float32) for a in (seen[:-ahead], seen[ahead:]))

    model = network(32)
    model.compile(lf.optimizers.Adam(0.003), "mse")
    history = model.fit(
        x[:, :cut], y[:, :cut], epochs=arguments.epochs, tbptt=arguments.window, verbose=0
    ).history["loss"]
    print(f"loss of the first epoch {history[0]:.4f}, of the last {history[-1]:.4f}")
    print(f"optimizer steps {int(model.optimizer.iterations)}")

    # The same weights in a model that keeps its states: what it has read stays with it.
    reader = network(32, stateful=True)
    reader.set_weights(model.get_weights())
    pieces = [reader.predict(x[:, first : first + 100], verbose=0) for first in range(0, x.shape[1], 100)]
    forecast = np.concatenate(pieces, axis=1)
    whole = model.predict(x, verbose=0)
    print(f"in pieces and in one go differ by {np.abs(forecast - whole).max():.1e}")

    target = truth[ahead:][None, :, None]
    rest = slice(cut + ahead, None)  # none of its targets was trained on
    error = np.sqrt(np.mean((forecast - target)[:, rest] ** 2))
    naive = np.sqrt(np.mean((x - target)[:, rest] ** 2))
    print(f"root mean square error {error:.4f}; of the last value as a forecast {naive:.4f}")


if __name__ == "__main__":
    main()
