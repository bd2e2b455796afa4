# SPDX-License-Identifier: BSD-3-Clause
"""What all optimizers share: clipping, weight decay, averages, and one step over all variables."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from ..utils.naming import unique_name
from ..variables import Variable
from .state import OptimizerState, ScalarVariable, check_numbers

__all__ = ["Optimizer"]

Array = npt.NDArray[Any]


def parameter_group(variables: Sequence[Variable], slots: int) -> Any:
    """A native group of the variables' arrays and gradients, with so many running means for each."""
    gradients = []
    for v in variables:
        live = v.grad is not None
        gradients.append(v.grad_out()[0])
        if not live:
            v.clear_grad()
    return _core.ParameterGroup([v._data for v in variables], gradients, slots)


def share_slot(group: Any, k: int, made: Sequence[Variable]) -> None:
    """Let these variables' values be the k-th running means of a native group."""
    for variable, array in zip(made, group.slot(k), strict=True):
        array[...] = variable._data
        variable._data = array


class Optimizer(OptimizerState):
    """Base of all optimizers.

    A subclass makes its variables in `build` and writes `update_step`, as in Keras, or `update_all` for all
    variables at once.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
        A callable takes no argument.
    weight_decay : float, optional
        Weights shrink by ``learning_rate * weight_decay`` of themselves before each step (Loshchilov and
        Hutter 2019).
    clipnorm : float, optional
        Each variable's gradient is scaled down to this norm.
    clipvalue : float, optional
        Gradients are cut to this range around 0.
    global_clipnorm : float, optional
        All gradients together are scaled down to this norm (Pascanu et al. 2013).
    use_ema, ema_momentum, ema_overwrite_frequency
        Keep a moving average of the weights, and put it in their place every so many steps, or at the end of
        training.
    loss_scale_factor : float, optional
        Gradients are divided by it.
    gradient_accumulation_steps : int, optional
        Step with the mean gradient of so many calls.
    name : str, optional

    Raises
    ------
    ValueError
        If an argument is out of its range, or more than one way of clipping is chosen.
    """

    #: How many running means the native `ParameterGroup` keeps for each variable.
    _group_slots = 0

    def __init__(
        self,
        learning_rate: Any,
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
        **kwargs: Any,
    ) -> None:
        if kwargs.pop("decay", None) is not None:
            warnings.warn("Argument `decay` is no longer supported and will be ignored.", stacklevel=3)
        if kwargs:
            raise ValueError(f"Argument(s) not recognized: {kwargs}")
        check_numbers(
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            ema_momentum=ema_momentum,
            loss_scale_factor=loss_scale_factor,
        )
        if loss_scale_factor is not None and not loss_scale_factor > 0:
            raise ValueError(f"loss_scale_factor: expected a number above 0, got {loss_scale_factor!r}")
        steps = gradient_accumulation_steps
        if steps and (not isinstance(steps, (int, np.integer)) or steps < 2):
            raise ValueError(
                "`gradient_accumulation_steps` must be an integer >= 2. Received: "
                f"gradient_accumulation_steps={gradient_accumulation_steps}"
            )
        if use_ema and not 0 <= ema_momentum <= 1:
            raise ValueError(
                f"`ema_momentum` must be in the range [0, 1]. Received: ema_momentum={ema_momentum}"
            )
        frequency = ema_overwrite_frequency
        if use_ema and frequency and (not isinstance(frequency, int) or frequency < 1):
            raise ValueError(
                "`ema_overwrite_frequency` must be an integer >= 1 or None. Received: "
                f"ema_overwrite_frequency={frequency}"
            )
        if sum(limit is not None for limit in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise ValueError(
                "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set. Received: "
                f"clipnorm={clipnorm}, clipvalue={clipvalue}, global_clipnorm={global_clipnorm}"
            )
        self.name = name or unique_name(type(self).__name__)
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        self.use_ema = use_ema
        self.ema_momentum = ema_momentum
        self.ema_overwrite_frequency = ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.built = False
        self._trainable: list[Variable] = []
        self._index: dict[int, int] = {}
        self._group: Any = None
        self._averages: list[Variable] = []
        self._accumulators: list[Variable] = []
        self._excluded: tuple[set[int], re.Pattern[str] | None] = (set(), None)
        self._constrained: list[Variable] = []
        super().__init__(learning_rate)

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the state for these trainable variables. A second call does nothing."""
        if self.built:
            return
        variables = list(variables)
        if self.use_ema:
            self._averages = self.add_optimizer_variables(variables, "average")
        if self.gradient_accumulation_steps:
            self._accumulators = self.add_optimizer_variables(variables, "gradient_accumulator")
        self._trainable = variables
        self._index = {id(v): i for i, v in enumerate(variables)}
        self._constrained = [v for v in variables if v.constraint is not None]
        own = self._group_slots
        slots = own + bool(self._averages) + bool(self._accumulators)
        self._group = parameter_group(variables, slots)
        self._share_slots(*(made for made in (self._averages, self._accumulators) if made), first=own)
        self.built = True

    def _share_slots(self, *lists: list[Variable], first: int = 0) -> None:
        """Let these variables' values be the running means that the native group updates."""
        for k, made in enumerate(lists, first):
            share_slot(self._group, k, made)

    @staticmethod
    def _var_key(variable: Variable) -> int:
        return id(variable)

    def _get_variable_index(self, variable: Variable) -> int:
        return self._index[id(variable)]

    # ---- a step

    def step(self, variables: Sequence[Variable] | None = None) -> None:
        """Change variables by their gradients of this step (`Variable.grad`), and forget those.

        Variables without a gradient stay as they are, their running means too.

        Raises
        ------
        ValueError
            If the optimizer was built for other variables, or none has a gradient.
        """
        variables = self._to_step(variables)
        trainable = self._trainable
        if variables is not trainable and list(variables) != trainable:
            wanted = {id(v) for v in variables}
            skipped = [v for v in trainable if id(v) not in wanted or v.grad is None]
        else:
            skipped = [v for v in trainable if not v._grad_live]
        if skipped:
            self._step_without(skipped)
        else:
            self._apply_gradients()
        self._iterations._data += 1
        for v in trainable:
            v.version += 1
            v._grad_live = False

    def _know(self, variables: list[Variable]) -> None:
        """What `build` notes for an optimizer whose steps others take."""
        self._trainable = variables
        self._index = {id(v): i for i, v in enumerate(variables)}
        self.built = True

    def _to_step(self, variables: Sequence[Variable] | None) -> Sequence[Variable]:
        """The variables of a step, for which the optimizer is built."""
        if not self.built:
            if variables is None:
                raise ValueError(
                    "the optimizer has not been built: pass `variables`, or call build(variables) first"
                )
            self.build(variables)
        if variables is None or variables is self._trainable:
            return self._trainable
        self._check_known(variables)
        return variables

    def _step_without(self, skipped: list[Variable]) -> None:
        if len(skipped) == len(self._trainable):
            if skipped:
                raise ValueError("No gradients provided for any variable.")
            return
        kept = [
            (a, a.copy())
            for v in skipped
            for a in (v._data, *(s._data for s in self._slots_of.get(id(v), ())))
        ]
        for v in skipped:
            v.grad_out()[0].fill(0.0)
        self._apply_gradients()
        for array, value in kept:
            array[...] = value

    def _apply_gradients(self) -> None:
        group = self._group
        if self.loss_scale_factor is not None:
            group.scale_gradients(1.0 / self.loss_scale_factor)
        if not self.gradient_accumulation_steps or self._accumulated(self.gradient_accumulation_steps):
            if self.clipnorm and self.clipnorm > 0:
                group.clip_norm(self.clipnorm)
            elif self.global_clipnorm and self.global_clipnorm > 0:
                group.clip_global_norm(self.global_clipnorm)
            elif self.clipvalue and self.clipvalue > 0:
                group.clip_value(self.clipvalue)
            rate = self._rate()
            self._shrink_weights(rate)
            self.update_all(rate)
        if self.use_ema:
            self._update_averages()
        for v in self._constrained:
            constraint = v.constraint
            assert constraint is not None
            v._data[...] = constraint(v.value)

    def _accumulated(self, steps: int) -> bool:
        """Add gradients up; on every `steps`-th call make them the mean and start afresh."""
        last = (int(self._iterations._data) + 1) % steps == 0
        slot = self._group_slots + bool(self._averages)
        if last:
            self._group.release_gradients(slot, 1.0 / steps)
        else:
            self._group.hold_gradients(slot)
        return last

    def update_all(self, learning_rate: float) -> None:
        """Change all variables by their gradients, clipped already."""
        for v in self._trainable:
            self.update_step(v.grad_out()[0], v, learning_rate)

    def update_step(self, gradient: Array, variable: Variable, learning_rate: float) -> None:
        """Change one variable: what a subclass writes.

        Parameters
        ----------
        gradient : ndarray of float32
        variable : Variable
            ``variable._data`` is its array, to be changed in place, or use `Variable.assign`.
        learning_rate : float
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement update_step()")

    def assign(self, variable: Variable, value: Any) -> None:
        """``variable.assign(value)``, for `update_step` of optimizers written for Keras."""
        variable.assign(value)

    def assign_add(self, variable: Variable, value: Any) -> None:
        """``variable.assign_add(value)``."""
        variable.assign_add(value)

    def assign_sub(self, variable: Variable, value: Any) -> None:
        """``variable.assign_sub(value)``."""
        variable.assign_sub(value)

    def scale_loss(self, loss: Any) -> Any:
        """The loss times `loss_scale_factor`, whose gradients `apply` scales back."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    def stateless_apply(
        self, optimizer_variables: Sequence[Any], grads: Sequence[Any], trainable_variables: Sequence[Any]
    ) -> tuple[list[Array], list[Array]]:
        """What `apply` would make of these values of the model's variables and the optimizer's; both stay as they are.

        Returns
        -------
        trainable_variables, optimizer_variables : list of ndarray

        Raises
        ------
        ValueError
            If the optimizer is not built, or the numbers of values do not fit.
        """
        if not self.built:
            raise ValueError(
                "To call `stateless_apply`, the optimizer must be built (i.e. its variables must have been created). "
                "You can build it via `optimizer.build(trainable_variables)`."
            )
        for what, given, own in (
            ("optimizer_variables", optimizer_variables, self.variables),
            ("trainable_variables", trainable_variables, self._trainable),
        ):
            if len(given) != len(own):
                raise ValueError(
                    f"Argument `{what}` must be a list of arrays corresponding 1:1 to the optimizer's. Received "
                    f"list with length {len(given)} but expected {len(own)} variables."
                )
        held = [*self._trainable, *self.variables]
        before = [v.numpy() for v in held]
        try:
            for variable, value in zip(held, [*trainable_variables, *optimizer_variables], strict=True):
                variable.assign(np.asarray(value))
            self.apply(grads)
            after = [v.numpy() for v in held]
        finally:
            for variable, old in zip(held, before, strict=True):
                variable.assign(old)
        return after[: len(self._trainable)], after[len(self._trainable) :]

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None) -> None:
        """Change variables by gradients that the caller has; None leaves a variable as it is.

        Raises
        ------
        ValueError
            If number or shapes of gradients do not fit; nothing is changed then.
        """
        grads = list(grads)
        if not grads:
            return
        if trainable_variables is None:
            if not self.built:
                raise ValueError(
                    "When passing `grads` without `variables`, the optimizer must already be built on a list "
                    "of variables. Call `optimizer.build(trainable_variables)` first. "
                )
            variables = self._trainable
        else:
            variables = list(trainable_variables)
        if len(grads) != len(variables):
            raise ValueError(
                f"grads: expected one for each of the {len(variables)} variables, got {len(grads)}"
            )
        if not self.built:
            self.build(variables)
        self._check_known(variables)
        for k, (g, v) in enumerate(zip(grads, variables, strict=True)):
            if g is not None and np.shape(g) != v.shape:
                raise ValueError(f"grads[{k}]: expected shape {v.shape} as of {v.path!r}, got {np.shape(g)}")
        checked = [
            None if g is None else v.check(np.asarray(g)) for g, v in zip(grads, variables, strict=True)
        ]
        if all(g is None for g in checked):
            raise ValueError("No gradients provided for any variable.")
        missing = [v.path for g, v in zip(checked, variables, strict=True) if g is None]
        if missing:
            warnings.warn(
                f"Gradients do not exist for variables {missing} when minimizing the loss.", stacklevel=2
            )
        for g, v in zip(checked, variables, strict=True):
            v.clear_grad()
            if g is not None:
                v.add_grad(g)
        self.step(variables)

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> ScalarVariable:
        """`apply` for pairs of gradient and variable; returns the step count."""
        pairs = list(grads_and_vars)
        self.apply([g for g, _ in pairs], [v for _, v in pairs])
        return self._iterations

    def _check_known(self, variables: Sequence[Variable]) -> None:
        for v in variables:
            if id(v) not in self._index:
                raise ValueError(
                    f"Unknown variable: {v}. This optimizer can only be called for the variables it was "
                    "originally built with. When working with a new set of variables, you should recreate a "
                    "new optimizer instance."
                )

    def _clip_gradients(self, grads: Sequence[Any]) -> list[Any]:
        """Gradients as a step sees them, for those who clip by hand. The native group does it in a step."""
        arrays = [None if g is None else np.asarray(g, np.float32) for g in grads]
        if self.clipnorm and self.clipnorm > 0:
            limits: list[Any] = [self.clipnorm] * len(arrays)
            norms = [None if g is None else float(np.linalg.norm(g)) for g in arrays]
        elif self.global_clipnorm and self.global_clipnorm > 0:
            limits = [self.global_clipnorm] * len(arrays)
            norms = [float(np.sqrt(sum(np.vdot(g, g) for g in arrays if g is not None)))] * len(arrays)
        elif self.clipvalue and self.clipvalue > 0:
            return [None if g is None else g.clip(-self.clipvalue, self.clipvalue) for g in arrays]
        else:
            return arrays
        return [
            g if g is None or not norm or norm <= limit else g * np.float32(limit / norm)
            for g, norm, limit in zip(arrays, norms, limits, strict=True)
        ]

    # ---- weight decay and averages

    @property
    def _model_variables_moving_average(self) -> list[Variable]:  # under Keras's name
        return self._averages

    @property
    def _accumulated_gradients(self) -> list[Variable]:
        return self._accumulators

    def exclude_from_weight_decay(
        self, var_list: Iterable[Variable] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Leave variables alone that are in `var_list` or whose name one of the patterns `var_names` is
        found in."""
        names = set(var_names or ())
        self._excluded = (
            {id(v) for v in var_list or ()},
            re.compile("|".join(sorted(names))) if names else None,
        )

    def _shrink_weights(self, rate: float) -> None:
        """Shrink the weights before a step."""
        if self.weight_decay is not None:
            keep = 1.0 - self.weight_decay * rate
            self._group.scale_values([keep if self._decays(v) else 1.0 for v in self._trainable])

    def _decays(self, variable: Variable) -> bool:
        ids, pattern = self._excluded
        return id(variable) not in ids and (pattern is None or pattern.search(variable.name) is None)

    def _update_averages(self) -> None:
        step = int(self.iterations)
        self._group.average_values(self._group_slots, self.ema_momentum if step else 0.0)
        if self.ema_overwrite_frequency and (step + 1) % self.ema_overwrite_frequency == 0:
            self.finalize_variable_values(self._trainable)

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        """At the end of training: with `use_ema`, put the averages in the variables' place."""
        if self.use_ema and self.built:
            for v in var_list:
                v.assign(self._averages[self._index[id(v)]]._data)

    # ---- configuration

    def get_config(self) -> dict[str, Any]:
        rate: Any = self._learning_rate
        if isinstance(rate, Variable):
            rate = float(rate._data)
        else:
            from ..saving.registry import serialize_keras_object

            rate = serialize_keras_object(rate)
        return {
            "name": self.name,
            "learning_rate": rate,
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm,
            "clipvalue": self.clipvalue,
            "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum,
            "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "loss_scale_factor": self.loss_scale_factor,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
        }

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Optimizer:
        config = dict(config)
        if isinstance(config.get("learning_rate"), dict):
            from ..saving.registry import deserialize_keras_object

            config["learning_rate"] = deserialize_keras_object(config["learning_rate"], custom_objects)
        return cls(**config)
