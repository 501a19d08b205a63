"""A station out of several drivers: how it is told, what it does, and what one driver's trouble costs."""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from evswap_edge.clock import Stamp, SystemTime
from evswap_edge.config import describe, read_station
from evswap_edge.drivers import Role, Surroundings, open_cabinet
from evswap_edge.drivers.composed import open_composed
from evswap_edge.drivers.composition import Composition
from evswap_edge.hal import (
    ActionRefused,
    BayActuators,
    Cabinet,
    DriverUnavailable,
    Hardware,
    SensorError,
)
from evswap_edge.sampler import Sampler
from evswap_edge.testing import ManualTime, ScriptedCabinet
from evswap_edge.vitals import Vitals
from evswap_schema import Lock, Occupancy, Quality, Reading, StationStatus
from tests.edge.banks import part, station
from tests.edge.climate import RTU, Wire, emulator, next_good, plugged_in
from tests.edge.conftest import LONGEST_WAIT_S, Eventually
from tests.edge.refused import refusal

STATION = """\
station_id: station-01
driver:
  climate: {name: modbus, port: tty, registers: sht20, timeout_s: 0.25}
  bays: {name: simulated, bays: 12}
outbox: {path: outbox.sqlite}
sampling: {interval_s: 0.5}
transport: {name: memory}
"""


TIME = ManualTime()
SURROUNDINGS = Surroundings(station_id="station-01", time=TIME)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "station.yaml"


async def cabinet(file: Path, wire: Wire | None = None) -> Cabinet:
    """The station's hardware, opened."""
    port = wire.place if wire else str(file.parent / "no-tty")
    file.write_text(STATION.replace("port: tty", f"port: {port}"))
    (station,) = read_station(file).stations
    return await open_cabinet(station.driver.kind, station.driver.settings, SURROUNDINGS)


# --- configuration ----------------------------------------------------------------------------------------


def test_a_driver_for_each_role_is_read_and_described(file: Path) -> None:
    file.write_text(STATION)
    (station,) = read_station(file).stations
    assert "a sample of the driver modbus (climate) and simulated (bays) every 0.5 s" in describe(station)


