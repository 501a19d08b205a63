"""A whole station with its interlock: through an outage, against commands from afar, released on the spot."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evswap_edge.app import Station, run_station
from evswap_edge.clock import SystemTime, TimeSource
from evswap_edge.command_line import main
from evswap_edge.config import StationConfig, read_station
from evswap_edge.remote.adjustments import adjustable
from evswap_edge.testing import ManualTime
from evswap_edge.transports import Caller
from evswap_edge.transports.memory import MemoryTransport
from evswap_schema import (
    Action,
    AlarmEvent,
    Channel,
    Clock,
    Command,
    CommandResult,
    Outcome,
    SetCharging,
    Unlock,
    broker_topic,
    decode_event,
    decode_result,
    encode_command,
)
from tests.edge.conftest import LONGEST_WAIT_S, Eventually
from tests.edge.interlocking import STATION, Rack

FILE = """\
station_id: {station}
driver: {{name: simulated}}
outbox: {{path: outbox.sqlite}}
transport: {{name: memory}}
publishing: {{backlog_jitter_s: 0}}
safety: {{{safety}}}
"""
RISES = "rise_k_per_s: 10, rise_for_s: 10"
STATED_S = 2.0


class Synchronized(SystemTime):
    def state(self) -> Clock:
        return Clock.SYNCHRONIZED


class Plant:
    """A station whose cabinet and link are in the hands of the test."""

    def __init__(self, folder: Path, time: TimeSource, *, safety: str) -> None:
        self.file = folder / "station.yaml"
        self.file.write_text(FILE.format(station=STATION, safety=safety))
        self.time = time
        self.rack = Rack(time=time)
        self.link = MemoryTransport()
        self.station: Station

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Plant"]:
        stop, begun = asyncio.Event(), asyncio.Event()
        work = run_station(self._config(), self.time, stop, begun=begun, show=self._show)
        task = asyncio.create_task(work)
        await asyncio.wait_for(begun.wait(), LONGEST_WAIT_S)
        try:
            yield self
        finally:
            stop.set()
            await task

    @contextmanager
    def _show(self, station: Station) -> Iterator[None]:
        self.station = station
        yield

    def _config(self) -> StationConfig:
        (config,) = read_station(self.file).stations

        async def link(_: object, caller: Caller) -> MemoryTransport:
            self.link._on_link = caller.on_link
            return self.link

        async def cabinet(*_: object) -> Rack:
            return self.rack

        driver, transport = config.driver, config.transport
        return replace(
            config,
            driver=replace(driver, kind=replace(driver.kind, open=cabinet, bays=lambda _: (1, 2, 3))),
            transport=replace(transport, kind=replace(transport.kind, open=link, topic=broker_topic)),
        )

    def alarms(self) -> list[tuple[str, int | None, str]]:
        """Those that have arrived, in the order in which they did."""
        topic = broker_topic(Channel.EVENT, STATION)
        events = [decode_event(one.payload) for one in self.link.accepted if one.topic == topic]
        return [(one.alarm, one.bay, one.state.value) for one in events if isinstance(one, AlarmEvent)]

    async def answer(self, eventually: Eventually, command_id: str, action: Action) -> CommandResult:
        """What the station says to a command in the end."""
        now = datetime.now(UTC)
        command = Command(
            command_id=command_id,
            station_id=STATION,
            issued_at=now,
            expires_at=now + timedelta(minutes=1),
            action=action,
        )
        self.link.deliver(broker_topic(Channel.COMMAND, STATION, command_id), encode_command(command))
        topic = broker_topic(Channel.RESULT, STATION, command_id)

        def final() -> list[CommandResult]:
            told = [decode_result(one.payload) for one in self.link.accepted if one.topic == topic]
            return [one for one in told if one.outcome is not Outcome.ACCEPTED]

        await eventually(final)
        return final()[-1]


async def test_an_over_temperature_in_an_outage_is_cut_in_time_and_is_the_first_to_arrive(
    tmp_path: Path,
) -> None:
    time = ManualTime()
    plant = Plant(tmp_path, time, safety=RISES)
    plant.link.take_down()

    async def until(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(LONGEST_WAIT_S):
            while not condition():
                await time.advance(0.25)
                await asyncio.sleep(0.002)

    async with plant.running() as running:
        station = running.station
        for number in range(50):
            station.alarms.set(f"older_{number}", True)
        await until(lambda: not station.alarms._turns)
        plant.rack.heat(2, 63.0)
        began = time.monotonic()
        await until(plant.rack.cuts)
        assert plant.rack.cuts()[0][1] == 2
        assert plant.rack.cuts()[0][0] - began <= STATED_S
        assert plant.rack.charging == {1, 3}
        await until(lambda: not station.alarms._turns)
        assert not plant.link.accepted
        plant.link.bring_up()
        await until(lambda: len(plant.alarms()) == 51)
        assert plant.alarms()[0] == ("safety_over_temperature", 2, "raised")


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path, Synchronized(), safety=f"{RISES}, every_s: 0.1")


async def test_what_is_ordered_from_afar_is_refused_with_the_reason(
    plant: Plant, eventually: Eventually
) -> None:
    plant.rack.heat(1, 63.0)
    async with plant.running():
        await eventually(lambda: ("safety_over_temperature", 1, "raised") in plant.alarms())
        for command_id, action in (("c-1", Unlock(bay=1)), ("c-2", SetCharging(bay=1, enabled=True))):
            result = await plant.answer(eventually, command_id, action)
            assert result.outcome is Outcome.REJECTED
            assert result.reason is not None
            assert "locked out by the safety interlock: over_temperature" in result.reason
        assert not plant.rack.unlocked
        assert 1 not in plant.rack.charging
        assert (await plant.answer(eventually, "c-3", SetCharging(bay=2, enabled=True))).outcome == "done"


async def test_a_person_releases_a_bay_of_the_running_station(
    plant: Plant, eventually: Eventually, capsys: pytest.CaptureFixture[str]
) -> None:
    def release(*more: str) -> int:
        return main(["release", "--config", str(plant.file), "--who", "Ama", "--reason", "looked", *more])

    plant.rack.heat(1, 63.0)
    async with plant.running() as running:
        await eventually(lambda: 1 not in plant.rack.charging)
        assert await asyncio.to_thread(release, "--bay", "1") == 1
        assert "the cause persists: over_temperature" in capsys.readouterr().err
        plant.rack.heat(1, 30.0)
        interlock = running.station.interlock
        assert interlock is not None
        await eventually(lambda: not interlock.state.present)
        assert await asyncio.to_thread(release, "--bay", "1", "--station-id", STATION) == 0
        assert capsys.readouterr().out == "station-01: bay 1 is released\n"
        await eventually(lambda: 1 in plant.rack.charging)
        await eventually(lambda: ("safety_over_temperature", 1, "cleared") in plant.alarms())
        assert await asyncio.to_thread(release, "--cabinet") == 1
        assert "the cabinet is not locked out" in capsys.readouterr().err


def test_a_release_of_no_station_says_so(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["release", "--config", str(plant.file), "--who", "Ama", "--reason", "looked", "--bay", "1"]
    assert main([*asked, "--station-id", "another"]) == 1
    assert "the file tells of no station another" in capsys.readouterr().err


async def test_an_interlock_that_is_off_cuts_nothing(tmp_path: Path, eventually: Eventually) -> None:
    plant = Plant(tmp_path, Synchronized(), safety="enabled: false")
    plant.rack.heat(1, 90.0)
    async with plant.running() as running:
        await eventually(lambda: running.station.vitals.samples)
        assert running.station.interlock is None
    assert not plant.rack.orders


def test_nothing_about_safety_is_adjusted_from_afar(plant: Plant) -> None:
    assert "safety" not in adjustable(read_station(plant.file))
