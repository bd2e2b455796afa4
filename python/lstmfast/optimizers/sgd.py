# SPDX-License-Identifier: BSD-3-Clause
"""Gradient descent with momentum."""

from __future__ import annotations

from typing import Any

from .base import Optimizer


class SGD(Optimizer):
    """Gradient descent, with momentum (Polyak 1964) plain or as Nesterov's (Sutskever et al. 2013).

    ``v = momentum * v - learning_rate * g``; then ``w += v``, or with `nesterov`
    ``w += momentum * v - learning_rate * g``.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    momentum : float
        From 0 to 1.
    nesterov : bool
    **kwargs
        See :class:`Optimizer`.

    Examples
    --------
    >>> import lstmfast as lf
    >>> lf.optimizers.SGD(0.1, momentum=0.9).momentum
    0.9
    """

    def __init__(self, learning_rate: Any = 0.01, momentum: float = 0.0, nesterov: bool = False, **kwargs: Any):
        super().__init__(learning_rate, **kwargs)
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum: expected a number from 0 to 1, got {momentum!r}")
        self.momentum, self.nesterov = momentum, nesterov
        self.slot_names = ("momentum",) if momentum else ()

    def update(self, rate: float) -> None:
        self._group.sgd(rate, self.momentum, self.nesterov)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}
