# SPDX-License-Identifier: BSD-3-Clause
"""Complex numbers of arrays: made of two parts and taken apart. Graphs hold none.

Examples
--------
>>> import numpy as np
>>> from lstmfast import ops
>>> z = ops.view_as_complex([[3.0, 4.0], [0.0, -1.0]])
>>> ops.abs(z * z)
array([25.,  1.], dtype=float32)
>>> ops.view_as_real(z)[0]
array([3., 4.], dtype=float32)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..symbolic import is_symbolic
from .rules import as_array, as_floats

__all__ = ["polar", "view_as_complex", "view_as_real"]

Array = npt.NDArray[Any]


def of_arrays(name: str, *given: Any) -> None:
    if is_symbolic(list(given)):
        raise ValueError(
            f"{name} works on arrays: a graph holds no complex numbers, so it cannot be given symbolic tensors; keep the "
            "real and imaginary parts apart"
        )


def polar(abs_: Any, angle: Any) -> Array:
    """Complex numbers, complex64, of these sizes and angles in radians; of arrays."""
    of_arrays("polar", abs_, angle)
    size, turn = as_floats(as_array(abs_)), as_floats(as_array(angle))
    return np.asarray(size * np.exp(1j * turn)).astype(np.complex64)


def view_as_complex(x: Any) -> Array:
    """Complex numbers, complex64, whose real and imaginary parts are along the last axis; of arrays."""
    of_arrays("view_as_complex", x)
    parts = as_floats(as_array(x))
    if parts.ndim < 1 or parts.shape[-1] != 2:
        raise ValueError(
            f"Last dimension of input must be size 2 (real and imaginary). Received shape: {parts.shape}"
        )
    return np.asarray(parts[..., 0] + 1j * parts[..., 1]).astype(np.complex64)


def view_as_real(x: Any) -> Array:
    """Real and imaginary parts along a new last axis; of arrays."""
    of_arrays("view_as_real", x)
    whole = as_array(x, True)
    return np.stack((np.real(whole), np.imag(whole)), axis=-1)
