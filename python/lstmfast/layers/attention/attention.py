# SPDX-License-Identifier: BSD-3-Clause
"""Attention: means of values, weighted by how well keys fit queries."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ... import activations
from ...random import seed_generator
from ...symbolic import Node, is_symbolic
from ...variables import Variable
from ..arrays import shapes_of
from ..base import Layer
from ..call import Call
from ..eager import carried_mask, in_trace, is_training, said_in_graph
from ..frozen import FrozenGraph
from ..regularization.dropout import dropout_mask
from .axes import steps_mask
from .frozen import frozen_products

__all__ = ["AdditiveAttention", "Attention"]

Array = npt.NDArray[Any]

#: What a score becomes that must not count. All scores of a row that sees nothing are equal: its mean is a plain one.
_NEVER = np.float32(-1e30)


# ---- what all kinds share ----------------------------------------------------------------------------------


def attend(scores: Array, mask: Array | None) -> Array:
    """Softmax over the last axis of the scores that count."""
    if mask is not None:
        scores = np.where(mask, scores, _NEVER)
    return activations.forward(activations.softmax, np.ascontiguousarray(scores, np.float32))


def attend_backward(weights: Array, dweights: Array) -> Array:
    """Gradient of the scores."""
    inner = np.einsum("...s,...s->...", weights, dweights)[..., None]
    return np.asarray(weights * (dweights - inner))


def causal_mask(queries: int, keys: int) -> Array:
    """(queries, keys) bool: a step sees itself and those before."""
    return np.arange(queries)[:, None] >= np.arange(keys)


def refuse_lengths(layer: Layer, call: Call) -> None:
    if call.lengths is not None:
        raise ValueError(
            f"layer {layer.name!r} does not take lengths, which say nothing of which input they belong to: use masks"
        )


def both(a: Array | None, b: Array | None) -> Array | None:
    """``a & b`` where None is all True."""
    return b if a is None else a if b is None else a & b


# ---- layers ------------------------------------------------------------------------------------------------


class Attention(Layer):
    """Dot-product attention (Luong, Pham and Manning 2015).

    ``softmax(query @ key.T) @ value``, the softmax over the steps of `value` and `key`.

    Parameters
    ----------
    use_scale : bool
        Multiply the scores by a learned number.
    score_mode : {"dot", "concat"}
        ``"concat"``: the scores are ``w * sum(tanh(scale * (query + key)))`` with a learned w.
    dropout : float
        Share of the weights that is dropped in training.
    seed : int, optional
        Own stream of random numbers for dropout.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input: a list [query (B, Tq, d), value (B, Tv, n)] or [query, value, key (B, Tv, d)]; without a key the value is
    one. Axes between the first and time are further batches. Output (B, Tq, n) float32. Weights: scale (), then
    concat_score_weight (), those that there are. Masks are [query_mask, value_mask]: masked values do not count,
    outputs of masked queries are 0.

    Raises
    ------
    ValueError
        If an argument is wrong, the input is no list of 2 or 3 arrays, or their shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Attention
    >>> query, value = np.ones((1, 2, 3)), np.arange(12.0).reshape(1, 4, 3)
    >>> Attention()([query, value], use_causal_mask=True)[0, 0]
    array([0., 1., 2.], dtype=float32)
    """

    supports_masking = True
    takes_list = True
    accepts_missing_dy = True
    _never_called = ("_calculate_scores", "_apply_scores", "_calculate_score_mask")

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        if score_mode not in ("dot", "concat"):
            raise ValueError(
                "Invalid value for argument score_mode. Expected one of {'dot', 'concat'}. Received: "
                f"score_mode={score_mode}"
            )
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout must be between 0 and 1. Received: dropout={dropout!r}")
        super().__init__(**kwargs)
        self.use_scale, self.score_mode = bool(use_scale), score_mode
        self.dropout, self.seed = dropout, seed
        if dropout > 0:
            self.seed_generator = seed_generator(seed)
        self.scale: Variable | None = None
        self.concat_score_weight: Variable | None = None

    def build(self, input_shape: Any) -> None:
        if self.use_scale:
            self.scale = self.add_weight((), "ones", "scale")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight((), "ones", "concat_score_weight")
        self.built = True

    def check_shapes(self, shapes: Any) -> None:
        name = type(self).__name__
        several = isinstance(shapes, (list, tuple)) and bool(shapes) and isinstance(shapes[0], (list, tuple))
        if several and not 2 <= len(shapes) <= 3:
            raise ValueError(
                f"{name} layer accepts inputs list of length 2 or 3, namely [query, value] or [query, value, key]. "
                f"Received length: {len(shapes)}."
            )
        if not several:
            raise ValueError(
                f"{name} layer must be called on a list of inputs, namely [query, value] or [query, value, key]. "
                f"Received shapes: {shapes}"
            )
        query, value, key = shapes[0], shapes[1], shapes[-1]
        if len(query) < 3 or any(len(shape) != len(query) for shape in shapes):
            raise ValueError(
                f"{name} layer takes inputs of shape (batch, ..., time, features) with as many axes, got {shapes}"
            )
        pairs = [*zip(query[:-2], value[:-2], strict=True), *zip(key[:-1], value[:-1], strict=True)]
        pairs.append((query[-1], key[-1]))
        if any(a is not None and b is not None and a != b for a, b in pairs):
            raise ValueError(
                f"inputs of layer {self.name!r} must be [query (B, Tq, d), value (B, Tv, n), key (B, Tv, d)], the last "
                f"by default the value, got shapes {[tuple(s) for s in shapes]}"
            )

    def _convert(self, inputs: Any) -> list[Array]:
        if not isinstance(inputs, (list, tuple)):
            raise ValueError(
                f"{type(self).__name__} layer must be called on a list of inputs, namely [query, value] or [query, "
                f"value, key]. Received: {type(inputs).__name__}"
            )
        return [super(Attention, self)._convert(array) for array in inputs]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[0][:-1], input_shape[1][-1])

    def output_shapes(self, shapes: Any, arguments: dict[str, Any]) -> Any:
        y = self.compute_output_shape(shapes)
        if not arguments.get("return_attention_scores"):
            return y
        return (y, (*shapes[0][:-1], shapes[-1][-2]))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None if mask is None else mask[0]

    def __call__(  # type: ignore[override]
        self,
        inputs: Any,
        mask: Any = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """The layer as a function of arrays; or, of symbolic tensors, a node in a graph.

        Parameters
        ----------
        inputs : list of array_like
            [query, value] or [query, value, key].
        mask : list of (B, T) bool arrays or None, optional
            [query_mask, value_mask].
        training : bool, optional
            Dropout is on.
        return_attention_scores : bool
            Also return the weights, (B, Tq, Tv).
        use_causal_mask : bool
            A step of the query sees the steps of the value up to its own.

        Returns
        -------
        numpy.ndarray, or a tuple of two
        """
        arguments = {"return_attention_scores": return_attention_scores, "use_causal_mask": use_causal_mask}
        inputs = in_trace(inputs, training, mask)
        if is_symbolic(inputs):
            given = {key: True for key, value in arguments.items() if value}
            return self.record(list(inputs), {**given, **said_in_graph(training)})
        x = self._convert(inputs)
        self.ensure_built(shapes_of(x))
        self.check_input(x)
        mask = carried_mask(inputs, takes_list=True) if mask is None else mask
        call = Call(is_training(training), mask=self._checked_masks(mask, x))
        call.arguments = arguments
        return self.run(x, call)

    def _checked_masks(self, mask: Any, x: list[Array]) -> Any:
        if mask is None:
            return None
        if isinstance(mask, (list, tuple)) and not 2 <= len(mask) <= 3:
            raise ValueError(
                f"{type(self).__name__} layer accepts mask list of length 2 or 3. Received length: {len(mask)}."
            )
        if not isinstance(mask, (list, tuple)):
            raise ValueError(
                f"{type(self).__name__} layer mask must be a list, namely [query_mask, value_mask]. Received: "
                f"{type(mask).__name__}"
            )
        given = [*mask, None][: len(x)]
        return [steps_mask(m, array) for m, array in zip(given, x, strict=True)]

    # --- scores

    def _scores(self, query: Array, key: Array) -> tuple[Array, Any]:
        """(scores (B, Tq, Tv), what `_scores_backward` needs)."""
        if self.score_mode == "dot":
            raw = query @ key.swapaxes(-1, -2)
            return raw if self.scale is None else raw * self.scale.value, raw
        total = query[..., :, None, :] + key[..., None, :, :]
        h = np.tanh(total if self.scale is None else total * self.scale.value)
        assert self.concat_score_weight is not None
        raw = h.sum(axis=-1)
        return raw * self.concat_score_weight.value, (total, h, raw)

    def _scores_backward(self, dscores: Array, query: Array, key: Array, saved: Any) -> tuple[Array, Array]:
        """Gradients of query and key."""
        if self.score_mode == "dot":
            if self.scale is not None:
                self.scale.add_grad(np.vdot(dscores, saved))
                dscores = dscores * self.scale.value
            return dscores @ key, dscores.swapaxes(-1, -2) @ query
        total, h, raw = saved
        assert self.concat_score_weight is not None
        self.concat_score_weight.add_grad(np.vdot(dscores, raw))
        dtotal = (dscores * self.concat_score_weight.value)[..., None] * (1 - h * h)
        if self.scale is not None:
            self.scale.add_grad(np.vdot(dtotal, total))
            dtotal = dtotal * self.scale.value
        return dtotal.sum(axis=-2), dtotal.sum(axis=-3)

    def additive_weights(self, features: int) -> Array | None:
        """What each feature's tanh weighs in a score; None where scores are products."""
        if self.concat_score_weight is None:
            return None
        return np.full(features, self.concat_score_weight.value, np.float32)

    def frozen_call(self, node: Node, inputs: list[Any]) -> FrozenGraph:
        return frozen_products(self, node.kwargs, inputs)

    # --- passes

    def forward(self, x: list[Array], call: Call) -> Any:
        refuse_lengths(self, call)
        query, value, key = x[0], x[1], x[-1]
        query_mask, value_mask = (None, None) if call.mask is None else call.mask[:2]
        scores, saved = self._scores(query, key)
        mask = None if value_mask is None else value_mask[..., None, :]
        if call.arguments.get("use_causal_mask"):
            mask = both(mask, causal_mask(query.shape[-2], key.shape[-2]))
        probabilities = weights = attend(scores, mask)
        dropped = None
        if call.training and 0 < self.dropout < 1:
            dropped = dropout_mask(call.randomness(self), weights.shape, self.dropout)
            weights = weights * dropped
        y = weights @ value
        if query_mask is not None:
            y = np.where(query_mask[..., None], y, np.float32(0))
        if call.save:
            call.saved = (x, saved, probabilities, weights, dropped, query_mask)
        if not call.arguments.get("return_attention_scores"):
            return y
        call.output_mask = None if query_mask is None else (query_mask, None)
        return y, weights

    def backward(self, dy: Any, call: Call) -> list[Array]:
        x, saved, probabilities, weights, dropped, query_mask = call.saved
        query, value, key = x[0], x[1], x[-1]
        dweights: Any = None
        if call.arguments.get("return_attention_scores"):
            dy, dweights = dy
        dvalue = np.zeros_like(value)
        if dy is not None:
            if query_mask is not None:
                dy = np.where(query_mask[..., None], dy, np.float32(0))
            dvalue = weights.swapaxes(-1, -2) @ dy
            through = dy @ value.swapaxes(-1, -2)
            dweights = through if dweights is None else dweights + through
        if dropped is not None:
            dweights = dweights * dropped
        dquery, dkey = self._scores_backward(attend_backward(probabilities, dweights), query, key, saved)
        return [dquery, dvalue + dkey] if len(x) == 2 else [dquery, dvalue, dkey]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "use_scale": self.use_scale,
            "score_mode": self.score_mode,
            "dropout": self.dropout,
            "seed": self.seed,
        }


