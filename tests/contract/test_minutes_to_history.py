"""The minutes that a station really counts, in the history that the functions really keep.

A station, whose clock runs fast, is stopped in the middle of a quarter of an hour and begun again. What the
history says of each minute is held against the samples in the archive.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import fmean

import pytest

from evswap_cloud.history import LENGTH
from evswap_cloud.ingest import Delivery
from evswap_edge.app import run_station
from evswap_edge.clock import SystemTime
from evswap_edge.message import Message
from evswap_edge.reporting import Mode
from evswap_edge.transports.memory import MemoryTransport
from evswap_schema import Clock, MinuteAggregate, Reading, Span, decode_batch
from tests.cloud.messages import delivery, envelope
from tests.cloud.stores import Stores
from tests.contract.test_edge_to_cloud import (
    CHANNELS,
    STATION,
    archived_by,
    archived_readings,
    configured,
)

SPEED = 90
BEGIN = datetime(2026, 11, 23, 8, 4, 20, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DEADLINE_S = 60


class FastTime(SystemTime):
    """The machine's own clocks, and ``SPEED`` times as fast since ``BEGIN``."""

    def __init__(self) -> None:
        super().__init__()
        self._origin = super().monotonic()

    def monotonic(self) -> float:
        return self._origin + SPEED * (super().monotonic() - self._origin)

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.monotonic() - self._origin)

    def state(self) -> Clock:
        """Whatever the machine's own clock is."""
        return Clock.SYNCHRONIZED

    async def wait_until(self, moment: float, *, unless: asyncio.Event) -> None:
        await super().wait_until(self._origin + (moment - self._origin) / SPEED, unless=unless)


YAML = """\
station_id: {station}
driver: {{name: simulated, bays: {bays}, seed: 3, speed: 60}}
sampling: {{interval_s: 5}}
reporting: {{mode: {mode}, batch_age_s: 60}}
outbox: {{path: outbox.sqlite}}
transport: {{name: memory}}
"""


def test_the_history_is_what_the_archived_samples_come_to(tmp_path: Path) -> None:
    stores = Stores()
    stores.bulk.process(asyncio.run(deliveries(tmp_path)))
    assert stores.quarantine.messages == {}
    [quarter] = stores.history.quarters.values()
    assert quarter.start == BEGIN.replace(minute=0, second=0)
    archived = by_minute(archived_readings(stores))
    assert [minute.minute for minute in quarter.minutes] == [
        moment for moment in sorted(archived) if moment < quarter.start + LENGTH
    ]
    for minute in quarter.minutes:
        assert_is(minute, archived[minute.minute])


def by_minute(readings: list[Reading]) -> dict[datetime, list[Reading]]:
    found: dict[datetime, list[Reading]] = {}
    for one in readings:
        found.setdefault(one.timestamp.replace(second=0, microsecond=0), []).append(one)
    return found


def assert_is(minute: MinuteAggregate, readings: list[Reading]) -> None:
    assert minute.samples == len(readings)
    assert_span(minute.battery_available, [one.battery_available for one in readings])
    assert_span(minute.battery_charging, [one.battery_charging for one in readings])
    assert_span(minute.temperature, [one.temperature for one in readings if one.temperature is not None])
    assert_span(minute.humidity, [one.humidity for one in readings if one.humidity is not None])


def assert_span(span: Span | None, values: list[float]) -> None:
    assert span is not None
    of = [span.least, span.mean, span.greatest]
    assert of == pytest.approx([min(values), fmean(values), max(values)], abs=0.0101)


async def deliveries(folder: Path) -> list[Delivery]:
    """What a station sends that runs until 08:07:20 and, begun again, until its quarter has ridden."""
    time, link = FastTime(), MemoryTransport()
    await run_until(folder, time, link, lambda: time.now() > BEGIN + 3 * MINUTE)
    await run_until(folder, time, link, lambda: any(map(has_minutes, archived_by(link.accepted))))
    return [
        delivery(
            envelope(
                message.payload, station_id=STATION, channel=CHANNELS[message.topic], received_at=time.now()
            ),
            f"record-{number}",
        )
        for number, message in enumerate(archived_by(link.accepted))
    ]


def has_minutes(message: Message) -> bool:
    return bool(decode_batch(message.payload).minutes)


async def run_until(
    folder: Path, time: FastTime, link: MemoryTransport, is_enough: Callable[[], bool]
) -> None:
    stop = asyncio.Event()
    config = configured(folder, Mode.ON_CHANGE, link, bays=8, yaml=YAML)
    station = asyncio.create_task(run_station(config, time, stop))
    async with asyncio.timeout(DEADLINE_S):
        while not is_enough():
            await asyncio.sleep(0.02)
    stop.set()
    await station
