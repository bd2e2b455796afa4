# SPDX-License-Identifier: BSD-3-Clause
"""Long short-term memory (Hochreiter and Schmidhuber 1997; Gers et al. 2000)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...variables import Variable
from .recurrent import RecurrentLayer, checked_use_cudnn

__all__ = ["LSTM"]

Array = npt.NDArray[Any]


class LSTM(RecurrentLayer):
    """Long short-term memory over a whole sequence.

    ``i, f, o = g(z_i), g(z_f), g(z_o)``, ``c_t = f * c + i * a(z_c)``, ``h_t = o * a(c_t)`` with
    ``z = x_t @ kernel + h @ recurrent_kernel + bias``; gates in the order i, f, c, o.

    Parameters
    ----------
    units : int
        Size of the states and of the output.
    activation, recurrent_activation : str, callable or layer
        ``a`` and ``g`` above; ``"tanh"`` and ``"sigmoid"``. With one that no kernel has, as ``"mish"`` or ``LeakyReLU()``,
        the steps run in Python and cannot be frozen.
    use_bias : bool
    kernel_initializer, recurrent_initializer, bias_initializer : str, dict or callable
    unit_forget_bias : bool
        The forget gate's bias starts with 1 (Jozefowicz et al. 2015).
    kernel_regularizer, recurrent_regularizer, bias_regularizer, activity_regularizer : optional
    kernel_constraint, recurrent_constraint, bias_constraint : optional
    dropout, recurrent_dropout : float
        Share of the inputs and of h that is dropped in training, by one mask for all steps of a row.
    seed : int, optional
        Own stream of random numbers for dropout.
    return_sequences : bool
        Output of every step, (B, T, units), rather than the last, (B, units).
    return_state : bool
        Also return the final h and c.
    go_backwards : bool
        From the last step to the first; outputs are in the order of processing.
    stateful : bool
        The final states of a batch are the initial ones of the next; needs a fixed batch size.
    unroll, use_cudnn, implementation : ignored
        Accepted for Keras's sake.
    peephole : bool
        The gates see the cell as well (Gers and Schmidhuber 2000, "Recurrent nets that time and count"): ``p_i * c``
        and ``p_f * c`` of the step before are added to z_i and z_f, ``p_o * c_t`` to z_o. Not in Keras.
    projection : int, optional
        Size P of h, which is then ``(o * a(c_t)) @ projection_kernel`` (Sak, Senior and Beaufays 2014, "Long
        short-term memory recurrent neural network architectures for large scale acoustic modeling"; PyTorch's
        ``proj_size``). Outputs, h and masks of recurrent dropout have P elements, c still `units`. Not in Keras.
    layer_norm : bool
        Layer normalization (Ba, Kiros and Hinton 2016, "Layer normalization", equations 20 to 22):
        ``z = LN(h @ recurrent_kernel) + LN(x_t @ kernel) + bias``, each LN over all 4*units sums of a row, and
        ``h_t = o * a(LN(c_t))``, with gains and offsets of their own; epsilon 1e-3 as in Keras's
        LayerNormalization. Needs whole rows: threads share the batch, and a batch of one has one. Not with
        `peephole`. Not in Keras.
    zoneout : float or pair of float
        Share of c, and of h, that keeps its value from step to step: units drawn at random in training, that share of
        each in inference (Krueger et al. 2016, "Zoneout: regularizing RNNs by randomly preserving hidden activations").
        One number serves both; GRU and SimpleRNN take one, of h. With `projection` it is the projected h that stays,
        element by element; with `peephole` and `layer_norm` the output gate and the normalization see the new c before it
        is mixed with the one before, as h does; with recurrent dropout h itself stays, not what the mask leaves of it for
        the product. Not in Keras.
    variational : bool
        One dropout mask serves all gates ("tied weights", Gal and Ghahramani 2016, "A theoretically grounded application
        of dropout in recurrent neural networks"); Keras draws one a gate where there is recurrent dropout, which takes
        as many products as gates. Not in Keras.
    remat : bool
        Keep the states of every sqrt(T)-th step for the backward pass and compute the others again (Chen et al. 2016,
        "Training deep nets with sublinear memory cost"): a third more work for a memory of sqrt(T) steps. Outputs have
        the same bits, gradients may differ in the last. Not in Keras.
    **kwargs
        See `Layer`; also `zero_output_for_mask`.

    Notes
    -----
    Input (B, T, n) float32. Weights: kernel (n, 4*units), recurrent_kernel (units, 4*units), bias (4*units,). With
    `peephole` then peephole_kernel (3, units) in the order i, f, o, which starts with zeros: the LSTM without it.
    With `layer_norm` then recurrent_norm_gamma and recurrent_norm_beta (4*units,), kernel_norm_gamma and
    kernel_norm_beta (4*units,), state_norm_gamma and state_norm_beta (units,); gammas start with ones, betas with
    zeros. With `projection` recurrent_kernel is (P, 4*units) and projection_kernel (units, P), which starts like
    kernel, is the last. Regularizers and constraints do not act on any of these. The configuration says what Keras does
    not know only where it is not the default; such a layer can only be saved natively.
    A sequence is one native call each way (`lstmfast.reference.lstm_forward` is its specification).

    Raises
    ------
    ValueError
        If an argument or the shape of an input is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import LSTM
    >>> lstm = LSTM(4, return_sequences=True, return_state=True)
    >>> outputs, h, c = lstm(np.zeros((2, 5, 3)))
    >>> outputs.shape, h.shape, c.shape
    ((2, 5, 4), (2, 4), (2, 4))
    """

    gates, n_states = 4, 2

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
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
        use_cudnn: Any = "auto",
        *,
        peephole: bool = False,
        projection: int | None = None,
        layer_norm: bool = False,
        **kwargs: Any,
    ) -> None:
        self.projection = _checked_size("projection", projection)
        self.peephole = _checked_flag("peephole", peephole)
        self.layer_norm = _checked_flag("layer_norm", layer_norm)
        if self.peephole and self.layer_norm:
            raise ValueError(
                "peephole=True with layer_norm=True is not supported: layer normalization is defined for gates that "
                "see x and h, not for one that sees c as well"
            )
        self.use_cudnn = checked_use_cudnn(use_cudnn)
        self.unit_forget_bias = bool(unit_forget_bias)
        self.cell_name = "_".join(["lstm", *self._variants()])  # type: ignore[misc]
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
        if self.projection is not None:
            self.state_size[0] = self.projection

    def _variants(self) -> dict[str, Any]:
        """Arguments that make another cell of it, where they are not the default."""
        given = {"peephole": self.peephole, "layer_norm": self.layer_norm, "projection": self.projection}
        return {key: value for key, value in given.items() if value}

    def _build_extra(self) -> list[Variable]:
        extra = []
        if self.peephole:
            extra.append(self.add_weight((3, self.units), "zeros", "peephole_kernel"))
        if self.layer_norm:
            for name, size in (
                ("recurrent", 4 * self.units),
                ("kernel", 4 * self.units),
                ("state", self.units),
            ):
                extra.append(self.add_weight((size,), "ones", f"{name}_norm_gamma"))
                extra.append(self.add_weight((size,), "zeros", f"{name}_norm_beta"))
        if self.projection is not None:
            shape = (self.units, self.projection)
            extra.append(self.add_weight(shape, self.kernel_initializer, "projection_kernel"))
        return extra

    def _initial_bias(self, shape: Sequence[int], dtype: Any = "float32") -> Array:
        if not self.unit_forget_bias:
            return super()._initial_bias(shape, dtype)
        return with_forget_bias(super()._initial_bias, self.units, dtype)

    def get_config(self) -> dict[str, Any]:
        from ... import activations

        return {
            **super().get_config(),
            "recurrent_activation": activations.serialize(self.recurrent_activation),
            "unit_forget_bias": self.unit_forget_bias,
            "seed": self.seed,
            **self._variants(),
        }


def with_forget_bias(initializer: Any, units: int, dtype: Any) -> Array:
    """The bias of an LSTM's gates that begins with 1 for the forget gate (Jozefowicz et al. 2015)."""
    of_i, of_c_o = (np.asarray(initializer((n * units,), dtype=dtype)) for n in (1, 2))
    return np.concatenate([of_i, np.ones(units, dtype), of_c_o])


def _checked_flag(argument: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"Argument `{argument}` must be True or False, got {value!r}")
    return bool(value)


def _checked_size(argument: str, value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"Argument `{argument}` must be a positive integer or None, got {value!r}")
    return int(value)
