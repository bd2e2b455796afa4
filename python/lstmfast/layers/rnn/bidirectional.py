# SPDX-License-Identifier: BSD-3-Clause
"""A recurrent layer in both directions of time (Schuster and Paliwal 1997)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...saving.custom_objects import CustomObjectScope
from ...saving.registry import deserialize_keras_object, serialize_keras_object
from ...symbolic import flatten, is_symbolic
from ...variables import Variable
from ..base import Layer
from ..building import as_before_on_error
from ..call import Call
from ..calling import run_sequences
from ..eager import in_trace, said_in_graph
from ..frozen import FrozenLayer
from .rnn import RNN
from .sequence_layer import SequenceLayer, check_symbolic_states

__all__ = ["Bidirectional"]

Array = npt.NDArray[Any]

_MERGE_MODES = ("sum", "mul", "ave", "concat", None)


class Bidirectional(Layer):
    """Runs a recurrent layer from the first step to the last, a second one from the last to the first.

    Parameters
    ----------
    layer : LSTM, SimpleRNN or another recurrent layer
        What to run. The wrapper holds a copy, `forward_layer`, with weights of its own and the name
        ``forward_<name>``.
    merge_mode : {"concat", "sum", "mul", "ave", None}
        How the outputs of the two directions become one; with None they stay two.
    weights : sequence of array_like, optional
        Initial weights: those of the forward layer, then those of the backward layer.
    backward_layer : recurrent layer, optional
        The second direction, used as it is; otherwise another copy of `layer`, ``backward_<name>``, with
        ``go_backwards=True``.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input (B, T, n) float32. With H and K units in the two layers the output is (B, T, H + K) for
    ``merge_mode="concat"`` if the layers return sequences, else (B, H + K); (B, T, H) or (B, H) for "sum",
    "mul" and "ave", which need H == K; a pair of arrays for None. With `return_state` the final states of the
    forward layer follow, then those of the backward layer.

    Both outputs at step t belong to the input's step t. With lengths the backward layer starts at a row's
    last valid step. Outputs of masked steps are 0 if sequences are returned, whatever `zero_output_for_mask`
    says, as in Keras. Weights: those of the forward layer, then those of the backward layer.

    Raises
    ------
    ValueError
        If `layer` or `backward_layer` is not a recurrent layer, `merge_mode` is unknown, the two layers do
        not fit each other, or the shape of an input is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import LSTM, Bidirectional
    >>> x = np.zeros((2, 5, 3))
    >>> Bidirectional(LSTM(4, return_sequences=True))(x).shape
    (2, 5, 8)
    >>> y, *states = Bidirectional(LSTM(4, return_state=True), merge_mode="sum")(x)
    >>> y.shape, [s.shape for s in states]
    ((2, 4), [(2, 4), (2, 4), (2, 4), (2, 4)])
    """

    supports_masking = True
    accepts_missing_dy = True
    takes_resets = True

    def __init__(
        self,
        layer: SequenceLayer,
        merge_mode: str | None = "concat",
        weights: Sequence[npt.ArrayLike] | None = None,
        backward_layer: SequenceLayer | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(layer, SequenceLayer):
            raise ValueError(
                "Please initialize `Bidirectional` layer with a recurrent layer such as LSTM as `layer`. "
                f"Received: {layer!r}"
            )
        if backward_layer is not None and not isinstance(backward_layer, SequenceLayer):
            raise ValueError(f"`backward_layer` need to be a recurrent layer. Received: {backward_layer!r}")
        if merge_mode not in _MERGE_MODES:
            raise ValueError(
                f"Invalid merge mode. Received: merge_mode={merge_mode!r}. Merge mode should be one of "
                '{"sum", "mul", "ave", "concat", None}'
            )
        super().__init__(**kwargs)
        self.forward_layer = _copy(layer, "forward_")
        self.backward_layer = (
            _copy(layer, "backward_", go_backwards=True) if backward_layer is None else backward_layer
        )
        self.merge_mode = merge_mode
        self._check_layers()
        for direction in self._directions:
            # Steps that do not count are 0 from both sides, so that neither a sum nor a product mixes the
            # output of one direction with what the other carries over.
            direction.zero_output_for_mask = direction.return_sequences
        self.return_sequences, self.return_state = layer.return_sequences, layer.return_state
        self.stateful = layer.stateful
        self.state_size = [*self.forward_layer.state_size, *self.backward_layer.state_size]
        self.input_spec = self.forward_layer.input_spec
        self._initial_weights = None if weights is None else list(weights)

    @property
    def _directions(self) -> tuple[SequenceLayer, SequenceLayer]:
        return self.forward_layer, self.backward_layer

    def _check_layers(self) -> None:
        """Raise a ValueError if the two layers cannot be the two directions of one."""
        forward, backward = self._directions
        if forward.go_backwards == backward.go_backwards:
            raise ValueError(
                "Forward layer and backward layer should have different `go_backwards` value. Received: "
                f"forward_layer.go_backwards={forward.go_backwards}, "
                f"backward_layer.go_backwards={backward.go_backwards}"
            )
        for attribute in ("stateful", "return_sequences", "return_state"):
            ours, theirs = getattr(forward, attribute), getattr(backward, attribute)
            if ours != theirs:
                raise ValueError(
                    "Forward layer and backward layer are expected to have the same value for attribute "
                    f'"{attribute}", got "{ours}" for forward layer and "{theirs}" for backward layer'
                )
        if self.merge_mode in ("sum", "mul", "ave") and forward.output_size != backward.output_size:
            raise ValueError(
                f"merge_mode={self.merge_mode!r} needs as many units in `backward_layer` as in `layer`, got "
                f"{backward.output_size} and {forward.output_size}"
            )

    # --- building

    def build(self, input_shape: Any) -> None:
        fresh = [layer for layer in self._directions if not layer.built]
        with as_before_on_error(*fresh):
            for layer in self._directions:  # a backward layer may have been built before
                layer.check_shapes(input_shape)
            for layer in fresh:
                layer.ensure_built(input_shape)
                for variable in layer.weights:
                    variable.path = f"{self.name}/{variable.path}"
            if self._initial_weights is not None:
                self._set_initial_weights(self._initial_weights)
        if not self._trainable:  # the layers inside keep a `trainable` of their own, as in Keras
            for variable in self.weights:
                variable.trainable = False
        self._initial_weights = None
        self.input_spec = self.forward_layer.input_spec
        self.built = True

    def _set_initial_weights(self, weights: list[npt.ArrayLike]) -> None:
        try:
            self.set_weights(weights)
        except (TypeError, ValueError) as error:
            raise type(error)(f"`weights` of layer {self.name!r}: {error}") from None

    # --- shapes and masks

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        outputs: list[Any] = []
        states: list[Any] = []
        for layer in self._directions:
            shape = layer.output_shapes(sequences_shape, {})
            outputs.append(shape[0] if self.return_state else shape)
            states += shape[1:] if self.return_state else ()
        if self.merge_mode is None:
            return (*outputs, *states)
        y = outputs[0]
        if self.merge_mode == "concat":
            y = (*y[:-1], y[-1] + outputs[1][-1])
        return (y, *states) if self.return_state else y

    def _for_outputs(self, value: Any, of_a_state: Any) -> Any:
        """`value` for what merging gives, `of_a_state` for each final state: one value, or a tuple."""
        merged = (value, value) if self.merge_mode is None else (value,)
        states = (of_a_state,) * len(self.state_size) if self.return_state else ()
        return (*merged, *states) if len(merged) + len(states) > 1 else value

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return self._for_outputs(mask if self.return_sequences else None, None)

    def makes_mask(self, has_mask: bool) -> bool | tuple[bool, ...]:
        makes: bool | tuple[bool, ...] = self._for_outputs(has_mask and self.return_sequences, False)
        return makes

    def output_lengths(self, lengths: Array | None) -> Any:
        return self._for_outputs(lengths if self.return_sequences else None, None)

    # --- states

    def state_shapes(self) -> list[tuple[int | None, ...]]:
        """Shapes of the states without the batch axis: the forward layer's, then the backward layer's."""
        return [*self.forward_layer.state_shapes(), *self.backward_layer.state_shapes()]

    @property
    def states(self) -> tuple[Variable, ...] | None:
        """States of a stateful layer between calls: the forward layer's, then the backward layer's."""
        forward, backward = self.forward_layer.states, self.backward_layer.states
        return None if forward is None or backward is None else (*forward, *backward)

    def reset_state(self, states: Any = None) -> None:
        """Set the states of a stateful layer to zero, or to `states`, those of both directions.

        Raises
        ------
        ValueError
            If the layer is not stateful or a shape does not fit.
        """
        if states is None:
            for layer in self._directions:
                layer.reset_state()
            return
        held = self.states
        if held is None:
            raise ValueError(f"layer {self.name!r} is not stateful or not built: it has no states to set")
        checked = self._checked_state(states, len(held[0]))
        for layer, part in zip(self._directions, self._halves(checked), strict=True):
            layer.reset_state(part)

    reset_states = reset_state

    def _halves(self, values: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        n = self.forward_layer.n_states
        return values[:n], values[n:]

    def _check_state_count(self, given: list[Any]) -> None:
        if len(given) != len(self.state_size):
            raise ValueError(
                f"initial_state of layer {self.name!r} must be {len(self.state_size)} arrays, those of the "
                f"forward layer and then those of the backward layer, got {len(given)}"
            )

    def _checked_state(self, states: Any, batch: int) -> tuple[Array, ...]:
        given = flatten(states)
        self._check_state_count(given)
        checked: list[Array] = []
        for layer, part in zip(self._directions, self._halves(given), strict=True):
            checked.extend(layer._checked_state(list(part), batch))
        return tuple(checked)

    def _symbolic_state(self, initial_state: Any) -> dict[str, Any]:
        if initial_state is None:
            return {}
        tensors = [in_trace(state, None) for state in flatten(initial_state)]
        self._check_state_count(tensors)
        check_symbolic_states(self, tensors)
        return {"initial_state": self._nested(tensors)}

    def _nested(self, states: Sequence[Any]) -> list[Any]:
        """States as a caller sees them: stacked cells have lists of their own."""
        nested: list[Any] = []
        for layer, part in zip(self._directions, self._halves(states), strict=True):
            nested += layer.nested(part) if isinstance(layer, RNN) else part
        return nested

    # --- calls

    def __call__(  # type: ignore[override]
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool | None = None,
        lengths: Any = None,
        resets: Any = None,
    ) -> Any:
        """As a call of the layer inside; only what differs is said here.

        Parameters
        ----------
        sequences, mask, training
            As of `LSTM`.
        initial_state : list of (B, units) arrays, optional
            Those of the forward layer, then those of the backward layer; zeros by default.
        lengths : (B,) int array, optional
            Valid steps of right-padded rows: the backward layer starts at the last of them; later outputs
            are 0.
        resets : (B, T) bool array, optional
            Where it is True, a new episode begins: states are the initial ones before that step, and those of the
            backward layer on its way from there to the step before.

        Returns
        -------
        numpy.ndarray, or a tuple of them
            float32; see the class for shapes.

        Raises
        ------
        ValueError, TypeError
            As of `LSTM`.
        """
        sequences = in_trace(sequences, training, mask, lengths, resets)
        if is_symbolic(sequences):
            said = {**self._symbolic_state(initial_state), **said_in_graph(training, mask)}
            return self._as_called(self.record(sequences, said))
        return self._as_called(run_sequences(self, sequences, initial_state, mask, training, lengths, resets))

    def _as_called(self, result: Any) -> Any:
        if not self.return_state:
            return result
        n = 2 if self.merge_mode is None else 1
        return type(result)([*result[:n], *self._nested(result[n:])])

    def forward(self, x: Array, call: Call) -> Any:
        forward, backward = self._run_directions(x, call)
        states: tuple[Array, ...] = ()
        if self.return_state:
            (forward, *first), (backward, *second) = forward, backward
            states = (*first, *second)
        backward = self._turned(backward)
        if self.merge_mode == "concat":
            y: Any = np.concatenate([forward, backward], axis=-1)
        elif self.merge_mode == "sum":
            y = forward + backward
        elif self.merge_mode == "ave":
            y = (forward + backward) * np.float32(0.5)
        elif self.merge_mode == "mul":
            y = forward * backward
            if call.save:
                call.saved = (*call.saved, forward, backward)
        else:
            return (forward, np.ascontiguousarray(backward), *states)
        return (y, *states) if self.return_state else y

    def _turned(self, y: Array) -> Array:
        """The backward layer's outputs, in its order, in the input's order; or the other way round."""
        return y[:, ::-1] if self.return_sequences else y

    def _run_directions(self, x: Array, call: Call) -> tuple[Any, Any]:
        """What the two layers give for `x`, each in its own order of steps; keeps their calls in `saved`."""
        initial, carried = (
            (None, None) if given is None else self._halves(given)
            for given in (call.initial_state, call.carried_state)
        )
        results, calls, penalties = [], [], []
        for layer, state, carry, anew in zip(
            self._directions, initial, carried, (call.resets, resets_seen_backwards(call.resets)), strict=True
        ):
            inner = Call(
                call.training,
                call.save,
                call.needs_dx,
                call.mask,
                call.lengths,
                state,
                call.given_rng,
                resets=anew,
            )
            inner.carried_state = carry
            result = layer.forward(x, inner)
            call.take_losses(inner)
            results.append(result)
            calls.append(inner)
            penalties.append(_penalty_gradients(layer, result, call))
        if call.save:
            call.saved = (calls, penalties)
        return results[0], results[1]

    def backward(self, dy: Any, call: Call) -> Array | None:
        d_states: Sequence[Any] = ()
        n_outputs = 2 if self.merge_mode is None else 1
        if n_outputs == 2 or self.return_state:
            dy, d_states = dy[:n_outputs], dy[n_outputs:]
            dy = dy if n_outputs == 2 else dy[0]
        d_forward, d_backward = self._split_gradient(dy, call)
        if d_backward is not None:
            d_backward = self._turned(d_backward)
        first, second = self._halves(d_states)
        return self._run_directions_back((d_forward, *first), (d_backward, *second), call)

    def _split_gradient(self, dy: Any, call: Call) -> tuple[Any, Any]:
        """Gradients of the two outputs, in the input's order of steps, from that of what merging gave."""
        if self.merge_mode is None:
            return dy[0], dy[1]
        if dy is None:
            return None, None
        if self.merge_mode == "concat":
            size = self.forward_layer.output_size
            return dy[..., :size], dy[..., size:]
        if self.merge_mode == "ave":
            dy = dy * np.float32(0.5)
        elif self.merge_mode == "mul":
            forward, backward = call.saved[2:]
            return dy * backward, dy * forward
        return dy, dy

    def _run_directions_back(
        self, d_forward: tuple[Any, ...], d_backward: tuple[Any, ...], call: Call
    ) -> Array | None:
        """Backward pass of `_run_directions`, from the gradients of each layer's outputs, None if unused."""
        calls, penalties = call.saved[:2]
        dx: Array | None = None
        d_initial: list[Any] = []
        for layer, dy, inner, more in zip(
            self._directions, (d_forward, d_backward), calls, penalties, strict=True
        ):
            if more is not None:
                dy = tuple(e if d is None else d + e for d, e in zip(dy, more, strict=True))
            if all(d is None for d in dy):
                # With merge_mode=None a loss may see one direction only; the other gets no gradients.
                d_initial += [None] * layer.n_states
                continue
            part = layer.backward(dy if self.return_state else dy[0], inner)
            d_initial += inner.d_carried_state or inner.d_initial_state or [None] * layer.n_states
            dx = part if dx is None or part is None else dx + part
        if any(d is not None for d in d_initial):
            made = next(d for d in d_initial if d is not None)
            call.d_initial_state = tuple(
                np.zeros((len(made), *shape), np.float32) if d is None else d
                for d, shape in zip(d_initial, self.state_shapes(), strict=True)
            )
        return dx

    def frozen(self) -> FrozenLayer:
        if self.stateful:
            raise ValueError(f"layer {self.name!r} cannot be frozen: it is stateful")
        if self.forward_layer.frozen_options()["zoneout"] != self.backward_layer.frozen_options()["zoneout"]:
            raise ValueError(f"layer {self.name!r} cannot be frozen: its directions differ in zoneout")
        arguments = {
            "forward": self.forward_layer.frozen_cell(),
            "backward": self.backward_layer.frozen_cell(),
            "merge": self.merge_mode or "none",
            **self.forward_layer.frozen_options(),
        }
        return FrozenLayer("bidirectional", arguments, "its second direction needs the future")

    # --- configuration

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "merge_mode": self.merge_mode,
            "layer": serialize_keras_object(self.forward_layer),
            "backward_layer": serialize_keras_object(self.backward_layer),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Bidirectional:
        inner = {
            key: deserialize_keras_object(config[key], custom_objects)
            for key in ("layer", "backward_layer")
            if config.get(key) is not None
        }
        return cls(**{**config, **inner})


