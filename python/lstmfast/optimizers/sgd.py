# SPDX-License-Identifier: BSD-3-Clause
"""Gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..variables import Variable
from .base import Optimizer

__all__ = ["SGD"]


class SGD(Optimizer):
    """Gradient descent, with momentum (Polyak 1964), plain or as Nesterov's (Sutskever et al. 2013).

    ``v = momentum * v - learning_rate * g``; then ``w += v``, or with `nesterov` ``w += momentum * v -
    learning_rate * g``.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    momentum : float
        From 0 to 1.
    nesterov : bool
    **kwargs
        See `Optimizer`.

    Examples
    --------
    >>> import lstmfast as lf
    >>> lf.optimizers.SGD(0.1, momentum=0.9).momentum
    0.9
    """

    def __init__(
        self, learning_rate: Any = 0.01, momentum: float = 0.0, nesterov: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        if isinstance(momentum, bool) or not isinstance(momentum, (int, float)) or not 0 <= momentum <= 1:
            raise ValueError(f"`momentum` must be a float between [0, 1]. Received: momentum={momentum!r}")
        self.momentum = float(momentum)
        self.nesterov = nesterov
        self._group_slots = 1 if momentum else 0

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        if self.momentum:
            self._share_slots(self.add_optimizer_variables(self._trainable, "momentum"))

    def update_all(self, learning_rate: float) -> None:
        self._group.sgd(learning_rate, self.momentum, self.nesterov)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}
