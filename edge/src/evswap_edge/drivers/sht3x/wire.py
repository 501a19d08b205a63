"""One SHT3x on an I2C bus. The calls here block: run them in a thread.

What the kernel answers is translated into what to look at.
"""

import errno
import time
from collections.abc import Mapping
from typing import Final

from smbus2 import SMBus, i2c_msg

from evswap_edge.drivers.sht3x.decoding import (
    ANSWER_BYTES,
    HEATER_OFF,
    NotMeasured,
    Repeatability,
    decode,
)
from evswap_edge.hal import Climate, DriverUnavailable, SensorError

_ADVICE: Final = "look at its power, the four wires, and ADDR (low: 0x44, high: 0x45)"
_BUS_REASONS: Final[Mapping[int, str]] = {
    errno.ENOENT: (
        "does not exist; switch I2C on with `sudo raspi-config nonint do_i2c 0`; `ls /dev/i2c-*` names the "
        "buses that there are"
    ),
    errno.EACCES: "permission denied; `sudo usermod -aG i2c $USER` and a new login give it",
    errno.ENODEV: "has no hardware behind it; is the adapter plugged in?",
    errno.ENXIO: "has no hardware behind it; is the adapter plugged in?",
}
_REASONS: Final[Mapping[int, str]] = {
    errno.EREMOTEIO: f"no acknowledgement; {_ADVICE}",
    errno.ENXIO: f"no acknowledgement; {_ADVICE}",
    errno.EIO: f"the bus reports an error; {_ADVICE}",
    errno.ETIMEDOUT: "the bus hangs: a device holds its clock or data line; look for a short circuit",
    errno.EBUSY: "the address is in use by a driver of the kernel (sht3x, an overlay in config.txt)",
    errno.EAGAIN: "the bus was lost to another master",
    errno.ENODEV: "the bus is gone; was the adapter pulled out?",
}


class Sensor:
    """Opened by its first measurement, and again by the next one after any trouble."""

    def __init__(self, bus: int, address: int) -> None:
        self._bus_number = bus
        self._address = address
        self._bus: SMBus | None = None
        self._heater_is_off = False

    def connect(self) -> SMBus:
        """Open the bus, unless it is open. Raises ``DriverUnavailable``."""
        if self._bus is None:
            self._bus = open_bus(self._bus_number)
        return self._bus

    def measure(self, repeatability: Repeatability) -> Climate:
        """Measure now; takes up to 17 ms and the time on the wire. Raises ``SensorError``."""
        try:
            bus = self.connect()
            self._switch_the_heater_off(bus)
            return decode(self._ask(bus, repeatability))
        except DriverUnavailable as error:
            raise SensorError(sensor=error.device, reason=error.reason) from error
        except NotMeasured as error:
            raise SensorError(sensor=str(self), reason=error.reason) from error
        except OSError as error:
            self.close()
            raise SensorError(sensor=str(self), reason=why(error)) from error

    def close(self) -> None:
        """Give the bus back. Safe to call twice."""
        bus, self._bus = self._bus, None
        self._heater_is_off = False
        if bus is not None:
            bus.close()

    def __str__(self) -> str:
        return f"{device(self._bus_number)} address {self._address:#04x}"

    def _switch_the_heater_off(self, bus: SMBus) -> None:
        """Another program may have left it on; once is enough, until a sensor has to be looked for again."""
        if not self._heater_is_off:
            bus.i2c_rdwr(i2c_msg.write(self._address, HEATER_OFF))
            self._heater_is_off = True

    def _ask(self, bus: SMBus, repeatability: Repeatability) -> bytes:
        bus.i2c_rdwr(i2c_msg.write(self._address, repeatability.command))
        time.sleep(repeatability.takes_s)
        answer = i2c_msg.read(self._address, ANSWER_BYTES)
        bus.i2c_rdwr(answer)
        return bytes(answer)


def open_bus(number: int) -> SMBus:
    """Raises ``DriverUnavailable`` with what to look at."""
    try:
        return SMBus(number)
    except OSError as error:
        reason = _BUS_REASONS.get(error.errno or 0, error.strerror or str(error))
        raise DriverUnavailable(device=device(number), reason=reason) from error


def device(bus: int) -> str:
    """The file of a bus."""
    return f"/dev/i2c-{bus}"


def why(error: OSError) -> str:
    """Why a device did not answer, and what to look at."""
    return _REASONS.get(error.errno or 0, error.strerror or str(error))
