# SPDX-License-Identifier: BSD-3-Clause
"""Penalties on weights: their value is added to the loss, their gradient to the weight's (Keras 3's
names)."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .utils.naming import to_snake_case
from .variables import is_traced

__all__ = [
    "L1",
    "L1L2",
    "L2",
    "OrthogonalRegularizer",
    "Regularizer",
    "deserialize",
    "get",
    "l1",
    "l1_l2",
    "l2",
    "orthogonal_regularizer",
    "serialize",
]

Array = npt.NDArray[Any]


class Regularizer:
    """Base of all regularizers. A subclass writes `__call__`, `gradient` and `get_config`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.regularizers import Regularizer
    >>> class Quartic(Regularizer):
    ...     def __call__(self, x):
    ...         return float((x**4).sum())
    ...     def gradient(self, x):
    ...         return 4 * x**3
    >>> Quartic()(np.array([1.0, 2.0])), Quartic().gradient(np.array([1.0, 2.0])).tolist()
    (17.0, [4.0, 32.0])
    """

    def __call__(self, x: Array) -> float:
        """The penalty for weights `x`."""
        return 0.0

    def gradient(self, x: Array) -> Array:
        """Its derivative by `x`, of the shape of `x`."""
        raise NotImplementedError(f"{type(self).__name__} does not implement gradient()")

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError(f"{self} does not implement get_config()")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Regularizer:
        return cls(**config)


class L1L2(Regularizer):
    """``l1 * sum(|x|) + l2 * sum(x**2)``.

    Parameters
    ----------
    l1, l2 : float
        Factors, at least 0.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.regularizers import L1L2
    >>> penalty = L1L2(l1=1.0, l2=0.5)
    >>> penalty(np.float32([1, -2]))
    5.5
    >>> penalty.gradient(np.float32([1, -2]))
    array([ 2., -3.], dtype=float32)
    """

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0) -> None:
        self.l1 = _factor(0.0 if l1 is None else l1, "l1")
        self.l2 = _factor(0.0 if l2 is None else l2, "l2")

    def __call__(self, x: Any) -> Any:
        if is_traced(x):
            from . import ops  # which are not loaded for nothing

            return self.l1 * ops.sum(ops.abs(x)) + self.l2 * ops.sum(ops.square(x))
        x = np.asarray(x)
        value = 0.0
        if self.l1:
            value += self.l1 * float(np.abs(x).sum())
        if self.l2:
            value += self.l2 * float(np.square(x).sum())
        return value

    def gradient(self, x: Array) -> Array:
        x = np.asarray(x)
        result: Array = np.multiply(x, x.dtype.type(2.0 * self.l2))
        if self.l1:
            result += np.sign(x) * x.dtype.type(self.l1)
        return result

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}


class L1(L1L2):
    """``l1 * sum(|x|)``.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.regularizers import L1
    >>> float(L1(0.5)(np.float32([1, -2])))
    1.5
    """

    def __init__(self, l1: float | None = 0.01) -> None:
        super().__init__(l1=0.01 if l1 is None else l1)

    def get_config(self) -> dict[str, Any]:
        return {"l1": float(np.float32(self.l1))}  # Keras keeps this one in float32


class L2(L1L2):
    """``l2 * sum(x**2)``.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.regularizers import L2
    >>> float(L2(0.5)(np.float32([1, -2])))
    2.5
    """

    def __init__(self, l2: float | None = 0.01) -> None:
        super().__init__(l2=0.01 if l2 is None else l2)

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """Pushes the rows (or columns) of a matrix apart: the mean absolute cosine between two of them, times
    `factor`.

    Parameters
    ----------
    factor : float
    mode : {"rows", "columns"}

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.regularizers import OrthogonalRegularizer
    >>> float(OrthogonalRegularizer(factor=1.0)(np.eye(3, dtype=np.float32)))
    0.0
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = _factor(factor, "factor")
        if mode not in ("rows", "columns"):
            raise ValueError(
                f'Invalid value for argument `mode`. Expected one of {{"rows", "columns"}}. Received: '
                f"mode={mode}"
            )
        self.mode = mode

    def _cosines(self, x: Array) -> tuple[Array, Array, Array, float]:
        x = np.asarray(x)
        if x.ndim != 2:
            raise ValueError(
                f"Inputs to OrthogonalRegularizer must have rank 2. Received: inputs.shape={x.shape}"
            )
        rows = x if self.mode == "rows" else x.T
        norms = np.maximum(np.sqrt(np.square(rows).sum(axis=1, keepdims=True)), 1e-6)
        units = rows / norms
        cosines = units @ units.T
        np.fill_diagonal(cosines, 0.0)
        return units, norms, cosines, len(rows) * (len(rows) - 1.0) / 2.0

    def __call__(self, x: Array) -> float:
        _, _, cosines, pairs = self._cosines(x)
        return self.factor * 0.5 * float(np.abs(cosines).sum()) / pairs

    def gradient(self, x: Array) -> Array:
        units, norms, cosines, pairs = self._cosines(x)
        d_units = np.sign(cosines) @ units * (self.factor / pairs)
        d_rows = (d_units - units * (d_units * units).sum(axis=1, keepdims=True)) / norms
        return np.ascontiguousarray(d_rows if self.mode == "rows" else d_rows.T, dtype=units.dtype)

    def get_config(self) -> dict[str, Any]:
        return {"factor": float(np.float32(self.factor)), "mode": self.mode}


def _factor(value: Any, name: str) -> float:
    if isinstance(value, (float, int, np.floating)) and math.isfinite(value) and value >= 0:
        return float(value)
    raise ValueError(
        f"Invalid value for argument {name}: expected a non-negative float. Received: {name}={value}"
    )


l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer

_CLASSES: dict[str, type[Regularizer]] = {}
for _cls in (Regularizer, L1, L2, L1L2, OrthogonalRegularizer):
    _CLASSES[_cls.__name__] = _CLASSES[to_snake_case(_cls.__name__)] = _cls
_CLASSES["l1_l2"] = L1L2


def serialize(regularizer: Any) -> Any:
    """Configuration of a regularizer, in Keras 3's dict form."""
    from .saving.registry import serialize_keras_object

    return serialize_keras_object(regularizer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The regularizer that a configuration describes."""
    from .saving.registry import deserialize_keras_object

    return deserialize_keras_object(config, custom_objects, module_objects=_CLASSES)


def get(identifier: Any) -> Callable[[Array], Any] | None:
    """A regularizer from a name, a configuration, a class or an object; None for None.

    Raises
    ------
    ValueError
        If `identifier` is none of these.

    Examples
    --------
    >>> from lstmfast import regularizers
    >>> regularizers.get({"class_name": "L2", "config": {"l2": 0.5}}).l2
    0.5
    >>> regularizers.get(None) is None
    True
    """
    if identifier is None:
        return None
    found = identifier
    if isinstance(identifier, dict):
        found = deserialize(identifier)
    elif isinstance(identifier, str):
        found = _CLASSES.get(identifier) or _custom(identifier)
    if callable(found):
        made: Any = found() if inspect.isclass(found) else found
        return made  # type: ignore[no-any-return]
    raise ValueError(f"Could not interpret regularizer identifier: {identifier}")


def _custom(name: str) -> Any:
    from .saving.registry import get_registered_object

    return get_registered_object(name)
