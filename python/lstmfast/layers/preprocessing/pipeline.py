# SPDX-License-Identifier: BSD-3-Clause
"""Layers one after another as one layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...saving.registry import deserialize_keras_object, serialize_keras_object
from ...symbolic import is_symbolic
from ..base import Layer
from ..eager import training_flag
from ..rnn.cell_protocol import numbered_children

__all__ = ["Pipeline"]


class Pipeline(Layer):
    """Calls layers one after another, for preprocessing; a layer, where `Sequential` is a model.

    Parameters
    ----------
    layers : list of Layer
    name : str, optional

    Notes
    -----
    As in Keras a call with arrays that neither says `training` nor is made in another layer's `call` is one in training:
    what is random in the layers is on.

    Raises
    ------
    ValueError
        If `layers` is empty or holds something else.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Pipeline, Rescaling, UnitNormalization
    >>> Pipeline([Rescaling(2.0, offset=-1.0), UnitNormalization()])(np.array([[2.0, 2.5]]))
    array([[0.6, 0.8]], dtype=float32)
    """

    supports_masking = True

    def __init__(self, layers: Sequence[Layer], name: str | None = None) -> None:
        super().__init__(name=name)
        self._pipeline_layers = list(layers)
        for layer in self._pipeline_layers:
            if not isinstance(layer, Layer):
                raise ValueError(f"`layers` of a Pipeline must be layers. Received: {layer!r}")
        if not self._pipeline_layers:
            raise ValueError("`layers` of a Pipeline must hold at least one layer, got none")
        self.integer_inputs = self._pipeline_layers[0].integer_inputs
        self.string_inputs = self._pipeline_layers[0].string_inputs

    @property
    def layers(self) -> list[Layer]:
        return self._pipeline_layers

    def __call__(  # type: ignore[override]
        self, inputs: Any, training: bool | None = None, mask: Any = None, **kwargs: Any
    ) -> Any:
        """What the last layer gives; see the class for `training`."""
        if training is None and training_flag.get() is None and not is_symbolic(inputs):
            training = True
        return super().__call__(inputs, training=training, mask=mask, **kwargs)

    def _convert(self, inputs: Any) -> Any:
        return self._pipeline_layers[0]._convert(inputs)

    def call(self, inputs: Any, training: bool | None = None) -> Any:  # type: ignore[override]
        """The layers, one after another."""
        for layer in self._pipeline_layers:
            inputs = layer(inputs, training=training)
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        for layer in self._pipeline_layers:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    def keras_children(self) -> list[tuple[str, Layer]]:
        """Where Keras's weight files put the layers."""
        return numbered_children("layers", self._pipeline_layers)

    def get_config(self) -> dict[str, Any]:
        return {
            "layers": [serialize_keras_object(layer) for layer in self._pipeline_layers],
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Pipeline:
        layers = config.get("layers")
        if not isinstance(layers, (list, tuple)):
            raise ValueError(
                "`Pipeline` config must contain a `layers` key mapping to a list of serialized layers. Received config "
                f"with layers={layers}."
            )
        made = [deserialize_keras_object(layer, custom_objects) for layer in layers]
        return cls(**{**config, "layers": made})
