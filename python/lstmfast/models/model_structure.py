# SPDX-License-Identifier: BSD-3-Clause
"""What a model is made of: its layers, inputs and outputs, as Keras shows them."""

from __future__ import annotations

import itertools
import threading
from typing import Any

from ..layers.base import Layer
from ..symbolic import KerasTensor, flatten, map_leaves
from .executor import Executor
from .graph import Graph

__all__ = ["ModelStructure", "building"]

#: Held while a model is made from its first data: one thread does it, others wait. Building traces layers that models share,
#: so that there is one for all models.
building = threading.RLock()


class ModelStructure:
    """The part of `Model` that answers questions about its graph."""

    name: str
    built: bool
    _executor: Executor | None
    _input_structure: Any
    _output_structure: Any
    _as_given: Any = None
    _traced: bool
    _writes_call: bool

    @property
    def executor(self) -> Executor:
        """What runs the graph; ValueError if the model is not built."""
        if self._executor is None:
            raise ValueError(
                f"Model '{self.name}' has not been built yet: give it an Input, call `build(input_shape)`, "
                "or call it "
                "or `fit()` with data"
            )
        return self._executor

    @property
    def layers(self) -> list[Layer]:
        """All layers, in Keras's order; those in attributes, of a model that writes `call`.

        Operations of `lstmfast.ops` between them are no layers: see `operations`.
        """
        if self._by_call:
            return Layer._sublayers(self)  # type: ignore[arg-type]
        return [layer for layer in self.executor.graph.layers if not layer.is_operation]

    @layers.setter
    def layers(self, _: Any) -> None:
        raise AttributeError(
            "`Model.layers` attribute is reserved and should not be used. Please use another name."
        )

    @property
    def operations(self) -> list[Layer]:
        """All layers of the graph and the operations of `lstmfast.ops` between them, in Keras's order."""
        return list(self.executor.graph.layers)

    @property
    def _by_call(self) -> bool:
        """Whether the graph is what the class's own `call` does."""
        return (self._executor is None and type(self)._writes_call) or self._traced

    @property
    def _names_by_chance(self: Any) -> bool:
        """Whether the class makes its layers itself, so that another instance's have other names."""
        if self._by_call:
            return True
        return (
            not type(self).get_config.__module__.startswith("lstmfast.") and "layers" not in self.get_config()
        )

    def _graph_for(self, what: str) -> Graph:
        """The graph; AttributeError, as in Keras, if the model is not built."""
        if not self.built:
            raise AttributeError(f"{type(self).__name__} model '{self.name}' has no defined {what} yet.")
        return self.executor.graph

    @property
    def inputs(self) -> list[KerasTensor]:
        return list(self._graph_for("inputs").inputs)

    @property
    def outputs(self) -> list[KerasTensor]:
        return list(self._graph_for("outputs").outputs)

    @property
    def input(self) -> Any:
        """Symbolic inputs, in the structure in which the model was given them."""
        self._graph_for("input")
        return self._input_structure if self._as_given is None else self._as_given[0]

    @property
    def output(self) -> Any:
        """Symbolic outputs, in the structure in which the model was given them."""
        self._graph_for("output")
        return self._output_structure if self._as_given is None else self._as_given[1]

    @property
    def input_shape(self) -> Any:
        """Shape of the input; a list of shapes, in the order of `inputs`, if there are several."""
        return _one_or_list([t.shape for t in self._graph_for("input shape").inputs])

    @property
    def output_shape(self) -> Any:
        """Shape of the output; a list of shapes, in the order of `outputs`, if there are several."""
        return _one_or_list([t.shape for t in self._graph_for("output shape").outputs])

    @property
    def input_names(self) -> list[str]:
        return self.executor.input_names

    @property
    def output_names(self) -> list[str]:
        return self.executor.output_names

    def _sublayers(self) -> Any:
        if self._by_call:
            return Layer._sublayers(self)  # type: ignore[arg-type]
        if self._executor is None:
            return iter(())
        return iter([*self._executor.graph.layers, *self._beside_graph()])

    def _beside_graph(self) -> list[Layer]:
        """Layers in attributes that the graph has no call of: their weights are the model's, too, as in Keras."""
        held = Layer._sublayers(self)  # type: ignore[arg-type]
        if not held or self._executor is None:
            return []
        inside = {id(layer) for layer in self._executor.graph.layers}
        return [layer for layer in held if id(layer) not in inside]

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """A layer by name or by its index in `layers`; ValueError if there is none."""
        layers = self.layers
        if index is not None and name is not None:
            raise ValueError(
                f"Provide only a layer name or a layer index. Received: index={index}, name={name}."
            )
        if index is not None:
            if len(layers) <= index or index < -len(layers):
                raise ValueError(
                    f"Was asked to retrieve layer at index {index} but model only has {len(layers)} layers."
                )
            return layers[index]
        if name is None:
            raise ValueError("Provide either a layer name or layer index at `get_layer`.")
        for layer in layers:
            if layer.name == name:
                return layer
        raise ValueError(f"No such layer: {name}. Existing layers are: {[layer.name for layer in layers]}.")

    def pack_outputs(self, arrays: list[Any]) -> Any:
        """Arrays in the structure of the model's outputs."""
        structure = self._output_structure
        if isinstance(structure, KerasTensor):
            return arrays[0]
        by_id = {id(t): a for t, a in zip(flatten(structure), arrays, strict=True)}
        return map_leaves(lambda t: by_id[id(t)], self._ordered(structure))

    def _ordered(self: Any, structure: Any) -> Any:
        """As in Keras, a functional model's dict of outputs has its keys sorted; a `call` gives what it made."""
        if self._traced or not isinstance(structure, dict):
            return structure
        return {key: structure[key] for key in sorted(structure)}

    def output_numbers(self) -> Any:
        """The structure of the outputs, with the number of an output in place of each."""
        numbers = itertools.count()
        leaves = {id(t): next(numbers) for t in flatten(self._output_structure)}
        return map_leaves(lambda t: leaves[id(t)], self._ordered(self._output_structure))


def _one_or_list(shapes: list[Any]) -> Any:
    return shapes[0] if len(shapes) == 1 else shapes
