# SPDX-License-Identifier: BSD-3-Clause
"""What a layer tells about itself: its place in a graph, penalties, dtypes, shapes of outputs, stored weights."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..symbolic import KerasTensor, Node, current_trace, map_leaves, shapes_of_config
from ..variables import Variable
from .attributes import TrackedAttributes, held_in_attributes
from .keras_call import current_call

if TYPE_CHECKING:
    from .base import Layer

__all__ = ["DTypePolicy", "LayerProperties", "layers_inside"]


class DTypePolicy:
    """Keras's description of the types a layer computes with: here always float32."""

    name = compute_dtype = variable_dtype = "float32"

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}

    def __repr__(self) -> str:
        return f'<DTypePolicy "{self.name}">'


_FLOAT32_POLICY = DTypePolicy()


class LayerProperties(TrackedAttributes):
    """The part of `Layer` that only answers questions."""

    name: str
    built: bool
    inbound_nodes: list[Node]
    _build_shape: Any
    _call_losses: list[Any]

    # --- graph

    @property
    def input(self) -> Any:
        """Symbolic input of the layer's first call in a graph."""
        return self._first_node().inputs

    @property
    def output(self) -> Any:
        """Symbolic output of the layer's first call in a graph."""
        outputs = self._first_node().outputs
        return outputs[0] if len(outputs) == 1 else outputs

    def _first_node(self) -> Node:
        if not self.inbound_nodes:
            raise AttributeError(
                f"The layer {self.name} has never been called and thus has no defined input."
            )
        return self.inbound_nodes[0]

    def compute_output_spec(self: Any, *inputs: Any, **kwargs: Any) -> Any:
        """Symbolic tensors with the shapes of the outputs for symbolic inputs; records nothing."""
        shapes = [map_leaves(lambda t: t.shape, given) for given in inputs]
        named = {f"{key}_shape": t.shape for key, t in kwargs.items() if isinstance(t, KerasTensor)}

        def spec(shape: Any) -> Any:
            if isinstance(shape, dict):
                return {key: spec(part) for key, part in shape.items()}
            if any(isinstance(part, (list, tuple, dict)) for part in shape):
                return type(shape)(spec(part) for part in shape)
            return KerasTensor(tuple(shape))

        return spec(self.compute_output_shape(*shapes, **named))

    def symbolic_call(self, *args: Any, **kwargs: Any) -> Any:
        """`compute_output_spec`, under Keras's other name."""
        return self.compute_output_spec(*args, **kwargs)

    # --- penalties

    @property
    def losses(self: Any) -> list[Any]:
        """Penalties, numbers: those that the last call with arrays added, of this layer and those inside it, then
        those of regularized weights.
        """
        found: list[Any] = self._losses_of_calls()
        for variable in self.trainable_variables:
            if variable.regularizer is not None:
                found.append(np.float32(variable.regularizer(variable.value)))
        return found

    def _losses_of_calls(self: Any) -> list[Any]:
        found: list[Any] = list(self._call_losses)
        for layer in self._sublayers():
            found += layer._losses_of_calls()
        return found

    def add_loss(self, loss: Any) -> None:
        """Add a number, or several, to `losses`; inside a layer's `call`.

        Training follows the gradient of one that `lstmfast.ops` made of the layer's input, weights or output.

        Raises
        ------
        ValueError
            Outside a `call`, or for something that is not a number. A layer that writes `forward` adds to
            ``call.penalty``, and the penalty's gradient in its `backward`.
        """
        running, trace = current_call.get(), current_trace.get()
        given = list(loss) if isinstance(loss, (list, tuple)) else [loss]
        if trace is not None:
            given = [
                trace.symbolic(v) if isinstance(v, (int, float, np.number, np.ndarray, Variable)) else v
                for v in given
            ]
        symbolic = [value for value in given if isinstance(value, KerasTensor)]
        values = [_number(value) for value in given if not isinstance(value, KerasTensor)]
        wrong = any(value.shape for value in symbolic) or None in values
        if running is None or running[0] is not self or wrong:
            raise ValueError(
                f"`add_loss()` of layer {self.name!r} takes numbers, from inside its `call()`; a layer that writes "
                f"`forward` adds to `call.penalty`. Received: {loss!r}"
            )
        running[1].added = [*(running[1].added or ()), *symbolic]
        self._call_losses += values
        running[1].penalty += float(sum(values))

    # --- types, building, stored weights

    @property
    def dtype_policy(self) -> DTypePolicy:
        """The types that the layer computes with; only ``"float32"`` can be set."""
        return _FLOAT32_POLICY

    @dtype_policy.setter
    def dtype_policy(self, value: Any) -> None:
        name = getattr(value, "name", value)
        if name != "float32":
            raise ValueError(f"dtype_policy={name!r} is not supported: lstmfast computes in float32")

    @property
    def dtype(self) -> str:
        return "float32"

    compute_dtype = variable_dtype = input_dtype = dtype

    @property
    def path(self) -> str | None:
        """The layer's name, below which its weights' paths lie; None before it is built."""
        return self.name if self.built else None

    @property
    def metrics(self) -> list[Any]:
        """Metrics held in attributes, of this layer and those inside it."""
        from ..metrics.base import Metric

        found = list(held_in_attributes(self, Metric))
        for layer in self._sublayers():
            found += layer.metrics
        return found

    @property
    def metrics_variables(self) -> list[Variable]:
        """The states of `metrics`."""
        return [variable for metric in self.metrics for variable in metric.variables]

    def _sublayers(self) -> list[Layer]:
        raise NotImplementedError

    def get_build_config(self) -> dict[str, Any] | None:
        """``{"input_shape": ...}`` once the layer is built, ``{"shapes_dict": {...}}`` where `build` takes several."""
        shape = self._build_shape
        several = isinstance(shape, dict) and "shapes_dict" in shape
        return shape if shape is None or several else {"input_shape": shape}

    def build_from_config(self: Any, config: dict[str, Any] | None) -> None:
        """Build the layer for the shape that `get_build_config` of another gave."""
        if config and not self.built:
            shapes = {
                key: shapes_of_config(value) for key, value in config.get("shapes_dict", config).items()
            }
            for key, shape in shapes.items():
                if shape is None:
                    raise ValueError(
                        f"build_from_config of layer {self.name!r}: {key} must be a shape, or a list or dict of "
                        f"shapes, got {config.get('shapes_dict', config)[key]!r}"
                    )
            if "input_shape" in shapes:
                self.ensure_built(shapes["input_shape"])
            else:
                self.build(**shapes)

    def save_own_variables(self: Any, store: MutableMapping[str, Any]) -> None:
        """Put the weights, without those of layers inside, into `store` under "0", "1", ..."""
        for number, variable in enumerate([*self._trainable_variables, *self._non_trainable_variables]):
            store[str(number)] = variable.numpy()

    def load_own_variables(self: Any, store: MutableMapping[str, Any]) -> None:
        """Set the weights from what `save_own_variables` stored; all or none.

        Raises
        ------
        ValueError
            If the number of weights or a shape differs.
        """
        own: list[Variable] = [*self._trainable_variables, *self._non_trainable_variables]
        if len(store) != len(own):
            never = "" if self.built or own else " was never built and"
            raise ValueError(
                f"Layer '{self.name}'{never} expected {len(own)} variables, but received {len(store)} variables "
                f"during loading. Expected: {[v.name for v in own]}"
            )
        values = [variable.check(store[str(number)]) for number, variable in enumerate(own)]
        for variable, value in zip(own, values, strict=True):
            variable.assign(value)


def _number(value: Any) -> Any:
    """A float32 number; None for what is no number."""
    array = np.asarray(None if isinstance(value, str) else value)
    return None if array.ndim or array.dtype.kind not in "fiu" else np.float32(array)


def layers_inside(owner: Any) -> Iterator[Layer]:
    """The layers of a layer or model, each before those inside it, however deep."""
    for layer in owner._sublayers():
        yield layer
        yield from layers_inside(layer)


#: Variables in these are no weights.
_STATES = frozenset({"_states"})


def own_variables(layer: Any, of_layers_inside: list[Variable]) -> list[Variable]:
    """A layer's weights without those of layers inside: those it made, then other variables in its attributes."""
    own = [*layer._trainable_variables, *layer._non_trainable_variables]
    known = {id(v) for v in (*own, *of_layers_inside)}
    held = held_in_attributes(layer, Variable, _STATES)
    return own + [v for v in held if id(v) not in known]
