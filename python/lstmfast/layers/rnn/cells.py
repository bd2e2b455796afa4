# SPDX-License-Identifier: BSD-3-Clause
"""One step of a recurrent network: the built-in cells, and stacks of cells (see `cell_protocol`)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...saving.registry import deserialize_keras_object, serialize_keras_object
from ...symbolic import flatten, is_symbolic
from ...utils.naming import to_snake_case
from ..arguments import own_arguments
from ..arrays import as_float32
from ..base import Layer
from ..call import Call
from ..eager import is_training
from .cell_protocol import (
    check_cell,
    flat_sizes,
    initial_state,
    nest,
    numbered_children,
    output_size,
    prefix_paths,
    split_states,
    zero_state,
)
from .gru import GRU
from .lstm import LSTM
from .recurrent import RecurrentLayer
from .simple_rnn import SimpleRNN

__all__ = ["GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"]

Array = npt.NDArray[Any]

#: Arguments of a sequence layer that are none of its cell's.
_OF_THE_SEQUENCE = frozenset(
    ["return_sequences", "return_state", "go_backwards", "stateful", "unroll", "zero_output_for_mask"]
)
_WEIGHTS = frozenset(["kernel", "recurrent_kernel", "bias"])


class _Cell(Layer):
    """What built-in cells and stacks share: a call of one step with arrays."""

    state_size: Any
    output_size: int

    def __call__(self, inputs: Any, states: Any, *, training: bool | None = None) -> Any:  # type: ignore[override]
        """One step.

        Parameters
        ----------
        inputs : (B, n) array_like
        states : list of (B, size) array_like, nested as `state_size`
            A single array for a cell with one state.
        training : bool, optional
            Dropout is on.

        Returns
        -------
        (numpy.ndarray, list of numpy.ndarray)
            The output and the new states; these as `states` were given.

        Raises
        ------
        ValueError
            If a shape does not fit.
        """
        if is_symbolic([inputs, states]):
            y, new = self.step_in_graph(inputs, self._symbolic_states(inputs, states), training)
            return self._packed(y, new, states)
        x = self._convert(inputs)
        if x.ndim != 2:
            raise ValueError(
                f"inputs of cell {self.name!r} must be one step, (batch, features), got shape {x.shape}"
            )
        self.ensure_built(x.shape)
        sizes = flat_sizes(self.state_size)
        given = flatten(states)
        if len(given) != len(sizes):
            raise ValueError(f"states of cell {self.name!r} must be {len(sizes)} arrays, got {len(given)}")
        arrays = [as_float32(s, f"states[{k}] of cell {self.name!r}") for k, s in enumerate(given)]
        for k, (array, size) in enumerate(zip(arrays, sizes, strict=True)):
            if array.shape != (len(x), size):
                raise ValueError(
                    f"states[{k}] of cell {self.name!r} must have shape {(len(x), size)}, got {array.shape}"
                )
        y, new = self.forward(x, arrays, Call(is_training(training)))
        return self._packed(y, new, states)

    def _symbolic_states(self, inputs: Any, states: Any) -> list[Any]:
        """The states in a list, checked."""
        if not is_symbolic(inputs) or len(inputs.shape) != 2:
            raise ValueError(
                f"inputs of cell {self.name!r} must be one step, (batch, features), and symbolic where the states are, got "
                f"{inputs!r}"
            )
        sizes, given = flat_sizes(self.state_size), flatten(states)
        if len(given) != len(sizes) or any(
            tuple(state.shape[1:]) != (size,) for state, size in zip(given, sizes, strict=True)
        ):
            raise ValueError(f"states of cell {self.name!r} must be tensors of sizes {sizes}, got {given}")
        return given

    def step_in_graph(self, x: Any, states: list[Any], training: bool | None) -> tuple[Any, list[Any]]:
        """One step of symbolic tensors: the output and the new states."""
        raise ValueError(f"cell {self.name!r} takes arrays: use RNN(cell) in a graph")

    def _packed(self, y: Any, new: list[Any], states: Any) -> tuple[Any, Any]:
        """Output and new states, these as `states` were given."""
        if isinstance(self.state_size, int):
            return y, new if isinstance(states, (list, tuple)) else new[0]
        return y, nest(new, self.state_size)

    def get_initial_state(self, batch_size: int | None) -> list[Any]:
        """Zeros for each state."""
        sizes = [self.state_size] if isinstance(self.state_size, int) else self.state_size
        return [zero_state(batch_size, (size,)) for size in sizes]

    def forward(self, x: Array, states: Sequence[Array], call: Call) -> Any:  # type: ignore[override]
        raise NotImplementedError

    def backward(self, dy: Array, dstates: Sequence[Array], call: Call) -> Any:  # type: ignore[override]
        raise NotImplementedError


class _BuiltInCell(_Cell):
    """A cell with native kernels. The weights belong to `_template`, a sequence layer that runs the single steps;
    `sequence_layer` gives others that share them.
    """

    layer_class: ClassVar[type[RecurrentLayer]]

    def __init__(self, arguments: dict[str, Any], kwargs: dict[str, Any]) -> None:
        wrong = sorted(_OF_THE_SEQUENCE & kwargs.keys())
        if wrong:
            raise ValueError(f"Unrecognized keyword arguments passed to {type(self).__name__}: {wrong}")
        inner = {key: kwargs.pop(key) for key in ("implementation",) if key in kwargs}
        super().__init__(**kwargs)
        self._template = self.layer_class(
            **arguments, **inner, return_sequences=True, return_state=True, name=self.name
        )
        self._template.trainable = self.trainable
        sizes = self._template.state_size
        self.state_size = sizes[0] if len(sizes) == 1 else list(sizes)
        self.output_size = self._template.output_size

    def step_in_graph(self, x: Any, states: list[Any], training: bool | None) -> tuple[Any, list[Any]]:
        """A sequence of one step of the layer with the same weights."""
        from ... import ops  # which are not loaded for nothing

        self.ensure_built(tuple(x.shape))
        y, *new = self._template(ops.expand_dims(x, 1), initial_state=states, training=training)
        return ops.squeeze(y, 1), new

    @staticmethod
    def of(layer: RecurrentLayer) -> _BuiltInCell:
        """The cell of a sequence layer, which has that one's weights and generator of random numbers."""
        kind = next(cls for cls in (LSTMCell, GRUCell, SimpleRNNCell) if isinstance(layer, cls.layer_class))
        cell = kind(layer.units, seed=0, name=to_snake_case(kind.__name__))  # a seed, or one would be drawn
        template = copy.copy(layer)
        template.inbound_nodes, template.return_sequences, template.return_state = [], True, True
        template.go_backwards = template.stateful = template.zero_output_for_mask = False
        template.activity_regularizer = None
        cell._template, cell._trainable = template, layer.trainable
        cell.state_size = layer.state_size[0] if layer.n_states == 1 else list(layer.state_size)
        cell.output_size, cell.built = layer.output_size, layer.built
        return cell

    def __getattr__(self, name: str) -> Any:
        # Arguments and weights, under Keras's names.
        template = self.__dict__.get("_template")
        if template is not None and (
            name in _WEIGHTS or name == "seed_generator" or name in _cell_config(template)
        ):
            return getattr(template, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def build(self, input_shape: Any) -> None:
        self._template.ensure_built((input_shape[0], None, input_shape[-1]))
        for variable in self._template.weights:
            variable.path = f"{self.name}/{variable.name}"
            variable.trainable = variable.trainable and self._trainable
        self.built = True

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.output_size)

    def sequence_layer(self, **options: Any) -> RecurrentLayer:
        """A layer over whole sequences with this (built) cell's weights, which it does not own."""
        layer = copy.copy(self._template)
        layer._trainable_variables, layer._non_trainable_variables, layer.inbound_nodes = [], [], []
        for option, value in options.items():
            setattr(layer, option, value)
        return layer

    def forward(self, x: Array, states: Sequence[Array], call: Call) -> tuple[Array, list[Array]]:  # type: ignore[override]
        inner = Call(
            call.training,
            call.save,
            True,
            initial_state=tuple(np.ascontiguousarray(s, np.float32) for s in states),
            rng=call.given_rng,
        )
        y, *new = self._template.forward(x[:, None], inner)
        if call.save:
            call.saved = inner
        return y[:, 0], new

    def backward(self, dy: Array, dstates: Sequence[Array], call: Call) -> tuple[Array, list[Array]]:  # type: ignore[override]
        inner = call.saved
        dx = self._template.backward((np.asarray(dy)[:, None], *dstates), inner)
        assert dx is not None
        return dx[:, 0], list(inner.d_initial_state)

    def keras_children(self) -> list[tuple[str, Layer]]:
        """None: in Keras's weight files the weights are the cell's own."""
        return []

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **_cell_config(self._template)}


