# SPDX-License-Identifier: BSD-3-Clause
"""A model's weights alone, to a file and back: safetensors, NumPy's .npz, Keras 3's .weights.h5.

In the first two an array is named as in the native model file, ``layers/<layer>/<weight>``.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..saving import path_of, safetensors
from ..saving.atomic import replace_file
from ..saving.model_state import assign_all, warn_of_skipped
from ..saving.native import named_weights
from ..saving.zip_reader import read_members

if TYPE_CHECKING:
    from .model import Model

Array = npt.NDArray[Any]


def save_weights(
    model: Model,
    filepath: str | os.PathLike[str],
    overwrite: bool = True,
    max_shard_size: float | None = None,
    objects_to_skip: Any = None,
) -> None:
    """See `Model.save_weights`."""
    path = path_of(filepath)
    if max_shard_size is not None and not path.endswith(("weights.h5", "weights.json")):
        raise ValueError(
            "The filename must end in `.weights.json` when `max_shard_size` is specified. Received: "
            f"filepath={path}"
        )
    keras = path.endswith(".weights.h5") or max_shard_size is not None
    if path.endswith((".h5", ".hdf5", ".keras", ".json")) and not keras:
        raise ValueError(
            f"The filename must end in `.weights.h5`, `.npz` or `.safetensors`. Received: filepath={path}"
        )
    if not model.built:
        raise ValueError(
            f"You are saving a model that has not yet been built. Model '{model.name}' has no weights: build it first by "
            "calling it with data or calling `build()`."
        )
    if not overwrite and os.path.exists(path):
        raise ValueError(f"filepath: {path!r} exists and overwrite is False")
    if keras:
        from ..saving.keras_archive import save_keras_weights

        save_keras_weights(model, path, max_shard_size, objects_to_skip or ())
        return
    if objects_to_skip is not None:
        raise ValueError(f"`objects_to_skip` only supports `.weights.h5` files. Received: {path}")
    arrays = {name: v.numpy() for name, v in named_weights(model)}
    if path.endswith(".npz"):
        with replace_file(path) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
    else:
        safetensors.save_file(arrays, path, {"format": "lstmfast-weights"})


def load_weights(
    model: Model,
    filepath: str | os.PathLike[str],
    skip_mismatch: bool = False,
    objects_to_skip: Any = None,
    by_name: bool | None = None,
) -> None:
    """See `Model.load_weights`."""
    path = path_of(filepath)
    if os.path.isdir(path):
        raise ValueError(f"filepath must name a file of weights, got the directory {path!r}")
    ending = os.path.splitext(path)[1].lower()
    if not os.path.exists(path) and ending not in (".h5", ".hdf5", ".json", ".keras", ".npz", ".safetensors"):
        raise ValueError(
            f"File format not supported, or no such file: filepath={path}. lstmfast reads `.weights.h5`, `.weights.json`, "
            "`.keras`, `.h5`, `.npz` and `.safetensors` files."
        )
    with open(path, "rb") as file:
        start = file.read(16)
    hdf5, archive = start.startswith(b"\x89HDF\r\n\x1a\n"), start.startswith(b"PK\x03\x04")
    legacy = False
    if hdf5:
        from ..saving.legacy_h5 import is_legacy

        legacy = is_legacy(path)
    keras = (hdf5 and not legacy) or path.endswith(".json") or (archive and not _is_npz(path))
    if by_name is not None and not legacy:
        raise ValueError(f"`by_name` only supports loading legacy '.h5' or '.hdf5' files. Received: {path}")
    if objects_to_skip is not None and (archive or not keras):
        raise ValueError(f"`objects_to_skip` only supports loading '.weights.h5' files. Received: {path}")
    if not model.built:
        raise ValueError(
            f"You are loading weights into a model that has not yet been built. Model '{model.name}' has no weights: build "
            "it first by calling it with data or calling `build()`."
        )
    if legacy:
        from ..saving.legacy_h5 import load_legacy_weights

        load_legacy_weights(model, path, skip_mismatch, bool(by_name))
        return
    if keras:
        from ..saving.keras_archive import load_keras_weights

        load_keras_weights(model, path, skip_mismatch, objects_to_skip or ())
        return
    variables = dict(named_weights(model))
    arrays = _read_npz(path) if archive else safetensors.load_file(path)[0]
    arrays = {name: array for name, array in arrays.items() if name.startswith("layers/")}
    if skip_mismatch:
        for layer in dict.fromkeys(name.rpartition("/")[0] for name in variables):
            own = {name: v for name, v in variables.items() if name.rpartition("/")[0] == layer}
            found = [arrays[name].shape for name in own if name in arrays]
            expected = [v.shape for v in own.values()]
            if found != expected:
                warn_of_skipped(layer.removeprefix("layers/"), found, expected)
                variables = {name: v for name, v in variables.items() if name not in own}
        arrays = {name: array for name, array in arrays.items() if name in variables}
    missing, surplus = sorted(variables.keys() - arrays.keys()), sorted(arrays.keys() - variables.keys())
    if missing or surplus:
        raise ValueError(
            f"{path!r} does not fit the model: missing {missing[:5]}, not expected {surplus[:5]}"
        )
    assign_all([(name, variable, arrays[name]) for name, variable in variables.items()])


def _is_npz(path: str) -> bool:
    """Whether a zip archive holds NumPy's arrays rather than a Keras model."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, UnicodeError) as error:
        raise ValueError(f"{path!r} cannot be loaded: {error}") from None


def _read_npz(path: str) -> dict[str, Array]:
    """The arrays of an archive that may be hostile: nothing is unpickled, no shape is believed."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
    try:
        members = read_members(path, dict.fromkeys(names))
        return {name.removesuffix(".npy"): _read_npy(data) for name, data in members.items()}
    except ValueError as error:
        raise ValueError(f"{path!r} cannot be loaded: {error}") from None


def _read_npy(data: bytes) -> Array:
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else None
    if read_header is None:
        raise ValueError(f"an array of .npy version {version}: numbers are written with version (1, 0)")
    shape, fortran, dtype = read_header(file)
    if dtype.kind not in "fiu" or math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise ValueError(
            f"an array declares shape {shape} of {dtype}, which its {len(data)} bytes do not hold"
        )
    flat = np.frombuffer(data, dtype, offset=file.tell())
    return flat.reshape(shape, order="F" if fortran else "C").copy()
