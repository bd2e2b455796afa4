# SPDX-License-Identifier: BSD-3-Clause
"""A cell of the user's over a whole sequence, step by step in Python, with the native layers' rules for masks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ...symbolic import flatten
from ..call import Call
from .cell_protocol import initial_state, output_shape, state_shapes

__all__ = ["StepLoop"]

Array = npt.NDArray[Any]


class _Steps:
    """Which rows take part in which step; as columns (B, 1), in the order of processing."""

    def __init__(
        self,
        shape: tuple[int, int],
        mask: Array | None,
        lengths: Array | None,
        resets: Array | None,
        backwards: bool,
    ) -> None:
        self.batch, self.steps = shape
        self.backwards = backwards
        inside = None if lengths is None else np.arange(self.steps) < np.asarray(lengths)[:, None]
        #: Steps of rows that count; None if all do.
        self.valid = mask if inside is None else inside if mask is None else mask & inside
        #: Steps behind a row's end: their output is 0 and not carried on; None if there are none.
        self.outside = None if inside is None else ~inside
        #: Steps before which the states are the initial ones again; None if there are none.
        self.resets = resets if resets is None or inside is None else resets & inside

    def order(self) -> Iterator[int]:
        return iter(range(self.steps - 1, -1, -1) if self.backwards else range(self.steps))

    def column(self, which: Array | None, t: int) -> Array | None:
        return None if which is None else which[:, t, None]


class StepLoop:
    """Runs `cell` as `RecurrentLayer` runs a built-in one: ``forward(x, call) -> (y, *states)``, and `backward`.

    Parameters
    ----------
    cell : object
        See `cell_protocol` for what it must have.
    return_sequences, go_backwards, zero_output_for_mask : bool

    Notes
    -----
    A step that does not count keeps a row's states, and its output repeats the one before; before the first that
    counts that is the initial first state, as in Keras on JAX, if it is as large as an output, else 0. The cell
    sees 0 as input of such rows, and gradients of 0, so that nothing in padding reaches weights.
    """

    def __init__(
        self, cell: Any, return_sequences: bool, go_backwards: bool, zero_output_for_mask: bool
    ) -> None:
        self.cell = cell
        self.return_sequences = return_sequences
        self.go_backwards = go_backwards
        self.zero_output_for_mask = zero_output_for_mask

    def forward(self, x: Array, call: Call) -> tuple[Any, ...]:
        steps = _Steps(x.shape[:2], call.mask, call.lengths, call.resets, self.go_backwards)
        batch = len(x)
        given = call.initial_state
        initial = [
            np.asarray(s, np.float32)
            for s in (flatten(initial_state(self.cell, batch)) if given is None else given)
        ]
        self._check("get_initial_state", initial, [(batch, *shape) for shape in state_shapes(self.cell)])
        out_shape = (batch, *output_shape(self.cell))
        starts_with_state = initial[0].shape == out_shape
        states = initial if call.carried_state is None else list(call.carried_state)
        first, carried = (
            given[0] if starts_with_state else np.zeros(out_shape, np.float32) for given in (initial, states)
        )
        outputs: list[Array] = []
        calls: list[Call | None] = []
        for t in steps.order():
            valid, outside = steps.column(steps.valid, t), steps.column(steps.outside, t)
            anew = steps.column(steps.resets, t)
            if anew is not None:
                carried = _select(anew, first, carried)
                states = [_select(anew, a, b) for a, b in zip(initial, states, strict=True)]
            step, after = None, None
            if valid is None or valid.any():
                step = Call(call.training, call.save, call.needs_dx, rng=call.given_rng)
                x_t = x[:, t] if valid is None else _select(valid, x[:, t], np.float32(0))
                y, new = self.cell.forward(np.ascontiguousarray(x_t), list(states), step)
                new = list(new) if isinstance(new, (list, tuple)) else [new]
                call.take_losses(step)
                if step.added is not None and valid is not None:
                    raise ValueError(
                        f"cell {self.cell.name!r} adds losses, which goes neither with masks nor with lengths: it does not "
                        "see which rows have a step"
                    )
                self._check("forward", [y, *new], [out_shape, *(s.shape for s in states)])
                after = (y, new)
            calls.append(step)
            carried, states = self._selected(valid, outside, (carried, states), after)
            if self.return_sequences:
                outputs.append(carried if outside is None else _select(outside, np.float32(0), carried))
        if call.save:
            call.saved = (steps, calls, x.shape, starts_with_state)
        y = np.stack(outputs, axis=1) if self.return_sequences else carried
        return (np.asarray(y, np.float32), *(np.asarray(s, np.float32) for s in states))

    def _selected(self, valid: Any, outside: Any, before: Any, after: Any) -> tuple[Array, list[Array]]:
        """(output, states) of a step: `after` for rows that count, for others what `before` says."""
        kept, states = before
        if self.zero_output_for_mask and valid is not None:
            masked = ~valid if outside is None else ~valid & ~outside
            kept = _select(masked, np.float32(0), kept)
        if after is None:
            return kept, states
        y, new = after
        if valid is None:
            return y, new
        return _select(valid, y, kept), [_select(valid, n, s) for n, s in zip(new, states, strict=True)]

    def backward(self, dy: Any, call: Call) -> Array | None:
        steps, calls, shape, starts_with_state = call.saved
        dy, *given = dy
        zero = np.float32(0)
        shapes = state_shapes(self.cell)
        d_states = [
            np.zeros((steps.batch, *n), np.float32) if d is None else np.asarray(d, np.float32)
            for d, n in zip(given, shapes, strict=True)
        ]
        d_initial = [np.zeros_like(d) for d in d_states]
        d_carried = np.zeros((steps.batch, *output_shape(self.cell)), np.float32)
        if dy is not None and not self.return_sequences:
            d_carried = np.asarray(dy, np.float32)
        dx = np.zeros(shape, np.float32) if call.needs_dx else None
        for position, t in reversed(list(enumerate(steps.order()))):
            valid, outside = steps.column(steps.valid, t), steps.column(steps.outside, t)
            if dy is not None and self.return_sequences:
                d_out = dy[:, position]
                d_carried = d_carried + (d_out if outside is None else _select(outside, zero, d_out))
            d_step, d_kept = d_carried, np.zeros_like(d_carried)
            d_new, d_before = d_states, None
            if valid is not None:
                passes = outside if self.zero_output_for_mask else ~valid
                d_kept = d_kept if passes is None else _select(passes, d_carried, zero)
                d_step = _select(valid, d_carried, zero)
                d_new = [_select(valid, d, zero) for d in d_states]
                d_before = [_select(valid, zero, d) for d in d_states]
            step = calls[position]
            if step is not None:
                dx_t, d_prev = self.cell.backward(d_step, d_new, step)
                d_prev = list(d_prev) if isinstance(d_prev, (list, tuple)) else [d_prev]
                self._check("backward", d_prev, [d.shape for d in d_states])
                d_states = d_prev
                if d_before is not None:
                    d_states = [_select(valid, p, b) for p, b in zip(d_prev, d_before, strict=True)]
                if dx is not None:
                    dx[:, t] = dx_t if valid is None else _select(valid, dx_t, zero)
            d_carried = d_kept
            anew = steps.column(steps.resets, t)
            if anew is not None:
                d_begin = self._at_beginning(d_states, d_carried, starts_with_state)
                d_initial = [a + _select(anew, d, zero) for a, d in zip(d_initial, d_begin, strict=True)]
                d_states = [_select(anew, zero, d) for d in d_states]
                d_carried = _select(anew, zero, d_carried)
        d_begin = self._at_beginning(d_states, d_carried, starts_with_state)
        if call.carried_state is None:
            d_initial = [a + b for a, b in zip(d_initial, d_begin, strict=True)]
        else:
            call.d_carried_state = tuple(np.asarray(d, np.float32) for d in d_begin)
        call.d_initial_state = tuple(np.asarray(d, np.float32) for d in d_initial)
        return dx

    @staticmethod
    def _at_beginning(d_states: list[Array], d_carried: Array, starts_with_state: bool) -> list[Array]:
        """Gradients of the states that a run of steps begins with: the first is also its first output."""
        return [d_states[0] + d_carried, *d_states[1:]] if starts_with_state else d_states

    def _check(self, method: str, arrays: list[Any], shapes: list[Any]) -> None:
        found = [np.shape(a) for a in arrays]
        if found != [tuple(s) for s in shapes]:
            raise ValueError(
                f"{method} of cell {self.cell!r} gave arrays of shapes {found}, expected {[tuple(s) for s in shapes]}"
            )


def _select(column: Array, yes: Any, no: Any) -> Array:
    """`yes` in the rows where a (B, 1) column is True, `no` in the others, of arrays with any number of axes."""
    ndim = max(np.ndim(yes), np.ndim(no))
    chosen: Array = np.where(column.reshape(column.shape[:1] + (1,) * (ndim - 1)), yes, no)
    return chosen
