# SPDX-License-Identifier: BSD-3-Clause
"""One item of an iterator ahead, on a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

__all__ = ["Ahead"]

T = TypeVar("T")
_END = object()
_PATIENCE = 10.0  # seconds


class Ahead(Generic[T]):
    """An iterator that fetches its next item on a thread once `ask` was called.

    Nothing is fetched that was not asked for, so that an iterator which outlives this one loses no item.

    Parameters
    ----------
    items : iterator
        Only the thread uses it from the first `ask` on, until `close`.
    """

    def __init__(self, items: Iterator[T]) -> None:
        self._items: Iterator[T] | None = items
        self._thread: threading.Thread | None = None
        self._requests: SimpleQueue[bool] = SimpleQueue()
        self._answers: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._asked = False

    def ask(self) -> None:
        """Begin to fetch the next item."""
        if self._asked or self._items is None:
            return
        if self._thread is None:
            self._thread = threading.Thread(
                target=_serve,
                args=(self._items, self._requests, self._answers),
                name="lstmfast-prefetch",
                daemon=True,
            )
            self._thread.start()
        self._asked = True
        self._requests.put(True)

    def __iter__(self) -> Ahead[T]:
        return self

    def __next__(self) -> T:
        if self._items is None:
            raise StopIteration
        self.ask()
        item, error = self._answers.get()
        self._asked = False
        if error is not None:
            try:
                raise error  # with the traceback that it has from the thread
            finally:
                del error
        if item is _END:
            raise StopIteration
        return item  # type: ignore[no-any-return]

    def close(self) -> None:
        """Wait for what was asked for, end the thread, let go of the iterator.

        An iterator that gives nothing for many seconds (it may wait for what will never come) is left to its thread.
        """
        thread, self._thread = self._thread, None
        self._items = None
        if thread is not None:
            self._requests.put(False)
            thread.join(_PATIENCE)


def _serve(items: Iterator[Any], requests: SimpleQueue[bool], answers: SimpleQueue[Any]) -> None:
    while requests.get():
        try:
            answer: tuple[Any, BaseException | None] = (next(items, _END), None)
        except BaseException as error:  # raised again where the item is waited for
            answer = (_END, error)
        answers.put(answer)
        del answer  # the next item may overwrite it or need its memory
