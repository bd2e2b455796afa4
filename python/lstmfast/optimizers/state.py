# SPDX-License-Identifier: BSD-3-Clause
"""An optimizer's own variables: step count, learning rate, running means."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import initializers
from ..variables import Variable
from .schedules import LearningRateSchedule

__all__ = ["OptimizerState", "ScalarVariable"]


class ScalarVariable(Variable, np.lib.mixins.NDArrayOperatorsMixin):
    """A variable of no axes that can also be used as the number it holds.

    Examples
    --------
    >>> from lstmfast.optimizers import SGD
    >>> rate = SGD(0.5).learning_rate
    >>> float(rate), rate * 2, f"{rate:.3f}", rate.shape
    (0.5, np.float32(1.0), '0.500', ())
    """

    __slots__ = ()
    __hash__ = object.__hash__

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return getattr(ufunc, method)(
            *(x._data if isinstance(x, ScalarVariable) else x for x in inputs), **options
        )


class OptimizerState:
    """The part of an `Optimizer` that keeps its variables."""

    name: str
    gradient_accumulation_steps: int | None

    def __init__(self, learning_rate: Any) -> None:
        self._variables: list[Variable] = []
        #: Optimizers that this one steps with; their variables count as its own.
        self._inner_optimizers: list[Any] = []
        self._slots_of: dict[int, list[Variable]] = {}
        self._iterations = ScalarVariable(np.zeros((), np.int64), name="iteration", trainable=False)
        self._own(self._iterations)
        self._learning_rate: ScalarVariable | Callable[..., Any]
        if callable(learning_rate):
            self._learning_rate = learning_rate
        else:
            rate = np.float32(_number(learning_rate))
            self._learning_rate = ScalarVariable(rate, name="learning_rate", trainable=False)
            self._own(self._learning_rate)

    # ---- learning rate and step count

    @property
    def learning_rate(self) -> Any:
        """The learning rate: a variable that can be used as a number, or what the schedule gives for the
        current step."""
        return self._learning_rate if isinstance(self._learning_rate, Variable) else self._rate()

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        before = self._learning_rate
        if callable(learning_rate):
            self._learning_rate = learning_rate
            if isinstance(before, Variable):
                self._variables = [v for v in self._variables if v is not before]
        elif not isinstance(before, Variable):
            raise TypeError(
                "This optimizer was created with a `LearningRateSchedule` object as its `learning_rate` "
                "constructor argument, hence its learning rate is not settable. If you need the learning "
                "rate to be settable, you should instantiate the optimizer with a float `learning_rate` "
                "argument."
            )
        else:
            before.assign(np.float32(_number(learning_rate)))

    def _rate(self) -> float:
        rate = self._learning_rate
        if isinstance(rate, Variable):
            return float(rate._data)
        if isinstance(rate, LearningRateSchedule):
            return float(rate(int(self._iterations._data)))
        return float(rate())

    @property
    def iterations(self) -> Any:
        """How many steps were made: a variable that can be used as a number."""
        if self.gradient_accumulation_steps:
            return int(self._iterations._data) // self.gradient_accumulation_steps
        return self._iterations

    # ---- variables

    @property
    def variables(self) -> list[Variable]:
        """The optimizer's own, in Keras's order: iteration, learning rate, then running means; behind them those of
        optimizers inside it."""
        return [*self._variables, *(v for inner in self._inner_optimizers for v in inner.variables)]

    def inner_groups(self) -> list[tuple[str, Any]]:
        """Optimizers inside this one, with the names of the attributes that hold them."""
        return []

    def _own(self, variable: Variable) -> Variable:
        variable.path = f"{self.name}/{variable.name}"
        self._variables.append(variable)
        return variable

    def add_variable(
        self,
        shape: Sequence[int],
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str | None = "none",
        layout: Any = None,
        name: str | None = None,
    ) -> Variable:
        """A new variable of the optimizer's own; `aggregation` and `layout` are Keras's, for several devices."""
        if layout is not None:
            raise ValueError(f"layout: only None, there is one device, got {layout!r}")
        make = initializers.get(initializer) or initializers.Zeros()
        return self._own(Variable(make(tuple(shape), dtype), name=name or "variable", trainable=False))

    def add_variable_from_reference(
        self, reference_variable: Variable, name: str | None = None, initializer: Any = "zeros"
    ) -> Variable:
        """One of the shape of a model's variable, named after it."""
        name = f"{reference_variable.path.replace('/', '_')}_{name or 'var'}"
        variable = self.add_variable(reference_variable.shape, initializer, name=name)
        self._slots_of.setdefault(id(reference_variable), []).append(variable)
        return variable

    def add_optimizer_variables(
        self, trainable_variables: Sequence[Variable], name: str | Sequence[str], initializer: Any = "zeros"
    ) -> Any:
        """One for each variable, or a list of such lists where `name` is a list of names."""
        names = [name] if isinstance(name, str) else list(name)
        makers = list(initializer) if isinstance(initializer, (list, tuple)) else [initializer] * len(names)
        if len(names) != len(makers):
            raise ValueError(
                "The number of provided names must match the number of provided initializers. Received "
                f"name='{name}', initializer='{initializer}'"
            )
        lists: tuple[list[Variable], ...] = tuple([] for _ in names)
        for variable in trainable_variables:
            for made, each, maker in zip(lists, names, makers, strict=True):
                made.append(self.add_variable_from_reference(variable, each, maker))
        return lists[0] if isinstance(name, str) else lists

    def set_weights(self, weights: Sequence[npt.ArrayLike]) -> None:
        """Set all of `variables`, having checked all shapes."""
        own = self.variables
        if len(weights) != len(own):
            raise ValueError(
                f"You are calling `set_weights(weights)` on optimizer {self.name} with a weight list of length "
                f"{len(weights)}, but the optimizer was expecting {len(own)} weights."
            )
        checked = [v.check(np.asarray(w)) for v, w in zip(own, weights, strict=True)]
        for v, w in zip(own, checked, strict=True):
            v.assign(w)

    def save_own_variables(self, store: Any) -> None:
        """Put `variables` into a mapping under "0", "1"..."""
        for i, v in enumerate(self.variables):
            store[str(i)] = v.numpy()

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Take them from there; a mapping of another size is left aside with a warning."""
        own = self.variables
        if len(store) != len(own):
            warnings.warn(
                f"Skipping variable loading for optimizer '{self.name}', because it has "
                f"{len(own)} variables whereas the saved optimizer has {len(store)} variables.",
                stacklevel=2,
            )
            return
        self.set_weights([np.asarray(store[str(i)]) for i in range(len(own))])


def check_numbers(**arguments: Any) -> None:
    """TypeError that names the first argument which is neither a number nor None."""
    for name, value in arguments.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float, np.number))):
            raise TypeError(f"{name}: expected a number, got {value!r}")


def _number(learning_rate: Any) -> float:
    number = learning_rate
    if isinstance(number, (Variable, np.ndarray)) and number.ndim == 0:
        number = number.item() if isinstance(number, np.ndarray) else number._data.item()
    if isinstance(number, bool) or not isinstance(number, (int, float, np.number)):
        raise ValueError(
            "Argument `learning_rate` should be float, or an instance of LearningRateSchedule, or a "
            f"callable. Received instead: learning_rate={learning_rate!r}"
        )
    if not math.isfinite(number):
        raise ValueError(f"learning_rate: expected a finite number, got {number}")
    return float(number)
