# SPDX-License-Identifier: BSD-3-Clause
"""How long the texts in an HDF5 attribute say they are, read from the bytes of the file.

HDF5 stores a text of variable length beside its place in a heap, with the length in front, and its library makes room for
that length before it looks whether there is so much: 16 bytes of a file can ask for 4 GB. It offers no way to ask, so the
object header is read here (HDF5 File Format Specification 3.0, sections II.A, IV.A), as far as Keras's files go: attributes
that stand in the header itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = ["claimed_text_bytes"]

_ATTRIBUTE, _CONTINUATION = 0x0C, 0x10
_VARIABLE_LENGTH = 9
#: Bytes of an element: its length, the address of its heap and the number there.
_ELEMENT = 16
_MAX_BLOCKS = 10_000


def claimed_text_bytes(data: bytes, address: int, name: str) -> int:
    """What the texts of an attribute of the object at `address` take together; 0 where they stand in the header.

    Raises
    ------
    ValueError
        If the header is damaged, or not of a form that h5py writes for Keras.
    """
    try:
        if _sizes_and_base(data) != (8, 8, 0):
            raise ValueError("its addresses are not of 8 bytes from its start")
        for kind, flags, message in _messages(data, address):
            if kind == _ATTRIBUTE:
                found = _attribute(message, flags, name.encode())
                if found is not None:
                    return found
    except (struct.error, IndexError) as error:
        raise ValueError(f"an object header is damaged: {error}") from None
    raise ValueError(f"the attribute {name!r} is not stored as Keras stores it, in the object's header")


def _sizes_and_base(data: bytes) -> tuple[int, int, int]:
    """Bytes of an address, of a length, and where the file's addresses begin."""
    if data[8] in (0, 1):
        (base,) = struct.unpack_from("<Q", data, 24 if data[8] == 0 else 28)
        return data[13], data[14], base
    (base,) = struct.unpack_from("<Q", data, 12)
    return data[9], data[10], base


def _messages(data: bytes, address: int) -> Iterator[tuple[int, int, bytes]]:
    """(type, flags, body) of an object header's messages, of both of its versions."""
    new = data[address : address + 4] == b"OHDR"
    if new:
        flags = data[address + 5]
        start = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        size = int.from_bytes(data[start : start + width], "little")
        blocks, head = [(start + width, size)], 6 if flags & 4 else 4
    else:
        if data[address] != 1:
            raise ValueError(f"an object header has version {data[address]}")
        (size,) = struct.unpack_from("<I", data, address + 8)
        blocks, head = [(address + 16, size)], 8
    number = 0
    while number < len(blocks):
        position, size = blocks[number]
        end = position + size
        number += 1
        if end > len(data) or number > _MAX_BLOCKS:
            raise ValueError("an object header reaches beyond the file")
        while position + head <= end:
            if new:
                kind, length, flags = struct.unpack_from("<BHB", data, position)
            else:
                kind, length, flags = struct.unpack_from("<HHB", data, position)
            body = data[position + head : position + head + length]
            position += head + length
            if kind == _CONTINUATION:
                place, size = struct.unpack_from("<QQ", body)
                blocks.append((place + 4, size - 8) if new else (place, size))  # OCHK, checksum
            yield kind, flags, body


def _attribute(body: bytes, flags: int, name: bytes) -> int | None:
    version, _, name_size, type_size, space_size = struct.unpack_from("<BBHHH", body)
    if version not in (1, 2, 3):
        raise ValueError(f"an attribute has version {version}")
    start = 9 if version == 3 else 8
    if body[start : start + name_size].rstrip(b"\0") != name:
        return None
    if flags & 2 or (version > 1 and body[1] & 3):
        raise ValueError(f"the attribute {name.decode()!r} is shared, which Keras's are not")

    def padded(size: int) -> int:
        return -(-size // 8) * 8 if version == 1 else size

    kind = start + padded(name_size)
    first = kind + padded(type_size) + padded(space_size)
    if body[kind] & 15 != _VARIABLE_LENGTH:
        return 0
    return sum(int(struct.unpack_from("<I", body, at)[0]) for at in range(first, len(body) - 15, _ELEMENT))
