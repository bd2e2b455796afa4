# SPDX-License-Identifier: BSD-3-Clause
"""Strings, categories and raw numbers made ready for models."""
