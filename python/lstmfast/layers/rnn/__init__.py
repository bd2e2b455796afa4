# SPDX-License-Identifier: BSD-3-Clause
"""Recurrent layers, their cells, and what runs over steps."""
