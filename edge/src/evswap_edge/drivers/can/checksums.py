"""Checksums of frames, by table: one is looked at for every frame that arrives."""

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from operator import xor
from typing import Final

from evswap_edge.dbc import ChecksumKind

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
