# SPDX-License-Identifier: BSD-3-Clause
"""Adafactor, whose state is small, and Adam without a learning rate schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..variables import Variable
from .base import Array, Optimizer
from .state import check_numbers

__all__ = ["Adafactor", "ScheduleFreeAdamW"]


class Adafactor(Optimizer):
    """Mean squares of gradients from their rows' and columns' means (Shazeer and Stern 2018), in Keras's form.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    beta_2_decay : float
        The mean squares decay by ``1 - step**beta_2_decay``.
    epsilon_1, epsilon_2 : float
        Least square of a gradient, and least size of a variable that its step is relative to.
    clip_threshold : float
        Updates are scaled down to this root mean square.
    relative_step : bool
        Kept for Keras's sake: there as here the learning rate is at most ``1 / sqrt(step)`` with either.
    **kwargs
        See `Optimizer`.

    Examples
    --------
    >>> import lstmfast as lf
    >>> lf.optimizers.Adafactor().beta_2_decay
    -0.8
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        check_numbers(
            beta_2_decay=beta_2_decay, epsilon_1=epsilon_1, epsilon_2=epsilon_2, clip_threshold=clip_threshold
        )
        self.beta_2_decay = beta_2_decay
        self.epsilon_1 = epsilon_1
        self.epsilon_2 = epsilon_2
        self.clip_threshold = clip_threshold
        self.relative_step = relative_step

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._factors: list[tuple[Variable, Variable] | None] = []
        self._velocities: list[Variable] = []
        for v in self._trainable:
            pair = None
            if v.ndim < 2:  # Keras keeps a 0 in the place of each factor
                made = [Variable(np.zeros((), np.int32), name=v.name, trainable=False) for _ in range(2)]
                self._slots_of.setdefault(id(v), []).extend(self._own(each) for each in made)
            else:
                shapes = (v.shape[:-1], (*v.shape[:-2], v.shape[-1]))
                rows, columns = (self.add_variable(shape, name=v.name) for shape in shapes)
                pair = rows, columns
                self._slots_of.setdefault(id(v), []).extend(pair)
            self._factors.append(pair)
            self._velocities.append(self.add_variable_from_reference(v, "velocity"))

    def update_step(self, gradient: Array, variable: Variable, learning_rate: float) -> None:
        i, step = self._index[id(variable)], int(self.iterations) + 1
        rate = min(learning_rate, 1 / math.sqrt(step))  # in Keras without `relative_step`, too
        alpha = max(self.epsilon_2, _root_mean_square(variable._data)) * rate
        square = np.square(gradient) + np.float32(self.epsilon_1)
        keep = np.float32(1 - step**self.beta_2_decay)
        velocity, pair = self._velocities[i]._data, self._factors[i]
        if pair is None:
            velocity *= keep
            velocity += (1 - keep) * square
        else:
            for factor, axis in zip(pair, (-1, -2), strict=True):
                factor._data *= keep
                factor._data += (1 - keep) * square.mean(axis=axis)
            rows, columns = pair[0]._data, pair[1]._data
            part = rows / rows.mean(axis=-1, keepdims=True)
            np.multiply(part[..., None], columns[..., None, :], out=velocity)
        update = gradient / np.sqrt(velocity)
        update /= np.float32(max(1.0, _root_mean_square(update) / self.clip_threshold))
        variable._data -= np.float32(alpha) * update

    def get_config(self) -> dict[str, Any]:
        names = ("beta_2_decay", "epsilon_1", "epsilon_2", "clip_threshold", "relative_step")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _root_mean_square(x: Array) -> float:
    return math.sqrt(float(np.square(x).mean(dtype=np.float64)))


class ScheduleFreeAdamW(Optimizer):
    """Adam whose weights are an average over all steps so far, in place of a falling learning rate (Defazio et al.
    2024), in Keras's form.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    beta_1 : float
        How much of the average is in the weights at which gradients are taken, above 0.
    beta_2 : float
        Decay of the mean square.
    epsilon : float
    warmup_steps : int
        Steps in which the learning rate rises from 0.
    **kwargs
        See `Optimizer`.

    Notes
    -----
    Keras 3.15 on PyTorch takes the average out with the momentum after the step in place of the one before it, which
    that step changes under its hands; here it is the one before, as in the paper.

    Examples
    --------
    >>> import lstmfast as lf
    >>> lf.optimizers.ScheduleFreeAdamW(warmup_steps=100).warmup_steps
    100
    """

    def __init__(
        self,
        learning_rate: Any = 0.0025,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        warmup_steps: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        check_numbers(beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, warmup_steps=warmup_steps)
        if not 0 < beta_1 <= 1:
            raise ValueError(f"beta_1: expected a number above 0 and at most 1, got {beta_1!r}")
        if not 0 <= beta_2 < 1:
            raise ValueError(f"beta_2: expected a number from 0 to below 1, got {beta_2!r}")
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.warmup_steps = warmup_steps

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        names = ["momentum", "velocity"]
        self._momentums, self._velocities = self.add_optimizer_variables(self._trainable, names)
        for momentum, variable in zip(self._momentums, self._trainable, strict=True):
            momentum.assign(variable.value)

    def update_step(self, gradient: Array, variable: Variable, learning_rate: float) -> None:
        i, step = self._index[id(variable)], int(self.iterations) + 1
        if self.warmup_steps > 0:
            learning_rate *= min(step / self.warmup_steps, 1.0)
        beta = np.float32(self.beta_1)
        z, v, y = self._momentums[i]._data, self._velocities[i]._data, variable._data
        # The average lies between the weights and z: y = (1 - beta) z + beta average.
        average = (y - (1 - beta) * z) / beta
        v *= np.float32(self.beta_2)
        v += np.float32(1 - self.beta_2) * np.square(gradient)
        root = np.sqrt(v / np.float32(1 - self.beta_2**step)) + np.float32(self.epsilon)
        z -= np.float32(learning_rate) * gradient / root
        average += np.float32(1 / step) * (z - average)
        y[...] = (1 - beta) * z + beta * average

    def get_config(self) -> dict[str, Any]:
        names = ("beta_1", "beta_2", "epsilon", "warmup_steps")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
