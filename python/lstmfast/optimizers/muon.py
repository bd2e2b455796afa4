# SPDX-License-Identifier: BSD-3-Clause
"""Muon: steps of matrices whose singular values are all about 1."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..variables import Variable
from .base import Array, Optimizer, parameter_group, share_slot
from .state import check_numbers

__all__ = ["Muon"]


class Muon(Optimizer):
    """Momentum made orthogonal for matrices, AdamW for everything else (Jordan et al. 2024; Liu et al. 2025).

    ``m = momentum * m + g``; a matrix goes along ``g + momentum * m`` (`nesterov`) or ``m`` after `ns_steps` of the
    Newton-Schulz iteration ``x = a x + (b x x^T + c (x x^T)^2) x``, which brings all singular values near 1.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    adam_beta_1, adam_beta_2, epsilon : float
        Of AdamW, by which variables that are no matrices learn, and those that the next two leave out.
    adam_weight_decay : float or None
        Weight decay of those; `weight_decay` is that of matrices.
    exclude_layers : list of str, optional
        Patterns (`re.search`) of paths of variables that learn by AdamW: name the last Dense layer.
    exclude_embeddings : bool
        Also all whose path has "embedding" in it.
    muon_a, muon_b, muon_c : float
        Coefficients of the iteration.
    adam_lr_ratio : float
        AdamW's learning rate in relation to Muon's.
    momentum : float
    ns_steps : int
    nesterov : bool
    rms_rate : float or None
        Steps of a matrix are scaled by this times the root of its longer side, which makes learning rates of Adam fit
        (Liu et al. 2025).
    **kwargs
        See `Optimizer`.

    References
    ----------
    K. Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; J. Liu et al. 2025, arXiv:2502.16982.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.optimizers import Muon
    >>> step = Muon().zeropower_via_newtonschulz5(np.diag([3.0, 0.1]), steps=10)
    >>> bool(np.all(np.abs(np.linalg.svd(step)[1] - 1) < 0.35))
    True
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        exclude_layers: Sequence[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.7750,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate,
            weight_decay,
            clipnorm,
            clipvalue,
            global_clipnorm,
            use_ema,
            ema_momentum,
            ema_overwrite_frequency,
            loss_scale_factor,
            gradient_accumulation_steps,
            name,
            **kwargs,
        )
        numbers = {
            "adam_beta_1": adam_beta_1,
            "adam_beta_2": adam_beta_2,
            "epsilon": epsilon,
            "muon_a": muon_a,
            "muon_b": muon_b,
            "muon_c": muon_c,
            "adam_lr_ratio": adam_lr_ratio,
            "momentum": momentum,
            "ns_steps": ns_steps,
            "adam_weight_decay": adam_weight_decay,
            "rms_rate": rms_rate,
        }
        check_numbers(**numbers)
        for key in ("adam_beta_1", "adam_beta_2"):
            if not 0 <= numbers[key] < 1:  # type: ignore[operator]
                raise ValueError(f"{key}: expected a number from 0 to below 1, got {numbers[key]!r}")
        if not isinstance(ns_steps, (int, np.integer)) or ns_steps < 0:
            raise ValueError(f"ns_steps: expected a whole number, 0 or above, got {ns_steps!r}")
        if isinstance(exclude_layers, str):
            raise TypeError(f"exclude_layers: expected a list of patterns, got {exclude_layers!r}")
        self.adam_beta_1 = adam_beta_1
        self.adam_beta_2 = adam_beta_2
        self.adam_weight_decay = adam_weight_decay
        self.epsilon = epsilon
        self.exclude_layers = list(exclude_layers or ())
        self.exclude_embeddings = exclude_embeddings
        self.muon_a = muon_a
        self.muon_b = muon_b
        self.muon_c = muon_c
        self.adam_lr_ratio = adam_lr_ratio
        self.momentum = momentum
        self.ns_steps = ns_steps
        self.nesterov = nesterov
        self.rms_rate = rms_rate

    def _should_use_adamw(self, variable: Variable) -> bool:
        if len(variable.shape) != 2:
            return True
        if self.exclude_embeddings and "embedding" in variable.path.lower():
            return True
        return any(re.search(pattern, variable.path) for pattern in self.exclude_layers)

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._momentums: list[Variable] = []
        #: A native group of one for each variable that learns by AdamW.
        self._adams: list[Any] = []
        for v in self._trainable:
            group = None
            self._momentums.append(self.add_variable_from_reference(v, "momentum"))
            if self._should_use_adamw(v):
                group = parameter_group([v], 2)
                share_slot(group, 0, self._momentums[-1:])
                share_slot(group, 1, [self.add_variable_from_reference(v, "velocity")])
            self._adams.append(group)

    def _shrink_weights(self, rate: float) -> None:
        factors = []
        for v, adam in zip(self._trainable, self._adams, strict=True):
            decay = self.weight_decay if adam is None else self.adam_weight_decay
            factors.append(1.0 - (decay or 0.0) * rate if self._decays(v) else 1.0)
        if any(factor != 1.0 for factor in factors):
            self._group.scale_values(factors)

    def update_step(self, gradient: Array, variable: Variable, learning_rate: float) -> None:
        i = self._index[id(variable)]
        adam = self._adams[i]
        if adam is None:
            self._muon(np.asarray(gradient, np.float32), variable, learning_rate, self._momentums[i]._data)
            return
        live = variable._grad_live
        buffer = variable.grad_out()[0]
        if gradient is not buffer:
            buffer[...] = gradient
        variable._grad_live = live
        step = int(self.iterations) + 1
        rate = learning_rate * self.adam_lr_ratio
        adam.adam(rate, self.adam_beta_1, self.adam_beta_2, self.epsilon, step, False)
        variable.touch()

    def _muon(self, gradient: Array, variable: Variable, rate: float, m: Array) -> None:
        m *= np.float32(self.momentum)
        m += gradient
        ahead = gradient + np.float32(self.momentum) * m if self.nesterov else m
        update = self.zeropower_via_newtonschulz5(ahead, self.ns_steps)
        variable._data -= self.lr_adjust(np.float32(rate) * update)
        variable.touch()

    def lr_adjust(self, x: Any) -> Any:
        """A matrix times `rms_rate` and the root of its longer side; as it is without `rms_rate`."""
        if self.rms_rate is None:
            return x
        return x * np.float32(math.sqrt(max(x.shape[0], x.shape[1])) * self.rms_rate)

    def zeropower_via_newtonschulz5(self, x: Any, steps: int) -> Array:
        """The matrix with singular values near 1, in place of those it has.

        Raises
        ------
        ValueError
            If `x` has fewer than two axes.
        """
        x = np.asarray(x, np.float32)
        if x.ndim < 2:
            raise ValueError(f"x: expected a matrix, got an array of shape {x.shape}")
        a, b, c = np.float32(self.muon_a), np.float32(self.muon_b), np.float32(self.muon_c)
        tall = x.shape[-2] > x.shape[-1]
        if tall:  # the products are of the shorter side
            x = x.swapaxes(-1, -2)
        norm = np.sqrt(np.square(x).sum(axis=(-2, -1), keepdims=True))
        x = x / (norm + np.float32(1e-7))  # no singular value above 1
        for _ in range(steps):
            square = x @ x.swapaxes(-1, -2)
            x = a * x + (b * square + (c * square) @ square) @ x
        return np.asarray(x.swapaxes(-1, -2) if tall else x)

    def get_config(self) -> dict[str, Any]:
        names = (
            *("adam_beta_1", "adam_beta_2", "epsilon", "exclude_layers", "muon_a", "muon_b", "muon_c"),
            *("adam_lr_ratio", "momentum", "ns_steps", "nesterov", "exclude_embeddings"),
            *("adam_weight_decay", "rms_rate"),
        )
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
