# SPDX-License-Identifier: BSD-3-Clause
"""Calls of layers with arrays: masks that come with arrays, and the training flag that inner calls inherit."""

from __future__ import annotations

import warnings
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..symbolic import KerasTensor, current_trace, flatten, map_leaves

if TYPE_CHECKING:
    from .base import Layer

__all__ = [
    "MaskedOutput",
    "attach_masks",
    "carried_mask",
    "in_trace",
    "is_training",
    "said_in_graph",
    "training_flag",
]

Array = npt.NDArray[Any]

#: The `training` of the call that runs now, for calls of layers inside it that do not say.
training_flag: ContextVar[bool | None] = ContextVar("training_flag", default=None)


class MaskedOutput(np.ndarray[Any, np.dtype[Any]]):
    """An output with the mask that the next layer shall see, as Keras's tensors carry it.

    What arithmetic or a slice makes of it has no mask any more.
    """

    _keras_mask: Array | None

    def __array_finalize__(self, _: Any) -> None:
        self._keras_mask = None

    def __array_wrap__(self, array: Array, context: Any = None, return_scalar: bool = False) -> Any:
        plain = array.view(np.ndarray)
        return plain[()] if return_scalar else plain

    def __repr__(self) -> str:
        return repr(self.view(np.ndarray))


def carried_mask(inputs: Any, takes_list: bool = False) -> Any:
    """The mask that came with an array, a list of them for a list of arrays; None if there is none."""
    if takes_list and isinstance(inputs, (list, tuple, dict)):
        masks: Any = map_leaves(carried_mask, inputs if isinstance(inputs, dict) else list(inputs))
        return masks if flatten(masks) else None
    return getattr(inputs, "_keras_mask", None)


def attach_masks(outputs: Any, masks: Any) -> Any:
    """The outputs, those that have a mask as `MaskedOutput`."""
    if isinstance(outputs, dict):
        given = masks if isinstance(masks, dict) else {}
        return {key: attach_masks(y, given.get(key)) for key, y in outputs.items()}
    if isinstance(outputs, (list, tuple)):
        if not isinstance(masks, (list, tuple)):
            masks = [masks] + [None] * (len(outputs) - 1)
        return type(outputs)(attach_masks(y, mask) for y, mask in zip(outputs, masks, strict=True))
    if masks is None or not isinstance(outputs, np.ndarray):
        return outputs
    masked = outputs.view(MaskedOutput)
    masked._keras_mask = masks
    return masked


def in_trace(inputs: Any, training: bool | None, mask: Any = None, *others: Any) -> Any:
    """The inputs of a call; while a `call` is traced all of them symbolic, with the mask that the call was given, and
    no `others`.
    """
    trace = current_trace.get()
    return inputs if trace is None else trace.inputs(inputs, training, mask, others)


def said_in_graph(training: bool | None, mask: Any = None) -> dict[str, Any]:
    """What a call with symbolic tensors records of these arguments: they go before what the model is told and what
    comes with the tensors. While a `call` is traced, `in_trace` has put the mask on the input.
    """
    said: dict[str, Any] = {} if training is None else {"training": bool(training)}
    if mask is None or current_trace.get() is not None:
        return said
    if not isinstance(mask, KerasTensor):
        raise ValueError(f"mask: expected a symbolic tensor, as the input is one, got {type(mask).__name__}")
    return {**said, "mask": mask}


def is_training(training: bool | None) -> bool:
    """What a call was told, else what the layer that makes the call was told."""
    return bool(training_flag.get() if training is None else training)


def warn_of_lost_mask(layer: Layer, stacklevel: int) -> None:
    warnings.warn(
        f"Layer '{layer.name}' (of type {type(layer).__name__}) was passed an input with a mask attached to it. "
        "However, this layer does not support masking and will therefore destroy the mask information.",
        stacklevel=stacklevel + 1,
    )
