"""One station after another on the same outbox, each with the configuration that was in force when it began.

Two tell how a station is to be: its owner (a file, a Greengrass nucleus), and whoever adjusts it from afar. A
change by either is looked at as a whole before anything happens, and refused when it cannot be used. When it
can be, the station is ended and another begun in its place; what waits in the outbox is sent by that one. One
that cannot begin, because its hardware is not there, gives the place back to the former one.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from evswap_edge.app import Show, run_station
from evswap_edge.clock import TimeSource
from evswap_edge.config import Configuration, Log, StationConfig, describe
from evswap_edge.documents import ConfigurationError
from evswap_edge.hal import DriverError
from evswap_edge.outbox import OutboxError
from evswap_edge.remote.adjustments import Adjustments, AdjustmentsFile, adjusted
from evswap_edge.remote.control import Refusal
from evswap_edge.transports import CredentialsError, RestartRequired, TransportError

Run = Callable[..., Coroutine[Any, Any, None]]
"""``run_station``, or what a test puts in its place."""

Unusable = ConfigurationError | DriverError | OutboxError | TransportError
"""Why a configuration could not be put in force."""

_NOT_BEGUN: Final = (DriverError, OutboxError, TransportError)

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the owner says, what lies over it from afar, and what both make."""

    base: Configuration
    adjustments: Adjustments
    configuration: Configuration


@dataclass(frozen=True, slots=True, eq=False)
class _Change:
    """A wish. ``base`` or ``adjustments`` stay as they are where they are None. ``settled`` gets None, or why
    it could not be."""

    settled: "asyncio.Future[Unusable | None]"
    base: Configuration | None = None
    adjustments: Adjustments | None = None

    def settle(self, problem: Unusable | None) -> None:
        """Let whoever still waits for it know."""
        if not self.settled.done():
            self.settled.set_result(problem)


