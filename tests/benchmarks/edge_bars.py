"""The station beside what it has to beat, both measured in the same run, on the same broker and disk."""

import asyncio
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from evswap_schema import (
    Channel,
    Reading,
    broker_topic,
    decode_own_reading,
    encode_batches,
    encode_reading,
    identified,
)
from tests.benchmarks.bare_loop import (
    BareLink,
    BareTable,
    drain,
    take_and_deliver,
    take_and_deliver_batched,
)
from tests.benchmarks.station_at_work import (
    TOGETHER,
    AtWork,
    configuration,
    readings,
    station_at_work,
)
from tests.chaos.far_sides import Sink
from tests.chaos.truth import Lane, arrived
from tests.mosquitto import Mosquitto

A_DAY: Final = 17_280
"""Samples, at one in 5 s."""
PEERS_BEST_PER_S: Final = 4_273
"""A gateway in Python that publishes 1,000 records at once, and loses them when it is killed."""

_BARE: Final = "bare-loop"
_OFFLINE_S: Final = 3.0
"""How long the broker is away before it is called back: the station has stopped to dial at once by then."""
_LOOK_EVERY_S: Final = 0.002
_LIVE_EVERY_S: Final = 0.1
_ROUNDS: Final = 9


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A figure and its bar: `value` has to be at most `limit`, or at least, where `more_is_better`. There is
    none where it is infinite."""

    name: str
    value: float
    unit: str
    limit: float
    more_is_better: bool = False
    detail: str = ""

    @property
    def is_met(self) -> bool:
        return self.value >= self.limit if self.more_is_better else self.value <= self.limit

    def __str__(self) -> str:
        verdict = "met" if self.is_met else "NOT MET"
        limit = f"{'≥' if self.more_is_better else '≤'} {_short(self.limit)}, {verdict}"
        bar = limit if math.isfinite(self.limit) else "none"
        return f"| {self.name} | {_short(self.value)} {self.unit}".rstrip() + f" | {bar} | {self.detail} |"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def bars_table(bars: Sequence[Bar]) -> str:
    """As docs/performance.md shows them."""
    return "\n".join(["| what | measured | bar | |", "|---|---:|---|---|", *map(str, bars)])


# --- after an outage --------------------------------------------------------------------------------------


def drain_after_an_outage(folder: Path, broker: Mosquitto, count: int) -> list[Bar]:
    """`count` samples stored while the broker was away, then the broker back, with the cap off."""
    bare_s = _bare_loop_drains(folder, broker, count)
    bars = []
    for mode, limit in (("on-change", 1.0), ("every-sample", math.inf)):
        first_s, all_s = asyncio.run(_station_drains(folder / mode, broker, count, mode))
        drained = Bar(
            name=f"{count:,} samples drained, {mode}, in times of the plain loop",
            value=all_s / bare_s,
            unit="",
            limit=limit,
            detail=f"{all_s:.2f} s against {bare_s:.2f} s",
        )
        first = Bar(name=f"first message after the broker's return, {mode}", value=first_s, unit="s", limit=3)
        bars += [drained, first]
    return bars


async def _station_drains(folder: Path, broker: Mosquitto, count: int, mode: str) -> tuple[float, float]:
    """Seconds from the broker's return to the first acknowledgement, and from the connection on, as for the
    loop, to the durable end of the last."""
    file = configuration(folder, broker, mode=mode, publishing={"backlog_per_s": 0})
    async with station_at_work(file) as work:
        await work.until_linked()
        await asyncio.to_thread(broker.stop)
        await work.record(readings(count))
        await asyncio.sleep(_OFFLINE_S)
        await asyncio.to_thread(broker.start)
        back = time.monotonic()
        await work.until_linked()
        linked = time.monotonic()
        await _until_first_acknowledgement(work)
        first = time.monotonic()
        await work.until_nothing_waits()
        return first - back, time.monotonic() - linked


async def _until_first_acknowledgement(work: AtWork) -> None:
    before = sum(work.station.vitals.accepted.values())
    while sum(work.station.vitals.accepted.values()) == before:
        await asyncio.sleep(_LOOK_EVERY_S)


def _bare_loop_drains(folder: Path, broker: Mosquitto, count: int) -> float:
    with closing(BareTable(folder / "drained.sqlite")) as table, closing(_bare_link(broker)) as link:
        table.add(_bodies(readings(count)))
        link.connect()
        began = time.monotonic()
        assert drain(table, link, broker_topic(Channel.TELEMETRY, _BARE)) == count
        return time.monotonic() - began


# --- under load -------------------------------------------------------------------------------------------


def throughput(folder: Path, broker: Mosquitto, count: int, plain_count: int) -> list[Bar]:
    """Samples a second, each durable on disk and acknowledged by the broker at the end. The loop with the
    same batches takes its turn right after each of the station's, so that what else the machine does meets
    both; the medians count."""
    stations, batched = [], []
    plain_per_s = plain_count / _bare_loop_delivers(folder / "plain.sqlite", broker, plain_count)
    for number in range(_ROUNDS):
        stations.append(count / asyncio.run(_station_delivers(folder / f"station-{number}", broker, count)))
        batched.append(count / _batched_loop_delivers(folder / f"{number}.sqlite", broker, count))
    station_per_s, batched_per_s = median(stations), median(batched)
    ratio = median(one / other for one, other in zip(stations, batched, strict=True))
    return [
        Bar(
            name="samples durable and acknowledged, in times of the plain loop",
            value=station_per_s / plain_per_s,
            unit="",
            limit=3,
            more_is_better=True,
            detail=f"{station_per_s:,.0f}/s against {plain_per_s:,.0f}/s",
        ),
        Bar(
            name="the same, in times of the loop with the same batches",
            value=ratio,
            unit="",
            limit=0.7,
            more_is_better=True,
            detail=f"{station_per_s:,.0f}/s against {batched_per_s:,.0f}/s",
        ),
        Bar(
            name="the same, beside the peer's best, which is not durable",
            value=station_per_s,
            unit="/s",
            limit=PEERS_BEST_PER_S,
            more_is_better=True,
        ),
    ]


async def _station_delivers(folder: Path, broker: Mosquitto, count: int) -> float:
    file = configuration(folder, broker, publishing={"backlog_per_s": 0})
    async with station_at_work(file) as work:
        await work.until_linked()
        began = time.monotonic()
        await work.record(readings(count))
        await work.until_nothing_waits()
        return time.monotonic() - began


def _bare_loop_delivers(file: Path, broker: Mosquitto, count: int) -> float:
    with _bare_loop(file, broker) as (table, link):
        began = time.monotonic()
        take_and_deliver(table, link, broker_topic(Channel.TELEMETRY, _BARE), _bodies(readings(count)))
        return time.monotonic() - began


def _batched_loop_delivers(file: Path, broker: Mosquitto, count: int) -> float:
    topic = broker_topic(Channel.BATCH, _BARE)
    with _bare_loop(file, broker) as (table, link):
        began = time.monotonic()
        take_and_deliver_batched(
            table,
            link,
            topic,
            _bodies(readings(count)),
            together=TOGETHER,
            pack=lambda share: _packed(share, topic),
        )
        return time.monotonic() - began


@contextmanager
def _bare_loop(file: Path, broker: Mosquitto) -> Iterator[tuple[BareTable, BareLink]]:
    with closing(BareTable(file)) as table, closing(_bare_link(broker)) as link:
        link.connect()
        yield table, link


def _bare_link(broker: Mosquitto) -> BareLink:
    return BareLink(broker.station_credentials(_BARE), broker.host, broker.port)


def _bodies(samples: Sequence[Reading]) -> Iterator[bytes]:
    """The same bytes as a station stores, made when they are asked for, as a station makes them."""
    stream = "0" * 32
    for number, sample in enumerate(samples, start=1):
        yield encode_reading(identified(sample, stream_id=stream, sequence=number))


def _packed(share: Sequence[bytes], topic: str) -> list[bytes]:
    return [batch.payload for batch in encode_batches(map(decode_own_reading, share), topic=topic)]


# --- live beside the backlog ------------------------------------------------------------------------------


def live_beside_backlog(folder: Path, broker: Mosquitto, seconds: float) -> Bar:
    """How long after its commit a sample is at a subscriber, while the backlog drains at its default pace."""
    latencies, left = asyncio.run(_live_latencies(folder, broker, seconds))
    p99 = quantiles(latencies, n=100)[98]
    return Bar(
        name="live message at a subscriber while the capped backlog drains, p99",
        value=p99,
        unit="s",
        limit=1,
        detail=f"{len(latencies)} samples, worst {max(latencies):.3f} s; {left} of the backlog left",
    )


async def _live_latencies(folder: Path, broker: Mosquitto, seconds: float) -> tuple[list[float], int]:
    """Each sample is a message of its own, so that the backlog outlasts the measurement."""
    file = configuration(folder, broker, mode="every-sample", publishing={"backlog_jitter_s": 0})
    async with station_at_work(file) as work:
        await work.until_linked()
        await asyncio.to_thread(broker.stop)
        await work.record(readings(int(seconds * 20)))
        await asyncio.sleep(_OFFLINE_S)
        await asyncio.to_thread(broker.start)
        sink = Sink(broker)
        await asyncio.to_thread(sink.open)
        await work.until_linked()
        stored = await _store_live(work, seconds)
        await asyncio.sleep(1.5)
        left = work.station.outbox.waiting.all_samples
        await asyncio.to_thread(sink.close)
    first: dict[int, float] = {}
    for message in arrived(sink.arrivals):
        if message.lane is Lane.SAMPLE:
            first.setdefault(message.identities[0].sequence, message.at)
    return [first[number] - at for number, at in stored.items()], left


async def _store_live(work: AtWork, seconds: float) -> dict[int, float]:
    """Sequence number and moment of each sample that was stored while the link was up."""
    stored = {}
    for reading in readings(int(seconds / _LIVE_EVERY_S)):
        await work.record([reading])
        newest = work.station.outbox.newest()
        assert newest is not None
        stored[newest.sequence] = time.time()
        await asyncio.sleep(_LIVE_EVERY_S)
    return stored
