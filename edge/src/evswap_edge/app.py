"""One station: the place where its parts are made and put together, run and taken apart."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any, Final

from msgspec.structs import asdict

from evswap_edge.alarms import (
    CERTIFICATE_ENDS,
    CREDENTIALS_UNUSABLE,
    OUTBOX_IN_MEMORY,
    SAMPLES_DROPPED,
    Alarms,
    book_beside,
    sensor_failed,
)
from evswap_edge.backoff import Backoff
from evswap_edge.clock import TimeSource
from evswap_edge.config import StationConfig
from evswap_edge.confirmations import Confirmations
from evswap_edge.drivers import OnSensor, Surroundings, open_cabinet
from evswap_edge.failures import first_failure
from evswap_edge.hal import Cabinet
from evswap_edge.logs import STATION
from evswap_edge.outbox import Outbox
from evswap_edge.presence import Presence
from evswap_edge.provisioning.renewal import Renewals
from evswap_edge.publisher import Limits, Publisher, Sealing
from evswap_edge.remote.control import Control
from evswap_edge.remote.desk import Desk
from evswap_edge.reporting import Mode
from evswap_edge.reporting.changes import Changes, DeadBands
from evswap_edge.reporting.minutes import GROUP, Minutes, minutes_beside
from evswap_edge.reporting.recording import Recorder
from evswap_edge.reporting.sealing import Sealer
from evswap_edge.reporting.truth import Truth
from evswap_edge.reporting.wording import Wording
from evswap_edge.safety.guard import guarded
from evswap_edge.safety.interlock import Interlock
from evswap_edge.safety.interlock import Surroundings as SafetySurroundings
from evswap_edge.sampler import Sampler, longest_answer_s
from evswap_edge.swaps.cabinet import told
from evswap_edge.swaps.controller import Surroundings as SwapSurroundings
from evswap_edge.swaps.controller import Swaps
from evswap_edge.swaps.journal import SwapJournal
from evswap_edge.transports import Assurance, Caller, CredentialsError, Transport
from evswap_edge.transports.broker import BrokerSettings
from evswap_edge.vitals import Vitals
from evswap_schema import Severity
from evswap_schema.limits import MAX_BATCH_SAMPLES

Part = Callable[[asyncio.Event], Coroutine[Any, Any, None]]
"""Runs until the event is set."""
Show = Callable[["Station"], AbstractContextManager[object]]
"""Lets a station be seen for as long as the context lasts."""

_GROUP_S: Final = GROUP * 60.0

_log: Final = logging.getLogger(__name__)


async def run_station(
    config: StationConfig,
    time: TimeSource,
    stop: asyncio.Event,
    *,
    phase_s: float = 0.0,
    begun: asyncio.Event | None = None,
    control: Control | None = None,
    vitals: Vitals | None = None,
    show: Show = nullcontext,
) -> None:
    """Run a station until ``stop`` is set; its first sample is due after ``phase_s``. ``begun`` is set when
    outbox and driver are open; ``control`` lets it be configured from afar; ``vitals`` are where it counts;
    ``show`` lets it be seen while it runs.

    Without credentials that are of any use it samples all the same, and sends when it has some. Raises
    ``OutboxError``, ``DriverError`` or one of ``transports.ENDING`` when it cannot begin or go on.
    """
    STATION.set(config.station_id)
    signals = Signals()
    async with (
        _outbox(config, time, signals) as outbox,
        _cabinet(config, time, signals) as cabinet,
        _transport(config, time, signals) as link,
    ):
        station = Station(
            config, time, outbox, cabinet, link, signals, vitals=vitals, phase_s=phase_s, control=control
        )
        if begun is not None:
            begun.set()
        with show(station):
            await station.run(stop)


class Signals:
    """What outbox and transport tell, for parts that are made after them: append to a list to be called."""

    def __init__(self) -> None:
        self.link: list[Callable[[bool], None]] = []
        """With True for each new link, and with False when one has ended."""
        self.credentials: list[Callable[[CredentialsError | None], None]] = []
        """With what is wrong with certificate and key, and with None when nothing is."""
        self.sensors: list[OnSensor] = []
        """With what a driver cannot read, and when it can again."""
        self.storage: list[Callable[[], None]] = []
        """When the outbox gets into trouble, out of it, or loses something."""

    def on_link(self, up: bool) -> None:
        """For the transport."""
        for listener in self.link:
            listener(up)

    def on_credentials(self, problem: CredentialsError | None) -> None:
        """For the transport."""
        for listener in self.credentials:
            listener(problem)

    def on_sensor(self, sensor: str, reason: str | None, bay: int | None) -> None:
        """For a driver of which a part can fail."""
        for listener in self.sensors:
            listener(sensor, reason, bay)

    def on_storage(self, _: object = None) -> None:
        """For the outbox."""
        for listener in self.storage:
            listener()


class Station:
    """Sampler and publisher around one outbox, and what watches over them."""

    def __init__(
        self,
        config: StationConfig,
        time: TimeSource,
        outbox: Outbox,
        cabinet: Cabinet,
        link: Transport,
        signals: Signals,
        *,
        vitals: Vitals | None = None,
        phase_s: float = 0.0,
        control: Control | None = None,
    ) -> None:
        self.station_id = config.station_id
        self.time = time
        self._config = config
        self._link = link
        self._samples_lost = outbox.losses.samples
        self.outbox = outbox
        self.vitals = vitals or Vitals()
        self.alarms = Alarms(
            station_id=config.station_id, outbox=outbox, time=time, book=book_beside(config.outbox_path)
        )
        self._confirmations = _confirmations(config, time, link)
        self._changes = _changes(config)
        self._minutes = self._make_minutes()
        self.publisher = self._make_publisher()
        self.interlock = self._make_interlock(cabinet) if config.safety.enabled else None
        if self.interlock is not None:
            cabinet = guarded(cabinet, self.interlock)
        self.swaps = self._make_swaps(cabinet)
        cabinet = told(cabinet, self.swaps.told)
        self.sampler = self._make_sampler(cabinet, phase_s=phase_s)
        self.alarms.on_event = self.publisher.happened
        signals.link.append(self.publisher.link_changed)
        signals.credentials.append(self._on_credentials)
        signals.sensors.append(self._on_sensor)
        signals.storage.append(self._look_at_storage)
        self.beside: dict[str, Part] = {}
        """What else runs until the station is to stop, by name."""
        if self.interlock is not None:
            self.beside["safety"] = self.interlock.run
        self.beside["swaps"] = self.swaps.run
        self._desk: Desk | None = None
        if renewals := _renewals(config, link, time, self._on_certificate):
            self.beside["renewals"] = renewals.run
        if config.commands.enabled:
            self._desk = self._make_desk(cabinet, control)
            self.beside["desk"] = self._desk.run
            signals.link.append(self._desk.on_link)

    async def run(self, stop: asyncio.Event) -> None:
        """The publisher is told to stop after the last sample is stored, so that it can still deliver
        that."""
        told = {"stream_id": self.outbox.stream_id, "waiting": self.outbox.waiting.all_samples}
        _log.info("station starts, %d samples wait in the outbox", told["waiting"], extra=told)
        self._look_at_storage()
        await self._listen()
        try:
            with first_failure():
                await self._run_parts(stop)
        finally:
            await asyncio.to_thread(self._close)
        _log.info("station stops, %d samples wait in the outbox", self.outbox.waiting.all_samples)

    def _close(self) -> None:
        self.swaps.close()
        if self._minutes is not None:
            self._minutes.save()

    async def _listen(self) -> None:
        """Subscribe to what comes down."""
        if self._confirmations is not None:
            await self._confirmations.listen(self._link)
        if self._desk is not None:
            await self._desk.listen()

    async def _run_parts(self, stop: asyncio.Event) -> None:
        """Each part stops when the one before has: sampler, publisher, alarms."""
        sampled, published = asyncio.Event(), asyncio.Event()
        name = self._config.station_id
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.alarms.run(published), name=f"alarms {name}")
            publishing = tasks.create_task(self.publisher.run(sampled), name=f"publisher {name}")
            publishing.add_done_callback(lambda _: published.set())
            sampling = tasks.create_task(self.sampler.run(stop), name=f"sampler {name}")
            sampling.add_done_callback(lambda _: sampled.set())
            for part, run in self.beside.items():
                tasks.create_task(run(stop), name=f"{part} {name}")

    def _make_publisher(self) -> Publisher:
        config, publishing, reporting = self._config, self._config.publishing, self._config.reporting
        limits = Limits(
            window=publishing.window,
            drain_s=publishing.drain_s,
            backlog_per_s=publishing.backlog_per_s,
            backlog_pause_s=publishing.backlog_jitter_s,
        )
        truth = Truth(self.time, self.outbox.offset_of)
        batched = reporting.mode is Mode.ON_CHANGE
        sealer = Sealer(
            config.station_id,
            truth,
            limit=_most_in_a_batch(config) if batched else limits.samples_in_a_parcel,
            minutes=self._minutes,
        )
        return Publisher(
            outbox=self.outbox,
            wording=Wording(
                config.station_id,
                mode=reporting.mode,
                topic=config.transport.kind.topic,
                truth=truth,
                acknowledge=self._confirmations is not None,
            ),
            sealing=Sealing(
                self.outbox, sealer, mode=reporting.mode, age_s=reporting.batch_age_s, time=self.time
            ),
            transport=self._link,
            time=self.time,
            mode=reporting.mode,
            limits=limits,
            backoff=lambda: Backoff(base_s=publishing.retry_min_s, cap_s=publishing.retry_max_s),
            vitals=self.vitals,
            confirmations=self._confirmations,
            on_caught_up=self._on_caught_up,
        )

    def _make_minutes(self) -> Minutes | None:
        """They ride in batches."""
        if self._config.reporting.mode is not Mode.ON_CHANGE:
            return None
        return Minutes(
            minutes_beside(self._config.outbox_path),
            station_id=self._config.station_id,
            monotonic=self.time.monotonic,
        )

    def _make_sampler(self, cabinet: Cabinet, *, phase_s: float) -> Sampler:
        config = self._config
        recorder = Recorder(
            self.outbox,
            self._changes,
            alarms=lambda: self.alarms.raised,
            on_samples=self.publisher.sampled,
        )
        return Sampler(
            station_id=config.station_id,
            cabinet=cabinet,
            record=recorder.record,
            time=self.time,
            interval_s=config.sampling.interval_s,
            sensor_timeout_s=config.sampling.sensor_timeout_s,
            vitals=self.vitals,
            on_sensor=self._on_sensor,
            ailing=lambda: self.alarms.of_sensors,
            phase_s=phase_s,
            with_bays=config.reporting.mode is Mode.ON_CHANGE,
            location=config.location,
        )

    def _make_interlock(self, cabinet: Cabinet) -> Interlock:
        """Over the hardware itself: nothing of the station stands between the two."""
        config = self._config
        around = SafetySurroundings(
            cabinet=cabinet,
            bays=config.driver.kind.bays(config.driver.settings),
            alarms=self.alarms,
            time=self.time,
            outbox_path=config.outbox_path,
        )
        return Interlock(config.safety, around)

    def _veto(self, bay: int) -> str | None:
        """Why nothing may be done with ``bay``; None: there is nothing against it."""
        return None if self.interlock is None else self.interlock.veto(bay)

    def _make_swaps(self, cabinet: Cabinet) -> Swaps:
        """Before anything is told: it looks how far the outbox's numbers have come."""
        config = self._config
        around = SwapSurroundings(
            station_id=config.station_id,
            cabinet=cabinet,
            outbox=self.outbox,
            alarms=self.alarms,
            time=self.time,
            answer_timeout_s=config.commands.answer_timeout_s,
            veto=self._veto,
            on_event=self.publisher.happened,
        )
        return Swaps(config.swaps, SwapJournal(config.outbox_path, station_id=config.station_id), around)

    def _make_desk(self, cabinet: Cabinet, control: Control | None) -> Desk:
        return Desk(
            self._config,
            cabinet=cabinet,
            transport=self._link,
            time=self.time,
            take_reading=self._take_reading,
            control=control,
            swaps=self.swaps,
        )

    async def _take_reading(self) -> None:
        """Whoever asks for a sample wants to see it, whether it is news or not."""
        self._changes.forget()
        await self.sampler.sample()

    # --- what is wrong ------------------------------------------------------------------------------------

    def _look_at_storage(self) -> None:
        trouble, losses = self.outbox.trouble, self.outbox.losses
        detail = f"{trouble.kind}: {trouble.reason}" if trouble else None
        self.alarms.set(OUTBOX_IN_MEMORY, trouble is not None, severity=Severity.CRITICAL, detail=detail)
        if losses.samples > self._samples_lost:
            self._samples_lost = losses.samples
            self.alarms.set(SAMPLES_DROPPED, True, count=losses.samples)

    def _on_caught_up(self) -> None:
        """What was dropped stays dropped; that no more is, is good news."""
        self.alarms.set(SAMPLES_DROPPED, False, count=self.outbox.losses.samples)

    def _on_certificate(self, ends: bool, when: str) -> None:
        self.alarms.set(CERTIFICATE_ENDS, ends, severity=Severity.CRITICAL, detail=when)

    def _on_credentials(self, problem: CredentialsError | None) -> None:
        self.vitals.credentials_problem = None if problem is None else str(problem)
        detail = None if problem is None else problem.problem
        severity = Severity.CRITICAL
        self.alarms.set(CREDENTIALS_UNUSABLE, problem is not None, severity=severity, detail=detail)

    def _on_sensor(self, sensor: str, reason: str | None, bay: int | None = None) -> None:
        self.alarms.set(sensor_failed(sensor), reason is not None, bay=bay, detail=reason)


