# SPDX-License-Identifier: BSD-3-Clause
"""The progress bar: loss, metrics and the time left, through tqdm."""

from __future__ import annotations

import time
from typing import Any

from ..utils.interactive_logging import is_interactive_logging_enabled, print_msg
from ..utils.progbar import line_text, number_text, open_bar
from .base import Callback, Logs

__all__ = ["ProgbarLogger"]

#: The bar is drawn anew at most this often, in seconds: formatting costs more than a step of a small model.
_INTERVAL = 0.1


class ProgbarLogger(Callback):
    """Shows progress on standard output: with `verbose` 1 tqdm's bar for each epoch, with 2 Keras's lines.

    `fit`, `evaluate` and `predict` add one where their `verbose` is not 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.verbose = 1
        self.epochs = 1
        self.target: int | None = None
        self.seen = 0
        self._bar: Any = None
        self._in_fit = False
        self._started = self._drawn = 0.0

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params
        verbose = params.get("verbose", 1)
        self.verbose = 1 if verbose == "auto" else int(verbose)
        self.epochs = params.get("epochs") or 1
        self.target = params.get("steps")

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._in_fit = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._in_fit = False
        self._discard()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._start(f"Epoch {epoch + 1}/{self.epochs}")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._finish(logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        if not self._in_fit:
            self._start("Evaluate")

    def on_test_end(self, logs: Logs | None = None) -> None:
        if not self._in_fit:
            self._finish(logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._start("Predict")

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._finish(None)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._update(batch, logs)

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if not self._in_fit:
            self._update(batch, logs)

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._update(batch, None)

    def _start(self, title: str) -> None:
        self._discard()
        self.seen = 0
        self._started = self._drawn = time.perf_counter()
        if self.verbose == 1 and is_interactive_logging_enabled():
            self._bar = open_bar(self.target, title, "step")
        elif self.verbose and self._in_fit and self.epochs > 1:  # as Keras, before what other callbacks print
            print_msg(title)

    def _update(self, batch: int, logs: Logs | None) -> None:
        self.seen = batch + 1
        if self._bar is None:
            return
        now = time.perf_counter()
        if now - self._drawn >= _INTERVAL:
            self._drawn = now
            self._draw(logs)

    def _draw(self, logs: Logs | None) -> None:
        bar = self._bar
        bar.n = self.seen
        bar.set_postfix_str(_text(logs), refresh=False)
        bar.refresh()

    def _finish(self, logs: Logs | None) -> None:
        if self._bar is not None:
            if not self.target:
                self._bar.total = self.seen
            self._draw(logs)
            self._bar.close()
            self._bar = None
        elif self.verbose:
            seconds = time.perf_counter() - self._started
            print_msg(line_text(self.seen, self.target, seconds, "step", _text(logs)))

    def _discard(self) -> None:
        """Close a bar that an exception in the last call left open."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _text(logs: Logs | None) -> str:
    return " - ".join(f"{name}: {number_text(value)}" for name, value in (logs or {}).items())
