# SPDX-License-Identifier: BSD-3-Clause
"""evaluate and predict, over what `fitting` and `compiling` have: Keras 3's training interface."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..symbolic import map_leaves
from ..utils.splitting import unpack_x_y_sample_weight
from .batching import DataSet, batch_size_for, positive_int, prepare
from .convert import plain
from .fitting import Fitting, refuse_beside_batches
from .objective import Objective, check_loss
from .own_steps import OwnStep, judge, logs_of, overrides, predict_by, tell_metrics
from .streams import ArrayBatches, Batches, StreamBatches, is_stream

if TYPE_CHECKING:
    from ..callbacks import CallbackList

__all__ = ["Trainer"]

Array = npt.NDArray[Any]


class Trainer(Fitting):
    """The part of `Model` that trains, evaluates and predicts over data sets."""

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
        resets: Any = None,
    ) -> Any:
        """Loss and metrics on a data set.

        Parameters
        ----------
        x, y, batch_size, verbose, sample_weight, callbacks, lengths, resets
            As in `fit`.
        steps : int, optional
            End after this many batches; needed for a generator without end.
        return_dict : bool
            A dict by names rather than a list.

        Returns
        -------
        float, list of float, or dict
            The loss, then the metrics.
        """
        self._need_compiled()
        steps = None if steps is None else positive_int(steps, "steps")
        with ExitStack() as stack:
            batches = self._batches(stack, x, y, sample_weight, batch_size, (lengths, resets), steps)
            x = y = None  # see `fit`
            first = batches.data if isinstance(batches, ArrayBatches) else batches.first
            objective = self._objective_for(first)
            hooks = self._callback_list(callbacks, verbose, 1, batches.steps)
            logs = self._evaluate(batches, hooks)
        return logs if return_dict else objective.flatten(logs)

    def _batches(
        self: Any,
        stack: ExitStack,
        x: Any,
        y: Any,
        sample_weight: Any,
        batch_size: int | None,
        extras: tuple[Any, Any],
        steps: int | None,
    ) -> ArrayBatches | StreamBatches:
        """What `evaluate` and `predict` were given, as batches in order; closed with `stack`. `extras`: lengths, resets."""
        if is_stream(x):
            refuse_beside_batches(x, y=y, sample_weight=sample_weight, lengths=extras[0], resets=extras[1])
            return stack.enter_context(closing(StreamBatches(self, x, limit=steps, what="steps")))
        data = prepare(self, x, y, sample_weight, None, *extras)
        return ArrayBatches(data, batch_size_for(self, batch_size, len(data)), limit=steps)

    def _evaluate(self: Any, batches: Batches, hooks: CallbackList) -> dict[str, Any]:
        objective = self._objective
        begins, ends = hooks.wants("on_test_batch_begin"), hooks.wants("on_test_batch_end")
        own = OwnStep(self, "test_step") if overrides(self, "test_step") else None
        every = self.steps_per_execution
        self.reset_metrics()

        def logs_so_far() -> dict[str, Any]:
            return logs_of(self, objective) if own is None else own.logs

        penalty = self._weight_penalty()
        self.stop_evaluating = False
        batches.restart()
        hooks.on_test_begin()
        number = -1
        for number, batch in enumerate(batches.epoch()):
            if begins and number % every == 0:
                hooks.on_test_batch_begin(number)
            if own is None:
                self._test_step(objective, batch, penalty)
            else:
                own(batch)
            if ends and (number + 1) % every == 0:
                hooks.on_test_batch_end(number, logs_so_far())
            if self.stop_evaluating:
                break
        if ends and (number + 1) % every:  # as in Keras, the number that the last one would have had
            hooks.on_test_batch_end(number - number % every + every - 1, logs_so_far())
        logs: dict[str, Any] = logs_so_far() if number >= 0 else {}  # a generator may have ended
        hooks.on_test_end(logs)
        return logs

    def _weight_penalty(self: Any) -> float:
        """What the regularizers of the trainable weights add to the loss."""
        return float(sum(self._weight_penalties()))

    def _test_step(self: Any, objective: Objective, batch: DataSet, penalty: float) -> None:
        run = self.executor.forward(
            batch.xs, False, lengths=batch.lengths, defer=objective.deferred, resets=batch.resets
        )
        if not objective.has_loss:
            check_loss(self, objective, run)
        loss, _ = objective.compute(run, batch, gradients=False)
        loss += penalty
        objective.add(judge(self, batch, run, training=False) if overrides(self, "compute_loss") else loss)
        tell_metrics(self, batch, run)

    def test_step(self: Any, data: Any) -> dict[str, Any]:
        """Take a batch, x, (x, y) or (x, y, sample_weight), into loss and metrics: what `evaluate` does with each.

        A class of your own may write it anew; see `train_step`.

        Returns
        -------
        dict
            Loss and metrics so far, by name.
        """
        x, y, weight = unpack_x_y_sample_weight(data)
        batch = prepare(self, x, y, weight)
        objective = self._objective_for(batch, one_batch=True)
        self._test_step(objective, batch, self._weight_penalty())
        return logs_of(self, objective)

    def predict_step(self: Any, data: Any) -> Any:
        """Outputs for a batch: what `predict` does with each. A class of your own may write it anew."""
        return self(unpack_x_y_sample_weight(data)[0], training=False)

    def test_on_batch(
        self: Any,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        return_dict: bool = False,
        lengths: Any = None,
        resets: Any = None,
    ) -> Any:
        """Loss and metrics on one batch, as `evaluate` returns them."""
        self._need_compiled()
        data = prepare(self, x, y, sample_weight, None, lengths, resets)
        objective = self._objective_for(data, one_batch=True)
        self.reset_metrics()
        if overrides(self, "test_step"):
            own = OwnStep(self, "test_step")
            own(data)
            logs = own.logs
        else:
            self._test_step(objective, data, self._weight_penalty())
            logs = logs_of(self, objective)
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
        resets: Any = None,
    ) -> Any:
        """Outputs for a data set, computed in batches.

        Parameters
        ----------
        x, batch_size, verbose, callbacks, lengths, resets
            As in `fit`; of batches that `x` gives, only inputs, lengths and resets count.
        steps : int, optional
            End after this many batches; needed for a generator without end.

        Returns
        -------
        numpy.ndarray, or a list or dict of them
            float32, one entry for each sample.
        """
        steps = None if steps is None else positive_int(steps, "steps")
        with ExitStack() as stack:
            batches = self._batches(stack, x, None, None, batch_size, (lengths, resets), steps)
            x = None  # see `fit`
            executor = self.executor
            hooks = self._callback_list(callbacks, verbose, 1, batches.steps)
            begins, ends = hooks.wants("on_predict_batch_begin"), hooks.wants("on_predict_batch_end")
            gathered, structure = _Gathered(batches), None
            own = overrides(self, "predict_step")
            self.stop_predicting = False

            def packed(arrays: list[Any]) -> Any:
                return map_leaves(lambda k: arrays[k], structure) if own else self.pack_outputs(arrays)

            every, number = self.steps_per_execution, -1
            held: list[list[Array]] = []  # of the batches of which callbacks hear as of one

            def end(last: int) -> None:
                whole = (
                    held[0]
                    if len(held) == 1
                    else [np.concatenate(parts) for parts in zip(*held, strict=True)]
                )
                hooks.on_predict_batch_end(last, {"outputs": packed(whole)})
                held.clear()

            hooks.on_predict_begin()
            for number, batch in enumerate(batches.epoch()):
                if begins and number % every == 0:
                    hooks.on_predict_batch_begin(number)
                if own:
                    arrays, structure = predict_by(self, batch)
                else:
                    run = executor.forward(batch.xs, False, lengths=batch.lengths, resets=batch.resets)
                    arrays = [run.values[slot] for slot in executor.output_slots]
                gathered.add(arrays)
                if ends:
                    held.append(arrays if every == 1 else [np.array(a) for a in arrays])
                    if (number + 1) % every == 0:
                        end(number)
                if self.stop_predicting:
                    break
            if held:  # as in Keras, the number that the last one would have had
                end(number - number % every + every - 1)
            hooks.on_predict_end()
        return packed(gathered.whole())

    def predict_on_batch(self: Any, x: Any, lengths: Any = None, resets: Any = None) -> Any:
        """Outputs for one batch, as `predict` computes them: layers that were called with ``training=True`` do not train."""
        if overrides(self, "predict_step") and lengths is None and resets is None:
            return self.predict_step((plain(x),))
        return self(x, training=False, lengths=lengths, resets=resets)

    def _callback_list(
        self: Any, callbacks: Any, verbose: Any, epochs: int, steps: int | None, history: bool = False
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


class _Gathered:
    """Outputs of batches, put together: in place where the number of samples is known."""

    def __init__(self, batches: Batches) -> None:
        self._rows: int | None = None
        if isinstance(batches, ArrayBatches):
            self._rows = min(len(batches.data), (batches.steps or 0) * batches.size)
        self._wholes: list[Array] = []
        self._parts: list[list[Array]] = []
        self._done = 0

    def add(self, arrays: list[Array]) -> None:
        if self._rows is None:
            self._parts.append([np.array(a) for a in arrays])
            return
        if not self._wholes:
            self._wholes = [np.empty((self._rows, *a.shape[1:]), a.dtype) for a in arrays]
        for whole, array in zip(self._wholes, arrays, strict=True):
            whole[self._done : self._done + len(array)] = array
        self._done += len(arrays[0])

    def whole(self) -> list[Array]:
        if self._rows is None:
            return [np.concatenate(parts) for parts in zip(*self._parts, strict=True)]
        return [a[: self._done] for a in self._wholes]
