# SPDX-License-Identifier: BSD-3-Clause
"""Keras 3's weight files: groups of numbered arrays in one HDF5 file, or in several with an index.

The index, ``model.weights.json``, says of each group in which of the files beside it, ``model_00000.weights.h5``..., its
arrays are (keras/src/saving/saving_lib.py, `ShardedH5IOStore`).
"""

from __future__ import annotations

import io
import itertools
import json
import os
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from .atomic import replace_file
from .hdf5_reader import WeightFile, import_h5py
from .model_state import json_to_config

__all__ = ["Group", "ShardedWeights", "save_shards", "write_groups"]

Array = npt.NDArray[Any]

#: (path, name of the layer, its arrays)
Group = tuple[str, str, dict[str, Array]]


def write_groups(groups: Iterable[Group]) -> memoryview:
    """An HDF5 file that holds the groups."""
    h5py = import_h5py()
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for path, name, arrays in groups:
            group = file.create_group(path)
            group.attrs["name"] = name
            for key, array in arrays.items():
                group[key] = array
    return buffer.getbuffer()


def save_shards(groups: Iterable[Group], path: str | os.PathLike[str], max_shard_size: float) -> None:
    """Write the groups into files of at most `max_shard_size` GiB of arrays, and the index to `path`.

    Raises
    ------
    ValueError
        If one array alone is larger, or `max_shard_size` is no positive number.
    """
    if isinstance(max_shard_size, (bool, str)) or not max_shard_size > 0:
        raise ValueError(f"max_shard_size must be a positive number of GB, got {max_shard_size!r}")
    index = os.fspath(path)
    if not index.endswith(".json"):
        new = os.path.splitext(index)[0] + ".json"
        warnings.warn(
            "Saving sharded weights requires `*.json` as the extension. The original path: "
            f"{index} will be renamed to {new}.",
            stacklevel=5,
        )
        index = new
    limit = max_shard_size * 1024**3
    base = os.path.splitext(os.path.basename(index))[0].replace(".weights", "")
    shards: list[dict[str, Group]] = [{}]
    places: dict[str, list[str]] = {}
    total = left = 0
    for group, name, arrays in groups:
        for key, array in arrays.items():
            if array.nbytes > limit:
                raise ValueError(
                    f"The size of array {key!r} of {group!r} is {array.nbytes} bytes, which exceeds the maximum shard size, "
                    f"{int(limit)} bytes: increase `max_shard_size`"
                )
            if left + array.nbytes > limit:
                shards.append({})
                left = 0
            left, total = left + array.nbytes, total + array.nbytes
            shards[-1].setdefault(group, (group, name, {}))[2][key] = array
            files = places.setdefault(f"/{group}", [])
            file = _shard_name(base, len(shards) - 1)
            if file not in files:
                files.append(file)
    for number, shard in enumerate(shards):
        with replace_file(os.path.join(os.path.dirname(index), _shard_name(base, number))) as target:
            target.write(write_groups(shard.values()))
    weight_map = {group: files[0] if len(files) == 1 else files for group, files in places.items()}
    with replace_file(index) as target:
        target.write(
            json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=4).encode()
        )


def _shard_name(base: str, number: int) -> str:
    return f"{base}_{number:05}.weights.h5"


class ShardedWeights:
    """What `WeightFile` is for one file, for an index and the files that it names, which are read as they are needed.

    Parameters
    ----------
    path : str or path-like
        The index; its files are looked for in the same directory and nowhere else.
    data : bytes
        What stands in it.

    Raises
    ------
    ValueError
        If the index is damaged, or names a file outside of its directory.
    """

    def __init__(self, path: str | os.PathLike[str], data: bytes) -> None:
        self._directory = os.path.dirname(os.fspath(path))
        weight_map = json_to_config(data).get("weight_map")
        if not isinstance(weight_map, dict):
            raise ValueError("it has no weight_map: not an index of Keras's")
        self._files = {
            group.strip("/"): [
                self._checked(name) for name in (names if isinstance(names, list) else [names])
            ]
            for group, names in weight_map.items()
        }
        self._open: tuple[str, WeightFile] | None = None

    @staticmethod
    def _checked(name: Any) -> str:
        if not isinstance(name, str) or name != os.path.basename(name) or not name.endswith(".h5"):
            raise ValueError(f"its weight_map names {name!r}, expected the name of an .h5 file beside it")
        return name

    def __enter__(self) -> ShardedWeights:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._open is not None:
            self._open[1].__exit__()

    def has(self, name: str) -> bool:
        """Whether there are groups below `name`."""
        return any(group == name or group.startswith(f"{name}/") for group in self._files)

    def arrays(self, path: str) -> list[Array]:
        """The arrays ``0``, ``1``, ... of the group `path`; none if there is no such group."""
        found = []
        for number in itertools.count():
            array = self.named_array(f"{path}/{number}")
            if array is None:
                break
            found.append(array)
        return found

    def named_array(self, path: str) -> Array | None:
        """The array at `path`; None if there is none."""
        for name in self._files.get(path.rpartition("/")[0], []):
            array = self._shard(name).named_array(path)
            if array is not None:
                return np.asarray(array)
        return None

    def _shard(self, name: str) -> WeightFile:
        if self._open is not None and self._open[0] == name:
            return self._open[1]
        try:
            with open(os.path.join(self._directory, name), "rb") as file:
                shard = WeightFile(file.read(), name)
        except OSError as error:
            raise ValueError(f"the file {name!r} that it names cannot be read: {error}") from None
        self.__exit__()
        self._open = (name, shard)
        return shard
