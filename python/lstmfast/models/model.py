# SPDX-License-Identifier: BSD-3-Clause
"""The functional model: any graph of layers between inputs and outputs."""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..layers.arrays import checked_lengths, checked_mask, checked_resets
from ..layers.base import Layer
from ..layers.eager import attach_masks, carried_mask, in_trace, said_in_graph, training_flag
from ..layers.keras_call import add_penalty
from ..symbolic import KerasTensor, is_symbolic, map_leaves
from ..training.own_steps import results_of
from ..training.structure import along, is_nested
from ..training.tape import Tape, checked_states
from ..training.trainer import Trainer
from ..variables import Variable
from .executor import Executor
from .files import ModelFiles
from .graph import Graph, from_inside, tensors_of
from .inputs import distribute, standardize
from .model_structure import ModelStructure, building
from .nested import NestedModel
from .subclassed import (
    build_by_call,
    build_for_arrays,
    call_with_more,
    check_fixed_shapes,
    recorded_arguments,
    writes_call,
)

if TYPE_CHECKING:
    from ..frozen import FrozenModel

__all__ = ["Model"]

Array = npt.NDArray[Any]


class Model(NestedModel, ModelStructure, ModelFiles, Trainer, Layer):  # type: ignore[override]
    """A graph of layers with training, evaluation, prediction and files.

    Parameters
    ----------
    inputs : KerasTensor, or list or dict of them
        From `Input`; or from a layer of another graph, whose layers behind it the two then share.
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
    takes_resets = True
    _writes_call = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._writes_call = writes_call(cls)

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        model = super().__new__(cls, *args, **kwargs)
        if cls._writes_call:
            model._given_arguments = recorded_arguments(cls, args, kwargs)
        return model

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
        self._as_given = None  # inputs and outputs with the lists of one that the structures leave out
        self._traced = False
        self._fixed_shapes: Any = None  # of a model that writes `call`, where that depends on them
        if inputs is not None or outputs is not None:
            tensors_of(inputs, "inputs"), tensors_of(outputs, "outputs")
            _warn_of_names(inputs)
            inputs, outputs = self._as_given = from_inside(inputs, outputs)
            tensors = tensors_of(inputs, "inputs"), tensors_of(outputs, "outputs")
            graph = Graph(*tensors, structure=outputs)
            inputs, outputs = _without_list_of_one(inputs), _without_list_of_one(outputs)
            self._input_structure, self._output_structure = inputs, outputs
            self._executor = Executor(graph)
            self.built = True
            self._build_shape = map_leaves(lambda t: t.shape, inputs)
        if not trainable:
            self.trainable = False

    # --- building

    def build(self, input_shape: Any = None) -> None:
        """Make the graph and the weights of a model that writes `call`; any other is built already.

        Parameters
        ----------
        input_shape : tuple of int or None, or list or dict of them
            Batch axis included.

        Raises
        ------
        ValueError
            If `call` does not work for such an input; nothing is built then.
        """
        if self._executor is None and type(self)._writes_call:
            if input_shape is None:
                raise ValueError("build() needs an input_shape")
            build_by_call(self, input_shape)

    def reset_state(self) -> None:
        """Set the states of all stateful layers to zero, of those in models inside too."""
        for layer in self.layers:
            reset = getattr(layer, "reset_state", None) or getattr(layer, "reset_states", None)
            if reset is not None:
                reset()

    reset_states = reset_state

    # --- calls

    def _standardize(self, x: Any) -> list[Array]:
        """Arrays for the executor, one for each input, checked."""
        if not self.built or self._executor is None:
            with building:  # several threads may make the first call
                self._build_for_data(x)
        if self._fixed_shapes is not None:
            check_fixed_shapes(self, x)
        arrays = standardize(self, x)
        if self.input_spec is not None:
            shapes = [t.shape if a is None else a.shape for a, t in zip(arrays, self.inputs, strict=True)]
            self.check_shapes(shapes if len(shapes) > 1 else shapes[0])
        return arrays

    def takes_shape(self, shape: tuple[int, ...]) -> bool:
        """Whether an array may have another last axis than the model's `Input`; only in a `Sequential`, as in Keras."""
        return False

    def _build_for_data(self, x: Any) -> None:
        if self._executor is None and type(self)._writes_call:
            build_for_arrays(self, x)
        self.executor  # noqa: B018 - a functional model is always built; Sequential overrides this

    def _said_to_call(self, training: bool | None) -> dict[str, Any]:
        """Arguments for the class's own `call`, if it takes them."""
        return {"training": training} if "training" in inspect.signature(self.call).parameters else {}

    def record(self, inputs: Any, kwargs: dict[str, Any]) -> Any:
        if self._executor is None and type(self)._writes_call:
            self.build(map_leaves(lambda t: t.shape, inputs))
        structure = self._input_structure
        if isinstance(inputs, dict) and isinstance(structure, dict) and set(structure) < set(inputs):
            inputs = {key: inputs[key] for key in structure}  # others are left alone, as with arrays
        if isinstance(inputs, dict) and not isinstance(structure, dict):  # by the names of the Inputs
            given = distribute(inputs, self.input_names, 0, "inputs")
            inputs = given[0] if len(given) == 1 else given
        elif is_nested(structure):
            along(structure, inputs, "inputs")
        outputs = super().record(inputs, kwargs)
        return self.pack_outputs(outputs) if isinstance(outputs, list) else outputs

    def freeze(self, dtype: str = "float32") -> FrozenModel:
        """An immutable copy for inference: packed weights, no Dropout, one native call a batch.

        Parameters
        ----------
        dtype : str
            ``"float32"``.

        Returns
        -------
        FrozenModel
            Gives the same bits as the model does now (but for layers that compute with NumPy, as `Attention`: there
            the last digits of float32 differ); later changes of the model do not reach it.

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
        from ..freezing import freeze

        for step in self.executor.steps:
            if step.training and self.executor.calls_decide:
                raise ValueError(
                    f"layer {step.layer.name!r} cannot be frozen: it was called with training=True, and a frozen model "
                    "only knows inference"
                )
        return freeze(self, dtype)

    def __call__(  # type: ignore[override]
        self,
        inputs: Any,
        *args: Any,
        training: bool | None = None,
        mask: Any = None,
        lengths: Any = None,
        resets: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Outputs for a batch of arrays; or a node in a larger graph for symbolic tensors.

        Parameters
        ----------
        inputs : array_like, or list or dict (by input names) of them
        *args, **kwargs
            Further arguments of a model that writes `call` (states, say, for a model that generates step by step): `call` runs
            with them as they are. Of other models `training`.
        training : bool, optional
            Dropout is on.
        mask : (B, T) bool array, or a list with one for each input, optional
            By default those that came with the inputs, if layers made them; the outputs then take theirs along.
        lengths : (B,) int array, or a list or dict, optional
            Valid steps of right-padded rows.
        resets : (B, T) bool array, optional
            Where it is True, all recurrent layers start from their initial states before that step.

        Returns
        -------
        numpy.ndarray, or a list or dict of them
            float32.

        Raises
        ------
        ValueError
            If a shape does not fit, an array is empty, or ids are out of range.
        TypeError
            If an array is not numeric, or the model takes no such argument.
        """
        if args and training is None and isinstance(args[0], (bool, np.bool_)):
            training, *args = args  # type: ignore[assignment]
        if args or kwargs:
            return call_with_more(
                self, inputs, args, kwargs, {"training": training, "mask": mask}, lengths, resets
            )
        inputs = in_trace(inputs, training, mask, lengths, resets)
        if is_symbolic(inputs):
            return self.record(inputs, said_in_graph(training))
        arrays = self._standardize(inputs)
        carried = carried_mask(inputs, takes_list=True) if mask is None else None
        mask = mask if carried is None else carried
        run = self.executor.forward(
            arrays,
            training_flag.get() if training is None else bool(training),
            masks=self.masks_of(mask, arrays),
            lengths=self.lengths_of(lengths, arrays),
            resets=self.resets_of(resets, arrays),
        )
        self._call_losses = [run.penalty] if run.penalty else []
        add_penalty(run.penalty)  # in the `call` of a layer
        outputs = [run.values[slot] for slot in self.executor.output_slots]
        if carried is not None:  # what layers called one after another hand on goes through a model, too
            masks = [run.masks[slot] for slot in self.executor.output_slots]
            outputs = [attach_masks(*pair) for pair in zip(outputs, masks, strict=True)]
        return self.pack_outputs(outputs)

    def forward(  # type: ignore[override]
        self,
        x: Any,
        training: bool = False,
        lengths: Any = None,
        mask: Any = None,
        states: Any = None,
        resets: Any = None,
    ) -> Any:
        """Outputs, and a tape for `Tape.backward`.

        Parameters
        ----------
        x, training, lengths, mask, resets
            As in calling the model.
        states : list, optional
            `Tape.states` of an earlier call: the recurrent layers go on from there.

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
        >>> y, tape = model.forward(np.ones((2, 5, 4)), training=True, states=tape.states)  # steps 5 to 9
        """
        arrays = self._standardize(x)
        executor = self.executor
        plan = executor.gradient_plan(of_inputs=True)
        run = executor.forward(
            arrays,
            training,
            plan,
            self.masks_of(mask, arrays),
            self.lengths_of(lengths, arrays),
            resets=self.resets_of(resets, arrays),
            states=None if states is None else checked_states(executor, states, len(arrays[0])),
        )
        y = self.pack_outputs([run.values[slot] for slot in executor.output_slots])
        return y, Tape(self, run)

    def trace(self, x: Any, mask: Any = None, lengths: Any = None, resets: Any = None) -> dict[str, Array]:
        """A look inside: every gate and state of every step, and the output of every layer, in inference.

        Parameters
        ----------
        x, mask, lengths, resets
            As in calling the model.

        Returns
        -------
        dict of str to numpy.ndarray
            Of a recurrent layer named ``lstm``, float32 arrays (B, T, units) whose step t belongs to the input's step
            t, whatever the direction: ``lstm/i``, ``lstm/f``, ``lstm/c_tilde``, ``lstm/o``, ``lstm/c``, ``lstm/h`` of
            an LSTM (h (B, T, projection) with one), ``gru/z``, ``gru/r``, ``gru/h_tilde``, ``gru/h`` of a GRU,
            ``simple_rnn/h`` of a SimpleRNN; ``bidirectional/forward/i`` and ``bidirectional/backward/i`` of an LSTM in
            both directions. NaN at steps that are masked or lie behind a row's length. Gates are after their
            activation.

            Under a layer's own name its output, ``dense``; ``lstm[0]``, ``lstm[1]`` if it has several. Layers of a
            model inside are ``inner/lstm/i``; the second call of a shared layer is ``lstm:1``. Of an `RNN` there are
            gates if its cell is a single built-in one.

        Notes
        -----
        The arrays are the kernels' own: outputs have the bits that calling the model gives. States of stateful
        layers stay as they are.

        Examples
        --------
        >>> import numpy as np
        >>> from lstmfast import Input, Sequential, layers
        >>> model = Sequential([Input((None, 4)), layers.LSTM(3, name="lstm"), layers.Dense(1, name="top")])
        >>> inside = model.trace(np.ones((2, 5, 4)))
        >>> sorted(inside)
        ['lstm', 'lstm/c', 'lstm/c_tilde', 'lstm/f', 'lstm/h', 'lstm/i', 'lstm/o', 'top']
        >>> inside["lstm/f"].shape
        (2, 5, 3)
        """
        from .tracing import trace

        return trace(self, x, mask, lengths, resets)

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
            given = [lengths if one or np.ndim(a) >= 3 or i else None for a, i in self._with_integers(arrays)]
        return [None if a is None else checked_lengths(n, a) for n, a in zip(given, arrays, strict=True)]

    def resets_of(self, resets: Any, arrays: list[Array]) -> Array | None:
        """Resets as (B, T) bool; ValueError if they do not fit the inputs that have a time axis."""
        if resets is None:
            return None
        timed = [a for a, i in self._with_integers(arrays) if np.ndim(a) >= 3 or (i and np.ndim(a) == 2)]
        if not timed:
            raise ValueError("resets needs an input with a time axis")
        checked = [checked_resets(resets, a) for a in timed]
        return checked[0]

    def _with_integers(self, arrays: list[Array]) -> Any:
        return zip(arrays, self.executor.integer_inputs, strict=True)

    def masks_of(self, mask: Any, arrays: list[Array]) -> list[Any] | None:
        """Masks for each input; ValueError if they do not fit."""
        if mask is None:
            return None
        given = mask if isinstance(mask, (list, tuple)) and len(arrays) > 1 else [mask]
        return [None if a is None else checked_mask(m, a) for m, a in zip(given, arrays, strict=True)]

    # --- weights

    def set_weights(self, weights: Any) -> None:
        """Take all weights from arrays, in the order and with the shapes of `get_weights`.

        Raises
        ------
        ValueError
            If the model is not built, or number or shapes do not fit; nothing is changed then.
        """
        self.executor  # noqa: B018 - a clear error rather than "expected 0 weights"
        super().set_weights(weights)

    @property
    def metrics_names(self) -> list[str]:
        """Names of `metrics`."""
        return [metric.name for metric in self.metrics]

    def get_metrics_result(self) -> dict[str, Any]:
        """Loss and metrics over the batches since they were last reset, by name.

        Raises
        ------
        ValueError
            If the model is compiled but has seen no data.
        """
        if not self.compiled:
            return {}
        if self._objective is None:
            raise ValueError("Cannot get result() since the metric has not yet been built.")
        return results_of(self, self._objective)

    def variables_in_use(self, anew: bool = False) -> tuple[list[Variable], list[Variable]]:
        """Trainable variables, and all others.

        Looking through the attributes of every layer takes tens of microseconds a layer: only once for a graph, or if
        asked to `anew`.
        """
        executor = self.executor
        if anew or executor.variables is None:
            executor.variables = self.weights
        trainable = [v for v in executor.variables if v.trainable] if self._trainable else []
        chosen = set(map(id, trainable))
        return trainable, [v for v in executor.variables if id(v) not in chosen]


def _without_list_of_one(structure: Any) -> Any:
    while isinstance(structure, (list, tuple)) and len(structure) == 1:
        structure = structure[0]
    return structure


def _warn_of_names(inputs: Any) -> None:
    for key, tensor in inputs.items() if isinstance(inputs, dict) else ():
        if isinstance(tensor, KerasTensor) and key != tensor.name:
            warnings.warn(
                "When providing `inputs` as a dict, all keys in the dict must match the names of the corresponding "
                f"tensors. Received key '{key}' mapping to value {tensor} which has name '{tensor.name}'. Change the tensor "
                f"name to '{key}' (via `Input(..., name='{key}')`)",
                UserWarning,
                stacklevel=3,
            )


def _default_name(cls: type) -> str | None:
    from ..utils.naming import unique_name

    return unique_name("functional") if cls is Model else None
