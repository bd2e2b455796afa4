# SPDX-License-Identifier: BSD-3-Clause
"""Sequences of different lengths as one array."""

from ..utils.sequences import pad_sequences

__all__ = ["pad_sequences"]
