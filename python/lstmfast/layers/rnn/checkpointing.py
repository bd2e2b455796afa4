# SPDX-License-Identifier: BSD-3-Clause
"""A recurrent sequence that keeps its states at every sqrt(T)-th step and computes the rest again on the way back.

T. Chen, B. Xu, C. Zhang and C. Guestrin, "Training deep nets with sublinear memory cost", 2016.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ... import _core

__all__ = ["segmented_backward", "segmented_forward"]

Array = npt.NDArray[Any]


class SegmentedTape(NamedTuple):
    """What the way back needs: the arguments, and the states at the beginning of every segment but the first."""

    segments: list[tuple[int, int]]  # steps in the order of processing
    states: list[Any]
    x: Array
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


def _cut(a: Array | None, steps: slice) -> Array | None:
    return None if a is None else np.ascontiguousarray(a[:, steps])


def _run(
    weights: Any, segment: tuple[int, int], carried: Any, save: bool, x: Array, arguments: Any, keywords: Any
) -> Any:
    """One segment of `_core.recurrent_forward`."""
    begin, end = segment
    initial, mask, lengths, recurrent_mask, input_mask, sequences, backwards, zero_masked = arguments
    time = x.shape[1]
    here = slice(time - end, time - begin) if backwards else slice(begin, end)
    if lengths is not None:
        lengths = np.clip(lengths - here.start, 0, end - begin)
    return _core.recurrent_forward(
        weights,
        np.ascontiguousarray(x[:, here]),
        initial,
        _cut(mask, here),
        lengths,
        recurrent_mask,
        input_mask,
        sequences,
        backwards,
        zero_masked,
        save,
        **{
            **keywords,
            "resets": _cut(keywords["resets"], here),
            "first_step": begin,
            "carried_state": keywords["carried_state"] if carried is None else carried,
        },
    )


def segmented_forward(
    weights: Any, x: Array, *arguments: Any, **keywords: Any
) -> tuple[Array, Any, SegmentedTape]:
    """`_core.recurrent_forward` with ``save=True``, the same bits; the tape is for `segmented_backward`.

    The arguments are those from ``initial_state`` to ``save``; by keyword ``resets``, ``zoneout``, ``zoneout_key`` and
    ``carried_state``.
    """
    *arguments, _ = arguments  # type: ignore[assignment]
    time, sequences = x.shape[1], arguments[5]
    size = math.isqrt(time - 1) + 1
    segments = [(begin, min(time, begin + size)) for begin in range(0, time, size)]
    states: list[Any] = []
    outputs = []
    for segment in segments:
        y, state, _ = _run(weights, segment, states[-1] if states else None, False, x, arguments, keywords)
        states.append(state)
        outputs.append(y)
    y = np.concatenate(outputs, axis=1) if sequences else outputs[-1]
    return y, states[-1], SegmentedTape(segments, states[:-1], x, tuple(arguments), keywords)


def segmented_backward(
    weights: Any,
    tape: SegmentedTape,
    dy: Array | None,
    dstates: Any,
    dkernel: Array,
    drecurrent: Array,
    dbias: Array | None,
    accumulate: bool,
    needs_dx: bool,
    dextra: Any,
) -> tuple[Array | None, Any, Any]:
    """`_core.recurrent_backward`. Weight gradients sum the segments from the last to the first: their last bits differ."""
    backwards, time = tape.arguments[6], tape.x.shape[1]
    dx = np.empty_like(tape.x) if needs_dx else None
    dinitial: Any = None
    for number in range(len(tape.segments) - 1, -1, -1):
        begin, end = tape.segments[number]
        carried = tape.states[number - 1] if number else None
        inner = _run(weights, (begin, end), carried, True, tape.x, tape.arguments, tape.keywords)[2]
        part = _cut(dy, slice(begin, end))
        grads = (dkernel, drecurrent, dbias, accumulate, needs_dx, dextra)
        dpart, d, dcarried = _core.recurrent_backward(weights, inner, part, dstates, *grads)
        if dx is not None:
            dx[:, slice(time - end, time - begin) if backwards else slice(begin, end)] = dpart
        dinitial = d if dinitial is None else tuple(a + b for a, b in zip(dinitial, d, strict=True))
        dstates, accumulate = dcarried, True
    return dx, dinitial, dstates
