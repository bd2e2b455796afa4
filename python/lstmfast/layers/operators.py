# SPDX-License-Identifier: BSD-3-Clause
"""What ``x + y``, ``x - y`` and ``x * y`` of symbolic tensors add to a graph: Keras's operations of these names.

They differ from the layers of the same names: their two inputs are two arguments, and masks end with them.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from ..symbolic import KerasTensor
from . import merging
from .base import Layer
from .call import Call
from .merging_base import Merge

__all__ = ["Add", "Multiply", "Subtract", "apply"]

Array = npt.NDArray[Any]


class _Operator(Merge):
    """The part that makes an operation of a merge layer."""

    supports_masking = False
    is_operation = True

    def __call__(self, inputs: Any, other: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        return super().__call__(inputs if other is None else [inputs, other], **kwargs)

    def check_shapes(self, shapes: Any) -> None:
        super().check_shapes(shapes)
        if len(shapes) != 2 or len(shapes[0]) != len(shapes[1]):
            raise ValueError(
                f"{type(self).__name__} of symbolic tensors needs two with the same number of axes (the first is "
                f"the batch), got shapes {[tuple(shape) for shape in shapes]}"
            )

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None

    def forward(self, x: list[Array], call: Call) -> Array:
        call.mask = None
        return super().forward(x, call)

    def graph_arguments(self, inputs: Any, kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        return list(inputs), kwargs

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}

    def get_build_config(self) -> None:
        """Nothing: Keras does not build operations."""


class Add(_Operator, merging.Add):
    """``x + y`` in a graph."""


class Subtract(_Operator, merging.Subtract):
    """``x - y`` in a graph."""


class Multiply(_Operator, merging.Multiply):
    """``x * y`` in a graph."""


_BY_SIGN: dict[str, type[Layer]] = {"+": Add, "-": Subtract, "*": Multiply}


def apply(sign: str, x: KerasTensor, y: Any) -> Any:
    """The symbolic result, or NotImplemented if `y` is no symbolic tensor."""
    if not isinstance(y, KerasTensor):
        return NotImplemented
    return _BY_SIGN[sign]()([x, y])
