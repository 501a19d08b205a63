"""Checksums of frames, by table: one is looked at for every frame that arrives.

All but the sum are linear: what each byte adds to them does not depend on the others. So a frame of eight
bytes is right when what its four pairs of bytes add comes to the same as in a frame of zeros, which are four
look-ups instead of a loop.
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from functools import cache, reduce
from operator import xor
from typing import Final

from evswap_edge.dbc import ChecksumKind

Check = Callable[[Iterable[int]], int]
Holds = Callable[[bytes], bool]
"""Whether a frame is as it was sent."""

_EIGHT: Final = 8
_IN_PAIRS: Final = struct.Struct(">4H")


def _table(polynomial: int) -> bytes:
    """What each value of a byte becomes, most significant bit first."""

    def shifted(value: int) -> int:
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & 0x80 else value << 1) & 0xFF
        return value

    return bytes(shifted(value) for value in range(256))


_SAE_J1850: Final = _table(0x1D)
_SMBUS: Final = _table(0x07)


def _sae_j1850(data: Iterable[int]) -> int:
    crc = 0xFF
    for byte in data:
        crc = _SAE_J1850[crc ^ byte]
    return crc ^ 0xFF


def _smbus(data: Iterable[int]) -> int:
    crc = 0
    for byte in data:
        crc = _SMBUS[crc ^ byte]
    return crc


def _sum(data: Iterable[int]) -> int:
    return sum(data) & 0xFF


def _xor(data: Iterable[int]) -> int:
    return reduce(xor, data, 0)


CHECKS: Final[Mapping[ChecksumKind, Check]] = {
    ChecksumKind.CRC8_SAE_J1850: _sae_j1850,
    ChecksumKind.CRC8: _smbus,
    ChecksumKind.SUM: _sum,
    ChecksumKind.XOR: _xor,
}


@cache
def holder(kind: ChecksumKind, *, byte: int, length: int) -> Holds:
    """For frames of ``length`` bytes, of which ``byte`` is the checksum of all others."""
    if length == _EIGHT and kind is not ChecksumKind.SUM:
        return _in_pairs(CHECKS[kind], byte)
    return _one_by_one(CHECKS[kind], byte)


def _one_by_one(check: Check, byte: int) -> Holds:
    def holds(data: bytes) -> bool:
        return check(data[:byte] + data[byte + 1 :]) == data[byte]

    return holds


def _in_pairs(check: Check, byte: int) -> Holds:
    zeros = check(bytes(_EIGHT - 1))
    adds = [_what_it_adds(check, place, byte) for place in range(_EIGHT)]
    first, second, third, fourth = (_paired(*adds[place : place + 2]) for place in range(0, _EIGHT, 2))
    pairs_of = _IN_PAIRS.unpack

    def holds(data: bytes) -> bool:
        one, two, three, four = pairs_of(data)
        said: int = first[one] ^ second[two] ^ third[three] ^ fourth[four]
        return said == zeros

    return holds


def _what_it_adds(check: Check, place: int, checksum: int) -> bytes:
    """By the value of the byte at ``place``. The checksum itself has to come to the same as the others."""
    if place == checksum:
        return bytes(range(256))
    before = place - (place > checksum)
    frame = bytearray(_EIGHT - 1)
    zeros = check(frame)
    added = bytearray()
    for value in range(256):
        frame[before] = value
        added.append(check(frame) ^ zeros)
    return bytes(added)


def _paired(one: bytes, other: bytes) -> bytes:
    """What two neighbours add together, by the number that they make."""
    row = int.from_bytes(other)
    return b"".join((row ^ int.from_bytes(bytes([value]) * 256)).to_bytes(256) for value in one)
