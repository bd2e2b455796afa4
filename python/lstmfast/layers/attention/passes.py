# SPDX-License-Identifier: BSD-3-Clause
"""What attention of several heads computes, forwards and backwards: projections around the native kernel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import _core
from ..base import Layer
from ..call import Call
from ..core.einsum_dense import EinsumDense
from ..regularization.dropout import dropout_mask
from .attention import both, causal_mask, refuse_lengths
from .axes import AttentionAxes

__all__ = ["AttentionPasses"]

Array = npt.NDArray[Any]


class AttentionPasses(Layer):
    """The part of `MultiHeadAttention` between its checked inputs and its outputs."""

    num_heads: int
    key_dim: int
    dropout: float
    use_gate: bool
    sliding_window: int | None
    query_dense: EinsumDense
    key_dense: EinsumDense
    value_dense: EinsumDense
    gate_dense: EinsumDense
    output_dense: EinsumDense
    seed: Any
    seed_generator: Any

    def _axes(self, query_shape: Any) -> AttentionAxes:
        raise NotImplementedError

    def _checked_attention_mask(self, mask: Any, x: list[Array]) -> Array:
        """The mask as it broadcasts to (apart..., N, T, S)."""
        array = np.asarray(mask)
        axes = self._axes(x[0].shape)
        try:
            if array.dtype.kind in "biuf":
                return axes.pairs(array != 0, x[0].shape, x[1].shape, self.num_heads)
        except ValueError:
            pass
        raise ValueError(
            f"attention_mask of layer {self.name!r} must be boolean and broadcast to (B, T, S) = "
            f"{(len(x[0]), *axes.sizes(x[0].shape), *axes.sizes(x[1].shape))}, got shape {array.shape} of "
            f"{array.dtype}"
        )

    def _mask(self, x: list[Array], call: Call) -> Array | None:
        """What may be seen, as it broadcasts to (apart..., N, T, S); None for all."""
        query, value = x[0].shape, x[1].shape
        axes = self._axes(query)
        masks = list(call.mask) if call.mask is not None else []
        mask: Array | None = None
        if masks and masks[0] is not None:
            mask = axes.steps(masks[0])[..., :, None]
        for steps_that_count in masks[1:3]:
            if steps_that_count is not None:
                mask = both(mask, axes.steps(steps_that_count)[..., None, :])
        steps, keys = math.prod(axes.sizes(query)), math.prod(axes.sizes(value))
        if call.arguments.get("use_causal_mask"):
            mask = both(mask, causal_mask(steps, keys))
        if self.sliding_window is not None:
            apart = np.abs(np.arange(steps)[:, None] - np.arange(keys))
            mask = both(mask, apart < self.sliding_window)
        if call.arguments.get("attention_mask"):
            mask = both(mask, self._checked_attention_mask(x[-1], x))
        return mask

    def forward(self, x: list[Array], call: Call) -> Any:
        refuse_lengths(self, call)
        query, value, key = x[0], x[1], x[2 if len(x) > 2 else 1]
        axes = self._axes(query.shape)
        calls = {}
        penalties: dict[str, Array] = {}  # gradients of those on projections

        def project(layer: EinsumDense, a: Array) -> Array:
            calls[layer.name] = inner = Call(call.training, call.save, True)
            y = layer.forward(a, inner)
            regularizer: Any = layer.activity_regularizer
            if regularizer is not None:
                call.penalty += float(regularizer(y)) / len(y)
                if call.save:
                    penalties[layer.name] = regularizer.gradient(y) / np.float32(len(y))
            return y

        q, k, v = (
            axes.as_batches(project(self.query_dense, query)),
            axes.as_batches(project(self.key_dense, key)),
            axes.as_batches(project(self.value_dense, value)),
        )
        mask = self._mask(x, call)
        shape = (len(q), self.num_heads, q.shape[1], k.shape[1])
        drop = None
        if call.training and 0 < self.dropout < 1:
            drop = dropout_mask(call.randomness(self), shape, self.dropout)
        scores = bool(call.arguments.get("return_attention_scores"))
        context, probabilities = _core.attention_forward(
            q,
            k,
            v,
            1 / math.sqrt(self.key_dim),
            None if mask is None else axes.mask_of_batches(mask, query.shape, shape),
            drop,
            scores or self.dropout > 0,
            scores or call.save,
        )
        context = axes.apart_again(context, query.shape)
        gate = None
        inner_context = context
        if self.use_gate:
            gate = project(self.gate_dense, query)
            context = context * gate
        y = project(self.output_dense, context)
        if call.save:
            shapes = [a.shape for a in x[:3]]
            call.saved = (calls, penalties, q, k, v, probabilities, drop, gate, inner_context, axes, shapes)
        if not scores:
            return y
        query_mask = None if call.mask is None else call.mask[0]
        call.output_mask = None if query_mask is None else (query_mask, None)
        assert probabilities is not None
        return y, probabilities.reshape(axes.scores_shape(query.shape, value.shape, self.num_heads))

    def backward(self, dy: Any, call: Call) -> list[Any]:
        calls, penalties, q, k, v, probabilities, drop, gate, context, axes, shapes = call.saved

        def back(layer: EinsumDense, dy: Any) -> Any:
            penalty = penalties.get(layer.name)
            return layer.backward(dy if penalty is None else dy + penalty, calls[layer.name])

        dprobabilities: Any = None
        if call.arguments.get("return_attention_scores"):
            dy, dprobabilities = dy
        dquery: Any = 0
        dcontext = None
        if dy is None and penalties:
            dy = np.float32(0)
        if dy is not None:
            dcontext = back(self.output_dense, dy)
            assert dcontext is not None
            if gate is not None:
                dquery = back(self.gate_dense, dcontext * context)
                dcontext = dcontext * gate
            dcontext = axes.as_batches(dcontext)
        dq, dk, dv = _core.attention_backward(
            q,
            k,
            v,
            1 / math.sqrt(self.key_dim),
            probabilities,
            drop,
            dcontext,
            None
            if dprobabilities is None
            else np.ascontiguousarray(dprobabilities, np.float32).reshape(probabilities.shape),
        )
        dvalue: Any = back(self.value_dense, axes.apart_again(dv, shapes[1]))
        dkey = back(self.key_dense, axes.apart_again(dk, shapes[-1]))
        dquery = back(self.query_dense, axes.apart_again(dq, shapes[0])) + dquery
        if call.arguments.get("attention_mask"):
            return [dquery, dvalue, dkey, None]
        return [dquery, dvalue, dkey] if len(shapes) > 2 else [dquery, dvalue + dkey]
