# SPDX-License-Identifier: BSD-3-Clause
"""Several optimizers for one model, each for its part of the variables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

from ..variables import Variable
from .base import Optimizer
from .loss_scale import LossScaleOptimizer

__all__ = ["MultiOptimizer", "OptimizerMap"]


class OptimizerMap(MutableMapping[str, Optimizer]):
    """Optimizers by patterns of variables' paths.

    Parameters
    ----------
    default_optimizer : Optimizer
        For variables that no pattern fits.
    optimizer_map : dict, optional
        From paths or patterns (`re.fullmatch`) to optimizers.

    Raises
    ------
    TypeError
        If these are no optimizer and no dict.
    ValueError
        On asking for the optimizer of a path that several patterns fit; on setting a key that there is already, or
        what is no plain optimizer.

    Examples
    --------
    >>> from lstmfast import optimizers
    >>> chosen = optimizers.OptimizerMap(optimizers.Adam(), {"embedding/.*": optimizers.SGD()})
    >>> type(chosen["embedding/embeddings"]).__name__, type(chosen["lstm/kernel"]).__name__
    ('SGD', 'Adam')
    """

    def __init__(
        self, default_optimizer: Optimizer, optimizer_map: dict[str, Optimizer] | None = None
    ) -> None:
        if not isinstance(default_optimizer, Optimizer):
            raise TypeError(
                f"default_optimizer must be a Keras Optimizer instance. Received: {default_optimizer}"
            )
        if optimizer_map is not None and not isinstance(optimizer_map, dict):
            raise TypeError(f"optimizer_map must be a dictionary. Received: {optimizer_map}")
        self._default_optimizer = default_optimizer
        self._optimizer_map: dict[str, Optimizer] = optimizer_map or {}

    @property
    def default_optimizer(self) -> Optimizer:
        """For variables that no pattern fits."""
        return self._default_optimizer

    def __getitem__(self, key: str) -> Optimizer:
        if key in self._optimizer_map:
            return self._optimizer_map[key]
        fitting = [pattern for pattern in self._optimizer_map if re.fullmatch(pattern, key)]
        if len(fitting) > 1:
            raise ValueError(f"Multiple optimizers assigned to variable {key}.")
        return self._optimizer_map[fitting[0]] if fitting else self._default_optimizer

    def __setitem__(self, key: str, optimizer: Optimizer) -> None:
        if key in self._optimizer_map:
            raise ValueError(
                f"'{key}' already exists in the OptimizerMap with value {self._optimizer_map[key]}. Please make "
                "sure to not use duplicated keys."
            )
        if not isinstance(key, str):
            raise ValueError(f"key must be a string. Received: {key}")
        self._optimizer_map[key] = _plain(optimizer)

    def __delitem__(self, key: str) -> None:
        del self._optimizer_map[key]

    def __len__(self) -> int:
        return len(self._optimizer_map)

    def __iter__(self) -> Iterator[str]:
        return iter(self._optimizer_map)

    def __call__(self, variable: Variable) -> Optimizer:
        """The optimizer of a variable, by its path."""
        return self[variable.path]

    def get_config(self) -> dict[str, Any]:
        from ..saving.registry import serialize_keras_object

        return {
            "default_optimizer": serialize_keras_object(self._default_optimizer),
            "optimizer_map": serialize_keras_object(self._optimizer_map),
        }

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> OptimizerMap:
        from ..saving.registry import deserialize_keras_object

        keys = ("default_optimizer", "optimizer_map")
        return cls(*(deserialize_keras_object(config[key], custom_objects) for key in keys))


class MultiOptimizer(Optimizer):
    """Gives each variable to one of several optimizers.

    Parameters
    ----------
    optimizer_map : OptimizerMap or callable
        A function of a variable that gives its optimizer: the same one for those that shall share it.
    loss_scale_factor : float, optional
        In place of that of all optimizers.
    name : str, optional

    Attributes
    ----------
    optimizers : list of Optimizer
        Learning rates are theirs: this one has none.

    Raises
    ------
    ValueError
        In `build`: if `optimizer_map` is neither, or what it gives is no optimizer, or one of this kind or a `LossScaleOptimizer`.

    Examples
    --------
    >>> import lstmfast as lf
    >>> model = lf.Sequential([lf.Input((None, 3)), lf.layers.LSTM(4), lf.layers.Dense(1, name="head")])
    >>> by_path = lf.optimizers.OptimizerMap(lf.optimizers.Adam(), {".*head/.*": lf.optimizers.SGD(0.1)})
    >>> model.compile(lf.optimizers.MultiOptimizer(by_path), loss="mse")
    >>> [type(optimizer).__name__ for optimizer in model.optimizer.optimizers]
    ['SGD', 'Adam']
    """

    _loss_scale_factor: float | None = None

    def __init__(
        self,
        optimizer_map: OptimizerMap | Callable[[Variable], Optimizer],
        loss_scale_factor: float | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate=0.0, loss_scale_factor=loss_scale_factor, name=name)
        self._optimizer_map = optimizer_map
        if isinstance(optimizer_map, OptimizerMap):
            for optimizer in (*optimizer_map.values(), optimizer_map.default_optimizer):
                self._take(optimizer)

    def _take(self, optimizer: Any) -> int:
        """The number of an optimizer, which is added if it is new."""
        if all(optimizer is not inner for inner in self._inner_optimizers):
            optimizer.loss_scale_factor = self.loss_scale_factor
            self._inner_optimizers.append(optimizer)
        return next(k for k, inner in enumerate(self._inner_optimizers) if inner is optimizer)

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        variables = list(variables)
        if not callable(self._optimizer_map):
            raise ValueError(
                f"optimizer_map: expected an OptimizerMap or a function of a variable, got {self._optimizer_map!r}"
            )
        chosen = [_plain(self._optimizer_map(v), v) for v in variables]
        self._var_to_optimizer_idx = {
            self._var_key(v): self._take(o) for v, o in zip(variables, chosen, strict=True)
        }
        for inner, part in self._parts(variables):
            inner.build(part)
        self._know(variables)

    def _parts(self, variables: Sequence[Variable]) -> list[tuple[Optimizer, list[Variable]]]:
        """Optimizers that have some of these variables, with those."""
        lists: list[list[Variable]] = [[] for _ in self._inner_optimizers]
        for v in variables:
            lists[self._var_to_optimizer_idx[self._var_key(v)]].append(v)
        return [(o, part) for o, part in zip(self._inner_optimizers, lists, strict=True) if part]

    @property
    def optimizers(self) -> list[Optimizer]:
        """Those that take the steps: of the map in its order, the default one behind them."""
        return self._inner_optimizers

    def step(self, variables: Sequence[Variable] | None = None) -> None:
        parts = self._parts(self._to_step(variables))
        if any(all(not v._grad_live for v in part) for _, part in parts):  # before any has changed
            raise ValueError("No gradients provided for any variable of an optimizer.")
        for inner, part in parts:
            inner.step(part)
        self._iterations._data += 1

    def inner_groups(self) -> list[tuple[str, Optimizer]]:
        return [("optimizers", inner) for inner in self._inner_optimizers]

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        for inner, part in self._parts(var_list):
            inner.finalize_variable_values(part)

    @property
    def learning_rate(self) -> Any:
        raise AttributeError(
            "Learning rate cannot be accessed on a MultiOptimizer. Access the learning rate on the individual "
            "sub-optimizers instead."
        )

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        raise AttributeError(
            "Learning rate cannot be set on a MultiOptimizer. Set the learning rate on the individual "
            "sub-optimizers instead."
        )

    @property
    def loss_scale_factor(self) -> float | None:
        """That of all optimizers."""
        return self._loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, value: float | None) -> None:
        self._loss_scale_factor = value
        for inner in getattr(self, "_inner_optimizers", ()):
            inner.loss_scale_factor = value

    def get_config(self) -> dict[str, Any]:
        from ..saving.registry import serialize_keras_object

        return {
            "optimizer_map": serialize_keras_object(self._optimizer_map),
            "loss_scale_factor": self.loss_scale_factor,
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> MultiOptimizer:
        from ..saving.registry import deserialize_keras_object

        config = dict(config)
        config["optimizer_map"] = deserialize_keras_object(config["optimizer_map"], custom_objects)
        return cls(**config)


def _plain(optimizer: Any, variable: Variable | None = None) -> Optimizer:
    """The optimizer, if it is one that a `MultiOptimizer` may have."""
    where = "optimizer" if variable is None else f"optimizer for variable {variable.path}"
    if not isinstance(optimizer, Optimizer):
        raise ValueError(f"{where} must be a Keras Optimizer instance. Received: {optimizer}")
    if isinstance(optimizer, (LossScaleOptimizer, MultiOptimizer)):
        name = type(optimizer).__name__
        if variable is None:
            raise ValueError(f"optimizer cannot be {name}.")
        raise ValueError(f"{where}: {name} cannot be used inside an MultiOptimizer.")
    return optimizer
