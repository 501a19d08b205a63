"""Emulated battery management systems on a bus of this process or of UDP, and the driver that hears them."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import can

from evswap_edge.clock import SystemTime, TimeSource
from evswap_edge.dbc import Profile, read_profile
from evswap_edge.documents import NameOrFile
from evswap_edge.drivers import Surroundings
from evswap_edge.drivers.can import CanBatteries, Settings, open_can
from evswap_edge.drivers.can.bus import Interface
from evswap_edge.emulators import EmulatorError, can_wire
from evswap_edge.emulators.can_bms import BmsEmulator
from evswap_edge.hal import ByBay, SensorError
from evswap_schema import Battery
from tests.edge.conftest import LONGEST_WAIT_S

OURS: Final = NameOrFile("evswap-bms")
VIRTUAL: Final = "virtual"
UDP: Final = "udp_multicast"
PERIOD_S: Final = 0.01
STALE_AFTER_S: Final = 0.6
"""Long for the emulator, so that a machine that is busy does not look like a fault."""

_channels = itertools.count()


def profile_of(choice: NameOrFile = OURS) -> Profile:
    return read_profile(choice)[0]


def free_channel(interface: str) -> str:
    """A bus that nobody else is on: of UDP, a port is what keeps buses apart."""
    if interface == VIRTUAL:
        return f"bus-{next(_channels)}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        return f"239.74.163.2:{probe.getsockname()[1]}"


def multicast_fails() -> str | None:
    """Why frames do not go from one process to another here; None where they do."""
    try:
        with can_wire.opened(UDP, free_channel(UDP)) as one:
            one.send(can.Message(arbitration_id=1, data=b"", is_extended_id=False))
            return None if one.recv(2) else "UDP multicast does not come back to this machine"
    except (EmulatorError, can.CanError) as error:
        return str(error)


@dataclass
class Bus:
    """A bus, and the emulator that speaks on it."""

    interface: str
    channel: str
    emulator: BmsEmulator
    wire: can.BusABC

    def settings(self, **more: Any) -> Settings:
        given = {
            "profile": OURS,
            "channel": self.channel,
            "interface": Interface(self.interface),
            "bays": f"1-{len(self.emulator.bays)}",
            "stale_after_s": STALE_AFTER_S,
        }
        return Settings(**{**given, **more})

    def obey(self, line: str) -> None:
        assert self.emulator.obey(line) == "ok"


@contextmanager
def wired(
    interface: str = VIRTUAL,
    *,
    bays: int = 3,
    profile: NameOrFile = OURS,
    channel: str | None = None,
    **more: Any,
) -> Iterator[Bus]:
    """A bus on which the emulator says what the test makes it say."""
    channel = channel or free_channel(interface)
    with can_wire.opened(interface, channel) as wire:
        emulator = BmsEmulator(profile_of(profile), bus=wire, bays=range(1, bays + 1), **more)
        yield Bus(interface, channel, emulator, wire)


@asynccontextmanager
async def spoken_on(interface: str = VIRTUAL, **more: Any) -> AsyncIterator[Bus]:
    """A bus on which the emulator speaks all the time."""
    with wired(interface, **more) as bus:
        async with speaking(bus):
            yield bus


@asynccontextmanager
async def speaking(bus: Bus) -> AsyncIterator[None]:
    talk = asyncio.create_task(bus.emulator.speak(period_s=PERIOD_S))
    try:
        yield
    finally:
        talk.cancel()
        await asyncio.wait({talk})


@asynccontextmanager
async def opened(settings: Settings, time: TimeSource | None = None) -> AsyncIterator[CanBatteries]:
    """The driver, opened."""
    driver = await open_can(settings, Surroundings(station_id="station-01", time=time or SystemTime()))
    try:
        yield driver
    finally:
        await driver.aclose()


async def until(
    driver: CanBatteries, found: Callable[[ByBay[Battery | None]], object]
) -> ByBay[Battery | None]:
    """Read until a reading is as it should be."""
    async with asyncio.timeout(LONGEST_WAIT_S):
        while True:
            with suppress(SensorError):
                batteries = await driver.read_batteries()
                if found(batteries):
                    return batteries
            await asyncio.sleep(0.01)


async def trouble(driver: CanBatteries) -> SensorError:
    """Read until a reading fails as a whole."""
    async with asyncio.timeout(LONGEST_WAIT_S):
        while True:
            try:
                await driver.read_batteries()
            except SensorError as error:
                return error
            await asyncio.sleep(0.01)


def threads() -> int:
    """Of this process."""
    return len(list(Path("/proc/self/task").iterdir()))
