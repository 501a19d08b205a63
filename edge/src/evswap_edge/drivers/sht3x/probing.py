"""Look for SHT3x sensors on the I2C buses of this machine."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct

from evswap_edge.drivers.probing import Finding, Found, Hindered
from evswap_edge.drivers.sht3x.decoding import Repeatability
from evswap_edge.drivers.sht3x.wire import Sensor, device, open_bus
from evswap_edge.hal import DriverUnavailable, SensorError

ADDRESSES: Final = (0x44, 0x45)
_DEVICES: Final = Path("/dev")
_NO_BUS: Final = (
    "there is no I2C bus (/dev/i2c-*); on a Raspberry Pi `sudo raspi-config nonint do_i2c 0` switches it on"
)


class ScanSettings(Struct, frozen=True, kw_only=True):
    """Which bus to look at; all that there are where none is named."""

    bus: Annotated[int, Meta(ge=0, le=255)] | None = None


def everywhere() -> Sequence[Mapping[str, str]]:
    """One look finds all there is."""
    return [{}]


async def scan(settings: ScanSettings) -> Sequence[Finding]:
    """Measure at both addresses of each bus. A device of another kind at one of them is told by its wrong
    checksums."""
    return await asyncio.to_thread(lambda: list(_scan(settings)))


def _scan(settings: ScanSettings) -> Iterator[Finding]:
    buses = sorted(_buses()) if settings.bus is None else [settings.bus]
    if not buses:
        yield Hindered(place="I2C", reason=_NO_BUS)
    for bus in buses:
        try:
            open_bus(bus).close()
        except DriverUnavailable as error:
            yield Hindered(place=error.device, reason=error.reason)
        else:
            yield from _found_on(bus)


def _found_on(bus: int) -> Iterator[Finding]:
    found = False
    for address in ADDRESSES:
        sensor = Sensor(bus, address)
        try:
            climate = sensor.measure(Repeatability.HIGH)
        except SensorError:
            continue
        finally:
            sensor.close()
        found = True
        what = f"an SHT3x at {address:#04x}: {climate.temperature:g} °C, {climate.humidity:g} %"
        configure = f"climate: {{name: sht3x, bus: {bus}, address: {address:#04x}}}"
        yield Found(place=device(bus), what=what, configure=configure)
    if not found:
        addresses = " or ".join(f"{address:#04x}" for address in ADDRESSES)
        yield Found(place=device(bus), what=f"no SHT3x at {addresses}")


def _buses() -> Iterator[int]:
    for file in _DEVICES.glob("i2c-*"):
        if (number := file.name.removeprefix("i2c-")).isdigit():
            yield int(number)
