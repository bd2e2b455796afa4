# SPDX-License-Identifier: BSD-3-Clause
"""Members out of a zip archive that may be hostile; nothing is ever extracted to disk."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from typing import IO

__all__ = ["read_members"]

#: A member may expand to this many times its stored size. Keras stores members as they are (ratio 1), JSON
#: deflates about 30 times, deflate's own limit is 1032.
MAX_RATIO = 100
#: Below this size the ratio does not matter.
RATIO_FLOOR = 1 << 20
MAX_MEMBERS = 10_000


def read_members(path: str | os.PathLike[str] | IO[bytes], limits: dict[str, int | None]) -> dict[str, bytes]:
    """Read some members of a zip archive whole, having checked the whole archive's directory.

    Parameters
    ----------
    path : str, path-like or binary file
        The archive.
    limits : dict of str to (int or None)
        The members to read, each with the largest size accepted (None: bounded by the ratio to the stored
        size only). Members that the archive lacks are left out of the result.

    Raises
    ------
    ValueError
        For duplicate names, names that leave the archive's directory, symbolic links, encryption, unusual
        compression, sizes beyond the limits, and damage.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                raise ValueError(
                    f"the archive has {len(members)} members, at most {MAX_MEMBERS} are accepted"
                )
            seen: set[str] = set()
            for member in members:
                _check(member)
                if member.filename in seen:
                    raise ValueError(f"the archive has two members {member.filename!r}")
                seen.add(member.filename)
            return {name: _read(archive, name, limit) for name, limit in limits.items() if name in seen}
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        UnicodeError,
        RuntimeError,
    ) as error:
        raise ValueError(f"the zip archive is damaged or of a kind that is not accepted: {error}") from None
    except OSError as error:
        if error.filename is not None:  # there is no such file, or it may not be read
            raise
        raise ValueError(f"the zip archive is damaged: {error}") from None  # a member at a negative offset


def _check(member: zipfile.ZipInfo) -> None:
    name = member.orig_filename  # ZipInfo.filename is cut at a NUL and has its separators changed
    parts = name.rstrip("/").split("/")
    if (
        not name
        or "\0" in name
        or "\\" in name
        or ":" in name
        or any(part in ("", ".", "..") for part in parts)
    ):
        raise ValueError(f"the archive has a member with the unacceptable name {name!r}")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise ValueError(f"the archive's member {name!r} is a symbolic link")
    if member.flag_bits & 0x1:
        raise ValueError(f"the archive's member {name!r} is encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(
            f"the archive's member {name!r} has compression method {member.compress_type}: refused"
        )
    if member.file_size > max(RATIO_FLOOR, MAX_RATIO * member.compress_size):
        raise ValueError(
            f"the archive's member {name!r} declares {member.file_size} bytes for "
            f"{member.compress_size} stored ones: refused as a decompression bomb"
        )


def _read(archive: zipfile.ZipFile, name: str, limit: int | None) -> bytes:
    member = archive.getinfo(name)
    if limit is not None and member.file_size > limit:
        raise ValueError(
            f"the archive's member {name!r} has {member.file_size} bytes, at most {limit} are accepted"
        )
    with archive.open(member) as file:
        data = file.read(member.file_size + 1)  # never more than declared, whatever the deflate stream says
    if len(data) != member.file_size:
        raise ValueError(
            f"the archive's member {name!r} has {len(data)} bytes, its directory says {member.file_size}"
        )
    return data
