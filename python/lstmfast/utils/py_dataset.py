# SPDX-License-Identifier: BSD-3-Clause
"""Batches by number: the base class of data sets that are read piece by piece."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

__all__ = ["PyDataset"]


class PyDataset:
    """Base of data sets that give whole batches by number, as Keras's `keras.utils.PyDataset`.

    A subclass writes ``__getitem__(index)``, which returns ``(x,)``, ``(x, y)``, ``(x, y, sample_weight)`` or
    ``(x, y, sample_weight, lengths)``, and ``__len__()`` (or the property `num_batches`, None for no end).
    `fit`, `evaluate` and `predict` take it in place of `x`; `fit` asks for the batches in a new order each
    epoch unless ``shuffle=False``. Random numbers should come from a generator of its own, which the thread
    that reads shares with nobody.

    Parameters
    ----------
    workers : int
        0 reads in the training thread. Any other number means one thread, which reads one batch ahead.
    use_multiprocessing : bool
        Accepted and ignored: no processes are started.
    max_queue_size : int
        Accepted and ignored: one batch waits.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast import Input, Sequential, layers
    >>> from lstmfast.utils import PyDataset
    >>> class Ramps(PyDataset):
    ...     def __len__(self):
    ...         return 3
    ...     def __getitem__(self, index):
    ...         x = np.linspace(0, index, 20, dtype=np.float32).reshape(2, 10, 1)
    ...         return x, x[:, -1]
    >>> model = Sequential([Input((None, 1)), layers.LSTM(4), layers.Dense(1)])
    >>> model.compile("sgd", "mse")
    >>> history = model.fit(Ramps(), epochs=2, verbose=0)
    >>> model.predict(Ramps(), verbose=0).shape
    (6, 1)
    """

    # On the class, so that a subclass need not call our __init__.
    workers = 1
    use_multiprocessing = False
    max_queue_size = 10

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 0:
            raise ValueError(f"workers must be an integer of at least 0, got {workers!r}")
        self.workers = workers
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = max_queue_size

    def __getitem__(self, index: int) -> Any:
        """Batch number `index`, from 0."""
        raise NotImplementedError(f"{type(self).__name__} does not implement __getitem__(index)")

    @property
    def num_batches(self) -> int | None:
        """Batches an epoch, None if there is no end; `len` of the data set unless a subclass writes it."""
        if hasattr(self, "__len__"):
            return len(self)
        raise NotImplementedError(
            f"{type(self).__name__} needs __len__() or a property num_batches: the number of batches"
        )

    def __iter__(self) -> Iterator[Any]:
        count = self.num_batches
        for index in itertools.count() if count is None else range(count):
            yield self[index]

    def on_epoch_begin(self) -> None:
        """Called before the first batch of an epoch is read."""

    def on_epoch_end(self) -> None:
        """Called after the last batch of an epoch: the place to shuffle samples."""
