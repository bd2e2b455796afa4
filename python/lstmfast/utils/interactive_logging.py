# SPDX-License-Identifier: BSD-3-Clause
"""Whether messages go to standard output, or to the log."""

from __future__ import annotations

__all__ = [
    "disable_interactive_logging",
    "enable_interactive_logging",
    "is_interactive_logging_enabled",
    "print_msg",
]

_enabled = True


def enable_interactive_logging() -> None:
    """Show progress bars, and messages of `fit`, callbacks and `summary`, on standard output: the state at the start."""
    global _enabled
    _enabled = True


def disable_interactive_logging() -> None:
    """Show no bars, and send messages to Python's logger ``"lstmfast"`` at level INFO: for programs that nobody watches.

    Examples
    --------
    >>> from lstmfast import utils
    >>> utils.disable_interactive_logging()
    >>> utils.is_interactive_logging_enabled()
    False
    >>> utils.enable_interactive_logging()
    """
    global _enabled
    _enabled = False


def is_interactive_logging_enabled() -> bool:
    """Whether messages go to standard output."""
    return _enabled


def print_msg(message: str) -> None:
    """A line for the user, where lines go at present."""
    if _enabled:
        print(message, flush=True)
    else:
        import logging  # 2.5 ms, for those who turn it on

        logging.getLogger("lstmfast").info(message.strip("\n"))
