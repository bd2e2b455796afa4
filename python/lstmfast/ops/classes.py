# SPDX-License-Identifier: BSD-3-Clause
"""The classes of all operations, put here by `operation.py`: where pickle finds them."""
