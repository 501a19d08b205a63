"""One station: the place where its parts are made and put together, run and taken apart."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Final

import msgspec

from evswap_edge.backoff import Backoff
from evswap_edge.clock import TimeSource
from evswap_edge.config import Reporting, StationConfig
from evswap_edge.drivers import Surroundings, open_cabinet
from evswap_edge.failures import first_failure
from evswap_edge.hal import Cabinet
from evswap_edge.logs import STATION
from evswap_edge.outbox.v1 import Outbox
from evswap_edge.presence import Presence
from evswap_edge.provisioning.renewal import Renewals
from evswap_edge.publisher import Publisher
from evswap_edge.remote.control import Control
from evswap_edge.remote.desk import Desk
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
    control: Control | None = None,
) -> None:
    """Run a station until ``stop`` is set; its first sample is due after ``phase_s``. ``begun`` is set when
    outbox and driver are open; ``control`` lets it be configured from afar.

    Raises ``CredentialsError``, ``OutboxError`` or ``DriverError`` when it cannot begin or go on.
    """
    STATION.set(config.station_id)
    config.transport.kind.check(config.transport.settings, time)
    news = _News()
    async with (
        _outbox(config, time) as outbox,
        _cabinet(config, time) as cabinet,
        _transport(config, time, news) as link,
    ):
        if begun is not None:
            begun.set()
        station = _Station(config, time, outbox, cabinet, link, phase_s=phase_s, control=control)
        news.listeners.append(station.on_link)
        await station.run(stop)


class _News:
    """Of the link, for all who want to hear it."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[bool], None]] = []

    def tell(self, up: bool) -> None:
        for listener in self.listeners:
            listener(up)


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
        control: Control | None,
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
        self._desk = Desk(
            config,
            cabinet=cabinet,
            transport=link,
            time=time,
            take_reading=self._sampler.take_now,
            control=control,
        )

    def on_link(self, up: bool) -> None:
        """There is a new link, or the last one has ended."""
        if self._config.commands.enabled:
            self._desk.on_link(up)

    async def run(self, stop: asyncio.Event) -> None:
        """The publisher is told to stop after the last sample is stored, so that it can still deliver
        that."""
        told = {"stream_id": self._outbox.stream_id, "waiting": self._outbox.depth}
        _log.info("station starts, %d samples wait in the outbox", self._outbox.depth, extra=told)
        with first_failure():
            await self._run_parts(stop)
        _log.info("station stops, %d samples wait in the outbox", self._outbox.depth)

    async def _run_parts(self, stop: asyncio.Event) -> None:
        sampled = asyncio.Event()
        if self._config.commands.enabled:
            await self._desk.listen()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publisher.run(sampled), name=f"publisher {self._config.station_id}")
            sampling = tasks.create_task(self._sampler.run(stop), name=f"sampler {self._config.station_id}")
            sampling.add_done_callback(lambda _: sampled.set())
            if self._config.commands.enabled:
                tasks.create_task(self._desk.run(stop), name=f"desk {self._config.station_id}")
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
async def _transport(config: StationConfig, time: TimeSource, news: _News) -> AsyncIterator[Transport]:
    kind = config.transport.kind
    presence = Presence(config.station_id, topic=kind.topic, time=time) if kind.keeps_wills else None
    if presence is not None:
        news.listeners.append(presence.on_link)
    will = presence.will if presence else None
    caller = Caller(station_id=config.station_id, time=time, will=will, on_link=news.tell)
    transport = await kind.open(config.transport.settings, caller)
    try:
        async with presence.over(transport) if presence else nullcontext():
            yield transport
    finally:
        await transport.aclose()
