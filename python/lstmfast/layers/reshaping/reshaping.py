# SPDX-License-Identifier: BSD-3-Clause
"""Layers that move axes, or give them other sizes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ...symbolic import KerasTensor, Node
from ..arguments import data_format_of, is_integer
from ..base import Layer
from ..call import Call
from ..frozen import FrozenGraph, FrozenLayer
from ..input_spec import InputSpec

__all__ = ["Flatten", "Permute", "RepeatVector", "Reshape"]

Array = npt.NDArray[Any]


def _native_shape(steps: int, width: int) -> FrozenLayer:
    return FrozenLayer("reshape", {"steps": steps, "width": width}, "it needs all time steps at once")


class Flatten(Layer):
    """All axes behind the batch into one.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
        With "channels_first" axis 1 becomes the last before flattening.
    **kwargs
        See `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Flatten
    >>> Flatten()(np.zeros((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = data_format_of(data_format)
        self.input_spec = InputSpec(min_ndim=1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        rest = input_shape[1:]
        return (input_shape[0], None if None in rest else math.prod(rest))

    def output_lengths(self, lengths: Array | None) -> None:
        return None

    def forward(self, x: Array, call: Call) -> Array:
        if self.data_format == "channels_first" and x.ndim > 1:
            x = np.moveaxis(x, 1, -1)
        call.saved = x.shape
        return np.ascontiguousarray(x).reshape(len(x), math.prod(x.shape[1:]))

    def backward(self, dy: Array, call: Call) -> Array:
        dx = dy.reshape(call.saved)
        if self.data_format == "channels_first" and dx.ndim > 1:
            dx = np.ascontiguousarray(np.moveaxis(dx, -1, 1))
        return dx

    def frozen(self) -> FrozenLayer:
        if self.data_format == "channels_first":
            raise ValueError(f"layer {self.name!r} cannot be frozen: data_format is 'channels_first'")
        return _native_shape(0, -1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}


class Reshape(Layer):
    """The same numbers with other axes behind the batch.

    Parameters
    ----------
    target_shape : sequence of int
        Shape without the batch; one -1 stands for what is left.
    **kwargs
        See `Layer`.

    Notes
    -----
    A mask ends here, as in Keras. `lengths` go on where axis 1 keeps its size.

    Raises
    ------
    TypeError
        If `target_shape` is not a sequence.
    ValueError
        If it has entries that are not integers from -1 on, or more than one -1; or if the sizes do not agree
        with the input's.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Reshape
    >>> Reshape((3, -1))(np.zeros((2, 12))).shape
    (2, 3, 4)
    """

    def __init__(self, target_shape: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        target = tuple(target_shape)
        if any(not is_integer(n) or n < -1 for n in target):
            raise ValueError(
                "Each dimension in `target_shape` must be a non-negative integer, or `-1` for a single unknown "
                f"dimension. Received: target_shape={target}"
            )
        if target.count(-1) > 1:
            raise ValueError(
                "There must be at most one unknown dimension (-1) in `target_shape`. Received: "
                f"target_shape={target}"
            )
        self.target_shape = tuple(int(n) for n in target)
        self._build_at_init()

    def compute_output_shape(self, input_shape: Any) -> Any:
        target, rest = self.target_shape, tuple(input_shape[1:])
        if None in rest:
            return (input_shape[0], *(None if n == -1 else n for n in target))
        size, known = math.prod(rest), math.prod(n for n in target if n != -1)
        fits = known > 0 and size % known == 0 if -1 in target else size == known
        if not fits:
            raise ValueError(
                f"The total size of the tensor must be unchanged. Received: input_shape={rest}, "
                f"target_shape={target} (layer {self.name!r})"
            )
        return (input_shape[0], *(size // known if n == -1 else n for n in target))

    def output_lengths(self, lengths: Array | None) -> None:
        return None

    def forward(self, x: Array, call: Call) -> Array:
        call.saved = x.shape
        y = np.ascontiguousarray(x).reshape(self.compute_output_shape(x.shape))
        if y.shape[1:2] == x.shape[1:2]:
            call.output_lengths = call.lengths
        return y

    def backward(self, dy: Array, call: Call) -> Array:
        return np.ascontiguousarray(dy).reshape(call.saved)

    def frozen_call(self, node: Node, inputs: list[Any]) -> FrozenLayer | FrozenGraph | None:
        if not isinstance(inputs[0], KerasTensor):
            return super().frozen_call(node, inputs)
        rest, target = inputs[0].shape[1:], self.target_shape
        if target == rest:
            return None
        if len(rest) > 2 or not 1 <= len(target) <= 2 or 0 in target:
            raise ValueError(
                f"layer {self.name!r} cannot be frozen: only a Reshape between one axis and two has a native form"
            )
        return _native_shape(*(0, *target)[-2:])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "target_shape": self.target_shape}


class Permute(Layer):
    """The axes behind the batch in another order.

    Parameters
    ----------
    dims : sequence of int
        Axes of the input, counted from 1, in the order of the output.
    **kwargs
        See `Layer`.

    Notes
    -----
    A mask ends here, as in Keras. `lengths` go on where axis 1 stays.

    Raises
    ------
    ValueError
        If `dims` is no permutation of 1, 2..., or the input has another number of axes.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Permute
    >>> Permute((2, 1))(np.zeros((2, 3, 4))).shape
    (2, 4, 3)
    """

    def __init__(self, dims: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if any(not is_integer(d) for d in self.dims) or sorted(self.dims) != list(
            range(1, len(self.dims) + 1)
        ):
            raise ValueError(
                "Invalid permutation argument `dims` for Permute Layer. The set of indices in `dims` must be "
                f"consecutive and start from 1. Received dims={dims}"
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], *(input_shape[d] for d in self.dims))

    def output_lengths(self, lengths: Array | None) -> Array | None:
        return lengths if self.dims[:1] == (1,) else None

    def forward(self, x: Array, call: Call) -> Array:
        return np.ascontiguousarray(x.transpose(0, *self.dims))

    def backward(self, dy: Array, call: Call) -> Array:
        return np.ascontiguousarray(dy.transpose(np.argsort((0, *self.dims))))

    def frozen(self) -> FrozenLayer | None:
        if self.dims == tuple(range(1, len(self.dims) + 1)):
            return None
        if self.dims == (2, 1):
            return FrozenLayer("transpose", {}, "it needs all time steps at once")
        return super().frozen()

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dims": self.dims}


class RepeatVector(Layer):
    """The same vector at each of `n` time steps.

    Parameters
    ----------
    n : int
        Number of steps.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input (batch, features), output (batch, n, features).

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If it is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import RepeatVector
    >>> RepeatVector(3)(np.zeros((2, 4))).shape
    (2, 3, 4)
    """

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not is_integer(n):
            raise TypeError(f"Expected an integer value for `n`, got {type(n)}.")
        if n <= 0:
            raise ValueError(f"Argument `n` should be a positive integer. Received: n={n}")
        self.n = int(n)
        self.input_spec = InputSpec(ndim=2)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.n, input_shape[1])

    def output_lengths(self, lengths: Array | None) -> None:
        return None

    def forward(self, x: Array, call: Call) -> Array:
        return np.repeat(x[:, None], self.n, axis=1)

    def backward(self, dy: Array, call: Call) -> Array:
        return np.asarray(dy.sum(axis=1))

    def frozen(self) -> FrozenLayer:
        return FrozenLayer("repeat", {"steps": self.n}, "it makes another time axis")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n": self.n}
