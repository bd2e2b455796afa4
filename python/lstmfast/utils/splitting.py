# SPDX-License-Identifier: BSD-3-Clause
"""Data sets in parts: left and right, inputs and targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..random import make_default_seed
from ..symbolic import flatten, map_leaves, packed
from ..training.convert import is_array_like, plain

__all__ = ["pack_x_y_sample_weight", "split_dataset", "unpack_x_y_sample_weight"]

_KINDS = "The `dataset` argument must be an array, a list/tuple/dict of arrays, or give samples by `__len__` and `__getitem__`."


def split_dataset(
    dataset: Any,
    left_size: int | float | None = None,
    right_size: int | float | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    preferred_backend: str | None = None,
) -> tuple[Any, Any]:
    """Split arrays along their first axis in two: Keras's ``keras.utils.split_dataset``, with arrays in place of
    TensorFlow data sets.

    Parameters
    ----------
    dataset : ndarray, or tuple, list or dict of them, or of such
        Of equal length; for example ``(x, y)``. Tensors become arrays. Or what has ``__len__`` and gives samples by
        ``__getitem__``, as a PyTorch `Dataset`: these are put together in arrays.
    left_size, right_size : int or float, optional
        How many samples go to each side, or what share of them. One of them is enough; with both, samples between
        them are left out.
    shuffle : bool
        Draw the samples at random.
    seed : int, optional
        For `shuffle`; drawn from the global generator if not given.
    preferred_backend : None
        Keras's "tensorflow" and "torch" stand for data sets of those packages, and are refused.

    Returns
    -------
    left, right : arrays in the structure of `dataset` or of its samples

    Raises
    ------
    TypeError
        If `dataset` or a size is of another type.
    ValueError
        If it is empty, lengths differ, or sizes are out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.utils import split_dataset
    >>> left, right = split_dataset((np.arange(5), np.arange(5) % 2), left_size=0.6)
    >>> [a.tolist() for a in right]
    [[3, 4], [1, 0]]
    """
    if preferred_backend is not None:
        raise ValueError(f"preferred_backend: only None, both sides are arrays, got {preferred_backend!r}")
    dataset = _in_arrays(dataset)
    arrays = flatten(dataset)
    if not arrays:
        raise ValueError("dataset: expected at least one array, got none")
    if left_size is None and right_size is None:
        raise ValueError(
            "At least one of the `left_size` or `right_size` must be specified. Received: left_size=None and "
            "right_size=None"
        )
    lengths = {a.shape[:1] for a in arrays}
    if len(lengths) != 1 or () in lengths:
        raise ValueError(f"dataset: expected arrays of one length, got shapes {[a.shape for a in arrays]}")
    total = len(arrays[0])
    left, right = _sizes(left_size, right_size, total)
    order: npt.NDArray[np.int64] = np.arange(total)
    if shuffle:
        order = np.random.default_rng(make_default_seed() if seed is None else seed).permutation(total)

    def part(chosen: npt.NDArray[np.int64]) -> Any:
        return map_leaves(lambda a: a[chosen], dataset)

    return part(order[:left]), part(order[total - right :])


def _in_arrays(dataset: Any) -> Any:
    """The data set as arrays in its structure; samples that an object gives one by one are stacked."""
    if isinstance(dataset, (list, tuple, dict)) or is_array_like(dataset):

        def array(value: Any) -> npt.NDArray[Any]:
            if not is_array_like(value):
                raise TypeError(f"{_KINDS} Received: {type(value)} in a {type(dataset).__name__}")
            return np.asarray(plain(value))

        return map_leaves(array, dataset)
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")) or isinstance(
        dataset, (str, bytes)
    ):
        raise TypeError(f"{_KINDS} Received: {type(dataset)}")
    samples = [map_leaves(lambda v: np.asarray(plain(v)), dataset[number]) for number in range(len(dataset))]
    if not samples:
        raise ValueError("dataset: expected at least one sample, got none")
    columns = [np.stack(column) for column in zip(*map(flatten, samples), strict=True)]
    return packed(samples[0], columns)


def _sizes(left: Any, right: Any, total: int) -> tuple[int, int]:
    counts: list[int | None] = []
    for name, size in (("left_size", left), ("right_size", right)):
        if size is None:
            counts.append(None)
            continue
        if isinstance(size, bool) or not isinstance(size, (int, float, np.integer, np.floating)):
            raise TypeError(
                f"Invalid `{name}` Type. Expected: int or float or None, Received: type({name})={type(size)}."
            )
        whole = isinstance(size, (int, np.integer))
        if not 0 < size < (total if whole else 1):
            raise ValueError(
                f"`{name}` should be either a positive integer smaller than {total}, or a float within the range "
                f"`[0, 1]`. Received: {name}={size}"
            )
        counts.append(int(size) if whole else round(float(size) * total))
    a, b = counts
    if isinstance(left, float) and isinstance(right, float) and left + right > 1:
        raise ValueError(
            "The sum of `left_size` and `right_size` is greater than 1. It must be less than or equal to 1."
        )
    a = total - b if a is None and b is not None else a
    b = total - a if b is None and a is not None else b
    assert a is not None and b is not None
    if a + b > total:
        raise ValueError(
            f"The sum of `left_size` and `right_size` should be smaller than the {total}. Received: left_size + "
            f"right_size = {a + b} and total_length = {total}"
        )
    if a == 0 or b == 0:
        raise ValueError(
            f"With `dataset` of length={total}, `left_size`={left} and `right_size`={right} one side would be empty."
        )
    return a, b


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """``x``, ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)`` as three, None for what is missing.

    Raises
    ------
    ValueError
        If there are more.

    Examples
    --------
    >>> from lstmfast.utils import unpack_x_y_sample_weight
    >>> unpack_x_y_sample_weight((1, 2))
    (1, 2, None)
    """
    if not isinstance(data, (list, tuple)):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise ValueError(
            "Data is expected to be in format `x`, `(x,)`, `(x, y)`, or `(x, y, sample_weight)`, found: "
            f"{len(data)} elements"
        )
    x, y, weight = (*data, None, None)[:3]
    return x, y, weight


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """The other way round: what is None at the end is left out.

    Examples
    --------
    >>> from lstmfast.utils import pack_x_y_sample_weight
    >>> pack_x_y_sample_weight(1, 2)
    (1, 2)
    """
    if y is None:
        return (x,) if isinstance(x, (list, tuple)) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)
