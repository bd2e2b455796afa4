# SPDX-License-Identifier: BSD-3-Clause
"""Keras's other place for helpers of `lstmfast.utils` that prepare sequences."""

from ..utils.text_files import text_dataset_from_directory
from ..utils.timeseries import timeseries_dataset_from_array
from . import sequence

__all__ = ["sequence", "text_dataset_from_directory", "timeseries_dataset_from_array"]
