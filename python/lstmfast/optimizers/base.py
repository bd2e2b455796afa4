# SPDX-License-Identifier: BSD-3-Clause
"""What all optimizers share: variables, clipping, weight decay, learning rate, configuration."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .. import _core
from ..utils.naming import to_snake_case, unique_name
from ..variables import Variable
from .schedules import LearningRateSchedule

Array = np.ndarray[Any, Any]


class Optimizer:
    """Base class of optimizers.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    weight_decay : float, optional
        Before each step weights shrink by ``learning_rate * weight_decay`` of themselves (decoupled decay).
    clipnorm : float, optional
        Each variable's gradient is scaled down to this norm.
    clipvalue : float, optional
        Gradients are cut to [-clipvalue, clipvalue].
    global_clipnorm : float, optional
        All gradients together are scaled down to this norm (Pascanu et al. 2013).
    name : str, optional

    Raises
    ------
    ValueError
        If more than one way of clipping is given, a number is out of range, or `use_ema`, `loss_scale_factor` or
        `gradient_accumulation_steps` ask for what is not there yet.
    """

    #: Names of the running means that each variable gets, in Keras's order.
    slot_names: tuple[str, ...] = ()

    def __init__(
        self,
        learning_rate: float | LearningRateSchedule = 0.001,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
    ):
        for what, given in (
            ("use_ema", use_ema),
            ("loss_scale_factor", loss_scale_factor),
            ("gradient_accumulation_steps", gradient_accumulation_steps),
        ):
            if given:
                raise ValueError(f"{what}: not supported by this version, got {given!r}")
        clips = {"clipnorm": clipnorm, "global_clipnorm": global_clipnorm, "clipvalue": clipvalue}
        given_clips = [k for k, v in clips.items() if v is not None]
        if len(given_clips) > 1:
            raise ValueError(f"only one of clipnorm, clipvalue and global_clipnorm may be set, got {' and '.join(given_clips)}")
        for what, value in clips.items():
            if value is not None and not value > 0:
                raise ValueError(f"{what}: expected a positive number, got {value!r}")
        self.name = name or unique_name(to_snake_case(type(self).__name__))
        self.weight_decay = weight_decay
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipnorm, clipvalue, global_clipnorm
        self.ema_momentum, self.ema_overwrite_frequency = ema_momentum, ema_overwrite_frequency
        self.iterations = Variable(np.zeros((), np.int64), name="iteration", trainable=False)
        self._schedule: LearningRateSchedule | None = None
        self._rate: Variable | None = None
        if isinstance(learning_rate, LearningRateSchedule):
            self._schedule = learning_rate
        else:
            self._rate = Variable(np.float32(0), name="learning_rate", trainable=False)
            self.learning_rate = learning_rate
        self.built = False
        self._trainable: list[Variable] = []
        self._slots: list[list[Variable]] = []  # [variable][slot]
        self._no_decay: set[int] = set()
        self._group: Any = None
        self._step = 0

    # ---- learning rate

    @property
    def learning_rate(self) -> Any:
        """The current learning rate, a float; or the schedule's value at the current iteration."""
        if self._schedule is not None:
            return float(self._schedule(self._step))
        assert self._rate is not None
        return float(self._rate._data)

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if isinstance(value, LearningRateSchedule):
            self._schedule = value
            return
        if self._schedule is not None:
            raise TypeError("learning_rate: a schedule sets it; construct the optimizer with a number to change it")
        value = float(value)
        if not (value >= 0 and math.isfinite(value)):
            raise ValueError(f"learning_rate: expected a finite number of at least 0, got {value}")
        assert self._rate is not None
        self._rate.assign(np.float32(value))

    # ---- variables

    @property
    def variables(self) -> list[Variable]:
        """State in Keras's order: iteration, learning rate, then each trainable variable's slots."""
        self.iterations.assign(np.int64(self._step))
        rate = [] if self._rate is None else [self._rate]
        return [self.iterations, *rate, *(slot for slots in self._slots for slot in slots)]

    def set_state(self, step: int) -> None:
        """Continue from this number of steps (after `variables` were assigned from a file)."""
        self._step = int(step)
        self.iterations.assign(np.int64(self._step))

    def sync_iterations(self) -> None:
        """Take the step count from `iterations`, after somebody assigned to it."""
        self._step = int(self.iterations._data)

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the slots of these trainable variables; a second call with the same ones does nothing."""
        variables = list(variables)
        if self.built:
            if [id(v) for v in variables] != [id(v) for v in self._trainable]:
                raise ValueError(
                    f"{self.name} was built for other variables; create a new optimizer, or compile again, to train others"
                )
            return
        gradients = []
        for v in variables:
            gradients.append(v.grad_out()[0])
            v.clear_grad()
        self._group = _core.ParameterGroup([v._data for v in variables], gradients, len(self.slot_names))
        self._trainable = variables
        self._slots = [[] for _ in variables]
        for k, slot_name in enumerate(self.slot_names):
            for v, slots, array in zip(variables, self._slots, self._group.slot(k), strict=True):
                array[...] = self.initial_slot(slot_name)
                slot = Variable(np.zeros((), np.float32), name=f"{v.path.replace('/', '_')}_{slot_name}", trainable=False)
                slot._data = array  # shared with the native group
                slot.path = f"{self.name}/{slot.name}"
                slots.append(slot)
        self.built = True

    def initial_slot(self, slot_name: str) -> float:
        """What a slot starts with."""
        return 0.0

    def exclude_from_weight_decay(
        self, var_list: Iterable[Variable] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Leave variables (themselves, or all whose path contains one of the names) out of weight decay."""
        names = list(var_names or ())
        chosen = [id(v) for v in var_list or ()]
        self._no_decay.update(chosen)
        self._no_decay.update(id(v) for v in self._trainable if any(n in v.path for n in names))

    # ---- a step

    def step(self, variables: Sequence[Variable] | None = None) -> None:
        """Apply the variables' current gradients (`Variable.grad`) and forget them."""
        if not self.built:
            if variables is None:
                raise ValueError(f"{self.name} has not been built: call build(variables) first")
            self.build(variables)
        trainable = self._trainable
        for v in trainable:
            if v.grad is None:  # not reached by the backward pass
                v.grad_out()[0].fill(0.0)
        group = self._group
        if self.clipnorm is not None:
            group.clip_norm(self.clipnorm)
        elif self.global_clipnorm is not None:
            group.clip_global_norm(self.global_clipnorm)
        elif self.clipvalue is not None:
            group.clip_value(self.clipvalue)
        rate = self.learning_rate
        if self.weight_decay:
            factor = np.float32(1 - rate * self.weight_decay)
            for v in trainable:
                if id(v) not in self._no_decay:
                    v._data *= factor
        self._step += 1
        self.update(rate)
        for v in trainable:
            if v.constraint is not None:
                v._data[...] = v.constraint(v._data)
            v.version += 1
            v.clear_grad()

    def update(self, rate: float) -> None:
        """Change all variables by one step with this learning rate; ``self._step`` counts from 1."""
        for v, slots in zip(self._trainable, self._slots, strict=True):
            gradient = v.grad
            assert gradient is not None
            self.update_one(v._data, gradient, rate, *(s._data for s in slots))

    def update_one(self, value: Array, gradient: Array, rate: float, *slots: Array) -> None:
        """One variable's step, in place, in NumPy: for optimizers without a native kernel."""
        raise NotImplementedError(f"{type(self).__name__} writes neither update nor update_one")

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None) -> None:
        """Apply gradients, one for each variable.

        Raises
        ------
        ValueError
            If their number or a shape does not fit; nothing is changed then.
        """
        variables = list(trainable_variables) if trainable_variables is not None else self._trainable
        grads = list(grads)
        if len(grads) != len(variables):
            raise ValueError(f"grads: expected {len(variables)} gradients, one a variable, got {len(grads)}")
        arrays = [None if g is None else np.asarray(g, np.float32) for g in grads]
        for g, v in zip(arrays, variables, strict=True):
            if g is not None and g.shape != v.shape:
                raise ValueError(f"grads: expected shape {v.shape} for {v.path}, got {g.shape}")
        self.build(variables)
        for g, v in zip(arrays, variables, strict=True):
            if g is v.grad:
                continue
            v.clear_grad()
            if g is not None:
                v.grad_out()[0][...] = g
        self.step(variables)

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> None:
        """Keras's older form: pairs of gradient and variable."""
        pairs = list(grads_and_vars)
        self.apply([g for g, _ in pairs], [v for _, v in pairs])

    # ---- configuration

    def get_config(self) -> dict[str, Any]:
        from ..saving.registry import serialize_keras_object

        rate = self.learning_rate if self._schedule is None else serialize_keras_object(self._schedule)
        return {
            "name": self.name,
            "learning_rate": rate,
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm,
            "clipvalue": self.clipvalue,
            "use_ema": False,
            "ema_momentum": self.ema_momentum,
            "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "loss_scale_factor": None,
            "gradient_accumulation_steps": None,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Optimizer:
        config = dict(config)
        if isinstance(config.get("learning_rate"), dict):
            from ..saving.registry import deserialize_keras_object

            config["learning_rate"] = deserialize_keras_object(config["learning_rate"], custom_objects=custom_objects)
        return cls(**config)
