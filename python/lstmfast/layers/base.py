# SPDX-License-Identifier: BSD-3-Clause
"""What all layers share: names, the methods that a layer writes, configuration. Their weights are in `weights.py`, calls
in `calling.py`, questions about them in `properties.py`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .. import regularizers
from ..saving.registry import serialize_keras_object
from ..symbolic import Node
from ..utils.naming import to_snake_case, unique_name
from ..variables import Variable
from .attributes import held_in_attributes
from .building import (
    dtype_name,
    input_shape_argument,
    noting_shape,
    plain_arguments,
    shape_by_name,
    shape_by_spec,
    shape_by_trying,
)
from .call import Call
from .calling import LayerCalls
from .frozen import FrozenGraph, FrozenLayer
from .input_spec import InputSpec
from .keras_call import adopt_call, call_of_forward, forward_of_call, has_traces

__all__ = ["Call", "Layer"]

Array = npt.NDArray[Any]
#: What `dtype` is in every configuration: lstmfast computes in float32.
_DTYPE_CONFIG = {
    "module": "keras",
    "class_name": "DTypePolicy",
    "config": {"name": "float32"},
    "registered_name": None,
}


class Layer(LayerCalls):
    """Base class of layers. A layer of your own writes `forward` and `backward` in NumPy; or `call`, of other layers.

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
    hands masks on if ``supports_masking = True``, and a `compute_mask` of its own is asked in any case; ``get_config``
    with the arguments of ``__init__`` makes it savable (then `lstmfast.saving.load_model` gets the class in `custom_objects`).
    """

    #: Masks that come in are understood and, by default, handed on.
    supports_masking = False
    #: The input is an array of integers (ids).
    integer_inputs = False
    #: The input is an array of strings, which `integer_inputs` layers get as it is.
    string_inputs = False
    #: The output is an array of integers, or of strings.
    makes_integers = False
    #: `backward` takes None in place of the gradient of an output that nothing uses.
    accepts_missing_dy = False
    #: `backward` may give a gradient: something that comes out depends continuously on what goes in.
    passes_gradients = True
    #: One of `lstmfast.ops`, which no model counts among its layers.
    is_operation = False
    #: The input of `forward` is a list of arrays.
    takes_list = False
    #: It is no layer but what an operator of symbolic tensors does.
    is_operation = False
    #: `Call.resets` means something to it.
    takes_resets = False
    #: Of several inputs all must have a mask for the output to have one; elsewhere one is enough.
    needs_all_masks = False
    _has_own_mask = False  # of a `call` that makes one
    #: Methods by which subclasses of Keras's layer change what it does, and would not here.
    _never_called: ClassVar[tuple[str, ...]] = ()
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
        for method in cls._never_called:
            if method in vars(cls) and "call" not in vars(cls):
                raise TypeError(
                    f"class {cls.__name__} writes {method}, which nothing here calls, other than in Keras: what goes on inside "
                    f"{cls.__mro__[1].__name__} is one native operation. Write `call`, of layers and `lstmfast.ops`, in a Layer"
                )
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
        if type(self).compute_output_spec is not Layer.compute_output_spec:
            try:
                return shape_by_spec(self, shapes, arguments)
            except NotImplementedError:  # it says that it cannot
                pass
        tried = type(self).compute_output_shape is Layer.compute_output_shape
        arguments = {key: value for key, value in arguments.items() if key not in ("training", "mask")}
        if (tried and arguments) or (has_traces(self) and not all(part.built for part in self._sublayers())):
            made = shape_by_trying(self, shapes, arguments)  # which also builds the layers inside
            if tried:
                return made
        return shape_by_name(self, shapes, arguments) if arguments else self.compute_output_shape(shapes)

    def takes_ids(self, arguments: dict[str, Any]) -> bool:
        """Whether the input of a call with these further arguments is an array of integers."""
        return self.integer_inputs

    def graph_arguments(self, inputs: Any, kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """(args, kwargs) of a call recorded in a graph, as a configuration describes it."""
        return [inputs, *kwargs.get("", ())], {key: value for key, value in kwargs.items() if key}

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Mask of the output: by default that of the input, for layers that support masking."""
        return mask if self.supports_masking else None

    def output_lengths(self, lengths: Array | None) -> Any:
        """Valid steps of the output's rows, None where it has no time axis any more; of the first of several
        outputs, or a tuple for all.
        """
        return lengths

    def _loses_masks(self) -> bool:
        """Whether a mask that comes in goes nowhere."""
        return not self.supports_masking and type(self).compute_mask is Layer.compute_mask

    @classmethod
    def _writes_forward(cls) -> bool:
        """Whether there is a `forward` that does not stand for a `call`."""
        return cls.forward not in (Layer.forward, forward_of_call)

    def makes_mask(self, has_mask: bool) -> bool | tuple[bool, ...]:
        """Whether the output has a mask if the input has one; a tuple for several outputs."""
        return (has_mask and self.supports_masking) or self._has_own_mask

    def frozen(self) -> FrozenLayer | None:
        """The layer as an operation of a frozen model; None if it does nothing in inference."""
        raise ValueError(
            f"layer {self.name!r} of class {type(self).__name__} cannot be frozen: it has no native form"
        )

    def frozen_call(self, node: Node, inputs: list[Any]) -> FrozenLayer | FrozenGraph | None:
        """`frozen` for one call in a graph; `inputs` has an array in the place of a symbolic tensor that is constant."""
        if any(isinstance(x, np.ndarray) for x in inputs):
            raise ValueError(f"layer {self.name!r} cannot be frozen: a constant is among its inputs")
        return self.frozen()

    def call(self, inputs: Any, **kwargs: Any) -> Any:
        """Keras's name for what a layer computes. A layer of your own may write it instead of `forward`. It trains if it
        only composes other layers and `lstmfast.ops`; one in NumPy runs, and trains if it also writes `backward`. Here
        it is the computation of the class that is subclassed, for ``super().call(x)``.

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

    # --- parts and configuration

    def _sublayers(self) -> list[Layer]:
        """Layers held in attributes, or in lists, tuples and dicts in attributes."""
        return held_in_attributes(self, Layer)

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
        """The layer that a configuration from `get_config` describes; its weights are new.

        Raises
        ------
        TypeError
            If the class does not take it; with the reason.
        """
        try:
            return cls(**config)
        except Exception as error:
            raise TypeError(
                f"Error when deserializing class '{cls.__name__}' using config={config}.\n\nException encountered: "
                f"{error}"
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_packed_weights": None}  # derived, and native

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"
