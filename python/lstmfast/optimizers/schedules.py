# SPDX-License-Identifier: BSD-3-Clause
"""Learning rates that change with the step: Keras 3's schedules. ``schedule(step)`` gives the rate of a
step, counted from 0."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]


class LearningRateSchedule:
    """Base of all schedules. A subclass writes ``__call__(step)`` and `get_config`.

    Examples
    --------
    >>> from lstmfast.optimizers.schedules import LearningRateSchedule
    >>> class InverseRoot(LearningRateSchedule):
    ...     def __init__(self, initial):
    ...         self.initial = initial
    ...     def __call__(self, step):
    ...         return self.initial / (1 + step) ** 0.5
    ...     def get_config(self):
    ...         return {"initial": self.initial}
    >>> InverseRoot(0.1)(99)
    0.01
    """

    def __call__(self, step: int) -> float:
        raise NotImplementedError(
            f"Learning rate schedule '{type(self).__name__}' must override `__call__(self, step)`."
        )

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError(
            f"Learning rate schedule '{type(self).__name__}' must override `get_config()` in order to be "
            "serializable."
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> LearningRateSchedule:
        return cls(**config)


class ExponentialDecay(LearningRateSchedule):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``; `staircase` rounds the exponent down.

    Examples
    --------
    >>> from lstmfast.optimizers.schedules import ExponentialDecay
    >>> ExponentialDecay(0.1, decay_steps=10, decay_rate=0.5)(20)
    0.025
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive(decay_steps, "decay_steps")
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step: int) -> float:
        exponent = int(step) / self.decay_steps
        return float(
            self.initial_learning_rate
            * self.decay_rate ** (math.floor(exponent) if self.staircase else exponent)
        )

    def get_config(self) -> dict[str, Any]:
        return _attributes(self, "initial_learning_rate", "decay_steps", "decay_rate", "staircase", "name")


class InverseTimeDecay(ExponentialDecay):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``; `staircase` rounds the quotient
    down.

    Examples
    --------
    >>> from lstmfast.optimizers.schedules import InverseTimeDecay
    >>> InverseTimeDecay(0.1, decay_steps=10, decay_rate=0.5)(20)
    0.05
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)

    def __call__(self, step: int) -> float:
        quotient = int(step) / self.decay_steps
        return self.initial_learning_rate / (
            1 + self.decay_rate * (math.floor(quotient) if self.staircase else quotient)
        )


class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[i]`` up to and including step ``boundaries[i]``, the last value after all of them.

    Examples
    --------
    >>> from lstmfast.optimizers.schedules import PiecewiseConstantDecay
    >>> rate = PiecewiseConstantDecay([100, 200], [0.1, 0.01, 0.001])
    >>> [rate(step) for step in (0, 100, 101, 201)]
    [0.1, 0.1, 0.01, 0.001]
    """

    def __init__(
        self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant"
    ) -> None:
        if len(boundaries) != len(values) - 1:
            raise ValueError(
                "The length of boundaries should be 1 less than the length of values. Received: "
                f"boundaries={boundaries} of length {len(boundaries)}, and values={values} of length "
                f"{len(values)}."
            )
        self.boundaries = boundaries
        self.values = values
        self.name = name

    def __call__(self, step: int) -> float:
        for boundary, value in zip(self.boundaries, self.values, strict=False):
            if int(step) <= boundary:
                return value
        return self.values[-1]

    def get_config(self) -> dict[str, Any]:
        return _attributes(self, "boundaries", "values", "name")


