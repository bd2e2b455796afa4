# SPDX-License-Identifier: BSD-3-Clause
"""Multi-head attention (Vaswani et al. 2017, "Attention is all you need")."""

from __future__ import annotations

from string import ascii_lowercase
from typing import Any

import numpy as np
import numpy.typing as npt

from ... import constraints, initializers, regularizers
from ...random import seed_generator
from ...saving.registry import serialize_keras_object
from ...symbolic import KerasTensor, Node, is_symbolic
from ..arguments import is_integer
from ..arrays import shapes_of
from ..base import Layer
from ..building import fresh
from ..call import Call
from ..core.einsum_dense import EinsumDense
from ..eager import carried_mask, in_trace, is_training, said_in_graph
from ..frozen import FrozenGraph
from ..rnn.cell_protocol import prefix_paths
from .axes import AttentionAxes, steps_mask
from .frozen import frozen_heads
from .passes import AttentionPasses

__all__ = ["MultiHeadAttention"]

Array = npt.NDArray[Any]


class MultiHeadAttention(AttentionPasses):
    """Several attentions side by side, each on projections of its own, whose results are projected back.

    ``softmax(q @ k.T / sqrt(key_dim)) @ v`` for every head, with ``q``, ``k`` and ``v`` the head's projections of
    query, key and value.

    Parameters
    ----------
    num_heads : int
    key_dim : int
        Size of a head's queries and keys.
    value_dim : int, optional
        Size of a head's values; `key_dim` by default.
    dropout : float
        Share of the attention weights that is dropped in training.
    use_bias : bool
        The projections have biases.
    output_shape : int or tuple of int, optional
        Size of the output's last axis (or axes); that of the query by default.
    attention_axes : int or tuple of int, optional
        Axes over which attention runs; all but the first and the last by default.
    sliding_window : int, optional
        A query sees keys less than this many steps away.
    flash_attention : ignored
        Accepted for Keras's sake.
    kernel_initializer, bias_initializer : str, dict or callable
    kernel_regularizer, bias_regularizer : str, dict or Regularizer, optional
    activity_regularizer : str, dict or Regularizer, optional
        A penalty on the outputs of each projection.
    kernel_constraint, bias_constraint : str, dict or callable, optional
    use_gate : bool
        The heads' results are multiplied by ``sigmoid`` of a further projection of the query.
    seed : int, optional
        Own stream of random numbers for dropout.
    **kwargs
        See `Layer`.

    Notes
    -----
    Called with query (B, T, n), value (B, S, m) and perhaps key (B, S, k), the value by default; output (B, T, n), or
    (B, T, *output_shape). Weights, with N heads: query kernel (n, N, key_dim) and bias (N, key_dim), key, [gate,] value
    likewise, attention_output kernel (N, value_dim, n) and bias (n,). The projections run on the native matrix kernel.
    With more axes the projections are of the last one, and attention runs over `attention_axes`; the steps of several
    count in their order. Masks of value and key take steps out; a query that sees nothing gets the plain mean, or 0
    with dropout or when the scores are returned, as in Keras.

    Raises
    ------
    ValueError
        If an argument is wrong or shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import MultiHeadAttention
    >>> layer = MultiHeadAttention(num_heads=2, key_dim=3)
    >>> y, scores = layer(np.ones((5, 4, 6)), np.ones((5, 7, 6)), return_attention_scores=True)
    >>> y.shape, scores.shape
    ((5, 4, 6), (5, 2, 4, 7))
    """

    supports_masking = True
    takes_list = True
    accepts_missing_dy = True

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: Any = None,
        attention_axes: Any = None,
        sliding_window: int | None = None,
        flash_attention: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        sizes = {
            "num_heads": num_heads,
            "key_dim": key_dim,
            "value_dim": value_dim,
            "sliding_window": sliding_window,
        }
        for argument, size in sizes.items():
            optional = argument in ("value_dim", "sliding_window")
            if size is None and optional:
                continue
            if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or size <= 0:
                raise ValueError(
                    f"Received an invalid value for argument `{argument}`, expected a positive integer"
                    f"{' or `None`' if optional else ''}. Received: {argument}={size!r}"
                )
        axes = (attention_axes,) if is_integer(attention_axes) else attention_axes
        if axes is not None and not (isinstance(axes, (list, tuple)) and all(map(is_integer, axes))):
            raise ValueError(
                f"`attention_axes` must be an int, list, or tuple. Received: attention_axes={attention_axes}"
            )
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout must be between 0 and 1. Received: dropout={dropout!r}")
        if flash_attention and dropout > 0:
            raise ValueError(
                "Dropout is not supported when flash attention is enabled. Please set dropout to 0.0 to use flash "
                "attention."
            )
        super().__init__(**kwargs)
        self.num_heads, self.key_dim = int(num_heads), int(key_dim)
        self.value_dim = int(value_dim) if value_dim is not None else self.key_dim
        self._shared_heads = self.num_heads  # of keys and values
        self.dropout, self.use_bias, self.use_gate = dropout, bool(use_bias), bool(use_gate)
        self._output_shape = _checked_output_shape(output_shape)
        self.attention_axes: tuple[int, ...] | None = tuple(axes) if axes else None
        self.sliding_window, self.seed = sliding_window, seed
        if dropout > 0:
            self.seed_generator = seed_generator(seed)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self._activity_regularizer = regularizers.get(
            activity_regularizer
        )  # of projections, not of the layer
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    # --- building

    def build(self, query_shape: Any, value_shape: Any = None, key_shape: Any = None) -> None:
        """Make the projections, for three shapes or a list of two or three."""
        if value_shape is None:
            query_shape, value_shape, *rest = query_shape
            key_shape = rest[0] if rest else None
        shapes = [query_shape, value_shape, value_shape if key_shape is None else key_shape]
        self.check_shapes(shapes)
        n, k, v = self.num_heads, self.key_dim, self.value_dim
        rank = len(query_shape)
        names = ascii_lowercase[:rank], ascii_lowercase[rank : rank + 2]
        into = f"{names[0]},{names[0][-1]}{names[1]}->{names[0][:-1]}{names[1]}"
        between = (None,) * (rank - 2)

        def projection(name: str, heads: int, size: int, shape: Any, activation: Any = None) -> EinsumDense:
            return self._projection(name, into, (*between, heads, size), names[1], shape, activation)

        self.query_dense = projection("query", n, k, shapes[0])
        self.key_dense = projection("key", self._shared_heads, k, shapes[2])
        if self.use_gate:
            self.gate_dense = projection("gate", n, v, shapes[0], "sigmoid")
        self.value_dense = projection("value", self._shared_heads, v, shapes[1])
        output = self._output_shape or (query_shape[-1],)
        letters = ascii_lowercase[rank + 1 : rank + 1 + len(output)]
        kept, summed = ascii_lowercase[: rank - 1], ascii_lowercase[rank - 1 : rank + 1]
        self.output_dense = self._projection(
            "attention_output",
            f"{kept}{summed},{summed}{letters}->{kept}{letters}",
            (*between, *output),
            letters,
            (*query_shape[:-1], n, v),
        )
        self.attention_axes = self._axes(query_shape).over
        self._build_shape = [tuple(shape) for shape in (query_shape, value_shape)]
        self.built = True

    def _projection(
        self, name: str, equation: str, shape: Any, bias_axes: str, input_shape: Any, activation: Any = None
    ) -> EinsumDense:
        layer = EinsumDense(
            equation,
            shape,
            activation=activation,
            bias_axes=bias_axes if self.use_bias else None,
            kernel_initializer=fresh(self.kernel_initializer),
            bias_initializer=fresh(self.bias_initializer),
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            activity_regularizer=self._activity_regularizer,
            kernel_constraint=self.kernel_constraint,
            bias_constraint=self.bias_constraint,
            name=name,
        )
        layer.ensure_built(input_shape)
        prefix_paths(layer, self.name)
        layer.trainable = self.trainable
        return layer

    def _axes(self, query_shape: Any) -> AttentionAxes:
        return AttentionAxes.of(len(query_shape), self.attention_axes, self.name)

    def check_shapes(self, shapes: Any) -> None:
        value, key = shapes[1], shapes[2] if len(shapes) > 2 else shapes[1]
        if tuple(value[1:-1]) != tuple(key[1:-1]):
            raise ValueError(
                "All dimensions of `value` and `key`, except the last one, must be equal. Received: value_shape="
                f"{tuple(value)} and key_shape={tuple(key)}"
            )
        query = shapes[0]
        if len(query) < 3 or len(value) != len(query):
            raise ValueError(
                f"layer {self.name!r} takes query (B, T, n), value (B, S, m) and key (B, S, k), or all with as many "
                f"further axes, got shapes {[tuple(s) for s in shapes]}"
            )
        for axis in self._axes(query).apart:
            sizes = {shape[axis] for shape in (query, value, key)} - {None}
            if len(sizes) > 1:
                what = "batch size" if axis == 0 else f"size of axis {axis}"
                raise ValueError(f"inputs of layer {self.name!r} must have one {what}, got {sorted(sizes)}")
        if self.built:
            for layer, shape in ((self.query_dense, query), (self.key_dense, key), (self.value_dense, value)):
                if shape[-1] != layer.kernel.shape[0]:
                    raise ValueError(
                        f"The {layer.name} of layer {self.name!r} must have {layer.kernel.shape[0]} features, got shape "
                        f"{tuple(shape)}"
                    )

    def compute_output_shape(self, query_shape: Any, value_shape: Any = None, key_shape: Any = None) -> Any:
        if value_shape is None:
            query_shape, value_shape, *rest = query_shape
            key_shape = rest[0] if rest else None
        self.check_shapes([query_shape, value_shape, value_shape if key_shape is None else key_shape])
        return (*query_shape[:-1], *self._output_shape) if self._output_shape else tuple(query_shape)

    def output_shapes(self, shapes: Any, arguments: dict[str, Any]) -> Any:
        y = self.compute_output_shape(shapes[:3])
        if not arguments.get("return_attention_scores"):
            return y
        return (y, self._axes(shapes[0]).scores_shape(shapes[0], shapes[1], self.num_heads))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None if mask is None else mask[0]

    # --- calls

    def _convert(self, inputs: Any) -> list[Array]:
        names = ("query", "value", "key")
        return [
            super(MultiHeadAttention, self)._convert(array) for _, array in zip(names, inputs, strict=False)
        ]

    def __call__(  # type: ignore[override]
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        """The layer as a function of arrays; or, of symbolic tensors, a node in a graph.

        Parameters
        ----------
        query : (B, T, n) array_like
        value : (B, S, m) array_like
        key : (B, S, k) array_like, optional
            The value by default.
        query_mask : (B, T) bool array, optional
        value_mask, key_mask : (B, S) bool array, optional
            In a graph, masks come with the tensors.
        attention_mask : (B, T, S), (B, 1, S), (T, S) or (B, N, T, S) bool array, optional
            Which step of the query sees which of the value. With several `attention_axes` T and S stand for all of
            them, as in the scores; axes apart from these are where B is.
        return_attention_scores : bool
            Also return the weights, (B, N, T, S), before dropout.
        training : bool, optional
            Dropout is on.
        use_causal_mask : bool
            A step of the query sees the steps of the value up to its own.

        Returns
        -------
        numpy.ndarray, or a tuple of two
        """
        query, value, key, attention_mask = (
            in_trace(tensor, training) for tensor in (query, value, key, attention_mask)
        )
        flags = {"return_attention_scores": return_attention_scores, "use_causal_mask": use_causal_mask}
        arguments: dict[str, Any] = {name: True for name, value_ in flags.items() if value_}
        inputs = [query, value] if key is None else [query, value, key]
        if key is None and attention_mask is not None:  # the fourth input
            inputs.append(value)
            arguments["key"] = False
        if is_symbolic([inputs, attention_mask]):
            if any(m is not None for m in (query_mask, value_mask, key_mask)):
                raise ValueError(
                    f"query_mask, value_mask and key_mask of layer {self.name!r} come with the tensors of a graph; "
                    "give attention_mask"
                )
            if attention_mask is not None:
                if not isinstance(attention_mask, KerasTensor):
                    raise ValueError(f"attention_mask of layer {self.name!r} must be a tensor of the graph")
                arguments["attention_mask"] = True
                inputs.append(attention_mask)
            outputs = self.record(inputs, {**arguments, **said_in_graph(training)})
            if attention_mask is not None:  # Keras's order, which decides that of a model's layers
                self.inbound_nodes[-1].parents = [query, value, attention_mask, *inputs[2:3]]
            return outputs
        x = self._convert(inputs)
        self.ensure_built(shapes_of(x))
        self.check_input(x)
        call = Call(is_training(training))
        masks = [query_mask, value_mask, None if key is None else key_mask]
        call.mask = [
            steps_mask(carried_mask(given) if m is None else m, a)
            for given, m, a in zip(inputs, masks, x, strict=False)
        ]
        if attention_mask is not None:
            arguments["attention_mask"] = True
            self._checked_attention_mask(attention_mask, x)
            x.append(np.asarray(attention_mask) != 0)
        call.arguments = arguments
        return self.run(x, call)

    def ensure_built(self, shapes: Any, by_name: dict[str, Any] | None = None) -> None:
        super().ensure_built(shapes[:3], by_name)

    def graph_arguments(self, inputs: Any, kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """A recorded call as Keras writes it."""
        left = list(inputs)
        query, value = left.pop(0), left.pop(0)
        named: dict[str, Any] = {
            key: kwargs[key]
            for key in ("return_attention_scores", "use_causal_mask", "training")
            if key in kwargs
        }
        if left and kwargs.get("key", True):
            named["key"] = left.pop(0)
        if kwargs.get("attention_mask"):
            named["attention_mask"] = left.pop()
        return [query, value], named

    def frozen_call(self, node: Node, inputs: list[Any]) -> FrozenGraph:
        return frozen_heads(self, node.kwargs, inputs)

    # --- configuration

    def get_build_config(self) -> dict[str, Any] | None:
        """``{"shapes_dict": ...}`` once the layer is built."""
        if self._build_shape is None:
            return None
        query, value, *rest = self._build_shape
        shapes = {"query_shape": query, "value_shape": value}
        return {"shapes_dict": {**shapes, **({"key_shape": rest[0]} if rest else {})}}

    def keras_children(self) -> list[tuple[str, Layer]]:
        """Where Keras's weight files put the projections."""
        names = ("query_dense", "key_dense", "_gate_dense", "value_dense", "output_dense")
        found = [(name, getattr(self, name.removeprefix("_"), None)) for name in names]
        return [(name, layer) for name, layer in found if layer is not None]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "use_gate": self.use_gate,
            "output_shape": self._output_shape,
            "attention_axes": self.attention_axes,
            "sliding_window": self.sliding_window,
            "kernel_initializer": serialize_keras_object(self.kernel_initializer),
            "bias_initializer": serialize_keras_object(self.bias_initializer),
            "kernel_regularizer": serialize_keras_object(self.kernel_regularizer),
            "bias_regularizer": serialize_keras_object(self.bias_regularizer),
            "activity_regularizer": serialize_keras_object(self._activity_regularizer),
            "kernel_constraint": serialize_keras_object(self.kernel_constraint),
            "bias_constraint": serialize_keras_object(self.bias_constraint),
            "seed": self.seed,
        }


def _checked_output_shape(value: Any) -> tuple[int, ...] | None:
    if not value:
        return None
    shape = (value,) if isinstance(value, (int, np.integer)) else value
    if not isinstance(shape, (list, tuple)) or any(
        not isinstance(n, (int, np.integer)) or n <= 0 for n in shape
    ):
        raise ValueError(
            f"Invalid `output_shape`: {value!r}. When specified, it should be of type tuple, list, or int."
        )
    return tuple(int(n) for n in shape)
