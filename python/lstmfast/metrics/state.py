# SPDX-License-Identifier: BSD-3-Clause
"""The state of metrics as variables, for those who save it, look at it, or keep it themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["StateVariable"]

Array = npt.NDArray[Any]


class StateVariable:
    """A number or an array that a metric keeps in an attribute, with the interface of a `Variable`.

    Parameters
    ----------
    metric : Metric
    name : str
    attribute : str
        Of the metric; "counts.tp" is one inside another.
    """

    __slots__ = ("_attribute", "_metric", "_outer", "name", "path")

    trainable = False

    def __init__(self, metric: Any, name: str, attribute: str) -> None:
        self._metric = metric
        *self._outer, self._attribute = attribute.split(".")
        self.name = name
        self.path = f"{metric.name}/{name}"

    @property
    def _owner(self) -> Any:
        owner = self._metric
        for part in self._outer:
            owner = getattr(owner, part)
        return owner

    @property
    def value(self) -> Array:
        """A float32 copy of the state."""
        return np.array(getattr(self._owner, self._attribute), np.float32)

    def numpy(self) -> Array:
        """`value`."""
        return self.value

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(getattr(self._owner, self._attribute))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> str:
        return "float32"

    def assign(self, value: npt.ArrayLike) -> None:
        """Set the state; ValueError if the shape differs."""
        array = np.array(value, np.float64)
        if array.shape != self.shape:
            raise ValueError(
                f"value of variable {self.path!r} must have shape {self.shape}, got {array.shape}"
            )
        number = type(getattr(self._owner, self._attribute)) in (int, float)
        setattr(self._owner, self._attribute, float(array) if number else array)

    def assign_add(self, value: npt.ArrayLike) -> None:
        """Add to the state."""
        self.assign(self.value + np.asarray(value))

    def assign_sub(self, value: npt.ArrayLike) -> None:
        """Subtract from the state."""
        self.assign(self.value - np.asarray(value))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self.value if dtype is None else self.value.astype(dtype)

    def __float__(self) -> float:
        return float(self.value)

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype=float32>"


def tracked(owner: Any, classes: tuple[type, ...]) -> Iterator[Any]:
    """Attributes of these classes, also in lists, tuples and dicts, in the order in which they were set."""
    for name, value in vars(owner).items():
        if name != "_variables":
            yield from _leaves(value, classes)


def _leaves(value: Any, classes: tuple[type, ...]) -> Iterator[Any]:
    if isinstance(value, classes):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item, classes)


@contextmanager
def swapped(metric: Any, values: Sequence[Any] | None = None) -> Iterator[list[Any]]:
    """The metric's variables, with these values while the block runs and the old ones again behind it."""
    variables = metric.variables
    if values is not None and len(values) != len(variables):
        raise ValueError(
            f"Argument `metric_variables` must be a list of arrays corresponding 1:1 to {metric.name}.variables. "
            f"Received list with length {len(values)}, but expected {len(variables)} variables."
        )
    before = [v.numpy() for v in variables]
    try:
        for variable, value in zip(variables, values or (), strict=False):
            variable.assign(np.asarray(value))
        yield variables
    finally:
        for variable, old in zip(variables, before, strict=True):
            variable.assign(old)
