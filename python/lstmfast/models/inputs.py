# SPDX-License-Identifier: BSD-3-Clause
"""A model's input from the caller: arrays, lists or dicts of arrays, checked against the graph."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..layers.arrays import as_float32, as_numeric
from ..symbolic import flatten, leaf_path, map_leaves, packed
from ..training.structure import along, is_nested

if TYPE_CHECKING:
    from .model import Model

Array = npt.NDArray[Any]
_FLOAT32 = np.dtype(np.float32)


def standardize(model: Model, x: Any) -> list[Array]:
    """Arrays for the model's inputs in their order: float32, or integers for layers that take ids.

    Raises
    ------
    ValueError
        If inputs are missing or unknown, a rank or last axis differs, or an array is empty.
    TypeError
        If an array is not numeric.
    """
    executor = model.executor
    tensors, integers = executor.graph.inputs, executor.integer_inputs
    strings, shapes = executor.string_inputs, [t.shape for t in tensors]
    x = _in_order(model, x)
    if is_nested(model._input_structure):
        names, given = executor.input_names, along(model._input_structure, x, "x")
    else:
        names = input_keys(model)
        _check_order(model._input_structure, x)
        given = distribute(x, names, len(shapes[0]), "x")
    if len(given) == 1:  # the common case, quickly
        a = given[0]
        if (
            isinstance(a, np.ndarray)
            and a.dtype == _FLOAT32
            and not integers[0]
            and a.flags.c_contiguous
            and a.ndim == len(shapes[0])
            and a.size
            and shapes[0][-1] in (None, a.shape[-1])
        ):
            return given
    dtypes = [tensor.dtype for tensor in tensors]
    arrays: list[Any] = []
    for number, (*one, optional) in enumerate(
        zip(given, names, shapes, integers, strings, dtypes, executor.optional, strict=True)
    ):
        try:
            arrays.append(None if one[0] is None and optional else checked_input(*one))
        except WrongRankError as error:
            path = leaf_path(model.input, number)
            raise ValueError(
                f"Invalid input shape for input with name '{tensors[number].name}' and path '{path}'. Expected shape "
                f"{shapes[number]}, but input has incompatible shape {error.shape}"
            ) from None
        except WrongSizeError as error:
            if len(tensors) > 1 or not model.takes_shape(error.shape):
                raise
            value, name, shape, *rest = one
            arrays.append(checked_input(value, name, (*shape[:-1], None), *rest))
    sizes = [len(a) for a in arrays if a is not None]
    if len(set(sizes)) > 1:
        raise ValueError(f"all inputs must have the same number of samples, got {sizes}")
    if not sizes:
        raise ValueError("x: expected an array for at least one input, got None for all")
    return arrays


def _in_order(model: Model, x: Any) -> Any:
    """`x` in the model's structure where it is told otherwise what goes where, as in Keras: a dict by the names of the Inputs,
    lists of the right number of arrays, with a warning.
    """
    structure, names = model._input_structure, model.executor.input_names
    if isinstance(structure, dict):
        expects_dict = True
    elif not isinstance(x, (dict, list, tuple)):
        return x
    else:
        expects_dict = False
    nested = is_nested(structure)
    if isinstance(x, dict):
        by_names = nested and expects_dict and set(names) <= set(x) and not set(structure) <= set(x)
        if expects_dict and not by_names and set(structure) < set(x):
            _warn_of_structure(model, x, f"; of the keys, {sorted(map(str, structure))} are taken")
        return packed(structure, [x[name] for name in names]) if by_names else x
    if len(names) == 1 and not nested:
        return _single(model, x)
    if not isinstance(x, (list, tuple)) or not (nested or expects_dict or any(map(_is_list, x))):
        return x
    leaves = flatten(x)
    if len(leaves) != len(names) or not _all_arrays(x) or _same(structure, x):
        return x
    _check_order(structure, x)
    _warn_of_structure(model, x, "; they are taken in order")
    return leaves if not nested else packed(structure, leaves)


def _is_list(x: Any) -> bool:
    return isinstance(x, (list, tuple))


def _single(model: Model, x: Any) -> Any:
    """The array for the only input out of as many lists as its model was made with, or out of one."""
    expected = model.input
    given = x
    while _is_list(expected) and _is_list(expected[0]) and _is_list(x) and len(x) == 1 and _is_list(x[0]):
        expected, x = expected[0], x[0]
    listed = _is_list(x) and len(x) == 1 and isinstance(x[0], np.ndarray)
    fits = listed and x[0].ndim == len(model.executor.graph.inputs[0].shape)
    if isinstance(expected, dict) or (fits and not _is_list(expected)):
        _warn_of_structure(model, given, "")
    return x


def _warn_of_structure(model: Model, x: Any, how: str) -> None:
    expected = map_leaves(lambda tensor: tensor.name, model.input)
    received = map_leaves(lambda a: f"array of shape {np.shape(a)}", x)
    warnings.warn(
        f"The structure of `inputs` doesn't match the expected structure.\nExpected: {expected}\nReceived: "
        f"inputs={received}{how}.",
        UserWarning,
        stacklevel=5,
    )


def _all_arrays(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return len(x) > 0 and all(map(_all_arrays, x))
    return isinstance(x, np.ndarray)


def _same(structure: Any, x: Any) -> bool:
    """Whether lists are where the model has lists, and arrays where it has tensors."""
    if not isinstance(x, (list, tuple)):
        return not isinstance(structure, (list, tuple, dict))
    if not isinstance(structure, (list, tuple)) or len(structure) != len(x):
        return False
    return all(map(_same, structure, x))


def input_keys(model: Model) -> list[str]:
    """What names the inputs in a dict: the keys if the model was made with a dict, else the names of the Inputs."""
    structure = model._input_structure
    if isinstance(structure, dict) and not is_nested(structure):
        return [str(key) for key in sorted(structure)]
    return model.executor.input_names


def _check_order(structure: Any, x: Any) -> None:
    """Refuse a list where the model has a dict in another order than that of its keys: which is which is unclear."""
    if isinstance(structure, dict) and isinstance(x, (list, tuple)) and list(structure) != sorted(structure):
        raise ValueError(
            "The structure of `inputs` doesn't match the expected structure.\n"
            f"Expected: a dict with keys {list(structure)}\nReceived: a {type(x).__name__}"
        )


class WrongShapeError(ValueError):
    """An input has another shape than its `Input`."""

    def __init__(self, what: str, expected: tuple[int | None, ...], shape: tuple[int, ...]) -> None:
        super().__init__(f"{what} does not fit the model: expected shape={expected}, found shape={shape}")
        self.shape = shape


class WrongRankError(WrongShapeError):
    """It has too many or too few axes."""


class WrongSizeError(WrongShapeError):
    """Its last axis has another size."""


def distribute(x: Any, names: Sequence[str], rank: int, what: str) -> list[Any]:
    """Values for the inputs, in order, from one array, a list, or a dict by names; `rank`: of the first input."""
    if isinstance(x, dict):
        for n in names:  # entries that the model has no input for are left alone, as in Keras
            if n not in x:
                raise ValueError(
                    f'Missing data for input "{n}" in {what}. You passed a data dictionary with keys {list(x)}. '
                    f"Expected the following keys: {list(names)}"
                )
        return [x[n] for n in names]
    if isinstance(x, (list, tuple)) and (len(names) > 1 or _holds_arrays(x, rank)):
        if len(x) != len(names):
            raise ValueError(
                f"{what} has {len(x)} arrays: the model expects {len(names)} named input(s) with keys {list(names)}, but it "
                f"received {len(x)} input tensors"
            )
        return list(x)
    if len(names) != 1:
        raise ValueError(
            f"{what} must be a list or dict of {len(names)} arrays: the model expects {len(names)} input(s), named input(s) "
            f"with keys {list(names)}; got {type(x).__name__}"
        )
    return [x]


def _holds_arrays(x: Any, rank: int) -> bool:
    """Whether a list is one of whole inputs, rather than of samples or numbers."""
    return bool(x) and all(a is None or (hasattr(a, "shape") and len(a.shape) == rank) for a in x)


def checked_input(
    value: Any,
    name: str,
    shape: tuple[int | None, ...],
    integers: bool,
    strings: bool = False,
    dtype: str = "float32",
) -> Array:
    """An array for one input of the model, whose `Input` has this `dtype`.

    `WrongRankError` if it has not as many axes.
    """
    what = f"input {name!r}"
    if value is None:
        raise ValueError(f"The {what} is not optional, but None was passed. Please provide a valid array.")
    array: Array
    if strings:
        array = np.asarray(value)
        if array.dtype.kind not in "USOT":
            raise TypeError(f"{what} must be strings, got dtype {array.dtype}")
    elif integers:
        array = as_numeric(value, what)
        if not array.flags.c_contiguous:
            array = np.ascontiguousarray(array)
    else:
        array = as_float32(value, what)
    if array.dtype.kind == "f" and dtype.startswith(("int", "uint")):  # as Keras does
        info = np.iinfo(dtype)
        if not ((array >= info.min) & (array <= info.max)).all():
            raise ValueError(f"{what} has values that no {dtype} can hold, which its Input asks for")
        array = array.astype(dtype) if integers else np.trunc(array)
    if array.ndim == len(shape) - 1 and shape[-1] == 1:  # as Keras does
        array = array[..., None]
    elif array.ndim == len(shape) + 1 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != len(shape):
        raise WrongRankError(what, shape, array.shape)
    if array.ndim > 1 and shape[-1] not in (None, array.shape[-1]) and not integers:
        raise WrongSizeError(what, shape, array.shape)
    if array.size == 0:
        raise ValueError(f"{what} must not be empty, got an array of shape {array.shape}")
    return array
