# SPDX-License-Identifier: BSD-3-Clause
"""Around the lookup layers: what their arguments may be, batches of tokens, vocabulary files."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from ...saving import vocabularies as vocabulary_files
from ..arguments import is_integer

__all__ = [
    "Rows",
    "VocabularyFiles",
    "as_list",
    "as_text",
    "checked_salt",
    "is_data_set",
    "lines_of",
    "object_array",
    "refuse_path",
    "rows_of",
    "text_array",
]

Array = npt.NDArray[Any]
#: A batch of tokens: one list a row.
Rows = list[list[Any]]


class VocabularyFiles:
    """Keras's methods for what a layer keeps in files besides weights."""

    def save_assets(self, dir_path: str | os.PathLike[str]) -> None:
        """Write ``vocabulary.txt``, a token a line, into a folder; nothing if the layer was made with a `vocabulary`.

        Raises
        ------
        ValueError
            If a token does not fit on a line of its own.
        """
        vocabulary_files.save_assets(self, dir_path)

    def load_assets(self, dir_path: str | os.PathLike[str]) -> None:
        """Take over the vocabulary that `save_assets` wrote into a folder.

        Raises
        ------
        ValueError
            If it does not fit the layer.
        OSError
            If there is no such file.
        """
        vocabulary_files.load_assets(self, dir_path)


def lines_of(path: str | os.PathLike[str], encoding: str) -> list[str]:
    """The lines of a vocabulary file; ValueError if there is none."""
    if not os.path.isfile(path):
        raise ValueError(f"Vocabulary file {os.fspath(path)} does not exist.")
    with open(path, "rb") as file:
        lines = file.read().decode(encoding).split("\n")
    return [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def as_text(value: Any, what: str, encoding: str = "utf-8") -> tuple[list[bytes], tuple[int, ...]]:
    """Strings as encoded bytes, row by row, and the shape of the array they form.

    Parameters
    ----------
    value : str, bytes, nested lists of them, or an array of strings, bytes or objects
    what : str
        For errors.
    encoding : str
        Of the bytes.

    Raises
    ------
    TypeError
        If something else stands there.
    ValueError
        If lists differ in length.
    """
    if isinstance(value, np.ndarray):
        array = value
    elif hasattr(value, "__array__"):  # tensors, columns of tables
        array = np.asarray(value)
    else:
        array = np.empty((), object)
        array[()] = value
        if isinstance(value, (list, tuple)):
            array = np.array(value, object)
    if array.dtype.kind not in "USOT":
        raise TypeError(f"{what} must be strings, got dtype {array.dtype}")
    flat = array.ravel().tolist()
    try:
        return [item if type(item) is bytes else item.encode(encoding) for item in flat], array.shape
    except AttributeError:
        pass
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} must be strings that {encoding!r} can encode: {error}") from None
    wrong = next(item for item in flat if not isinstance(item, (str, bytes)))
    if isinstance(wrong, (list, tuple, np.ndarray)):
        raise ValueError(
            f"{what} must be an array of strings: rows of different lengths (ragged) are not supported"
        )
    raise TypeError(f"{what} must be strings, got {wrong!r} of type {type(wrong).__name__}")


def checked_encoding(encoding: Any) -> str:
    """`encoding`, or an error if it names none in which ASCII is ASCII: words are split and cleaned as bytes."""
    if not isinstance(encoding, str):
        raise TypeError(f"encoding: expected a name such as 'utf-8', got {encoding!r}")
    try:
        plain = "a b".encode(encoding) == b"a b"
    except LookupError:
        plain = False
    if not plain:
        raise ValueError(
            f"encoding: expected a name such as 'utf-8', of a superset of ASCII, got {encoding!r}"
        )
    return encoding


def text_array(value: Any, what: str, encoding: str) -> Array:
    """Strings as an array of encoded bytes; see `as_text`."""
    return object_array(*as_text(value, what, encoding))


def object_array(items: list[Any], shape: tuple[int, ...]) -> Array:
    """An array that holds the items themselves."""
    array = np.empty(len(items), object)
    array[:] = items
    return array.reshape(shape)


def is_data_set(data: Any) -> bool:
    """Whether `data` gives batches, rather than being one."""
    return hasattr(data, "__iter__") and not (
        isinstance(data, (str, bytes, list, tuple)) or hasattr(data, "__array__") or hasattr(data, "detach")
    )


def rows_of(keys: list[Any], shape: tuple[int, ...]) -> Rows:
    """Keys along the last axis as one list for each row; of a single axis, or none, as one row."""
    width = shape[-1] if shape else 1
    return [keys[k : k + width] for k in range(0, len(keys), width)] if width else []


def as_list(value: Any) -> Any:
    """Arrays and tuples as lists, for a configuration."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def refuse_path(vocabulary: Any) -> None:
    """ValueError if a configuration names a file, which nothing that describes a layer may do."""
    if isinstance(vocabulary, str):
        raise ValueError(
            f"vocabulary={vocabulary!r}: a configuration cannot make lstmfast read a file; pass the path to the layer "
            "itself, or to its set_vocabulary()"
        )


def checked_salt(salt: Any, vocabulary_dtype: str, oov_method: str) -> list[int] | None:
    if salt is None:
        return None
    if vocabulary_dtype == "int64" and oov_method != "farmhash":
        raise ValueError(
            f"`salt` can only be used when `oov_method='farmhash'`. Received: oov_method={oov_method}"
        )
    if isinstance(salt, (tuple, list)) and len(salt) == 2 and all(map(is_integer, salt)):
        return [int(k) for k in salt]
    if is_integer(salt):
        return [int(salt), int(salt)]
    raise ValueError(
        "The `salt` argument for `IndexLookup` can only be a tuple of 2 integers, or a single integer. "
        f"Received: salt={salt}."
    )
