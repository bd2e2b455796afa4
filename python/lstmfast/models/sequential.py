# SPDX-License-Identifier: BSD-3-Clause
"""The linear stack of layers."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from ..layers.base import Layer
from ..layers.building import as_before_on_error
from ..layers.core.input import InputLayer
from ..saving.registry import deserialize_keras_object, serialize_keras_object
from ..symbolic import (
    KerasTensor,
    Shape,
    flatten,
    is_shape,
    is_symbolic,
    map_leaves,
    map_shapes,
    shapes_of_config,
)
from ..utils.naming import unique_name
from .executor import Executor
from .graph import Graph
from .model import Model
from .model_structure import building
from .subclassed import inputs_like, shapes_of_arrays

__all__ = ["Sequential"]


class Sequential(Model):
    """Layers one behind the other; a `Model` whose graph is a line.

    Parameters
    ----------
    layers : list of Layer, optional
        The first may be `Input(...)`. Without it the model is built by its first data.
    trainable : bool
    name : str, optional

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast import Input, Sequential, layers
    >>> model = Sequential([Input((None, 16)), layers.LSTM(8), layers.Dense(2, activation="softmax")])
    >>> model(np.zeros((3, 5, 16))).shape
    (3, 2)
    """

    def __init__(self, layers: Any = None, trainable: bool = True, name: str | None = None) -> None:
        super().__init__(name=name)
        self._stack: list[Layer] = []
        self._outputs: list[Any] = []  # symbolic output of each layer of the stack, once there is an input
        self._in_constructor = False
        if layers is not None:
            if not isinstance(layers, (list, tuple)):
                raise TypeError(f"layers must be a list of layers, got {type(layers).__name__}")
            self._in_constructor = True
            for layer in layers:
                self.add(layer)
            self._in_constructor = False
            self._count_as_keras()
        if not trainable:
            self.trainable = False

    # --- the stack

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Put a layer on top.

        Raises
        ------
        ValueError
            If it is no layer, its name is taken, or it does not fit on the one below; the model stays as it
            was.
        """
        if isinstance(layer, KerasTensor) and isinstance(layer.origin.layer, InputLayer):
            layer = layer.origin.layer
        if not isinstance(layer, Layer):
            raise ValueError(
                f"Only instances of `lstmfast.Layer` can be added to a Sequential model. Received: {layer!r} "
                f"(of type {type(layer)})"
            )
        if any(other.name == layer.name for other in self._stack):
            raise ValueError(
                "All layers added to a Sequential model should have unique names. Name "
                f"'{layer.name}' is already the name of a layer in this model. Update the `name` "
                "argument to pass a unique name."
            )
        if isinstance(layer, InputLayer) and self._stack:
            if isinstance(self._stack[0], InputLayer):
                raise ValueError(
                    f"Sequential model '{self.name}' has already been configured to use input shape "
                    f"{self._stack[0].batch_shape}. You cannot add a different Input layer to it."
                )
            raise ValueError("an Input must be the first layer of a Sequential model")
        if not self._stack and not isinstance(layer, InputLayer):
            shape = layer._input_shape_arg
            if shape is None and isinstance(layer, Model) and layer.built:
                shape = layer.input_shape
            if shape is not None:
                start = InputLayer(batch_shape=shape)
                tensor = self._apply(layer, start.output)
                self._stack, self._outputs = [start, layer], [start.output, tensor]
                self._update()
                return
        if isinstance(layer, InputLayer):
            self._stack, self._outputs = [layer], [layer.output]
        elif self._outputs:
            below = self._outputs[-1]
            if not isinstance(below, KerasTensor):
                raise ValueError(
                    f"layer {self._stack[-1].name!r} has several outputs: only the last layer of a "
                    "Sequential may"
                )
            tensor = self._apply(layer, below)
            self._stack.append(layer)
            self._outputs.append(tensor)
        else:
            self._stack.append(layer)
        self._update()

    def pop(self, rebuild: bool = True) -> Layer:
        """Take the last layer off and return it."""
        if not self._stack:
            raise ValueError("There are no layers in the model.")
        if self._outputs:
            self._outputs.pop()
        layer = self._stack.pop()
        if not self._stack:  # of several inputs
            self._outputs = []
        self._update()
        return layer

    def _update(self) -> None:
        """After a change of the stack: the executor is made when it is needed."""
        self._executor = None
        self.built = len(self._outputs) > 1
        if self.built:
            self._input_structure, self._output_structure = self._outputs[0], self._outputs[-1]
            self._build_shape = map_leaves(lambda tensor: tensor.shape, self._outputs[0])
        self._reset_compiled()
        if not self._in_constructor:
            self._count_as_keras()

    def _count_as_keras(self) -> None:
        """Keras makes an inner functional model of every built stack, which takes one of the names ``functional_<n>``."""
        if self.built:
            unique_name("functional")

    def _apply(self, layer: Layer, below: Any) -> Any:
        """What the layer makes of a symbolic tensor; the paths of the weights that it makes then start with our name.

        ValueError if its `call` takes something else than one tensor.
        """
        if type(layer).call is not Layer.call:
            _check_call(layer)
        known = {id(variable) for variable in layer.variables}
        made = layer(below)
        for variable in layer.variables:
            if id(variable) not in known:
                variable.path = f"{self.name}/{variable.path}"
        return made

    @property
    def executor(self) -> Executor:
        """What runs the graph; ValueError if the model is not built."""
        executor = self._executor
        if executor is None and self.built:
            with building:
                executor = self._executor
                if executor is None:
                    ends = flatten(self._outputs[0]), flatten(self._outputs[-1])
                    executor = self._executor = Executor(Graph(*ends))
        return super().executor if executor is None else executor

    @property
    def layers(self) -> list[Layer]:
        """The layers without the Input."""
        return [layer for layer in self._stack if not isinstance(layer, InputLayer)]

    @layers.setter
    def layers(self, _: Any) -> None:
        raise AttributeError(
            "`Sequential.layers` attribute is reserved and should not be used. Use `add()` and `pop()` to change the "
            "layers in this model."
        )

    @property
    def operations(self) -> list[Layer]:
        """`layers`."""
        return self.layers

    def _sublayers(self) -> Any:
        return iter(getattr(self, "_stack", []))

    def _beside_graph(self) -> list[Layer]:
        return []  # Keras does not count them either

    # --- building

    def build(self, input_shape: Any = None) -> None:
        """Make all weights for inputs of this shape, batch axis included.

        Several, in a list or dict, for a first layer that takes such.

        Raises
        ------
        ValueError
            If the shape differs from that of the Input, or does not fit a layer; the model stays as it was.
        """
        if not self._stack:
            raise ValueError(
                f"Sequential model {self.name} cannot be built because it has no layers. Call "
                "`model.add(layer)`."
            )
        if input_shape is None:
            raise ValueError("build() needs an input_shape")
        several = not is_shape(input_shape)
        shape: Shape = input_shape if several else tuple(input_shape)
        if isinstance(self._stack[0], InputLayer):
            if self._stack[0].batch_shape != shape:
                raise ValueError(
                    f"Sequential model '{self.name}' has already been configured to use input shape "
                    f"{self._stack[0].batch_shape}. You cannot build it with input_shape {shape}"
                )
            return
        start = None if several else InputLayer(batch_shape=shape)
        outputs: list[Any] = [inputs_like(shape) if start is None else start.output]
        unbuilt = [
            layer
            for outer in self._stack
            for layer in (outer, *(() if isinstance(outer, Model) else outer._sublayers()))
            if not layer.built
        ]
        with as_before_on_error(*unbuilt):
            for layer in self._stack:
                outputs.append(self._apply(layer, outputs[-1]))
        self._stack, self._outputs = [*(() if start is None else (start,)), *self._stack], outputs
        self._update()

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of the output for another input shape; the model need not be built."""
        if self.built:
            return super().compute_output_shape(input_shape)
        for layer in self.layers:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    def _build_for_data(self, x: Any) -> None:
        if self.built:
            self.executor  # noqa: B018 - made now, by one of the threads that ask for it
            return
        if isinstance(x, (list, tuple)) and len(x) == 1 and hasattr(x[0], "shape"):
            x = x[0]
        if self._stack and _is_several(x, self._stack[0]):
            shapes = shapes_of_arrays(x)
            size = len(flatten(x)[0]) if self._is_stateful() else None
            self.build(map_shapes(lambda shape: (size, *shape[1:]), shapes))
            return
        shape = np.shape(x)
        if len(shape) < 1 or 0 in shape:
            raise ValueError(f"x must be a non-empty array with a batch axis, got shape {shape}")
        self.build((shape[0] if self._is_stateful() else None, *shape[1:]))

    def takes_shape(self, shape: tuple[int, ...]) -> bool:
        """Whether all layers take what becomes of such an input, whatever the model was built for."""
        try:
            given: Any = shape
            for layer in self.layers:
                layer.check_shapes(given)
                given = layer.compute_output_shape(given)
        except (ValueError, TypeError):
            return False
        return True

    def _is_stateful(self) -> bool:
        return any(getattr(layer, "stateful", False) for layer in self._stack)

    def record(self, inputs: Any, kwargs: dict[str, Any]) -> Any:
        if not self.built and is_symbolic(inputs):
            self.build(map_leaves(lambda tensor: tensor.shape, inputs))
        return super().record(inputs, kwargs)

    # --- configuration

    def get_config(self) -> dict[str, Any]:
        config = Layer.get_config(self)
        config["layers"] = [serialize_keras_object(layer) for layer in self._stack]
        if self.built:
            config["build_input_shape"] = self._build_shape
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Sequential:
        if "name" not in config or "layers" not in config:
            raise ValueError(
                "A Sequential model configuration must be a dictionary containing the 'name' and 'layers' keys. "
                f"Received: {config}"
            )
        model = cls(name=config["name"])
        for layer in config["layers"]:
            if not isinstance(layer, dict) or "config" not in layer:
                raise ValueError(
                    "The provided configuration is not a valid Keras configuration. Expected a dictionary containing a "
                    f"'config' key. Received: config={layer}"
                )
            model.add(deserialize_keras_object(layer, custom_objects))
        shape = shapes_of_config(config.get("build_input_shape"))
        if not model.built and shape:
            model.build(shape)
        if config.get("trainable") is False:
            model.trainable = False
        return model


def _check_call(layer: Layer) -> None:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(layer.call).parameters.values()
    positional = [p for p in parameters if p.kind in kinds]
    if not positional and all(p.kind is not p.VAR_POSITIONAL for p in parameters):
        raise ValueError(
            "Layers added to a Sequential model should have a single positional argument, the input tensor. Layer "
            f"{type(layer).__name__} has no positional arguments."
        )
    required = [str(p) for p in positional if p.default is p.empty and p.name != "mask"]
    if len(required) > 1:
        raise ValueError(
            "Layers added to a Sequential model can only have a single required positional argument, the input tensor. "
            f"Layer {type(layer).__name__} has multiple required positional arguments: {required}"
        )


def _is_several(x: Any, first: Layer) -> bool:
    """Whether data are several inputs: a dict; a list of arrays, if not for a built-in layer that takes one."""
    if isinstance(x, dict):
        return True
    listed = isinstance(x, (list, tuple)) and len(x) > 0 and all(isinstance(a, (np.ndarray, dict)) for a in x)
    return listed and (first.takes_list or not type(first).__module__.startswith("lstmfast."))
