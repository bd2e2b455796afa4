# SPDX-License-Identifier: BSD-3-Clause
"""Files that appear whole or not at all: written under a temporary name, then renamed.

A full disk, a crash or an interrupt leaves the old file as it was. The temporary file stands in the same
directory, since a rename is atomic only within one file system.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["replace_file"]


@contextlib.contextmanager
def replace_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a temporary file for binary writing; on a clean exit it takes the place of `path`.

    Parameters
    ----------
    path : str or path-like
        The file to create or replace. A symbolic link is followed: the file it points to is replaced.

    Raises
    ------
    ValueError
        If `path` is a directory, a device or a pipe, or its directory does not exist.
    OSError
        If writing fails (disk full, no permission); `path` is then as it was before.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "notes.bin"
    >>> with replace_file(target) as file:
    ...     _ = file.write(b"whole")
    >>> target.read_bytes()
    b'whole'
    """
    target = os.path.realpath(os.fspath(path))
    directory, name = os.path.split(target)
    if os.path.isdir(target):
        raise ValueError(f"path must name a file, got the directory {os.fspath(path)!r}")
    if os.path.exists(target) and not os.path.isfile(target):  # the rename would take a device's place
        raise ValueError(
            f"path must name a regular file, got {os.fspath(path)!r}, which is a device, pipe or socket"
        )
    if not os.path.isdir(directory):
        raise ValueError(
            f"path must be in an existing directory, got {os.fspath(path)!r}: no directory {directory!r}"
        )
    temporary = os.path.join(directory, f".{name[:100]}.{secrets.token_hex(6)}.tmp")
    # "x": never through a file or link that somebody put there; "+": zipfile reads back what it wrote.
    file = open(temporary, "xb+")  # noqa: SIM115
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(target):  # a replaced file keeps its permissions
            with contextlib.suppress(OSError):
                os.chmod(temporary, os.stat(target).st_mode & 0o7777)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_directory(directory)


def _sync_directory(directory: str) -> None:
    """Make the rename itself durable; file systems that cannot sync a directory are left alone."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
