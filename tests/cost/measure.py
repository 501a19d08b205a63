"""From a shift to what a bill needs of it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from msgspec import structs

from evswap_cloud.ingest import Ingest
from evswap_local.cost.compute import AHEAD
from evswap_local.cost.profile import Recording, Request, Work
from evswap_schema import Channel, SwapEvent, SwapStep, decode_batch, decode_event, encode_reading
from tests.cloud.api_client import Client
from tests.cloud.messages import delivered, delivery, reading
from tests.cloud.stores import Stores
from tests.cost.metering import Meter
from tests.cost.replay import Replayed, envelope_of, page_of_stations, replay
from tests.cost.timing import cpu_of
from tests.cost.traffic import Sent, Shift, record

STEP_BYTES: Final = 5_000
"""AWS IoT meters in 5 KB; where the doubt between 5,000 and 5,120 matters, this is the dearer."""
QUEUE_STEP_BYTES: Final = 65_536
SETTLES_H: Final = 0.2
"""A station that begins tells of all its bays, and so do its first messages: that is not counted."""

RECORDED: Final = tuple(
    tuple(
        Shift(bays=bays, batch_age_s=age_s, from_hour=hour, hours=SETTLES_H + 0.3)
        for hour in (2.0, 8.0, 14.0, 20.0)
    )
    for bays, age_s in ((35, 60.0), (35, 300.0), (8, 60.0))
)
"""Of each cabinet some of the night, the two rushes and between them: how often a change overtakes its batch
goes by how many there are."""

WINDOWS_S: Final[Mapping[Channel, float]] = {Channel.BATCH: 30.0, Channel.EVENT: 20.0}
"""Within which records of one station are handed over together, at most (cloud/stack/functions.yaml)."""


def measured(shift: Shift, *, settles_h: float = SETTLES_H) -> Recording:
    """Play ``shift`` and count what comes after it has settled."""
    sent = record(shift)
    counted_from = shift.start + timedelta(hours=settles_h)
    replayed = replay(sent, WINDOWS_S, counted_from=counted_from)
    counted = [one for one in sent if one.at >= counted_from]
    by_channel = {channel: [one for one in counted if one.channel is channel] for channel in replayed.works}
    batches, events = by_channel[Channel.BATCH], by_channel[Channel.EVENT]
    return Recording(
        bays=shift.bays,
        batch_age_s=shift.batch_age_s,
        hours=shift.hours - settles_h,
        samples=sum(len(decode_batch(one.payload).readings) for one in batches),
        swaps=sum(map(_gives_a_battery, events)),
        channels={
            channel.value: _work(channel, messages, replayed) for channel, messages in by_channel.items()
        },
        stored_bytes=replayed.stored_bytes,
        grown_bytes=replayed.grown_bytes,
    )


def together(shifts: Sequence[Recording]) -> Recording:
    """Shifts of one cabinet as one recording. What happens fills its tables shift by shift; the other tables
    are as large as ever."""
    first = shifts[0]
    return structs.replace(
        first,
        hours=math.fsum(one.hours for one in shifts),
        samples=sum(one.samples for one in shifts),
        swaps=sum(one.swaps for one in shifts),
        channels={name: _sum_of_works([one.channels[name] for one in shifts]) for name in first.channels},
        stored_bytes={
            table: _standing(shifts, table) + sum(one.grown_bytes[table] for one in shifts)
            for table in first.stored_bytes
        },
        grown_bytes={table: sum(one.grown_bytes[table] for one in shifts) for table in first.grown_bytes},
    )


def _standing(shifts: Sequence[Recording], table: str) -> int:
    """What a table holds for good, on the mean of the shifts."""
    return sum(one.stored_bytes[table] - one.grown_bytes[table] for one in shifts) // len(shifts)


def _sum_of_works(works: Sequence[Work]) -> Work:
    summed = {
        name: _sum([getattr(work, name) for work in works])
        for name in Work.__struct_fields__
        if name != "largest"
    }
    return Work(largest=max(work.largest for work in works), **summed)


def _sum(values: Sequence[Any]) -> Any:
    if isinstance(values[0], Mapping):
        keys = dict.fromkeys(key for value in values for key in value)
        return {key: sum(value.get(key, 0.0) for value in values) for key in keys}
    return sum(values)


def _gives_a_battery(one: Sent) -> bool:
    event = decode_event(one.payload)
    return isinstance(event, SwapEvent) and event.step is SwapStep.BATTERY_OUT


def _work(channel: Channel, messages: Sequence[Sent], replayed: Replayed) -> Work:
    meter = replayed.works[channel].meter
    sizes = [len(one.payload) + len(one.topic) for one in messages]
    return Work(
        messages=len(messages),
        bytes=sum(sizes),
        largest=max(sizes, default=0),
        steps=_steps(sizes, STEP_BYTES),
        queue_steps=_steps((len(envelope_of(one)) for one in messages), QUEUE_STEP_BYTES),
        groups=replayed.works[channel].groups,
        writes=_by_key(meter.writes),
        reads=_by_key(meter.reads),
        refused=_by_key(meter.refused),
        calls=_calls(meter),
        archived_bytes=_archived_bytes(channel, messages),
        cpu_s=_cpu_s(channel, messages),
    )


def _steps(sizes: Iterable[int], step: int) -> int:
    return sum(math.ceil(size / step) for size in sizes)


def _calls(meter: Meter) -> dict[str, float]:
    counts: dict[str, float] = dict(meter.calls)
    return counts | {AHEAD: meter.ahead} if meter.ahead else counts


def _by_key(counts: Mapping[str, float]) -> dict[str, float]:
    """By the table's key in tables.yaml."""
    return {table.removeprefix("evswap-"): float(count) for table, count in counts.items() if count}


# --- our own share ------------------------------------------------------------------------------------------


def _process(stores: Stores, channel: Channel, messages: Sequence[Sent]) -> None:
    ingest: Mapping[Channel, Ingest] = {
        Channel.BATCH: stores.bulk,
        Channel.CHANGE: stores.change,
        Channel.EVENT: stores.events,
    }
    deliveries = [delivery(envelope_of(one), f"r{number}") for number, one in enumerate(messages)]
    assert not ingest[channel].process(deliveries).failures


def _archived_bytes(channel: Channel, messages: Sequence[Sent]) -> float:
    """Of the object that all of them make together, as those of a thousand stations do."""
    stores = Stores()
    _process(stores, channel, messages)
    return float(sum(len(item.body) for item in stores.archive.objects.values()))


def _cpu_s(channel: Channel, messages: Sequence[Sent]) -> float:
    return cpu_of(lambda: _process(Stores(), channel, messages))


# --- the API and the original design ------------------------------------------------------------------------


def seed_message() -> bytes:
    """The original flat message, with its seven fields."""
    return encode_reading(reading())


def requests(asked: int = 20) -> dict[str, Request]:
    """A page of a hundred stations; its processor's share over stores in memory."""
    meter, size = page_of_stations()
    stores = Stores()
    stores.live.process([delivered(reading(station_id=f"station-{number:03}")) for number in range(100)])
    client = Client(stores.latest)
    client.request("/stations")
    cpu_s = cpu_of(lambda: [client.request("/stations") for _ in range(asked)]) / asked
    reads, calls = sum(meter.reads.values()), sum(meter.calls.values())
    return {"page": Request(reads=reads, calls=calls, bytes=size, cpu_s=cpu_s)}
