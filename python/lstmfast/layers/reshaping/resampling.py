# SPDX-License-Identifier: BSD-3-Clause
"""Layers that cut, lengthen or stretch the time axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments import data_format_of, integer_tuple, is_integer
from ..arrays import clear_padding
from ..base import Layer
from ..call import Call
from ..frozen import FrozenLayer
from ..input_spec import InputSpec

__all__ = ["Cropping1D", "UpSampling1D", "ZeroPadding1D"]

Array = npt.NDArray[Any]


def _resampled(times: int = 1, before: int = 0, behind: int = 0) -> FrozenLayer:
    arguments = {"times": times, "before": before, "behind": behind}
    return FrozenLayer("resample", arguments, "it makes another time axis")


class Cropping1D(Layer):
    """Leaves out time steps at the start and at the end.

    Parameters
    ----------
    cropping : int or (int, int)
        Steps to leave out at the start and at the end.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input (batch, time, features). A mask ends here, as in Keras. With `lengths` a row's end is where it is in the
    padded array: what is left of a row is what lies between the two cuts.

    Raises
    ------
    ValueError
        If `cropping` is not one or two integers from 0 on, or no step would be left.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Cropping1D
    >>> Cropping1D((1, 2))(np.zeros((2, 7, 3))).shape
    (2, 4, 3)
    """

    def __init__(self, cropping: Any = (1, 1), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cropping = integer_tuple(cropping, 2, "cropping", allow_zero=True)
        self.input_spec = InputSpec(ndim=3)

    def compute_output_shape(self, input_shape: Any) -> Any:
        time = input_shape[1]
        if time is not None:
            time -= sum(self.cropping)
            if time <= 0:
                raise ValueError(
                    "`cropping` parameter of `Cropping1D` layer must be smaller than the input length. "
                    f"Received: input_shape={tuple(input_shape)}, cropping={self.cropping}"
                )
        return (input_shape[0], time, input_shape[2])

    def forward(self, x: Array, call: Call) -> Array:
        time = self.compute_output_shape(x.shape)[1]
        start = self.cropping[0]
        call.saved = x.shape
        if call.lengths is not None:
            call.output_lengths = np.clip(call.lengths - start, 0, time).astype(np.int32)
        return np.ascontiguousarray(x[:, start : start + time])

    def backward(self, dy: Array, call: Call) -> Array:
        dx = np.zeros(call.saved, np.float32)
        dx[:, self.cropping[0] : self.cropping[0] + dy.shape[1]] = dy
        return dx

    def frozen(self) -> FrozenLayer:
        return _resampled(before=-self.cropping[0], behind=-self.cropping[1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cropping": self.cropping}


class ZeroPadding1D(Layer):
    """Adds time steps of zeros at the start and at the end.

    Parameters
    ----------
    padding : int or (int, int)
        Steps to add at the start and at the end.
    data_format : {"channels_last", "channels_first"}, optional
        Whether time is axis 1 or axis 2.
    **kwargs
        See `Layer`.

    Notes
    -----
    A mask ends here, as in Keras. With `lengths` each row gets its zeros at its own end, as if it stood alone;
    with "channels_first" there is no time axis that they could count, and they end here.

    Raises
    ------
    ValueError
        If `padding` is not one or two integers from 0 on.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import ZeroPadding1D
    >>> ZeroPadding1D((1, 0))(np.ones((1, 2, 1)))[0, :, 0]
    array([0., 1., 1.], dtype=float32)
    """

    def __init__(self, padding: Any = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = data_format_of(data_format)
        self.padding = integer_tuple(padding, 2, "padding", allow_zero=True)
        self.input_spec = InputSpec(ndim=3)
        self._axis = 1 if self.data_format == "channels_last" else 2

    def compute_output_shape(self, input_shape: Any) -> Any:
        shape = list(input_shape)
        if shape[self._axis] is not None:
            shape[self._axis] += sum(self.padding)
        return tuple(shape)

    def output_lengths(self, lengths: Array | None) -> Array | None:
        if lengths is None or self._axis != 1:
            return None
        return lengths + np.int32(sum(self.padding))

    def forward(self, x: Array, call: Call) -> Array:
        if self._axis == 1:
            x = clear_padding(x, call.lengths)
        y = np.zeros(self.compute_output_shape(x.shape), np.float32)
        y[self._inner(x.shape)] = x
        call.saved = x.shape
        return y

    def _inner(self, shape: tuple[int, ...]) -> tuple[slice, ...]:
        inner = slice(self.padding[0], self.padding[0] + shape[self._axis])
        return (slice(None),) * self._axis + (inner,)

    def backward(self, dy: Array, call: Call) -> Array:
        dx = np.ascontiguousarray(dy[self._inner(call.saved)])
        return clear_padding(dx, call.lengths) if self._axis == 1 else dx

    def frozen(self) -> FrozenLayer:
        if self._axis != 1:
            raise ValueError(f"layer {self.name!r} cannot be frozen: data_format is 'channels_first'")
        return _resampled(before=self.padding[0], behind=self.padding[1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "padding": self.padding, "data_format": self.data_format}


class UpSampling1D(Layer):
    """Each time step `size` times.

    Parameters
    ----------
    size : int
    **kwargs
        See `Layer`.

    Notes
    -----
    Input (batch, time, features), output (batch, size * time, features). A mask ends here, as in Keras; `lengths`
    grow with the time axis.

    Raises
    ------
    TypeError
        If `size` is not an integer.
    ValueError
        If it is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import UpSampling1D
    >>> UpSampling1D(2)(np.array([[[1.0], [2.0]]]))[0, :, 0]
    array([1., 1., 2., 2.], dtype=float32)
    """

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not is_integer(size):
            raise TypeError(f"Expected an integer value for `size`, got {type(size)}.")
        if size <= 0:
            raise ValueError(f"Argument `size` should be a positive integer. Received: size={size}")
        self.size = int(size)
        self.input_spec = InputSpec(ndim=3)

    def compute_output_shape(self, input_shape: Any) -> Any:
        time = input_shape[1]
        return (input_shape[0], None if time is None else time * self.size, input_shape[2])

    def output_lengths(self, lengths: Array | None) -> Array | None:
        return None if lengths is None else lengths * np.int32(self.size)

    def forward(self, x: Array, call: Call) -> Array:
        return np.repeat(x, self.size, axis=1)

    def backward(self, dy: Array, call: Call) -> Array:
        batch, time, width = dy.shape
        return np.asarray(dy.reshape(batch, time // self.size, self.size, width).sum(axis=2))

    def frozen(self) -> FrozenLayer:
        return _resampled(times=self.size)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}
