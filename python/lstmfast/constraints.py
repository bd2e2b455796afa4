# SPDX-License-Identifier: BSD-3-Clause
"""Projections that keep weights where they should be after each step: Keras 3's constraints."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm", "deserialize", "get", "serialize"]

Array = npt.NDArray[Any]
_EPSILON = 1e-7


class Constraint:
    """Base class: ``constraint(w)`` returns the nearest allowed array of the same shape.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.constraints import Constraint
    >>> class AtMostOne(Constraint):
    ...     def __call__(self, w):
    ...         return np.minimum(w, 1)
    >>> AtMostOne()(np.array([0.5, 2.0]))
    array([0.5, 1. ])
    """

    def __call__(self, w: Array) -> Array:
        """The weights as they may be: here, as they are."""
        return w

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Constraint:
        return cls(**config)


def _norms(w: Array, axis: Any) -> Array:
    return np.asarray(np.sqrt(np.sum(np.square(w), axis=axis, keepdims=True)))


def _axis(axis: Any) -> Any:
    return tuple(axis) if isinstance(axis, list) else axis


class NonNeg(Constraint):
    """No negative weights.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.constraints import NonNeg
    >>> NonNeg()(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    def __call__(self, w: Array) -> Array:
        return np.maximum(w, 0)


class MaxNorm(Constraint):
    """Norm of the weights into each unit at most `max_value` (Srivastava et al. 2014).

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.constraints import MaxNorm
    >>> MaxNorm(1.0)(np.array([[3.0, 0.3], [4.0, 0.4]])).round(3)  # columns of norm 5 and 0.5
    array([[0.6, 0.3],
           [0.8, 0.4]])
    """

    def __init__(self, max_value: float = 2, axis: Any = 0) -> None:
        self.max_value, self.axis = max_value, axis

    def __call__(self, w: Array) -> Array:
        norms = _norms(w, _axis(self.axis))
        return np.asarray(w * (np.clip(norms, 0, self.max_value) / (_EPSILON + norms)))

    def get_config(self) -> dict[str, Any]:
        return {"max_value": self.max_value, "axis": self.axis}


class UnitNorm(Constraint):
    """Norm of the weights into each unit equal to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.constraints import UnitNorm
    >>> UnitNorm()(np.array([[3.0], [4.0]])).round(3)
    array([[0.6],
           [0.8]])
    """

    def __init__(self, axis: Any = 0) -> None:
        self.axis = axis

    def __call__(self, w: Array) -> Array:
        return np.asarray(w / (_EPSILON + _norms(w, _axis(self.axis))))

    def get_config(self) -> dict[str, Any]:
        return {"axis": self.axis}


class MinMaxNorm(Constraint):
    """Norm of the weights into each unit drawn towards [min_value, max_value], at once with ``rate=1``.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.constraints import MinMaxNorm
    >>> MinMaxNorm(1.0, 2.0)(np.array([[0.3, 3.0], [0.4, 4.0]])).round(3)  # columns of norm 0.5 and 5
    array([[0.6, 1.2],
           [0.8, 1.6]])
    """

    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Any = 0
    ) -> None:
        self.min_value, self.max_value, self.rate, self.axis = min_value, max_value, rate, axis

    def __call__(self, w: Array) -> Array:
        norms = _norms(w, _axis(self.axis))
        wanted = self.rate * np.clip(norms, self.min_value, self.max_value) + (1 - self.rate) * norms
        return np.asarray(w * (wanted / (_EPSILON + norms)))

    def get_config(self) -> dict[str, Any]:
        return {
            "min_value": self.min_value,
            "max_value": self.max_value,
            "rate": self.rate,
            "axis": self.axis,
        }


max_norm, min_max_norm, non_neg, unit_norm = MaxNorm, MinMaxNorm, NonNeg, UnitNorm

_BY_NAME: dict[str, type[Constraint]] = {
    "NonNeg": NonNeg, "MaxNorm": MaxNorm, "UnitNorm": UnitNorm, "MinMaxNorm": MinMaxNorm,
    "non_neg": NonNeg, "max_norm": MaxNorm, "unit_norm": UnitNorm, "min_max_norm": MinMaxNorm,
    "nonneg": NonNeg, "maxnorm": MaxNorm, "unitnorm": UnitNorm, "minmaxnorm": MinMaxNorm,
}  # fmt: skip


def serialize(constraint: Constraint | None) -> Any:
    """The configuration of a constraint."""
    from .saving.registry import serialize_keras_object

    return serialize_keras_object(constraint)


def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """The constraint that a configuration describes."""
    from .saving.registry import deserialize_keras_object

    return deserialize_keras_object(config, custom_objects)


def get(identifier: Any) -> Any:
    """The constraint that a name, a configuration, a class or a callable stands for; None for None.

    Raises
    ------
    ValueError
        If nothing is called `identifier`.

    Examples
    --------
    >>> from lstmfast import constraints
    >>> type(constraints.get("non_neg")).__name__
    'NonNeg'
    """
    if identifier is None:
        return None
    if isinstance(identifier, str):
        if identifier in _BY_NAME:
            return _BY_NAME[identifier]()
        raise ValueError(
            f"constraint: nothing is called {identifier!r}; known: {', '.join(sorted(_BY_NAME))}"
        )
    if isinstance(identifier, dict):
        identifier = deserialize(identifier)
    if isinstance(identifier, type):
        identifier = identifier()
    if callable(identifier):
        return identifier
    raise ValueError(f"constraint: expected a name, a config, a Constraint or a callable, got {identifier!r}")
