# SPDX-License-Identifier: BSD-3-Clause
"""Random masks: the generator against its published test vectors and reference.py, on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest

import lstmfast as lf
from lstmfast import _core, reference


@pytest.mark.parametrize(
    ("counter", "key", "want"),
    [  # of Random123's known-answer file, philox 4x32 of 10 rounds
        ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, 0xFFFFFFFFFFFFFFFF, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            0x299F31D0A4093822,
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_reference_philox(counter, key, want):
    assert reference.philox(key, counter).ravel().tolist() == list(want)


@pytest.mark.parametrize("times_x", [False, True])
@pytest.mark.parametrize(
    "span", [(0, 1), (0, 64), (3, 17), (63, 65), (0, 100), (64, 321), (130, 131), (5, 5)]
)
def test_masks(isa, span, times_x, rng):
    begin, end = span
    key, stream, threshold = 0x0123456789ABCDEF, (7, 0, 123456), 1 << 31
    x = rng.standard_normal(400).astype(np.float32) if times_x else None
    frame = np.full(400, np.nan, np.float32)
    got = _core.testing.random_mask(isa, key, stream, begin, end, threshold, 0.25, 2.0, x, frame)
    bits = reference.random_bits(key, stream, end)[begin:]
    want = np.where(bits < threshold, np.float32(0.25), np.float32(2.0)) * (1 if x is None else x[begin:end])
    assert np.array_equal(got[begin:end], want.astype(np.float32))
    assert np.isnan(got[:begin]).all() and np.isnan(got[end:]).all()


def test_dropout_is_its_mask_at_any_thread_count(rng):
    x = rng.standard_normal((301, 1001)).astype(np.float32)
    mask = _core.dropout_mask(99, 0.3, x.shape)
    keep = reference.random_bits(99, (0, 0, 0), 5000) >= int(0.3 * 2**32)
    assert np.array_equal(mask.ravel()[:5000], keep * np.float32(1 / 0.7))
    assert abs((mask == 0).mean() - 0.3) < 0.005 and abs(mask.mean() - 1) < 0.005
    for threads in (1, 2, 5):
        with lf.threads(threads):
            assert np.array_equal(_core.dropout(99, 0.3, x), x * mask)
    assert not np.array_equal(mask, _core.dropout_mask(100, 0.3, x.shape))


def test_rates_of_none_and_all(rng):
    x = rng.standard_normal(70).astype(np.float32)
    assert np.array_equal(_core.dropout(1, 0.0, x), x)
    assert not _core.dropout_mask(1, 1.0, (7, 10)).any()
    with pytest.raises(ValueError, match=r"rate: expected 0 to 1, got 1\.5"):
        _core.dropout(1, 1.5, x)
    with pytest.raises(ValueError, match="rate: expected 0 to 1, got nan"):
        _core.dropout(1, float("nan"), x)
