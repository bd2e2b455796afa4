# SPDX-License-Identifier: BSD-3-Clause
"""Attention over the steps of sequences."""
