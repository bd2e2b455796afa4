# SPDX-License-Identifier: BSD-3-Clause
"""Spectral normalization of a layer's kernel (Miyato et al. 2018)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ... import initializers
from ...symbolic import Node
from ...variables import Variable
from ..arguments import is_integer
from ..base import Layer
from ..call import Call
from ..core.wrapper import Wrapper
from ..frozen import FrozenGraph, FrozenLayer
from ..input_spec import InputSpec

__all__ = ["SpectralNormalization"]

Array = npt.NDArray[Any]


class SpectralNormalization(Wrapper):
    """A layer whose kernel, taken as a matrix, is kept at the norm 1: its greatest singular value.

    Each step of training starts with ``kernel /= sigma``, sigma by power iteration from the vector that the last step
    left (Miyato et al. 2018, https://arxiv.org/abs/1802.05957).

    Parameters
    ----------
    layer : Layer
        One with a `kernel` or, as `Embedding`, with `embeddings`.
    power_iterations : int
        Iterations of a step.
    **kwargs
        See `Layer`.

    Notes
    -----
    Weights: those of the layer and vector_u (1, n) with n the last axis of the kernel, the others being one for the
    norm. As in Keras the kernel itself changes in training's forward pass, no gradient goes through sigma, and a
    kernel of zeros stays what it is. A mask ends here.

    Raises
    ------
    ValueError
        If `power_iterations` is not a positive integer, or the layer has neither a kernel nor embeddings.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Dense, SpectralNormalization
    >>> layer = SpectralNormalization(Dense(2, kernel_initializer="ones"), power_iterations=8)
    >>> layer(np.ones((1, 2)))
    array([[2., 2.]], dtype=float32)
    >>> layer(np.ones((1, 2)), training=True)
    array([[1., 1.]], dtype=float32)
    """

    def __init__(self, layer: Layer, power_iterations: int = 1, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        if not is_integer(power_iterations) or power_iterations <= 0:
            raise ValueError(
                "`power_iterations` should be greater than zero. Received: "
                f"`power_iterations={power_iterations}`"
            )
        self.power_iterations = int(power_iterations)
        self.integer_inputs = layer.integer_inputs

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        self.input_spec = None if self.integer_inputs else InputSpec(min_ndim=1, axes={-1: input_shape[-1]})
        kernel = getattr(self.layer, "kernel", None)
        kernel = getattr(self.layer, "embeddings", None) if kernel is None else kernel
        if not isinstance(kernel, Variable):
            raise ValueError(f"{type(self.layer).__name__} object has no attribute 'kernel' nor 'embeddings'")
        self.kernel = kernel
        self._trainable_variables.append(kernel)  # Keras counts it among both layers' weights
        self.vector_u = self.add_weight(
            (1, kernel.shape[-1]), initializers.TruncatedNormal(stddev=0.02), "vector_u", trainable=False
        )
        self.built = True

    def forward(self, x: Any, call: Call) -> Any:
        if call.training and self.kernel.value.any():
            u, kernel = self.normalized_weights()
            self.vector_u.assign(u)
            self.kernel.assign(kernel)
        return super().forward(x, call)

    def normalized_weights(self) -> tuple[Array, Array]:
        """The next vector_u and the kernel with the norm 1."""
        matrix = self.kernel.value.reshape(-1, self.kernel.shape[-1]).astype(np.float64)
        u = self.vector_u.value.astype(np.float64)
        v = u
        for _ in range(self.power_iterations):
            v = _unit(u @ matrix.T)
            u = _unit(v @ matrix)
        sigma = (v @ matrix @ u.T).item()
        return u.astype(np.float32), (self.kernel.value / sigma).astype(np.float32)

    def frozen(self) -> FrozenLayer | None:
        return self.layer.frozen()

    def frozen_call(self, node: Node, inputs: list[Any]) -> FrozenLayer | FrozenGraph | None:
        return self.layer.frozen_call(node, inputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "power_iterations": self.power_iterations}


def _unit(vector: Array) -> Array:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12))