def _most_in_a_batch(config: StationConfig) -> int:
    """A batch takes the minutes of one group with it: one that gathers for longer holds no more samples than
    a group has."""
    if config.reporting.batch_age_s <= _GROUP_S:
        return MAX_BATCH_SAMPLES
    return max(1, min(MAX_BATCH_SAMPLES, int(_GROUP_S / config.sampling.interval_s)))


def _changes(config: StationConfig) -> Changes:
    reporting = config.reporting
    return Changes(DeadBands(temperature=reporting.temperature_band, humidity=reporting.humidity_band))


def _confirmations(config: StationConfig, time: TimeSource, link: Transport) -> Confirmations | None:
    """Where the transport's word proves nothing, the cloud's is needed."""
    if link.assurance is Assurance.DELIVERED:
        return None
    timeout_s = config.publishing.confirmation_timeout_s
    return Confirmations(time, station_id=config.station_id, timeout_s=timeout_s)


def _renewals(
    config: StationConfig, link: Transport, time: TimeSource, alarm: Callable[[bool, str], None]
) -> Renewals | None:
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
        alarm=alarm,
    )


@asynccontextmanager
async def _outbox(config: StationConfig, time: TimeSource, signals: Signals) -> AsyncIterator[Outbox]:
    outbox = await Outbox.open(
        config.outbox_path,
        station_id=config.station_id,
        time=time,
        bounds=config.outbox_bounds,
        on_trouble=signals.on_storage,
        on_loss=signals.on_storage,
    )
    try:
        yield outbox
    finally:
        await outbox.aclose()


