# SPDX-License-Identifier: BSD-3-Clause
"""The simple recurrent network (Elman 1990)."""

from __future__ import annotations

from typing import Any

from .recurrent import RecurrentLayer

__all__ = ["SimpleRNN"]


class SimpleRNN(RecurrentLayer):
    """``h_t = activation(x_t @ kernel + h @ recurrent_kernel + bias)`` over a whole sequence.

    Parameters
    ----------
    units : int
        Size of the state and of the output.
    activation : str, callable or layer
        As in `LSTM`.
    use_bias, kernel_initializer, recurrent_initializer, bias_initializer, kernel_regularizer,
    recurrent_regularizer, bias_regularizer, activity_regularizer, kernel_constraint, recurrent_constraint,
    bias_constraint, dropout, recurrent_dropout, return_sequences, return_state, go_backwards, stateful,
    unroll, seed, **kwargs
        As in `LSTM`.

    Notes
    -----
    Input (B, T, n) float32. Weights: kernel (n, units), recurrent_kernel (units, units), bias (units,).

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import SimpleRNN
    >>> SimpleRNN(4)(np.zeros((2, 5, 3))).shape
    (2, 4)
    """

    cell_name, gates, n_states = "simple_rnn", 1, 1

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
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
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            activation=activation,
            recurrent_activation="sigmoid",
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
