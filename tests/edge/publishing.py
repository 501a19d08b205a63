"""A publisher at work on a real outbox, and what a test wants to know of it."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path

from msgspec.structs import replace

from evswap_edge.backoff import Backoff
from evswap_edge.clock import SystemTime, TimeSource, stamp_now
from evswap_edge.confirmations import Confirmations
from evswap_edge.message import Message
from evswap_edge.outbox import Bounds, Outbox, Sample, StoredEvent
from evswap_edge.publisher import Limits, Publisher, Sealing
from evswap_edge.reporting import Mode
from evswap_edge.reporting.sealing import Sealer, own_reading
from evswap_edge.reporting.truth import Truth
from evswap_edge.reporting.wording import Wording
from evswap_edge.testing import charged_bay
from evswap_edge.transports.memory import MemoryTransport
from evswap_edge.vitals import Vitals
from evswap_schema import (
    AlarmEvent,
    AlarmState,
    Battery,
    Bay,
    Channel,
    Reading,
    Severity,
    broker_topic,
    decode_batch,
    decode_event,
    decode_reading,
    encode_event,
    encode_reading,
)
from evswap_schema.limits import MAX_BATCH_SAMPLES

STATION = "station-01"


def topic(channel: Channel) -> str:
    """Where the tests' station says what belongs to ``channel``."""
    return broker_topic(channel, STATION)


class Publishing:
    """A publisher that is put together as a station does it."""

    def __init__(
        self,
        outbox: Outbox,
        time: TimeSource,
        *,
        transport: MemoryTransport | None = None,
        mode: Mode = Mode.EVERY_SAMPLE,
        window: int = 5,
        drain_s: float = 10.0,
        age_s: float = 60.0,
        backlog_per_s: float = 0.0,
        backlog_pause_s: float = 0.0,
        backoff: Callable[[], Backoff] | None = None,
        confirmations: Confirmations | None = None,
    ) -> None:
        self.outbox = outbox
        self.time = time
        self.transport = transport or MemoryTransport()
        self.vitals = Vitals()
        self.stop = asyncio.Event()
        self.caught_up = 0
        self.limits = Limits(
            window=window, drain_s=drain_s, backlog_per_s=backlog_per_s, backlog_pause_s=backlog_pause_s
        )
        truth = Truth(time, outbox.offset_of)
        limit = self.limits.samples_in_a_parcel if mode is Mode.EVERY_SAMPLE else MAX_BATCH_SAMPLES
        self.publisher = Publisher(
            outbox=outbox,
            wording=Wording(
                STATION, mode=mode, topic=broker_topic, truth=truth, acknowledge=confirmations is not None
            ),
            sealing=Sealing(outbox, Sealer(STATION, truth, limit=limit), mode=mode, age_s=age_s, time=time),
            transport=self.transport,
            time=time,
            mode=mode,
            limits=self.limits,
            backoff=backoff or (lambda: Backoff(base_s=0.001, cap_s=0.005, chance=random.Random(1))),
            vitals=self.vitals,
            confirmations=confirmations,
            on_caught_up=self._count_caught_up,
            chance=random.Random(1),
        )
        self.task = asyncio.create_task(self.publisher.run(self.stop))

    async def __aenter__(self) -> "Publishing":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop.set()
        await self.task

    async def sample(self, reading: Reading, *, changed: bool = False) -> Sample:
        """Store ``reading`` now, and tell the publisher."""
        sample = await store(self.outbox, reading, self.time, changed=changed)
        self.publisher.sampled([(sample, own_reading(sample.body, STATION))])
        return sample

    async def event(self, number: int = 0) -> StoredEvent:
        """Store an event now, and tell the publisher."""
        event = await store_event(self.outbox, number, self.time)
        self.publisher.happened()
        return event

    @property
    def archived(self) -> list[int]:
        """The samples that have arrived where they are archived, in order of their arrival."""
        return sequences(self.transport.accepted)

    def _count_caught_up(self) -> None:
        self.caught_up += 1


async def opened(folder: Path, time: TimeSource | None = None, *, max_bytes: int | None = None) -> Outbox:
    """The station's outbox in ``folder``."""
    bounds = Bounds(max_bytes=max_bytes) if max_bytes else Bounds()
    return await Outbox.open(
        folder / "outbox.sqlite", station_id=STATION, time=time or SystemTime(), bounds=bounds
    )


async def waiting_in(path: Path, station_id: str = STATION) -> int:
    """How many samples wait in the outbox at ``path``, which nobody has open."""
    outbox = await Outbox.open(path, station_id=station_id, time=SystemTime())
    await outbox.aclose()
    return outbox.waiting.all_samples


async def store(outbox: Outbox, reading: Reading, time: TimeSource, *, changed: bool = False) -> Sample:
    """Append ``reading`` as a station does."""
    stamp = stamp_now(time)

    def body(stream_id: str, sequence: int) -> bytes:
        whole = replace(
            reading, stream_id=stream_id, sequence=sequence, timestamp=stamp.wall_clock, clock=stamp.clock
        )
        return encode_reading(whole)

    return await outbox.append(body, stamp=stamp, changed=changed)


async def store_event(outbox: Outbox, number: int, time: TimeSource) -> StoredEvent:
    """Append an event that is told from others by its ``number``."""
    stamp = stamp_now(time)

    def body(stream_id: str, sequence: int) -> bytes:
        event = AlarmEvent(
            station_id=STATION,
            stream_id=stream_id,
            sequence=sequence,
            timestamp=stamp.wall_clock,
            clock=stamp.clock,
            alarm="outbox_in_memory",
            state=AlarmState.RAISED,
            severity=Severity.CRITICAL,
            count=number,
        )
        return encode_event(event)

    return await outbox.append_event(body, stamp=stamp)


def readings_of(message: Message) -> list[Reading]:
    """What ``message`` brings to the archive: nothing when it is a change."""
    if message.topic == topic(Channel.TELEMETRY):
        return [decode_reading(message.payload)]
    if message.topic == topic(Channel.BATCH):
        return list(decode_batch(message.payload).readings)
    return []


def sequences(messages: Iterable[Message]) -> list[int]:
    """The samples that ``messages`` archive, in order."""
    return [reading.sequence or 0 for message in messages for reading in readings_of(message)]


def events(messages: Iterable[Message]) -> list[int]:
    """The numbers of the events among ``messages``."""
    found = [decode_event(message.payload) for message in messages if message.topic == topic(Channel.EVENT)]
    return [event.count or 0 for event in found if isinstance(event, AlarmEvent)]


def changes(messages: Iterable[Message]) -> list[Reading]:
    """The changes among ``messages``."""
    return [decode_reading(message.payload) for message in messages if message.topic == topic(Channel.CHANGE)]


def repeated(things: Iterable[Hashable]) -> int:
    """How many of ``things`` there are more than once, counting each repetition."""
    return sum(count - 1 for count in Counter(things).values())


def noisy_bay(number: int) -> Bay:
    """A bay that no compression makes small."""
    chance = random.Random(number)
    battery = Battery(
        serial_number=chance.randbytes(24).hex(),
        soc=round(chance.uniform(0, 100), 2),
        soh=round(chance.uniform(0, 100), 2),
        voltage=round(chance.uniform(0, 1_000), 2),
        current=round(chance.uniform(-10, 10), 2),
        temperature=round(chance.uniform(0, 50), 2),
        cycles=chance.randrange(2_000),
    )
    return replace(charged_bay(number), battery=battery)
