# SPDX-License-Identifier: BSD-3-Clause
"""Windows that slide over a time series, as batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..random import make_default_seed

__all__ = ["TimeseriesDataset", "timeseries_dataset_from_array"]

Array = npt.NDArray[Any]


class TimeseriesDataset:
    """Batches of windows: has a length, gives a batch by number, and may be iterated over any number of times.

    Made by `timeseries_dataset_from_array`. A batch is copied out of the series when it is asked for, so that the
    windows take no memory together. Batches are ``(windows, targets)``, or windows alone.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.utils import timeseries_dataset_from_array
    >>> dataset = timeseries_dataset_from_array(np.arange(10.0), None, sequence_length=4, batch_size=3)
    >>> len(dataset), dataset[0].tolist()[0], dataset[2].shape
    (3, [0.0, 1.0, 2.0, 3.0], (1, 4))
    """

    def __init__(
        self, data: Array, targets: Array | None, starts: Array, offsets: Array, batch_size: int | None
    ) -> None:
        self._data = data
        self._targets = targets
        self._starts = starts
        self._offsets = offsets
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._starts) // (self.batch_size or 1))

    def __getitem__(self, index: int) -> Any:
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"batch {index} of {count}")
        index %= count
        size = self.batch_size
        start = self._starts[index if size is None else slice(index * size, (index + 1) * size)]
        windows = self._data[start[..., None] + self._offsets]
        return windows if self._targets is None else (windows, self._targets[start])

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))


def timeseries_dataset_from_array(
    data: npt.ArrayLike,
    targets: npt.ArrayLike | None,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
    format: str = "numpy",
) -> TimeseriesDataset:
    """Windows of equal length that slide over a time series, in batches: Keras's
    ``keras.utils.timeseries_dataset_from_array``, without TensorFlow.

    Parameters
    ----------
    data : array_like, shape (N, ...)
        One entry a time step.
    targets : array_like, shape (N, ...), optional
        The target of the window that starts at step i is ``targets[i]``: shift it by as many steps as you want to
        look ahead. Windows beyond its end are left out.
    sequence_length : int
        Steps in a window.
    sequence_stride : int
        Steps from the start of a window to that of the next.
    sampling_rate : int
        Take every so many steps.
    batch_size : int, optional
        None gives windows one by one, without an axis for the batch.
    shuffle : bool
        Windows in random order, drawn once.
    seed : int, optional
        For the order; drawn from the global generator if not given.
    start_index, end_index : int, optional
        Steps before, and from there on, are not used.
    format : str
        Only "numpy": Keras's "tf" and "grain" stand for data sets of those packages.

    Returns
    -------
    TimeseriesDataset
        Batches ``windows (B, sequence_length, ...)`` or ``(windows, targets (B, ...))``.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.utils import timeseries_dataset_from_array
    >>> series = np.arange(6)
    >>> dataset = timeseries_dataset_from_array(series[:-2], series[2:], sequence_length=2, batch_size=2)
    >>> for windows, targets in dataset:
    ...     print(windows.tolist(), targets.tolist())
    [[0, 1], [1, 2]] [2, 3]
    [[2, 3]] [4]
    """
    if format != "numpy":
        raise ValueError(f"`format` should be 'numpy', as batches are arrays. Received: format={format}")
    for name, value in (
        ("sequence_length", sequence_length),
        ("sequence_stride", sequence_stride),
        ("sampling_rate", sampling_rate),
        ("batch_size", batch_size),
        ("start_index", start_index),
        ("end_index", end_index),
    ):
        missing = value is None and name in ("batch_size", "start_index", "end_index")
        if not missing and (isinstance(value, bool) or not isinstance(value, (int, np.integer))):
            raise ValueError(f"{name}: expected an integer, got {value!r}")
    series = np.asarray(data)
    if series.ndim == 0:
        raise ValueError("data: expected an axis of time, got one number")
    length = len(series)
    if start_index:
        if start_index < 0:
            raise ValueError(f"`start_index` must be 0 or greater. Received: start_index={start_index}")
        if start_index >= length:
            raise ValueError(
                "`start_index` must be lower than the length of the data. Received: "
                f"start_index={start_index}, for data of length {length}"
            )
    if end_index:
        if start_index and end_index <= start_index:
            raise ValueError(
                f"`end_index` must be higher than `start_index`. Received: start_index={start_index}, and "
                f"end_index={end_index} "
            )
        if end_index >= length:
            raise ValueError(
                "`end_index` must be lower than the length of the data. Received: "
                f"end_index={end_index}, for data of length {length}"
            )
        if end_index <= 0:
            raise ValueError(f"`end_index` must be higher than 0. Received: end_index={end_index}")
    for name, value in (("sampling_rate", sampling_rate), ("sequence_stride", sequence_stride)):
        if value <= 0:
            raise ValueError(f"`{name}` must be higher than 0. Received: {name}={value}")
        if value >= length:
            raise ValueError(
                f"`{name}` must be lower than the length of the data. Received: {name}={value}, for data of "
                f"length {length}"
            )
    if sequence_length < 1:
        raise ValueError(f"sequence_length: expected 1 or more, got {sequence_length}")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size: expected 1 or more, or None, got {batch_size}")
    first, end = start_index or 0, length if end_index is None else end_index
    count = end - first - (sequence_length - 1) * sampling_rate
    wanted = None if targets is None else np.asarray(targets)
    if wanted is not None:
        count = min(count, len(wanted) - first)
    starts = np.arange(first, first + max(count, 0), sequence_stride)
    if shuffle:
        order = np.random.default_rng(make_default_seed() if seed is None else seed)
        starts = order.permutation(starts)
    offsets = np.arange(sequence_length) * sampling_rate
    return TimeseriesDataset(series, wanted, starts, offsets, batch_size)
