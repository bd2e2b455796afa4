# SPDX-License-Identifier: BSD-3-Clause
"""An activation function as a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ... import activations
from ..base import Layer
from ..call import Call
from ..frozen import FrozenLayer, frozen_activation

__all__ = ["Activation"]

Array = npt.NDArray[Any]


class Activation(Layer):
    """``activation(x)``.

    Parameters
    ----------
    activation : str or callable
        See `lstmfast.activations`.
    **kwargs
        See `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Activation
    >>> Activation("relu")(np.array([-3.0, 2.0]))
    array([0., 2.], dtype=float32)
    """

    supports_masking = True

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)
        self._build_at_init()

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def native(self) -> str | None:
        """Name of the native activation that does the same."""
        return activations.native_name(self.activation)

    @property
    def deferrable_activation(self) -> str | None:
        """Name of the activation that a loss may apply in this layer's place."""
        return activations.native_name(self.activation)

    def forward(self, x: Array, call: Call) -> Array:
        activation = activations.linear if call.defer_activation else self.activation
        x = np.ascontiguousarray(x)
        y = activations.forward(activation, x)
        if call.save:
            call.saved = (activation, x if activations.needs_input(activation) else None, y)
        return y

    def backward(self, dy: Array, call: Call) -> Array:
        activation, x, y = call.saved
        return activations.backward(activation, x, y, np.ascontiguousarray(dy, np.float32))

    def frozen(self) -> Any:
        name, following = frozen_activation(self)
        return following if name == "linear" else FrozenLayer("activation", {"activation": name})

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": activations.serialize(self.activation)}