@asynccontextmanager
async def _cabinet(config: StationConfig, time: TimeSource, signals: Signals) -> AsyncIterator[Cabinet]:
    sampling = config.sampling
    surroundings = Surroundings(
        station_id=config.station_id,
        time=time,
        answer_within_s=longest_answer_s(sampling.interval_s, sampling.sensor_timeout_s),
        on_sensor=signals.on_sensor,
    )
    cabinet = await open_cabinet(config.driver.kind, config.driver.settings, surroundings)
    try:
        yield cabinet
    finally:
        await cabinet.aclose()


@asynccontextmanager
async def _transport(config: StationConfig, time: TimeSource, signals: Signals) -> AsyncIterator[Transport]:
    kind = config.transport.kind
    presence = Presence(config.station_id, topic=kind.topic, time=time) if kind.keeps_wills else None
    if presence:
        signals.link.append(presence.on_link)
    caller = Caller(
        station_id=config.station_id,
        time=time,
        will=presence.will if presence else None,
        on_link=signals.on_link,
        on_credentials=signals.on_credentials,
        swap_rules=asdict(config.swaps),
    )
    transport = await kind.open(config.transport.settings, caller)
    try:
        async with presence.over(transport) if presence else nullcontext():
            yield transport
    finally:
        await transport.aclose()
