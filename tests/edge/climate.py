"""An emulated climate sensor on a real pseudo-terminal or a real TCP port, and the driver that reads it."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from evswap_edge.documents import NameOrFile
from evswap_edge.drivers import Surroundings
from evswap_edge.drivers.modbus import ModbusClimate, Settings, open_modbus
from evswap_edge.emulators.modbus_climate import ClimateEmulator
from evswap_edge.hal import Climate, ClimateSensor, SensorError
from evswap_edge.registers import read_climate_map
from evswap_edge.testing import ManualTime
from tests.edge.conftest import LONGEST_WAIT_S

RTU = "rtu"
TCP = "tcp"
TIMEOUT_S = 0.25
SLOW_S = 0.4
"""Later than a time-out, and within the time for which an answer is owed."""


@dataclass
class Wire:
    """Where the emulated sensor is found, and how the driver's settings name it."""

    emulator: ClimateEmulator
    place: str
    setting: dict[str, Any]

    def settings(self, **more: Any) -> Settings:
        return Settings(**{"registers": NameOrFile("sht20"), "timeout_s": TIMEOUT_S, **self.setting, **more})


def emulator(registers: NameOrFile | None = None, **more: Any) -> ClimateEmulator:
    layout = read_climate_map(registers or NameOrFile("sht20"))
    options = {"unit": layout.factory.unit, "temperature": 21.5, "humidity": 40.0, "slow_s": SLOW_S, **more}
    return ClimateEmulator(layout, **options)


@asynccontextmanager
async def plugged_in(
    kind: str, sensor: ClimateEmulator | None = None, *, at: str | None = None
) -> AsyncIterator[Wire]:
    """A sensor on a wire, as long as the block lasts; ``at`` is the place it had before."""
    sensor = sensor or emulator()
    if kind == TCP:
        host, _, port = (at or "127.0.0.1:0").rpartition(":")
        async with sensor.on_tcp(host, int(port)) as address:
            yield Wire(sensor, address, {"tcp": address})
        return
    folder = Path(mkdtemp(prefix="evswap-tty-"))
    try:
        async with sensor.on_terminal(Path(at) if at else folder / "tty") as link:
            yield Wire(sensor, link, {"port": Path(link)})
    finally:
        shutil.rmtree(folder)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[ModbusClimate]:
    """The driver, opened."""
    driver = await open_modbus(settings, Surroundings(station_id="station-01", time=ManualTime()))
    assert isinstance(driver, ModbusClimate)
    try:
        yield driver
    finally:
        await driver.aclose()


async def next_good(driver: ClimateSensor) -> Climate:
    """Read until a reading succeeds."""
    async with asyncio.timeout(LONGEST_WAIT_S):
        while True:
            with suppress(SensorError):
                return await driver.read_climate()
            await asyncio.sleep(0.01)
