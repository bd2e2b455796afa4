# SPDX-License-Identifier: BSD-3-Clause
"""What callers give for a model's outputs, matched with their structure; and the outputs' names in logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..symbolic import KerasTensor, flatten

if TYPE_CHECKING:
    from ..models.model import Model

__all__ = [
    "along",
    "along_outputs",
    "has_nested_outputs",
    "is_nested",
    "metric_prefix",
    "output_keys",
    "per_output",
]


def has_nested_outputs(model: Model) -> bool:
    """Whether the outputs are a list or dict with lists or dicts inside."""
    return is_nested(model._output_structure)


def is_nested(structure: Any) -> bool:
    """Whether lists or dicts of tensors hold lists or dicts."""
    if isinstance(structure, KerasTensor):
        return False
    parts = structure.values() if isinstance(structure, dict) else structure
    return any(not isinstance(part, KerasTensor) for part in parts)


def output_keys(model: Model) -> list[str]:
    """What names the outputs in a dict: the keys if the outputs are a dict, else the names of their layers."""
    structure = model._output_structure
    if isinstance(structure, dict) and not has_nested_outputs(model):
        return [str(key) for key in sorted(structure)]
    return model.output_names


def along_outputs(model: Model, given: Any, what: str) -> list[Any]:
    """One entry for each output from a value in the structure of the outputs; None where a dict lacks a key.

    Raises
    ------
    ValueError
        If the structure is another one.
    """
    return along(model._output_structure, given, what)


def along(structure: Any, given: Any, what: str) -> list[Any]:
    """Values at the places of the tensors in nested lists and dicts, in the order of `flatten`; None where a dict
    lacks a key. ValueError if the structure of `given` is another one.
    """
    if isinstance(structure, KerasTensor):
        return [given]
    if given is None:
        return [None] * len(flatten(structure))
    if isinstance(structure, dict):
        if not isinstance(given, dict) or not set(given) <= set(structure):
            found = f"keys {list(given)}" if isinstance(given, dict) else f"a {type(given).__name__}"
            raise ValueError(f"{what}: expected a dict with keys {list(structure)}, got {found}")
        return [
            entry
            for key in sorted(structure)
            for entry in along(structure[key], given.get(key), f"{what}[{key!r}]")
        ]
    if not isinstance(given, (list, tuple)) or len(given) != len(structure):
        found = f"{len(given)} entries" if isinstance(given, (list, tuple)) else f"a {type(given).__name__}"
        raise ValueError(
            f"{what}: expected a {type(structure).__name__} of {len(structure)} entries, got {found}"
        )
    parts = enumerate(zip(structure, given, strict=True))
    return [entry for k, (part, value) in parts for entry in along(part, value, f"{what}[{k}]")]


def per_output(model: Model, given: Any, what: str) -> list[Any]:
    """One entry of a `compile` argument for each output: from one value for all, a list, or a dict by names.

    Raises
    ------
    ValueError
        If names or numbers do not match the outputs.
    """
    names = output_keys(model)
    if isinstance(given, dict) and "class_name" not in given:
        if has_nested_outputs(model) and not set(given) <= set(names):
            return along_outputs(model, given, what)
        unknown = [name for name in given if name not in names]
        if unknown:
            raise ValueError(
                f"Invalid `{what}`: Expected keys {names} in {what} dict, but found {what}.keys()={list(given)}"
            )
        return [given.get(name) for name in names]
    if isinstance(given, (list, tuple)):
        if has_nested_outputs(model):
            return along_outputs(model, given, what)
        if len(given) != len(names):
            raise ValueError(f"{what} has {len(given)} entries, the model has {len(names)} outputs {names}")
        return list(given)
    return [given] * len(names)


def metric_prefix(model: Model, number: int) -> str:
    """What Keras puts before ``_`` and the name of a metric where there are several outputs; may be empty."""
    structure = model._output_structure
    if isinstance(structure, dict) or not model._traced:
        return output_keys(model)[number]
    return ""
