# SPDX-License-Identifier: BSD-3-Clause
"""The one-number variables of an optimizer: its step count and its learning rate."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..variables import Variable

__all__ = ["ScalarVariable"]


class ScalarVariable(Variable, np.lib.mixins.NDArrayOperatorsMixin):
    """A variable of no axes that can also be used as the number it holds.

    Examples
    --------
    >>> from lstmfast.optimizers import SGD
    >>> rate = SGD(0.5).learning_rate
    >>> float(rate), rate * 2, f"{rate:.3f}", rate.shape
    (0.5, np.float32(1.0), '0.500', ())
    """

    __slots__ = ()
    __hash__ = object.__hash__

    def __float__(self) -> float:
        return float(self._data)

    def __int__(self) -> int:
        return int(self._data)

    def __bool__(self) -> bool:
        return bool(self._data)

    def __index__(self) -> int:
        return int(self._data.item().__index__())

    def __format__(self, spec: str) -> str:
        return format(self._data.item(), spec) if spec else str(self)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return getattr(ufunc, method)(
            *(x._data if isinstance(x, ScalarVariable) else x for x in inputs), **options
        )
