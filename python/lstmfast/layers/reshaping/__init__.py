# SPDX-License-Identifier: BSD-3-Clause
"""Shapes changed, steps cropped, padded and repeated."""
