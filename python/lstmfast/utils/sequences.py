# SPDX-License-Identifier: BSD-3-Clause
"""Sequences of different lengths to one array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["pad", "pad_sequences"]

Array = npt.NDArray[Any]


def pad_sequences(
    sequences: Sequence[Any],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> Array:
    """Put sequences into one array, cut or filled to the same length.

    Parameters
    ----------
    sequences : sequence of sequences
        Each with shape ``(length, ...)``; all but the length equal.
    maxlen : int, optional
        Length of the result; that of the longest sequence if not given.
    dtype : str or dtype
        Of the result. The default keeps integers only, as Keras does: pass ``"float32"`` for features.
    padding, truncating : {"pre", "post"}
        Where `value` is put in and where too long sequences are cut.
    value : float or str
        What fills the rest.

    Returns
    -------
    ndarray, shape (len(sequences), maxlen, ...)

    Raises
    ------
    ValueError
        If an element is not a sequence, shapes differ, or an option is unknown.

    Examples
    --------
    >>> from lstmfast.utils import pad_sequences
    >>> pad_sequences([[1], [2, 3], [4, 5, 6]], maxlen=2)
    array([[0, 1],
           [2, 3],
           [5, 6]], dtype=int32)
    """
    if not hasattr(sequences, "__len__"):
        raise ValueError("`sequences` must be iterable.")
    for option, chosen in (("padding", padding), ("truncating", truncating)):
        if chosen not in ("pre", "post"):
            raise ValueError(f'{option}: expected "pre" or "post", got {chosen!r}')
    lengths = []
    inner: tuple[int, ...] | None = None
    for index, sequence in enumerate(sequences):
        try:
            lengths.append(len(sequence))
        except TypeError:
            raise ValueError(
                f"`sequences` must be a list of iterables. Found non-iterable at {index}: {sequence!r}"
            ) from None
        if inner is None and lengths[-1]:
            inner = np.asarray(sequence).shape[1:]
    if maxlen is None:
        maxlen = max(lengths, default=0)
    is_text = np.issubdtype(dtype, np.str_) or np.issubdtype(dtype, np.bytes_)
    if isinstance(value, str) and dtype is not object and not is_text:
        raise ValueError(
            f"`dtype` {dtype} is not compatible with `value`'s type: {type(value)}. You should set "
            "`dtype=object` for variable length strings."
        )
    result = np.full((len(lengths), maxlen, *(inner or ())), value, dtype=dtype)
    if not maxlen:
        return result
    for index, sequence in enumerate(sequences):
        if not lengths[index]:
            continue
        kept = np.asarray(sequence[-maxlen:] if truncating == "pre" else sequence[:maxlen], dtype=dtype)
        if kept.shape[1:] != inner:
            raise ValueError(
                f"Shape of sample {kept.shape[1:]} of sequence at position {index} is different from "
                f"expected shape {inner}"
            )
        if padding == "post":
            result[index, : len(kept)] = kept
        else:
            result[index, -len(kept) :] = kept
    return result


def pad(sequences: Sequence[npt.ArrayLike], value: float = 0.0) -> tuple[Array, npt.NDArray[np.int32]]:
    """Sequences of features or ids to one array filled behind their ends, and their lengths, for ``model(x,
    lengths=lengths)``.

    Parameters
    ----------
    sequences : sequence of array_like
        Each (length, features) or (length,); all features alike. Floats become float32, integers stay.
    value : float
        What stands behind the ends.

    Returns
    -------
    x : ndarray, shape (len(sequences), longest, ...)
    lengths : ndarray of int32, shape (len(sequences),)

    Raises
    ------
    ValueError
        If there are no sequences, or shapes beyond the length differ.
    TypeError
        If an element is not numeric.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.utils import pad
    >>> x, lengths = pad([np.ones((2, 3)), np.ones((4, 3))])
    >>> x.shape, x.dtype.name, lengths.tolist()
    ((2, 4, 3), 'float32', [2, 4])
    """
    arrays = [np.asarray(sequence) for sequence in sequences]
    if not arrays:
        raise ValueError("sequences: expected at least one, got none")
    for index, array in enumerate(arrays):
        if array.dtype.kind not in "fiub":
            raise TypeError(f"sequences[{index}]: expected numbers, got {array.dtype}")
        if array.ndim == 0 or array.shape[1:] != arrays[0].shape[1:]:
            raise ValueError(
                f"sequences[{index}]: expected shape (length, {', '.join(map(str, arrays[0].shape[1:]))}) "
                f"like the first, got {array.shape}"
            )
    dtype = np.result_type(*arrays)
    lengths = np.array([len(array) for array in arrays], np.int32)
    shape = (len(arrays), int(lengths.max()), *arrays[0].shape[1:])
    x = np.full(shape, value, np.float32 if dtype.kind == "f" else dtype)
    for row, array in zip(x, arrays, strict=True):
        row[: len(array)] = array
    return x, lengths
