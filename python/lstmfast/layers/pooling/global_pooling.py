# SPDX-License-Identifier: BSD-3-Clause
"""Pooling of whole sequences."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..arguments import data_format_of
from ..arrays import checked_mask, clear_padding, within_lengths
from ..base import Layer
from ..call import Call
from ..frozen import FrozenLayer
from ..input_spec import InputSpec

__all__ = ["GlobalAveragePooling1D", "GlobalAvgPool1D", "GlobalMaxPool1D", "GlobalMaxPooling1D"]

Array = npt.NDArray[Any]


class _GlobalPooling1D(Layer):
    """Pooling of whole sequences; what of a sequence is left is the subclass's."""

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format, self.keepdims = data_format_of(data_format), keepdims
        self.input_spec = InputSpec(ndim=3)
        self._build_at_init()
        self._axis = 1 if self.data_format == "channels_last" else 2

    def compute_output_shape(self, input_shape: Any) -> Any:
        shape = list(input_shape)
        if self.keepdims:
            shape[self._axis] = 1
        else:
            del shape[self._axis]
        return tuple(shape)

    def output_lengths(self, lengths: Array | None) -> None:
        return None

    def _lengths(self, call: Call) -> Array | None:
        return call.lengths if self._axis == 1 else None

    def _frozen(self, pool: str) -> FrozenLayer:
        if self.data_format == "channels_first":
            raise ValueError(f"layer {self.name!r} cannot be frozen: data_format is 'channels_first'")
        arguments = {"pool": pool, "keepdims": bool(self.keepdims)}
        return FrozenLayer("global_pooling", arguments, "it needs all time steps at once")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format, "keepdims": self.keepdims}


class GlobalMaxPooling1D(_GlobalPooling1D):
    """The greatest value of each feature over time.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
        Whether time is axis 1 or axis 2.
    keepdims : bool
        Keep the time axis, with size 1.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input (batch, time, features), output (batch, features). A mask is not looked at, as in Keras. With `lengths`
    padding is left out; a row of length 0 gives 0. Equal values share the gradient.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import GlobalMaxPooling1D
    >>> GlobalMaxPooling1D()(np.array([[[1.0, 5.0], [3.0, 2.0]]]))
    array([[3., 5.]], dtype=float32)
    """

    def forward(self, x: Array, call: Call) -> Array:
        lengths = self._lengths(call)
        if lengths is not None:
            x = np.where(within_lengths(lengths, x.shape[1])[..., None], x, np.float32(-np.inf))
        y = x.max(axis=self._axis, keepdims=True)
        if call.save:
            call.saved = (x, y)
        if lengths is not None:
            y = np.where(lengths[:, None, None] > 0, y, np.float32(0))
        return y if self.keepdims else np.asarray(y.squeeze(self._axis))

    def backward(self, dy: Array, call: Call) -> Array:
        x, y = call.saved
        if not self.keepdims:
            dy = np.expand_dims(dy, self._axis)
        greatest = x == y
        lengths = self._lengths(call)
        if lengths is not None:
            greatest &= lengths[:, None, None] > 0
        count = greatest.sum(axis=self._axis, keepdims=True, dtype=np.float32)
        return np.asarray(greatest * (dy / np.maximum(count, np.float32(1))))

    def frozen(self) -> FrozenLayer:
        return self._frozen("max")


class GlobalAveragePooling1D(_GlobalPooling1D):
    """The mean of each feature over time.

    Parameters
    ----------
    data_format, keepdims, **kwargs
        As for `GlobalMaxPooling1D`.

    Notes
    -----
    Input (batch, time, features), output (batch, features). The mean is over the steps that a mask counts, NaN if it
    counts none, as in Keras. With `lengths` padding is left out; a row of length 0 gives 0.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import GlobalAveragePooling1D
    >>> x = np.array([[[1.0, 5.0], [3.0, 1.0]]])
    >>> GlobalAveragePooling1D()(x)
    array([[2., 3.]], dtype=float32)
    >>> GlobalAveragePooling1D()(x, mask=[[True, False]])
    array([[1., 5.]], dtype=float32)
    """

    supports_masking = True

    def accepted_mask(self, mask: Any, x: Any) -> Any:
        return checked_mask(mask, x if self._axis == 1 else x.swapaxes(1, 2))

    def __call__(self, inputs: Any, mask: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """See `Layer.__call__`."""
        return super().__call__(inputs, mask=mask, **kwargs)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def makes_mask(self, has_mask: bool) -> bool:
        return False

    def forward(self, x: Array, call: Call) -> Array:
        axis, lengths = self._axis, self._lengths(call)
        x = clear_padding(x, lengths) if lengths is not None else x
        share: Any = np.float32(x.shape[axis])
        if lengths is not None:
            share = np.maximum(lengths, 1).astype(np.float32)[:, None, None]
        inside = None
        if call.mask is not None:
            inside = call.mask[..., None] if axis == 1 else call.mask[:, None]
            if lengths is not None:
                inside = inside & within_lengths(lengths, x.shape[1])[..., None]
            x = np.where(inside, x, np.float32(0))
            share = inside.sum(axis=axis, keepdims=True, dtype=np.float32)
            if lengths is not None:
                share = np.where(lengths[:, None, None] > 0, share, np.float32(1))
        # NumPy adds rows of features in the order of time. A single column it would add in an order, and so to bits,
        # that depend on the padding.
        columns = axis == 1 and x.shape[2] > 1
        total = x.sum(axis=1, keepdims=True) if columns else np.add.accumulate(x, axis).take([-1], axis)
        with np.errstate(divide="ignore", invalid="ignore"):
            y = total / share
        call.saved = (x.shape, share, inside)
        return np.asarray(y if self.keepdims else y.squeeze(axis))

    def backward(self, dy: Array, call: Call) -> Array:
        shape, share, inside = call.saved
        if not self.keepdims:
            dy = np.expand_dims(dy, self._axis)
        with np.errstate(divide="ignore", invalid="ignore"):
            dx = np.broadcast_to(dy / share, shape)
        if inside is not None:
            dx = np.where(inside, dx, np.float32(0))
        return np.ascontiguousarray(clear_padding(dx, self._lengths(call)))

    def frozen(self) -> FrozenLayer:
        return self._frozen("average")


GlobalMaxPool1D, GlobalAvgPool1D = GlobalMaxPooling1D, GlobalAveragePooling1D