def resets_seen_backwards(resets: Array | None) -> Array | None:
    """Of a layer that walks from the end: an episode that begins at t is left before step t - 1."""
    return None if resets is None else np.pad(resets[:, 1:], ((0, 0), (0, 1)))


def _penalty_gradients(layer: SequenceLayer, result: Any, call: Call) -> tuple[Array, ...] | None:
    """Add the penalty on a layer's outputs, if it has one, to `call.penalty`; its gradients for each output."""
    regularizer: Any = layer.activity_regularizer
    if regularizer is None:
        return None
    outputs = result if isinstance(result, tuple) else (result,)
    call.penalty += sum(float(regularizer(y)) / len(y) for y in outputs)
    return tuple(regularizer.gradient(y) / np.float32(len(y)) for y in outputs) if call.save else None


def _copy(layer: SequenceLayer, prefix: str, **changes: Any) -> SequenceLayer:
    """A layer like `layer`, with weights of its own and a name that begins with `prefix`."""
    name = f"{prefix}{layer.name.removeprefix(prefix)}"
    classes: dict[str, Any] = getattr(layer, "own_classes", dict)()
    with CustomObjectScope(classes):
        made: SequenceLayer = type(layer).from_config({**layer.get_config(), "name": name, **changes})  # type: ignore[assignment]
    if hasattr(layer, "use_cudnn"):  # not part of the configuration
        made.use_cudnn = layer.use_cudnn
    return made