class Supervisor:
    """Runs a station, and those that follow it. It is the ``Control`` of each."""

    def __init__(
        self,
        time: TimeSource,
        *,
        run: Run = run_station,
        log_from: Callable[[str], None] | None,
        phase_s: float = 0.0,
    ) -> None:
        """``log_from`` is called with the level from which on there are to be logs; None: that is not this
        station's to say. ``phase_s`` is when the first sample of the first station is due."""
        self._time = time
        self._run = run
        self._log_from = log_from
        self._fixed = frozenset() if log_from else frozenset({"log"})
        self._phase_s = phase_s
        self._changes: asyncio.Queue[_Change] = asyncio.Queue()
        self._in_force: _Wanted | None = None
        self._station: _Running | None = None
        self.begun = asyncio.Event()
        """The first station has opened outbox and driver."""
        self.refusal: Refusal | None = None
        """The last adjustments, when they were refused."""

    async def run(self, configuration: Configuration, stop: asyncio.Event) -> None:
        """Run the station of ``configuration``, with the adjustments that it had, and those that replace it,
        until ``stop`` is set. Raises what ``run_station`` raises."""
        try:
            station = await self._begin_as_before(configuration)
            self.begun.set()
            while not stop.is_set():
                change = await self._next_change(station, stop)
                if change is not None:
                    station = await self._settle(station, change)
                if station.task.done():
                    return station.task.result()
            await station.end()
        finally:
            await self._leave()
        return None

    # --- for the owner ------------------------------------------------------------------------------------

    async def replace(self, configuration: Configuration) -> None:
        """Put the owner's ``configuration`` in force; at once when that changes nothing.

        Raises ``CredentialsError``, ``DriverError``, ``OutboxError`` or ``TransportError`` when it cannot
        be; then the former one is in force again. Returns without having done anything when ``run`` has
        ended: that says why.
        """
        if problem := await self._ask(base=configuration):
            raise problem

    # --- for the station itself (``Control``) -------------------------------------------------------------

    @property
    def configuration(self) -> Configuration:
        """What the station runs with."""
        return self._present.configuration

    @property
    def adjustments(self) -> Adjustments:
        """What of it comes from afar."""
        return self._present.adjustments

    def check(self, adjustments: Adjustments) -> None:
        """See ``Control.check``."""
        self._wanted(self._present.base, adjustments)

    def adjust(self, adjustments: Adjustments) -> bool:
        """Have ``adjustments`` in the place of those in force; see ``Control.adjust``."""
        try:
            wanted = self._wanted(self._present.base, adjustments)
        except ConfigurationError as error:
            self.refusal = Refusal(adjustments, error.key, error.problem)
            raise
        self._ask(adjustments=adjustments)
        return wanted.configuration != self.configuration

    # --- one after another --------------------------------------------------------------------------------

    @property
    def _present(self) -> _Wanted:
        if self._in_force is None:
            raise LookupError("no station has begun yet")
        return self._in_force

    async def _begin_as_before(self, configuration: Configuration) -> "_Running":
        """With what was adjusted before the last end. What does not go with ``configuration`` any more, or
        keeps the station from beginning, must not keep it down: then without."""
        kept = await asyncio.to_thread(_kept(configuration).read)
        wanted = self._over(configuration, kept)
        if wanted.adjustments:
            _log.info("configured from afar, over what its own file says: %s", wanted.adjustments)
        try:
            return await self._begin(wanted)
        except RestartRequired:
            raise
        except _NOT_BEGUN as problem:
            if not wanted.adjustments:
                raise
            own = self._wanted(configuration, {})
            self._refuse(wanted, problem, instead=own)
            return await self._begin(own)

    def _wanted(self, base: Configuration, adjustments: Adjustments) -> _Wanted:
        """Raises ``ConfigurationError``."""
        return _Wanted(base, adjustments, adjusted(base, adjustments, fixed=self._fixed))

    def _over(self, base: Configuration, adjustments: Adjustments) -> _Wanted:
        try:
            return self._wanted(base, adjustments)
        except ConfigurationError as error:
            self.refusal = Refusal(adjustments, error.key, error.problem)
            _log.error("adjustments no longer apply: %s", error, extra={"key": error.key})
            return self._wanted(base, {})

    def _ask(self, **wish: Any) -> "asyncio.Future[Unusable | None]":
        settled: asyncio.Future[Unusable | None] = asyncio.get_running_loop().create_future()
        self._changes.put_nowait(_Change(settled, **wish))
        return settled

    async def _next_change(self, station: "_Running", stop: asyncio.Event) -> _Change | None:
        """The next change; None when ``stop`` is set or ``station`` has ended before there is one."""
        asked = asyncio.ensure_future(self._changes.get())
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({asked, stopping, station.task}, return_when=asyncio.FIRST_COMPLETED)
            return asked.result() if asked.done() else None
        finally:
            asked.cancel()
            stopping.cancel()

    async def _settle(self, station: "_Running", change: _Change) -> "_Running":
        """``_follow``, and let whoever waits for the change know what became of it."""
        try:
            successor, problem = await self._follow(station, change)
        except BaseException:
            change.settle(None)
            raise
        change.settle(problem)
        return successor

    async def _follow(self, station: "_Running", change: _Change) -> "tuple[_Running, Unusable | None]":
        """The station as it is wanted now: ``station`` itself when nothing changed or nothing usable did; and
        why it is not as it was wanted."""
        present = station.wanted
        adjustments = present.adjustments if change.adjustments is None else change.adjustments
        wanted = self._over(change.base or present.base, adjustments)
        if problem := self._unusable(wanted.configuration, instead_of=present.configuration):
            self._refuse(wanted, problem, instead=present)
            return station, problem
        await self._keep(wanted, instead_of=present)
        if change.adjustments == wanted.adjustments:
            self.refusal = None
        if wanted.configuration == present.configuration:
            self._in_force = station.wanted = wanted
            return station, None
        return await self._succeed(station, wanted)

    async def _succeed(self, station: "_Running", wanted: _Wanted) -> "tuple[_Running, Unusable | None]":
        """Who runs now, and why that is not the wanted one."""
        former = station.wanted
        await station.end()
        try:
            successor = await self._begin(wanted)
        except RestartRequired:
            raise
        except _NOT_BEGUN as problem:
            self._refuse(wanted, problem, instead=former)
            await self._keep(former, instead_of=wanted)
            return await self._begin(former), problem
        _log.info("new configuration applied: %s", describe(wanted.configuration.stations[0]))
        return successor, None

    def _unusable(self, wanted: Configuration, *, instead_of: Configuration) -> CredentialsError | None:
        """What would keep the station from connecting over another transport than before. With what is wrong
        already, it has to live in either case."""
        try:
            for station, before in zip(wanted.stations, instead_of.stations, strict=True):
                if station.transport != before.transport:
                    station.transport.kind.check(station.transport.settings, self._time)
        except CredentialsError as error:
            return error
        return None

    async def _begin(self, wanted: _Wanted) -> "_Running":
        if self._log_from is not None:
            self._log_from(wanted.configuration.log.level)
        self._in_force = wanted
        self._station = station = _Running(wanted)
        (config,) = wanted.configuration.stations
        work = self._run(
            config, self._time, station.stop, phase_s=self._phase_s, begun=station.begun, control=self
        )
        self._phase_s = 0.0
        await station.start(work)
        return station

    def _refuse(self, wanted: _Wanted, problem: Unusable, *, instead: _Wanted) -> None:
        """Keep for whoever asks why ``instead`` is in force."""
        _log.error("new configuration refused, the one before stays: %s", problem)
        if wanted.adjustments != instead.adjustments:
            self.refusal = Refusal(wanted.adjustments, "", str(problem))

    async def _keep(self, wanted: _Wanted, *, instead_of: _Wanted) -> None:
        """Remember the adjustments before a station with them is heard of: it says that they are in force."""
        if wanted.adjustments != instead_of.adjustments:
            await asyncio.to_thread(_kept(wanted.configuration).keep, wanted.adjustments)

    async def _leave(self) -> None:
        """End what runs, whatever it was that ended this, and let nobody wait for an answer."""
        while not self._changes.empty():
            self._changes.get_nowait().settle(None)
        if self._station is not None:
            with suppress(RestartRequired):
                await self._station.end()


