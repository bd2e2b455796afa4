# SPDX-License-Identifier: BSD-3-Clause
"""A function of arrays as a layer."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ...saving.registry import deserialize_keras_object, serialize_keras_object
from ...symbolic import Node
from ..arrays import as_float32
from ..base import Layer
from ..call import Call

__all__ = ["Lambda"]

Array = npt.NDArray[Any]

#: A shape is found by trying only up to this many numbers: a file could ask for terabytes.
_MAX_TRIAL = 1 << 24


class Lambda(Layer):
    """A function as a layer.

    Parameters
    ----------
    function : callable
        From the input, an array or a list of arrays, to an array. If it has parameters named ``mask`` or
        ``training``, it is given these too. Written with `lstmfast.ops` and operators it trains.
    output_shape : tuple of int or callable, optional
        Shape of the output without the batch, or a function from input shape to output shape; found by trying
        otherwise.
    mask : array or callable, optional
        The output's mask, or a function ``(inputs, mask) -> mask``; without it a mask ends here.
    arguments : dict, optional
        Further keyword arguments of `function`.
    gradient : callable, optional
        lstmfast's own, to train through functions written in NumPy: ``(x, y, dy) -> dx``, from the input, the output and
        the output's gradient to the input's gradient.
    **kwargs
        See `Layer`.

    Notes
    -----
    A file holds the function's name, never its code: to load one, pass the function as ``custom_objects``. A
    Python lambda has no name and cannot be saved. A function of operations is frozen, where these have native forms, and
    treats `lengths` as they do; with other functions `lengths` go on, as if each kept the time axis.

    Raises
    ------
    TypeError
        If `function` or `gradient` cannot be called.
    NotImplementedError
        In a backward pass without `gradient`, if the function does not work with symbolic inputs.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import Lambda
    >>> square = Lambda(lambda x: x**2, gradient=lambda x, y, dy: 2 * x * dy)
    >>> square(np.array([[1.0, 3.0]]))
    array([[1., 9.]], dtype=float32)
    """

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: Mapping[str, Any] | None = None,
        gradient: Callable[[Any, Array, Array], Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for argument, value in (("function", function), ("gradient", gradient)):
            if not callable(value) and (argument == "function" or value is not None):
                raise TypeError(f"Argument `{argument}` must be callable. Received: {argument}={value!r}")
        self.function, self.gradient = function, gradient
        self.arguments = dict(arguments or {})
        self.mask = mask
        self.supports_masking = mask is not None
        self._output_shape = tuple(output_shape) if isinstance(output_shape, list) else output_shape
        known = _parameters(function)
        self._extras = [name for name in ("mask", "training") if name in known]

    def _convert(self, inputs: Any) -> Any:
        several = isinstance(inputs, (list, tuple)) and all(isinstance(a, np.ndarray) for a in inputs)
        if several and inputs:
            return [as_float32(a, f"inputs of layer {self.name!r}") for a in inputs]
        return super()._convert(inputs)

    def check_shapes(self, shapes: Any) -> None:
        pass  # whatever the function takes

    def compute_output_shape(self, input_shape: Any) -> Any:
        if callable(self._output_shape):
            return tuple(self._output_shape(input_shape))
        several = bool(input_shape) and isinstance(input_shape[0], (tuple, list))
        shapes = input_shape if several else [input_shape]
        if self._output_shape is not None:
            return (shapes[0][0], *self._output_shape)
        try:
            if sum(math.prod(3 if n is None else n for n in shape) for shape in shapes) > _MAX_TRIAL:
                raise ValueError("the input is large")
            return super().compute_output_shape(input_shape)
        except Exception as error:
            raise NotImplementedError(
                f"The shape of the output of Lambda layer {self.name!r} could not be found by trying the "
                f"function ({type(error).__name__}: {error}); give the layer its `output_shape`"
            ) from error

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def makes_mask(self, has_mask: bool) -> bool:
        return self.mask is not None

    def forward(self, x: Any, call: Call) -> Array:
        what = f"output of the function of layer {self.name!r}"
        if self.gradient is None and (call.save or call.lengths is not None):
            from ...models.composed import forward_traced  # made of layers itself

            inner = Call(call.training, call.save, call.needs_dx, call.mask, call.lengths, rng=call.given_rng)
            y, traced = forward_traced(self, x, inner)
            call.saved = inner.saved if traced else y
            if traced:
                call.output_lengths = inner.output_lengths
                return as_float32(y, what)
        y = as_float32(self.call(x, call.mask, call.training), what)
        if call.save and self.gradient is not None:
            call.saved = (x, y)
        return y

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:  # type: ignore[override]
        """What the function makes of arrays or symbolic tensors."""
        given = {"mask": mask, "training": training}
        return self.function(inputs, **self.arguments, **{name: given[name] for name in self._extras})

    def backward(self, dy: Array, call: Call) -> Any:
        if self.gradient is None:
            if isinstance(call.saved, str):
                raise NotImplementedError(
                    f"Lambda layer {self.name!r} has no derivative: its function does not work with symbolic inputs "
                    f"({call.saved}). Write it with `lstmfast.ops` and operators, or give the layer `gradient`, a function "
                    "(x, y, dy) -> dx"
                )
            return call.saved.backward(dy)[0]
        x, y = call.saved
        what = f"output of the gradient of layer {self.name!r}"
        dx = self.gradient(x, y, dy)
        if isinstance(x, list):
            if not isinstance(dx, (list, tuple)) or len(dx) != len(x):
                raise ValueError(f"{what} must be a list of {len(x)} arrays, one for each input")
            return [_checked_gradient(d, a, what) for d, a in zip(dx, x, strict=True)]
        return _checked_gradient(dx, x, what)

    def _loses_masks(self) -> bool:
        return self.mask is None

    def frozen_call(self, node: Node, inputs: list[Any]) -> Any:
        from ...models.composed import frozen_trace

        return frozen_trace(self, node, "mask" in self._extras, "its function")

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "function": serialize_keras_object(self.function)}
        if self._output_shape is not None:
            shape = self._output_shape
            config["output_shape"] = serialize_keras_object(shape) if callable(shape) else shape
        if self.mask is not None:
            config["mask"] = serialize_keras_object(self.mask)
        config["arguments"] = serialize_keras_object(self.arguments)
        if self.gradient is not None:
            config["gradient"] = serialize_keras_object(self.gradient)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Lambda:
        config = dict(config)
        for key in ("function", "output_shape", "mask", "arguments", "gradient"):
            value = config.get(key)
            if isinstance(value, dict) and value.get("class_name") == "__lambda__":
                raise ValueError(
                    f"Lambda layer {config.get('name')!r} holds a Python lambda's byte code, which lstmfast never "
                    "runs. Use a named function and pass it as custom_objects, or write a Layer subclass."
                )
            if isinstance(value, dict):
                config[key] = deserialize_keras_object(value)
        return cls(**config)


def _parameters(function: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # a function without a signature, as some of NumPy's
        return []


def _checked_gradient(dx: Any, x: Array, what: str) -> Array:
    gradient = as_float32(dx, what)
    if gradient.shape != x.shape:
        raise ValueError(f"{what} must have the input's shape {x.shape}, got {gradient.shape}")
    return gradient