class LSTMCell(_BuiltInCell):
    """One step of `LSTM`.

    Parameters
    ----------
    units, activation, recurrent_activation, use_bias, kernel_initializer, recurrent_initializer,
    bias_initializer, unit_forget_bias, kernel_regularizer, recurrent_regularizer, bias_regularizer,
    kernel_constraint, recurrent_constraint, bias_constraint, dropout, recurrent_dropout, seed, peephole,
    projection, layer_norm, **kwargs
        As in `LSTM`. Called alone, a step draws dropout masks of its own; `RNN` uses one for all steps.

    Notes
    -----
    States: h and c. Weights: as in `LSTM`. An `RNN` of this cell, or of a stack of such, is as fast as `LSTM`.

    Raises
    ------
    ValueError
        If an argument or a shape is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import LSTMCell
    >>> cell = LSTMCell(4)
    >>> y, (h, c) = cell(np.zeros((2, 3)), cell.get_initial_state(2))
    >>> y.shape, h.shape, c.shape
    ((2, 4), (2, 4), (2, 4))
    """

    layer_class = LSTM

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        *,
        peephole: bool = False,
        projection: int | None = None,
        layer_norm: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(own_arguments(locals()), kwargs)


class GRUCell(_BuiltInCell):
    """One step of `GRU`.

    Parameters
    ----------
    units, activation, recurrent_activation, use_bias, kernel_initializer, recurrent_initializer,
    bias_initializer, kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint,
    recurrent_constraint, bias_constraint, dropout, recurrent_dropout, reset_after, seed, **kwargs
        As in `GRU`. Called alone, a step draws dropout masks of its own; `RNN` uses one for all steps.

    Notes
    -----
    One state, which is the output. Weights: as in `GRU`.

    Raises
    ------
    ValueError
        If an argument or a shape is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import GRUCell
    >>> cell = GRUCell(4)
    >>> y, states = cell(np.zeros((2, 3)), cell.get_initial_state(2))
    >>> y.shape, len(states)
    ((2, 4), 1)
    """

    layer_class = GRU

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reset_after: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(own_arguments(locals()), kwargs)


