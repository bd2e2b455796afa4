# SPDX-License-Identifier: BSD-3-Clause
"""A strict reader and writer of the safetensors format, over a mapped file.

The format: 8 bytes, the header's length, little endian; the header, JSON: ``{name: {"dtype", "shape",
"data_offsets"}}`` and optionally ``"__metadata__": {str: str}``; then the arrays' bytes, C order, little
endian, without holes. Reference: https://github.com/huggingface/safetensors#format. No part of a file can
name code to run.

Why not the `safetensors` package: a dependency less, arrays that are views of the mapping instead of copies,
and bfloat16 (read as float32) under NumPy. Every size that the file states is checked against the file's real
size before anything is made from it.
"""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .atomic import replace_file

__all__ = ["MAX_HEADER_BYTES", "load_file", "parse", "save_file"]

Array = npt.NDArray[Any]

#: Largest header read or written. A header of 10,000 arrays takes about 1 MB; parsed JSON may take 30 times
#: its text's memory.
MAX_HEADER_BYTES = 16 << 20

_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("bool"),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "F32": np.dtype("<f4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items() if name != "BF16"}


def load_file(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """Map a safetensors file and return its arrays, as read-only views of the mapping, and its metadata.

    Parameters
    ----------
    path : str or path-like
        The file. It stays mapped as long as one of the arrays lives, and must not be shortened meanwhile.

    Returns
    -------
    arrays : dict of str to ndarray
        In the order of their bytes in the file. bfloat16 comes as a float32 copy (exact).
    metadata : dict of str to str
        The header's ``__metadata__``; empty if it has none.

    Raises
    ------
    ValueError
        If the file breaks the format in any way; the message says where.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "x.safetensors"
    >>> save_file({"x": np.arange(3.0)}, path, {"made by": "hand"})
    >>> load_file(path)
    ({'x': array([0., 1., 2.])}, {'made by': 'hand'})
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < 8:
            raise ValueError(
                f"{os.fspath(path)!r} is not a safetensors file: {size} bytes, at least 8 are needed"
            )
        mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    try:
        return parse(mapped)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)!r} is not a valid safetensors file: {error}") from None


def parse(buffer: bytes | mmap.mmap) -> tuple[dict[str, Array], dict[str, str]]:
    """Check a whole file in `buffer`; return views of its arrays, and its metadata (see `load_file`)."""
    size = len(buffer)
    if size < 8:
        raise ValueError(f"{size} bytes, at least 8 are needed")
    header_size = int.from_bytes(buffer[:8], "little")
    if header_size > MAX_HEADER_BYTES:
        raise ValueError(f"header of {header_size} bytes, at most {MAX_HEADER_BYTES} are accepted")
    start = 8 + header_size
    if start > size:
        raise ValueError(f"header of {header_size} bytes in a file of {size}: truncated")
    header = _parse_header(buffer[8:start])
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("__metadata__ must map strings to strings")

    entries = [_check_entry(name, entry, size - start) for name, entry in header.items()]
    entries.sort(key=lambda entry: entry[3:5])
    position = 0
    for name, _, _, begin, end in entries:  # sorted: each array must begin where the one before it ended
        if begin != position:
            what = "overlaps the array before it" if begin < position else "leaves a hole before it"
            raise ValueError(f"array {name!r} at {begin} {what} (expected {position})")
        position = end
    if position != size - start:
        raise ValueError(f"{size - start - position} bytes after the last array, at {position}")

    arrays = {}
    for name, kind, shape, begin, end in entries:
        dtype = _DTYPES[kind]
        array: Array = np.frombuffer(buffer, dtype, (end - begin) // dtype.itemsize, start + begin).reshape(
            shape
        )
        if kind == "BF16":
            array = (array.astype("<u4") << 16).view("<f4")
        arrays[name] = array
    return arrays, metadata


def _parse_header(raw: bytes) -> dict[str, Any]:
    """The header's JSON object; refuses other encodings, duplicate names, NaN and deep nesting."""
    if not raw.startswith(b"{"):
        raise ValueError("the header must begin with '{'")
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise ValueError(f"the header is not UTF-8: {error}") from None
    except RecursionError:
        raise ValueError("the header is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"the header is not JSON: {error}") from None
    assert isinstance(header, dict)  # it begins with "{"
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"the name {name!r} occurs twice in the header")
            seen.add(name)
    return result


def _no_constant(text: str) -> None:
    raise ValueError(f"the header holds {text}, which is not JSON")


def _check_entry(name: str, entry: Any, data_size: int) -> tuple[str, str, tuple[int, ...], int, int]:
    """One array's (name, dtype, shape, begin, end), every number checked against the others and the file."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"array {name!r} must have exactly dtype, shape and data_offsets")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in _DTYPES:
        raise ValueError(f"array {name!r} has dtype {kind!r}, known are {', '.join(_DTYPES)}")
    # type(..) is int: True is an int to isinstance, and 3.0 equals 3.
    if (
        not isinstance(shape, list)
        or len(shape) > 32
        or not all(type(n) is int and 0 <= n < 2**63 for n in shape)
    ):
        raise ValueError(f"array {name!r} has shape {_short(shape)}, expected at most 32 sizes from 0 on")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(n) is int for n in offsets):
        raise ValueError(f"array {name!r} has data_offsets {_short(offsets)}, expected [begin, end]")
    begin, end = offsets
    if not 0 <= begin <= end <= data_size:
        raise ValueError(
            f"array {name!r} has data_offsets [{begin}, {end}] outside of the file's {data_size} data bytes"
        )
    nbytes = math.prod(shape) * _DTYPES[kind].itemsize
    if nbytes != end - begin:
        raise ValueError(
            f"array {name!r} of shape {_short(shape)} and dtype {kind} takes {nbytes} bytes, "
            f"has {end - begin}"
        )
    if (
        math.prod(n for n in shape if n) * _DTYPES[kind].itemsize >= 2**63
    ):  # an empty array that NumPy cannot describe
        raise ValueError(f"array {name!r} has the impossible shape {_short(shape)}")
    return name, kind, tuple(shape), begin, end


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except RecursionError:
        return "(nested too deeply to show)"
    return text if len(text) <= 100 else text[:100] + "..."


def save_file(
    arrays: Mapping[str, Array], path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> None:
    """Write arrays to a safetensors file, which appears whole or not at all.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        Boolean, integer and floating-point arrays of 1 to 8 bytes an element, of any layout.
    path : str or path-like
        The file to create or to replace.
    metadata : mapping of str to str, optional
        Kept in the header.

    Raises
    ------
    ValueError
        If an array's dtype has no name in the format, or the header would be too long.
    OSError
        If writing fails; an older file at `path` is then unchanged.
    """
    header: dict[str, Any] = {}
    if metadata:
        header["__metadata__"] = dict(metadata)
    ordered: list[Array] = []
    position = 0
    # Wide elements first: every array is then aligned to its element size, the header being padded to 8.
    for name, value in sorted(arrays.items(), key=lambda item: -np.asarray(item[1]).dtype.itemsize):
        array = np.asarray(value)
        kind = _NAMES.get(array.dtype.newbyteorder("<"))
        if kind is None or name == "__metadata__":
            raise ValueError(
                f"array {name!r} with dtype {array.dtype} cannot be stored in a safetensors file"
            )
        array = np.ascontiguousarray(array, _DTYPES[kind]).reshape(array.shape)
        header[name] = {
            "dtype": kind,
            "shape": list(array.shape),
            "data_offsets": [position, position + array.nbytes],
        }
        position += array.nbytes
        ordered.append(array)
    raw = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    raw += b" " * (-len(raw) % 8)
    if len(raw) > MAX_HEADER_BYTES:
        raise ValueError(f"the header takes {len(raw)} bytes, at most {MAX_HEADER_BYTES} are accepted")
    with replace_file(path) as file:
        file.write(len(raw).to_bytes(8, "little"))
        file.write(raw)
        for array in ordered:
            file.write(array.reshape(-1).view("u1").data if array.size else b"")
