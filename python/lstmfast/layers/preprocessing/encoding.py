# SPDX-License-Identifier: BSD-3-Clause
"""Numbers of categories as vectors of zeros and ones, or of counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...symbolic import Node
from ..arguments import is_integer
from ..base import Layer
from ..call import Call
from ..core.embedding import as_ids
from ..frozen import FrozenGraph, FrozenLayer

__all__ = ["CategoryEncoding", "encode", "encoded_shape", "frozen_encoding", "refuse_sparse"]

Array = npt.NDArray[Any]


def encode(indices: Array, output_mode: str, depth: int, dtype: Any, weights: Array | None = None) -> Array:
    """Indices as vectors of length `depth`; those outside of 0 to ``depth - 1`` leave no trace.

    Parameters
    ----------
    indices : array of int
        Along axis 1 (0 if there is no other) stand those that share a vector, except in mode "one_hot".
    output_mode : str
        "one_hot", "multi_hot" or "count".
    depth : int
    dtype : dtype
        Of the result.
    weights : array, optional
        What each index counts, of the shape of `indices`.
    """
    indices = np.atleast_1d(indices)
    if output_mode == "one_hot":
        if indices.ndim > 1 and indices.shape[-1] == 1:
            indices = indices[..., 0]
        return np.asarray(indices[..., None] == np.arange(depth)).astype(dtype)
    axis = 1 if indices.ndim > 1 else 0
    moved = np.moveaxis(indices, axis, -1)
    leading = moved.shape[:-1]
    rows = np.arange(int(np.prod(leading, dtype=np.int64)))
    flat = moved.reshape(len(rows), moved.shape[-1])
    inside = (flat >= 0) & (flat < depth)
    places = (rows[:, None] * depth + flat)[inside]
    shares = (
        None if weights is None else np.moveaxis(np.atleast_1d(weights), axis, -1).reshape(flat.shape)[inside]
    )
    counts = np.bincount(places, shares, minlength=len(rows) * depth)
    made = counts > 0 if output_mode == "multi_hot" else counts
    return made.astype(dtype).reshape(*leading, depth)


def encoded_shape(shape: Any, output_mode: str, depth: int | None) -> tuple[int | None, ...]:
    """The shape of what `encode` makes of indices of `shape`."""
    shape = tuple(shape) or (1,)
    if output_mode == "one_hot":
        return (*(shape[:-1] if len(shape) > 1 and shape[-1] == 1 else shape), depth)
    return (*shape[:1], *shape[2:], depth) if len(shape) > 1 else (depth,)


def refuse_sparse(sparse: Any) -> None:
    """ValueError unless `sparse` is false."""
    if sparse:
        raise ValueError(f"sparse={sparse!r} is not supported: outputs are plain NumPy arrays")


def frozen_encoding(layer: Layer, output_mode: str, depth: int, strict: bool = False) -> FrozenLayer:
    """`encode` in a frozen model; `strict` makes an error of ids from `depth` on."""
    rank = max(len(node.inputs.shape) for node in layer.inbound_nodes)
    if rank > 2 or (rank == 1 and output_mode != "one_hot"):
        raise ValueError(f"layer {layer.name!r} cannot be frozen: its input has {rank} axes")
    arguments = {"mode": output_mode, "depth": depth, "strict": strict}
    return FrozenLayer("encode", arguments, "it makes another time axis")


class CategoryEncoding(Layer):
    """Turns numbers of categories into vectors of zeros and ones, or of counts.

    Parameters
    ----------
    num_tokens : int
        How many categories there are.
    output_mode : str
        ``"multi_hot"``: one vector a sample, 1 for each category in it. ``"count"``: how often it is in it.
        ``"one_hot"``: a vector for each number.
    sparse : False
        Not supported.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input: integers (batch,) or (batch, n), also whole floats; a negative one stands for no category. Output float32
    (batch, num_tokens); of ``"one_hot"`` (batch, n, num_tokens), without the axis where n is 1. A layer call also takes
    ``count_weights``, numbers of the input's shape: what each entry counts in mode ``"count"``.

    Raises
    ------
    ValueError
        If `num_tokens` is missing or not positive, `output_mode` is unknown, or a category is too large.
    TypeError
        If the categories are not integers.

    Examples
    --------
    >>> from lstmfast.layers import CategoryEncoding
    >>> CategoryEncoding(4)([[0, 1], [3, 3]])
    array([[1., 1., 0., 0.],
           [0., 0., 0., 1.]], dtype=float32)
    >>> CategoryEncoding(4, output_mode="count")([[3, 3]], count_weights=[[0.5, 2.0]])
    array([[0. , 0. , 0. , 2.5]], dtype=float32)
    """

    integer_inputs = True

    def __init__(
        self,
        num_tokens: int | None = None,
        output_mode: str = "multi_hot",
        sparse: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        output_mode = "multi_hot" if output_mode == "binary" else output_mode
        if output_mode not in ("count", "one_hot", "multi_hot"):
            raise ValueError(f"Unknown arg for output_mode: {output_mode}")
        refuse_sparse(sparse)
        if num_tokens is None:
            raise ValueError(
                "num_tokens must be set to use this layer. If the number of tokens is not known beforehand, use the "
                "IntegerLookup layer instead."
            )
        if not is_integer(num_tokens) or num_tokens < 1:
            raise ValueError(f"`num_tokens` must be >= 1. Received: num_tokens={num_tokens}.")
        self.num_tokens, self.output_mode, self.sparse = int(num_tokens), output_mode, False
        self._build_at_init()

    def compute_output_shape(self, input_shape: Any) -> Any:
        return encoded_shape(input_shape, self.output_mode, self.num_tokens)

    def __call__(self, inputs: Any, *args: Any, count_weights: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """The vectors; see the class."""
        if count_weights is not None:
            kwargs["count_weights"] = count_weights
        return super().__call__(inputs, *args, **kwargs)

    def _convert(self, inputs: Any) -> Array:
        return as_ids(inputs, f"inputs of layer {self.name!r}")

    def check_values(self, x: Array) -> None:
        largest = as_ids(x, f"inputs of layer {self.name!r}").max(initial=-1)
        if largest >= self.num_tokens:
            raise ValueError(
                f"inputs of layer {self.name!r} must be categories from 0 to {self.num_tokens - 1} "
                f"(num_tokens={self.num_tokens}), got {largest}"
            )

    def call(self, inputs: Array, count_weights: Any = None) -> Array:  # type: ignore[override]
        ids = as_ids(inputs, f"inputs of layer {self.name!r}")
        self.check_values(ids)
        weights = None
        if count_weights is not None:
            if self.output_mode != "count":
                raise ValueError(
                    "`count_weights` is not used when `output_mode` is not `'count'`. Received "
                    f"`count_weights={count_weights}`."
                )
            weights = np.asarray(count_weights)
            if weights.dtype.kind not in "fiub":
                raise TypeError(f"count_weights must be numeric, got dtype {weights.dtype}")
            if weights.shape != ids.shape:
                raise ValueError(
                    f"count_weights must have the shape of the inputs, {ids.shape}, got {weights.shape}"
                )
        return encode(ids, self.output_mode, self.num_tokens, np.float32, weights)

    def frozen_call(self, node: Node, inputs: list[Any]) -> FrozenLayer | FrozenGraph | None:
        if node.kwargs:
            raise ValueError(f"layer {self.name!r} cannot be frozen: it is called with count_weights")
        return super().frozen_call(node, inputs)

    def frozen(self) -> FrozenLayer:
        return frozen_encoding(self, self.output_mode, self.num_tokens, strict=True)

    def backward(self, dy: Array, call: Call) -> None:
        """Nothing: numbers of categories have no gradient."""

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_tokens": self.num_tokens, "output_mode": self.output_mode}
