# SPDX-License-Identifier: BSD-3-Clause
"""Pooling over time, in windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments import data_format_of, integer_tuple, padding_of, same_padding
from ..arrays import within_lengths
from ..base import Layer
from ..call import Call
from ..frozen import FrozenLayer
from ..input_spec import InputSpec

__all__ = ["AveragePooling1D", "AvgPool1D", "MaxPool1D", "MaxPooling1D"]

Array = npt.NDArray[Any]


class _Windows:
    """Where windows lie over some rows that start at the same place.

    Window t covers the steps ``t * stride - left`` to ``t * stride - left + size - 1``, as far as they exist.
    """

    def __init__(self, time: int, outputs: int, size: int, stride: int, left: int) -> None:
        self.time, self.outputs, self.size, self.stride, self.left = time, outputs, size, stride, left

    def places(self) -> Iterator[tuple[int, slice, slice]]:
        """For each place in a window: its number, the windows whose place exists, and the steps there."""
        for place in range(self.size):
            shift = place - self.left
            first = max(0, -(shift // self.stride))
            last = min(self.outputs, (self.time - 1 - shift) // self.stride + 1)
            if first < last:
                start = first * self.stride + shift
                stop = (last - 1) * self.stride + shift + 1
                yield place, slice(first, last), slice(start, stop, self.stride)


class _Pooling1D(Layer):
    """Pooling in windows; what a window gives is the subclass's."""

    def __init__(
        self,
        pool_size: Any,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.pool_size = integer_tuple(pool_size, 1, "pool_size")
        self.strides = integer_tuple(pool_size if strides is None else strides, 1, "strides")
        self.padding = padding_of(padding)
        self.data_format = data_format_of(data_format)
        self.input_spec = InputSpec(ndim=3)
        self._build_at_init()

    def _outputs(self, time: Any) -> Any:
        """Number of windows of sequences of these lengths (an integer or an array)."""
        size, stride = self.pool_size[0], self.strides[0]
        if self.padding == "same":
            return (time - 1) // stride + 1
        return (time - size) // stride + 1

    def compute_output_shape(self, input_shape: Any) -> Any:
        axis = 1 if self.data_format == "channels_last" else 2
        shape: list[Any] = list(input_shape)
        if shape[axis] is not None:
            shape[axis] = self._outputs(shape[axis])
            if shape[axis] <= 0:
                raise ValueError(
                    f"Computed output size would be zero or negative. Received: inputs.shape={tuple(input_shape)}, "
                    f"pool_size={self.pool_size}, strides={self.strides}, padding={self.padding!r} (layer "
                    f"{self.name!r})"
                )
        return tuple(shape)

    def output_lengths(self, lengths: Array | None) -> Array | None:
        if lengths is None or self.data_format == "channels_first":
            return None
        counts: Array = np.maximum(self._outputs(lengths), 0).astype(np.int32)
        return counts

    def _left(self, time: Any) -> Any:
        if self.padding == "valid":
            return 0
        return same_padding(time, self.pool_size[0], self.strides[0])[0]

    def forward(self, x: Array, call: Call) -> Array:
        self.compute_output_shape(x.shape)
        first = self.data_format == "channels_first"
        if first:
            x = np.moveaxis(x, 1, 2)
        lengths = None if first else call.lengths
        batch, time, width = x.shape
        outputs = self._outputs(time)
        y = np.zeros((batch, outputs, width), np.float32)
        groups: list[Any] = []
        for rows, left in self._groups(lengths, batch, time):
            windows = _Windows(time, outputs, self.pool_size[0], self.strides[0], left)
            part = x[rows]
            inside = None
            if lengths is not None:
                inside = within_lengths(lengths[rows], time)[..., None]
                part = np.where(inside, part, np.float32(0))
            y[rows], kept = self.pool(part, windows, inside)
            groups.append((rows, windows, kept))
        if call.save:
            call.saved = (x.shape, groups)
        return np.ascontiguousarray(np.moveaxis(y, 1, 2)) if first else y

    def _groups(self, lengths: Array | None, batch: int, time: int) -> Iterator[tuple[Any, int]]:
        """Rows whose windows lie alike: with lengths the first window's place may depend on a row's own."""
        if lengths is None or self.padding == "valid" or self.strides[0] == 1:
            yield slice(None), self._left(time)
            return
        lefts = np.array([self._left(max(int(n), 1)) for n in lengths])
        for left in np.unique(lefts):
            yield np.flatnonzero(lefts == left), int(left)

    def backward(self, dy: Array, call: Call) -> Array:
        shape, groups = call.saved
        first = self.data_format == "channels_first"
        if first:
            dy = np.moveaxis(dy, 1, 2)
        dx = np.zeros(shape, np.float32)
        for rows, windows, kept in groups:
            part = np.zeros((len(dy[rows]), *shape[1:]), np.float32)
            self.spread(dy[rows], windows, kept, part)
            dx[rows] = part
        return np.ascontiguousarray(np.moveaxis(dx, 1, 2)) if first else dx

    def pool(self, x: Array, windows: _Windows, inside: Array | None) -> tuple[Array, Any]:
        """The output, and what `spread` needs; `inside` (B, T, 1) says which steps exist."""
        raise NotImplementedError

    def spread(self, dy: Array, windows: _Windows, kept: Any, dx: Array) -> None:
        """Adds the gradient to `dx`, zeros."""
        raise NotImplementedError

    def _frozen(self, pool: str) -> FrozenLayer:
        if self.data_format == "channels_first":
            raise ValueError(f"layer {self.name!r} cannot be frozen: data_format is 'channels_first'")
        arguments = {"pool": pool, "size": self.pool_size[0], "stride": self.strides[0]}
        same = self.padding == "same"
        return FrozenLayer("pooling", {**arguments, "same": same}, "it has no output for every step")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "padding": self.padding,
            "strides": self.strides,
            "data_format": self.data_format,
        }


