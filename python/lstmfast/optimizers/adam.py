# SPDX-License-Identifier: BSD-3-Clause
"""Adam, AdamW, and what came of Adam: Adamax, Nadam, Lamb, Lion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..variables import Variable
from .base import Array, Optimizer
from .state import check_numbers

__all__ = ["Adam", "AdamW", "Adamax", "Lamb", "Lion", "Nadam"]


class _Moments(Optimizer):
    """Adam's arguments, its two running means and its count of steps."""

    _group_slots = 2
    _slot_names = ("momentum", "velocity")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        check_numbers(beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)
        for name, beta in (("beta_1", beta_1), ("beta_2", beta_2)):
            if not 0 <= beta < 1:
                raise ValueError(f"{name}: expected a number from 0 to below 1, got {beta!r}")
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        lists = self.add_optimizer_variables(self._trainable, list(self._slot_names))
        if self._group_slots:
            self._share_slots(*lists)
        self._momentums, self._velocities = lists

    def _next_step(self) -> int:
        return int(self.iterations) + 1

    def get_config(self) -> dict[str, Any]:
        extra = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return {**super().get_config(), **extra}


class Adam(_Moments):
    """Running means of the gradient and its square (Kingma and Ba 2015), in Keras's form.

    ``m += (1 - beta_1)(g - m)``, ``v += (1 - beta_2)(g*g - v)``,
    ``w -= learning_rate * sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (sqrt(v) + epsilon)``.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    beta_1, beta_2 : float
        Decay of the two means, from 0 to below 1.
    epsilon : float
        Keras's 1e-7 (PyTorch has 1e-8, and adds it after the correction).
    amsgrad : bool
        Divide by the largest v so far (Reddi et al. 2018).
    **kwargs
        See `Optimizer`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.optimizers import Adam
    >>> from lstmfast.variables import Variable
    >>> w = Variable(np.ones(2), name="w")
    >>> Adam(0.1).apply([np.array([1.0, -1.0])], [w])
    >>> w.numpy().round(3)
    array([0.9, 1.1], dtype=float32)
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **kwargs)
        self.amsgrad = amsgrad
        self._group_slots = 3 if amsgrad else 2

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        if self.amsgrad:
            self._velocity_hats = self.add_optimizer_variables(self._trainable, "velocity_hat")
            self._share_slots(self._velocity_hats, first=2)

    def update_all(self, learning_rate: float) -> None:
        self._group.adam(
            learning_rate, self.beta_1, self.beta_2, self.epsilon, self._next_step(), bool(self.amsgrad)
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "amsgrad": self.amsgrad}


class AdamW(Adam):
    """Adam with weight decay beside the gradient (Loshchilov and Hutter 2019). Arguments as for `Adam`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.optimizers import AdamW
    >>> from lstmfast.variables import Variable
    >>> w = Variable(np.ones(2), name="w")
    >>> AdamW(0.1, weight_decay=0.5).apply([np.array([0.5, -2.0])], [w])
    >>> w.numpy().round(3)
    array([0.85, 1.05], dtype=float32)
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **kwargs)
        if self.weight_decay is None:
            raise ValueError("Argument `weight_decay` must be a float. Received: weight_decay=None")


class Adamax(_Moments):
    """Adam by the largest gradient instead of the mean square (Kingma and Ba 2015, section 7). Arguments as
    for `Adam`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.optimizers import Adamax
    >>> from lstmfast.variables import Variable
    >>> w = Variable(np.ones(2), name="w")
    >>> Adamax(0.1).apply([np.array([0.5, -2.0])], [w])
    >>> w.numpy().round(3)
    array([0.9, 1.1], dtype=float32)
    """

    _slot_names = ("momentum", "norm")

    def update_all(self, learning_rate: float) -> None:
        self._group.adamax(learning_rate, self.beta_1, self.beta_2, self.epsilon, self._next_step())


class Nadam(_Moments):
    """Adam with Nesterov's momentum (Dozat 2016). Arguments as for `Adam`."""

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._u_product = self._own(Variable(np.float32(1), name="variable", trainable=False))

    def update_all(self, learning_rate: float) -> None:
        step = self._next_step()
        self._u_product._data *= np.float32(self.beta_1 * (1.0 - 0.5 * 0.96**step))
        self._group.nadam(
            learning_rate, self.beta_1, self.beta_2, self.epsilon, step, float(self._u_product._data)
        )


class Lamb(_Moments):
    """Adam's step scaled to each variable's norm (You et al. 2020). Arguments as for `Adam`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.optimizers import Lamb
    >>> from lstmfast.variables import Variable
    >>> w = Variable(np.ones(2), name="w")
    >>> Lamb(0.1).apply([np.array([0.5, -2.0])], [w])
    >>> w.numpy().round(3)
    array([0.9, 1.1], dtype=float32)
    """

    _group_slots = 0  # each variable's step needs its own norm first

    def update_step(self, gradient: Array, variable: Variable, learning_rate: float) -> None:
        i, step = self._index[id(variable)], self._next_step()
        m, v = self._momentums[i]._data, self._velocities[i]._data
        m += (gradient - m) * np.float32(1 - self.beta_1)
        v += (np.square(gradient) - v) * np.float32(1 - self.beta_2)
        size = np.sqrt(v / np.float32(1 - self.beta_2**step)) + np.float32(self.epsilon)
        update = m / np.float32(1 - self.beta_1**step) / size
        norm, update_norm = np.linalg.norm(variable._data), np.linalg.norm(update)
        ratio = float(norm / update_norm) if norm > 0 and update_norm > 0 else 1.0
        variable._data -= update * np.float32(ratio * learning_rate)


class Lion(Optimizer):
    """Steps of one size in the direction of the momentum's sign (Chen et al. 2023).

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    beta_1, beta_2 : float
        How much of the momentum is in a step, and stays in the momentum.
    **kwargs
        See `Optimizer`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.optimizers import Lion
    >>> from lstmfast.variables import Variable
    >>> w = Variable(np.ones(2), name="w")
    >>> Lion(0.1).apply([np.array([0.5, -2.0])], [w])
    >>> w.numpy().round(3)
    array([0.9, 1.1], dtype=float32)
    """

    _group_slots = 1

    def __init__(
        self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.99, **kwargs: Any
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        if not 0 < beta_1 <= 1:
            raise ValueError(
                "Argument `beta_1` must be in the [0, 1] range. Otherwise, the optimizer degenerates to "
                f"SignSGD. Received: beta_1={beta_1}."
            )
        self.beta_1 = beta_1
        self.beta_2 = beta_2

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._share_slots(self.add_optimizer_variables(self._trainable, "momentum"))

    def update_all(self, learning_rate: float) -> None:
        self._group.lion(learning_rate, self.beta_1, self.beta_2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2}
