# SPDX-License-Identifier: BSD-3-Clause
"""TensorBoard's event files, written without TensorBoard: protocol buffers in TFRecord frames.

A frame is the length (8 bytes), its checksum (4), the record, its checksum (4), little-endian; a checksum is CRC-32C
(Castagnoli), rotated by 15 bits and added to a constant. A record is an ``Event`` of tensorflow/core/util/event.proto
with a ``Summary`` of tensorflow/core/framework/summary.proto; the numbers of their fields stand below.
"""

from __future__ import annotations

import itertools
import os
import socket
import struct
import time
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

__all__ = ["EventFile", "crc32c"]

_numbers = itertools.count()


def _crc_table() -> list[int]:
    table = []
    for i in range(256):
        for _ in range(8):
            i = (i >> 1) ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    return table


_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli) of some bytes.

    Examples
    --------
    >>> from lstmfast.callbacks.event_file import crc32c
    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _checksum(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


class EventFile:
    """One file of events in a folder, which is made.

    Parameters
    ----------
    folder : str or path
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        os.makedirs(folder, exist_ok=True)
        now = time.time()
        name = f"events.out.tfevents.{int(now):010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}.v2"
        self.path = os.path.join(folder, name)
        self._file: BinaryIO = open(self.path, "xb")  # noqa: SIM115
        self._write(_double(1, now) + _bytes(3, b"brain.Event:2"))

    def scalar(self, tag: str, value: float, step: int) -> None:
        """A number at a step."""
        simple_value = _varint(2 << 3 | 5) + struct.pack("<f", value)
        self._summary(_bytes(1, tag.encode()) + simple_value, step)

    def histogram(self, tag: str, values: npt.ArrayLike, step: int, buckets: int = 30) -> None:
        """How the finite numbers of an array are distributed at a step."""
        x = np.asarray(values, np.float64).reshape(-1)
        x = x[np.isfinite(x)]
        if not x.size:
            return
        counts, edges = np.histogram(x, bins=buckets)
        numbers = (x.min(), x.max(), x.size, x.sum(), np.square(x).sum())
        histogram = b"".join(_double(1 + i, float(n)) for i, n in enumerate(numbers))
        histogram += _bytes(6, edges[1:].astype("<f8").tobytes()) + _bytes(7, counts.astype("<f8").tobytes())
        self._summary(_bytes(1, tag.encode()) + _bytes(5, histogram), step)

    def _summary(self, value: bytes, step: int) -> None:
        self._write(_double(1, time.time()) + _varint(2 << 3) + _varint(step) + _bytes(5, _bytes(1, value)))

    def _write(self, record: bytes) -> None:
        length = struct.pack("<Q", len(record))
        self._file.write(length + _checksum(length) + record + _checksum(record))

    def flush(self) -> None:
        """What was written is in the file."""
        self._file.flush()

    def close(self) -> None:
        """No more events."""
        self._file.close()
