"""A station as a component of AWS IoT Greengrass.

The nucleus tells who the station is (the core's thing) and how it is configured; a deployment may change the
latter at any time. A change is looked at as a whole before anything happens: one that cannot be used is
refused and logged, and the station goes on as it was; also after a reboot, when the nucleus still has the bad
one in store. How one that can be used is applied: ``evswap_edge.supervision``.
"""

import asyncio
import json
import logging
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from evswap_edge.app import Show, run_station
from evswap_edge.backoff import Backoff
from evswap_edge.clock import TimeSource
from evswap_edge.config import OUTBOX_NAME, Configuration, station_of
from evswap_edge.documents import ConfigurationError, GivenDocument, KeyPath
from evswap_edge.episode import Episode
from evswap_edge.hal import DriverError
from evswap_edge.hosting import shown_at
from evswap_edge.logs import STATION
from evswap_edge.outbox import OutboxError
from evswap_edge.stopping import first_of, unless
from evswap_edge.supervision import Supervisor
from evswap_edge.transports import NotConnected, RestartRequired, TransportError
from evswap_edge.transports.nucleus import THING_VARIABLE, Door, Nucleus, Stream, required
from evswap_schema import STATION_ID_PATTERN

ResultT = TypeVar("ResultT")

KEY: Final = "station"
"""Where the station's settings stand in the component's configuration; beside it stands accessControl."""

RUNNING: Final = "RUNNING"
ERRORED: Final = "ERRORED"

_TOLD_OTHERWISE: Final[dict[KeyPath, str]] = {
    ("station_id",): f"is the core's thing name ({THING_VARIABLE}); leave it out",
    ("outbox", "path"): f"is {OUTBOX_NAME} in the component's work folder; leave it out",
    ("provisioning",): "is the nucleus's affair, which holds the certificate; leave it out",
}
_NO_DRIVER: Final = (
    'is missing: deploy one, such as {"station": {"driver": {"name": "simulated", "bays": 8}}}; none is'
    " assumed, or a cabinet would report batteries that nobody has seen"
)
_LAST_GOOD: Final = Path("last-good-configuration.json")
"""In the work folder: what the station ran with, as the nucleus told it."""

_ASK_AGAIN_MIN_S: Final = 0.2
_ASK_AGAIN_S: Final = 5.0

_log: Final = logging.getLogger(__name__)


async def run_component(
    time: TimeSource,
    stop: asyncio.Event,
    *,
    log_from: Callable[[str], None] = lambda level: None,  # noqa: ARG005
) -> None:
    """Run the station that the nucleus configures until ``stop`` is set. ``log_from`` is called with the
    level from which on there are to be logs.

    Raises ``NotUnderGreengrass``, ``RestartRequired`` when the nucleus is gone, ``ConfigurationError`` when
    there is no usable configuration to begin with, and what ``run_station`` raises.
    """
    station_id = _station_id()
    STATION.set(station_id)
    nucleus = await unless(stop, Nucleus.reached(Door.of_this_process(), time))
    if nucleus is None:
        return
    try:
        await _Component(nucleus, station_id, time, log_from).run(stop)
    finally:
        await nucleus.aclose()


