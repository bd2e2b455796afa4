# SPDX-License-Identifier: BSD-3-Clause
"""A progress bar for loops of one's own, on tqdm."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from .interactive_logging import is_interactive_logging_enabled, print_msg

__all__ = ["Progbar", "line_text", "number_text", "open_bar"]


def open_bar(target: int | None, title: str, unit: str, width: int = 24) -> Any:
    """A tqdm bar on standard output that is drawn only by its `refresh`, so that each drawing has the newest values."""
    from tqdm import tqdm

    form = f"{{desc}} {{n_fmt}}/{{total_fmt}} {{bar:{width}}} {{elapsed}}<{{remaining}}{{postfix}}"
    return tqdm(
        total=target,
        desc=title,
        file=sys.stdout,
        bar_format=form if target else None,
        mininterval=1e9,
        dynamic_ncols=True,
        unit=unit,
    )


def number_text(value: Any) -> str:
    """A metric's value with four digits; an array's as a list."""
    if np.ndim(value):
        return str(np.asarray(value).round(4).tolist())
    number = float(value)
    return f"{number:.4f}" if number == 0 or abs(number) >= 1e-3 else f"{number:.4e}"


def line_text(done: int, target: int | None, seconds: float, unit: str, values: str) -> str:
    """The line for a loop that is through, Keras's of ``verbose=2``.

    Examples
    --------
    >>> from lstmfast.utils.progbar import line_text
    >>> line_text(20, 20, 1.5, "step", "loss: 0.2500")
    '20/20 - 2s - 75ms/step - loss: 0.2500'
    """
    each = seconds / max(done, 1)
    scale, time_unit = next((p for p in ((1.0, "s"), (1e-3, "ms")) if each >= p[0]), (1e-6, "us"))
    line = f"{done}/{target or done} - {seconds:.0f}s - {each / scale:.0f}{time_unit}/{unit}"
    return f"{line} - {values}" if values else line


class Progbar:
    """Shows how far a loop has come, and the averages of some values: Keras's ``keras.utils.Progbar``.

    Parameters
    ----------
    target : int or None
        Steps altogether, if that is known.
    width : int
        Of the bar, in characters.
    verbose : int
        0 shows nothing, 1 a bar, 2 a line in the end.
    interval : float
        Seconds between two drawings, at least.
    stateful_metrics : iterable of str, optional
        Names of values that are shown as they come; others are averaged over the steps.
    stateless_metrics : iterable of str, optional
        The other way round: names of those that are averaged.
    unit_name : str
        What a step is called.

    Raises
    ------
    ValueError
        If both kinds of names are given, or `verbose` is something else.

    Examples
    --------
    >>> from lstmfast.utils import Progbar
    >>> bar = Progbar(2, verbose=2)
    >>> bar.update(1, [("loss", 3.0)])
    >>> bar.add(1, [("loss", 1.0)])  # doctest: +ELLIPSIS
    2/2 - ... - loss: 1.0000
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None,
        stateless_metrics: Iterable[str] | None = None,
        unit_name: str = "step",
    ) -> None:
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ValueError(
                "Only one of `stateful_metrics` or `stateless_metrics` can be provided. `stateful_metrics` is used to make "
                "metrics stateless by default (with an exclusion list), while `stateless_metrics` is used to make metrics "
                "stateful by default (with an exclusion list)."
            )
        if verbose not in (0, 1, 2):
            raise ValueError(f"verbose: expected 0, 1 or 2, got {verbose!r}")
        self.target, self.width, self.verbose, self.interval = target, width, verbose, interval
        self.unit_name = unit_name
        self.stateful_metrics = None if stateless_metrics is not None else set(stateful_metrics or ())
        self.stateless_metrics = None if stateless_metrics is None else set(stateless_metrics)
        self._sums: dict[str, tuple[Any, int]] = {}
        self._seen = 0
        self._started = time.perf_counter()
        self._drawn = -np.inf
        self._bar: Any = None

    def update(
        self, current: int, values: Iterable[tuple[str, Any]] | None = None, finalize: bool | None = None
    ) -> None:
        """Say how far the loop is.

        Parameters
        ----------
        current : int
            Steps that are done.
        values : iterable of (name, value of the last step), optional
            Of a list or an array the mean.
        finalize : bool, optional
            Whether this is the last update; by default if `current` has reached the target.
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        for name, value in values or ():
            self._take(name, value, max(current - self._seen, 1), finalize)
        self._seen = current
        now = time.perf_counter()
        if self.verbose == 1 and is_interactive_logging_enabled():
            if finalize or now - self._drawn >= self.interval:
                self._drawn = now
                self._draw(finalize)
        elif self.verbose and finalize:
            print_msg(line_text(current, self.target, now - self._started, self.unit_name, self._text()))

    def add(self, n: int, values: Iterable[tuple[str, Any]] | None = None) -> None:
        """Say that `n` more steps are done; see `update`."""
        self.update(self._seen + n, values)

    def _take(self, name: str, value: Any, steps: int, finalize: bool) -> None:
        value = float(np.mean(value)) if np.ndim(value) else value
        stateful, stateless = self.stateful_metrics, self.stateless_metrics
        averaged = name in stateless if stateless is not None else name not in (stateful or ())
        if not averaged or finalize:  # the last value stands for all, as in Keras
            self._sums[name] = (value, 1)
        else:
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = (total + value * steps, count + steps)

    def _text(self) -> str:
        return " - ".join(
            f"{name}: {number_text(total / count)}" for name, (total, count) in self._sums.items()
        )

    def _draw(self, last: bool) -> None:
        if self._bar is None:
            self._bar = open_bar(self.target, "", self.unit_name, self.width)
        bar = self._bar
        bar.n = self._seen
        if last and not self.target:
            bar.total = self._seen
        bar.set_postfix_str(self._text(), refresh=False)
        bar.refresh()
        if last:
            bar.close()
            self._bar = None
