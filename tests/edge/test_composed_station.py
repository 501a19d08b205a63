"""A whole station on emulated wires: batteries on CAN and Modbus, chargers and climate on Modbus, locks and
smoke on GPIO. Faults come at random, and no wrong value is ever published as good."""

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from evswap_edge.clock import SystemTime
from evswap_edge.config import read_station
from evswap_edge.drivers import Surroundings, composed, open_cabinet
from evswap_edge.emulators.can_bms import BmsEmulator
from evswap_edge.emulators.modbus_batteries import BatteriesEmulator
from evswap_edge.emulators.modbus_chargers import ChargersEmulator
from evswap_edge.hal import BayActuators, Cabinet, Safety, SafetyInputs
from evswap_schema import Bay, Charge, Health, Lock, Occupancy
from tests.edge.can_bus import UDP, VIRTUAL, multicast_fails, spoken_on
from tests.edge.climate import TCP, TIMEOUT_S, plugged_in
from tests.edge.conftest import LONGEST_WAIT_S
from tests.edge.modbus_wires import BATTERIES, CHARGERS, batteries, chargers, wired
from tests.edge.pins import Pins, board

STATION = """\
station_id: station-01
driver:
  climate: {name: modbus, tcp: "CLIMATE", registers: sht20, timeout_s: SLOWEST}
  batteries:
    - {name: can, bays: 1-3, channel: "CHANNEL", interface: INTERFACE,
       profile: evswap-bms, stale_after_s: 0.5}
    - {name: modbus, bays: 4-5, tcp: "PACKS", registers: MAP, timeout_s: SLOWEST}
  locks: {name: gpio, bays: 1-5, locks: [17, 18, 27, 22, 10], feedback: [23, 24, 25, 4, 9], pulse_s: 0.05}
  chargers: {name: modbus, bays: 1-5, tcp: "RECTIFIERS", registers: RECTIFIER, timeout_s: SLOWEST}
  safety: {name: gpio, smoke: 5}
outbox: {path: outbox.sqlite}
transport: {name: memory}
"""
BAYS: Final = (1, 2, 3, 4, 5)
FEEDBACK: Final = (23, 24, 25, 4, 9)
PLAYED_S: Final = float(os.environ.get("EVSWAP_WIRE_FAULTS_S", "6"))
"""For how long faults come; longer when it is asked for."""


@dataclass
class Wires:
    """A station, and all that it is connected to."""

    cabinet: Cabinet
    bms: BmsEmulator
    packs: BatteriesEmulator
    rectifiers: ChargersEmulator
    pins: Pins

    async def bays(self) -> dict[int, Bay]:
        return {bay.bay: bay for bay in await self.cabinet.read_bays()}

    async def when_well(self) -> dict[int, Bay]:
        """All bays, as soon as each can be read."""
        async with asyncio.timeout(LONGEST_WAIT_S):
            while True:
                bays = await self.bays()
                if all(bay.health is Health.HEALTHY for bay in bays.values()):
                    return bays
                await asyncio.sleep(0.01)


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[Wires]:
    packs, rectifiers = batteries(bays=2), chargers(bays=5)
    async with (
        spoken_on(VIRTUAL if multicast_fails() else UDP, bays=3) as bus,
        wired(TCP, packs) as pack_wire,
        wired(TCP, rectifiers) as rectifier_wire,
        plugged_in(TCP) as sensor,
    ):
        with board() as pins:
            text = STATION
            for name, value in (
                ("CLIMATE", sensor.place),
                ("CHANNEL", bus.channel),
                ("INTERFACE", bus.interface),
                ("PACKS", pack_wire.place),
                ("RECTIFIERS", rectifier_wire.place),
                ("RECTIFIER", CHARGERS),
                ("MAP", BATTERIES),
                ("SLOWEST", str(TIMEOUT_S)),
            ):
                text = text.replace(name, value)
            file = folder / "station.yaml"
            file.write_text(text)
            (station,) = read_station(file).stations
            surroundings = Surroundings(station_id="station-01", time=SystemTime(), answer_within_s=2.0)
            cabinet = await open_cabinet(station.driver.kind, station.driver.settings, surroundings)
            pins.close_switch(*FEEDBACK, 5)
            try:
                yield Wires(cabinet, bus.emulator, packs, rectifiers, pins)
            finally:
                await cabinet.aclose()


