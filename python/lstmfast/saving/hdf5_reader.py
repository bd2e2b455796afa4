# SPDX-License-Identifier: BSD-3-Clause
"""Arrays out of an HDF5 file that may be hostile, through h5py.

HDF5 can point outside of itself (external links and storage, virtual data sets), load plug-ins for filters,
and declare shapes that have nothing to do with the file's size. Keras's files need none of that: plain
groups, hard links, contiguous unfiltered arrays, texts in attributes. Everything else is refused before it is opened or read.
"""

from __future__ import annotations

import io
import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .hdf5_attributes import claimed_text_bytes

__all__ = ["WeightFile", "import_h5py"]

Array = npt.NDArray[Any]

#: What h5py raises for damaged files.
_DAMAGE = (
    OSError,
    RuntimeError,
    KeyError,
    TypeError,
    UnicodeError,
    OverflowError,
)  # and sometimes ValueError


def import_h5py() -> Any:
    """h5py, or an ImportError that says how to get it."""
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            "Keras model files need h5py: pip install 'lstmfast[keras]'. The native format "
            "needs nothing: save to a path that ends in .safetensors."
        ) from error
    return h5py


class WeightFile:
    """An HDF5 file in memory, of which only plain arrays in plain groups, and texts in attributes, can be read.

    Parameters
    ----------
    data : bytes
    name : str
        What messages call the file.
    """

    def __init__(self, data: bytes, name: str = "model.weights.h5") -> None:
        self._h5py = import_h5py()
        self._name = name
        self._data, self.size = data, len(data)
        try:
            self._file = self._h5py.File(io.BytesIO(data), "r")
        except (*_DAMAGE, ValueError) as error:
            raise ValueError(f"{self._name} is not an HDF5 file or is damaged: {error}") from None

    def __enter__(self) -> WeightFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def arrays(self, path: str) -> list[Array]:
        """The arrays ``0``, ``1``, ... of the group `path`; none if there is no such group."""
        try:
            group = self._group(path)
            if group is None:
                return []
            names = [str(number) for number in range(len(group))]
            return [self._read(group, name, f"{path}/{name}") for name in names]
        except _DAMAGE as error:
            raise ValueError(f"{self._name} is damaged at {path!r}: {error}") from None

    def named_array(self, path: str) -> Array | None:
        """The array at `path`; None if there is none."""
        group_path, _, name = path.rpartition("/")
        try:
            group = self._group(group_path)
            return None if group is None or self._link(group, name) is None else self._read(group, name, path)
        except _DAMAGE as error:
            raise ValueError(f"{self._name} is damaged at {path!r}: {error}") from None

    def has(self, name: str) -> bool:
        """Whether the root has an entry of this name."""
        try:
            return self._link(self._file, name) is not None
        except _DAMAGE as error:
            raise ValueError(f"{self._name} is damaged: {error}") from None

    def text(self, path: str, attribute: str) -> str | None:
        """An attribute of the group `path` ("" is the root) that holds one text; None if there is none."""
        values = self._texts(path, attribute)
        if values is not None and len(values) != 1:
            raise ValueError(f"the attribute {attribute!r} in {self._name} must be one text")
        return None if values is None else values[0]

    def texts(self, path: str, attribute: str) -> list[str]:
        """A list of texts, which may be split: ``layer_names``, or ``layer_names0``, ``layer_names1``..."""
        whole = self._texts(path, attribute)
        if whole is not None:
            return whole
        found: list[str] = []
        for number in itertools.count():
            part = self._texts(path, f"{attribute}{number}")
            if part is None:
                return found
            found += part
        raise AssertionError

    def _texts(self, path: str, attribute: str) -> list[str] | None:
        try:
            group = self._group(path)
            if group is None or attribute not in group.attrs:
                return None
            described = group.attrs.get_id(attribute)
            shape, dtype = described.shape, described.dtype
            if shape is None or math.prod(shape) == 0:
                return []
            if math.prod(shape) * dtype.itemsize > self.size:
                raise ValueError(
                    f"the attribute {attribute!r} in {self._name} declares more than the file holds"
                )
            if self._h5py.check_string_dtype(dtype) is None:
                raise ValueError(
                    f"the attribute {attribute!r} in {self._name} has dtype {dtype}, expected text"
                )
            claimed = claimed_text_bytes(self._data, self._h5py.h5o.get_info(group.id).addr, attribute)
            if claimed > self.size:
                raise ValueError(
                    f"the attribute {attribute!r} in {self._name} claims {claimed} bytes of text"
                )
            values = np.asarray(group.attrs[attribute], object).reshape(-1)
            return [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in values]
        except _DAMAGE as error:
            raise ValueError(f"{self._name} is damaged at the attribute {attribute!r}: {error}") from None

    def _group(self, path: str) -> Any:
        group = self._file
        if not path:
            return group
        for part in path.split("/"):
            if self._link(group, part) is None:
                return None
            self._require_hard_link(group, part, path)
            group = group[part]
            if not isinstance(group, self._h5py.Group):
                raise ValueError(f"{path!r} in {self._name} must be a group at {part!r}")
        return group

    def _link(self, group: Any, name: str) -> Any:
        """The class of a link, without following it as `name in group` would; None if there is none."""
        return group.get(name, getclass=True, getlink=True)

    def _require_hard_link(self, group: Any, name: str, path: str) -> None:
        kind = self._link(group, name)
        if kind is not self._h5py.HardLink:
            raise ValueError(f"{path!r} in {self._name} is an HDF5 {kind.__name__}: links are refused")

    def _read(self, group: Any, name: str, path: str) -> Array:
        if self._link(group, name) is None:
            raise ValueError(
                f"{path!r} is missing in {self._name}: arrays must be numbered from 0 without gaps"
            )
        self._require_hard_link(group, name, path)
        dataset = group[name]
        if not isinstance(dataset, self._h5py.Dataset):
            raise ValueError(f"{path!r} in {self._name} must be an array")
        properties = dataset.id.get_create_plist()
        if dataset.is_virtual:
            raise ValueError(f"{path!r} in {self._name} is a virtual data set: these are refused")
        if properties.get_external_count():
            raise ValueError(f"{path!r} in {self._name} is stored in another file: that is refused")
        if properties.get_nfilters():
            raise ValueError(
                f"{path!r} in {self._name} has filters (compression), which Keras never writes: refused"
            )
        if dataset.chunks is not None:
            raise ValueError(
                f"{path!r} in {self._name} is chunked: Keras writes contiguous arrays, others are refused"
            )
        dtype = dataset.dtype
        bfloat16 = dtype.kind == "V" and dtype.itemsize == 2 and dtype.names is None  # how h5py stores it
        if (dtype.kind not in "fiu" and not bfloat16) or dtype.itemsize > 8:
            raise ValueError(f"{path!r} in {self._name} has dtype {dtype}, expected numbers")
        if dataset.shape is None:
            raise ValueError(f"{path!r} in {self._name} is empty")
        nbytes = math.prod(dataset.shape) * dtype.itemsize
        if nbytes > self.size or nbytes > dataset.id.get_storage_size():
            raise ValueError(
                f"{path!r} in {self._name} declares shape {dataset.shape}, more than the file holds"
            )
        array = np.asarray(dataset[()])
        if bfloat16:  # the upper half of a float32
            return (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        return array
