# SPDX-License-Identifier: BSD-3-Clause
"""A layer around another one, as a base for layers of your own."""

from __future__ import annotations

from typing import Any

from ...saving.registry import deserialize_keras_object, serialize_keras_object
from ..base import Layer
from ..call import Call
from ..rnn.cell_protocol import prefix_paths

__all__ = ["Wrapper"]


class Wrapper(Layer):
    """Base of layers that hold another layer; alone it does what that layer does.

    Parameters
    ----------
    layer : Layer
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        If `layer` is not a layer.

    Examples
    --------
    A layer that doubles what another one gives:

    >>> import numpy as np
    >>> from lstmfast.layers import Dense, Wrapper
    >>> class Twice(Wrapper):
    ...     def forward(self, x, call):
    ...         return 2 * super().forward(x, call)
    ...     def backward(self, dy, call):
    ...         return super().backward(2 * dy, call)
    >>> Twice(Dense(2, kernel_initializer="ones"))(np.ones((1, 3)))
    array([[6., 6.]], dtype=float32)
    """

    def __init__(self, layer: Layer, **kwargs: Any) -> None:
        if not isinstance(layer, Layer):
            raise ValueError(
                f"Layer {layer!r} supplied to Wrapper isn't a supported layer type. Please ensure wrapped layer is a "
                "valid Keras layer."
            )
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape: Any = None) -> None:
        if not self.layer.built:
            self.layer.ensure_built(input_shape)
            prefix_paths(self.layer, self.name)
            for variable in self.layer.weights:
                variable.trainable &= self._trainable
        self.built = True

    def _convert(self, inputs: Any) -> Any:
        return self.layer._convert(inputs)

    def output_lengths(self, lengths: Any) -> Any:
        return self.layer.output_lengths(lengths)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def forward(self, x: Any, call: Call) -> Any:
        return self.layer.forward(x, call)

    def backward(self, dy: Any, call: Call) -> Any:
        return self.layer.backward(dy, call)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layer": serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Wrapper:
        return cls(**{**config, "layer": deserialize_keras_object(config["layer"], custom_objects)})
