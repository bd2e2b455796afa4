# SPDX-License-Identifier: BSD-3-Clause
"""JapaneseVowels: 640 utterances by nine speakers, from the file that tools/make_japanese_vowels.py makes."""

from __future__ import annotations

import os
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

__all__ = ["japanese_vowels"]

_Floats = npt.NDArray[np.float32]
_Ints = npt.NDArray[np.int64]
_Data = tuple[_Floats, _Ints, _Floats, _Ints]
_DataAndLengths = tuple[_Floats, _Ints, _Floats, _Ints, _Ints, _Ints]

_FILE = os.path.join(os.path.dirname(__file__), "data", "japanese_vowels.npz")
_FRAMES = 29  # of the longest utterance
#: The source states six decimals; the file holds the numbers times this, as integers.
_SCALE = 1e6


@overload
def japanese_vowels(return_lengths: Literal[False] = False) -> _Data: ...
@overload
def japanese_vowels(return_lengths: Literal[True]) -> _DataAndLengths: ...
def japanese_vowels(return_lengths: bool = False) -> _Data | _DataAndLengths:
    """Who speaks? 640 utterances of the vowels /ae/ by nine male Japanese speakers.

    Each utterance is a sequence of 7 to 29 frames (25.6 ms long, every 6.4 ms) of 12 linear-prediction
    cepstrum coefficients, as published. The split into training and test data is the authors' own: 30
    utterances of each speaker to train with, 24 to 88 of each, recorded on other occasions, to test with.

    Parameters
    ----------
    return_lengths : bool
        Whether to return the numbers of frames as well.

    Returns
    -------
    x_train : ndarray, float32, shape (270, 29, 12)
        Utterances; the frames after an utterance's end are zero (and no frame inside of one is).
    y_train : ndarray, int64, shape (270,)
        Speakers, 0 to 8.
    x_test : ndarray, float32, shape (370, 29, 12)
    y_test : ndarray, int64, shape (370,)
    len_train : ndarray, int64, shape (270,)
        Frames of each utterance, 7 to 29; only with `return_lengths`.
    len_test : ndarray, int64, shape (370,)
        Only with `return_lengths`.

    References
    ----------
    M. Kudo, J. Toyama, M. Shimbo (1999), Japanese Vowels, UCI Machine Learning Repository, https://doi.org/10.24432/C5NS47,
    CC BY 4.0; changed here in form only (zero padding, labels from 0).

    Examples
    --------
    >>> from lstmfast import datasets
    >>> x_train, y_train, x_test, y_test = datasets.japanese_vowels()
    >>> x_train.shape, x_test.shape, int(y_test.max())
    ((270, 29, 12), (370, 29, 12), 8)
    """
    with np.load(_FILE, allow_pickle=False) as file:
        lengths = file["lengths"].astype(np.int64)
        speakers = file["speakers"].astype(np.int64)
        planes = file["planes"]
        n_train = int(file["n_train"])
    # Bytes of equal rank stand together in the file, which compresses better; each column of four makes an
    # integer.
    integers = np.ascontiguousarray(planes.reshape(4, -1).T).view("<i4").reshape(12, -1)
    frames = (integers.T / _SCALE).astype(np.float32)
    x = np.zeros((lengths.size, _FRAMES, 12), np.float32)
    x[np.arange(_FRAMES) < lengths[:, None]] = frames
    data = x[:n_train], speakers[:n_train], x[n_train:], speakers[n_train:]
    return (*data, lengths[:n_train], lengths[n_train:]) if return_lengths else data