class AdditiveAttention(Attention):
    """Additive attention (Bahdanau, Cho and Bengio 2015).

    ``softmax(sum(scale * tanh(query + key))) @ value``, the softmax over the steps of `value` and `key`.

    Parameters
    ----------
    use_scale : bool
        A learned scale, a number for each feature; 1 otherwise.
    dropout : float
        Share of the weights that is dropped in training.
    **kwargs
        See `Layer`; also `seed`, as in `Attention`.

    Notes
    -----
    Input, output and masks as in `Attention`. Weight: scale (d,). Takes memory for B * Tq * Tv * d numbers.

    Raises
    ------
    ValueError
        As in `Attention`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import AdditiveAttention
    >>> AdditiveAttention()([np.ones((2, 5, 3)), np.ones((2, 4, 3))]).shape
    (2, 5, 3)
    """

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(use_scale=use_scale, dropout=dropout, **kwargs)

    def build(self, input_shape: Any) -> None:
        if self.use_scale:
            n = input_shape[0][-1]
            if n is None:
                raise ValueError(
                    f"The last axis of the inputs of layer {self.name!r} must be known, got {input_shape}"
                )
            self.scale = self.add_weight((n,), "glorot_uniform", "scale")
        self.built = True

    def additive_weights(self, features: int) -> Array:
        return np.ones(features, np.float32) if self.scale is None else self.scale.numpy()

    def _scores(self, query: Array, key: Array) -> tuple[Array, Any]:
        h = np.tanh(query[..., :, None, :] + key[..., None, :, :])
        return h.sum(axis=-1) if self.scale is None else h @ self.scale.value, h

    def _scores_backward(self, dscores: Array, query: Array, key: Array, saved: Any) -> tuple[Array, Array]:
        h = saved
        if self.scale is not None:
            self.scale.add_grad(dscores.reshape(-1) @ h.reshape(-1, h.shape[-1]))
        dtotal = dscores[..., None] * (1 - h * h)
        if self.scale is not None:
            dtotal *= self.scale.value
        return dtotal.sum(axis=-2), dtotal.sum(axis=-3)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["score_mode"]
        return config