async def test_a_station_of_many_wires_is_read_and_acts(tmp_path: Path) -> None:
    async with connected(tmp_path) as wires:
        bays = await wires.when_well()
        assert tuple(bays) == BAYS
        assert all(bay.battery is not None for bay in bays.values())
        assert {bay.lock for bay in bays.values()} == {Lock.LOCKED}
        assert (await wires.cabinet.read_climate()).temperature == 21.5
        assert isinstance(wires.cabinet, SafetyInputs)
        assert await wires.cabinet.read_safety() == Safety(smoke=False)
        wires.pins.open_switch(5)
        assert (await wires.cabinet.read_safety()).smoke
        assert isinstance(wires.cabinet, BayActuators)
        unlocking = asyncio.create_task(wires.cabinet.unlock(4))
        await asyncio.sleep(0)
        wires.pins.open_switch(4)
        await unlocking
        assert (await wires.bays())[4].lock is Lock.UNLOCKED


class Play:
    """Faults that come and go on every wire, and what may be read meanwhile."""

    CAN: Final = ("silent", "partial", "wrong-length", "crc", "frozen", "out-of-range", "slow")
    MODBUS: Final = ("silent", "cut", "wrong-length", "wrong-unit", "exception 6", "slow", "out-of-range")

    def __init__(self, wires: Wires, truth: dict[int, Bay]) -> None:
        self._wires = wires
        self._truth = truth
        self._chance = random.Random(5)
        self.unread = 0
        self.read = 0

    def turn(self) -> None:
        """One device gets a fault, or loses it."""
        obey, bays, faults = self._chance.choice(
            (
                (self._wires.bms.obey, 3, self.CAN),
                (self._wires.packs.obey, 2, self.MODBUS),
                (self._wires.rectifiers.obey, 5, self.MODBUS),
            )
        )
        fault = self._chance.choice((*faults, "none", "none"))
        assert obey(f"fault {self._chance.randint(1, bays)} {fault}") == "ok"

    def end(self) -> None:
        """All is well again."""
        for obey, bays in (
            (self._wires.bms.obey, 3),
            (self._wires.packs.obey, 2),
            (self._wires.rectifiers.obey, 5),
        ):
            for bay in range(1, bays + 1):
                assert obey(f"fault {bay} none") == "ok"

    def judge(self, bays: dict[int, Bay]) -> None:
        """A bay is as it is, or unknown; its lock hangs on another wire and never suffers."""
        assert tuple(bays) == BAYS
        for number, bay in bays.items():
            true = self._truth[number]
            assert bay.lock is true.lock
            if bay.occupancy is Occupancy.UNKNOWN:
                self.unread += 1
                assert (bay.battery, bay.charge, bay.health) == (None, Charge.NONE, Health.FAULT)
            else:
                self.read += 1
                assert (bay.occupancy, bay.battery) == (true.occupancy, true.battery)


async def test_no_fault_of_a_wire_makes_a_wrong_value_good(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger=composed.__name__)
    async with connected(tmp_path) as wires:
        play = Play(wires, await wires.when_well())
        now = asyncio.get_running_loop().time
        end = now() + PLAYED_S
        while now() < end:
            play.turn()
            play.judge(await wires.bays())
            await asyncio.sleep(0.02)
        play.end()
        well = await wires.when_well()
        play.judge(well)
    assert play.unread
    assert play.read
    _require_each_trouble_once(caplog)


def _require_each_trouble_once(caplog: pytest.LogCaptureFixture) -> None:
    """For each subject, a line when it begins and one when it ends, in turns."""
    lines: dict[str, list[str]] = {}
    for record in caplog.records:
        if record.name != composed.__name__:
            continue
        lines.setdefault(record.__dict__["subject"], []).append(record.levelname)
    assert lines
    for subject, levels in lines.items():
        assert levels == ["WARNING", "INFO"] * (len(levels) // 2), subject
