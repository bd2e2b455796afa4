# SPDX-License-Identifier: BSD-3-Clause
"""RMSprop and Adagrad."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Array, Optimizer


class RMSprop(Optimizer):
    """Gradients divided by a running root mean square (Hinton 2012), in Keras's form.

    ``v = rho*v + (1-rho)*g*g``; ``w -= learning_rate * g / sqrt(v + epsilon)``. `centered` subtracts the squared mean
    gradient from v; `momentum` carries increments on.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **kwargs: Any,
    ):
        super().__init__(learning_rate, **kwargs)
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum: expected a number from 0 to 1, got {momentum!r}")
        self.rho, self.momentum, self.epsilon, self.centered = rho, momentum, epsilon, centered
        self.slot_names = ("velocity", *(("momentum",) if momentum > 0 else ()), *(("average_gradient",) if centered else ()))

    def update_one(self, value: Array, gradient: Array, rate: float, *slots: Array) -> None:
        velocity, *more = slots
        rho = np.float32(self.rho)
        velocity *= rho
        velocity += (1 - rho) * gradient * gradient
        denominator = velocity + np.float32(self.epsilon)
        if self.centered:
            average = more[-1]
            average *= rho
            average += (1 - rho) * gradient
            denominator -= average * average
        increment = np.float32(rate) * gradient / np.sqrt(denominator)
        if self.momentum > 0:
            carried = more[0]
            carried *= np.float32(self.momentum)
            carried += increment
            increment = carried
        value -= increment

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "centered": self.centered,
        }


class Adagrad(Optimizer):
    """Gradients divided by the root of their accumulated squares (Duchi et al. 2011)."""

    slot_names = ("accumulator",)

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ):
        super().__init__(learning_rate, **kwargs)
        self.initial_accumulator_value, self.epsilon = initial_accumulator_value, epsilon

    def initial_slot(self, slot_name: str) -> float:
        return self.initial_accumulator_value

    def update_one(self, value: Array, gradient: Array, rate: float, *slots: Array) -> None:
        (accumulator,) = slots
        accumulator += gradient * gradient
        value -= np.float32(rate) * gradient / np.sqrt(accumulator + np.float32(self.epsilon))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "initial_accumulator_value": self.initial_accumulator_value,
            "epsilon": self.epsilon,
        }
