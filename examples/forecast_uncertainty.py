# SPDX-License-Identifier: BSD-3-Clause
"""A loss of one's own: forecasts that say how sure they are.

The series has a daily cycle, and noise that is small by night and large by day. The network gives a mean and the logarithm of
a standard deviation for every next value, trained by the Gaussian negative log-likelihood (Nix and Weigend, "Estimating
the mean and variance of the target probability distribution", 1994), and with the pinball loss the quantiles of 5, 50 and
95 % (Koenker and Bassett, "Regression quantiles", 1978). A loss is a function that returns values and their derivatives.
"""

from __future__ import annotations

import argparse

import numpy as np

import lstmfast as lf
from lstmfast import Input, Sequential, layers

QUANTILES = np.array([0.05, 0.5, 0.95], np.float32)
DAY = 24


def gaussian_nll(y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """-log N(y; mean, exp(log_deviation)^2), and its derivatives by both outputs."""
    mean, log_deviation = y_pred[..., :1], y_pred[..., 1:]
    z = (y_true - mean) * np.exp(-log_deviation)
    value = 0.5 * z**2 + log_deviation + 0.5 * np.log(2 * np.pi)
    return value[..., 0], np.concatenate([-z * np.exp(-log_deviation), 1 - z**2], axis=-1)


def pinball(y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """max(q e, (q - 1) e) of the error e = y - prediction, summed over the quantiles q."""
    error = y_true - y_pred
    slope = np.where(error > 0, QUANTILES, QUANTILES - 1)
    return (slope * error).sum(axis=-1), -slope


def series(count: int, steps: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Sequences that begin at some hour, (count, steps + 1, 1); their true mean and deviation."""
    hour = rng.integers(0, DAY, (count, 1)) + np.arange(steps + 1)
    cycle = np.sin(2 * np.pi * hour / DAY)
    deviation = np.exp(-1.6 + 1.2 * cycle)
    y = cycle + deviation * rng.standard_normal(cycle.shape)
    return tuple(a[..., None].astype(np.float32) for a in (y, cycle, deviation))


def trained(loss, outputs: int, y: np.ndarray, epochs: int) -> Sequential:
    stack = [Input((None, 1)), layers.LSTM(24, return_sequences=True), layers.Dense(outputs)]
    model = Sequential(stack)
    model.compile(lf.optimizers.Adam(0.01), loss)
    model.fit(y[:, :-1], y[:, 1:], batch_size=32, epochs=epochs, verbose=0)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    lf.utils.set_random_seed(arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    y, _, _ = series(400, 72, rng)
    test, mean, deviation = series(200, 96, rng)
    known = slice(DAY, None)  # after a day the network can know the hour
    target, mean, deviation = (a[:, 1:][:, known] for a in (test, mean, deviation))

    model = trained(gaussian_nll, 2, y, arguments.epochs)
    guess = model.predict(test[:, :-1], verbose=0)[:, known]
    nll = gaussian_nll(target, guess)[0].mean()
    best = gaussian_nll(target, np.concatenate([mean, np.log(deviation)], axis=-1))[0].mean()
    # One deviation for all hours, the best that there is for these means.
    flat = np.full_like(mean, np.log((target - guess[..., :1]).std()))
    plain = gaussian_nll(target, np.concatenate([guess[..., :1], flat], axis=-1))[0].mean()
    print(
        f"negative log-likelihood {nll:.3f}; of the truth {best:.3f}, with one deviation for all hours {plain:.3f}"
    )
    ratio = np.corrcoef(guess[..., 1].ravel(), np.log(deviation).ravel())[0, 1]
    print(f"correlation of predicted and true log deviation {ratio:.3f}")

    model = trained(pinball, len(QUANTILES), y, arguments.epochs)
    guess = model.predict(test[:, :-1], verbose=0)[:, known]
    inside = (target >= guess[..., :1]) & (target <= guess[..., 2:])
    print(f"between the quantiles of 5 and 95 %: {inside.mean():.3f} of the values")
    calm = deviation < np.median(deviation)
    print(f"width by night {np.ptp(guess, axis=-1)[calm[..., 0]].mean():.2f}, ", end="")
    print(f"by day {np.ptp(guess, axis=-1)[~calm[..., 0]].mean():.2f}")


if __name__ == "__main__":
    main()
