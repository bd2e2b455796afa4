# SPDX-License-Identifier: BSD-3-Clause
"""What `Model.forward` leaves for the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..layers.keras_call import hides_states
from ..symbolic import flatten
from .structure import along_outputs, has_nested_outputs, output_keys

if TYPE_CHECKING:
    from ..models.executor import Executor, Run
    from ..models.model import Model

__all__ = ["Tape", "checked_states"]

Array = npt.NDArray[Any]


class Tape:
    """One forward pass of a model, ready for one backward pass.

    Parameters
    ----------
    model : Model
    run : Run
    """

    def __init__(self, model: Model, run: Run) -> None:
        self._model = model
        self._run: Run | None = run
        #: Where the recurrent layers ended, for `Model.forward(states=)`: no gradient passes there.
        self.states: list[Any] = model.executor.final_states(run)

    def backward(self, dy: Any) -> tuple[list[Array], Any, list[tuple[Array, ...]]]:
        """Gradients from those of the outputs.

        Parameters
        ----------
        dy : array_like, or a list or dict like the model's outputs
            None for an output that does not count.

        Returns
        -------
        grads : list of numpy.ndarray
            One for each of ``model.trainable_variables``.
        dx : numpy.ndarray or None, or a list of them
            One for each input; None for ids.
        dstates : list of tuple of numpy.ndarray
            Gradients of the initial states of each recurrent layer, in the order of the calls.

        Raises
        ------
        ValueError
            If `dy` does not have the outputs' shapes, or the tape has been used.
        """
        if self._run is None:
            raise ValueError("the tape has been used already; a tape serves one backward pass")
        model, run = self._model, self._run
        executor = model.executor
        dys = self._checked(dy)
        self._run = None
        trainable, others = model.variables_in_use()
        variables = [*trainable, *others]
        executor.clear_gradients(variables)
        try:
            dx = executor.backward(run, dys)
            grads = []
            for variable in trainable:
                gradient = variable.grad
                grads.append(np.zeros(variable.shape, np.float32) if gradient is None else gradient.copy())
        finally:
            executor.clear_gradients(variables)
        dstates = [c.d_carried_state or c.d_initial_state for c in run.calls if c is not None]
        dstates = [d for d in dstates if d is not None]
        return grads, dx[0] if len(dx) == 1 else dx, dstates

    def _checked(self, dy: Any) -> list[Array | None]:
        model, run = self._model, self._run
        assert run is not None
        slots = model.executor.output_slots
        if has_nested_outputs(model):
            given = along_outputs(model, dy, "dy")
        elif isinstance(dy, dict):
            names = output_keys(model)
            if not set(dy) <= set(names):
                raise ValueError(f"dy is a dict with keys {list(dy)}, the model's outputs are {names}")
            given = [dy.get(name) for name in names]
        elif len(slots) == 1:
            given = flatten(dy) if isinstance(dy, (list, tuple)) and len(dy) == 1 and np.ndim(dy[0]) else [dy]
        elif isinstance(dy, (list, tuple)) and len(dy) == len(slots):
            given = list(dy)
        else:
            raise ValueError(f"dy must be a list of {len(slots)} arrays, one for each output")
        checked: list[Array | None] = []
        for gradient, slot in zip(given, slots, strict=True):
            if gradient is None:
                checked.append(None)
                continue
            array = np.ascontiguousarray(gradient, np.float32).reshape(np.shape(gradient))  # of no axes, too
            expected = run.values[slot].shape
            if array.shape != expected:
                raise ValueError(f"dy must have the output's shape {expected}, got {array.shape}")
            checked.append(array)
        return checked


def checked_states(executor: Executor, states: Any, batch: int) -> list[Any]:
    """`Tape.states` of an earlier forward pass; ValueError if they do not fit this one."""
    if not isinstance(states, list) or len(states) != len(executor.steps):
        raise ValueError("states must be the `states` of a tape of this model")
    checked: list[Any] = []
    for step, state in zip(executor.steps, states, strict=True):
        if hides_states(step.layer):
            raise ValueError(f"states of layers inside layer {step.layer.name!r} cannot be given")
        if state is None:
            checked.append(None)
        elif step.nested:
            checked.append(checked_states(step.layer.executor, state, batch))  # type: ignore[attr-defined]
        else:
            expected = [(batch, *shape) for shape in getattr(step.layer, "state_shapes", tuple)()]
            arrays = tuple(np.ascontiguousarray(a, np.float32) for a in state)
            if [a.shape for a in arrays] != expected:
                raise ValueError(
                    f"states of layer {step.layer.name!r} must have shapes {expected}, got "
                    f"{[a.shape for a in arrays]}"
                )
            checked.append(arrays)
    return checked
