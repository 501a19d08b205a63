"""Bytes of an SHT3x and what they mean, without any I/O.

After Sensirion, "Datasheet SHT3x-DIS", version 7 (2022): the commands in sections 4.3 and 4.10, the checksum
in 4.12, the conversion in 4.13.
"""

from enum import StrEnum
from typing import Final

from evswap_edge.hal import Climate

HEATER_OFF: Final = bytes((0x30, 0x66))
ANSWER_BYTES: Final = 6
"""Temperature, its checksum, humidity, its checksum."""

_POLYNOMIAL: Final = 0x31
_INITIAL: Final = 0xFF
_FULL_SCALE: Final = 0xFFFF
_MEASURES_CELSIUS: Final = (-40.0, 125.0)
_DIGITS: Final = 2
"""Behind the point: the sensor resolves 0.01 degrees and 0.01 %."""


class Repeatability(StrEnum):
    """How often the sensor measures for one value: less noise takes longer, and warms it more."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    @property
    def command(self) -> bytes:
        """Measure once, and do not stretch the clock meanwhile: the sensor answers no read before it is done
        (table 9)."""
        return _COMMANDS[self]

    @property
    def takes_s(self) -> float:
        """The longest that a measurement takes (table 4), and a millisecond for the clock of the bus."""
        return _TAKES_S[self] + 0.001


_COMMANDS: Final = {
    Repeatability.HIGH: bytes((0x24, 0x00)),
    Repeatability.MEDIUM: bytes((0x24, 0x0B)),
    Repeatability.LOW: bytes((0x24, 0x16)),
}
_TAKES_S: Final = {
    Repeatability.HIGH: 0.0155,
    Repeatability.MEDIUM: 0.0065,
    Repeatability.LOW: 0.0045,
}


class NotMeasured(Exception):
    """What arrived is no measurement; ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def checksum(word: bytes) -> int:
    """CRC-8 with the polynomial 0x31, from 0xFF, neither reflected nor inverted: 0xBEEF gives 0x92."""
    crc = _INITIAL
    for byte in word:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ _POLYNOMIAL) & 0xFF if crc & 0x80 else crc << 1
    return crc


def decode(answer: bytes) -> Climate:
    """The six bytes of a measurement. Raises ``NotMeasured``."""
    if len(answer) != ANSWER_BYTES:
        raise NotMeasured(f"an answer of the wrong length: {len(answer)} bytes for {ANSWER_BYTES}")
    temperature = round(-45.0 + 175.0 * _word(answer[:3], "temperature") / _FULL_SCALE, _DIGITS)
    humidity = round(100.0 * _word(answer[3:], "humidity") / _FULL_SCALE, _DIGITS)
    lowest, highest = _MEASURES_CELSIUS
    if not lowest <= temperature <= highest:
        raise NotMeasured(f"{temperature:.1f} degrees is out of range, {lowest:g} to {highest:g}")
    return Climate(temperature=temperature, humidity=humidity)


def _word(part: bytes, name: str) -> int:
    if checksum(part[:2]) != part[2]:
        raise NotMeasured(f"{name}: a wrong checksum ({part.hex(' ')})")
    return int.from_bytes(part[:2], "big")