class PolynomialDecay(LearningRateSchedule):
    """From the initial rate to `end_learning_rate` in `decay_steps`, by a power; `cycle` starts again with
    longer ones.

    Examples
    --------
    >>> from lstmfast.optimizers.schedules import PolynomialDecay
    >>> rate = PolynomialDecay(0.1, decay_steps=100, end_learning_rate=0.02)
    >>> [round(rate(step), 4) for step in (0, 50, 100, 1000)]
    [0.1, 0.06, 0.02, 0.02]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive(decay_steps, "decay_steps")
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle
        self.name = name

    def __call__(self, step: int) -> float:
        step, length = int(step), self.decay_steps
        if self.cycle:
            length *= max(1, math.ceil(step / self.decay_steps))
        part = min(step, length) / length
        fall = self.initial_learning_rate - self.end_learning_rate
        return float(fall * (1 - part) ** self.power + self.end_learning_rate)

    def get_config(self) -> dict[str, Any]:
        names = ("initial_learning_rate", "decay_steps", "end_learning_rate", "power", "cycle", "name")
        return _attributes(self, *names)


class CosineDecay(LearningRateSchedule):
    """Half a cosine from the initial rate (or `warmup_target`, risen to in `warmup_steps`) to `alpha` times
    it (Loshchilov and Hutter 2017).

    Examples
    --------
    >>> from lstmfast.optimizers.schedules import CosineDecay
    >>> rate = CosineDecay(0.2, decay_steps=100)
    >>> [round(rate(step), 4) for step in (0, 50, 100)]
    [0.2, 0.1, 0.0]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive(decay_steps, "decay_steps")
        self.alpha = alpha
        self.name = name
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps

    def __call__(self, step: int) -> float:
        step, top = int(step), self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return top + (self.warmup_target - top) * step / self.warmup_steps
            step, top = step - self.warmup_steps, self.warmup_target
        cosine = 0.5 * (1.0 + math.cos(math.pi * min(step, self.decay_steps) / self.decay_steps))
        return top * ((1 - self.alpha) * cosine + self.alpha)

    def get_config(self) -> dict[str, Any]:
        names = ("initial_learning_rate", "decay_steps", "alpha", "name", "warmup_target", "warmup_steps")
        return _attributes(self, *names)


class CosineDecayRestarts(LearningRateSchedule):
    """`CosineDecay` again and again, each time `t_mul` as long and from `m_mul` of the height (Loshchilov
    and Hutter 2017).

    Examples
    --------
    >>> from lstmfast.optimizers.schedules import CosineDecayRestarts
    >>> rate = CosineDecayRestarts(0.2, first_decay_steps=100, t_mul=2.0, m_mul=0.5)
    >>> [round(rate(step), 4) for step in (0, 50, 100, 200)]
    [0.2, 0.1, 0.1, 0.05]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: int,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = _positive(first_decay_steps, "first_decay_steps")
        self.t_mul = t_mul
        self.m_mul = m_mul
        self.alpha = alpha
        self.name = name

    def __call__(self, step: int) -> float:
        done = int(step) / self.first_decay_steps
        if self.t_mul == 1.0:
            restarts = math.floor(done)
            part = done - restarts
        else:
            restarts = math.floor(math.log(1.0 - done * (1.0 - self.t_mul)) / math.log(self.t_mul))
            before = (1.0 - self.t_mul**restarts) / (1.0 - self.t_mul)
            part = (done - before) / self.t_mul**restarts
        cosine = 0.5 * self.m_mul**restarts * (1.0 + math.cos(math.pi * part))
        return float(self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha))

    def get_config(self) -> dict[str, Any]:
        return _attributes(
            self, "initial_learning_rate", "first_decay_steps", "t_mul", "m_mul", "alpha", "name"
        )


def _positive(value: int, name: str) -> int:
    if value <= 0:
        raise ValueError(f"Argument `{name}` must be > 0. Received: {name}={value}")
    return value


def _attributes(schedule: LearningRateSchedule, *names: str) -> dict[str, Any]:
    return {name: getattr(schedule, name) for name in names}


def serialize(learning_rate_schedule: LearningRateSchedule) -> Any:
    """Configuration of a schedule, in Keras 3's dict form."""
    from ..saving.registry import serialize_keras_object

    return serialize_keras_object(learning_rate_schedule)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The schedule that a configuration describes."""
    from ..saving.registry import deserialize_keras_object

    own = {name: obj for name, obj in globals().items() if name in __all__ and isinstance(obj, type)}
    return deserialize_keras_object(config, custom_objects, module_objects=own)
