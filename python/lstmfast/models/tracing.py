# SPDX-License-Identifier: BSD-3-Clause
"""A look inside: every gate and state of every step (`Model.trace`).

The gates are those that the kernels computed: a forward pass for training keeps them for the backward pass, and
`_core.recurrent_tape_gates` unpacks that tape. Only what the tape does not hold is computed here: with layer
normalization it keeps normalized sums, from which a few NumPy operations make the gates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import _core
from ..layers.call import Call
from ..layers.properties import layers_inside
from ..layers.rnn.bidirectional import Bidirectional, resets_seen_backwards
from ..layers.rnn.recurrent import RecurrentLayer
from ..layers.rnn.rnn import RNN
from ..layers.rnn.sequence_layer import SequenceLayer
from .executor import Executor, GradientPlan

if TYPE_CHECKING:
    from .model import Model

__all__ = ["trace"]

Array = npt.NDArray[Any]

#: What the vectors of a cell's gates buffer are (csrc/recurrent/cell_spec.h), by the first part of its name.
_GATES = {"lstm": ("i", "f", "c_tilde", "o"), "gru": ("h_tilde", "z", "r")}
#: Whether the state that the kernels keep for each unit is the cell's c.
_STATE = {"lstm": "c", "gru": "h"}


def trace(
    model: Model, x: Any, mask: Any = None, lengths: Any = None, resets: Any = None
) -> dict[str, Array]:
    """See `Model.trace`."""
    arrays = model._standardize(x)
    found: dict[str, Array] = {}
    stateful = [
        layer for layer in layers_inside(model) if isinstance(layer, SequenceLayer) and layer.stateful
    ]
    before = [_copies(layer.states) for layer in stateful]
    try:
        masks, all_lengths = model.masks_of(mask, arrays), model.lengths_of(lengths, arrays)
        _trace(model.executor, arrays, masks, all_lengths, model.resets_of(resets, arrays), "", found)
    finally:
        for layer, states in zip(stateful, before, strict=True):
            layer.states = states
    return found


def _trace(
    executor: Executor,
    arrays: list[Array],
    masks: Any,
    lengths: Any,
    resets: Array | None,
    prefix: str,
    found: dict[str, Array],
) -> None:
    # Any plan makes the run keep its arrays and calls; this one has no layer keep anything for a backward pass.
    nothing = (False,) * len(executor.steps)
    states = [
        _held(step.layer) for step in executor.steps
    ]  # before the run, which moves those of stateful layers on
    run = executor.forward(arrays, False, GradientPlan(nothing, nothing), masks, lengths, resets=resets)
    used: dict[str, int] = {}
    for step, call, held in zip(executor.steps, run.calls, states, strict=True):
        layer, count = step.layer, used.get(step.layer.name, 0)
        used[layer.name] = count + 1
        name = f"{prefix}{layer.name}" + (f":{count}" if count else "")
        assert call is not None
        inputs = [run.values[slot] for slot in step.inputs]
        if step.nested:
            inner_masks = call.mask if isinstance(call.mask, list) or call.mask is None else [call.mask]
            inner_lengths = None if call.lengths is None else [call.lengths] * len(inputs)
            inner: Executor = layer.executor  # type: ignore[attr-defined]
            _trace(inner, inputs, inner_masks, inner_lengths, call.resets, f"{name}/", found)
        parts = _directions(layer)
        initial = _split(call.initial_state, parts)
        seen = (call.resets, resets_seen_backwards(call.resets))
        for direction, part, kept, label, anew in zip(
            parts, initial, held, _labels(parts), seen, strict=False
        ):
            carried = kept if part is None else None
            x = np.ascontiguousarray(inputs[0], np.float32)
            gates = _recurrent(direction, x, part, carried, anew, call)
            found.update({f"{name}/{label}{key}": value for key, value in gates.items()})
        if len(step.outputs) == 1:
            found[name] = run.values[step.outputs[0]]
        else:
            found.update({f"{name}[{k}]": run.values[slot] for k, slot in enumerate(step.outputs)})


def _directions(layer: Any) -> list[RecurrentLayer]:
    if isinstance(layer, Bidirectional):
        parts = _directions(layer.forward_layer) + _directions(layer.backward_layer)
        return parts if len(parts) == 2 else []
    if isinstance(layer, RNN):
        loops = layer._loops()
        return loops if len(loops) == 1 and isinstance(loops[0], RecurrentLayer) else []
    return [layer] if isinstance(layer, RecurrentLayer) else []


def _held(layer: Any) -> list[Any]:
    """The states that a stateful layer goes on from, one entry for each of its directions."""
    if isinstance(layer, RNN):
        return [_copies(layer.states) if layer.stateful else None]
    if isinstance(layer, Bidirectional):
        return _held(layer.forward_layer) + _held(layer.backward_layer)
    return [_copies(part.states) if part.stateful else None for part in _directions(layer)]


def _copies(states: Any) -> list[Array] | None:
    return None if states is None else [state.numpy() for state in states]


def _labels(parts: list[RecurrentLayer]) -> list[str]:
    return ["forward/", "backward/"] if len(parts) == 2 else [""] * len(parts)


def _split(initial: Any, parts: list[RecurrentLayer]) -> list[Any]:
    if initial is None:
        return [None] * len(parts)
    states = tuple(initial)
    return [states] if len(parts) == 1 else [states[: parts[0].n_states], states[parts[0].n_states :]]


def _recurrent(
    layer: RecurrentLayer, x: Array, initial: Any, carried: Any, resets: Array | None, call: Call
) -> dict[str, Array]:
    """Gates and states of a layer over a batch of sequences, each (B, T, units), time as in `x`."""
    if None in layer._activation_names:
        raise ValueError(f"layer {layer.name!r} cannot be traced: its activation has no native form")
    weights = layer.packed((layer.kernel, layer.recurrent_kernel, layer.bias, *layer._extra), layer._pack)
    initial, carried = (
        None if states is None else tuple(np.ascontiguousarray(s, np.float32) for s in states)
        for states in (initial, carried)
    )
    y, _, tape = _core.recurrent_forward(
        weights,
        x,
        initial,
        call.mask,
        call.lengths,
        return_sequences=True,
        go_backwards=layer.go_backwards,
        save=True,
        resets=resets,
        zoneout=layer._zoneout,
        carried_state=carried,
    )
    assert tape is not None
    h = y[:, ::-1].copy() if layer.go_backwards else y  # from the order of processing
    counted = np.ones(x.shape[:2], bool) if call.mask is None else call.mask.astype(bool)
    if call.lengths is not None:
        counted = counted & (np.arange(x.shape[1]) < call.lengths[:, None])
    h[~counted] = np.nan
    cell = layer.cell_name.split("_")[0]
    kept = _core.recurrent_tape_gates(weights, tape)
    if kept is None:
        return {"h": h}
    vectors, state = kept
    gates = _normalized_gates(layer, vectors) if "layer_norm" in layer.cell_name else vectors
    result = {key: gates[number] for number, key in enumerate(_GATES[cell])}
    if _STATE[cell] == "c":
        result["c"] = state
    result["h"] = h
    return result


def _normalized_gates(layer: Any, vectors: Array) -> list[Array]:
    """Gates from the normalized sums of x (vectors 0 to 3) and of h (4 to 7)."""
    of_h, from_h, of_x, from_x = (v.value.reshape(4, -1) for v in layer._extra[:4])
    offset = from_h + from_x
    if layer.bias is not None:
        offset = offset + layer.bias.value.reshape(4, -1)
    functions = [layer.activation if gate == 2 else layer.recurrent_activation for gate in range(4)]
    return [
        function(of_x[g] * vectors[g] + of_h[g] * vectors[4 + g] + offset[g])
        for g, function in enumerate(functions)
    ]
