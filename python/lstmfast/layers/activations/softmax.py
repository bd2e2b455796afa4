# SPDX-License-Identifier: BSD-3-Clause
"""Softmax as a layer, with masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ... import activations
from ...symbolic import is_symbolic
from ..arguments import is_integer
from ..arrays import as_float32, within_lengths
from ..base import Layer
from ..call import Call
from ..eager import in_trace, is_training
from ..frozen import FrozenLayer

__all__ = ["Softmax"]

Array = npt.NDArray[Any]


class Softmax(Layer):
    """``exp(x) / sum(exp(x))`` along one axis or several.

    Parameters
    ----------
    axis : int or sequence of int
    **kwargs
        See `Layer`.

    Notes
    -----
    Called with ``mask=``, an array that broadcasts to the input, masked places count as minus infinity: they become 0
    and the others sum to 1. As in Keras the mask of the input is taken where none is given, and it must broadcast to
    the input too: a mask of time steps does not, unless the input is (batch, time). Along axis 1 steps behind the
    `lengths` of a row are left out in the same way.

    Raises
    ------
    ValueError
        If a mask does not broadcast to the input.
    IndexError
        If an axis does not exist.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Softmax
    >>> Softmax()(np.zeros((1, 4)), mask=[[True, True, False, False]])
    array([[0.5, 0.5, 0. , 0. ]], dtype=float32)
    """

    supports_masking = True

    def __init__(self, axis: Any = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis
        self._build_at_init()

    def __call__(  # type: ignore[override]
        self,
        inputs: Any,
        mask: Any = None,
        *,
        training: bool | None = None,
        lengths: Any = None,
        **kwargs: Any,
    ) -> Any:
        if mask is None:
            return super().__call__(inputs, training=training, lengths=lengths, **kwargs)
        if is_symbolic(in_trace(inputs, training)):
            raise ValueError(f"the mask of layer {self.name!r} comes with the tensors of a graph")
        x = self._convert(inputs)
        self.check_input(x)
        return self.run(x, Call(is_training(training), mask=np.asarray(mask)))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def native(self) -> str | None:
        """Name of the native activation that does the same, if no mask comes."""
        return "softmax" if self._axis_of_one() == -1 else None

    @property
    def deferrable_activation(self) -> str | None:
        """Name of the activation that a loss may apply in this layer's place."""
        masked = any(node.inputs.has_mask for node in self.inbound_nodes)
        return "softmax" if self._axis_of_one() == -1 and not masked else None

    def _axis_of_one(self) -> Any:
        if is_integer(self.axis):
            return self.axis
        return self.axis[0] if len(self.axis) == 1 else None

    def forward(self, x: Array, call: Call) -> Array:
        rank = x.ndim
        axes = (self.axis,) if is_integer(self.axis) else tuple(self.axis)
        for axis in axes:
            if not -rank <= axis < rank:
                raise IndexError(
                    f"axis {axis} of layer {self.name!r} is out of range for an input of {rank} axes"
                )
        mask = None if call.mask is None else self._checked_mask(call.mask, x)
        if call.lengths is not None and 1 in [axis % rank for axis in axes]:
            inside = within_lengths(call.lengths, x.shape[1]).reshape(x.shape[:2] + (1,) * (rank - 2))
            mask = inside if mask is None else inside & mask
        if call.defer_activation and mask is None:
            call.saved = None
            return x
        if mask is not None:
            x = np.where(mask, x, np.float32(-3e38))
        if len(axes) == 1:
            y = activations.softmax(x, axis=axes[0])
        else:
            e = np.exp(x - x.max(axis=axes, keepdims=True))
            y = np.asarray(e / e.sum(axis=axes, keepdims=True))
        if mask is not None:
            y = np.where(mask, y, np.float32(0))
        if call.save:
            call.saved = (y, axes)
        return y

    def _checked_mask(self, mask: Array, x: Array) -> Array:
        try:
            np.broadcast_to(mask, x.shape)
        except ValueError:
            raise ValueError(
                "The `mask` must be broadcastable to `inputs` and must not have more dimensions (layer "
                f"{self.name!r}). Received: inputs.shape={x.shape}, mask.shape={mask.shape}"
            ) from None
        return mask if mask.dtype == np.bool_ else as_float32(mask, "mask") > 0.5

    def backward(self, dy: Array, call: Call) -> Array:
        if call.saved is None:
            return dy
        y, axes = call.saved
        if axes in ((-1,), (y.ndim - 1,)):
            softmax = activations.softmax
            return activations.backward(softmax, None, y, np.ascontiguousarray(dy, np.float32))
        return np.asarray(y * (dy - (dy * y).sum(axis=axes, keepdims=True)))

    def frozen(self) -> FrozenLayer:
        shapes = [node.inputs.shape for node in self.inbound_nodes]
        axis = self._axis_of_one()
        if axis is None or any(axis not in (-1, len(shape) - 1) for shape in shapes):
            raise ValueError(f"layer {self.name!r} cannot be frozen: its axis is not the last")
        if any(node.inputs.has_mask for node in self.inbound_nodes):
            raise ValueError(f"layer {self.name!r} cannot be frozen: its input has a mask")
        return FrozenLayer("activation", {"activation": "softmax"})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}
