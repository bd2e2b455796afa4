# SPDX-License-Identifier: BSD-3-Clause
"""Attention whose heads share keys and values in groups (Ainslie et al. 2023)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...utils.naming import unique_name
from ..base import Layer
from .multi_head_attention import MultiHeadAttention

__all__ = ["GroupQueryAttention"]


class GroupQueryAttention(MultiHeadAttention):
    """As `MultiHeadAttention`, but each head of keys and values serves several heads of queries.

    Parameters
    ----------
    head_dim : int
        Size of a head's queries, keys and values.
    num_query_heads : int
    num_key_value_heads : int
        A divisor of `num_query_heads`; 1 for multi-query attention (Shazeer 2019).
    dropout, use_bias, sliding_window, flash_attention, kernel_initializer, bias_initializer, kernel_regularizer,
    bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint, use_gate, seed, **kwargs
        As in `MultiHeadAttention`.

    Notes
    -----
    Calls, output and masks are those of `MultiHeadAttention`, the output as wide as the query. Weights likewise, those
    of key and value with `num_key_value_heads` heads. Ainslie et al. 2023, "GQA: Training generalized multi-query
    transformer models from multi-head checkpoints".

    Raises
    ------
    ValueError
        If an argument is wrong or shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import GroupQueryAttention
    >>> layer = GroupQueryAttention(head_dim=3, num_query_heads=4, num_key_value_heads=2)
    >>> layer(np.ones((5, 4, 6)), np.ones((5, 7, 6))).shape
    (5, 4, 6)
    """

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
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
            "head_dim": head_dim,
            "num_query_heads": num_query_heads,
            "num_key_value_heads": num_key_value_heads,
        }
        for argument, size in sizes.items():
            if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or size <= 0:
                raise ValueError(f"`{argument}` must be a positive integer. Received: {argument}={size!r}")
        if num_query_heads % num_key_value_heads:
            raise ValueError(
                "`num_query_heads` must be divisible by `num_key_value_heads`. Received: "
                f"num_query_heads={num_query_heads}, num_key_value_heads={num_key_value_heads}"
            )
        if kwargs.get("name") is None:
            kwargs["name"] = unique_name("grouped_query_attention")  # Keras's own name of the class
        super().__init__(
            num_query_heads,
            head_dim,
            dropout=dropout,
            use_bias=use_bias,
            sliding_window=sliding_window,
            flash_attention=flash_attention,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            use_gate=use_gate,
            seed=seed,
            **kwargs,
        )
        self.activity_regularizer = self._activity_regularizer  # of the layer too, as in Keras
        self.head_dim, self.num_query_heads = int(head_dim), int(num_query_heads)
        self.num_key_value_heads = self._shared_heads = int(num_key_value_heads)

    def compute_output_shape(self, query_shape: Any, value_shape: Any = None, key_shape: Any = None) -> Any:
        if value_shape is not None and query_shape[-1] != value_shape[-1]:
            raise ValueError(
                "The last dimension of `query_shape` and `value_shape` must be equal, but are "
                f"{query_shape[-1]}, {value_shape[-1]}. Received: query_shape={tuple(query_shape)}, "
                f"value_shape={tuple(value_shape)}"
            )
        return super().compute_output_shape(query_shape, value_shape, key_shape)

    def keras_children(self) -> list[tuple[str, Layer]]:
        """Where Keras's weight files put the projections."""
        return [(f"_{name.removeprefix('_')}", layer) for name, layer in super().keras_children()]

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for key in ("num_heads", "key_dim", "value_dim", "output_shape", "attention_axes"):
            del config[key]
        return {
            **config,
            "head_dim": self.head_dim,
            "num_query_heads": self.num_query_heads,
            "num_key_value_heads": self.num_key_value_heads,
        }
