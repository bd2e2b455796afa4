# SPDX-License-Identifier: BSD-3-Clause
"""Callbacks by Keras 3's names."""

from .averages import SwapEMAWeights
from .backup import BackupAndRestore
from .base import Callback, CallbackList, History, LambdaCallback
from .checkpoint import ModelCheckpoint
from .loggers import CSVLogger, LearningRateScheduler, TerminateOnNaN
from .monitors import EarlyStopping, MonitorCallback, ReduceLROnPlateau
from .progress import ProgbarLogger
from .tensorboard import TensorBoard

__all__ = [
    "BackupAndRestore",
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
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
]
