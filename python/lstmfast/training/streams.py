# SPDX-License-Identifier: BSD-3-Clause
"""Where epochs take their batches from: arrays in memory, generators, data loaders, sequences of batches."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from .. import random
from .batching import DataSet, prepare, with_class_weights
from .convert import is_array_like
from .limits import limited_steps

if TYPE_CHECKING:
    from ..models.model import Model

__all__ = ["ArrayBatches", "Batches", "StreamBatches", "is_stream"]

_OUT_OF_DATA = (
    "Your input ran out of data; interrupting training. Make sure that your dataset or generator can generate "
    "at least `steps_per_epoch * epochs` batches."
)


def is_stream(x: Any) -> bool:
    """Whether `x` gives batches one after another: a generator, an iterable, a sequence of batches.

    Raises
    ------
    TypeError
        If it is a PyTorch `Dataset`, which gives samples.
    """
    if x is None or isinstance(x, (list, tuple, dict, str, bytes, set, frozenset)) or is_array_like(x):
        return False
    if _is_sequence(x):
        if any(c.__name__ == "Dataset" and c.__module__.startswith("torch.") for c in type(x).__mro__):
            raise TypeError("x must give batches, a PyTorch Dataset gives samples: pass a DataLoader of it")
        return True
    return hasattr(x, "__iter__") or hasattr(x, "__next__")


def _is_sequence(x: Any) -> bool:
    return hasattr(x, "__getitem__") and (hasattr(x, "__len__") or hasattr(type(x), "num_batches"))


class Batches:
    """Base: epochs of batches, each the whole data, or `limit` batches that go on where the last epoch ended.

    Parameters
    ----------
    available : int or None
        Batches until the data are through, if that is known.
    limit : int or None
        Batches an epoch.
    """

    def __init__(self, available: int | None, limit: int | None) -> None:
        self.available, self.limit = available, limited_steps(limit)
        self._rest: Any = None

    @property
    def steps(self) -> int | None:
        """Batches an epoch, None if unknown."""
        known = [n for n in (self.available, self.limit) if n is not None]
        return min(known, default=None)

    def start(self) -> Iterator[DataSet]:
        """Batches from the beginning of the data."""
        raise NotImplementedError

    def end_epoch(self) -> None:
        """After the last batch of an epoch."""

    def restart(self) -> None:
        """Let the next epoch begin at the beginning of the data, where the data allow it."""
        self._let_go()

    def close(self) -> None:
        """End threads and let go of the data."""
        self._let_go()

    def _let_go(self) -> None:
        rest, self._rest = self._rest, None
        if rest is not None:
            rest.close()

    def epoch(self) -> Iterator[DataSet]:
        """The batches of one epoch; a UserWarning where there are fewer than `limit`."""
        fresh = self._rest is None
        if fresh:
            self._rest = self.start()
        limit, rest, count = self.limit, self._rest, 0
        ask: Callable[[], None] | None = getattr(rest, "ask", None)
        while limit is None or count < limit:
            batch = next(rest, None)
            if batch is None:
                self._let_go()
                if count == 0 and not fresh:  # the data ended exactly where the last epoch did
                    fresh = True
                    rest = self._rest = self.start()
                    ask = getattr(rest, "ask", None)
                    continue
                if limit is not None or count == 0:
                    warnings.warn(_OUT_OF_DATA, UserWarning, stacklevel=4)
                break
            count += 1
            if ask is not None and (limit is None or count < limit):
                ask()
            yield batch
        if limit is not None and count == limit == self.available:
            self._let_go()
        self.end_epoch()


class ArrayBatches(Batches):
    """Batches of a data set in memory.

    Parameters
    ----------
    data : DataSet
    size : int
        Samples a batch.
    shuffle : bool
        Draw a new order from the global seed each time the data begin anew.
    limit : int, optional
    """

    def __init__(self, data: DataSet, size: int, shuffle: bool = False, limit: int | None = None) -> None:
        super().__init__(math.ceil(len(data) / size), limit)
        self.data, self.size, self.shuffle = data, size, shuffle

    def start(self) -> Iterator[DataSet]:
        n = len(self.data)
        order = random.global_generator().permutation(n) if self.shuffle and n > self.size else None
        return self.data.batches(self.size, order)


class StreamBatches(Batches):
    """Batches that a generator, an iterable or a sequence gives.

    The first one is fetched at once, the others on a thread, one ahead of the training.

    Parameters
    ----------
    model : Model
        Its inputs and outputs say how batches are checked.
    x : iterator, iterable, or object with ``__getitem__`` and ``__len__``
        Gives x, (x,), (x, y), (x, y, sample_weight), (x, y, sample_weight, lengths) or
        (x, y, sample_weight, lengths, resets).
    class_weight : dict, optional
    shuffle : bool
        Ask a sequence for its batches in a new order each epoch.
    limit : int, optional
    what : str
        How errors call the limit.

    Raises
    ------
    ValueError
        If there is no batch, or the first one does not fit the model.
    """

    def __init__(
        self,
        model: Model,
        x: Any,
        class_weight: Any = None,
        shuffle: bool = False,
        limit: int | None = None,
        what: str = "steps_per_epoch",
    ) -> None:
        self._model, self._class_weight, self.shuffle = model, class_weight, shuffle
        self._sequence: Any = x if _is_sequence(x) else None
        self._source: Any = None if self._sequence is not None else x
        self._once: Any = x if hasattr(x, "__next__") else None
        available = None
        if self._sequence is not None:
            available = _count(x)
            limit = limited_steps(limit)
            if available is None and limit is None:
                raise ValueError(f"{what} is needed: the data set has no end (num_batches is None)")
        elif hasattr(x, "__len__"):
            with contextlib.suppress(TypeError):  # a DataLoader of an IterableDataset has none
                available = len(x)
        super().__init__(available, limit)
        self._threaded = getattr(x, "workers", 1) != 0
        self._raw: Iterator[Any] | None = self._begin()
        given = next(self._raw, None)
        if given is None:
            raise ValueError(f"x gave no batch: a {type(x).__name__} must give at least one")
        #: The first batch, for checks before training starts; an epoch gets it too.
        self.first: DataSet | None = self._converted(given)

    def _begin(self) -> Iterator[Any]:
        if self._sequence is None:
            return iter(self._source)
        self.available = _count(self._sequence)
        begin = getattr(self._sequence, "on_epoch_begin", None)
        if begin is not None:
            begin()
        return self._of_sequence(self._sequence, self.available)

    def _of_sequence(self, sequence: Any, count: int | None) -> Iterator[Any]:
        if count is None:
            number = 0
            while True:
                yield sequence[number]
                number += 1
        shuffled = self.shuffle and count > 1
        order = random.global_generator().permutation(count).tolist() if shuffled else range(count)
        yield from map(sequence.__getitem__, order)

    def _converted(self, given: Any) -> DataSet:
        if not isinstance(given, (tuple, list)):
            given = (given,)
        if not 1 <= len(given) <= 5:
            raise ValueError(
                "a batch must be (x,), (x, y), (x, y, sample_weight), (x, y, sample_weight, lengths) or the same with "
                "resets, got "
                f"a {type(given).__name__} of {len(given)}"
            )
        x, y, sample_weight, lengths, resets = (*given, None, None, None, None)[:5]
        data = prepare(self._model, x, y, sample_weight, None, lengths, resets)
        return data if self._class_weight is None else with_class_weights(data, self._class_weight)

    def _batches(self, raw: Iterator[Any], first: DataSet | None) -> Iterator[DataSet]:
        if first is not None:
            yield first
            first = None
        for given in raw:
            yield self._converted(given)

    def start(self) -> Iterator[DataSet]:
        raw, first = self._raw, self.first
        self._raw = self.first = None
        items = self._batches(raw if raw is not None else self._begin(), first)
        if not self._threaded:
            return items
        from .prefetch import Ahead  # here, as importing queue and threading takes a millisecond

        return Ahead(items)

    def restart(self) -> None:
        if self._once is None and self.first is None:
            super().restart()

    def end_epoch(self) -> None:
        end = getattr(self._sequence, "on_epoch_end", None)
        if end is not None:
            end()

    def close(self) -> None:
        super().close()
        self._raw = self._sequence = self._source = self._once = self.first = None


def _count(sequence: Any) -> int | None:
    if hasattr(type(sequence), "num_batches"):
        count = sequence.num_batches
        return None if count is None else int(count)
    return len(sequence)