class MaxPooling1D(_Pooling1D):
    """The greatest value of each window of time steps.

    Parameters
    ----------
    pool_size : int
        Steps of a window.
    strides : int, optional
        Steps from one window to the next; `pool_size` by default.
    padding : {"valid", "same"}
        Whole windows only, or ``ceil(time / strides)`` of them, those at the ends with fewer steps.
    data_format : {"channels_last", "channels_first"}, optional
        Whether time is axis 1 or axis 2.
    name : str, optional
    **kwargs
        See `Layer`.

    Notes
    -----
    Input (batch, time, features). A mask ends here, as in Keras. With `lengths` each row is pooled as if it stood
    alone. Of equal values the first gets the gradient.

    Raises
    ------
    ValueError
        If a size is not a positive integer, or the input is shorter than a window.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import MaxPooling1D
    >>> MaxPooling1D(2)(np.array([[[1.0], [3.0], [2.0], [0.0]]]))[0, :, 0]
    array([3., 2.], dtype=float32)
    """

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)

    def pool(self, x: Array, windows: _Windows, inside: Array | None) -> tuple[Array, Any]:
        if inside is not None:
            x = np.where(inside, x, np.float32(-np.inf))
        y = np.full((len(x), windows.outputs, x.shape[2]), -np.inf, np.float32)
        for _, outputs, steps in windows.places():
            part = y[:, outputs]
            np.maximum(part, x[:, steps], out=part)
        if inside is None:
            return y, (x, y)
        empty = np.isneginf(y)
        return np.where(empty, np.float32(0), y), (x, y)

    def spread(self, dy: Array, windows: _Windows, kept: Any, dx: Array) -> None:
        x, y = kept
        left = np.array(dy)  # what no place of the window has taken yet
        for _, outputs, steps in windows.places():
            part = left[:, outputs]
            taken = np.where(x[:, steps] == y[:, outputs], part, np.float32(0))
            dx[:, steps] += taken
            part -= taken

    def frozen(self) -> FrozenLayer:
        return self._frozen("max")


class AveragePooling1D(_Pooling1D):
    """The mean of each window of time steps.

    Parameters
    ----------
    pool_size, strides, padding, data_format, name, **kwargs
        As for `MaxPooling1D`, but `pool_size` has no default.

    Notes
    -----
    Input (batch, time, features). A mask ends here, as in Keras. With `lengths` each row is pooled as if it stood
    alone. The mean is over the steps that exist, as with Keras's TensorFlow and JAX backends; its PyTorch backend
    repeats the outermost step instead where the padding is not the same on both sides.

    Raises
    ------
    ValueError
        If a size is not a positive integer, or the input is shorter than a window.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import AveragePooling1D
    >>> AveragePooling1D(2)(np.array([[[1.0], [3.0], [2.0], [0.0]]]))[0, :, 0]
    array([2., 1.], dtype=float32)
    """

    def pool(self, x: Array, windows: _Windows, inside: Array | None) -> tuple[Array, Any]:
        y = np.zeros((len(x), windows.outputs, x.shape[2]), np.float32)
        count = np.zeros((1 if inside is None else len(x), windows.outputs, 1), np.float32)
        for _, outputs, steps in windows.places():
            y[:, outputs] += x[:, steps]
            count[:, outputs] += 1 if inside is None else inside[:, steps]
        share = 1 / np.maximum(count, np.float32(1))
        return y * share, (share, inside)

    def spread(self, dy: Array, windows: _Windows, kept: Any, dx: Array) -> None:
        share, inside = kept
        dy = dy * share
        for _, outputs, steps in windows.places():
            dx[:, steps] += dy[:, outputs]
        if inside is not None:
            dx *= inside

    def frozen(self) -> FrozenLayer:
        return self._frozen("average")


MaxPool1D, AvgPool1D = MaxPooling1D, AveragePooling1D
