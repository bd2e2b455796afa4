# SPDX-License-Identifier: BSD-3-Clause
"""A model's weights alone, to a safetensors file and back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..saving import safetensors
from ..saving.model_state import assign_all
from ..saving.native import _named_weights

if TYPE_CHECKING:
    from .model import Model


def save_weights(model: Model, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
    """See `Model.save_weights`."""
    model.executor  # noqa: B018 - a model that is not built has no weights
    path = os.fspath(filepath)
    if path.endswith((".h5", ".keras", ".npz")):
        raise ValueError(f"filepath: weights are saved in the safetensors format, got {path!r}")
    if not overwrite and os.path.exists(path):
        raise ValueError(f"filepath: {path!r} exists and overwrite is False")
    safetensors.save_file(
        {name: v.numpy() for name, v in _named_weights(model)}, path, {"format": "lstmfast-weights"}
    )


def load_weights(model: Model, filepath: str | os.PathLike[str]) -> None:
    """See `Model.load_weights`."""
    model.executor  # noqa: B018
    arrays, _ = safetensors.load_file(filepath)
    arrays = {name: array for name, array in arrays.items() if name.startswith("layers/")}
    variables = dict(_named_weights(model))
    missing, surplus = sorted(variables.keys() - arrays.keys()), sorted(arrays.keys() - variables.keys())
    if missing or surplus:
        raise ValueError(
            f"{os.fspath(filepath)!r} does not fit the model: missing {missing[:5]}, not expected {surplus[:5]}"
        )
    assign_all([(name, variable, arrays[name]) for name, variable in variables.items()])
