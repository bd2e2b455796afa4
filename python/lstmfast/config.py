# SPDX-License-Identifier: BSD-3-Clause
"""Keras's settings of the whole program: those that there are, and refusals of what would change results."""

from __future__ import annotations

from .backend import backend, epsilon, floatx, image_data_format, refuse_other_settings, set_floatx
from .training.limits import max_epochs, max_steps_per_epoch, set_max_epochs, set_max_steps_per_epoch
from .utils.interactive_logging import (
    disable_interactive_logging,
    enable_interactive_logging,
    is_interactive_logging_enabled,
)

__all__ = [
    "backend",
    "disable_interactive_logging",
    "disable_traceback_filtering",
    "enable_interactive_logging",
    "enable_traceback_filtering",
    "epsilon",
    "floatx",
    "image_data_format",
    "is_interactive_logging_enabled",
    "is_traceback_filtering_enabled",
    "max_epochs",
    "max_steps_per_epoch",
    "set_dtype_policy",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "set_max_epochs",
    "set_max_steps_per_epoch",
]


def set_epsilon(value: float) -> None:
    """Nothing, as the kernels have 1e-7 built in.

    Raises
    ------
    ValueError
        If it is another number.

    Examples
    --------
    >>> from lstmfast import config
    >>> config.set_epsilon(1e-7)
    """
    refuse_other_settings("value", value, epsilon(), "which is built into the kernels")


def set_image_data_format(data_format: str) -> None:
    """Nothing, as features are the last axis everywhere.

    Raises
    ------
    ValueError
        If it is another format.

    Examples
    --------
    >>> from lstmfast import config
    >>> config.set_image_data_format("channels_last")
    """
    refuse_other_settings("data_format", data_format, image_data_format(), "as features are the last axis")


def set_dtype_policy(policy: str) -> None:
    """Nothing, as all layers compute in float32.

    Raises
    ------
    ValueError
        If it is another policy.

    Examples
    --------
    >>> from lstmfast import config
    >>> config.set_dtype_policy("float32")
    """
    name = getattr(policy, "name", policy)
    refuse_other_settings("policy", name, floatx(), "in which all kernels compute")


def enable_traceback_filtering() -> None:
    """Nothing: tracebacks are whole."""


def disable_traceback_filtering() -> None:
    """Nothing: tracebacks are whole."""


def is_traceback_filtering_enabled() -> bool:
    """False: no part of a traceback is left out."""
    return False
