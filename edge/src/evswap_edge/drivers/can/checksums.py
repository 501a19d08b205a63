"""Checksums of frames, by table, of all frames at once that have come: one is looked at for every frame.

All but the sum are linear: what each byte adds to them does not depend on the others. So a frame is right
when what its bytes add comes to the same as in a frame of zeros. That is found out a column at a time: the
first bytes of all frames, then the second ones, and so on.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache, reduce
from operator import xor
from typing import Final

from evswap_edge.dbc import ChecksumKind
from evswap_edge.drivers.can.frames import ROOM

Check = Callable[[Iterable[int]], int]


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


class Guard:
    """The byte of a frame that is the checksum of all others."""

    def __init__(self, kind: ChecksumKind, *, byte: int, length: int) -> None:
        self._check = CHECKS[kind]
        self._byte = byte
        self._length = length
        self._is_linear = kind is not ChecksumKind.SUM
        self._zeros = bytes([self._check(bytes(length - 1))])
        self._adds = [self._what_it_adds(place) for place in range(length)] if self._is_linear else []

    def wrong_in(self, rows: bytes) -> bytes:
        """For each frame, whether it is not as it was sent: 0 where it is. ``rows`` has their data, as
        ``Frames`` has it. Of those that do not have the length, nothing is said."""
        count = len(rows) // ROOM
        if not self._is_linear:
            return bytes([self._sums_up_to(rows[at : at + ROOM]) for at in range(0, len(rows), ROOM)])
        found = int.from_bytes(self._zeros * count)
        for place, adds in enumerate(self._adds):
            found ^= int.from_bytes(rows[place::ROOM].translate(adds))
        return found.to_bytes(count)

    def _sums_up_to(self, row: bytes) -> int:
        """How much the checksum is off: what stands behind the frame is 0."""
        return (sum(row) - 2 * row[self._byte]) & 0xFF

    def _what_it_adds(self, place: int) -> bytes:
        """By the value of the byte at ``place``. The checksum itself has to come to the same as the
        others."""
        if place == self._byte:
            return bytes(range(256))
        before = place - (place > self._byte)
        frame = bytearray(self._length - 1)
        added = bytearray()
        for value in range(256):
            frame[before] = value
            added.append(self._check(frame) ^ self._zeros[0])
        return bytes(added)


@cache
def guard_of(kind: ChecksumKind, *, byte: int, length: int) -> Guard:
    """For frames of ``length`` bytes, of which ``byte`` is the checksum; the same for all messages that have
    it so."""
    return Guard(kind, byte=byte, length=length)