async def run_one_of_many(
    config: StationConfig,
    time: TimeSource,
    stop: asyncio.Event,
    *,
    phase_s: float = 0.0,
    show: Show = nullcontext,
) -> None:
    """``run_station`` for a station that shares its process with others, and can be adjusted on its own."""
    supervisor = Supervisor(time, run=partial(run_station, show=show), log_from=None, phase_s=phase_s)
    await supervisor.run(Configuration(stations=(config,), log=Log()), stop)


class _Running:
    """A station at work."""

    def __init__(self, wanted: _Wanted) -> None:
        self.wanted = wanted
        self.stop = asyncio.Event()
        self.begun = asyncio.Event()
        self.task: asyncio.Task[None]
        """There once ``start`` was called."""

    async def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Return when ``work`` has begun. Raises what it ended with before that."""
        self.task = asyncio.create_task(work)
        begun = asyncio.ensure_future(self.begun.wait())
        try:
            await asyncio.wait({begun, self.task}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self.stop.set()
            raise
        finally:
            begun.cancel()
        if self.task.done():
            self.task.result()

    async def end(self) -> None:
        """Ask it to stop and wait until it has. Raises what it ended with."""
        self.stop.set()
        await self.task


def _kept(configuration: Configuration) -> AdjustmentsFile:
    (station,) = configuration.stations
    return AdjustmentsFile(station.outbox_path, station_id=station.station_id)
