# SPDX-License-Identifier: BSD-3-Clause
"""The attention layers as operations of a frozen model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...symbolic import KerasTensor
from ..frozen import FrozenGraph, FrozenLayer

if TYPE_CHECKING:
    from ..core.einsum_dense import EinsumDense
    from .attention import Attention
    from .multi_head_attention import MultiHeadAttention

__all__ = ["frozen_heads", "frozen_products"]

Array = npt.NDArray[Any]

_REFUSAL = "it needs all time steps at once"


def _refuse(layer: Any, why: str) -> None:
    raise ValueError(f"layer {layer.name!r} cannot be frozen: {why}")


def _check(layer: Any, arguments: dict[str, Any], tensors: list[Any]) -> None:
    if arguments.get("return_attention_scores"):
        _refuse(layer, "it returns its scores")
    if not all(isinstance(tensor, KerasTensor) for tensor in tensors):
        _refuse(layer, "a constant is among its inputs")
    if any(tensor.ndim != 3 for tensor in tensors):
        _refuse(layer, f"its inputs have shapes {[t.shape for t in tensors]}, not (batch, time, features)")


def _projection(layer: EinsumDense) -> FrozenLayer:
    kernel, bias = layer.kernel.numpy(), layer.bias
    leading = math.prod(kernel.shape[:-1]) if layer.name == "attention_output" else kernel.shape[0]
    arguments = {
        "kernel": kernel.reshape(leading, -1),
        "bias": None if bias is None else bias.numpy().reshape(-1),
        "activation": "sigmoid" if layer.name == "gate" else "linear",
    }
    return FrozenLayer("dense", arguments, _REFUSAL)


def frozen_heads(layer: MultiHeadAttention, arguments: dict[str, Any], inputs: list[Any]) -> FrozenGraph:
    """`MultiHeadAttention` and its like: projections, attention of all heads, the projection back.

    Raises
    ------
    ValueError
        Naming the layer, if a call with these `arguments` and `inputs` has no native form.
    """
    inputs = list(inputs)
    mask = inputs.pop() if arguments.get("attention_mask") else None
    _check(layer, arguments, inputs)
    if len(layer._output_shape or ()) > 1:
        _refuse(layer, f"its output_shape={layer._output_shape} has several axes")
    seen, number = _pairs(layer, mask), len(inputs)
    given: tuple[int, ...] = (number,) if isinstance(mask, KerasTensor) else ()
    number += len(given)
    attention = {
        "heads": layer.num_heads,
        "key_heads": layer._shared_heads,
        "key_size": layer.key_dim,
        "value_size": layer.value_dim,
        "scale": 1 / math.sqrt(layer.key_dim),
        "causal": bool(arguments.get("use_causal_mask")),
        "window": int(layer.sliding_window or 0),
        "pairs": seen,
        "query_mask_hides": True,
        "key_mask_hides": True,
        "zero_blind": layer.dropout > 0,
    }
    operations: list[tuple[FrozenLayer, tuple[int, ...]]] = [
        (_projection(layer.query_dense), (0,)),
        (_projection(layer.key_dense), (len(inputs) - 1,)),
        (_projection(layer.value_dense), (1,)),
        (FrozenLayer("attention", attention, _REFUSAL), (number, number + 1, number + 2, *given)),
    ]
    last = number + 3
    if layer.use_gate:
        product = {"kind": "multiply", "constants": None, "reverse": False}
        operations += [
            (_projection(layer.gate_dense), (0,)),
            (FrozenLayer("arithmetic", product, _REFUSAL), (last, last + 1)),
        ]
        last += 2
    operations.append((_projection(layer.output_dense), (last,)))
    return FrozenGraph(number, tuple(operations))


def _pairs(layer: MultiHeadAttention, mask: Any) -> Array | None:
    """A constant attention mask as pairs of steps; None for one that comes with the batch, which must be one for all heads."""
    if mask is None:
        return None
    if isinstance(mask, KerasTensor):
        if mask.ndim != 3:
            _refuse(layer, f"its attention_mask has shape {mask.shape}, not (batch, steps, keys)")
        return None
    if mask.ndim < 2 or any(n != 1 for n in mask.shape[:-2]):
        _refuse(layer, f"its attention_mask is a constant of shape {mask.shape}, not (steps, keys)")
    return np.array(mask != 0).reshape(mask.shape[-2:])


def frozen_products(layer: Attention, arguments: dict[str, Any], inputs: list[Any]) -> FrozenGraph:
    """`Attention` with its products as scores.

    Raises
    ------
    ValueError
        As in `frozen_heads`.
    """
    _check(layer, arguments, inputs)
    features, value_size = inputs[0].shape[-1], inputs[1].shape[-1]
    if features is None or value_size is None:
        _refuse(layer, "the number of features is not known")
    causal = bool(arguments.get("use_causal_mask"))
    scale = 1.0 if layer.scale is None or layer.scale.ndim else float(layer.scale.value)
    outer = layer.additive_weights(features)
    if outer is None:
        sizes = {"heads": 1, "key_heads": 1, "key_size": features, "value_size": value_size, "scale": scale}
        hides = {"window": 0, "pairs": None, "query_mask_hides": False, "key_mask_hides": False}
        options = {**sizes, **hides, "causal": causal, "zero_blind": False}
        form = FrozenLayer("attention", options, _REFUSAL)
    else:
        options = {"value_size": value_size, "inner": scale, "outer": outer, "causal": causal}
        form = FrozenLayer("additive_attention", options, _REFUSAL)
    return FrozenGraph(len(inputs), ((form, (0, len(inputs) - 1, 1)),))
