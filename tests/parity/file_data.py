# SPDX-License-Identifier: BSD-3-Clause
"""Data, and comparisons of predictions, for the tests of model files."""

import numpy as np

__all__ = ["IDS", "SIDE", "X", "Y", "assert_close", "predictions_agree"]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 6, 3)).astype("float32")
IDS = RNG.integers(1, 9, (8, 6))
IDS[2, 3:] = 0
SIDE = RNG.normal(size=(8, 4)).astype("float32")
Y = np.arange(8) % 2


def assert_close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def predictions_agree(ours, theirs, x):
    assert_close(ours.predict(x, verbose=0), theirs.predict(x, verbose=0))
