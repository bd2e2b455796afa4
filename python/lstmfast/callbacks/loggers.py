# SPDX-License-Identifier: BSD-3-Clause
"""Callbacks that write down, set the learning rate, or end a training that has gone wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, TextIO

import numpy as np

from ..utils.interactive_logging import print_msg
from .base import Callback, Logs

__all__ = ["CSVLogger", "LearningRateScheduler", "TerminateOnNaN"]


class CSVLogger(Callback):
    """Writes each epoch's metrics to a CSV file.

    Parameters
    ----------
    filename : str or path
    separator : str
    append : bool
        Go on with an existing file.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> import lstmfast as lf
    >>> model = lf.Sequential([lf.Input((2,)), lf.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "log.csv"
    >>> logger = lf.callbacks.CSVLogger(path)
    >>> history = model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=2, verbose=0, callbacks=[logger])
    >>> path.read_text().splitlines()[0], len(path.read_text().splitlines())
    ('epoch,loss,val_loss', 3)
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        super().__init__()
        self.sep = separator
        if not isinstance(filename, (str, os.PathLike)):
            raise TypeError(f"filename must be a str or a path, got {filename!r}")
        self.filename = os.fspath(filename)
        self.append = append
        self.writer: Any = None
        self.keys: list[str] | None = None
        self.append_header = True
        self.csv_file: TextIO | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._close()
        if self.append and os.path.exists(self.filename):
            with open(self.filename, encoding="utf-8", newline="") as file:
                self.append_header = not file.readline()
        self.csv_file = open(self.filename, "a" if self.append else "w", encoding="utf-8", newline="")  # noqa: SIM115
        self.writer = None
        self.keys = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        if self.keys is None:
            self.keys = sorted(logs)
            if self.keys and not any(key.startswith("val_") for key in self.keys):
                self.keys += [f"val_{key}" for key in self.keys]  # validation may begin in a later epoch
        if self.writer is None:
            assert self.csv_file is not None
            import csv

            self.writer = csv.DictWriter(self.csv_file, ["epoch", *self.keys], delimiter=self.sep)
            if self.append_header:
                self.writer.writeheader()
        self.writer.writerow({"epoch": epoch, **{key: _cell(logs.get(key, "NA")) for key in self.keys}})
        assert self.csv_file is not None
        self.csv_file.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._close()
        self.writer = None

    def _close(self) -> None:
        if self.csv_file is not None and not self.csv_file.closed:
            self.csv_file.close()


def _cell(value: Any) -> Any:
    if isinstance(value, Iterable) and not isinstance(value, str) and np.ndim(value):  # type: ignore[arg-type]
        return f'"[{", ".join(map(str, value))}]"'
    return value


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch.

    Parameters
    ----------
    schedule : callable
        ``schedule(epoch, learning_rate)`` or ``schedule(epoch)``, gives a float.
    verbose : int
        1 says what it does.

    Examples
    --------
    >>> from lstmfast.callbacks import LearningRateScheduler
    >>> LearningRateScheduler(lambda epoch, rate: rate * 0.9).verbose
    0
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        if not callable(schedule):
            raise TypeError(f"schedule: expected a function of the epoch, got {schedule!r}")
        self.schedule = schedule
        self.verbose = verbose

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        optimizer = self.model.optimizer
        several = getattr(optimizer, "optimizers", None)
        for each in [optimizer] if several is None else several:
            rate = self._set_rate(each, epoch)
            if self.verbose > 0:
                whose = "" if several is None else f"{each.name} "
                print_msg(
                    f"\nEpoch {epoch + 1}: LearningRateScheduler setting {whose}learning rate to {rate}."
                )

    def _set_rate(self, optimizer: Any, epoch: int) -> float:
        if not hasattr(optimizer, "learning_rate"):
            raise ValueError('Optimizer must have a "learning_rate" attribute.')
        try:
            rate = self.schedule(epoch, float(optimizer.learning_rate))
        except TypeError:  # the older form
            rate = self.schedule(epoch)
        if not isinstance(rate, (float, np.float32, np.float64)):
            raise ValueError(f"The output of the `schedule` function should be a float. Got: {rate}")
        optimizer.learning_rate = rate
        return rate

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs.update(learning_rates(self.model.optimizer))


def learning_rates(optimizer: Any) -> dict[str, float]:
    """What callbacks write into logs: the learning rate, or one for each of a `MultiOptimizer`'s."""
    several = getattr(optimizer, "optimizers", None)
    if several is None:
        return {"learning_rate": float(optimizer.learning_rate)}
    return {f"learning_rate_{inner.name}": float(inner.learning_rate) for inner in several}


class TerminateOnNaN(Callback):
    """Ends training when the loss is NaN or infinite.

    Parameters
    ----------
    raise_error : bool
        With a RuntimeError instead of a message.

    Examples
    --------
    >>> import numpy as np
    >>> import lstmfast as lf
    >>> model = lf.Sequential([lf.Input((2,)), lf.layers.Dense(1)])
    >>> model.compile("sgd", loss="mse")
    >>> x = np.ones((4, 2))
    >>> history = model.fit(x, np.ones((4, 1)), epochs=2, verbose=0, callbacks=[lf.callbacks.TerminateOnNaN()])
    >>> history.epoch
    [0, 1]
    """

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raise_error = raise_error

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is None or np.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(
                f"NaN or Inf loss encountered at batch {batch}. Loss value: {loss}. Terminating training "
                "immediately."
            )
        print_msg(f"Batch {batch}: Invalid loss, terminating training")
        self.model.stop_training = True