class SimpleRNNCell(_BuiltInCell):
    """One step of `SimpleRNN`.

    Parameters
    ----------
    units, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
    kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint, recurrent_constraint,
    bias_constraint, dropout, recurrent_dropout, seed, **kwargs
        As in `SimpleRNN`. Called alone, a step draws dropout masks of its own; `RNN` uses one for all steps.

    Notes
    -----
    One state, which is the output. Weights: as in `SimpleRNN`.

    Raises
    ------
    ValueError
        If an argument or a shape is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import SimpleRNNCell
    >>> cell = SimpleRNNCell(4)
    >>> cell(np.zeros((2, 3)), cell.get_initial_state(2))[0].shape
    (2, 4)
    """

    layer_class = SimpleRNN

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(own_arguments(locals()), kwargs)


class StackedRNNCells(_Cell):
    """Cells on top of one another as one cell: each takes the output of the one before.

    Parameters
    ----------
    cells : list of cells
    **kwargs
        See `Layer`.

    Notes
    -----
    `state_size` and states are lists, one entry a cell. The weights are those of the cells, in order.

    Raises
    ------
    ValueError
        If `cells` is empty or one of them lacks `state_size`, `forward` or `backward`.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import RNN, GRUCell, LSTMCell, StackedRNNCells
    >>> RNN(StackedRNNCells([LSTMCell(4), GRUCell(5)]))(np.zeros((2, 6, 3))).shape
    (2, 5)
    """

    def __init__(self, cells: Sequence[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cells = list(cells)
        if not self.cells:
            raise ValueError("Argument `cells` must hold at least one cell, got none")
        for cell in self.cells:
            check_cell(cell, "cells")

    @property
    def state_size(self) -> list[Any]:
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> int:  # type: ignore[override]
        return output_size(self.cells[-1])

    def build(self, input_shape: Any) -> None:
        for cell in self.cells:
            if isinstance(cell, Layer) and not cell.built:
                cell.ensure_built(input_shape)
                prefix_paths(cell, self.name)
            input_shape = (input_shape[0], output_size(cell))
        self.built = True

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.output_size)

    def get_initial_state(self, batch_size: int | None) -> list[Any]:
        """A list of states for each cell."""
        return [initial_state(cell, batch_size) for cell in self.cells]

    def step_in_graph(self, x: Any, states: list[Any], training: bool | None) -> tuple[Any, list[Any]]:
        """A step of each cell, lowest first."""
        self.ensure_built(tuple(x.shape))
        made: list[Any] = []
        for cell, part in zip(self.cells, split_states(self.cells, states), strict=True):
            if isinstance(cell, _Cell):
                x, new = cell.step_in_graph(x, list(part), training)
            else:
                x, new = cell(x, list(part))
            made += flatten(new)
        return x, made

    def forward(self, x: Array, states: Sequence[Array], call: Call) -> tuple[Array, list[Array]]:  # type: ignore[override]
        calls, new = [], []
        for cell, part in zip(self.cells, split_states(self.cells, states), strict=True):
            inner = Call(call.training, call.save, True, rng=call.given_rng)
            x, after = cell.forward(x, list(part), inner)
            call.take_losses(inner)
            new += flatten(after)
            calls.append(inner)
        if call.save:
            call.saved = calls
        return x, new

    def backward(self, dy: Array, dstates: Sequence[Array], call: Call) -> tuple[Array, list[Array]]:  # type: ignore[override]
        before: list[list[Array]] = []
        parts = split_states(self.cells, dstates)
        for cell, part, inner in zip(self.cells[::-1], parts[::-1], call.saved[::-1], strict=True):
            dy, d_before = cell.backward(dy, list(part), inner)
            before.insert(0, flatten(d_before))
        return dy, [d for part in before for d in part]

    def keras_children(self) -> list[tuple[str, Layer]]:
        """Where Keras's weight files put the cells."""
        return numbered_children("cells", self.cells)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cells": [serialize_keras_object(cell) for cell in self.cells]}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> StackedRNNCells:
        cells = [deserialize_keras_object(cell, custom_objects) for cell in config["cells"]]
        return cls(**{**config, "cells": cells})


def flat_cells(cell: Any) -> list[Any]:
    """The cells of nested stacks, lowest first; a stack with a step of its own stays whole."""
    if type(cell) is StackedRNNCells:
        return [inner for part in cell.cells for inner in flat_cells(part)]
    return [cell]


def _cell_config(layer: RecurrentLayer) -> dict[str, Any]:
    """The part of a sequence layer's configuration that is its cell's."""
    not_own = {"name", "trainable", "dtype", "activity_regularizer", *_OF_THE_SEQUENCE}
    config = {key: value for key, value in layer.get_config().items() if key not in not_own}
    return {**config, "seed": layer.seed}
