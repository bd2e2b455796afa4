# SPDX-License-Identifier: BSD-3-Clause
"""Models to files and back, in three formats, none of them pickle.

=================== ======================================= ============================================
File                Written by                              Read by
=================== ======================================= ============================================
``*.safetensors``   lstmfast                                lstmfast; arrays by any safetensors reader
``*.keras``         lstmfast and Keras 3, through h5py      both
``*.h5``            lstmfast, Keras 2 and 3, through h5py   lstmfast and Keras 3
=================== ======================================= ============================================

No file can make lstmfast run, import or unpickle anything: names in it are looked up among lstmfast's own
classes, the caller's `custom_objects` and the classes that the running program registered.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

from .registry import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)

if TYPE_CHECKING:
    from ..models import Model

__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "load_model",
    "load_weights",
    "register_keras_serializable",
    "save_model",
    "save_weights",
    "serialize_keras_object",
]


def save_model(
    model: Model,
    filepath: str | os.PathLike[str] | IO[bytes],
    overwrite: bool = True,
    zipped: bool | None = None,
    **kwargs: Any,
) -> None:
    """Save a whole model: configuration, weights, compile state and the optimizer's state.

    The file appears whole or not at all: on a full disk an older file at `filepath` stays as it was.

    Parameters
    ----------
    model : Model
        A `Sequential` or functional model.
    filepath : str or path-like
        Where to. A path ending in ``.keras`` gets Keras 3's format, one ending in ``.h5`` or ``.hdf5`` Keras's older one
        (both need h5py: ``pip install 'lstmfast[keras]'``), one ending in ``.safetensors``, or without an ending, the
        native one. Or a binary file open for writing (`io.BytesIO`), which gets what a ``.keras`` file holds.
    overwrite : bool
        Whether an existing file may be replaced.
    zipped : bool, optional
        With False a folder gets the files that a ``.keras`` file holds, as in Keras; its name must not end in ``.keras``.
    **kwargs
        ``include_optimizer``: whether an ``.h5`` file shall hold the compile state. Keras 2's ``save_format`` says nothing that
        the ending does not.

    Raises
    ------
    ValueError
        If the ending stands for a format that is not written, the file exists and `overwrite` is False, or
        the model holds something that no file can name (a lambda).
    ImportError
        If h5py is needed and missing.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from lstmfast import Sequential, Input, layers, saving
    >>> model = Sequential([Input((None, 3)), layers.LSTM(4)])
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> saving.save_model(model, path)
    >>> x = np.ones((1, 5, 3), np.float32)
    >>> bool(np.array_equal(saving.load_model(path)(x), model(x)))
    True
    """
    from ..models import Model

    if not isinstance(model, Model):
        raise TypeError(f"model must be a Model, got {type(model).__name__}")
    if isinstance(filepath, io.IOBase):
        from .keras_archive import save_keras

        if (zipped is not None and not zipped) or kwargs:
            raise ValueError(
                "an open file gets a zipped `.keras` archive: zipped=False and further arguments do not go with it"
            )
        save_keras(model, filepath)
        return
    path = path_of(filepath)
    if zipped is not None and not zipped and path.endswith(".safetensors"):
        raise ValueError(f"`zipped=False` makes a folder of Keras's; the native file is one file: {path!r}")
    if zipped is not None and not zipped and path.endswith(".keras"):
        raise ValueError(
            "When using `zipped=False`, the `filepath` argument should not end in `.keras`. Received: "
            f"filepath={path}"
        )
    include_optimizer = bool(kwargs.pop("include_optimizer", True))
    save_format = kwargs.pop("save_format", None)
    if save_format and not path.endswith((".h5", ".hdf5", ".keras")):
        raise ValueError(
            "The `save_format` argument is deprecated in Keras 3. Please remove this argument and pass a file path with "
            f"either `.keras` or `.h5` extension. Received: save_format={save_format}"
        )
    if kwargs:
        raise ValueError(f"The following argument(s) are not supported: {list(kwargs)}")
    if not overwrite and os.path.exists(path):
        raise ValueError(f"filepath {path!r} exists and overwrite is False")
    ending = os.path.splitext(path)[1].lower()
    if ending == ".keras" or (zipped is not None and not zipped):
        from .keras_archive import save_keras

        save_keras(model, path, zipped is None or bool(zipped))
    elif ending in (".h5", ".hdf5"):
        from .legacy_h5 import save_legacy

        save_legacy(model, path, include_optimizer)
    elif ending in ("", ".safetensors"):
        from .native import save_native

        save_native(model, path)
    else:
        raise ValueError(
            "Invalid filepath extension for saving: filepath must end in .safetensors (native), .keras (Keras 3) or .h5 "
            f"(Keras, older), got {path!r}"
        )


def save_weights(
    model: Model,
    filepath: str | os.PathLike[str],
    overwrite: bool = True,
    max_shard_size: float | None = None,
    **kwargs: Any,
) -> None:
    """``model.save_weights(filepath, overwrite, max_shard_size)``; ``objects_to_skip`` may name layers whose weights a
    ``.weights.h5`` file shall not hold."""
    from ..models.weights import save_weights

    save_weights(model, filepath, overwrite, max_shard_size, **kwargs)


def load_weights(
    model: Model, filepath: str | os.PathLike[str], skip_mismatch: bool = False, **kwargs: Any
) -> None:
    """``model.load_weights(filepath, skip_mismatch, **kwargs)``."""
    model.load_weights(filepath, skip_mismatch=skip_mismatch, **kwargs)


def load_model(
    filepath: str | os.PathLike[str] | IO[bytes],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Model:
    """Load a model that lstmfast or Keras saved; the content decides on the format, not the name.

    Parameters
    ----------
    filepath : str or path-like
        The file; or the folder that Keras makes of a model with ``zipped=False``; or an open binary file that holds a
        ``.keras`` archive.
    custom_objects : mapping of str to class or function, optional
        Your own layers, losses, metrics... by their name or registered name.
    compile : bool
        Whether to restore the compile state and the optimizer.
    safe_mode : bool
        Must be True: lstmfast never runs code from a file.

    Returns
    -------
    Model
        With weights and, if it was compiled, optimizer state as saved.

    Raises
    ------
    ValueError
        If the file is of no known format, damaged, hostile, or names a class that is neither lstmfast's nor
        in `custom_objects`.
        As in Keras, also if there is no such file, unless the name ends in ``.h5``, ``.hdf5`` or ``.safetensors``.
    FileNotFoundError
        If it does.
    ImportError
        If the file is Keras's and h5py is missing.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from lstmfast import Sequential, Input, layers, saving
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> Sequential([Input((None, 3)), layers.LSTM(4)]).save(path)
    >>> saving.load_model(path).output_shape
    (None, 4)
    """
    if not safe_mode:
        raise ValueError(
            "safe_mode=False is not supported: lstmfast never runs code from a file; use custom_objects"
        )
    if custom_objects is not None and not isinstance(custom_objects, Mapping):
        raise TypeError(
            f"custom_objects must be a mapping of names to classes, got {type(custom_objects).__name__}"
        )
    if isinstance(filepath, io.IOBase):
        from .keras_archive import load_keras

        return load_keras(filepath, custom_objects, compile)
    path = path_of(filepath)
    if os.path.isdir(path):
        if not os.path.exists(os.path.join(path, "config.json")):
            raise ValueError(
                f"filepath must name a model file, got the directory {path!r}, without config.json"
            )
        from .keras_archive import load_keras

        return load_keras(path, custom_objects, compile)
    ending = os.path.splitext(path)[1].lower()
    if not os.path.exists(path) and ending == ".keras":
        raise ValueError(
            f"File not found: filepath={path}. Please ensure the file is an accessible `.keras` zip file."
        )
    if not os.path.exists(path) and ending not in (".h5", ".hdf5", ".safetensors"):
        raise ValueError(
            f"File format not supported, or no such file: filepath={path}. lstmfast reads `.safetensors`, `.keras` and "
            "`.h5` files."
        )
    with open(path, "rb") as file:
        start = file.read(16)
    if start.startswith(b"PK\x03\x04"):
        from .keras_archive import load_keras

        return load_keras(path, custom_objects, compile)
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        from .legacy_h5 import load_legacy

        return load_legacy(path, custom_objects, compile)
    if start[8:9] == b"{":
        from .native import load_native

        return load_native(path, custom_objects, compile)
    raise ValueError(f"{path!r} is not a model file: it begins like no .safetensors, .keras or .h5 file")


def path_of(filepath: Any) -> str:
    """`filepath` as a str; TypeError if it is none."""
    path = os.fspath(filepath) if isinstance(filepath, (str, os.PathLike)) else None
    if not isinstance(path, str) or not path:
        raise TypeError(f"filepath must be a str or a path, got {filepath!r}")
    return path