@pytest.mark.parametrize(
    ("change", "line", "key", "said"),
    [
        (("port: tty", "prot: tty"), 3, "driver.climate.prot", "did you mean 'port'?"),
        (("port: tty, ", ""), 3, "driver.climate", "needs port (/dev/ttyUSB0) or tcp (host:502)"),
        (("port: tty", "port: tty, tcp: 'a:1'"), 3, "driver.climate", "and not both"),
        (("port: tty", "tcp: plc"), 3, "driver.climate.tcp", "found 'plc'"),
        (("port: tty", "tcp: 'plc:0'"), 3, "driver.climate", "a port from 1 to 65535"),
        (("port: tty", "tcp: 'plc:502', baudrate: 9600"), 3, "driver.climate", "belong to port"),
        (("registers: sht20", "registers: sth20"), 3, "driver.climate.registers", "did you mean 'sht20'?"),
        (("registers: sht20, ", ""), 3, "driver.climate.registers", "is missing"),
        (("timeout_s: 0.25", "unit: 248"), 3, "driver.climate.unit", "<= 247; found 248"),
        (("timeout_s: 0.25", "parity: odds"), 3, "driver.climate.parity", "invalid enum value 'odds'"),
        (("name: modbus", "name: modbuss"), 3, "driver.climate.name", "did you mean 'modbus'?"),
        (("name: modbus, ", ""), 3, "driver.climate.name", "has to be the name of a driver"),
        (("  bays: {", "  bayz: {"), 4, "driver.bayz", "did you mean 'bays'?"),
        (("  bays: {name: simulated, bays: 12}\n", ""), 2, "driver.bays", "has to be a driver"),
        (("{name: simulated, bays: 12}", "12"), 4, "driver.bays", "has to be a driver, such as"),
        (("bays: 12", "bay: 12"), 4, "driver.bays.bay", "did you mean 'bays'?"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_key(
    file: Path, change: tuple[str, str], line: int, key: str, said: str
) -> None:
    error = refusal(file, STATION.replace(*change))
    assert (error.line, error.key) == (line, key)
    assert said in str(error)


def test_a_driver_is_only_taken_for_what_it_does(file: Path) -> None:
    error = refusal(
        file, STATION.replace("{name: simulated, bays: 12}", "{name: modbus, port: a, registers: sht20}")
    )
    assert error.key == "driver.bays.name"
    assert (
        "modbus is for batteries and chargers and climate, not for bays; name a driver for each role"
        in str(error)
    )


def test_a_driver_that_is_no_whole_station_cannot_stand_alone(file: Path) -> None:
    text = STATION.replace("driver:\n  climate: {", "driver: {").replace(
        "  bays: {name: simulated, bays: 12}\n", ""
    )
    error = refusal(file, text)
    assert (error.line, error.key) == (2, "driver.name")
    assert "modbus is for batteries and chargers and climate, not for bays" in str(error)


def test_a_mistake_in_a_map_of_ones_own_is_named_there(file: Path) -> None:
    own = file.with_name("own.yaml")
    own.write_text("title: mine\n")
    error = refusal(file, STATION.replace("registers: sht20", "registers: own.yaml"))
    assert (error.file, error.key) == (own, "document")


# --- hardware ---------------------------------------------------------------------------------------------


async def test_each_role_is_read_from_its_own_driver(file: Path) -> None:
    async with plugged_in(RTU, emulator(temperature=-3.5)) as wire:
        whole = await cabinet(file, wire)
        assert (await whole.read_climate()).temperature == -3.5
        assert len(await whole.read_bays()) == 12
        await whole.aclose()
        await whole.aclose()


async def test_a_driver_that_cannot_be_opened_costs_its_own_role_until_it_can(
    file: Path, tmp_path: Path
) -> None:
    whole = await cabinet(file)
    assert len(await whole.read_bays()) == 12
    with pytest.raises(SensorError, match=r"no-tty: does not exist; is the adapter plugged in\?"):
        await whole.read_climate()
    async with plugged_in(RTU, at=str(tmp_path / "no-tty")):
        TIME.stall(10.0)
        assert (await next_good(whole)).temperature == 21.5
        await whole.aclose()


async def test_what_is_to_be_done_goes_to_the_driver_of_the_bays(file: Path) -> None:
    whole = await cabinet(file)
    assert isinstance(whole, BayActuators)
    await whole.unlock(2)
    await whole.set_charging(2, enabled=False)
    bays = await whole.read_bays()
    assert bays[1].lock is Lock.UNLOCKED
    with pytest.raises(ActionRefused, match="bay 13: there are bays 1-12"):
        await whole.unlock(13)


def without_bays(hardware: Hardware | Exception) -> Composition:
    """A driver of everything, taken for all that a station cannot do without."""
    return station(part(hardware, role=Role.CLIMATE), part(hardware, 1, 2, role=Role.BAYS))


async def test_a_driver_that_can_only_look_says_so_when_something_is_to_be_done() -> None:
    whole = await open_composed(without_bays(ScriptedCabinet()), SURROUNDINGS)
    with pytest.raises(ActionRefused, match="bay 1: the driver mine has no actuators"):
        await whole.unlock(1)


async def test_a_station_of_which_nothing_can_be_opened_does_not_begin() -> None:
    absent = DriverUnavailable(device="/dev/x", reason="is not there")
    with pytest.raises(DriverUnavailable, match="/dev/x: is not there"):
        await open_composed(without_bays(absent), SURROUNDINGS)


async def test_a_bug_in_a_driver_is_not_taken_for_absent_hardware() -> None:
    with pytest.raises(ZeroDivisionError):
        await open_composed(without_bays(ZeroDivisionError()), SURROUNDINGS)


async def test_a_driver_that_does_not_do_what_it_declares_is_named(caplog: pytest.LogCaptureFixture) -> None:
    class Nothing:
        async def aclose(self) -> None:
            pass

    whole = await open_composed(without_bays(Nothing()), SURROUNDINGS)
    with pytest.raises(
        DriverUnavailable, match="driver mine: declares the role climate and does not have it"
    ):
        await whole.read_climate()
    assert {bay.occupancy for bay in await whole.read_bays()} == {Occupancy.UNKNOWN}
    assert "driver mine: declares the role bays" in caplog.text
    with pytest.raises(DriverUnavailable, match="is not all of a station"):
        await open_cabinet(part(Nothing(), role=Role.BAYS).kind, Struct(), SURROUNDINGS)


# --- a station --------------------------------------------------------------------------------------------


async def test_a_silent_sensor_costs_its_own_fields_and_two_lines(
    file: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="evswap_edge.sampler")
    readings: list[Reading] = []

    async def keep(measured: Sequence[tuple[Reading, Stamp]]) -> None:
        readings.extend(reading for reading, _ in measured)

    async with plugged_in(RTU) as wire:
        whole = await cabinet(file, wire)
        sampler = Sampler(
            station_id="station-01",
            cabinet=whole,
            record=keep,
            time=SystemTime(),
            interval_s=0.4,
            sensor_timeout_s=2,
            vitals=Vitals(),
        )
        stop = asyncio.Event()
        sampling = asyncio.create_task(sampler.run(stop))
        await eventually(lambda: readings and readings[-1].temperature == 21.5)
        wire.emulator.obey("fault silent")
        await eventually(lambda: sum(reading.temperature is None for reading in readings) >= 4)
        wire.emulator.obey("fault none")
        wire.emulator.obey("temperature 19")
        await eventually(lambda: readings[-1].temperature == 19)
        stop.set()
        await sampling
        await whole.aclose()
    failed = [reading for reading in readings if reading.temperature is None]
    for reading in failed:
        assert reading.quality == {"temperature": Quality.FAILED, "humidity": Quality.FAILED}
        assert reading.status is StationStatus.DEGRADED
    assert all(reading.bays is not None and len(reading.bays) == 12 for reading in readings)
    lines = [record.getMessage() for record in caplog.records if record.name == "evswap_edge.sampler"]
    assert len(lines) == 2
    assert lines[0].startswith(f"sensor climate: {wire.place} unit 1: no answer within")
    assert lines[1].startswith("sensor climate: works again after")


async def test_a_running_station_says_it_once_and_the_library_says_nothing(
    file: Path, eventually: Eventually
) -> None:
    """The whole program, its sensor absent from the beginning."""
    file.write_text(STATION.replace("{name: simulated, bays: 12}", "{name: simulated}"))
    async with running(file) as station:
        said: list[dict[str, Any]] = []
        async with plugged_in(RTU, at=str(file.with_name("tty"))) as wire:
            wire.emulator.obey("fault silent")
            await eventually(lambda: "requests 3" in wire.emulator.obey("status"))
            wire.emulator.obey("fault none")
            async with asyncio.timeout(LONGEST_WAIT_S):
                while not any("works again" in line["message"] for line in said):
                    said.append(json.loads(await log_of(station).readline()))
        station.terminate()
        said += [json.loads(line) for line in (await log_of(station).read()).splitlines()]
        assert await station.wait() == 0
    about = [line["message"] for line in said if line.get("subject") == "sensor climate"]
    assert ["works again" in line for line in about][:2] == [False, True]
    assert {line["logger"].partition(".")[0] for line in said} == {"evswap_edge"}


@asynccontextmanager
async def running(file: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program with this configuration; it is gone when the block is."""
    command = [sys.executable, "-m", "evswap_edge", "run", "--config", str(file)]
    station = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        yield station
    finally:
        if station.returncode is None:
            station.kill()
            await station.communicate()


def log_of(station: asyncio.subprocess.Process) -> asyncio.StreamReader:
    assert station.stderr is not None
    return station.stderr
