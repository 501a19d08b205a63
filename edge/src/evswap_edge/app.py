"""One station: the place where its parts are made and put together, run and taken apart."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Final

import msgspec

from evswap_edge.backoff import Backoff
from evswap_edge.clock import TimeSource
from evswap_edge.config import Reporting, StationConfig
from evswap_edge.drivers import Surroundings, open_cabinet
from evswap_edge.hal import Cabinet
from evswap_edge.logs import STATION
from evswap_edge.outbox.v1 import Outbox
from evswap_edge.presence import Presence
from evswap_edge.provisioning.renewal import Renewals
from evswap_edge.publisher import Publisher
from evswap_edge.remote.control import Control
from evswap_edge.reporting import Batched, EverySample, Mode, Reporter
from evswap_edge.sampler import Record, Sampler
from evswap_edge.transports import Caller, Transport
from evswap_edge.transports.broker import BrokerSettings
from evswap_schema import Reading, encode_reading

_log: Final = logging.getLogger(__name__)


async def run_station(
    config: StationConfig,
    time: TimeSource,
    stop: asyncio.Event,
    *,
    phase_s: float = 0.0,
    begun: asyncio.Event | None = None,
    control: Control | None = None,  # noqa: ARG001
) -> None:
    """Run a station until ``stop`` is set; its first sample is due after ``phase_s``. ``begun`` is set when
    outbox and driver are open; ``control`` lets it be configured from afar.

    Raises ``CredentialsError``, ``OutboxError`` or ``DriverError`` when it cannot begin or go on.
    """
    STATION.set(config.station_id)
    config.transport.kind.check(config.transport.settings, time)
    async with (
        _outbox(config, time) as outbox,
        _cabinet(config, time) as cabinet,
        _transport(config, time) as link,
    ):
        if begun is not None:
            begun.set()
        await _Station(config, time, outbox, cabinet, link, phase_s=phase_s).run(stop)


class _Station:
    """Sampler and publisher around one outbox."""

    def __init__(
        self,
        config: StationConfig,
        time: TimeSource,
        outbox: Outbox,
        cabinet: Cabinet,
        link: Transport,
        *,
        phase_s: float,
    ) -> None:
        self._config = config
        self._outbox = outbox
        self._publisher = Publisher(
            outbox=outbox,
            reporter=_reporter(config.station_id, config.reporting),
            transport=link,
            time=time,
            backoff=Backoff(base_s=config.publishing.retry_min_s, cap_s=config.publishing.retry_max_s),
            window=config.publishing.window,
            drain_s=config.publishing.drain_s,
        )
        self._sampler = Sampler(
            station_id=config.station_id,
            cabinet=cabinet,
            record=_recorder(outbox, self._publisher, time),
            time=time,
            interval_s=config.sampling.interval_s,
            sensor_timeout_s=config.sampling.sensor_timeout_s,
            phase_s=phase_s,
            with_bays=config.reporting.mode is Mode.ON_CHANGE,
        )
        self._renewals = _renewals(config, link, time)

    async def run(self, stop: asyncio.Event) -> None:
        """The publisher is told to stop after the last sample is stored, so that it can still deliver
        that."""
        told = {"stream_id": self._outbox.stream_id, "waiting": self._outbox.depth}
        _log.info("station starts, %d samples wait in the outbox", self._outbox.depth, extra=told)
        with _first_failure():
            await self._run_parts(stop)
        _log.info("station stops, %d samples wait in the outbox", self._outbox.depth)

    async def _run_parts(self, stop: asyncio.Event) -> None:
        sampled = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publisher.run(sampled), name=f"publisher {self._config.station_id}")
            sampling = tasks.create_task(self._sampler.run(stop), name=f"sampler {self._config.station_id}")
            sampling.add_done_callback(lambda _: sampled.set())
            if self._renewals is not None:
                tasks.create_task(self._renewals.run(stop), name=f"renewals {self._config.station_id}")


def _recorder(outbox: Outbox, publisher: Publisher, time: TimeSource) -> Record:
    async def record(reading: Reading) -> None:
        def body(sequence: int) -> bytes:
            return encode_reading(
                msgspec.structs.replace(reading, stream_id=outbox.stream_id, sequence=sequence)
            )

        await asyncio.to_thread(outbox.append, body, uptime=time.monotonic())
        publisher.notify()

    return record


def _reporter(station_id: str, reporting: Reporting) -> Reporter:
    match reporting.mode:
        case Mode.EVERY_SAMPLE:
            return EverySample(station_id)
        case Mode.ON_CHANGE:
            return Batched(station_id, age_s=reporting.batch_age_s)


def _renewals(config: StationConfig, link: Transport, time: TimeSource) -> Renewals | None:
    """None for a station that has no certificate of its own to look after."""
    settings = config.transport.settings
    if not isinstance(settings, BrokerSettings):
        return None
    return Renewals(
        station_id=config.station_id,
        settings=settings,
        transport=link,
        terms=config.provisioning,
        time=time,
    )


@asynccontextmanager
async def _outbox(config: StationConfig, time: TimeSource) -> AsyncIterator[Outbox]:
    outbox = await asyncio.to_thread(
        Outbox.on_this_machine, config.outbox_path, station_id=config.station_id, boot_id=time.boot_id
    )
    try:
        yield outbox
    finally:
        await asyncio.to_thread(outbox.close)


@asynccontextmanager
async def _cabinet(config: StationConfig, time: TimeSource) -> AsyncIterator[Cabinet]:
    surroundings = Surroundings(station_id=config.station_id, time=time)
    cabinet = await open_cabinet(config.driver.kind, config.driver.settings, surroundings)
    try:
        yield cabinet
    finally:
        await cabinet.aclose()


@asynccontextmanager
async def _transport(config: StationConfig, time: TimeSource) -> AsyncIterator[Transport]:
    kind = config.transport.kind
    presence = Presence(config.station_id, topic=kind.topic, time=time) if kind.keeps_wills else None
    transport = await kind.open(config.transport.settings, _caller(config.station_id, time, presence))
    try:
        async with presence.over(transport) if presence else nullcontext():
            yield transport
    finally:
        await transport.aclose()


def _caller(station_id: str, time: TimeSource, presence: Presence | None) -> Caller:
    if presence is None:
        return Caller(station_id=station_id, time=time)
    return Caller(station_id=station_id, time=time, will=presence.will, on_link=presence.on_link)


@contextmanager
def _first_failure() -> Iterator[None]:
    """The first thing that went wrong in a task group, as itself: what follows it is mostly its
    consequence."""
    try:
        yield
    except ExceptionGroup as group:
        raise group.exceptions[0] from group
