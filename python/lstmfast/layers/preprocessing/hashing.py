# SPDX-License-Identifier: BSD-3-Clause
"""Categories without a vocabulary: each goes where its hash leads, with TensorFlow's hashes and so Keras's numbers."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ..arguments import is_integer
from ..base import Layer
from ..building import dtype_name
from ..call import Call
from ..core.embedding import as_ids
from ..frozen import refuse_to_freeze_texts
from .encoding import encode, refuse_sparse
from .string_hashing import cross64, farmhash64, siphash64
from .vocabularies import text_array

__all__ = ["HashedCrossing", "Hashing"]

Array = npt.NDArray[Any]


class _HashingLayer(Layer):
    """What the two share: the number of bins, types, strings or integers as inputs."""

    integer_inputs = True
    passes_gradients = False
    modes: tuple[str, ...]

    def __init__(self, num_bins: int, output_mode: str, sparse: bool, dtype: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not is_integer(num_bins) or num_bins <= 0:
            raise ValueError(
                f"The `num_bins` for `{type(self).__name__}` cannot be `None` or non-positive values. Received: "
                f"num_bins={num_bins}."
            )
        if output_mode not in self.modes:
            raise ValueError(
                f"Invalid value for argument `output_mode`. Expected one of {self.modes}. Received: "
                f"output_mode={output_mode}"
            )
        refuse_sparse(sparse)
        types = ("int64", "int32") if output_mode == "int" else ("float32",)
        name = types[0] if dtype is None else dtype_name(dtype)
        if name not in types:
            kind = "an integer type, 'int32' or 'int64'" if output_mode == "int" else "'float32'"
            raise ValueError(
                f'When `output_mode="{output_mode}"`, `dtype` should be {kind}. Received: dtype={dtype}'
            )
        self.num_bins, self.output_mode, self.sparse = int(num_bins), output_mode, False
        self._output_dtype = name
        self.makes_integers = output_mode == "int"
        self.string_inputs = False
        self.built = True

    def record(self, inputs: Any, kwargs: dict[str, Any]) -> Any:
        tensors = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        self.string_inputs = any(tensor.dtype == "string" for tensor in tensors)
        return super().record(inputs, kwargs)

    def _output_dtypes(self, count: int) -> list[str]:
        return [self._output_dtype] * count

    def _as_keys(self, value: Any) -> Array:
        """Encoded strings in an array of objects, or integers."""
        array = np.asarray(value)
        if array.dtype.kind in "USO":
            return text_array(value, f"inputs of layer {self.name!r}", "utf-8")
        return as_ids(array, f"inputs of layer {self.name!r}")

    def _encoded(self, bins: Array) -> Array:
        if self.output_mode == "int":
            return bins.astype(self._output_dtype)
        return encode(bins, self.output_mode, self.num_bins, np.float32)

    def backward(self, dy: Any, call: Call) -> Any:
        return None


class Hashing(_HashingLayer):
    """Spreads strings or integers over `num_bins` numbers by a hash.

    Parameters
    ----------
    num_bins : int
        How many numbers there are, that of `mask_value` included.
    mask_value : str or int, optional
        Gets the number 0, which nothing else then gets.
    salt : int or pair of int, optional
        The hash is SipHash-2-4 with this key, not FarmHash64.
    output_mode : {"int", "one_hot", "multi_hot", "count"}
        Numbers, or vectors as `CategoryEncoding` makes them.
    sparse : bool
        Not supported; must be false.
    **kwargs
        ``dtype``: ``"int64"`` or ``"int32"`` for numbers; and see `Layer`.

    Notes
    -----
    Input (batch, ...) of strings or integers (floats are cut down to integers), output of the same shape, or with
    vectors in place of the last axis. The numbers are those of Keras on TensorFlow. No gradient passes.

    Raises
    ------
    ValueError
        If an argument is none of those above.
    TypeError
        If an input is made of neither strings nor numbers.

    References
    ----------
    FarmHash, https://github.com/google/farmhash; Aumasson and Bernstein 2012, "SipHash".

    Examples
    --------
    >>> from lstmfast.layers import Hashing
    >>> Hashing(3)([["A"], ["B"], ["C"], ["D"], ["E"]]).ravel().tolist()
    [1, 0, 1, 1, 2]
    """

    modes = ("int", "one_hot", "multi_hot", "count")

    def __init__(
        self,
        num_bins: int,
        mask_value: Any = None,
        salt: Any = None,
        output_mode: str = "int",
        sparse: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_bins, output_mode, sparse, kwargs.pop("dtype", None), **kwargs)
        self.mask_value = mask_value
        pair = [salt, salt] if is_integer(salt) else salt
        if pair is not None and (
            not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(map(is_integer, pair))
        ):
            raise ValueError(
                "The `salt` argument for `Hashing` can only be a tuple of size 2 integers, or a single integer. "
                f"Received: salt={salt}."
            )
        self.salt = None if pair is None else [int(part) for part in pair]

    def _convert(self, inputs: Any) -> Array:
        return self._as_keys(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self.output_mode == "int":
            return tuple(input_shape)
        return (*input_shape[:-1], self.num_bins)

    def forward(self, x: Any, call: Call) -> Array:
        keys = self._as_keys(x)
        masked = None
        bins = self.num_bins
        if self.mask_value is not None and bins > 1:
            bins -= 1
            mask = self.mask_value.encode() if isinstance(self.mask_value, str) else self.mask_value
            masked = np.array([key == mask for key in keys.ravel().tolist()], bool).reshape(keys.shape)
        known: dict[Any, int] = {}
        for key in set(keys.ravel().tolist()):
            data = key if isinstance(key, bytes) else str(key).encode()
            number = farmhash64(data) if self.salt is None else siphash64(data, (self.salt[0], self.salt[1]))
            known[key] = number % bins
        found = np.array([known[key] for key in keys.ravel().tolist()], np.int64).reshape(keys.shape)
        return self._encoded(found if masked is None else np.where(masked, 0, found + 1))

    def frozen(self) -> NoReturn:
        refuse_to_freeze_texts(self, "it hashes strings, or integers as strings of their digits")

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["dtype"]["config"] = {"name": self._output_dtype}
        return {
            **config,
            "num_bins": self.num_bins,
            "salt": self.salt,
            "mask_value": self.mask_value,
            "output_mode": self.output_mode,
            "sparse": False,
        }


class HashedCrossing(_HashingLayer):
    """One of `num_bins` numbers for each combination of two or more categories.

    Parameters
    ----------
    num_bins : int
    output_mode : {"int", "one_hot"}
        Numbers, or vectors of zeros and a one.
    sparse : bool
        Not supported; must be false.
    name : str, optional
    dtype : str, optional
        ``"int64"`` or ``"int32"`` for numbers.
    **kwargs
        See `Layer`.

    Notes
    -----
    Inputs: a list of arrays of strings or integers, all (batch,) or all (batch, 1). The numbers are those of Keras on
    TensorFlow (``tf.sparse.cross_hashed``). No gradient passes.

    Raises
    ------
    ValueError
        If an argument is none of those above, or the inputs are fewer than two or of other shapes.
    TypeError
        If an input is made of neither strings nor integers.

    Examples
    --------
    >>> import numpy as np
    >>> from lstmfast.layers import HashedCrossing
    >>> days, hours = np.array(["mon", "sun"]), np.array([7, 23])
    >>> HashedCrossing(10)([days, hours]).shape
    (2,)
    """

    modes = ("int", "one_hot")
    takes_list = True

    def __init__(
        self,
        num_bins: int,
        output_mode: str = "int",
        sparse: bool = False,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_bins, output_mode, sparse, dtype, name=name, **kwargs)

    def _convert(self, inputs: Any) -> list[Array]:
        if not isinstance(inputs, (list, tuple)):
            raise ValueError(
                f"`HashedCrossing` should be called on a list or tuple of inputs. Received: inputs={inputs}"
            )
        self.check_shapes([np.shape(array) for array in inputs])
        for array in inputs:
            if np.asarray(array).dtype.kind == "f":
                raise ValueError(
                    f"All `HashedCrossing` inputs should have an integer or string dtype. Received: inputs={inputs}"
                )
        return [self._as_keys(array) for array in inputs]

    def check_shapes(self, shapes: Any) -> None:
        if not isinstance(shapes, (list, tuple)) or len(shapes) < 2:
            raise ValueError(
                f"`HashedCrossing` should be called on at least two inputs. Received input_shape={shapes}"
            )
        first = tuple(shapes[0])
        if any(tuple(shape) != first for shape in shapes):
            raise ValueError(
                f"Expected the two input tensors to have identical shapes. Received input_shape={shapes}"
            )
        if len(first) > 2 or (len(first) == 2 and first[-1] != 1):
            raise ValueError(
                "All `HashedCrossing` inputs should have shape `()`, `(batch_size)` or `(batch_size, 1)`. Received: "
                f"input_shape={shapes}"
            )

    def compute_output_shape(self, input_shape: Any) -> Any:
        self.check_shapes(input_shape)
        shape = tuple(input_shape[0])
        if self.output_mode == "int":
            return shape
        return (*(shape[:-1] if shape and shape[-1] == 1 else shape), self.num_bins)

    def forward(self, x: Any, call: Call) -> Array:
        columns = [self._as_keys(array) for array in x]
        rows = zip(*(column.ravel().tolist() for column in columns), strict=True)
        numbers = [cross64(row) % self.num_bins for row in rows]
        return self._encoded(np.array(numbers, np.int64).reshape(columns[0].shape))

    def frozen(self) -> NoReturn:
        refuse_to_freeze_texts(self, "it hashes strings, or integers as strings of their digits")

    def get_config(self) -> dict[str, Any]:
        return {
            "num_bins": self.num_bins,
            "output_mode": self.output_mode,
            "sparse": False,
            "name": self.name,
            "dtype": self._output_dtype,
        }
