# SPDX-License-Identifier: BSD-3-Clause
"""A model's input from the caller: arrays, lists or dicts of arrays, checked against the graph."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..layers.arrays import as_float32, as_numeric
from ..symbolic import flatten, map_leaves, packed
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
    arrays: list[Any] = [
        None if one[0] is None and optional else checked_input(*one)
        for *one, optional in zip(given, names, shapes, integers, strings, executor.optional, strict=True)
    ]
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
    if len(names) < 2 or not isinstance(x, (dict, list, tuple)):
        return x
    nested = is_nested(structure)
    if isinstance(x, dict):
        by_names = (
            nested and isinstance(structure, dict) and set(names) <= set(x) and not set(structure) <= set(x)
        )
        return packed(structure, [x[name] for name in names]) if by_names else x
    if not (nested or any(isinstance(a, (list, tuple)) for a in x)):
        return x
    leaves = flatten(x)
    if len(leaves) != len(names) or not _all_arrays(x) or _same(structure, x):
        return x
    warnings.warn(
        f"The structure of `inputs` doesn't match the expected structure.\nExpected: {map_leaves(lambda t: t.name, structure)}\n"
        f"Received: inputs={map_leaves(np.shape, x)}; they are taken in order.",
        UserWarning,
        stacklevel=4,
    )
    return leaves if not nested else packed(structure, leaves)


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
            raise ValueError(f"{what} has {len(x)} arrays, the model expects {len(names)} input(s)")
        return list(x)
    if len(names) != 1:
        raise ValueError(
            f"{what} must be a list or dict of {len(names)} arrays: the model expects {len(names)} input(s), named input(s) "
            f"with keys {list(names)}; got {type(x).__name__}"
        )
    return [x]


def _holds_arrays(x: Any, rank: int) -> bool:
    """Whether a list is one of whole inputs, rather than of samples or numbers."""
    return bool(x) and all(hasattr(a, "shape") and len(a.shape) == rank for a in x)


def checked_input(
    value: Any, name: str, shape: tuple[int | None, ...], integers: bool, strings: bool = False
) -> Array:
    """An array for one input of the model."""
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
    if array.ndim == len(shape) - 1 and shape[-1] == 1:  # as Keras does
        array = array[..., None]
    elif array.ndim == len(shape) + 1 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != len(shape) or (
        array.ndim > 1 and shape[-1] not in (None, array.shape[-1]) and not integers
    ):
        raise ValueError(f"{what} does not fit the model: expected shape={shape}, found shape={array.shape}")
    if array.size == 0:
        raise ValueError(f"{what} must not be empty, got an array of shape {array.shape}")
    return array
