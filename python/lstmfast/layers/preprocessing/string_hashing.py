# SPDX-License-Identifier: BSD-3-Clause
"""The hashes by which Keras spreads words over several numbers, in plain Python.

FarmHash's 64-bit fingerprint (G. Pike, https://github.com/google/farmhash) and SipHash-2-4 (Aumasson and Bernstein 2012).
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["cross64", "farmhash64", "siphash64"]

_ALL = 0xFFFFFFFFFFFFFFFF
#: Primes of FarmHash between 2**63 and 2**64.
_P0, _P1, _P2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F


def _word(data: bytes, at: int, size: int = 8) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _right(value: int, bits: int) -> int:
    """Rotated to the right, of the last 64 bits."""
    value &= _ALL
    return (value >> bits | value << (64 - bits)) & _ALL


def _left(value: int, bits: int) -> int:
    return _right(value, 64 - bits)


def _fold(value: int) -> int:
    value &= _ALL
    return value ^ value >> 47


def _join(u: int, v: int, factor: int) -> int:
    u, v = u & _ALL, v & _ALL
    a = _fold((u ^ v) * factor)
    return _fold((v ^ a) * factor) * factor & _ALL


def farmhash64(data: bytes) -> int:
    """The 64-bit fingerprint of some bytes.

    Examples
    --------
    >>> from lstmfast.layers.preprocessing.string_hashing import farmhash64
    >>> farmhash64(b"") == 0x9AE16A3B2F90404F  # the algorithm's constant
    True
    """
    n = len(data)
    if n > 64:
        return _farmhash_long(data)
    factor = _P2 + 2 * n
    if n == 0:
        return _P2
    if n < 4:
        y, z = data[0] + (data[n >> 1] << 8), n + (data[n - 1] << 2)
        return _fold(y * _P2 & _ALL ^ z * _P0 & _ALL) * _P2 & _ALL
    if n < 8:
        return _join(n + (_word(data, 0, 4) << 3), _word(data, n - 4, 4), factor)
    if n <= 16:
        a, b = _word(data, 0) + _P2, _word(data, n - 8)
        return _join(_right(b, 37) * factor + a, (_right(a, 25) + b) * factor, factor)
    a = _word(data, 0) * (_P1 if n <= 32 else _P2)
    b, c, d = _word(data, 8), _word(data, n - 8) * factor, _word(data, n - 16) * _P2
    y, z = _right(a + b, 43) + _right(c, 30) + d, a + _right(b + _P2, 18) + c
    if n <= 32:
        return _join(y, z, factor)
    z = _join(y, z, factor)
    e, f = _word(data, 16) * factor, _word(data, 24)
    g, h = (y + _word(data, n - 32)) * factor, (z + _word(data, n - 24)) * factor
    return _join(_right(e + f, 43) + _right(g, 30) + h, e + _right(f + a, 18) + g, factor)


def _pair(data: bytes, at: int, a: int, b: int) -> tuple[int, int]:
    """32 bytes and two seeds as two words."""
    w, x, y, z = (_word(data, at + 8 * k) for k in range(4))
    a += w
    b = _right(b + a + z, 21)
    c = a
    a += x + y
    return (a + z) & _ALL, (b + _right(a, 44) + c) & _ALL


def _farmhash_long(data: bytes) -> int:
    n = len(data)
    x, y = 81, 81 * _P1 + 113
    z = _fold(y * _P2 + 113) * _P2
    v, w = (0, 0), (0, 0)
    x = x * _P2 + _word(data, 0)

    def mixed(at: int, factor: int, times: int) -> tuple[int, int, int, tuple[int, int], tuple[int, int]]:
        """The state after 64 bytes; `times` is 1 but for the last ones."""
        p = _right(x + y + v[0] + _word(data, at + 8), 37) * factor ^ w[1] * times & _ALL
        q = _right(y + v[1] + _word(data, at + 48), 42) * factor + v[0] * times + _word(data, at + 40)
        r = _right(z + w[0], 33) * factor
        v_next = _pair(data, at, v[1] * factor, p + w[0])
        w_next = _pair(data, at + 32, r + w[1], q + _word(data, at + 16))
        return r & _ALL, q & _ALL, p & _ALL, v_next, w_next

    end = (n - 1) // 64 * 64
    for at in range(0, end, 64):
        x, y, z, v, w = mixed(at, _P1, 1)
    factor = _P1 + ((z & 0xFF) << 1)
    w = (w[0] + ((n - 1) & 63), w[1])
    v = (v[0] + w[0], v[1])
    w = (w[0] + v[0], w[1])
    x, y, z, v, w = mixed(n - 64, factor, 9)
    return _join(_join(v[0], w[0], factor) + _fold(y) * _P0 + z, _join(v[1], w[1], factor) + x, factor)


def siphash64(data: bytes, key: tuple[int, int]) -> int:
    """SipHash-2-4 of some bytes under a key of two 64-bit numbers."""
    k0, k1 = key[0] & _ALL, key[1] & _ALL
    state = [
        k0 ^ 0x736F6D6570736575,
        k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261,
        k1 ^ 0x7465646279746573,
    ]

    def round_() -> None:
        a, b, c, d = state
        a = (a + b) & _ALL
        b = _left(b, 13) ^ a
        a = _left(a, 32)
        c = (c + d) & _ALL
        d = _left(d, 16) ^ c
        a = (a + d) & _ALL
        d = _left(d, 21) ^ a
        c = (c + b) & _ALL
        b = _left(b, 17) ^ c
        state[:] = a, b, _left(c, 32), d

    n = len(data)
    padded = data + bytes(7 - n % 8) + bytes([n & 0xFF])
    for at in range(0, len(padded), 8):
        word = _word(padded, at)
        state[3] ^= word
        round_()
        round_()
        state[0] ^= word
    state[2] ^= 0xFF
    for _ in range(4):
        round_()
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def cross64(values: Sequence[bytes | int]) -> int:
    """TensorFlow's fingerprint of a combination of strings and integers, as ``tf.sparse.cross_hashed`` makes it."""
    factor, number = 0xC6A4A7935BD1E995, 0xDECAFCAFFE
    for value in values:
        part = farmhash64(value) if isinstance(value, bytes) else value & _ALL
        mixed = (number ^ factor ^ _fold(part * factor) * factor) * factor & _ALL
        number = _fold(_fold(mixed) * factor)
    return number
