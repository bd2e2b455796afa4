# SPDX-License-Identifier: BSD-3-Clause
"""What all layers share: names, weights, building, checks, calls, configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .. import constraints, initializers, regularizers
from ..saving.registry import serialize_keras_object
from ..symbolic import KerasTensor, Node, Shape, flatten, is_symbolic, map_leaves
from ..utils.naming import to_snake_case, unique_name
from ..variables import Variable, weight_supplier
from .arrays import as_float32, checked_lengths, checked_mask, shapes_of
from .building import (
    as_before_on_error,
    dtype_name,
    input_shape_argument,
    noting_shape,
    plain_arguments,
    shape_by_trying,
)
from .call import Call
from .eager import attach_masks, carried_mask, is_training, warn_of_lost_mask
from .frozen import FrozenLayer
from .input_spec import InputSpec
from .keras_call import adopt_call, call_of_forward, forward_of_call
from .properties import LayerProperties, held_in_attributes, own_variables

__all__ = ["Call", "Layer"]

Array = npt.NDArray[Any]
T = TypeVar("T")

_FLOAT32 = np.dtype(np.float32)
#: What `dtype` is in every configuration: lstmfast computes in float32.
_DTYPE_CONFIG = {
    "module": "keras",
    "class_name": "DTypePolicy",
    "config": {"name": "float32"},
    "registered_name": None,
}


class Layer(LayerProperties):
    """Base class of layers. A layer of your own writes `forward` and `backward` in NumPy.

    Parameters
    ----------
    activity_regularizer : str, dict or Regularizer, optional
        Penalty on the output, divided by the batch size and added to the loss.
    trainable : bool
        Whether training changes the weights.
    dtype : str, optional
        Only ``"float32"``.
    name : str, optional
        Unique in a model; made from the class name otherwise.
    input_shape, batch_input_shape, batch_size, input_dim : optional
        The old way to give a Sequential model's input shape with its first layer.

    Raises
    ------
    ValueError, TypeError
        For arguments that no layer knows.

    Examples
    --------
    A layer that multiplies by a learned factor. `build` makes the weights, `forward` keeps in ``call.saved`` what
    `backward` needs, `backward` adds the weights' gradients and returns the input's. One object may be called many
    times before the first `backward`, so nothing of a call belongs into attributes:

    >>> import numpy as np
    >>> from lstmfast.layers import Layer
    >>> from lstmfast.testing import check_gradients
    >>> class Scale(Layer):
    ...     def build(self, input_shape):
    ...         self.factor = self.add_weight((input_shape[-1],), initializer="ones", name="factor")
    ...     def forward(self, x, call):
    ...         call.saved = x
    ...         return x * self.factor.value
    ...     def backward(self, dy, call):
    ...         self.factor.add_grad((dy * call.saved).sum(axis=0))
    ...         return dy * self.factor.value
    >>> layer = Scale()
    >>> layer(np.ones((2, 3)))
    array([[1., 1., 1.],
           [1., 1., 1.]], dtype=float32)
    >>> sorted(check_gradients(layer, np.ones((2, 3))))
    ['scale/factor', 'x']

    It may take the place of any other layer in a model. `compute_output_shape` is found by trying, `compute_mask`
    hands masks on if ``supports_masking = True``; ``get_config`` with the arguments of ``__init__`` makes it savable
    (then `lstmfast.saving.load_model` gets the class in `custom_objects`).
    """

    #: Masks that come in are understood and, by default, handed on.
    supports_masking = False
    #: The input is an array of integers (ids).
    integer_inputs = False
    #: `backward` takes None in place of the gradient of an output that nothing uses.
    accepts_missing_dy = False
    #: The input of `forward` is a list of arrays.
    takes_list = False
    #: It is no layer but what an operator of symbolic tensors does.
    is_operation = False
    #: `Call.resets` means something to it.
    takes_resets = False
    #: Of several inputs all must have a mask for the output to have one; elsewhere one is enough.
    needs_all_masks = False
    _given_arguments: dict[str, Any] = {}  # noqa: RUF012 - never changed in place

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(trainable, (bool, np.bool_)):
            raise ValueError(f"Expected `trainable` to be a boolean. Received: trainable={trainable!r}")
        if dtype is not None and dtype_name(dtype) != "float32":
            raise ValueError(f"dtype={dtype!r} is not supported: lstmfast computes in float32")
        if name is not None and (not isinstance(name, str) or "/" in name or not name):
            raise ValueError(f"Argument `name` must be a string without '/', got {name!r}")
        self._input_shape_arg = input_shape_argument(kwargs)
        kwargs.pop("autocast", None)
        if kwargs:
            raise ValueError(f"Unrecognized keyword arguments passed to {type(self).__name__}: {kwargs}")
        self.name = name if name is not None else unique_name(to_snake_case(type(self).__name__))
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.built = False
        self.input_spec: InputSpec | None = None
        self.inbound_nodes: list[Node] = []
        self._trainable = bool(trainable)
        self._trainable_variables: list[Variable] = []
        self._non_trainable_variables: list[Variable] = []
        self._build_shape: Any = None
        self._packed_weights: tuple[Any, Any] | None = None
        self._call_losses: list[Any] = []  # penalties of the last call with arrays

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        adopt_call(cls)
        if "build" in vars(cls):
            cls.build = noting_shape(cls.build)  # type: ignore[method-assign]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        layer = super().__new__(cls)
        if cls.get_config is Layer.get_config:
            layer._given_arguments = plain_arguments(cls, args, kwargs)
        return layer

    def _build_at_init(self) -> None:
        """Say that nothing is to be built, unless a subclass has a `build` of its own."""
        if type(self).build is Layer.build:
            self.built = True

    # --- what a layer writes

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of this shape (None for axes that may vary)."""
        self.built = True

    def forward(self, x: Any, call: Call) -> Any:
        """The output (or a tuple of them) for `x`; keeps in ``call.saved`` what `backward` needs."""
        raise NotImplementedError(
            f"layer class {type(self).__name__} has no forward(x, call): it does not have a `call` method implemented "
            "either"
        )

    def backward(self, dy: Any, call: Call) -> Any:
        """The gradient of the input; adds those of the weights by `Variable.grad_out` or `add_grad`."""
        raise NotImplementedError(f"layer class {type(self).__name__} has no backward(dy, call)")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of the output for an input shape; found by trying where a layer does not write this."""
        if type(self).forward is Layer.forward:
            raise NotImplementedError(
                f"Layer {type(self).__name__} does not have a `compute_output_shape` method implemented."
            )
        return shape_by_trying(self, input_shape)

    def output_shapes(self, shapes: Any, arguments: dict[str, Any]) -> Any:
        """`compute_output_shape` for a call in a graph, whose further arguments may ask for more outputs."""
        if type(self).compute_output_shape is Layer.compute_output_shape and arguments:
            return shape_by_trying(self, shapes, arguments)
        return self.compute_output_shape(shapes)

    def graph_arguments(self, inputs: Any, kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """(args, kwargs) of a call recorded in a graph, as a configuration describes it."""
        return [inputs], kwargs

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Mask of the output: by default that of the input, for layers that support masking."""
        return mask if self.supports_masking else None

    def output_lengths(self, lengths: Array | None) -> Any:
        """Valid steps of the output's rows, None where it has no time axis any more; of the first of several
        outputs, or a tuple for all.
        """
        return lengths

    def makes_mask(self, has_mask: bool) -> bool | tuple[bool, ...]:
        """Whether the output has a mask if the input has one; a tuple for several outputs."""
        return has_mask and self.supports_masking

    def frozen(self) -> FrozenLayer | None:
        """The layer as an operation of a frozen model; None if it does nothing in inference."""
        raise ValueError(
            f"layer {self.name!r} of class {type(self).__name__} cannot be frozen: it has no native form"
        )

    # --- weights

    def add_weight(
        self,
        shape: Sequence[int] = (),
        initializer: Any = None,
        name: str | None = None,
        trainable: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        dtype: str = "float32",
    ) -> Variable:
        """Make a `Variable` that is a weight of this layer.

        Parameters
        ----------
        shape : sequence of int
        initializer : str, dict, callable or array, optional
            By default Glorot's uniform distribution, zeros for integers.
        name : str, optional
        trainable : bool
        regularizer, constraint : optional
            By name, config or instance.
        dtype : str
        """
        if isinstance(shape, str):
            raise ValueError(f"the name of a weight is a keyword argument, name={shape!r}, got it as `shape`")
        shape = tuple(shape)
        if any(not isinstance(n, (int, np.integer)) or n <= 0 for n in shape):
            raise ValueError(
                f"layer {self.name!r} cannot make weight {name!r} of shape {shape}: every axis must be known "
                "and positive"
            )
        supplier = weight_supplier.get()
        if supplier is not None:
            value = supplier(shape, dtype)
        elif isinstance(initializer, np.ndarray):
            value = initializer
        else:
            default = "glorot_uniform" if np.dtype(dtype or "float32").kind == "f" else "zeros"
            make = initializers.get(default if initializer is None else initializer)
            assert make is not None
            value = make(shape, dtype=dtype)
        variable = Variable(
            value, name or "variable", trainable, regularizers.get(regularizer), constraints.get(constraint)
        )
        if variable.shape != shape:
            raise ValueError(f"initializer of weight {name!r} made shape {variable.shape}, expected {shape}")
        variable.path = f"{self._weight_prefix()}/{variable.name}"
        (self._trainable_variables if trainable else self._non_trainable_variables).append(variable)
        variable.trainable = trainable and self._trainable
        return variable

    def _weight_prefix(self) -> str:
        return self.name

    def _sublayers(self) -> list[Layer]:
        """Layers held in attributes, or in lists, tuples and dicts in attributes."""
        return held_in_attributes(self, Layer)

    @property
    def variables(self) -> list[Variable]:
        """All weights: own trainable ones, own others, then those of layers inside."""
        inside = [variable for layer in self._sublayers() for variable in layer.variables]
        return list(dict.fromkeys([*own_variables(self, inside), *inside]))

    @property
    def weights(self) -> list[Variable]:
        return self.variables

    @property
    def trainable_variables(self) -> list[Variable]:
        """Weights that training changes; empty if the layer is not `trainable`."""
        return [v for v in self.variables if v.trainable] if self._trainable else []

    @property
    def non_trainable_variables(self) -> list[Variable]:
        return [v for v in self.variables if not v.trainable] if self._trainable else self.variables

    trainable_weights = trainable_variables
    non_trainable_weights = non_trainable_variables

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights; setting it also sets layers inside."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for variable in self._trainable_variables:
            variable.trainable = self._trainable
        for layer in self._sublayers():
            layer.trainable = self._trainable

    def get_weights(self) -> list[Array]:
        """Copies of all weights' values, in the order of `weights`."""
        return [v.numpy() for v in self.weights]

    def set_weights(self, weights: Sequence[npt.ArrayLike]) -> None:
        """Set all weights, or none if any array does not fit.

        Raises
        ------
        ValueError
            If the number of arrays or a shape differs.
        TypeError
            If an array is not numeric.
        """
        variables = self.weights
        if len(weights) != len(variables):
            raise ValueError(
                f"You called `set_weights(weights)` on layer '{self.name}' with a weight list of length "
                f"{len(weights)}, but the layer was expecting {len(variables)} weights."
            )
        checked = []
        for variable, value in zip(variables, weights, strict=True):
            shape = np.shape(value)
            if shape != variable.shape:
                raise ValueError(
                    f"Layer {self.name} weight shape {variable.shape} is not compatible with provided weight "
                    f"shape {shape} (weight {variable.path!r})."
                )
            checked.append(variable.check(value))
        for variable, value in zip(variables, checked, strict=True):
            variable.assign(value)

    def count_params(self) -> int:
        """Number of elements of all weights."""
        if not self.built:
            raise ValueError(
                f"You tried to call `count_params` on layer '{self.name}', but the layer isn't built. "
                "You can build it manually via: `layer.build(input_shape)`."
            )
        return sum(v.size for v in self.weights)

    def packed(self, variables: Sequence[Variable | None], pack: Callable[[], T]) -> T:
        """``pack()``, made anew only when one of `variables` has changed."""
        key = [v.version if v is not None else -1 for v in variables]
        cached = self._packed_weights
        if cached is not None and cached[0] == key:
            return cached[1]  # type: ignore[no-any-return]
        made = pack()
        self._packed_weights = (key, made)  # one assignment: threads see the old pair or the new one
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_packed_weights": None}  # derived, and native

    # --- calls

    def __call__(
        self,
        inputs: Any,
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
            Further arguments of layers that write `call`.
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
            If the shape does not fit, or an axis is empty.
        TypeError
            If the input is not numeric.
        """
        if args or kwargs:
            self._check_further_arguments(args, kwargs)
        if is_symbolic(inputs):
            return self.record(inputs, kwargs)
        x = self._convert(inputs)
        self.ensure_built(shapes_of(x))
        self.check_input(x)
        mask = carried_mask(inputs, isinstance(x, list)) if mask is None else self.accepted_mask(mask, x)
        call = Call(is_training(training), mask=mask, lengths=checked_lengths(lengths, x))
        if args or kwargs:
            call.arguments = {"": args, **kwargs}
        return self.run(x, call)

    def accepted_mask(self, mask: Any, x: Any) -> Any:
        """The mask that a caller gave with `x`, (B, T) bool, or a ValueError; a layer's own `call` sees any mask."""
        return (
            map_leaves(np.asarray, mask) if type(self).forward is forward_of_call else checked_mask(mask, x)
        )

    def _check_further_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if is_symbolic([args, kwargs]) and type(self).forward in (Layer.forward, forward_of_call):
            raise ValueError(f"layer {self.name!r} takes one symbolic input: give it a list of them")
        if type(self).forward is not forward_of_call:
            if kwargs:
                raise TypeError(f"layer {self.name!r} got an unexpected argument {next(iter(kwargs))!r}")
            raise TypeError(f"layer {self.name!r} takes one input, got {1 + len(args)} positional arguments")
        for value in args:
            if not isinstance(value, (np.ndarray, list, tuple)):
                raise ValueError(
                    "Only input tensors may be passed as positional arguments. The following argument value should "
                    f"be passed as a keyword argument: {value} (of type {type(value)})"
                )

    def run(self, x: Any, call: Call) -> Any:
        """`forward` in a call with arrays: penalties go to `losses`, and the output takes its mask along."""
        y = self.forward(x, call)
        regularizer = self.activity_regularizer
        if call.penalty and type(self).forward is not forward_of_call:
            self._call_losses = [np.float32(call.penalty)]
        if regularizer is not None:
            added = self._call_losses if type(self).forward is forward_of_call else []
            outputs = y if isinstance(y, (list, tuple)) else [y]
            self._call_losses = [*added, *(np.float32(regularizer(a)) / max(len(a), 1) for a in outputs)]
        mask = call.mask
        if isinstance(mask, list) and all(m is None for m in mask):
            mask = None
        if mask is None and call.output_mask is None and self.makes_mask(False) is not True:
            return y
        if mask is not None and not self.supports_masking and type(self).compute_mask is Layer.compute_mask:
            warn_of_lost_mask(self, stacklevel=3)
            return y
        made = self.compute_mask(x, mask) if call.output_mask is None else call.output_mask
        return y if made is None else attach_masks(y, made)

    def call(self, inputs: Any, **kwargs: Any) -> Any:
        """Keras's name for what a layer computes. A layer of your own may write it, in NumPy, instead of `forward`:
        such a layer runs, and trains if it also writes `backward`. Here it is the computation of the class that
        is subclassed, for ``super().call(x)``.

        Parameters
        ----------
        inputs : numpy.ndarray, or a list of them
        **kwargs
            ``training``, ``mask``, ``initial_state``, and what the layer's calls take besides.

        Raises
        ------
        NotImplementedError
            If no class writes it.
        """
        return call_of_forward(self, inputs, kwargs)

    def record(self, inputs: Any, kwargs: dict[str, Any]) -> Any:
        """Add a node to the graph and return the symbolic output."""
        shapes = map_leaves(lambda t: t.shape, inputs)
        self.ensure_built(shapes)
        self.check_shapes(shapes)
        has_masks = [t.has_mask for t in flatten(inputs) if isinstance(t, KerasTensor)]
        if any(has_masks) and not self.supports_masking and type(self).compute_mask is Layer.compute_mask:
            warn_of_lost_mask(self, stacklevel=3)
        out_shapes = self.output_shapes(shapes, kwargs)
        several = bool(out_shapes) and isinstance(out_shapes[0], (tuple, list))
        flat: list[Shape] = list(out_shapes) if several else [out_shapes]
        makes = self.makes_mask(all(has_masks) if self.needs_all_masks else any(has_masks))
        masks = makes if isinstance(makes, tuple) else (makes,) + (False,) * (len(flat) - 1)
        outputs = [
            KerasTensor(tuple(shape), name=unique_name("keras_tensor"), has_mask=masked)
            for shape, masked in zip(flat, masks, strict=True)
        ]
        Node(self, inputs, kwargs, outputs)
        return outputs if several else outputs[0]

    def _convert(self, inputs: Any) -> Any:
        if type(inputs) is np.ndarray and inputs.dtype == _FLOAT32 and inputs.flags.c_contiguous:
            return inputs
        if isinstance(inputs, (list, tuple)) and type(self).forward is forward_of_call:
            several = any(isinstance(array, np.ndarray) for array in inputs)
            return [self._convert(array) for array in inputs] if several else as_float32(inputs, self.name)
        return as_float32(inputs, f"inputs of layer {self.name!r}")

    def ensure_built(self, shapes: Any) -> None:
        """`build` for these shapes if that was not done; a failed build leaves no weights behind."""
        if self.built:
            return
        self.check_shapes(shapes)
        with as_before_on_error(self):
            self.build(shapes)
        self.built = True
        self._build_shape = shapes

    def check_input(self, x: Any) -> None:
        """Raise a ValueError if arrays do not fit the layer."""
        self.check_shapes(shapes_of(x))
        for array in x if isinstance(x, (list, tuple)) else (x,):
            if array.size == 0:
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

    # --- graph and configuration

    def get_config(self) -> dict[str, Any]:
        """Arguments that make the same layer with `from_config`, equal to Keras 3's.

        A class that does not write this gets the arguments of its ``__init__``, if they are strings, numbers, flags,
        None, or lists and dicts of such; the class must hand ``**kwargs`` on to `Layer`.
        """
        config: dict[str, Any] = {
            "name": self.name,
            "trainable": self._trainable,
            "dtype": {**_DTYPE_CONFIG, "config": {"name": "float32"}},
        }
        config |= self._given_arguments
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = serialize_keras_object(self.activity_regularizer)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        """The layer that a configuration from `get_config` describes; its weights are new."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"
