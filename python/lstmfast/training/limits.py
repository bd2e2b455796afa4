# SPDX-License-Identifier: BSD-3-Clause
"""Upper limits of epochs and of batches for the whole program: runs that only look for mistakes."""

from __future__ import annotations

import os
import warnings

__all__ = [
    "limited_epochs",
    "limited_steps",
    "max_epochs",
    "max_steps_per_epoch",
    "set_max_epochs",
    "set_max_steps_per_epoch",
]


def _from_environment(name: str) -> int | None:
    value = os.environ.get(name)
    return int(value) if value and value.isdecimal() else None


_epochs = _from_environment("KERAS_MAX_EPOCHS")
_steps = _from_environment("KERAS_MAX_STEPS_PER_EPOCH")


def max_epochs() -> int | None:
    """The limit of `set_max_epochs` or of the environment variable ``KERAS_MAX_EPOCHS``."""
    return _epochs


def set_max_epochs(max_epochs: int | None) -> None:
    """Let `fit` do no more epochs than this, whatever it is asked for; None for no limit.

    Examples
    --------
    >>> from lstmfast import config
    >>> config.set_max_epochs(2)
    >>> config.max_epochs()
    2
    >>> config.set_max_epochs(None)
    """
    global _epochs
    _epochs = _checked(max_epochs, "max_epochs")


def max_steps_per_epoch() -> int | None:
    """The limit of `set_max_steps_per_epoch` or of the environment variable ``KERAS_MAX_STEPS_PER_EPOCH``."""
    return _steps


def set_max_steps_per_epoch(max_steps_per_epoch: int | None) -> None:
    """Let `fit`, `evaluate` and `predict` take no more batches an epoch than this; None for no limit.

    Examples
    --------
    >>> from lstmfast import config
    >>> config.set_max_steps_per_epoch(10)
    >>> config.max_steps_per_epoch()
    10
    >>> config.set_max_steps_per_epoch(None)
    """
    global _steps
    _steps = _checked(max_steps_per_epoch, "max_steps_per_epoch")


def _checked(limit: int | None, name: str) -> int | None:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
        raise ValueError(f"{name} must be a positive integer or None, got {limit!r}")
    return limit or None


def limited_epochs(epochs: int) -> int:
    """Not more than the limit; a UserWarning where that is less."""
    if _epochs is None or epochs <= _epochs:
        return epochs
    warnings.warn(f"Limiting epochs to {_epochs}", stacklevel=3)
    return _epochs


def limited_steps(steps: int | None) -> int | None:
    """Not more than the limit; a UserWarning where that is less, or no number is given."""
    if _steps is None or (steps is not None and steps <= _steps):
        return steps
    warnings.warn(f"Limiting steps_per_epoch to {_steps}", stacklevel=4)
    return _steps
