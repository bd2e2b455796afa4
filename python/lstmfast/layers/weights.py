# SPDX-License-Identifier: BSD-3-Clause
"""The weights of a layer: making, listing, reading and setting them, and what is derived from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .. import constraints, initializers, regularizers
from ..random import SeedGenerator
from ..symbolic import traced_inputs
from ..variables import Variable, weight_supplier
from .attributes import assignments, held_in_attributes
from .building import dtype_name, weight_arguments
from .keras_call import current_call
from .properties import LayerProperties, own_variables

__all__ = ["LayerWeights"]

Array = npt.NDArray[Any]
T = TypeVar("T")


class LayerWeights(LayerProperties):
    """The part of `Layer` that has to do with weights."""

    _trainable: bool
    _trainable_variables: list[Variable]
    _non_trainable_variables: list[Variable]
    _packed_weights: tuple[Any, Any] | None

    def add_weight(
        self,
        *args: Any,
        shape: Sequence[int] | None = None,
        initializer: Any = None,
        name: str | None = None,
        trainable: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        dtype: Any = None,
        autocast: bool = True,
        aggregation: str | None = "none",
        overwrite_with_gradient: bool = False,
    ) -> Variable:
        """Make a `Variable` that is a weight of this layer.

        Parameters
        ----------
        *args
            `shape` and `initializer` may be given by position, then `name` or `dtype`.
        shape : sequence of int, optional
            One number by default.
        initializer : str, dict, callable or array, optional
            By default Glorot's uniform distribution, zeros for integers.
        name : str, optional
        trainable : bool
        regularizer, constraint : optional
            By name, config or instance.
        dtype : str, optional
            ``"float32"`` by default.
        autocast, aggregation, overwrite_with_gradient : ignored
            Accepted for Keras's sake.

        Raises
        ------
        ValueError, TypeError
            If arguments are given twice or do not fit, or from a `call` that should only compute.
        """
        if args:
            shape, initializer, name, dtype = weight_arguments(args, shape, initializer, name, dtype)
        running = current_call.get()
        if self.built and running is not None and running[0] is self:
            raise ValueError(
                "You cannot add new elements of state (variables or sub-layers) to a layer that is already built. All "
                f"state must be created in the `__init__()` or `build()` method (layer {self.name!r})."
            )
        shape, dtype = tuple(shape or ()), dtype_name(dtype) or "float32"
        if any(not isinstance(n, (int, np.integer)) or n <= 0 for n in shape):
            raise ValueError(
                f"layer {self.name!r} cannot make weight {name!r} of shape {shape}: every axis must be known "
                "and positive"
            )
        supplier = weight_supplier.get()
        if supplier is not None:
            value = supplier(shape, dtype)
        elif isinstance(initializer, np.ndarray):
            value = initializer
        else:
            default = "glorot_uniform" if np.dtype(dtype).kind == "f" else "zeros"
            make = initializers.get(default if initializer is None else initializer)
            assert make is not None
            outer = traced_inputs.set(
                ()
            )  # an initializer's numbers are values, in a `call` that builds layers too
            try:
                value = make(shape, dtype=dtype)
            finally:
                traced_inputs.reset(outer)
        variable = Variable(
            value, name or "variable", trainable, regularizers.get(regularizer), constraints.get(constraint)
        )
        if variable.shape != shape:
            raise ValueError(f"initializer of weight {name!r} made shape {variable.shape}, expected {shape}")
        variable.path = f"{self._weight_prefix()}/{variable.name}"
        (self._trainable_variables if trainable else self._non_trainable_variables).append(variable)
        variable.trainable = trainable and self._trainable
        return variable

    def add_variable(self, shape: Sequence[int], initializer: Any, **kwargs: Any) -> Variable:
        """`add_weight`, under Keras's other name."""
        return self.add_weight(shape=shape, initializer=initializer, **kwargs)

    def _weight_prefix(self) -> str:
        return self.name

    @property
    def weights(self) -> list[Variable]:
        """All weights: own trainable ones, own others, then those of layers inside."""
        inside = [variable for layer in self._sublayers() for variable in layer.weights]
        return list(dict.fromkeys([*own_variables(self, inside), *inside]))

    @property
    def variables(self) -> list[Variable]:
        """All weights, and the states of random numbers: those of a layer's `SeedGenerator` follow its own weights."""
        inside = [variable for layer in self._sublayers() for variable in layer.variables]
        seeds = [seed.state for seed in held_in_attributes(self, SeedGenerator)]
        return list(dict.fromkeys([*own_variables(self, inside), *seeds, *inside]))

    @property
    def trainable_variables(self) -> list[Variable]:
        """Weights that training changes; empty if the layer is not `trainable`."""
        return [v for v in self.weights if v.trainable] if self._trainable else []

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """Those of `variables` that training does not change."""
        return [v for v in self.variables if not v.trainable] if self._trainable else self.variables

    trainable_weights = trainable_variables

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """Those of `weights` that training does not change."""
        return [v for v in self.weights if not v.trainable] if self._trainable else self.weights

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights; setting it also sets layers inside."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        assignments[0] += 1
        for variable in self._trainable_variables:
            variable.trainable = self._trainable
        for layer in self._sublayers():
            layer.trainable = self._trainable

    def get_weights(self) -> list[Array]:
        """Copies of all weights' values, in the order of `weights`."""
        return [v.numpy() for v in self.weights]

    def set_weights(self, weights: Sequence[npt.ArrayLike]) -> None:
        """Set all weights, or none if any array does not fit.

        Raises
        ------
        ValueError
            If the number of arrays or a shape differs.
        TypeError
            If an array is not numeric.
        """
        variables = self.weights
        if len(weights) != len(variables):
            raise ValueError(
                f"You called `set_weights(weights)` on layer '{self.name}' with a weight list of length "
                f"{len(weights)}, but the layer was expecting {len(variables)} weights."
            )
        checked = []
        for variable, value in zip(variables, weights, strict=True):
            shape = np.shape(value)
            if shape != variable.shape:
                raise ValueError(
                    f"Layer {self.name} weight shape {variable.shape} is not compatible with provided weight "
                    f"shape {shape} (weight {variable.path!r})."
                )
            checked.append(variable.check(value))
        for variable, value in zip(variables, checked, strict=True):
            variable.assign(value)

    def count_params(self) -> int:
        """Number of elements of all weights."""
        if not self.built:
            raise ValueError(
                f"You tried to call `count_params` on layer '{self.name}', but the layer isn't built. "
                "You can build it manually via: `layer.build(input_shape)`."
            )
        return sum(v.size for v in self.weights)

    def stateless_call(
        self: Any,
        trainable_variables: Sequence[Any],
        non_trainable_variables: Sequence[Any],
        *args: Any,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """A call with other values of the weights, which afterwards are what they were.

        Parameters
        ----------
        trainable_variables, non_trainable_variables : sequence of array_like
            Values in the order of the properties of these names.
        *args, **kwargs
            Those of the call.
        return_losses : bool
            Also return `losses`.

        Returns
        -------
        tuple
            The output, what the call made of the non-trainable weights, and the losses if asked for.

        Raises
        ------
        ValueError
            If the layer is not built, or the values do not fit the weights.
        """
        name = type(self).__name__
        if not self.built:
            raise ValueError(
                f"To call stateless_call, {name} must be built (i.e. its variables must have been already created). You "
                "can build it by calling it on some data."
            )
        changed: list[tuple[Variable, Any]] = []
        given = {
            "trainable_variables": trainable_variables,
            "non_trainable_variables": non_trainable_variables,
        }
        for argument, values in given.items():
            own = getattr(self, argument)
            if len(values) != len(own):
                raise ValueError(
                    f"Argument `{argument}` must be a list of tensors corresponding 1:1 to {name}().{argument}. "
                    f"Received list with length {len(values)}, but expected {len(own)} variables."
                )
            changed += [(v, v.check(value)) for v, value in zip(own, values, strict=True)]
        before = [(v, v.numpy()) for v, _ in changed]
        try:
            for variable, value in changed:
                variable.assign(value)
            outputs = self(*args, **kwargs)
            left = [v.numpy() for v in self.non_trainable_variables]
            return (outputs, left, self.losses) if return_losses else (outputs, left)
        finally:
            for variable, value in before:
                variable.assign(value)

    def packed(self, variables: Sequence[Variable | None], pack: Callable[[], T]) -> T:
        """``pack()``, made anew only when one of `variables` has changed."""
        key = [v.version if v is not None else -1 for v in variables]
        cached = self._packed_weights
        if cached is not None and cached[0] == key:
            return cached[1]  # type: ignore[no-any-return]
        made = pack()
        self._packed_weights = (key, made)  # one assignment: threads see the old pair or the new one
        return made
