# SPDX-License-Identifier: BSD-3-Clause
"""The functional model: any graph of layers between inputs and outputs."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from ..layers.arrays import checked_lengths, checked_mask
from ..layers.base import Layer
from ..layers.call import Call
from ..symbolic import KerasTensor, flatten, is_symbolic, map_leaves
from ..training.tape import Tape
from ..training.trainer import Trainer
from ..variables import Variable
from . import config as _config
from .executor import Executor, Run
from .graph import Graph, tensors_of
from .inputs import standardize

if TYPE_CHECKING:
    from ..frozen import FrozenModel

__all__ = ["Model"]

Array = npt.NDArray[Any]


class Model(Trainer, Layer):
    """A graph of layers with training, evaluation, prediction and files.

    Parameters
    ----------
    inputs : KerasTensor, or list or dict of them
        From `Input`.
    outputs : KerasTensor, or list or dict of them
        Computed from the inputs by calling layers.
    name : str, optional
    trainable : bool

    Raises
    ------
    ValueError
        If the outputs cannot be computed from the inputs, or two layers share a name.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast import Input, Model, layers
    >>> series, facts = Input((None, 4)), Input((3,))
    >>> joined = layers.Concatenate()([layers.LSTM(8)(series), facts])
    >>> model = Model([series, facts], layers.Dense(1)(joined))
    >>> model([np.zeros((2, 5, 4)), np.zeros((2, 3))]).shape
    (2, 1)
    """

    supports_masking = True

    def __init__(
        self,
        inputs: Any = None,
        outputs: Any = None,
        name: str | None = None,
        *,
        trainable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name or _default_name(type(self)), trainable=trainable, **kwargs)
        self._init_trainer()
        self._executor: Executor | None = None
        self._input_structure: Any = None
        self._output_structure: Any = None
        if inputs is not None or outputs is not None:
            self._input_structure, self._output_structure = inputs, outputs
            graph = Graph(tensors_of(inputs, "inputs"), tensors_of(outputs, "outputs"))
            self._executor = Executor(graph)
            self.built = True
            self._build_shape = map_leaves(lambda t: t.shape, inputs)
        elif type(self) is Model:
            raise ValueError("Model needs `inputs` and `outputs`")
        if not trainable:
            self.trainable = False

    # --- structure

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
        """All layers, in Keras's order."""
        return list(self.executor.graph.layers)

    @property
    def inputs(self) -> list[KerasTensor]:
        return list(self.executor.graph.inputs)

    @property
    def outputs(self) -> list[KerasTensor]:
        return list(self.executor.graph.outputs)

    @property
    def input(self) -> Any:
        self.executor  # noqa: B018 - raises if the model is not built
        return self._input_structure

    @property
    def output(self) -> Any:
        self.executor  # noqa: B018
        return self._output_structure

    @property
    def input_shape(self) -> Any:
        return map_leaves(lambda t: t.shape, self.input)

    @property
    def output_shape(self) -> Any:
        return map_leaves(lambda t: t.shape, self.output)

    @property
    def input_names(self) -> list[str]:
        return self.executor.input_names

    @property
    def output_names(self) -> list[str]:
        return self.executor.output_names

    def _sublayers(self) -> Any:
        return iter(self._executor.graph.layers if self._executor is not None else [])

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

    def reset_states(self) -> None:
        """Set the states of all stateful layers to zero."""
        for layer in self.layers:
            reset = getattr(layer, "reset_state", None) or getattr(layer, "reset_states", None)
            if reset is not None:
                reset()

    # --- calls

    def _standardize(self, x: Any) -> list[Array]:
        """Arrays for the executor, one for each input, checked."""
        if not self.built:
            self._build_for_data(x)
        return standardize(self, x)

    def _build_for_data(self, x: Any) -> None:
        self.executor  # noqa: B018 - a functional model is always built; Sequential overrides this

    def pack_outputs(self, arrays: list[Any]) -> Any:
        """Arrays in the structure of the model's outputs."""
        structure = self._output_structure
        if isinstance(structure, KerasTensor):
            return arrays[0]
        by_id = {id(t): a for t, a in zip(flatten(structure), arrays, strict=True)}
        return map_leaves(lambda t: by_id[id(t)], structure)

    def output_numbers(self) -> Any:
        """The structure of the outputs, with the number of an output in place of each."""
        numbers = itertools.count()
        leaves = {id(t): next(numbers) for t in flatten(self._output_structure)}
        return map_leaves(lambda t: leaves[id(t)], self._output_structure)

    def freeze(self, dtype: str = "float32") -> FrozenModel:
        """An immutable copy for inference: packed weights, no Dropout, one native call a batch.

        Parameters
        ----------
        dtype : str
            ``"float32"``.

        Returns
        -------
        FrozenModel
            Gives the same bits as the model does now; later changes of the model do not reach it.

        Raises
        ------
        ValueError
            If the model is not built, or a layer has no native form (it is named).

        Examples
        --------
        >>> import numpy as np
        >>> from lstmfast import Input, Sequential, layers
        >>> frozen = Sequential([Input((None, 4)), layers.GRU(3)]).freeze()
        >>> frozen(np.ones((2, 5, 4), np.float32)).shape
        (2, 3)
        """
        from ..frozen import freeze

        return freeze(self, dtype)

    def __call__(  # type: ignore[override]
        self, inputs: Any, training: bool | None = None, mask: Any = None, lengths: Any = None
    ) -> Any:
        """Outputs for a batch of arrays; or a node in a larger graph for symbolic tensors.

        Parameters
        ----------
        inputs : array_like, or list or dict (by input names) of them
        training : bool, optional
            Dropout is on.
        mask : (B, T) bool array, or a list with one for each input, optional
        lengths : (B,) int array, or a list or dict, optional
            Valid steps of right-padded rows.

        Returns
        -------
        numpy.ndarray, or a list or dict of them
            float32.

        Raises
        ------
        ValueError
            If a shape does not fit, an array is empty, or ids are out of range.
        TypeError
            If an array is not numeric.
        """
        if is_symbolic(inputs):
            return self.record(inputs, {})
        arrays = self._standardize(inputs)
        run = self.executor.forward(
            arrays,
            bool(training),
            masks=self.masks_of(mask, arrays),
            lengths=self.lengths_of(lengths, arrays),
        )
        return self.pack_outputs([run.values[slot] for slot in self.executor.output_slots])

    def forward(self, x: Any, training: bool = False, lengths: Any = None, mask: Any = None) -> Any:  # type: ignore[override]
        """Outputs, and a tape for `Tape.backward`.

        Parameters
        ----------
        x, training, lengths, mask
            As in calling the model.

        Returns
        -------
        y : numpy.ndarray, or a list or dict of them
        tape : Tape

        Examples
        --------
        >>> import numpy as np
        >>> from lstmfast import Input, Sequential, layers
        >>> model = Sequential([Input((None, 4)), layers.LSTM(3)])
        >>> y, tape = model.forward(np.ones((2, 5, 4)), training=True)
        >>> grads, dx, dstates = tape.backward(np.ones_like(y))
        >>> [g.shape for g in grads], dx.shape
        ([(4, 12), (3, 12), (12,)], (2, 5, 4))
        """
        arrays = self._standardize(x)
        executor = self.executor
        plan = executor.gradient_plan(of_inputs=True)
        run = executor.forward(
            arrays, training, plan, self.masks_of(mask, arrays), self.lengths_of(lengths, arrays)
        )
        y = self.pack_outputs([run.values[slot] for slot in executor.output_slots])
        return y, Tape(self, run)

    def lengths_of(self, lengths: Any, arrays: list[Array]) -> list[Any] | None:
        """Lengths for each input from one array, a list or a dict; ValueError if they do not fit."""
        if lengths is None:
            return None
        if isinstance(lengths, dict):
            unknown = set(lengths) - set(self.input_names)
            if unknown:
                raise ValueError(
                    f"lengths has keys {sorted(unknown)}, the model's inputs are {self.input_names}"
                )
            given = [lengths.get(name) for name in self.input_names]
        elif isinstance(lengths, (list, tuple)) and len(arrays) > 1 and len(lengths) == len(arrays):
            given = list(lengths)
        else:  # one array: for every input with a time axis
            one = len(arrays) == 1
            given = [lengths if one or a.ndim >= 3 or i else None for a, i in self._with_integers(arrays)]
        return [checked_lengths(n, a) for n, a in zip(given, arrays, strict=True)]

    def _with_integers(self, arrays: list[Array]) -> Any:
        return zip(arrays, self.executor.integer_inputs, strict=True)

    def masks_of(self, mask: Any, arrays: list[Array]) -> list[Any] | None:
        """Masks for each input; ValueError if they do not fit."""
        if mask is None:
            return None
        given = mask if isinstance(mask, (list, tuple)) and len(arrays) > 1 else [mask]
        return [checked_mask(m, a) for m, a in zip(given, arrays, strict=True)]

    # --- as a layer in another model

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shapes of the outputs for other input shapes."""
        executor = self.executor
        shapes: list[Any] = [None] * executor.slots
        several = bool(input_shape) and isinstance(input_shape[0], (tuple, list))
        for slot, shape in zip(executor.input_slots, input_shape if several else [input_shape], strict=True):
            shapes[slot] = tuple(shape)
        for step in executor.steps:
            given = [shapes[s] for s in step.inputs]
            made = step.layer.compute_output_shape(given if step.takes_list else given[0])
            for slot, shape in zip(step.outputs, made if len(step.outputs) > 1 else [made], strict=True):
                shapes[slot] = tuple(shape)
        found = [shapes[slot] for slot in executor.output_slots]
        return found[0] if isinstance(self._output_structure, KerasTensor) else found

    def makes_mask(self, has_mask: bool) -> bool | tuple[bool, ...]:
        executor = self.executor
        masked = [False] * executor.slots
        for slot in executor.input_slots:
            masked[slot] = has_mask
        for step in executor.steps:
            given = [masked[s] for s in step.inputs]
            made = step.layer.makes_mask(all(given) if step.layer.needs_all_masks else any(given))
            for slot, one in zip(step.outputs, made if isinstance(made, tuple) else (made,), strict=False):
                masked[slot] = one
        found = tuple(masked[slot] for slot in executor.output_slots)
        return found[0] if len(found) == 1 else found

    def nested_forward(self, x: Any, call: Call) -> Any:
        """`Layer.forward` of the model as a layer of another."""
        executor = self.executor
        arrays = list(x) if isinstance(x, (list, tuple)) else [x]
        plan = executor.gradient_plan(call.needs_dx) if call.save else None
        masks = None if call.mask is None else call.mask if isinstance(call.mask, list) else [call.mask]
        lengths = None if call.lengths is None else [call.lengths] * len(arrays)
        run = call.saved = executor.forward(arrays, call.training, plan, masks, lengths)
        outputs = [run.values[slot] for slot in executor.output_slots]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def nested_backward(self, dy: Any, call: Call) -> Any:
        """`Layer.backward` of the model as a layer of another."""
        run: Run = call.saved
        dx = self.executor.backward(run, list(dy) if isinstance(dy, tuple) else [dy])
        return dx[0] if len(dx) == 1 else dx

    # --- weights

    def set_weights(self, weights: Any) -> None:
        self.executor  # noqa: B018 - a clear error rather than "expected 0 weights"
        super().set_weights(weights)

    @property
    def metrics_names(self) -> list[str]:
        return ["loss", "compile_metrics"] if self.compiled else []

    def variables_in_use(self) -> tuple[list[Variable], list[Variable]]:
        """Trainable variables, and all others."""
        trainable = self.trainable_variables
        chosen = set(map(id, trainable))
        return trainable, [v for v in self.variables if id(v) not in chosen]

    # --- configuration, files, text

    def get_config(self) -> dict[str, Any]:
        return _config.functional_config(self)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Model:
        return _config.functional_from_config(cls, config, custom_objects)

    def get_build_config(self) -> dict[str, Any] | None:
        return None if self._build_shape is None else {"input_shape": self._build_shape}

    def save(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the model to a file; see `lstmfast.saving.save_model`."""
        from ..saving import save_model

        save_model(self, filepath, overwrite=overwrite)

    def save_weights(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the weights alone, in the safetensors format; ValueError for another format's ending."""
        from .weights import save_weights

        save_weights(self, filepath, overwrite)

    def load_weights(self, filepath: str | os.PathLike[str]) -> None:
        """Set the weights from a file of `save_weights` or `save`; all of them, or none on an error."""
        from .weights import load_weights

        load_weights(self, filepath)

    def to_json(self, **kwargs: Any) -> str:
        """The configuration as JSON."""
        import json

        from ..saving.registry import serialize_keras_object

        return json.dumps(serialize_keras_object(self), **kwargs)

    def summary(
        self,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Any = None,
    ) -> None:
        """Print a table of the layers, their output shapes and numbers of weights.

        Parameters
        ----------
        line_length : int, optional
        print_fn : callable, optional
            Takes the text in place of `print`.
        expand_nested : bool
            Show the layers of models inside.
        show_trainable : bool
            Add a column.
        positions, layer_range : optional
            Accepted and ignored.
        """
        from .summary import summary_text

        (print_fn or print)(summary_text(self, line_length, expand_nested, show_trainable))


def _default_name(cls: type) -> str | None:
    from ..utils.naming import unique_name

    return unique_name("functional") if cls is Model else None
