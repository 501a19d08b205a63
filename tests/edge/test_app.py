"""A whole station in one process: sampled, stored, sent, stopped."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from msgspec import Struct

from evswap_edge.app import run_station
from evswap_edge.clock import SystemTime, TimeSource
from evswap_edge.config import Chosen, StationConfig, read_station
from evswap_edge.drivers import DriverKind, composed, composition, troubles
from evswap_edge.hal import DriverUnavailable, SensorError
from evswap_edge.message import Message
from evswap_edge.outbox import LEAST_BYTES, Bounds
from evswap_edge.testing import ScriptedCabinet
from evswap_edge.transports import Assurance, Caller, RestartRequired, Transport
from evswap_edge.transports.memory import MemoryTransport
from evswap_edge.vitals import Vitals
from evswap_schema import (
    Acknowledgement,
    AlarmEvent,
    AlarmState,
    Channel,
    Clock,
    StationStatus,
    broker_topic,
    decode_event,
    encode_acknowledgement,
    message_digest,
)
from tests.edge.banks import Batteries, Locks, Weather, battery, part
from tests.edge.conftest import Eventually
from tests.edge.publishing import (
    STATION,
    changes,
    noisy_bay,
    readings_of,
    repeated,
    sequences,
    topic,
    waiting_in,
)


class Running:
    """A station that a test may run again and again, over one link."""

    def __init__(self, folder: Path, eventually: Eventually) -> None:
        self.folder = folder
        self.link = MemoryTransport()
        self.cabinet = ScriptedCabinet()
        self.time: TimeSource = SystemTime()
        self.vitals = Vitals()
        self._eventually = eventually

    @property
    def outbox(self) -> Path:
        return self.folder / "outbox.sqlite"

    @property
    def accepted(self) -> list[Message]:
        return self.link.accepted

    def config(self, *, mode: str = "every-sample", age_s: float = 3600, more: str = "") -> StationConfig:
        """The configuration of a file, with this link and cabinet."""
        file = self.folder / "station.yaml"
        file.write_text(
            "station_id: station-01\ndriver: {name: simulated}\noutbox: {path: outbox.sqlite}\n"
            f"sampling: {{interval_s: 0.02, sensor_timeout_s: 0.01}}\n"
            f"reporting: {{mode: {mode}, batch_age_s: {age_s}}}\n"
            f"transport: {{name: memory}}\n{more}"
        )
        (config,) = read_station(file).stations

        async def link(settings: Struct, caller: Caller) -> Transport:
            self.link._on_link = caller.on_link
            return self.link

        async def cabinet(*_: object) -> ScriptedCabinet:
            return self.cabinet

        kind = replace(config.transport.kind, open=link, topic=broker_topic)
        driver: Chosen[DriverKind[Any]] = replace(
            config.driver, kind=replace(config.driver.kind, open=cabinet)
        )
        return replace(config, transport=replace(config.transport, kind=kind), driver=driver)

    async def until(self, condition: Callable[[], object], config: StationConfig) -> None:
        """Run the station until ``condition`` holds, then stop it."""
        stop = asyncio.Event()
        task = asyncio.create_task(run_station(config, self.time, stop, vitals=self.vitals))
        await self._eventually(lambda: condition() or task.done())
        stop.set()
        await task

    async def samples(self, count: int, config: StationConfig) -> None:
        """Run the station for at least ``count`` samples more."""
        enough = self.vitals.samples + count
        await self.until(lambda: self.vitals.samples >= enough, config)

    @property
    def alarms(self) -> list[tuple[str, AlarmState, int | None]]:
        """The alarms that have arrived."""
        told = [
            decode_event(message.payload)
            for message in self.accepted
            if message.topic == topic(Channel.EVENT)
        ]
        return [(event.alarm, event.state, event.count) for event in told if isinstance(event, AlarmEvent)]


@pytest.fixture
def station(tmp_path: Path, eventually: Eventually) -> Running:
    return Running(tmp_path, eventually)


async def test_every_sample_is_sent_and_nothing_is_left_when_it_stops(station: Running) -> None:
    await station.until(lambda: len(station.accepted) >= 5, station.config())
    readings = [reading for message in station.accepted for reading in readings_of(message)]
    assert [reading.sequence for reading in readings] == list(range(1, len(readings) + 1))
    assert len(readings) == station.vitals.samples
    assert len({reading.stream_id for reading in readings}) == 1
    assert all(reading.bays is None for reading in readings)
    assert await waiting_in(station.outbox) == 0


async def test_batches_hold_the_bays_and_leave_when_it_stops(station: Running) -> None:
    await station.samples(20, station.config(mode="on-change"))
    readings = [reading for message in station.accepted for reading in readings_of(message)]
    assert all(reading.bays for reading in readings)
    assert [reading.sequence for reading in readings] == list(range(1, station.vitals.samples + 1))
    assert not any(message.topic == topic(Channel.TELEMETRY) for message in station.accepted)
    assert [reading.sequence for reading in changes(station.accepted)] == [1]
    assert await waiting_in(station.outbox) == 0


async def test_what_an_earlier_run_could_not_send_the_next_one_sends(station: Running) -> None:
    station.link.take_down()
    await station.samples(20, station.config())
    unsent = await waiting_in(station.outbox)
    assert unsent == station.vitals.samples
    assert station.accepted == []
    station.link.bring_up()
    await station.until(lambda: len(sequences(station.accepted)) > unsent, station.config())
    numbers = sequences(station.accepted)
    assert numbers == list(range(1, len(numbers) + 1))


async def test_a_change_of_the_mode_keeps_what_is_stored(station: Running) -> None:
    station.link.take_down()
    await station.samples(20, station.config(mode="on-change"))
    unsent = await waiting_in(station.outbox)
    station.link.bring_up()
    await station.until(lambda: len(sequences(station.accepted)) > unsent, station.config())
    flat = [message for message in station.accepted if message.topic == topic(Channel.TELEMETRY)]
    assert sequences(flat) == list(range(1, len(flat) + 1))
    assert len(flat) > unsent


async def test_a_sensor_that_fails_is_an_alarm_and_a_change_and_so_is_its_recovery(station: Running) -> None:
    config = station.config(mode="on-change")
    stop = asyncio.Event()
    task = asyncio.create_task(run_station(config, station.time, stop, vitals=station.vitals))
    await station._eventually(lambda: changes(station.accepted))
    good, station.cabinet.climate = station.cabinet.climate, SensorError(sensor="sht3x", reason="checksum")
    await station._eventually(lambda: len(station.alarms) == 1)
    await station._eventually(lambda: len(changes(station.accepted)) >= 2)
    station.cabinet.climate = good
    await station._eventually(lambda: len(station.alarms) == 2)
    stop.set()
    await task
    assert station.alarms == [
        ("sensor_failed_climate", AlarmState.RAISED, None),
        ("sensor_failed_climate", AlarmState.CLEARED, None),
    ]
    temperatures = [reading.temperature for reading in changes(station.accepted)]
    assert temperatures[0] is not None
    assert None in temperatures
    assert temperatures[-1] is not None


async def test_samples_that_had_to_be_dropped_are_told_and_counted(station: Running) -> None:
    station.link.take_down()
    station.cabinet.bays = [noisy_bay(number) for number in range(1, 251)]
    config = station.config(mode="on-change", more="publishing: {backlog_per_s: 0}\n")
    config = replace(config, outbox_bounds=Bounds(max_bytes=LEAST_BYTES))
    await station.samples(200, config)
    station.link.bring_up()

    def dropped() -> list[tuple[AlarmState, int | None]]:
        return [(state, count) for name, state, count in station.alarms if name == "samples_dropped"]

    await station.until(lambda: len(dropped()) >= 2, config)
    (first, lost), (last, lost_in_all) = dropped()[:2]
    assert (first, last) == (AlarmState.RAISED, AlarmState.CLEARED)
    assert lost is not None
    assert lost_in_all is not None
    assert 0 < lost <= lost_in_all


async def test_times_that_were_guessed_are_right_when_they_are_sent(station: Running) -> None:
    class Unset(SystemTime):
        """Half a century behind, and knows it."""

        behind = 1_577_836_800.0
        set = False

        def now(self) -> Any:
            from datetime import timedelta

            return super().now() - timedelta(seconds=0 if self.set else self.behind)

        def state(self) -> Clock:
            return Clock.SYNCHRONIZED if self.set else Clock.ESTIMATED

    time = station.time = Unset()
    station.link.take_down()
    await station.samples(10, station.config())
    guessed = station.vitals.samples
    time.set = True
    station.link.bring_up()
    await station.until(lambda: len(sequences(station.accepted)) > guessed + 5, station.config())
    readings = [reading for message in station.accepted for reading in readings_of(message)]
    assert {reading.clock for reading in readings} == {Clock.SYNCHRONIZED}
    moments = [reading.timestamp for reading in readings]
    assert moments == sorted(moments)
    assert (moments[-1] - moments[0]).total_seconds() < 60


async def test_where_the_transport_s_word_proves_nothing_the_cloud_s_is_waited_for(station: Running) -> None:
    class HandsOver(MemoryTransport):
        assurance = Assurance.HANDED_OVER
        silent = True

        async def send(self, message: Message) -> None:
            await super().send(message)
            if not self.silent and any(reading.acknowledge for reading in readings_of(message)):
                said = Acknowledgement(station_id=STATION, digests=(message_digest(message.payload),))
                self.deliver(topic(Channel.ACKNOWLEDGEMENT), encode_acknowledgement(said))

    station.link = link = HandsOver()
    config = station.config(more="publishing: {drain_s: 0.1}\n")
    await station.until(lambda: len(sequences(link.accepted)) >= 10, config)
    unconfirmed = await waiting_in(station.outbox)
    assert unconfirmed == station.vitals.samples
    link.silent = False
    await station.until(lambda: len(sequences(link.accepted)) >= 2 * unconfirmed + 5, config)
    assert await waiting_in(station.outbox) == 0
    assert repeated(sequences(link.accepted)) == unconfirmed


async def test_a_part_that_fails_ends_the_station_with_its_own_error(
    station: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse() -> None:
        raise RestartRequired("the nucleus is gone")

    monkeypatch.setattr(station.link, "connect", refuse)
    with pytest.raises(RestartRequired, match="the nucleus is gone"):
        await run_station(station.config(), SystemTime(), asyncio.Event())
    assert await waiting_in(station.outbox) >= 0  # its outbox was closed


async def test_a_bug_in_a_transport_is_not_hidden(station: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    async def bug(message: Message) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr(station.link, "send", bug)
    with pytest.raises(LookupError, match="a bug"):
        await run_station(station.config(), SystemTime(), asyncio.Event())


async def test_a_driver_that_cannot_be_opened_leaves_nothing_open(station: Running) -> None:
    config = station.config()

    async def unavailable(*_: object) -> NoReturn:
        raise DriverUnavailable(device="i2c-1", reason="no such bus")

    broken = replace(config.driver, kind=replace(config.driver.kind, open=unavailable))
    with pytest.raises(DriverUnavailable, match="no such bus"):
        await run_station(replace(config, driver=broken), SystemTime(), asyncio.Event())
    assert await waiting_in(station.outbox) == 0


async def test_a_driver_that_stays_broken_is_an_alarm_and_degrades_the_station(
    station: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(troubles, "RAISE_AFTER_S", 0.05)
    broken = Locks(says=SensorError(sensor="GPIO", reason="no pins"))
    hardware = composition.Composition(
        (part(Weather()), part(Batteries(says={1: battery(1)}), 1), part(broken, 1, name="gpio"))
    )
    chosen = Chosen(name="of several", kind=composed.KIND, settings=hardware)
    config = replace(station.config(), driver=chosen)

    def seen() -> set[StationStatus]:
        return {reading.status for message in station.accepted for reading in readings_of(message)}

    raised = ("sensor_failed_locks_gpio", AlarmState.RAISED, None)
    await station.until(lambda: raised in station.alarms and StationStatus.DEGRADED in seen(), config)
