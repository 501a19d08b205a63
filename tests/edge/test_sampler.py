"""The sampler: exact ticks, sensors that fail or hang, and one log line for each trouble."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from evswap_edge.clock import Stamp
from evswap_edge.drivers.merging import unknown
from evswap_edge.hal import Climate, SensorError
from evswap_edge.outbox import OutboxFull
from evswap_edge.sampler import Record, Sampler, derive_status
from evswap_edge.testing import ManualTime, ScriptedCabinet, charged_bay, settle
from evswap_edge.vitals import Vitals
from evswap_schema import Bay, Charge, Clock, Health, Location, Quality, Reading, Reservation, StationStatus


class Run:
    """A sampler at work on a scripted cabinet, and what it recorded when."""

    def __init__(self, *, record: Record | None = None, **options: Any) -> None:
        self.time = ManualTime()
        self.cabinet = ScriptedCabinet()
        self.vitals = Vitals()
        self.readings: list[Reading] = []
        self.stamps: list[Stamp] = []
        self.moments: list[float] = []
        self.start = self.time.monotonic()
        self.stop = asyncio.Event()
        self.sampler = Sampler(
            station_id="station-01",
            cabinet=self.cabinet,
            record=record or self.keep,
            time=self.time,
            vitals=self.vitals,
            **{"interval_s": 5.0, "sensor_timeout_s": 0.02, **options},
        )
        self._task = asyncio.create_task(self.sampler.run(self.stop))

    async def keep(self, measured: Sequence[tuple[Reading, Stamp]]) -> None:
        for reading, stamp in measured:
            self.readings.append(reading)
            self.stamps.append(stamp)
            self.moments.append(round(self.time.monotonic() - self.start, 6))

    @property
    def ticks(self) -> list[float]:
        """When the samples were begun."""
        return [round(stamp.uptime - self.start, 6) for stamp in self.stamps]

    async def one(self) -> Reading:
        """Sample now, whatever the ticks say."""
        return await self.sampler.sample()

    async def __aenter__(self) -> "Run":
        await settle()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop.set()
        await self._task


class Stalling(ScriptedCabinet):
    """Reading its climate takes as many seconds as ``stalls`` says, and the whole process with it."""

    def __init__(self, time: ManualTime, stalls: Iterable[float]) -> None:
        super().__init__()
        self._time = time
        self._stalls = iter(stalls)

    async def read_climate(self) -> Climate:
        self._time.stall(next(self._stalls, 0.0))
        return await super().read_climate()


async def test_ticks_do_not_drift_however_long_a_sample_takes() -> None:
    run = Run()
    run.sampler._cabinet = Stalling(run.time, [0.7] * 100)
    async with run:
        for _ in range(60):
            await run.time.advance(1.0)
    assert run.ticks == [5.0 * n for n in range(len(run.ticks))]
    assert len(run.ticks) > 12
    assert run.vitals.skipped == 0
    assert run.vitals.samples == len(run.ticks)
    assert run.vitals.sampled_at == run.stamps[-1].uptime


async def test_ticks_stay_on_the_grid_for_an_interval_that_binary_cannot_write() -> None:
    async with Run(interval_s=0.1) as run:
        for _ in range(300):
            await run.time.advance(0.1)
    assert run.moments == pytest.approx([n * 0.1 for n in range(len(run.moments))], abs=1e-6)
    assert len(run.moments) >= 300


async def test_after_a_stall_missed_ticks_are_counted_not_made_up_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = Run()
    run.sampler._cabinet = Stalling(run.time, [0.0, 23.0])
    async with run:
        for _ in range(20):
            await run.time.advance(1.0)
    assert run.ticks == [0.0, 5.0, 30.0, 35.0, 40.0]
    assert run.vitals.skipped == 4
    assert [record.getMessage() for record in caplog.records] == ["4 samples left out after a stall"]


async def test_the_phase_delays_the_first_sample_alone() -> None:
    async with Run(phase_s=2.0) as run:
        await run.time.advance(13.0)
    assert run.moments == [2.0, 7.0, 12.0]


async def test_a_wall_clock_that_jumps_changes_no_tick_and_its_state_is_told() -> None:
    async with Run() as run:
        run.time.jump(-86_400)
        run.time.clock_state = Clock.ESTIMATED
        await run.time.advance(5.0)
        run.time.jump(+86_400)
        run.time.clock_state = Clock.SYNCHRONIZED
        await run.time.advance(5.0)
    assert run.moments == [0.0, 5.0, 10.0]
    states = [Clock.SYNCHRONIZED, Clock.ESTIMATED, Clock.SYNCHRONIZED]
    assert [reading.clock for reading in run.readings] == states
    assert [stamp.clock for stamp in run.stamps] == states
    offsets = [round(stamp.offset_s - run.stamps[0].offset_s) for stamp in run.stamps]
    assert offsets == [0, -86_400, 0]
    assert [reading.timestamp for reading in run.readings] == [stamp.wall_clock for stamp in run.stamps]


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (SensorError(sensor="sht3x", reason="checksum"), "checksum"),
        (OSError(121, "Remote I/O error"), "Remote I/O error"),
        (KeyError("a bug of the driver"), "a bug of the driver"),
        (ScriptedCabinet.HANGS, "no answer within 0.02 s"),
        (Climate(temperature=850.0, humidity=40.0), "temperature"),
        (Climate(temperature=float("nan"), humidity=40.0), "temperature is nan"),
        (Climate(temperature=20.0, humidity=-1.0), "humidity"),
    ],
)
async def test_a_climate_sensor_that_fails_costs_its_own_fields_and_two_log_lines(
    trouble: Any, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with Run() as run:
        caplog.clear()
        run.cabinet.climate = trouble
        failed = [await run.one() for _ in range(5)]
        run.cabinet.climate = Climate(temperature=20.0, humidity=50.0)
        await settle()
        well = [await run.one() for _ in range(5)]
    for reading in failed:
        assert (reading.temperature, reading.humidity, reading.battery_available) == (None, None, 2)
        assert reading.quality == {"temperature": Quality.FAILED, "humidity": Quality.FAILED}
        assert reading.status is StationStatus.DEGRADED
    for reading in well:
        assert (reading.temperature, reading.quality) == (20.0, None)
        assert reading.status is StationStatus.OPERATIONAL
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert lines[0].startswith("sensor climate: ")
    assert said in lines[0]
    assert lines[1].startswith("sensor climate: works again")


@pytest.mark.parametrize(
    "trouble",
    [
        SensorError(sensor="bms", reason="no answer"),
        ScriptedCabinet.HANGS,
        [charged_bay(1), charged_bay(1)],
        [replace(charged_bay(1), bay=100_000)],
    ],
)
async def test_bays_that_cannot_be_read_leave_the_last_good_counts_marked_stale(trouble: Any) -> None:
    async with Run() as run:
        run.cabinet.bays = trouble
        reading = await run.one()
    assert (reading.battery_available, reading.battery_charging) == (2, 0)
    assert reading.quality == {"battery_available": Quality.STALE, "battery_charging": Quality.STALE}
    assert reading.bays is None
    assert reading.status is StationStatus.FAULT


async def test_bays_that_were_never_read_count_nothing_and_say_so() -> None:
    async with Run(phase_s=3_600) as run:
        run.cabinet.bays = SensorError(sensor="bms", reason="no answer")
        reading = await run.one()
    assert (reading.battery_available, reading.battery_charging) == (0, 0)
    assert reading.quality == {"battery_available": Quality.FAILED, "battery_charging": Quality.FAILED}


async def test_a_sensor_that_ignores_being_cancelled_is_not_asked_again_until_it_answers() -> None:
    calls = 0
    release = asyncio.Event()

    async def stubborn() -> Climate:
        nonlocal calls
        calls += 1
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return Climate(temperature=20.0, humidity=50.0)

    async with Run(phase_s=3_600) as run:
        run.cabinet.read_climate = stubborn  # type: ignore[method-assign]
        assert [(await run.one()).temperature for _ in range(3)] == [None] * 3
        assert calls == 1
        release.set()
        await settle()
        assert (await run.one()).temperature == 20.0


async def test_a_sample_that_cannot_be_stored_is_reported_once_and_sampling_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    full = True

    async def record(measured: Sequence[tuple[Reading, Stamp]]) -> None:
        if full:
            raise OutboxFull(Path("outbox.sqlite"), "database or disk is full")
        await run.keep(measured)

    async with (run := Run(record=record)):
        await run.time.advance(20.0)
        full = False
        await run.time.advance(10.0)
    assert run.moments == [25.0, 30.0]
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(":")[0] for line in lines] == ["storing samples", "storing samples"]
    assert "works again" in lines[1]


async def test_a_disk_that_takes_its_time_does_not_hold_up_the_ticks() -> None:
    disk = asyncio.Event()
    groups: list[int] = []

    async def record(measured: Sequence[tuple[Reading, Stamp]]) -> None:
        groups.append(len(measured))
        await disk.wait()
        await run.keep(measured)

    async with (run := Run(record=record, interval_s=0.005)):
        for _ in range(20):
            await run.time.advance(0.005)
        assert run.vitals.samples >= 20
        assert run.readings == []
        groups.clear()
        disk.set()
        await settle()
    assert run.ticks == sorted(run.ticks)
    assert len(run.ticks) == run.vitals.samples
    assert groups[0] >= 19, "what was measured meanwhile is stored together"
    assert run.vitals.skipped == 0


async def test_a_disk_that_hangs_holds_up_the_ticks_before_the_memory_is_full() -> None:
    disk = asyncio.Event()

    async def record(measured: Sequence[tuple[Reading, Stamp]]) -> None:
        await disk.wait()
        await run.keep(measured)

    async with (run := Run(record=record, interval_s=0.005)):
        for _ in range(200):
            await run.time.advance(0.005)
        assert run.vitals.samples < 100
        disk.set()
        await run.time.advance(0.005)
    assert run.vitals.skipped > 50
    assert len(run.readings) == run.vitals.samples


async def test_a_bug_in_storing_ends_it() -> None:
    async def record(measured: Sequence[tuple[Reading, Stamp]]) -> None:
        raise LookupError("a bug")

    run = Run(record=record)
    with pytest.raises(ExceptionGroup) as caught:
        await run._task
    assert caught.group_contains(LookupError)


async def test_a_sample_can_be_had_between_the_ticks_and_disturbs_none() -> None:
    async with Run() as run:
        await run.time.advance(7.0)
        reading, other = await asyncio.gather(run.one(), run.one())
        await run.time.advance(5.0)
    assert run.ticks == [0.0, 5.0, 7.0, 7.0, 10.0]
    assert reading.quality is other.quality is None


async def test_what_a_sensor_does_is_told_and_counted() -> None:
    told: list[tuple[str, bool]] = []
    async with Run(phase_s=3_600, on_sensor=lambda name, why: told.append((name, why is None))) as run:
        await run.one()
        run.cabinet.climate = SensorError(sensor="sht3x", reason="checksum")
        await run.one()
    assert told == [("climate", True), ("bays", True), ("climate", False), ("bays", True)]
    assert run.vitals.sensor_failures == {"climate": 1}


async def test_counts_say_what_a_customer_could_have() -> None:
    charging = replace(charged_bay(4), charge=Charge.CHARGING)
    async with Run(phase_s=3_600) as run:
        run.cabinet.bays = [
            charged_bay(1),
            replace(charged_bay(2), reservation=Reservation.RESERVED),
            replace(charged_bay(3), health=Health.QUARANTINED),
            charging,
        ]
        reading = await run.one()
    assert (reading.battery_available, reading.battery_charging) == (1, 1)


async def test_bays_are_left_out_when_they_are_not_reported() -> None:
    async with Run(phase_s=3_600, with_bays=False) as run:
        assert (await run.one()).bays is None
    async with Run(phase_s=3_600, with_bays=True) as run:
        bays = (await run.one()).bays
        assert bays is not None
        assert len(bays) == 2


async def test_a_station_says_where_it_stands_if_it_has_been_told() -> None:
    there = Location(latitude=52.52, longitude=13.405)
    async with Run(phase_s=3_600, location=there) as run:
        assert (await run.one()).location == there
    async with Run(phase_s=3_600) as run:
        assert (await run.one()).location is None


_BROKEN = replace(charged_bay(2), health=Health.FAULT)
_AIR = Climate(temperature=20.0, humidity=50.0)


@pytest.mark.parametrize(
    ("bays", "climate", "status"),
    [
        ([charged_bay(1)], _AIR, StationStatus.OPERATIONAL),
        ([charged_bay(1), _BROKEN], _AIR, StationStatus.DEGRADED),
        ([charged_bay(1)], None, StationStatus.DEGRADED),
        ([_BROKEN], _AIR, StationStatus.FAULT),
        ([], _AIR, StationStatus.FAULT),
        (None, _AIR, StationStatus.FAULT),
    ],
)
def test_status(bays: list[Bay] | None, climate: Climate | None, status: StationStatus) -> None:
    assert derive_status(bays, climate) is status


# --- bays of which some cannot be read --------------------------------------------------------------------


async def test_a_bay_that_cannot_be_read_counts_as_it_last_did_and_not_as_good() -> None:
    async with Run() as run:
        good = await run.one()
        run.cabinet.bays = (charged_bay(1), unknown(2))
        held = await run.one()
        run.cabinet.bays = (unknown(1), replace(charged_bay(2), charge=Charge.CHARGING))
        moved = await run.one()
        run.cabinet.bays = (charged_bay(1), charged_bay(2))
        well = await run.one()
    assert (good.battery_available, good.quality) == (2, None)
    assert (held.battery_available, held.status) == (2, StationStatus.DEGRADED)
    assert held.quality == {
        "battery_available": Quality.STALE,
        "battery_charging": Quality.STALE,
        "bays": Quality.FAILED,
    }
    assert held.bays == (charged_bay(1), unknown(2))
    assert (moved.battery_available, moved.battery_charging) == (1, 1)
    assert (well.battery_available, well.quality) == (2, None)


async def test_a_bay_that_was_never_read_makes_the_counts_no_measurement() -> None:
    async with Run(with_bays=False) as run:
        run.cabinet.bays = (charged_bay(1), unknown(2))
        run.sampler._last_seen.clear()
        reading = await run.one()
    assert reading.battery_available == 1
    assert reading.quality == {
        "battery_available": Quality.FAILED,
        "battery_charging": Quality.FAILED,
    }


async def test_a_station_whose_bays_are_all_unknown_cannot_swap() -> None:
    async with Run() as run:
        run.cabinet.bays = (unknown(1), unknown(2))
        assert (await run.one()).status is StationStatus.FAULT


async def test_what_neither_bays_nor_climate_show_degrades_the_station_all_the_same() -> None:
    broken = False
    async with Run(ailing=lambda: broken) as run:
        assert (await run.one()).status is StationStatus.OPERATIONAL
        broken = True
        assert (await run.one()).status is StationStatus.DEGRADED
        run.cabinet.bays = (unknown(1),)
        assert (await run.one()).status is StationStatus.FAULT
