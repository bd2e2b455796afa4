# SPDX-License-Identifier: BSD-3-Clause
"""compile, fit, evaluate, predict: Keras 3's training interface over the executor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import random
from .batching import DataSet, batch_size_for, positive_int, prepare, split, with_class_weights
from .compiling import Compiled
from .objective import Objective

if TYPE_CHECKING:
    from ..callbacks import CallbackList, History
    from ..models.executor import GradientPlan
    from ..variables import Variable

__all__ = ["Trainer"]

Array = npt.NDArray[Any]


class _Step:
    """What every training step needs and does not change during a fit."""

    __slots__ = ("objective", "others", "plan", "regularized", "trainable")

    def __init__(self, model: Any, objective: Objective) -> None:
        self.objective = objective
        self.plan: GradientPlan = model.executor.gradient_plan()
        self.trainable: list[Variable]
        self.trainable, self.others = model.variables_in_use()
        self.regularized = [v for v in self.trainable if v.regularizer is not None]


class Trainer(Compiled):
    """The part of `Model` that trains. Methods are documented where users meet them: in `Model`."""

    # --- fit

    def fit(
        self: Any,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
        lengths: Any = None,
    ) -> History:
        """Train for a number of epochs.

        Parameters
        ----------
        x : array_like, or list or dict (by input names) of them
        y : array_like, or list or dict (by output names) of them
        batch_size : int, optional
            32 by default.
        epochs : int
            Number of the last epoch.
        verbose : {"auto", 0, 1, 2}
            Nothing, a progress bar (also "auto"), or a line an epoch.
        callbacks : list of Callback, optional
        validation_split : float
            Share of the samples, from the end, on which the model is evaluated after each epoch.
        validation_data : tuple, optional
            (x, y), (x, y, sample_weight) or (x, y, sample_weight, lengths) in place of `validation_split`.
        shuffle : bool
            Draw a new order of the samples for each epoch, from the global seed.
        class_weight : dict of int to float, optional
        sample_weight : array_like, optional
            (N,), or (N, T) for outputs with time steps; or a list or dict of them.
        initial_epoch : int
        steps_per_epoch, validation_steps : int, optional
            End an epoch, or a validation, after this many batches.
        validation_batch_size : int, optional
        validation_freq : int or list of int
            Every how many epochs, or in which, to validate.
        lengths : (N,) int array, optional
            Valid steps of right-padded rows. Steps behind do not count in the loss.

        Returns
        -------
        History

        Raises
        ------
        ValueError, TypeError
            If an argument or the data will not do. All of it is checked before the first step.
        """
        self._need_compiled()
        if batch_size is not None:
            positive_int(batch_size, "batch_size")
        epochs = _epochs(epochs, initial_epoch)
        steps_per_epoch = (
            None if steps_per_epoch is None else positive_int(steps_per_epoch, "steps_per_epoch")
        )
        if not 0 <= validation_split < 1:
            raise ValueError(f"validation_split must be from 0 to 1 (exclusive), got {validation_split!r}")
        data = prepare(self, x, y, sample_weight, None, lengths)
        validation = _validation_data(self, validation_data)
        objective = self._objective_for(data)
        if not objective.has_loss:
            raise ValueError("No loss to compute. Provide a `loss` argument in `compile()`.")
        if validation is not None:
            self._objective_for(validation)
        elif validation_split:
            data, validation = split(data, validation_split)
        if class_weight is not None:  # as in Keras, only in training
            data = with_class_weights(data, class_weight)
        batch_size = batch_size_for(self, batch_size, len(data))
        val_size = positive_int(validation_batch_size, "validation_batch_size", batch_size)
        if validation is not None:
            batch_size_for(self, val_size, len(validation))
        if validation_steps is not None:
            validation_steps = positive_int(validation_steps, "validation_steps")
        n = len(data)
        steps = math.ceil(n / batch_size)
        steps = steps if steps_per_epoch is None else min(steps, steps_per_epoch)
        hooks = self._callback_list(callbacks, verbose, epochs, steps, history=True)
        step = self._train = _Step(self, objective)
        self.optimizer.build(step.trainable)
        begins, ends = hooks.wants("on_train_batch_begin"), hooks.wants("on_train_batch_end")

        self.stop_training = False
        logs: dict[str, Any] = {}
        hooks.on_train_begin()
        for epoch in range(initial_epoch, epochs):
            objective.reset()
            hooks.on_epoch_begin(epoch)
            order = random.global_generator().permutation(n) if shuffle and n > batch_size else None
            for number, batch in enumerate(data.batches(batch_size, order, steps_per_epoch)):
                if begins:
                    hooks.on_train_batch_begin(number)
                self._train_step(step, batch)
                if ends:
                    hooks.on_train_batch_end(number, objective.logs())
                if self.stop_training:
                    break
            logs = objective.logs()
            if validation is not None and _due(epoch, validation_freq):
                val_logs = self._evaluate(validation, val_size, hooks, validation_steps)
                logs.update({f"val_{name}": value for name, value in val_logs.items()})
            hooks.on_epoch_end(epoch, logs)
            if self.stop_training:
                break
        hooks.on_train_end(logs)
        return hooks.history  # type: ignore[no-any-return]

    def _train_step(self: Any, step: _Step, batch: DataSet) -> float:
        """Forward, loss, backward, one step of the optimizer; returns the loss."""
        executor, objective = self.executor, step.objective
        try:
            run = executor.forward(batch.xs, True, step.plan, lengths=batch.lengths, defer=objective.deferred)
            loss, dys = objective.compute(run, batch.ys, batch.weights, gradients=True)
            executor.backward(run, dys)
            for variable in step.regularized:
                loss += float(variable.regularizer(variable._data))  # type: ignore[misc]
                variable.add_grad(variable.regularizer.gradient(variable._data))  # type: ignore[union-attr]
            objective.add(loss)
            self.optimizer.step(step.trainable)
        except BaseException:
            executor.clear_gradients(step.trainable)
            raise
        finally:
            for variable in step.others:
                variable.clear_grad()
        return loss

    def train_on_batch(
        self: Any,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
        lengths: Any = None,
    ) -> Any:
        """One step on one batch; returns its loss and metrics, as `evaluate` does."""
        self._need_compiled()
        data = prepare(self, x, y, sample_weight, class_weight, lengths)
        objective = self._objective_for(data, one_batch=True)
        if not objective.has_loss:
            raise ValueError("No loss to compute. Provide a `loss` argument in `compile()`.")
        step = self._train
        if step is None or step.objective is not objective or step.plan is not self.executor.gradient_plan():
            step = self._train = _Step(self, objective)
            self.optimizer.build(step.trainable)
        objective.reset()
        self._train_step(step, data)
        logs = objective.logs()
        return logs if return_dict else objective.flatten(logs)

    def apply_gradients(self: Any, grads: Sequence[Any]) -> None:
        """One step of the optimizer with gradients of ``trainable_variables`` (from `Tape.backward`)."""
        if self.optimizer is None:
            raise ValueError("You must call `compile()` before using the model.")
        self.optimizer.apply(list(grads), self.trainable_variables)

    # --- evaluate

    def evaluate(
        self: Any,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        lengths: Any = None,
    ) -> Any:
        """Loss and metrics on a data set.

        Parameters
        ----------
        x, y, batch_size, verbose, sample_weight, callbacks, lengths
            As in `fit`.
        steps : int, optional
            End after this many batches.
        return_dict : bool
            A dict by names rather than a list.

        Returns
        -------
        float, list of float, or dict
            The loss, then the metrics.
        """
        self._need_compiled()
        steps = None if steps is None else positive_int(steps, "steps")
        data = prepare(self, x, y, sample_weight, None, lengths)
        batch_size = batch_size_for(self, batch_size, len(data))
        objective = self._objective_for(data)
        total = math.ceil(len(data) / batch_size)
        hooks = self._callback_list(callbacks, verbose, 1, total if steps is None else min(total, steps))
        logs = self._evaluate(data, batch_size, hooks, steps)
        return logs if return_dict else objective.flatten(logs)

    def _evaluate(
        self: Any, data: DataSet, batch_size: int, hooks: CallbackList, steps: int | None
    ) -> dict[str, Any]:
        objective = self._objective
        begins, ends = hooks.wants("on_test_batch_begin"), hooks.wants("on_test_batch_end")
        objective.reset()
        penalty = self._weight_penalty()
        self.stop_evaluating = False
        hooks.on_test_begin()
        for number, batch in enumerate(data.batches(batch_size, None, steps)):
            if begins:
                hooks.on_test_batch_begin(number)
            self._test_step(objective, batch, penalty)
            if ends:
                hooks.on_test_batch_end(number, objective.logs())
            if self.stop_evaluating:
                break
        logs: dict[str, Any] = objective.logs()
        hooks.on_test_end(logs)
        return logs

    def _weight_penalty(self: Any) -> float:
        """What the regularizers of the trainable weights add to the loss."""
        return sum(
            float(v.regularizer(v._data)) for v in self.trainable_variables if v.regularizer is not None
        )

    def _test_step(self: Any, objective: Objective, batch: DataSet, penalty: float) -> None:
        run = self.executor.forward(batch.xs, False, lengths=batch.lengths, defer=objective.deferred)
        loss, _ = objective.compute(run, batch.ys, batch.weights, gradients=False)
        objective.add(loss + penalty)

    def test_on_batch(
        self: Any,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        return_dict: bool = False,
        lengths: Any = None,
    ) -> Any:
        """Loss and metrics on one batch, as `evaluate` returns them."""
        self._need_compiled()
        data = prepare(self, x, y, sample_weight, None, lengths)
        objective = self._objective_for(data, one_batch=True)
        penalty = self._weight_penalty()
        objective.reset()
        self._test_step(objective, data, penalty)
        logs = objective.logs()
        return logs if return_dict else objective.flatten(logs)

    # --- predict

    def predict(
        self: Any,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
        lengths: Any = None,
    ) -> Any:
        """Outputs for a data set, computed in batches.

        Parameters
        ----------
        x, batch_size, verbose, callbacks, lengths
            As in `fit`.
        steps : int, optional
            End after this many batches.

        Returns
        -------
        numpy.ndarray, or a list or dict of them
            float32, one entry for each sample.
        """
        steps = None if steps is None else positive_int(steps, "steps")
        data = prepare(self, x, lengths=lengths)
        n = len(data)
        batch_size = batch_size_for(self, batch_size, n)
        total = math.ceil(n / batch_size)
        total = total if steps is None else min(total, steps)
        hooks = self._callback_list(callbacks, verbose, 1, total)
        begins, ends = hooks.wants("on_predict_batch_begin"), hooks.wants("on_predict_batch_end")
        executor = self.executor
        outputs: list[Array] = []
        done = 0
        self.stop_predicting = False
        hooks.on_predict_begin()
        for number, batch in enumerate(data.batches(batch_size, None, steps)):
            if begins:
                hooks.on_predict_batch_begin(number)
            run = executor.forward(batch.xs, False, lengths=batch.lengths)
            arrays = [run.values[slot] for slot in executor.output_slots]
            if not outputs:
                rows = min(n, total * batch_size)
                outputs = [np.empty((rows, *a.shape[1:]), a.dtype) for a in arrays]
            for whole, array in zip(outputs, arrays, strict=True):
                whole[done : done + len(array)] = array
            done += len(batch)
            if ends:
                hooks.on_predict_batch_end(number, {"outputs": self.pack_outputs(arrays)})
            if self.stop_predicting:
                break
        hooks.on_predict_end()
        return self.pack_outputs([a[:done] for a in outputs])

    def predict_on_batch(self: Any, x: Any, lengths: Any = None) -> Any:
        """Outputs for one batch."""
        return self(x, lengths=lengths)

    def _callback_list(
        self: Any, callbacks: Any, verbose: Any, epochs: int, steps: int, history: bool = False
    ) -> CallbackList:
        from ..callbacks import CallbackList

        if verbose not in ("auto", 0, 1, 2):
            raise ValueError(f"verbose must be 'auto', 0, 1 or 2, got {verbose!r}")
        verbose = 1 if verbose == "auto" else int(verbose)
        if isinstance(callbacks, CallbackList):
            return callbacks
        return CallbackList(
            callbacks,
            add_history=history,
            add_progbar=verbose != 0,
            model=self,
            verbose=verbose,
            epochs=epochs,
            steps=steps,
        )


def _epochs(epochs: Any, initial_epoch: Any) -> int:
    for name, value in (("epochs", epochs), ("initial_epoch", initial_epoch)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
            raise ValueError(f"{name} must be an integer of at least 0, got {value!r}")
    return int(epochs)


def _due(epoch: int, frequency: Any) -> bool:
    if isinstance(frequency, (int, np.integer)):
        return (epoch + 1) % int(frequency) == 0
    return (epoch + 1) in frequency


def _validation_data(model: Any, given: Any) -> DataSet | None:
    if given is None:
        return None
    if not isinstance(given, (list, tuple)) or not 2 <= len(given) <= 4:
        raise ValueError(
            "validation_data must be a tuple (x, y), (x, y, sample_weight) or (x, y, sample_weight, lengths)"
        )
    x, y, *rest = given
    return prepare(model, x, y, rest[0] if rest else None, None, rest[1] if len(rest) > 1 else None)
