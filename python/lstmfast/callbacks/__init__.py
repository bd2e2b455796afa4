# SPDX-License-Identifier: BSD-3-Clause
"""Callbacks by Keras 3's names."""

from .base import Callback, CallbackList, History, LambdaCallback
from .checkpoint import ModelCheckpoint
from .loggers import CSVLogger, LearningRateScheduler, TerminateOnNaN
from .monitors import EarlyStopping, MonitorCallback, ReduceLROnPlateau
from .progress import ProgbarLogger

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "MonitorCallback",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]
