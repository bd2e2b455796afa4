# SPDX-License-Identifier: BSD-3-Clause
"""Normalization over features or batches."""
