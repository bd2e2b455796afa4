# SPDX-License-Identifier: BSD-3-Clause
"""Layers that make one tensor of several."""
