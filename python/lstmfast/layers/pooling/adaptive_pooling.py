# SPDX-License-Identifier: BSD-3-Clause
"""Pooling over time to a given number of steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments import is_integer
from ..base import Layer
from ..call import Call
from ..frozen import FrozenLayer
from ..input_spec import InputSpec

__all__ = ["AdaptiveAveragePooling1D", "AdaptiveMaxPooling1D"]

Array = npt.NDArray[Any]


class _AdaptivePooling1D(Layer):
    """Pooling to `output_size` steps; what a window gives is the subclass's."""

    pooling: str  # its native name

    def __init__(self, output_size: Any, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not is_integer(output_size) and not isinstance(output_size, (tuple, list)):
            raise TypeError(
                f"`output_size` must be an integer or tuple of 1 integer. Received: {output_size} of type "
                f"{type(output_size)}"
            )
        sizes = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,)
        if len(sizes) != 1:
            raise ValueError(f"For 1D input, `output_size` tuple must have length 1. Received: {output_size}")
        if not is_integer(sizes[0]) or sizes[0] < 1:
            raise ValueError(f"`output_size` must be a positive integer. Received: {output_size}")
        if data_format not in (None, "channels_last", "channels_first"):
            raise ValueError(
                f"Invalid data_format: {data_format}. Expected 'channels_first' or 'channels_last'."
            )
        self.output_size = (int(sizes[0]),)
        self.data_format = data_format or "channels_last"
        self.input_spec = InputSpec(ndim=3)
        self._build_at_init()

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self.data_format == "channels_first":
            return (input_shape[0], input_shape[1], *self.output_size)
        return (input_shape[0], *self.output_size, input_shape[2])

    def output_lengths(self, lengths: Array | None) -> Array | None:
        if lengths is None or self.data_format == "channels_first":
            return None
        return np.where(lengths > 0, self.output_size[0], 0).astype(np.int32)

    def _windows(self, x: Array, call: Call) -> Iterator[tuple[Any, int, slice]]:
        """Rows of one length, the number of a window and its steps, for all windows."""
        count, time = self.output_size[0], x.shape[1]
        lengths = None if self.data_format == "channels_first" else call.lengths
        groups: Any = [(slice(None), time)]
        if lengths is not None:
            groups = [(np.flatnonzero(lengths == n), int(n)) for n in np.unique(lengths) if n > 0]
        for rows, steps in groups:
            for window in range(count):
                yield rows, window, slice(window * steps // count, -(-(window + 1) * steps // count))

    def forward(self, x: Array, call: Call) -> Array:
        first = self.data_format == "channels_first"
        if first:
            x = np.ascontiguousarray(np.moveaxis(x, 1, 2))
        y = np.zeros((len(x), self.output_size[0], x.shape[2]), np.float32)
        for rows, window, steps in self._windows(x, call):
            y[rows, window] = self.pool(x[rows, steps])
        if call.save:
            call.saved = x
        return np.ascontiguousarray(np.moveaxis(y, 2, 1)) if first else y

    def backward(self, dy: Array, call: Call) -> Array:
        x = call.saved
        first = self.data_format == "channels_first"
        if first:
            dy = np.moveaxis(dy, 1, 2)
        dx = np.zeros(x.shape, np.float32)
        for rows, window, steps in self._windows(x, call):
            dx[rows, steps] += self.spread(dy[rows, window], x[rows, steps])
        return np.ascontiguousarray(np.moveaxis(dx, 2, 1)) if first else dx

    def frozen(self) -> FrozenLayer:
        if self.data_format == "channels_first":
            raise ValueError(f"layer {self.name!r} cannot be frozen: data_format is 'channels_first'")
        arguments = {"pool": self.pooling, "windows": self.output_size[0]}
        return FrozenLayer("adaptive_pooling", arguments, "it needs all time steps at once")

    def pool(self, x: Array) -> Array:
        """What windows (B, n, F) give."""
        raise NotImplementedError

    def spread(self, dy: Array, x: Array) -> Array:
        """The gradient of windows, or what broadcasts to it."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "output_size": self.output_size, "data_format": self.data_format}


class AdaptiveAveragePooling1D(_AdaptivePooling1D):
    """The means of `output_size` windows over the whole sequence.

    Parameters
    ----------
    output_size : int
        Steps of the output, whatever the input has.
    data_format : {"channels_last", "channels_first"}, optional
        Whether time is axis 1 or axis 2.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input (batch, time, features), output (batch, output_size, features). Window i covers the steps from
    ``floor(i * time / output_size)`` to before ``ceil((i + 1) * time / output_size)``, as in Keras. A mask ends here.
    With `lengths` each row is pooled as if it stood alone.

    Raises
    ------
    TypeError
        If `output_size` is no integer.
    ValueError
        If it is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import AdaptiveAveragePooling1D
    >>> AdaptiveAveragePooling1D(2)(np.array([[[1.0], [3.0], [2.0], [0.0]]]))[0, :, 0]
    array([2., 1.], dtype=float32)
    """

    pooling = "average"

    def pool(self, x: Array) -> Array:
        means: Array = x.mean(axis=1, dtype=np.float32)
        return means

    def spread(self, dy: Array, x: Array) -> Array:
        return (dy / np.float32(x.shape[1]))[:, None]


class AdaptiveMaxPooling1D(_AdaptivePooling1D):
    """The greatest values of `output_size` windows over the whole sequence.

    Parameters
    ----------
    output_size, data_format, **kwargs
        As in `AdaptiveAveragePooling1D`, as are windows, masks, lengths and errors.

    Notes
    -----
    Of equal values the first gets the gradient.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import AdaptiveMaxPooling1D
    >>> AdaptiveMaxPooling1D(2)(np.array([[[1.0], [3.0], [2.0], [0.0]]]))[0, :, 0]
    array([3., 2.], dtype=float32)
    """

    pooling = "max"

    def pool(self, x: Array) -> Array:
        greatest: Array = x.max(axis=1)
        return greatest

    def spread(self, dy: Array, x: Array) -> Array:
        dx = np.zeros(x.shape, np.float32)
        np.put_along_axis(dx, x.argmax(axis=1)[:, None], dy[:, None], axis=1)
        return dx
