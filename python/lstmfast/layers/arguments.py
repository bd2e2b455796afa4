# SPDX-License-Identifier: BSD-3-Clause
"""Constructor arguments that several layers share, checked as Keras checks them."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["data_format_of", "integer_tuple", "is_integer", "own_arguments", "padding_of", "same_padding"]


def own_arguments(of_init: dict[str, Any]) -> dict[str, Any]:
    """The named arguments among the ``locals()`` that an `__init__` begins with."""
    return {key: value for key, value in of_init.items() if key not in ("self", "kwargs", "__class__")}


def is_integer(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))


def integer_tuple(value: Any, n: int, argument: str, allow_zero: bool = False) -> tuple[int, ...]:
    """`value` as a tuple of `n` integers, one integer standing for all; else a ValueError naming `argument`."""
    message = f"The `{argument}` argument must be a tuple of {n} integers. Received {argument}={value}"
    values = (value,) * n if is_integer(value) else value
    if not isinstance(values, (tuple, list)) or len(values) != n or not all(map(is_integer, values)):
        raise ValueError(message)
    low = 0 if allow_zero else 1
    wrong = sorted({int(v) for v in values if v < low})
    if wrong:
        raise ValueError(f"{message}, including values {wrong} that are less than {low}")
    return tuple(int(v) for v in values)


def data_format_of(value: Any) -> str:
    """``"channels_last"`` or ``"channels_first"``; None is the former."""
    if value not in (None, "channels_last", "channels_first"):
        raise ValueError(
            "The `data_format` argument must be one of {'channels_first', 'channels_last'}. Received: "
            f"data_format={value!r}"
        )
    return value or "channels_last"


def padding_of(value: Any, causal: bool = False) -> str:
    """``"valid"``, ``"same"`` or, where it is allowed, ``"causal"``."""
    allowed = ("valid", "same", "causal") if causal else ("valid", "same")
    padding = value.lower() if isinstance(value, str) else value
    if padding not in allowed:
        raise ValueError(f"The `padding` argument must be one of {allowed}. Received: {value!r}")
    return str(padding)


def same_padding(time: int, size: int, stride: int) -> tuple[int, int]:
    """Steps before and behind a sequence so that windows of `size` steps give ``ceil(time / stride)`` outputs;
    an odd one goes behind."""
    total = max(((time - 1) // stride) * stride + size - time, 0)
    return total // 2, total - total // 2
