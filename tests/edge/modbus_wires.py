"""Emulated devices of bays on a real pseudo-terminal or a real TCP port, and the driver that reads them."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

from evswap_edge.documents import NameOrFile
from evswap_edge.drivers import Surroundings
from evswap_edge.drivers.modbus import ModbusBatteries, ModbusChargers, Settings, open_modbus
from evswap_edge.emulators.modbus_batteries import BatteriesEmulator
from evswap_edge.emulators.modbus_bays import BayPlaces
from evswap_edge.emulators.modbus_chargers import ChargersEmulator
from evswap_edge.emulators.modbus_line import EmulatedLine
from evswap_edge.hal import SensorError, Unread
from evswap_edge.registers import read_battery_map, read_charger_map
from evswap_edge.testing import ManualTime
from evswap_schema import Battery
from tests.edge.climate import RTU, TCP
from tests.edge.conftest import LONGEST_WAIT_S

ValueT = TypeVar("ValueT")
BATTERIES = "seplos-v3"
CHARGERS = "hep-2300"
TIMEOUT_S = 0.25
SLOW_S = 0.4
"""Later than a time-out, and within the time for which an answer is owed."""
WAITED_FOR_S = 10.0
"""Long enough for a whole round."""
WIRES = [RTU, TCP]


@dataclass
class BayWire:
    """Where the devices are found, and how the driver's settings name it."""

    place: str
    setting: dict[str, Any]

    def settings(self, **more: Any) -> Settings:
        given = {"registers": NameOrFile(BATTERIES), "bays": "1-3", "timeout_s": TIMEOUT_S}
        return Settings(**{**given, **self.setting, **more})


def batteries(
    registers: str = BATTERIES, *, bays: int = 3, slow_s: float = SLOW_S, **more: Any
) -> BatteriesEmulator:
    layout = read_battery_map(NameOrFile(registers))
    places = BayPlaces(**{"bays": bays, "first_unit": layout.factory.unit, "slow_s": slow_s, **more})
    return BatteriesEmulator(layout, places)


def chargers(
    registers: str | NameOrFile = CHARGERS, *, bays: int = 3, slow_s: float = SLOW_S, **more: Any
) -> ChargersEmulator:
    layout = read_charger_map(NameOrFile(registers) if isinstance(registers, str) else registers)
    places = BayPlaces(**{"bays": bays, "first_unit": layout.factory.unit, "slow_s": slow_s, **more})
    return ChargersEmulator(layout, places)


@asynccontextmanager
async def wired(kind: str, line: EmulatedLine, *, at: str | None = None) -> AsyncIterator[BayWire]:
    """The devices on a wire, as long as the block lasts; ``at`` is the place that it had before."""
    if kind == TCP:
        host, _, port = (at or "127.0.0.1:0").rpartition(":")
        async with line.on_tcp(host, int(port)) as address:
            yield BayWire(address, {"tcp": address})
        return
    folder = Path(mkdtemp(prefix="evswap-tty-"))
    try:
        async with line.on_terminal(Path(at) if at else folder / "tty") as link:
            yield BayWire(link, {"port": Path(link)})
    finally:
        shutil.rmtree(folder)


def surroundings(waited_for_s: float = WAITED_FOR_S) -> Surroundings:
    return Surroundings(station_id="station-01", time=ManualTime(), answer_within_s=waited_for_s)


@asynccontextmanager
async def battery_bank(
    settings: Settings, *, waited_for_s: float = WAITED_FOR_S
) -> AsyncIterator[ModbusBatteries]:
    driver = await open_modbus(settings, surroundings(waited_for_s))
    assert isinstance(driver, ModbusBatteries)
    try:
        yield driver
    finally:
        await driver.aclose()


@asynccontextmanager
async def charger_bank(settings: Settings) -> AsyncIterator[ModbusChargers]:
    driver = await open_modbus(settings, surroundings())
    assert isinstance(driver, ModbusChargers)
    try:
        yield driver
    finally:
        await driver.aclose()


async def eventually(read: Callable[[], Awaitable[ValueT]], good: Callable[[ValueT], bool]) -> ValueT:
    """Read until it is as it should be."""
    async with asyncio.timeout(LONGEST_WAIT_S):
        while True:
            with suppress(SensorError):
                if good(value := await read()):
                    return value
            await asyncio.sleep(0.01)


def reason(value: object) -> str:
    """Why a bay could not be read."""
    assert isinstance(value, Unread), value
    return value.reason


def serials(found: Any) -> dict[int, str | None]:
    """What is in each bay: a battery's number, None, or an asterisk for what could not be read."""
    return {
        bay: each.serial_number if isinstance(each, Battery) else "*" if isinstance(each, Unread) else None
        for bay, each in found.items()
    }
