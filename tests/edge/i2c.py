"""I2C buses that speak bytes, in the place of ``smbus2.SMBus``."""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

from smbus2 import i2c_msg

from evswap_edge.drivers.sht3x import wire

MEASURE = {b"\x24\x00", b"\x24\x0b", b"\x24\x16"}
HEATER_OFF = b"\x30\x66"


def crc8(word: bytes) -> int:
    """After the data sheet, by long division of polynomials: on purpose not the driver's way."""
    bits = int.from_bytes(bytes((word[0] ^ 0xFF, word[1])), "big") << 8
    # The initial value 0xFF is the same as inverting the first byte.
    for shift in range(15, -1, -1):
        if bits >> (shift + 8) & 1:
            bits ^= 0x131 << shift
    return bits & 0xFF


def answer(raw_temperature: int, raw_humidity: int) -> bytes:
    words = [raw.to_bytes(2, "big") for raw in (raw_temperature, raw_humidity)]
    return b"".join(word + bytes((crc8(word),)) for word in words)


def raw_of(celsius: float, percent: float) -> bytes:
    return answer(round((celsius + 45) / 175 * 0xFFFF), round(percent / 100 * 0xFFFF))


@dataclass
class FakeSht3x:
    """Answers a measurement once, as the sensor does; ``spoils`` makes something else of its bytes."""

    says: bytes = field(default_factory=lambda: raw_of(21.5, 40.0))
    deaf: int | None = None
    """An errno with which every transfer fails."""
    commands: list[bytes] = field(default_factory=list)
    ready: bool = False
    gate: threading.Event | None = None
    """A measurement hangs until it is set."""

    def write(self, data: bytes) -> None:
        self._hear()
        self.commands.append(data)
        self.ready = data in MEASURE

    def read(self, length: int) -> bytes:
        self._hear()
        if self.gate is not None:
            assert self.gate.wait(20)
        if not self.ready:
            raise OSError(errno.EREMOTEIO, os.strerror(errno.EREMOTEIO))
        self.ready = False
        return self.says[:length]

    def _hear(self) -> None:
        if self.deaf is not None:
            raise OSError(self.deaf, os.strerror(self.deaf))


@dataclass
class Buses:
    """The machine's buses by number, and what is on them by address."""

    buses: dict[int, dict[int, FakeSht3x]]
    refuses: int | None = None
    """An errno with which a bus cannot be opened."""
    open_now: int = 0
    opened: int = 0

    def open(self, number: int) -> "FakeBus":
        if self.refuses is not None:
            raise OSError(self.refuses, os.strerror(self.refuses))
        if number not in self.buses:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        self.open_now += 1
        self.opened += 1
        return FakeBus(self, self.buses[number])


class FakeBus:
    def __init__(self, machine: Buses, devices: dict[int, FakeSht3x]) -> None:
        self._machine = machine
        self._devices = devices

    def i2c_rdwr(self, *messages: i2c_msg) -> None:
        for message in messages:
            device = self._devices.get(message.addr)
            if device is None:
                raise OSError(errno.EREMOTEIO, os.strerror(errno.EREMOTEIO))
            if message.flags & 1:
                for index, byte in enumerate(device.read(message.len)):
                    message.buf[index] = bytes((byte,))
            else:
                device.write(bytes(message))

    def close(self) -> None:
        self._machine.open_now -= 1


@contextmanager
def machine(buses: Buses | None = None) -> Iterator[Buses]:
    """A machine with these buses; one sensor at 0x44 of bus 1 where none is named."""
    buses = buses or Buses({1: {0x44: FakeSht3x()}})
    with patch.object(wire, "SMBus", buses.open):
        yield buses
