# SPDX-License-Identifier: BSD-3-Clause
"""Other libraries' containers as NumPy arrays, without importing those libraries."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["is_array_like", "plain"]


def is_array_like(value: Any) -> bool:
    """Whether `value` holds an array: NumPy's, a tensor, a pandas or polars table or column."""
    return hasattr(value, "__array__") or hasattr(value, "to_numpy")


def plain(value: Any) -> Any:
    """`value` with tensors and tables as NumPy arrays, sharing memory where they can; also inside a list,
    tuple or dict. Anything else as it is.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.training.convert import plain
    >>> class Column:
    ...     def to_numpy(self):
    ...         return np.arange(3)
    >>> plain({"a": Column(), "b": 1})
    {'a': array([0, 1, 2]), 'b': 1}
    """
    if isinstance(value, np.ndarray) or value is None:
        return value
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        # One look at the first is enough: a list of a million numbers is not walked through.
        return [plain(one) for one in value] if value and _is_foreign(value[0]) else value
    return _to_numpy(value) if _is_foreign(value) else value


def _is_foreign(value: Any) -> bool:
    if isinstance(value, (np.ndarray, np.generic)):
        return False
    return is_array_like(value) or hasattr(value, "detach")


def _to_numpy(value: Any) -> Any:
    if hasattr(value, "detach") and hasattr(value, "numpy"):  # a PyTorch tensor, which may need a gradient
        value = value.detach()
        return (value.cpu() if hasattr(value, "cpu") else value).numpy()
    if not hasattr(value, "to_numpy"):
        return np.asarray(value)
    array = np.asarray(value.to_numpy())
    types = getattr(value, "dtypes", None)  # of a table; dates among numbers would be counted in nanoseconds
    dated = types is not None and any(getattr(t, "kind", "") in "mM" for t in np.atleast_1d(types))
    if array.dtype == object and not dated:  # columns of several types, or nullable ones
        for options in ({"dtype": "float64", "na_value": np.nan}, {"dtype": "float64"}):
            try:
                return np.asarray(value.to_numpy(**options))
            except (TypeError, ValueError):
                continue
    return array
