# SPDX-License-Identifier: BSD-3-Clause
"""Labels from the outputs of a model that was trained with CTC."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core

__all__ = ["ctc_decode"]


def ctc_decode(
    inputs: npt.ArrayLike,
    sequence_lengths: npt.ArrayLike,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int | None = 0,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """The likeliest labels for outputs of a model that was trained with `lstmfast.losses.CTC`: Keras's
    ``keras.ops.ctc_decode``.

    Parameters
    ----------
    inputs : array_like, shape (B, T, C)
        Logits.
    sequence_lengths : array_like of int, shape (B,)
        How many steps of each count.
    strategy : {"greedy", "beam_search"}
        "greedy" takes the likeliest class of each step, then merges repeated ones and drops the blank (Graves et al.
        2006, "best path"). "beam_search" adds up the ways to one labelling and keeps the best `beam_width` after
        each step (Graves 2012, section 7.5.3; Hannun et al. 2014).
    beam_width : int
    top_paths : int
        How many labellings a beam search gives, best first.
    merge_repeated : bool
        For "greedy": False keeps repeated classes apart.
    mask_index : int, optional
        The blank's class number; None for the last.

    Returns
    -------
    paths : ndarray of int32, shape (1, B, T) or (top_paths, B, T)
        Class numbers, then -1.
    scores : ndarray of float32, shape (B, 1) or (B, top_paths)
        "greedy": minus the sum of the logits taken. "beam_search": log-probabilities, -infinity where there are
        fewer paths.

    Raises
    ------
    ValueError
        If an argument is out of its range, shapes do not fit, or an input is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.utils import ctc_decode
    >>> logits = 5 * np.eye(3)[[1, 1, 0, 2]]
    >>> paths, scores = ctc_decode(logits[None], [4])
    >>> paths.tolist(), scores.tolist()
    ([[[1, 2, -1, -1]]], [[-20.0]])
    """
    if strategy not in ("greedy", "beam_search"):
        raise ValueError(f"Invalid strategy {strategy}. Supported values are 'greedy' and 'beam_search'.")
    z = np.ascontiguousarray(inputs, np.float32)
    if z.ndim != 3 or z.shape[2] < 1:
        raise ValueError(f"inputs: expected shape (B, T, C), got {np.shape(inputs)}")
    if np.isnan(z).any():
        raise ValueError("inputs: expected numbers, got NaN")
    if mask_index is None:
        mask_index = z.shape[2] - 1
    if not 0 <= mask_index < z.shape[2]:
        raise ValueError(f"mask_index: expected a class number from 0 to {z.shape[2] - 1}, got {mask_index}")
    lengths = _lengths(sequence_lengths, z.shape[0], z.shape[1])
    if strategy == "greedy":
        return _greedy(z, lengths, merge_repeated, mask_index)
    return _core.ctc_beam_search(z, lengths, mask_index, beam_width, top_paths)


def _lengths(given: Any, batch: int, time: int) -> npt.NDArray[np.int64]:
    lengths = np.asarray(given)
    if lengths.shape != (batch,):
        raise ValueError(f"sequence_lengths: expected shape {(batch,)}, got {lengths.shape}")
    if lengths.size and lengths.dtype.kind not in "iu":
        raise ValueError(f"sequence_lengths: expected whole numbers, got an array of {lengths.dtype}")
    bad = (lengths < 0) | (lengths > time)
    if bad.any():
        raise ValueError(f"sequence_lengths: expected 0 to {time}, got {int(lengths[bad][0])}")
    return np.ascontiguousarray(lengths, np.int64)


def _greedy(
    z: npt.NDArray[np.float32], lengths: npt.NDArray[np.int64], merge_repeated: bool, blank: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    counted = np.arange(z.shape[1]) < lengths[:, None]
    labels = np.where(counted, z.argmax(axis=2), blank).astype(np.int32)
    scores = -np.where(counted, z.max(axis=2), np.float32(0)).sum(axis=1, dtype=np.float32)
    dropped = labels == blank
    if merge_repeated:
        dropped[:, 1:] |= labels[:, 1:] == labels[:, :-1]
    labels[dropped] = -1
    order = np.argsort(dropped, axis=1, kind="stable")
    return np.take_along_axis(labels, order, axis=1)[None], scores[:, None] + np.float32(0)  # no -0
