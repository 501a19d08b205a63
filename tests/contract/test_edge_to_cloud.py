"""The bytes that a station really sends, given to the functions that really take them.

Neither side imports the other, so this is where a misunderstanding between them shows before a stack runs.
Nothing is written for the test but the road between the two.
"""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evswap_cloud.archive import readings_in
from evswap_cloud.bays import BayState
from evswap_cloud.ingest import Delivery
from evswap_edge.app import run_station
from evswap_edge.clock import SystemTime
from evswap_edge.config import StationConfig, read_station
from evswap_edge.message import Message
from evswap_edge.reporting import Mode
from evswap_edge.transports import Caller, Transport
from evswap_edge.transports.memory import MemoryTransport
from evswap_schema import Bay, Channel, Reading, aws_topic, decode_batch, decode_reading
from tests.cloud.messages import delivery, envelope
from tests.cloud.stores import Stores

STATION = "station-01"
SAMPLES = 30
DEADLINE_S = 30
CHANNELS = {
    aws_topic(channel, STATION): channel for channel in (Channel.TELEMETRY, Channel.BATCH, Channel.CHANGE)
}
YAML = """\
station_id: {station}
driver: {{name: simulated, bays: {bays}, seed: 3, speed: 60}}
sampling: {{interval_s: 0.05}}
reporting: {{mode: {mode}, batch_age_s: 1}}
outbox: {{path: outbox.sqlite}}
transport: {{name: memory}}
"""


@pytest.mark.parametrize("mode", Mode)
def test_what_a_station_sends_is_what_the_cloud_takes(tmp_path: Path, mode: Mode) -> None:
    messages = asyncio.run(messages_of_a_station(tmp_path, mode))
    stores = Stores()
    ingest = stores.live if mode is Mode.EVERY_SAMPLE else stores.bulk

    report = ingest.process(as_the_rules_deliver(archived_by(messages)))

    assert report.failures == ()
    assert stores.quarantine.messages == {}
    archived = archived_readings(stores)
    assert {reading.sequence for reading in archived} == sequences(messages)
    newest = max(archived, key=lambda reading: reading.sequence or 0)
    shown = stores.latest.states[STATION]
    assert (shown.sequence, shown.timestamp, shown.battery_available) == (
        newest.sequence,
        newest.timestamp,
        newest.battery_available,
    )


def test_a_batch_brings_the_bays_along(tmp_path: Path) -> None:
    stores = Stores()
    messages = asyncio.run(messages_of_a_station(tmp_path, Mode.ON_CHANGE))
    stores.bulk.process(as_the_rules_deliver(archived_by(messages)))
    archived = archived_readings(stores)
    assert all(len(reading.bays or ()) == 35 for reading in archived)
    newest = max(archived, key=lambda reading: reading.sequence or 0)
    assert_shown(stores, newest)


def test_changes_of_a_small_cabinet_bring_their_bays_along(tmp_path: Path) -> None:
    stores = Stores()
    messages = asyncio.run(messages_of_a_station(tmp_path, Mode.ON_CHANGE, bays=8))
    changes = [message for message in messages if CHANNELS[message.topic] is Channel.CHANGE]
    report = stores.change.process(as_the_rules_deliver(changes))
    assert (report.failures, report.quarantined) == ((), ())
    newest = max((decode_reading(change.payload) for change in changes), key=lambda one: one.sequence or 0)
    assert len(newest.bays or ()) == 8
    assert_shown(stores, newest)


def test_single_messages_tell_of_no_bays(tmp_path: Path) -> None:
    stores = Stores()
    messages = asyncio.run(messages_of_a_station(tmp_path, Mode.EVERY_SAMPLE))
    stores.live.process(as_the_rules_deliver(messages))
    assert stores.latest.bays == {}


def assert_shown(stores: Stores, told: Reading) -> None:
    """The bays are as in ``told``: their states to the letter, what is measured to a tenth."""
    shown = stores.latest.bays[STATION].bays
    assert [states(one) for one in shown] == [states(one) for one in told.bays or ()]
    for one, other in zip(shown, told.bays or (), strict=True):
        if one.battery is not None and other.battery is not None:
            assert one.battery.serial_number == other.battery.serial_number
            assert one.battery.soc == round(other.battery.soc, 1)


def states(one: Bay | BayState) -> tuple[object, ...]:
    has_battery = one.battery is not None
    return one.bay, one.occupancy, one.charge, one.lock, one.reservation, one.health, has_battery


async def messages_of_a_station(folder: Path, mode: Mode, bays: int = 35) -> list[Message]:
    """What a simulated station of so many bays sends until it has delivered `SAMPLES` samples."""
    link = MemoryTransport()
    stop = asyncio.Event()
    station = asyncio.create_task(run_station(configured(folder, mode, link, bays), SystemTime(), stop))
    async with asyncio.timeout(DEADLINE_S):
        while len(sequences(link.accepted)) < SAMPLES:
            await asyncio.sleep(0.02)
    stop.set()
    await station
    return link.accepted


def configured(folder: Path, mode: Mode, link: MemoryTransport, bays: int, yaml: str = YAML) -> StationConfig:
    """The configuration as it is read from a file, over a link that the test can look at."""
    file = folder / "station.yaml"
    file.write_text(yaml.format(station=STATION, mode=mode, bays=bays))
    [station] = read_station(file).stations

    async def opened(settings: object, caller: Caller) -> Transport:
        return link

    return replace(
        station, transport=replace(station.transport, kind=replace(station.transport.kind, open=opened))
    )


def archived_by(messages: list[Message]) -> list[Message]:
    """Those that bring samples to the archive: a change does not."""
    return [message for message in messages if CHANNELS[message.topic] is not Channel.CHANGE]


def sequences(messages: list[Message]) -> set[int | None]:
    """The samples that ``messages`` bring to the archive."""
    return {reading.sequence for message in archived_by(messages) for reading in readings_of(message)}


def readings_of(message: Message) -> tuple[Reading, ...]:
    if CHANNELS[message.topic] is Channel.TELEMETRY:
        return (decode_reading(message.payload),)
    return decode_batch(message.payload).readings


def as_the_rules_deliver(messages: list[Message]) -> list[Delivery]:
    now = datetime.now(UTC)
    return [
        delivery(
            envelope(message.payload, station_id=STATION, channel=CHANNELS[message.topic], received_at=now),
            f"record-{number}",
        )
        for number, message in enumerate(messages)
    ]


def archived_readings(stores: Stores) -> list[Reading]:
    objects = stores.archive.objects.values()
    return [decode_reading(line) for item in objects for line in readings_in(item.key, item.body)]
