# SPDX-License-Identifier: BSD-3-Clause
"""Dropout, noise and penalties: what is done in training only."""
