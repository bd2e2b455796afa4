# SPDX-License-Identifier: BSD-3-Clause
"""What programs ask `keras.backend` for: a fresh session between models of a search, the number type, the small constant.

Functions of arrays and symbolic tensors are in `lstmfast.ops`, as in Keras 3.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from .utils.naming import clear_session
from .utils.symbolic_tensors import is_keras_tensor

__all__ = [
    "backend",
    "clear_session",
    "epsilon",
    "floatx",
    "get_uid",
    "image_data_format",
    "is_float_dtype",
    "is_int_dtype",
    "is_keras_tensor",
    "set_floatx",
    "standardize_dtype",
]

_uids: Counter[str] = Counter()


def refuse_other_settings(name: str, value: Any, only: Any, reason: str) -> None:
    """ValueError that names the argument, unless it is the one setting that there is."""
    if value != only:
        raise ValueError(f"{name} must be {only!r}, {reason}. Received: {name}={value!r}")


def backend() -> str:
    """``"numpy"``: what goes into functions and comes out of them are NumPy's arrays.

    Examples
    --------
    >>> from lstmfast import backend
    >>> backend.backend()
    'numpy'
    """
    return "numpy"


def epsilon() -> float:
    """The small number that keeps from dividing by zero in losses and metrics, 1e-7.

    Examples
    --------
    >>> from lstmfast import backend
    >>> backend.epsilon()
    1e-07
    """
    return 1e-7


def floatx() -> str:
    """The type of weights and outputs, ``"float32"``.

    Examples
    --------
    >>> from lstmfast import backend
    >>> backend.floatx()
    'float32'
    """
    return "float32"


def set_floatx(value: str) -> None:
    """Nothing, as the only type is float32.

    Raises
    ------
    ValueError
        If it is another type.

    Examples
    --------
    >>> from lstmfast import backend
    >>> backend.set_floatx("float32")
    """
    refuse_other_settings("value", value, floatx(), "in which all kernels compute")


def image_data_format() -> str:
    """``"channels_last"``: features are the last axis everywhere.

    Examples
    --------
    >>> from lstmfast import backend
    >>> backend.image_data_format()
    'channels_last'
    """
    return "channels_last"


def get_uid(prefix: str = "") -> int:
    """How often it was asked for this prefix, this time included.

    Examples
    --------
    >>> from lstmfast import backend
    >>> backend.get_uid("block"), backend.get_uid("block")
    (1, 2)
    """
    _uids[prefix] += 1
    return _uids[prefix]


def standardize_dtype(dtype: Any) -> str:
    """The name of a dtype; of None that of weights.

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast import backend
    >>> backend.standardize_dtype(np.int32), backend.standardize_dtype(None)
    ('int32', 'float32')
    """
    try:
        return "float32" if dtype is None else np.dtype(dtype).name
    except TypeError:
        raise ValueError(f"Invalid dtype: {dtype}") from None


def is_float_dtype(dtype: Any) -> bool:
    """Whether it is a type of floating-point numbers.

    Examples
    --------
    >>> from lstmfast import backend
    >>> backend.is_float_dtype("float16"), backend.is_float_dtype("int8")
    (True, False)
    """
    return standardize_dtype(dtype).startswith(("float", "bfloat"))


def is_int_dtype(dtype: Any) -> bool:
    """Whether it is a type of integers, with sign or without.

    Examples
    --------
    >>> from lstmfast import backend
    >>> backend.is_int_dtype("uint8"), backend.is_int_dtype("bool")
    (True, False)
    """
    return standardize_dtype(dtype).startswith(("int", "uint"))
