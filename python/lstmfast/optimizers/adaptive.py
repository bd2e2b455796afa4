# SPDX-License-Identifier: BSD-3-Clause
"""Step sizes from the squares of past gradients: RMSprop, Adagrad, Adadelta, Ftrl."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import initializers
from ..variables import Variable
from .base import Array, Optimizer
from .state import check_numbers

__all__ = ["Adadelta", "Adagrad", "Ftrl", "RMSprop"]


class RMSprop(Optimizer):
    """Gradients over the root of their running mean square (Hinton 2012), in Keras's form.

    ``v = rho*v + (1-rho)*g*g``; ``w -= learning_rate * g / sqrt(v + epsilon)``.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    rho : float
        Decay of the mean square.
    momentum : float
        How much of the last step is made again.
    epsilon : float
    centered : bool
        Take the squared mean gradient off the mean square (Graves 2013).
    **kwargs
        See `Optimizer`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.optimizers import RMSprop
    >>> from lstmfast.variables import Variable
    >>> w = Variable(np.ones(2), name="w")
    >>> RMSprop(0.1, rho=0.75).apply([np.array([0.5, -2.0])], [w])
    >>> w.numpy().round(3)
    array([0.8, 1.2], dtype=float32)
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        check_numbers(rho=rho, momentum=momentum, epsilon=epsilon)
        self.rho = rho
        self.momentum = momentum
        self.epsilon = epsilon
        self.centered = centered
        self._group_slots = 1 + (momentum > 0) + bool(centered)

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        lists = [self.add_optimizer_variables(self._trainable, "velocity")]
        if self.momentum > 0:
            lists.append(self.add_optimizer_variables(self._trainable, "momentum"))
        if self.centered:
            lists.append(self.add_optimizer_variables(self._trainable, "average_gradient"))
        self._share_slots(*lists)

    def update_all(self, learning_rate: float) -> None:
        self._group.rmsprop(learning_rate, self.rho, self.momentum, self.epsilon, bool(self.centered))

    def get_config(self) -> dict[str, Any]:
        extra = {
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "centered": self.centered,
        }
        return {**super().get_config(), **extra}


class Adagrad(Optimizer):
    """Gradients over the root of the sum of their squares (Duchi et al. 2011).

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    initial_accumulator_value : float
        What the sum starts with.
    epsilon : float
    **kwargs
        See `Optimizer`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.optimizers import Adagrad
    >>> from lstmfast.variables import Variable
    >>> w = Variable(np.ones(2), name="w")
    >>> Adagrad(0.1, initial_accumulator_value=0.0).apply([np.array([0.5, -2.0])], [w])
    >>> w.numpy().round(3)
    array([0.9, 1.1], dtype=float32)
    """

    _group_slots = 1

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        check_numbers(initial_accumulator_value=initial_accumulator_value, epsilon=epsilon)
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        start = initializers.Constant(self.initial_accumulator_value)
        self._share_slots(self.add_optimizer_variables(self._trainable, "accumulator", start))

    def update_all(self, learning_rate: float) -> None:
        self._group.adagrad(learning_rate, self.epsilon)

    def get_config(self) -> dict[str, Any]:
        extra = {"initial_accumulator_value": self.initial_accumulator_value, "epsilon": self.epsilon}
        return {**super().get_config(), **extra}


class Adadelta(Optimizer):
    """Gradients over their root mean square, times that of past steps (Zeiler 2012).

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
        1.0 is the paper's.
    rho : float
        Decay of both mean squares.
    epsilon : float
    **kwargs
        See `Optimizer`.
    """

    _group_slots = 2

    def __init__(
        self, learning_rate: Any = 0.001, rho: float = 0.95, epsilon: float = 1e-7, **kwargs: Any
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        check_numbers(rho=rho, epsilon=epsilon)
        self.rho = rho
        self.epsilon = epsilon

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        names = ["accumulated_grad", "accumulated_delta_var"]
        self._share_slots(*self.add_optimizer_variables(self._trainable, names))

    def update_all(self, learning_rate: float) -> None:
        self._group.adadelta(learning_rate, self.rho, self.epsilon)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rho": self.rho, "epsilon": self.epsilon}


class Ftrl(Optimizer):
    """Follow the regularized leader, for sparse weights (McMahan et al. 2013).

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    learning_rate_power : float
        At most 0; how the step falls with the sum of squares.
    initial_accumulator_value : float
    l1_regularization_strength, l2_regularization_strength, l2_shrinkage_regularization_strength : float
    beta : float
    **kwargs
        See `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        check_numbers(
            learning_rate_power=learning_rate_power,
            initial_accumulator_value=initial_accumulator_value,
            l1_regularization_strength=l1_regularization_strength,
            l2_regularization_strength=l2_regularization_strength,
            l2_shrinkage_regularization_strength=l2_shrinkage_regularization_strength,
            beta=beta,
        )
        if learning_rate_power > 0.0:
            raise ValueError(
                "`learning_rate_power` needs to be negative or zero. Received: "
                f"learning_rate_power={learning_rate_power}."
            )
        self.learning_rate_power = learning_rate_power
        self.beta = beta
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        for name in self._not_negative:
            if getattr(self, name) < 0.0:
                raise ValueError(
                    f"`{name}` needs to be positive or zero. Received: {name}={getattr(self, name)}."
                )

    _not_negative = (
        "initial_accumulator_value",
        "l1_regularization_strength",
        "l2_regularization_strength",
        "l2_shrinkage_regularization_strength",
    )

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        starts = [initializers.Constant(self.initial_accumulator_value), "zeros"]
        names = ["accumulator", "linear"]
        self._squares, self._linears = self.add_optimizer_variables(self._trainable, names, starts)

    def update_step(self, gradient: Array, variable: Variable, learning_rate: float) -> None:
        i = self._index[id(variable)]
        squares, linear, w = self._squares[i]._data, self._linears[i]._data, variable._data
        power, rate = np.float32(-self.learning_rate_power), np.float32(learning_rate)
        l1 = np.float32(self.l1_regularization_strength)
        l2 = np.float32(self.l2_regularization_strength + self.beta / (2.0 * learning_rate))
        after = squares + np.square(gradient)
        linear += gradient + np.float32(2 * self.l2_shrinkage_regularization_strength) * w
        linear -= (after**power - squares**power) / rate * w
        w[...] = (np.clip(linear, -l1, l1) - linear) / (after**power / rate + 2 * l2)
        squares[...] = after

    def get_config(self) -> dict[str, Any]:
        names = ("learning_rate_power", *self._not_negative, "beta")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
