# SPDX-License-Identifier: BSD-3-Clause
"""Truncated back-propagation through time: a step of the optimizer for each window of a long sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..layers.keras_call import hides_states
from .batching import DataSet
from .stepping import TrainStep

if TYPE_CHECKING:
    from ..models.executor import Executor, Run

__all__ = ["TruncatedStep", "check_model"]

Array = npt.NDArray[Any]


def check_model(executor: Executor) -> None:
    """Raise a ValueError, by name, for what cannot be trained in windows.

    That is an output without a time axis, a layer that walks backwards, and one that takes its initial state
    from another layer.
    """
    for name, tensor in zip(executor.output_names, executor.graph.outputs, strict=True):
        if len(tensor.shape) < 3:
            raise ValueError(
                f"tbptt needs an output at every time step: output {name!r} of shape {tensor.shape} has no time "
                "axis (return_sequences=True keeps it)"
            )
    _check_layers(executor)


def _check_layers(executor: Executor) -> None:
    for step in executor.steps:
        name = step.layer.name
        if step.nested:
            _check_layers(step.layer.executor)  # type: ignore[attr-defined]
        if hides_states(step.layer):
            raise ValueError(
                f"tbptt cannot hand on the states of recurrent layers inside layer {name!r} of class "
                f"{type(step.layer).__name__}"
            )
        if getattr(step.layer, "go_backwards", False) or hasattr(step.layer, "backward_layer"):
            raise ValueError(f"tbptt cannot cut the sequence for layer {name!r}: it walks backwards in time")
        if any(isinstance(s, int) and s not in executor.input_slots for s in step.initial_state or ()):
            raise ValueError(
                f"tbptt cannot cut the sequence for layer {name!r}: its initial state comes from another layer"
            )


class TruncatedStep:
    """Takes a batch through `TrainStep` in windows of `steps` time steps.

    Parameters
    ----------
    step : TrainStep
    steps : int
        A batch that is no longer than this is trained as a whole.

    Raises
    ------
    ValueError
        See `check_model`; and, when called, if time axes differ.

    References
    ----------
    R. J. Williams and J. Peng, "An efficient gradient-based algorithm for on-line training of recurrent network
    trajectories", Neural Computation 2(4), 1990: BPTT(h; h') with h = h' = `steps`.
    """

    def __init__(self, step: TrainStep, steps: int) -> None:
        self.step, self.steps = step, steps
        check_model(step.executor)
        self._fitting: set[tuple[int, ...]] = set()  # lengths of windows whose output shapes were checked

    def __call__(self, batch: DataSet) -> None:
        step, executor = self.step, self.step.executor
        time = self._time(batch)
        if time <= self.steps:
            step(batch)
            return
        states: list[Any] | None = None
        objective = step.objective
        try:
            for start in range(0, time, self.steps):
                window = self._window(batch, start, min(time, start + self.steps), time)
                if window is None:
                    break
                run = step.forward(window, states)
                states = executor.final_states(run)
                if start == 0:
                    _check_states(executor, states)
                if _counts(run, executor.output_slots):
                    objective.share = (min(time, start + self.steps) - start) / time
                    step.learn(window, run)
            objective.finish_windows()
        finally:
            objective.share = 1.0

    def _timed(self, batch: DataSet) -> list[bool]:
        """Which inputs have a time axis: those of rank 3 and more, and sequences of ids."""
        integers = self.step.executor.integer_inputs
        return [
            x is not None and (x.ndim >= 3 or (x.ndim == 2 and ids))
            for x, ids in zip(batch.xs, integers, strict=True)
        ]

    def _time(self, batch: DataSet) -> int:
        executor = self.step.executor
        names = [name for name, timed in zip(executor.input_names, self._timed(batch), strict=True) if timed]
        times = {x.shape[1] for x, timed in zip(batch.xs, self._timed(batch), strict=True) if timed}
        if batch.forms is not None:
            raise ValueError("tbptt needs targets in the structure of the model's outputs")
        if len(times) != 1:
            raise ValueError(
                f"tbptt needs inputs with one common time axis, {names or 'no input'} have {sorted(times)} steps"
            )
        (time,) = times
        for name, y in zip(executor.output_names, batch.ys, strict=True):
            if y is not None and (y.ndim < 2 or y.shape[1] != time):
                raise ValueError(
                    f"tbptt needs targets of shape (B, {time}, ...), y of output {name!r} has {y.shape}"
                )
        return int(time)

    def _window(self, batch: DataSet, start: int, stop: int, time: int) -> DataSet | None:
        """Steps start .. stop - 1 of a batch; None if every row has ended before."""

        def cut(a: Array | None) -> Array | None:
            return None if a is None else np.ascontiguousarray(a[:, start:stop])

        timed = self._timed(batch)
        lengths: list[Any] | None = None
        if batch.lengths is not None:
            lengths = [
                None if n is None else np.clip(n - start, 0, stop - start) if has_time else n
                for n, has_time in zip(batch.lengths, timed, strict=True)
            ]
            left = [n for n, has_time in zip(lengths, timed, strict=True) if has_time and n is not None]
            if start and left and not any(n.any() for n in left):
                return None
        window = DataSet(
            [cut(x) if has_time else x for x, has_time in zip(batch.xs, timed, strict=True)],
            [cut(y) for y in batch.ys],
            [cut(w) if w is not None and w.ndim > 1 and w.shape[1] == time else w for w in batch.weights],
            lengths,
            cut(batch.resets),
        )
        self._check_outputs(window, stop - start)
        return window

    def _check_outputs(self, window: DataSet, steps: int) -> None:
        key = (len(window), steps)
        if key in self._fitting:
            return
        shapes = self.step.model._output_shapes(window)
        for name, shape in zip(self.step.executor.output_names, shapes, strict=True):
            if len(shape) < 3 or shape[1] != steps:
                raise ValueError(
                    f"tbptt needs an output at every time step: output {name!r} has shape {tuple(shape)} for "
                    f"{steps} steps"
                )
        self._fitting.add(key)


def _check_states(executor: Executor, states: list[Any]) -> None:
    """After the first window, before anything is changed: every recurrent layer must have left its state."""
    for step, state in zip(executor.steps, states, strict=True):
        layer = step.layer
        if step.nested:
            _check_states(layer.executor, state)  # type: ignore[attr-defined]
        elif state is None and hasattr(layer, "state_size") and not getattr(layer, "stateful", False):
            raise ValueError(
                f"tbptt cannot hand on the state of layer {layer.name!r} of class {type(layer).__name__}"
            )


def _counts(run: Run, slots: list[int]) -> bool:
    """Whether any step of any output counts: where masks leave none, there is nothing to learn."""
    return any(run.masks[slot] is None or run.masks[slot].any() for slot in slots)
