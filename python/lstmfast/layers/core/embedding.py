# SPDX-License-Identifier: BSD-3-Clause
"""A table of vectors, one for each id."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ... import _core, constraints, initializers, regularizers
from ...saving.registry import serialize_keras_object
from ...symbolic import KerasTensor
from ..base import Layer
from ..call import Call
from ..frozen import FrozenLayer

__all__ = ["Embedding"]

Array = npt.NDArray[Any]


class Embedding(Layer):
    """Turns ids 0 .. input_dim - 1 into learned vectors.

    Parameters
    ----------
    input_dim : int
        Number of ids.
    output_dim : int
        Length of the vectors.
    embeddings_initializer, embeddings_regularizer, embeddings_constraint : optional
        By name, config or instance.
    mask_zero : bool
        Id 0 is padding: later layers get a mask that leaves it out.
    weights : array of shape (input_dim, output_dim), optional
        Initial table.
    lora_rank, lora_alpha, quantization_config : None
        Keras's; not supported.
    **kwargs
        See `Layer`; also the old `input_length`.

    Notes
    -----
    Input: integers of any shape (batch, ...); output (batch, ..., output_dim) float32. The gradients of an
    id that occurs several times add up.

    Raises
    ------
    ValueError
        If a size is not a positive integer, or an id is out of range; the error names it and its place.
    TypeError
        If the ids are not integers.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Embedding
    >>> layer = Embedding(3, 2, weights=np.arange(6.0).reshape(3, 2))
    >>> layer(np.array([[2, 0]]))
    array([[[4., 5.],
            [0., 1.]]], dtype=float32)
    """

    integer_inputs = True

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        lora_rank: None = None,
        lora_alpha: None = None,
        quantization_config: None = None,
        **kwargs: Any,
    ) -> None:
        for argument, size in (("input_dim", input_dim), ("output_dim", output_dim)):
            if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or size <= 0:
                raise ValueError(f"`{argument}` must be a positive integer. Received: {argument}={size!r}")
        extras = {
            "lora_rank": lora_rank,
            "lora_alpha": lora_alpha,
            "quantization_config": quantization_config,
        }
        for argument, value in extras.items():
            if value is not None:
                raise ValueError(f"{argument}={value!r} is not supported")
        length = kwargs.pop("input_length", None)
        if length is not None and "input_shape" not in kwargs and "batch_input_shape" not in kwargs:
            kwargs["input_shape"] = (length,) if isinstance(length, (int, np.integer)) else tuple(length)
        super().__init__(**kwargs)
        self.input_dim, self.output_dim = int(input_dim), int(output_dim)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = self.supports_masking = bool(mask_zero)
        if weights is not None:
            self.ensure_built((None,))
            self.set_weights(weights if isinstance(weights, list) and len(weights) == 1 else [weights])

    def build(self, input_shape: Any = None) -> None:
        if self.built:
            return
        self.embeddings = self.add_weight(
            (self.input_dim, self.output_dim),
            self.embeddings_initializer,
            "embeddings",
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )
        self.built = True

    def frozen(self) -> FrozenLayer:
        return FrozenLayer("embedding", {"table": self.embeddings.numpy(), "mask_zero": self.mask_zero})

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape, self.output_dim)

    def compute_mask(self, inputs: Array, mask: Any = None) -> Any:
        if not self.mask_zero:
            return None
        return inputs != 0 if isinstance(inputs, KerasTensor) else np.not_equal(inputs, 0)

    def makes_mask(self, has_mask: bool) -> bool:
        return self.mask_zero

    def _convert(self, inputs: Any) -> Array:
        return as_ids(inputs, f"inputs of layer {self.name!r}")

    def check_values(self, x: Array) -> None:
        ids = as_ids(x, f"inputs of layer {self.name!r}")
        wrong = (ids < 0) | (ids >= self.input_dim)
        if wrong.any():
            where = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise ValueError(
                f"inputs of layer {self.name!r} must be ids from 0 to {self.input_dim - 1}, got "
                f"{int(ids[where])} "
                f"at {where}"
            )

    def forward(self, x: Array, call: Call) -> Array:
        ids = as_ids(x, f"inputs of layer {self.name!r}")
        if call.save:
            call.saved = ids
        return _core.embedding_forward(self.embeddings._data, ids)

    def backward(self, dy: Array, call: Call) -> None:
        gradient, accumulate = self.embeddings.grad_out()
        _core.embedding_backward(call.saved, np.ascontiguousarray(dy, np.float32), gradient, accumulate)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": serialize_keras_object(self.embeddings_initializer),
            "embeddings_regularizer": serialize_keras_object(self.embeddings_regularizer),
            "activity_regularizer": serialize_keras_object(self.activity_regularizer),
            "embeddings_constraint": serialize_keras_object(self.embeddings_constraint),
            "mask_zero": self.mask_zero,
            "quantization_config": None,
        }


def as_ids(value: Any, what: str) -> Array:
    """C-contiguous int32 or int64 ids; floats are cut down to whole numbers, as Keras does."""
    array = np.asarray(value)
    if array.dtype.kind in "iu":
        if array.dtype not in (np.int32, np.int64):
            if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
                raise ValueError(f"{what} must be ids, got {array.max()}")
            array = array.astype(np.int64)
        return array if array.flags.c_contiguous else np.ascontiguousarray(array)
    if array.dtype.kind == "f":
        if not (np.abs(array) < 2**53).all():
            raise ValueError(f"{what} must be integer ids, got floats that are none")
        return np.ascontiguousarray(array.astype(np.int64))
    raise TypeError(f"{what} must be integer ids, got dtype {array.dtype}")
