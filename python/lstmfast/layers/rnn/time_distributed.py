# SPDX-License-Identifier: BSD-3-Clause
"""A layer applied to every time step."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...saving.registry import deserialize_keras_object, serialize_keras_object
from ..arrays import clear_padding, within_lengths
from ..base import Layer
from ..call import Call
from ..frozen import FrozenLayer
from ..keras_call import forward_of_call
from ..normalization.batch_normalization import BatchNormalization
from ..properties import layers_inside

__all__ = ["TimeDistributed"]

Array = npt.NDArray[Any]


class TimeDistributed(Layer):
    """Applies a layer, or a model, to every time step of its input, with the same weights.

    Parameters
    ----------
    layer : Layer
        With one input and one output.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input (batch, time, ...), of which the layer sees (batch, ...). All steps are one batch for the layer: Dropout
    draws anew for each. A stateful layer, a model with an activity regularizer and a `noise_shape` that names the batch
    see one step after the other. A mask of the steps (batch, time) is handed on; one with more axes is for the layer
    inside, too. With `lengths` the steps behind a row's end are left out, and their output is 0.

    Raises
    ------
    ValueError
        If `layer` is not a layer, has several outputs, or the input has less than 3 axes.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Conv1D, TimeDistributed
    >>> TimeDistributed(Conv1D(8, 3))(np.zeros((2, 5, 10, 4))).shape
    (2, 5, 8, 8)
    """

    supports_masking = True

    def __init__(self, layer: Layer, **kwargs: Any) -> None:
        if not isinstance(layer, Layer):
            raise ValueError(
                f"Please initialize `TimeDistributed` layer with a `Layer` instance. Received: {layer!r}"
            )
        super().__init__(**kwargs)
        self.layer = layer
        self.integer_inputs = layer.integer_inputs
        self._adds_losses = False  # the layer was seen to

    # --- building and shapes

    @staticmethod
    def _child_shape(shape: Any) -> tuple[int | None, ...]:
        if not isinstance(shape, (list, tuple)) or len(shape) < 3 or isinstance(shape[0], (list, tuple)):
            raise ValueError(
                "`TimeDistributed` Layer should be passed an `input_shape` with at least 3 dimensions, received: "
                f"{shape}"
            )
        return (shape[0], *shape[2:])

    def build(self, input_shape: Any) -> None:
        fresh = not self.layer.built
        self.layer.ensure_built(self._child_shape(input_shape))
        if fresh:
            for variable in self.layer.weights:
                variable.path = f"{self.name}/{variable.path}"
                variable.trainable &= self._trainable
        self.built = True

    def check_shapes(self, shapes: Any) -> None:
        self.layer.check_shapes(self._child_shape(shapes))

    def check_values(self, x: Array) -> None:
        self.layer.check_values(x)

    def compute_output_shape(self, input_shape: Any) -> Any:
        child = self.layer.compute_output_shape(self._child_shape(input_shape))
        if child and isinstance(child[0], (list, tuple)):
            raise ValueError(
                f"layer {self.layer.name!r} in TimeDistributed layer {self.name!r} must have one output, it has "
                f"{len(child)}"
            )
        return (child[0], input_shape[1], *child[1:])

    def _convert(self, inputs: Any) -> Any:
        return self.layer._convert(inputs) if self.integer_inputs else super()._convert(inputs)

    # --- calls

    def _one_by_one(self, training: bool) -> bool:
        """Whether steps must not be a single batch."""
        if self._adds_losses:
            return True
        for layer in (self.layer, *layers_inside(self.layer)):
            noise_shape = getattr(layer, "noise_shape", None)
            fixed = noise_shape is not None and noise_shape[0] is not None
            penalty = layer is not self.layer and layer.activity_regularizer is not None
            statistics = training and isinstance(
                layer, BatchNormalization
            )  # of each step's batch, as in Keras
            if fixed or penalty or statistics or getattr(layer, "stateful", False):
                return True
        return False

    def _inner_call(self, call: Call, mask: Array | None) -> Call:
        return Call(call.training, call.save, call.needs_dx, mask=mask, rng=call.given_rng)

    def _run(self, x: Array, inner: Call, call: Call) -> Array:
        nested = getattr(self.layer, "nested_forward", None)
        y = (nested or self.layer.forward)(x, inner)
        call.take_losses(inner)
        if nested:
            call.penalty += inner.saved.penalty
            if inner.saved.adds_losses:
                inner.added = call.added = []
        return np.ascontiguousarray(y)

    def _run_backward(self, dy: Array, inner: Call) -> Any:
        return getattr(self.layer, "nested_backward", self.layer.backward)(dy, inner)

    def accepted_mask(self, mask: Any, x: Any) -> Any:
        array = np.asarray(mask).astype(bool)
        if array.ndim < 2:
            raise ValueError(
                "The `mask` passed to the `TimeDistributed` layer must be at least 2D (e.g., `(batch_size, "
                f"timesteps)`), but it has {array.ndim} dimension(s) with shape {array.shape}."
            )
        return array

    def forward(self, x: Array, call: Call) -> Array:
        batch, time = x.shape[:2]
        mask = call.mask
        if mask is not None:
            if mask.shape[:2] != (batch, time):
                raise ValueError(
                    f"The `mask` passed to the `TimeDistributed` layer has a shape {mask.shape} that is incompatible "
                    f"with the input shape {x.shape} of layer {self.name!r}: expected ({batch}, {time}, ...)"
                )
            sees_rows = isinstance(self.layer, BatchNormalization) and x.ndim == 3
            if mask.ndim == 2 and not sees_rows and type(self.layer).forward is not forward_of_call:
                mask = None  # one flag for each row of a step means nothing to a built-in layer
        if self._one_by_one(call.training):
            return self._forward_one_by_one(x, mask, call)
        taken: Any = None  # the steps that exist, where some do not
        flat, steps = x.reshape(batch * time, *x.shape[2:]), batch * time
        if call.lengths is not None and (call.lengths < time).any():
            taken = np.flatnonzero(within_lengths(call.lengths, time))
            flat, steps = flat[taken], len(taken)
        if mask is not None:
            mask = mask.reshape(batch * time, *mask.shape[2:])
            mask = np.ascontiguousarray(mask if taken is None else mask[taken])
        if steps == 0:
            call.saved = None
            return np.zeros(self.compute_output_shape(x.shape), np.float32)
        inner = self._inner_call(call, mask)
        y = self._run(flat, inner, call)
        if inner.added is not None:  # for each step, as in Keras
            self._adds_losses, call.penalty = True, 0.0
            return self._forward_one_by_one(x, mask, call)
        call.saved = (inner, taken, x.shape, y.shape)
        if taken is not None:
            y = _scattered(y, taken, batch * time)
        return y.reshape(batch, time, *y.shape[1:])

    def _forward_one_by_one(self, x: Array, mask: Array | None, call: Call) -> Array:
        calls, outputs = [], []
        if not self.integer_inputs:
            x = clear_padding(x, call.lengths)
        if call.lengths is not None and isinstance(self.layer, BatchNormalization) and x.ndim == 3:
            inside = within_lengths(call.lengths, x.shape[1])
            mask = inside if mask is None else inside & mask
        for t in range(x.shape[1]):
            inner = self._inner_call(call, None if mask is None else np.ascontiguousarray(mask[:, t]))
            outputs.append(self._run(np.ascontiguousarray(x[:, t]), inner, call))
            calls.append(inner)
        call.saved = calls
        return clear_padding(np.stack(outputs, axis=1), call.lengths)

    def backward(self, dy: Array, call: Call) -> Any:
        if call.saved is None:  # no step exists
            for variable in self.layer.trainable_variables:
                variable.add_grad(np.zeros(variable.shape, np.float32))
            return None
        dy = np.ascontiguousarray(dy, np.float32)
        if isinstance(call.saved, list):
            dy = clear_padding(dy, call.lengths)
            parts = [None] * len(call.saved)
            for t in range(len(parts) - 1, -1, -1):
                parts[t] = self._run_backward(np.ascontiguousarray(dy[:, t]), call.saved[t])
            if not call.needs_dx:
                return None
            return clear_padding(np.stack(parts, axis=1), call.lengths)  # type: ignore[arg-type]
        inner, taken, shape, y_shape = call.saved
        flat = dy.reshape(-1, *y_shape[1:])
        dx = self._run_backward(flat if taken is None else flat[taken], inner)
        if dx is None or not call.needs_dx:
            return None
        if taken is not None:
            dx = _scattered(dx, taken, shape[0] * shape[1])
        return dx.reshape(shape)

    def frozen(self) -> FrozenLayer | None:
        layer = self.layer
        per_step = not hasattr(layer, "nested_forward") and all(
            len(node.inputs.shape) == 3 for node in self.inbound_nodes
        )
        if per_step and type(layer).output_lengths is Layer.output_lengths:
            from ...freezing import frozen_form

            inner = frozen_form(layer)
            native = (FrozenLayer, type(None))
            if inner is None or (
                isinstance(inner, FrozenLayer)
                and inner.kind in ("dense", "activation")
                and isinstance(inner.following, native)
            ):
                return inner  # natively these treat steps alone
        raise ValueError(
            f"layer {self.name!r} cannot be frozen: {type(layer).__name__} has no native form in TimeDistributed"
        )

    # --- configuration

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layer": serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> TimeDistributed:
        config = dict(config)
        return cls(deserialize_keras_object(config.pop("layer"), custom_objects), **config)


def _scattered(values: Array, places: Array, count: int) -> Array:
    """Rows at their places among `count`, 0 elsewhere."""
    out = np.zeros((count, *values.shape[1:]), np.float32)
    out[places] = values
    return out
