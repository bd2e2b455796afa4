# SPDX-License-Identifier: BSD-3-Clause
"""An optimizer around another one, for gradients of a loss that was scaled up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..variables import Variable
from .base import Optimizer
from .state import check_numbers

__all__ = ["LossScaleOptimizer"]

#: Arguments of `Optimizer` that older files give with these values, which say nothing.
_IDLE: dict[str, Any] = {
    "weight_decay": None,
    "clipnorm": None,
    "global_clipnorm": None,
    "clipvalue": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}


class LossScaleOptimizer(Optimizer):
    """Scales the loss, so that small gradients do not become 0, and gradients back (Micikevicius et al. 2018).

    A step with a gradient that is not finite is left out, and the scale halved; after `dynamic_growth_steps` steps
    without one it is doubled. In float32, which lstmfast computes in, there is no need for it: it is here for programs
    and files that have it. `fit` scales the loss of its own accord, other loops by `scale_loss`.

    Parameters
    ----------
    inner_optimizer : Optimizer
        Takes the steps. Its `loss_scale_factor` is set to None.
    initial_scale : float
        Of the loss at first.
    dynamic_growth_steps : int
    name : str, optional
    **kwargs
        Only for older files: other arguments of `Optimizer` at their defaults, and ``dynamic=True``.

    Raises
    ------
    ValueError
        If an argument of the inner optimizer is given here, or an unknown one.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.optimizers import SGD, LossScaleOptimizer
    >>> from lstmfast.variables import Variable
    >>> w, optimizer = Variable([1.0], name="w"), LossScaleOptimizer(SGD(0.5), initial_scale=8.0)
    >>> optimizer.apply([np.array([16.0])], [w])  # 2, of a loss times 8
    >>> w.numpy()
    array([0.], dtype=float32)
    >>> optimizer.apply([np.array([np.inf])], [w])
    >>> w.numpy(), float(optimizer.scale_loss(1.0))
    (array([0.], dtype=float32), 4.0)
    """

    def __init__(
        self,
        inner_optimizer: Optimizer,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if not kwargs.pop("dynamic", True):
            raise ValueError(
                "LossScaleOptimizer no longer supports `dynamic=False`. Instead, simply set `loss_scale_factor` "
                "directly on the `inner_optimizer`."
            )
        for key, idle in _IDLE.items():
            value = kwargs.pop(key, idle)
            if value != idle:
                raise ValueError(
                    f"LossScaleOptimizer does not support `{key}`. Instead, set `{key}` on the `inner_optimizer`."
                )
        if kwargs:
            raise ValueError(f"LossScaleOptimizer does not support arguments: `{'`, `'.join(kwargs)}`.")
        if not isinstance(inner_optimizer, Optimizer):
            raise TypeError(f"inner_optimizer: expected an Optimizer, got {inner_optimizer!r}")
        check_numbers(initial_scale=initial_scale, dynamic_growth_steps=dynamic_growth_steps)
        if not initial_scale > 0:
            raise ValueError(f"initial_scale: expected a number above 0, got {initial_scale!r}")
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = inner_optimizer
        self.initial_scale = initial_scale
        self.dynamic_growth_steps = dynamic_growth_steps
        inner_optimizer.loss_scale_factor = None
        self._inner_optimizers = [inner_optimizer]

    def build(self, variables: Sequence[Variable]) -> None:
        if self.built:
            return
        variables = list(variables)
        self.inner_optimizer.build(variables)
        self.step_counter = self._own(Variable(np.zeros((), np.int32), name="step_counter", trainable=False))
        self.dynamic_scale = self._own(
            Variable(np.float32(self.initial_scale), name="dynamic_scale", trainable=False)
        )
        self._know(variables)

    def step(self, variables: Sequence[Variable] | None = None) -> None:
        variables = self._to_step(variables)
        counter, scale = self.step_counter._data, self.dynamic_scale._data
        gradients = [v._grad for v in variables if v._grad is not None and v._grad_live]
        if not all(np.isfinite(g).all() for g in gradients):
            for v in variables:
                v.clear_grad()
            counter[...] = 0
            scale *= np.float32(0.5)
            return
        for g in gradients:
            np.divide(g, scale, out=g)
        self.inner_optimizer.step(variables)
        if counter == self.dynamic_growth_steps - 1:
            counter[...] = 0
            scale *= np.float32(2)
        else:
            counter += 1

    def scale_loss(self, loss: Any) -> Any:
        """The loss times the scale."""
        return loss * (self.dynamic_scale._data if self.built else self.initial_scale)

    def inner_groups(self) -> list[tuple[str, Optimizer]]:
        return [("inner_optimizer", self.inner_optimizer)]

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        self.inner_optimizer.finalize_variable_values(var_list)

    # ---- the inner optimizer's

    @property
    def learning_rate(self) -> Any:
        """Of the inner optimizer."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> Any:
        """Steps of the inner optimizer."""
        return self.inner_optimizer.iterations

    def get_config(self) -> dict[str, Any]:
        from ..saving.registry import serialize_keras_object

        return {
            "name": self.name,
            "inner_optimizer": serialize_keras_object(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> LossScaleOptimizer:
        from ..saving.registry import deserialize_keras_object

        config = dict(config)
        inner = config.pop("inner_optimizer")
        return cls(deserialize_keras_object(inner, custom_objects), **config)