class _Component:
    """The station, and the nucleus that says how it is to be."""

    def __init__(
        self, nucleus: Nucleus, station_id: str, time: TimeSource, log_from: Callable[[str], None]
    ) -> None:
        self._nucleus = nucleus
        self._station_id = station_id
        self._time = time
        self._changed = asyncio.Event()
        self._watch = Stream.none()
        self._show: Show = nullcontext
        run = partial(run_station, show=lambda station: self._show(station))  # noqa: PLW0108 - bound later
        self._supervisor = Supervisor(time, run=run, log_from=log_from)

    async def run(self, stop: asyncio.Event) -> None:
        try:
            wanted = await unless(stop, self._patiently(self._watched_and_wanted))
            if wanted is not None:
                with shown_at(wanted.configuration.metrics) as self._show:
                    await self._supervise(wanted, stop)
        except RestartRequired:
            raise
        except Exception:
            with suppress(TransportError):
                await self._nucleus.report(ERRORED)
            raise

    async def _supervise(self, wanted: "_Wanted", stop: asyncio.Event) -> None:
        """Have a station run until ``stop`` is set, it ends by itself, or the nucleus goes."""
        ending = asyncio.Event()
        running = asyncio.create_task(self._supervisor.run(wanted.configuration, ending))
        reporting: asyncio.Task[None] | None = None
        try:
            await first_of(self._supervisor.begun, ended=running)
            if not running.done():
                await asyncio.to_thread(_remember, wanted.told)
                reporting = asyncio.create_task(self._patiently(lambda: self._nucleus.report(RUNNING)))
            await self._keep_up(running, stop)
        finally:
            if reporting is not None:
                reporting.cancel()
                await asyncio.gather(reporting, return_exceptions=True)
            ending.set()
            with suppress(RestartRequired):
                await running

    async def _keep_up(self, running: "asyncio.Task[None]", stop: asyncio.Event) -> None:
        """Follow what the nucleus says."""
        while not stop.is_set():
            events = (stop, self._changed, self._watch.ended, self._nucleus.lost)
            await first_of(*events, ended=running)
            if running.done():
                return running.result()
            if self._nucleus.lost.is_set():
                raise RestartRequired(f"the nucleus ended its connection ({self._nucleus.reason})")
            if self._changed.is_set() or self._watch.ended.is_set():
                self._changed.clear()
                await self._follow()
        return None

    async def _patiently(self, ask: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """What the nucleus answers as soon as it can: its daemons are started, and restarted, one by one."""
        trouble = Episode(_log, "the nucleus", monotonic=self._time.monotonic)
        backoff = Backoff(base_s=_ASK_AGAIN_MIN_S, cap_s=_ASK_AGAIN_S)
        while True:
            try:
                answer = await ask()
            except NotConnected as error:
                trouble.begin(error)
                await asyncio.sleep(backoff.next_s())
            else:
                trouble.end()
                return answer

    # --- configuration ------------------------------------------------------------------------------------

    async def _watched_and_wanted(self) -> "_Wanted":
        """As ``_wanted_at_first``, from now on with an eye on changes."""
        await self._look_out()
        return await self._wanted_at_first()

    async def _look_out(self) -> None:
        """Have changes noticed, before anything is read: one in between would not be."""
        if self._watch.ended.is_set():
            self._watch = await self._nucleus.watch_configuration([KEY], self._changed.set)

    async def _wanted(self) -> "_Wanted":
        """What the nucleus has in store, looked at as a whole. Raises ``ConfigurationError`` or
        ``TransportError``."""
        return self._checked(await self._nucleus.configuration(KEY))

    async def _wanted_at_first(self) -> "_Wanted":
        """As ``_wanted``, or what the station ran with before, when the nucleus has nothing usable."""
        try:
            return await self._wanted()
        except ConfigurationError as error:
            if (last_good := _remembered()) is None:
                raise
            wanted = self._checked(last_good)
            _log.error("configuration refused, the last good one stays: %s", error, extra={"key": error.key})
            return wanted

    def _checked(self, told: Any) -> "_Wanted":
        return _Wanted(told, station_of(_document(told, self._station_id)))

    async def _follow(self) -> None:
        """Put in force what the nucleus has in store; what cannot be used leaves the station as it is."""
        try:
            await self._look_out()
            wanted = await self._wanted()
        except RestartRequired:
            raise
        except ConfigurationError as error:
            _log.error("new configuration refused, the one before stays: %s", error, extra={"key": error.key})
            return
        except TransportError as error:
            _log.warning("new configuration cannot be read: %s; reads again in %s s", error, _ASK_AGAIN_S)
            asyncio.get_running_loop().call_later(_ASK_AGAIN_S, self._changed.set)
            return
        with suppress(DriverError, OutboxError, TransportError):  # logged, and the one before is back
            await self._supervisor.replace(wanted.configuration)
            await asyncio.to_thread(_remember, wanted.told)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A usable configuration, and how the nucleus told it."""

    told: Any
    configuration: Configuration


def _station_id() -> str:
    thing = required(os.environ, THING_VARIABLE)
    if re.match(STATION_ID_PATTERN, thing) is None:
        problem = f"the thing name {thing!r} is no station id: letters, digits, - and _ only, at most 64"
        raise ConfigurationError(file=Path("environment"), line=None, key=THING_VARIABLE, problem=problem)
    return thing


def _document(given: Any, station_id: str) -> GivenDocument:
    """The component's settings completed to a station.yaml. Raises ``ConfigurationError``."""
    document = GivenDocument(given, source=f"component configuration, {KEY}")
    if given is not None and not isinstance(given, Mapping):
        raise document.error((), f"has to hold the keys of station.yaml; found {given!r:.60}")
    settings = dict(given or {})
    for key_path, instead in _TOLD_OTHERWISE.items():
        if _has(settings, key_path):
            raise document.error(key_path, instead)
    if "driver" not in settings:
        raise document.error(("driver",), _NO_DRIVER)
    document.data = settings | {
        "station_id": station_id,
        "transport": _completed(settings.get("transport", {}), {"name": "greengrass"}),
        "outbox": _completed(settings.get("outbox", {}), {"path": OUTBOX_NAME}),
    }
    return document


def _has(settings: Any, key_path: KeyPath) -> bool:
    for key in key_path:
        if not isinstance(settings, Mapping) or key not in settings:
            return False
        settings = settings[key]
    return True


def _completed(section: Any, told: Mapping[str, Any]) -> Any:
    """``section`` with what is known anyway. What is no section is left for whoever complains of it."""
    return {**told, **section} if isinstance(section, Mapping) else section


def _remember(told: Any) -> None:
    """Keep what the station runs with. Without it only a bad configuration at a reboot would hurt."""
    draft = _LAST_GOOD.with_suffix(".draft")
    try:
        draft.write_text(json.dumps(told), encoding="utf-8")
        draft.replace(_LAST_GOOD)
    except OSError as error:
        _log.warning("the configuration cannot be remembered in %s: %s", _LAST_GOOD.absolute(), error)


def _remembered() -> Any:
    """What ``_remember`` has kept; None when it has kept nothing that can be read."""
    try:
        return json.loads(_LAST_GOOD.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
