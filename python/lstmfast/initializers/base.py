# SPDX-License-Identifier: BSD-3-Clause
"""What all initializers share, and those that give fixed values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "Constant", "Identity", "Initializer", "Ones", "Shape", "Zeros", "as_shape"]

Array = npt.NDArray[Any]
Shape = Sequence[int]
Self = TypeVar("Self", bound="Initializer")


def as_shape(shape: Shape) -> tuple[int, ...]:
    return tuple(int(n) for n in shape)


class Initializer:
    """Base of all initializers. A subclass writes ``__call__(shape, dtype=None)`` and `get_config`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.initializers import Initializer
    >>> class Ramp(Initializer):
    ...     def __call__(self, shape, dtype=None):
    ...         return np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    ...     def get_config(self):
    ...         return {}
    >>> Ramp()((3,))
    array([0. , 0.5, 1. ], dtype=float32)
    """

    def __call__(self, shape: Shape, dtype: npt.DTypeLike | None = None) -> Array:
        raise NotImplementedError("Initializer subclasses must implement the `__call__()` method.")

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls: type[Self], config: Mapping[str, Any]) -> Self:
        return cls(**config)

    def clone(self: Self) -> Self:
        """A new initializer with the same configuration."""
        return self.from_config(self.get_config())


class Zeros(Initializer):
    """All 0."""

    def __call__(self, shape: Shape, dtype: npt.DTypeLike | None = None) -> Array:
        return np.zeros(as_shape(shape), dtype or np.float32)


class Ones(Initializer):
    """All 1."""

    def __call__(self, shape: Shape, dtype: npt.DTypeLike | None = None) -> Array:
        return np.ones(as_shape(shape), dtype or np.float32)


class Constant(Initializer):
    """One value everywhere, or an array that broadcasts to the shape.

    Parameters
    ----------
    value : float or array_like

    Examples
    --------
    >>> from lstmfast.initializers import Constant
    >>> Constant(2.0)((2, 2))
    array([[2., 2.],
           [2., 2.]], dtype=float32)
    """

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Shape, dtype: npt.DTypeLike | None = None) -> Array:
        return np.broadcast_to(np.asarray(self.value, dtype or np.float32), as_shape(shape)).copy()

    def get_config(self) -> dict[str, Any]:
        from ..saving.registry import serialize_keras_object

        return {"value": serialize_keras_object(self.value)}

    @classmethod
    def from_config(cls: type[Self], config: Mapping[str, Any]) -> Self:
        from ..saving.registry import deserialize_keras_object

        return cls(deserialize_keras_object(config["value"]))  # type: ignore[call-arg]


class Identity(Initializer):
    """The identity matrix times `gain`; for two dimensions.

    Parameters
    ----------
    gain : float

    Examples
    --------
    >>> from lstmfast.initializers import Identity
    >>> Identity(gain=0.5)((2, 2))
    array([[0.5, 0. ],
           [0. , 0.5]], dtype=float32)
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Shape, dtype: npt.DTypeLike | None = None) -> Array:
        shape = as_shape(shape)
        if len(shape) != 2:
            raise ValueError(
                f"Identity matrix initializer can only be used for 2D matrices. Received: shape={shape} of "
                f"rank {len(shape)}."
            )
        return (self.gain * np.eye(*shape)).astype(dtype or np.float32)

    def get_config(self) -> dict[str, Any]:
        # Keras 3.15 forgets the gain here; with it a reloaded configuration means the same.
        return {"gain": self.gain} if self.gain != 1.0 else {}
