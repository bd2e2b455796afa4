# SPDX-License-Identifier: BSD-3-Clause
"""Ctrl-C and the optimizer's step: a step is taken as a whole or not at all."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

__all__ = ["InterruptGuard"]


class InterruptGuard:
    """Lets Ctrl-C wait while `busy` is set; the handler that was there before acts in `release`.

    A context manager; outside the main thread, where Python delivers no signals, it does nothing.

    Attributes
    ----------
    busy : bool
        Set it before what may not be interrupted, call `release` after it.
    """

    def __init__(self) -> None:
        self.busy = False
        self._pending: tuple[int, FrameType | None] | None = None
        self._previous: Any = None

    def __enter__(self) -> InterruptGuard:
        if threading.current_thread() is threading.main_thread():
            previous = signal.getsignal(signal.SIGINT)
            if callable(previous):  # not ignored, not the system's default, not set from C
                self._previous = previous
                try:
                    signal.signal(signal.SIGINT, self._handle)
                except ValueError:  # the main thread of a subinterpreter
                    self._previous = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:  # kept: a Ctrl-C on this very line still finds it
            signal.signal(signal.SIGINT, self._previous)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.busy:
            self._pending = (number, frame)
        else:
            self._previous(number, frame)

    def release(self) -> None:
        """End of what may not be interrupted; a Ctrl-C that came meanwhile acts now."""
        self.busy = False
        pending, self._pending = self._pending, None
        if pending is not None and self._previous is not None:
            self._previous(*pending)
