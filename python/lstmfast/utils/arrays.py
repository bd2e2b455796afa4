# SPDX-License-Identifier: BSD-3-Clause
"""Labels to one-hot vectors, and vectors of unit length."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["normalize", "to_categorical"]

Array = npt.NDArray[Any]


def to_categorical(x: npt.ArrayLike, num_classes: int | None = None) -> Array:
    """Class numbers to one-hot vectors.

    Parameters
    ----------
    x : array_like of int
        Class numbers from 0 to ``num_classes - 1``, any shape; a last axis of length 1 is dropped.
    num_classes : int, optional
        Number of classes; the largest number in `x` plus one if not given.

    Returns
    -------
    ndarray of float64, shape (*x.shape, num_classes)

    Raises
    ------
    ValueError
        If a class number is negative, too large or not whole, or `x` is empty and `num_classes` not given.

    Examples
    --------
    >>> from lstmfast.utils import to_categorical
    >>> to_categorical([0, 2])
    array([[1., 0., 0.],
           [0., 0., 1.]])
    """
    given = np.asarray(x)
    if given.dtype.kind not in "fiub":
        raise ValueError(f"x: expected class numbers, got an array of {given.dtype}")
    if given.dtype.kind == "f" and not (np.isfinite(given).all() and np.array_equal(np.trunc(given), given)):
        raise ValueError("x: expected whole class numbers, got fractions, infinity or NaN")
    labels = given.astype(np.int64)
    shape = labels.shape
    if len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    labels = labels.reshape(-1)
    if not num_classes:
        if labels.size == 0:
            raise ValueError("x: is empty, so num_classes must be given")
        num_classes = int(labels.max()) + 1
    if labels.size and not (labels.min() >= 0 and labels.max() < num_classes):
        raise ValueError(
            f"x: expected class numbers from 0 to num_classes - 1 = {num_classes - 1}, got {labels.min()} to "
            f"{labels.max()}"
        )
    one_hot = np.zeros((labels.size, num_classes))
    one_hot[np.arange(labels.size), labels] = 1
    return one_hot.reshape((*shape, num_classes))


def normalize(x: npt.ArrayLike, axis: int = -1, order: int | float = 2) -> Array:
    """Divide by the norm along an axis; vectors of norm 0 stay as they are.

    Parameters
    ----------
    x : array_like
    axis : int
    order : int or float
        Of the norm, as in `numpy.linalg.norm`.

    Examples
    --------
    >>> from lstmfast.utils import normalize
    >>> normalize([[3.0, 4.0]])
    array([[0.6, 0.8]])
    """
    x = np.asarray(x)
    norm = np.atleast_1d(np.linalg.norm(x, order, axis))
    norm[norm == 0] = 1
    return np.asarray(x / np.expand_dims(norm, axis))
