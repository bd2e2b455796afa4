# SPDX-License-Identifier: BSD-3-Clause
"""Calls of layers: arguments are checked, weights made at the first call, masks carried on, graphs recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..symbolic import (
    KerasTensor,
    Node,
    Shape,
    current_trace,
    flat_shapes,
    flatten,
    is_shape,
    is_symbolic,
    map_leaves,
    map_shapes,
    packed,
)
from ..utils.naming import unique_name
from .arrays import as_float32, checked_lengths, checked_mask, checked_resets, shapes_of
from .building import as_before_on_error
from .call import Call
from .eager import attach_masks, carried_mask, in_trace, is_training, said_in_graph, warn_of_lost_mask
from .input_spec import InputSpec
from .keras_call import (
    add_penalty,
    first_argument,
    forward_of_call,
    makes_own_mask,
    shapes_by_name,
    writes_mask,
)
from .weights import LayerWeights

__all__ = ["LayerCalls", "run_sequences"]

Array = npt.NDArray[Any]

_FLOAT32 = np.dtype(np.float32)
_MISSING: Any = object()


class LayerCalls(LayerWeights):
    """The part of `Layer` that stands between a caller and `forward`."""

    input_spec: InputSpec | None
    activity_regularizer: Any

    def __call__(
        self: Any,
        inputs: Any = _MISSING,
        *args: Any,
        training: bool | None = None,
        mask: Any = None,
        lengths: Any = None,
        **kwargs: Any,
    ) -> Any:
        """The layer as a function of arrays; or, of symbolic tensors, a node in a graph.

        Parameters
        ----------
        inputs : array_like, or list of them for layers that merge
        *args, **kwargs
            Further arguments of layers that write `call`, whose names the first may have too. Shapes of arrays among
            them go to a `build` that takes several (``build(self, a_shape, b_shape)``), and masks that come with them
            to arguments ``a_mask``, ``b_mask``.
        training : bool, optional
            By default that of the layer in whose `call` this is called, else False.
        mask : (B, T) bool array, optional
            By default the one that came with the input, if a layer made it.
        lengths : (B,) int array, optional
            Valid steps of right-padded rows.

        Returns
        -------
        numpy.ndarray, or a tuple of them
            With a mask for the next layer, if there is one.

        Raises
        ------
        ValueError
            If the shape does not fit, or an axis other than the first is empty.
        TypeError
            If the input is not numeric.
        """
        if inputs is _MISSING:
            inputs = first_argument(self, kwargs)
        if args or kwargs:
            self._check_further_arguments(args, kwargs)
        inputs = in_trace(inputs, training, mask, lengths)
        if is_symbolic([inputs, args, kwargs]):
            further = {"": args, **kwargs} if args else kwargs
            return self.record(inputs, {**further, **said_in_graph(training, mask)})
        x = self._convert(inputs)
        if not self.built and type(self).forward is forward_of_call:
            self.ensure_built(shapes_of(x), shapes_by_name(self, x, args, kwargs))
        self.ensure_built(shapes_of(x))
        self.check_input(x)
        several = isinstance(x, (list, tuple, dict))
        mask = carried_mask(inputs, several) if mask is None else self.accepted_mask(mask, x)
        call = Call(is_training(training), mask=mask, lengths=checked_lengths(lengths, x))
        if args or kwargs:
            call.arguments = {"": args, **kwargs}
        return self.run(x, call)

    def accepted_mask(self: Any, mask: Any, x: Any) -> Any:
        """The mask that a caller gave with `x`, (B, T) bool, or a ValueError; a layer's own `call` sees any mask."""
        return (
            map_leaves(np.asarray, mask) if type(self).forward is forward_of_call else checked_mask(mask, x)
        )

    def _check_further_arguments(self: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if is_symbolic([args, kwargs]) and type(self).forward is not forward_of_call:
            raise ValueError(f"layer {self.name!r} takes one symbolic input: give it a list of them")
        if type(self).forward is not forward_of_call:
            if kwargs:
                raise TypeError(f"layer {self.name!r} got an unexpected argument {next(iter(kwargs))!r}")
            raise TypeError(f"layer {self.name!r} takes one input, got {1 + len(args)} positional arguments")
        for value in args:
            if not isinstance(value, (np.ndarray, KerasTensor, list, tuple, dict)):
                raise ValueError(
                    "Only input tensors may be passed as positional arguments. The following argument value should "
                    f"be passed as a keyword argument: {value} (of type {type(value)})"
                )

    def run(self: Any, x: Any, call: Call) -> Any:
        """`forward` in a call with arrays: penalties go to `losses`, and the output takes its mask along."""
        if current_trace.get() is not None:
            raise ValueError(f"layer {self.name!r} is called with arrays only")
        if _has_no_rows(x) and type(self).forward is not forward_of_call:
            return _no_rows(self, x, call.arguments)
        y = self.forward(x, call)
        regularizer = self.activity_regularizer
        if call.penalty and type(self).forward is not forward_of_call:
            self._call_losses = [np.float32(call.penalty)]
        if regularizer is not None:
            added = self._call_losses if call.penalty or type(self).forward is forward_of_call else []
            outputs = y if isinstance(y, (list, tuple)) else [y]
            penalties = [np.float32(regularizer(a)) / max(len(a), 1) for a in outputs]
            self._call_losses = [*added, *penalties]
            add_penalty(float(sum(penalties)))
        if call.penalty:
            add_penalty(call.penalty)
        mask = call.mask
        if isinstance(mask, list) and all(m is None for m in mask):
            mask = None
        makes = self.makes_mask(False) is True or writes_mask(self)
        if mask is None and call.output_mask is None and not makes:
            return y
        if mask is not None and self._loses_masks():
            warn_of_lost_mask(self, stacklevel=3)
            return y
        made = self.compute_mask(x, mask) if call.output_mask is None else call.output_mask
        return y if made is None else attach_masks(y, made)

    def record(self: Any, inputs: Any, kwargs: dict[str, Any]) -> Any:
        """Add a node to the graph and return the symbolic output."""
        shapes = map_leaves(lambda t: t.shape, inputs)
        if not self.built and type(self).forward is forward_of_call:
            arguments = dict(kwargs)
            self.ensure_built(shapes, shapes_by_name(self, inputs, arguments.pop("", ()), arguments))
        self.ensure_built(shapes)
        self.check_shapes(shapes)
        has_masks = [t.has_mask for t in flatten(inputs) if isinstance(t, KerasTensor)]
        if kwargs.get("mask") is not None:
            has_masks = [True]
        if any(has_masks) and self._loses_masks():
            warn_of_lost_mask(self, stacklevel=3)
        out_shapes = self.output_shapes(shapes, kwargs)
        if not any(has_masks) and makes_own_mask(self, inputs):
            self._has_own_mask = True
        several = not is_shape(out_shapes)
        flat: list[Shape] = flat_shapes(out_shapes)
        listed = not several or (not isinstance(out_shapes, dict) and all(map(is_shape, out_shapes)))
        makes = self.makes_mask(all(has_masks) if self.needs_all_masks else any(has_masks))
        masks = makes if isinstance(makes, tuple) else (makes,) + (False,) * (len(flat) - 1)
        outputs = [
            KerasTensor(tuple(shape), dtype, unique_name("keras_tensor"), masked)
            for shape, dtype, masked in zip(flat, self._output_dtypes(len(flat)), masks, strict=True)
        ]
        if not several:
            Node(self, inputs, kwargs, outputs)
            return outputs[0]
        if listed:
            Node(self, inputs, kwargs, outputs)
            return outputs
        structure = packed(map_shapes(lambda _: 0, out_shapes), outputs)
        Node(self, inputs, kwargs, outputs, structure)
        return structure

    def _output_dtypes(self: Any, count: int) -> list[str]:
        """Types of the outputs of a call in a graph."""
        return ["int64" if self.makes_integers else "float32"] * count

    def _convert(self: Any, inputs: Any) -> Any:
        if type(inputs) is np.ndarray and inputs.dtype == _FLOAT32 and inputs.flags.c_contiguous:
            return inputs
        if isinstance(inputs, dict) and not type(self).__module__.startswith("lstmfast."):
            return {key: self._convert(array) for key, array in inputs.items()}
        if isinstance(inputs, (list, tuple)) and type(self).forward is forward_of_call:
            several = any(isinstance(array, (np.ndarray, list, tuple, dict)) for array in inputs)
            several = several and any(isinstance(array, np.ndarray) for array in flatten(inputs))
            converted = (self._convert(array) for array in inputs)
            return type(inputs)(converted) if several else as_float32(inputs, self.name)
        if (
            isinstance(inputs, np.ndarray)
            and inputs.dtype.kind in "iub"
            and type(self).forward is forward_of_call
        ):
            return (
                np.ascontiguousarray(inputs) if inputs.ndim else inputs
            )  # its `call` may take them for indices
        return as_float32(inputs, f"inputs of layer {self.name!r}")

    def ensure_built(self: Any, shapes: Any, by_name: dict[str, Any] | None = None) -> None:
        """`build` for these shapes if that was not done; a failed build leaves no weights behind."""
        if self.built:
            return
        self.check_shapes(shapes)
        with as_before_on_error(self):
            if by_name is None:
                self.build(shapes)
            else:
                self.build(**by_name)
        self.built = True
        self._build_shape = shapes if by_name is None else {"shapes_dict": by_name}

    def check_input(self: Any, x: Any) -> None:
        """Raise a ValueError if arrays do not fit the layer."""
        self.check_shapes(shapes_of(x))
        for array in _arrays_of(x):
            if array.size == 0 and type(self).forward is not forward_of_call and not _has_no_rows(x):
                raise ValueError(
                    f"inputs of layer {self.name!r} must not be empty, got an array of shape {array.shape}"
                )

    def check_shapes(self, shapes: Any) -> None:
        """Raise a ValueError if shapes do not fit the layer's `input_spec`."""
        specs: Any = self.input_spec
        if isinstance(specs, (list, tuple)):
            if len(specs) != len(shapes) or not isinstance(shapes[0], (list, tuple)):
                raise ValueError(f"Layer '{self.name}' expects {len(specs)} inputs, got shapes {shapes}")
            for spec, shape in zip(specs, shapes, strict=True):
                if spec is not None:
                    spec.check(shape, self.name)
        elif specs is not None:
            specs.check(shapes, self.name)

    def check_values(self, x: Array) -> None:
        """Raise a ValueError if values of a whole data set will not do; `fit` asks before the first step."""


def _arrays_of(x: Any) -> list[Any]:
    return flatten(x) if isinstance(x, (list, tuple, dict)) else [x]


def _has_no_rows(x: Any) -> bool:
    """Whether a call is one with a batch of size 0, of numbers that are not missing along another axis too."""
    return all(
        array.ndim > 1 and not len(array) and 0 not in array.shape[1:] and array.dtype.kind in "fiub"
        for array in _arrays_of(x)
    )


def _no_rows(layer: Any, x: Any, arguments: dict[str, Any]) -> Any:
    """The output for a batch of size 0, which no `forward` need know."""
    shapes = map_shapes(lambda shape: (None, *shape[1:]), shapes_of(x))
    dtype = np.int64 if layer.makes_integers else np.float32
    return map_shapes(lambda shape: np.zeros((0, *shape[1:]), dtype), layer.output_shapes(shapes, arguments))


def run_sequences(
    layer: Any, sequences: Any, initial_state: Any, mask: Any, training: Any, lengths: Any, resets: Any
) -> Any:
    """A layer with states called with arrays, after all arguments have been checked."""
    x = layer._convert(sequences)
    layer.ensure_built(x.shape)
    layer.check_input(x)
    carried = carried_mask(sequences) if mask is None else None
    call = Call(
        is_training(training),
        mask=carried if initial_state is None and carried is not None else checked_mask(mask, x),
        lengths=checked_lengths(lengths, x),
        resets=checked_resets(resets, x),
    )
    if initial_state is not None:
        call.initial_state = layer._checked_state(initial_state, len(x))
        if carried is not None:  # as in Keras: not seen with states given, but handed on
            call.output_mask = layer.compute_mask(x, carried)
    return layer.run(x, call)
