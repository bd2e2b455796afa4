# SPDX-License-Identifier: BSD-3-Clause
"""Where arrays enter a graph."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ...symbolic import KerasTensor, Node, Shape
from ...utils.naming import unique_name
from ..base import Layer
from ..call import Call

__all__ = ["Input", "InputLayer"]


class InputLayer(Layer):
    """The start of a graph; see `Input`."""

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: Any = None,
        input_tensor: KerasTensor | None = None,
        optional: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name)
        if "input_shape" in kwargs:
            warnings.warn("Argument `input_shape` is deprecated. Use `shape` instead.", stacklevel=2)
            shape = kwargs.pop("input_shape")
        if "batch_input_shape" in kwargs:
            batch_shape = kwargs.pop("batch_input_shape")
        if kwargs:
            raise ValueError(f"Unrecognized keyword arguments passed to InputLayer: {kwargs}")
        if input_tensor is not None:
            if not isinstance(input_tensor, KerasTensor):
                raise ValueError(f"Argument `input_tensor` must be a KerasTensor, got {type(input_tensor)}")
            given = {"batch_shape": batch_shape, "dtype": dtype, "batch_size": batch_size, "shape": shape}
            _check_against(input_tensor, {**given, "sparse": sparse, "ragged": ragged})
            batch_shape, shape, dtype = input_tensor.shape, None, input_tensor.dtype
        for argument, value in (("sparse", sparse), ("ragged", ragged)):
            if value:
                raise ValueError(f"{argument}={value!r} is not supported")
        if shape is not None and batch_shape is not None:
            raise ValueError("You cannot pass both `shape` and `batch_shape` at the same time.")
        if batch_size is not None and batch_shape is not None and input_tensor is None:
            raise ValueError("You cannot pass both `batch_size` and `batch_shape` at the same time.")
        if shape is None and batch_shape is None:
            raise ValueError("You must pass a `shape` argument.")
        self.batch_shape = _standardize(batch_shape if shape is None else (batch_size, *_tuple(shape)))
        given_dtype = "float32" if dtype is None else getattr(dtype, "name", dtype)
        self.optional = bool(optional)
        self._dtype = "string" if given_dtype in ("string", str) else np.dtype(given_dtype).name
        tensor = input_tensor
        if tensor is None or tensor.node is not None:  # one of another graph stays what it is
            tensor = KerasTensor(self.batch_shape, self._dtype, name or unique_name("keras_tensor"))
        Node(self, (), {}, [tensor])
        self.built = True

    #: Keras's; such inputs are not supported.
    sparse = ragged = False

    def call(self) -> None:  # type: ignore[override]
        """Nothing is computed here."""

    def forward(self, x: Any, call: Call) -> Any:
        return x

    def backward(self, dy: Any, call: Call) -> Any:
        return dy

    def compute_output_shape(self, input_shape: Any = None) -> Shape:
        return self.batch_shape

    @property
    def dtype(self) -> str:
        return self._dtype

    def get_config(self) -> dict[str, Any]:
        return {
            "batch_shape": self.batch_shape,
            "dtype": self._dtype,
            "sparse": False,
            "ragged": False,
            "name": self.name,
            "optional": self.optional,
        }


def _check_against(tensor: KerasTensor, given: dict[str, Any]) -> None:
    """Raise a ValueError if an argument beside `input_tensor` says something else than the tensor."""
    own: dict[str, Any] = {
        "batch_shape": tensor.shape,
        "shape": tensor.shape[1:],
        "batch_size": tensor.shape[0],
        "dtype": tensor.dtype,
        "sparse": False,
        "ragged": False,
    }
    for argument, value in given.items():
        if isinstance(value, list):
            value = tuple(value)
        if value is not None and value != own[argument]:
            raise ValueError(
                f"When providing the `input_tensor` keyword argument to `InputLayer`, you cannot provide an incompatible "
                f"`{argument}`. Expected {own[argument]!r}. Received: {argument}={value!r}"
            )


def _tuple(shape: Any) -> tuple[Any, ...]:
    if isinstance(shape, (int, np.integer)):
        raise ValueError(
            f"shape must be a tuple of integers or None, got {shape!r}; for one axis write ({shape},)"
        )
    return tuple(shape)


def _standardize(shape: Any) -> Shape:
    result: list[int | None] = []
    for n in _tuple(shape):
        if n is None:
            result.append(None)
        elif isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n > 0:
            result.append(int(n))
        else:
            raise ValueError(f"shape must be made of positive integers and None, got {tuple(shape)}")
    return tuple(result)


def Input(
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: Any = None,
    name: str | None = None,
    tensor: KerasTensor | None = None,
    optional: bool = False,
) -> KerasTensor:
    """A symbolic tensor with which a graph of layers starts.

    Parameters
    ----------
    shape : tuple of int or None
        Without the batch axis; None where it may vary.
    batch_size : int, optional
        Fixed batch size, which stateful layers need.
    dtype : str, optional
        ``"float32"`` by default; an integer type for ids, ``"string"`` for texts (`layers.TextVectorization`).
    batch_shape : tuple of int or None
        In place of `shape` and `batch_size`.
    name : str, optional
        Name of the input, by which arrays may be given in a dict.
    sparse, ragged : bool
        Not supported; must be false.
    optional : bool
        Whether None may be given in place of an array: for a layer of your own that takes it.

    Returns
    -------
    KerasTensor

    Raises
    ------
    ValueError
        If no shape is given, or it is not made of positive integers and None.

    Examples
    --------
    >>> from lstmfast import Input, Model, layers
    >>> x = Input((None, 4))
    >>> Model(x, layers.LSTM(3)(x)).output_shape
    (None, 3)
    """
    layer = InputLayer(
        shape,
        batch_size,
        dtype,
        sparse,
        ragged,
        batch_shape,
        input_tensor=tensor,
        optional=optional,
        name=name,
    )
    return layer.inbound_nodes[0].outputs[0]
