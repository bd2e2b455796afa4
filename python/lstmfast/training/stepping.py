# SPDX-License-Identifier: BSD-3-Clause
"""One step of training: forward, loss, backward, hooks, optimizer."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .batching import DataSet
from .objective import Objective, check_loss
from .own_loss import OwnLoss
from .own_steps import check_same_loss, overrides, tell_metrics

if TYPE_CHECKING:
    from ..models.executor import GradientPlan, Run
    from ..variables import Variable
    from .interrupts import InterruptGuard

__all__ = ["TrainStep"]

Hook = Callable[[int, list[Any], dict[str, Any]], Any]


class TrainStep:
    """What every training step needs and does not change during a fit; called with a batch, it takes a step.

    Parameters
    ----------
    model : Model
        Compiled and built.
    objective : Objective
    gradient_hook : callable, optional
        `CallbackList.on_gradients`, if a callback wants it.
    guard : InterruptGuard, optional
        Keeps Ctrl-C out of the optimizer's step.

    Attributes
    ----------
    epoch, number : int
        Of the batch, for hooks and warnings.
    """

    __slots__ = (
        "_first",
        "_own_loss",
        "_tells",
        "_watched",
        "epoch",
        "executor",
        "gradient_hook",
        "guard",
        "model",
        "number",
        "objective",
        "others",
        "plan",
        "regularized",
        "trainable",
    )

    def __init__(
        self,
        model: Any,
        objective: Objective,
        gradient_hook: Hook | None = None,
        guard: InterruptGuard | None = None,
    ) -> None:
        self.model, self.executor, self.objective = model, model.executor, objective
        self.gradient_hook, self.guard = gradient_hook, guard
        self.plan: GradientPlan = model.executor.gradient_plan()
        self.trainable: list[Variable]
        self.trainable, self.others = model.variables_in_use(anew=True)
        self.regularized = [v for v in self.trainable if v.regularizer is not None]
        self.epoch = self.number = 0
        self._own_loss = OwnLoss(model, self.regularized) if overrides(model, "compute_loss") else None
        self._tells = overrides(model, "compute_metrics")
        # fit: say once where the loss stopped being finite, and which weights have no part in it
        self._watched = self._first = guard is not None
        self._forget()
        if model.optimizer is None:
            raise ValueError("training needs an optimizer: the model was compiled with optimizer=None")
        model.optimizer.build(self.trainable)

    def _forget(self) -> None:
        """Forget gradients, also those of a step that was interrupted."""
        self.executor.clear_gradients(self.trainable)
        self.executor.clear_gradients(self.others)

    def __call__(self, batch: DataSet) -> None:
        self.learn(batch, self.forward(batch))

    def forward(self, batch: DataSet, states: list[Any] | None = None) -> Run:
        """The forward pass; `states` as for `Executor.forward`."""
        return self.executor.forward(  # type: ignore[no-any-return]
            batch.xs,
            True,
            self.plan,
            lengths=batch.lengths,
            defer=self.objective.deferred,
            states=states,
            resets=batch.resets,
        )

    def learn(self, batch: DataSet, run: Run) -> None:
        """Loss, backward pass, one step of the optimizer."""
        objective = self.objective
        try:
            if not objective.has_loss:
                check_loss(self.model, objective, run)
            loss, dys = objective.compute(run, batch, gradients=True)
            own = self._own_loss
            value, found = (0.0, None) if own is None else own(batch, run)
            if found is not None:
                loss, (dys, shares) = value, found
            if self._watched and not math.isfinite(loss):
                self._watched = False
                self._warn(batch, loss)
            self.executor.backward(run, dys)
            for k, variable in enumerate(self.regularized):
                regularizer: Any = variable.regularizer
                if found is None:
                    loss += float(regularizer(variable._data))
                    variable.add_grad(regularizer.gradient(variable._data))
                elif shares[k]:
                    variable.add_grad(np.float32(shares[k]) * regularizer.gradient(variable._data))
            if self._first:
                self._first = False
                self._warn_of_missing()
            if own is not None and found is None:
                check_same_loss(self.model, value, loss, own.reason)
                loss = value
            objective.add(loss)
            if self._tells:
                tell_metrics(self.model, batch, run)
            if self.gradient_hook is not None and not self._asked(self.gradient_hook, loss):
                self._forget()
                return
            scale = float(self.model.optimizer.scale_loss(1.0))
            if scale != 1.0:  # as if the loss had been scaled; the step scales back
                for variable in self.trainable:
                    if variable._grad_live:
                        variable._grad *= np.float32(scale)  # type: ignore[operator]
            guard = self.guard
            if guard is None:
                self.model.optimizer.step(self.trainable)
            else:
                guard.busy = True
                try:
                    self.model.optimizer.step(self.trainable)
                finally:
                    guard.release()
        except BaseException:
            for variable in self.trainable:  # an optimizer that failed may have changed some already
                variable.touch()
            self._forget()
            raise
        for variable in self.others:
            variable._grad_live = False

    def _asked(self, hook: Hook, loss: float) -> bool:
        """Let callbacks change the gradients; False if the step is to be left out."""
        held = [v.grad for v in self.trainable]
        given = hook(self.number, list(held), {"loss": loss})
        if given is False:
            return False
        changes = []
        for variable, old, new in zip(self.trainable, held, given, strict=True):
            if new is not old:
                # A copy: the new one may be the buffer of another variable.
                changes.append((variable, None if new is None else np.array(variable.check(new))))
        for variable, value in changes:
            variable.clear_grad()
            if value is not None:
                variable.add_grad(value)
        return True

    def _warn_of_missing(self) -> None:
        missing = [v.path for v in self.trainable if not v._grad_live]
        if missing and len(missing) < len(self.trainable):
            warnings.warn(
                f"Gradients do not exist for variables {missing} when minimizing the loss. If using `model.compile()`, "
                "did you forget to provide a `loss` argument?",
                stacklevel=6,
            )

    def _warn(self, batch: DataSet, loss: float) -> None:
        warnings.warn(
            f"the loss is {loss} in epoch {self.epoch + 1}, batch {self.number + 1} (both counted from 1): "
            f"{_culprit(self.model, batch)}",
            RuntimeWarning,
            stacklevel=6,
        )


def _culprit(model: Any, batch: DataSet) -> str:
    """Where numbers are not finite: looked for only when the loss is not."""
    several = len(batch.xs) > 1, len(batch.ys) > 1
    for number, (name, x) in enumerate(zip(model.input_names, batch.xs, strict=True)):
        if x is None:
            continue
        lengths = None if batch.lengths is None else batch.lengths[number]
        if lengths is not None:
            x = x[np.arange(x.shape[1]) < lengths[:, None]]
        if not _finite(x):
            return (
                f"the input {name!r} holds NaN or infinity"
                if several[0]
                else "the input holds NaN or infinity"
            )
    for name, y in zip(model.output_names, batch.ys, strict=True):
        if y is not None and not _finite(y):
            return (
                f"the target {name!r} holds NaN or infinity"
                if several[1]
                else "the target holds NaN or infinity"
            )
    for variable in model.weights:
        if not _finite(variable.value):
            return (
                f"input and target are finite, the weight {variable.path!r} is not; if the step before made it so, "
                "its input held infinity or its gradients overflowed"
            )
    return "input, target and weights are finite, the loss itself is not"


def _finite(array: Any) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())
