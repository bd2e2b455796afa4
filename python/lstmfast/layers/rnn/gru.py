# SPDX-License-Identifier: BSD-3-Clause
"""The gated recurrent unit (Cho et al. 2014)."""

from __future__ import annotations

from typing import Any

from ... import activations
from .recurrent import RecurrentLayer, checked_use_cudnn

__all__ = ["GRU"]


class GRU(RecurrentLayer):
    """Gated recurrent unit over a whole sequence.

    ``z, r = g(z_z), g(z_r)``, ``n = a(x_t @ W_h + b_h + r * (h @ U_h + c_h))``, ``h_t = z * h + (1 - z) * n``;
    gates in the order z, r, h. With ``reset_after=False``, as first published, ``n = a(x_t @ W_h + b_h +
    (r * h) @ U_h)``.

    Parameters
    ----------
    units : int
        Size of the state and of the output.
    activation, recurrent_activation : str, callable or layer
        ``a`` and ``g`` above; ``"tanh"`` and ``"sigmoid"``. With one that no kernel has, as ``"mish"`` or ``LeakyReLU()``,
        the steps run in Python and cannot be frozen.
    use_bias, kernel_initializer, recurrent_initializer, bias_initializer, kernel_regularizer,
    recurrent_regularizer, bias_regularizer, activity_regularizer, kernel_constraint, recurrent_constraint,
    bias_constraint, dropout, recurrent_dropout, seed, return_sequences, return_state, go_backwards, stateful,
    unroll, use_cudnn, **kwargs
        As in `LSTM`.
    reset_after : bool
        The reset gate acts after the product with the recurrent kernel (as in cuDNN and PyTorch), not before.

    Notes
    -----
    Input (B, T, n) float32. Weights: kernel (n, 3*units), recurrent_kernel (units, 3*units), bias (2, 3*units),
    the first row beside x and the second beside h; (3*units,) with ``reset_after=False``
    (`lstmfast.reference.gru_forward` is its specification).

    Raises
    ------
    ValueError
        If an argument or the shape of an input is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import GRU
    >>> GRU(4, return_sequences=True)(np.zeros((2, 5, 3))).shape
    (2, 5, 4)
    """

    gates, n_states = 3, 1

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        reset_after: bool = True,
        use_cudnn: Any = "auto",
        **kwargs: Any,
    ) -> None:
        self.use_cudnn = checked_use_cudnn(use_cudnn)
        self.reset_after = bool(reset_after)
        super().__init__(
            units,
            activation=activation,
            recurrent_activation=recurrent_activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            unroll=unroll,
            **kwargs,
        )

    @property
    def cell_name(self) -> str:  # type: ignore[override]
        return "gru" if self.reset_after else "gru_reset_before"

    def _bias_shape(self) -> tuple[int, ...]:
        columns = self.gates * self.units
        return (2, columns) if self.reset_after else (columns,)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "recurrent_activation": activations.serialize(self.recurrent_activation),
            "reset_after": self.reset_after,
            "seed": self.seed,
        }
