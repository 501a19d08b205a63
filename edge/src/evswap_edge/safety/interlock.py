"""The interlock at work: look every second, cut before anything else, and never wait for anybody.

    bays, safety inputs, climate ──► what follows ──► orders to chargers, again and again until it shows
      each read by itself                         ├─► alarms
                                                  └─► the latch's file

A reading that hangs delays only what it would have shown, an order that hangs only its own bay, and a disk
that hangs only what a power cut would leave.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from evswap_edge.alarms import Alarms
from evswap_edge.clock import TimeSource
from evswap_edge.config import SafetyRules
from evswap_edge.drivers.guarding import Guarded
from evswap_edge.episode import Episode
from evswap_edge.failures import first_failure
from evswap_edge.hal import BayActuators, Cabinet, Climate, Safety, SafetyInputs, SensorError, Unread
from evswap_edge.safety.charger import Charger
from evswap_edge.safety.deciding import (
    CABINET,
    BaysRead,
    BaysUnread,
    Cause,
    ClimateRead,
    InputsRead,
    InputsUnread,
    LockedOut,
    NotReleased,
    Observation,
    State,
    begun,
    in_words,
    name_of,
    observed,
    released,
)
from evswap_edge.safety.intent import Intent
from evswap_edge.safety.latch import NOTHING, Kept, LatchDamaged, latch_beside, read_latch, write_latch
from evswap_edge.safety.releasing import Answer, Counter, Request
from evswap_schema import Bay, Severity

ValueT = TypeVar("ValueT")

CHARGING_NOT_CUT: Final = "safety_charging_not_cut"
"""The bay is locked out, and it does not show that its charging is off."""
LATCH_UNKEPT: Final = "safety_latch_unkept"
"""What is locked out could not be written down: a power cut would forget it."""

_WRITE_AGAIN_S: Final = 1.0
_WRITTEN_WITHIN_S: Final = 5.0
"""For so long a release waits for the disk."""

_log: Final = logging.getLogger(__name__)


def alarm_of(cause: Cause) -> str:
    """The name of the alarm that something is locked out for ``cause``."""
    return f"safety_{cause}"


_OWN_ALARMS: Final = frozenset({CHARGING_NOT_CUT, LATCH_UNKEPT, *map(alarm_of, Cause)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the interlock needs of a station. ``cabinet`` is the hardware itself, with nothing in between;
    ``bays`` are those that the configuration speaks of."""

    cabinet: Cabinet
    bays: Sequence[int]
    alarms: Alarms
    time: TimeSource
    outbox_path: Path


class Interlock:
    """The safety interlock of one station. What was locked out when the process before it ended is so from
    the first moment."""

    def __init__(self, rules: SafetyRules, around: Surroundings) -> None:
        self._rules = rules
        self._around = around
        self._time = around.time
        self._path = latch_beside(around.outbox_path)
        self._intent = Intent(around.outbox_path)
        self._on_disk, latched = self._read_latch()
        self._restore = set(self._on_disk.restore)
        self._state = begun(
            self._time.monotonic(),
            bays=around.bays,
            has_inputs=isinstance(around.cabinet, SafetyInputs),
            latched=latched,
        )
        self._wished_off: set[int] = set()
        self._chargers: dict[int, Charger] = {}
        self._cut_since: dict[int, float] = {}
        self._wake = asyncio.Event()
        self._kept = asyncio.Event()
        self._bays = self._guarded("bays", self._read_bays)
        self._inputs = self._guarded("safety inputs", self._read_inputs)
        self._climate = self._guarded("climate", self._read_climate)
        self._storage = self._episode(f"latch {self._path}")
        self._restoring = self._episode("chargers of released bays")
        self._counter = Counter(around.outbox_path, self._time)
        self._agree_with_alarms()

    # --- for others ---------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """What is known now."""
        return self._state

    def veto(self, bay: int) -> str | None:
        """Why ``bay`` is locked out; None: it is not."""
        return self._state.veto(bay)

    def wished(self, bay: int, *, enabled: bool) -> None:
        """What others want of the charger of ``bay``; it holds again when that is released."""
        (self._wished_off.discard if enabled else self._wished_off.add)(bay)

    def somebody_enabled(self, bay: int) -> None:
        """Somebody else's order to charge came to its end. Where ``bay`` was locked out meanwhile, it may
        have come to the charger after the cut."""
        if bay in self._chargers:
            self._chargers[bay].somebody_else_ordered()
        self._give_orders()

    # --- at work ------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until ``stop`` is set. What is locked out then is so in the next process."""
        stopping = asyncio.create_task(stop.wait())
        stopping.add_done_callback(lambda _: self._wake.set())
        try:
            with first_failure():
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._watch(stop), name="safety watch")
                    tasks.create_task(self._keep(stop), name="safety latch")
                    tasks.create_task(self._serve(stop), name="safety release")
        finally:
            stopping.cancel()
            await asyncio.gather(*(charger.aclose() for charger in self._chargers.values()))

    async def _watch(self, stop: asyncio.Event) -> None:
        """A look begins when it is due and the one before it is over; each by itself."""
        under_way: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as looks:
            while not stop.is_set():
                due = self._time.monotonic() + self._rules.every_s
                for name, look in self._looks().items():
                    if name not in under_way or under_way[name].done():
                        under_way[name] = looks.create_task(look(), name=f"safety {name}")
                self._give_orders()
                await self._time.wait_until(due, unless=stop)
            for task in under_way.values():
                task.cancel()
        for guard in (self._bays, self._inputs, self._climate):
            await guard.aclose()

    def _looks(self) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        looks = {"bays": self._look_at_bays, "climate": self._look_at_climate}
        if self._state.inputs_seen_at is not None:
            looks["inputs"] = self._look_at_inputs
        return looks

    async def _look_at_bays(self) -> None:
        said = await self._bays.read()
        self._take(BaysUnread(said.reason) if isinstance(said, Unread) else BaysRead(said))

    async def _look_at_inputs(self) -> None:
        said = await self._inputs.read()
        self._take(InputsUnread(said.reason) if isinstance(said, Unread) else InputsRead(said))

    async def _look_at_climate(self) -> None:
        """An air sensor that fails is no danger: each battery has a sensor of its own."""
        said = await self._climate.read()
        if not isinstance(said, Unread):
            self._take(ClimateRead(said))

    def _take(self, observation: Observation) -> None:
        """All that follows from ``observation``; the orders come before whatever may have to wait."""
        outcome = observed(self._state, observation, self._time.monotonic(), self._rules)
        self._state = outcome.state
        if outcome.effects:
            self._intent.note(self._to_keep())
        self._give_orders()
        for effect in outcome.effects:
            self._tell(effect)
        if outcome.effects:
            self._changed()

    def _tell(self, one: LockedOut) -> None:
        told = {"bay": one.place, "cause": one.cause, "detail": one.detail}
        _log.error("%s is locked out: %s: %s", name_of(one.place), one.cause, one.detail, extra=told)
        self._alarm(alarm_of(one.cause), True, one.place, one.detail)

    def _alarm(self, name: str, active: bool, place: int, detail: str | None) -> None:
        bay = None if place == CABINET else place
        self._around.alarms.set(name, active, severity=Severity.CRITICAL, bay=bay, detail=detail)

    # --- chargers -----------------------------------------------------------------------------------------

    def _give_orders(self) -> None:
        """To every charger that does not show what it should: by how things stand, and not by what was
        ordered."""
        to_cut = self._state.to_cut
        for bay in sorted(to_cut):
            self._cut(bay)
        for bay in self._cut_since.keys() - to_cut:
            del self._cut_since[bay]
            self._alarm(CHARGING_NOT_CUT, False, bay, None)
        if self._restore and self._kept.is_set():
            for bay in sorted(self._restore - to_cut):
                self._let_charge(bay)

    def _cut(self, bay: int) -> None:
        now = self._time.monotonic()
        since = self._cut_since.setdefault(bay, now)
        watched = self._state.bays.get(bay)
        charging = None if watched is None else watched.charging
        charger = self._charger(bay)
        if charger is None:
            self._alarm(CHARGING_NOT_CUT, True, bay, "the driver has no actuators")
            return
        if charger.enabled is False and charging is False:
            self._alarm(CHARGING_NOT_CUT, False, bay, None)
            return
        charger.order(enabled=False)
        if charger.failure is not None:
            self._alarm(CHARGING_NOT_CUT, True, bay, charger.failure)
        elif now - since >= self._rules.feedback_s:
            shown = "it still charges" if charging else "its feedback cannot be read"
            self._alarm(CHARGING_NOT_CUT, True, bay, shown)

    def _let_charge(self, bay: int) -> None:
        """A bay that was released, unless others want it off."""
        charger = self._charger(bay)
        if charger is not None and charger.enabled is not True and bay not in self._wished_off:
            charger.order(enabled=True)
            if charger.failure is not None:
                self._restoring.begin(f"bay {bay}: {charger.failure}")
            return
        self._restoring.end()
        self._restore.discard(bay)
        self._changed()

    def _charger(self, bay: int) -> Charger | None:
        cabinet = self._around.cabinet
        if not isinstance(cabinet, BayActuators):
            return None
        if bay not in self._chargers:
            timeout_s = self._rules.order_timeout_s
            self._chargers[bay] = Charger(cabinet, bay, timeout_s=timeout_s, on_end=self._give_orders)
        return self._chargers[bay]

    # --- the latch ----------------------------------------------------------------------------------------

    def _changed(self) -> None:
        self._kept.clear()
        self._wake.set()

    def _to_keep(self) -> Kept:
        latched = {place: dict(found) for place, found in self._state.latched.items()}
        return Kept(latched=latched, restore=tuple(sorted(self._restore)))

    async def _keep(self, stop: asyncio.Event) -> None:
        """Write down what changes; what changed before the stop is written down before the end."""
        while True:
            self._wake.clear()
            kept = self._to_keep()
            if kept != self._on_disk and not await self._written(kept):
                await self._time.wait_until(self._time.monotonic() + _WRITE_AGAIN_S, unless=stop)
                if stop.is_set():
                    return
                continue
            if self._to_keep() != kept:
                continue
            self._intent.forget()
            self._kept.set()
            if stop.is_set():
                return
            await self._wake.wait()

    async def _written(self, kept: Kept) -> bool:
        try:
            await asyncio.to_thread(write_latch, self._path, kept)
        except OSError as error:
            self._storage.begin(error)
            self._alarm(LATCH_UNKEPT, True, CABINET, str(error))
            return False
        self._on_disk = kept
        self._storage.end()
        self._alarm(LATCH_UNKEPT, False, CABINET, None)
        return True

    def _read_latch(self) -> tuple[Kept, dict[int, dict[Cause, str]]]:
        """What is on the disk, and what is locked out for that and for what was about to be written."""
        try:
            kept = read_latch(self._path)
            latched = kept.latched
        except LatchDamaged as error:
            _log.error("what was locked out cannot be told, so all is: %s", error)
            kept, latched = NOTHING, {CABINET: {Cause.LATCH_DAMAGED: error.reason}}
        left = self._intent.left()
        return kept, {place: {**left.get(place, {}), **latched.get(place, {})} for place in {*left, *latched}}

    def _agree_with_alarms(self) -> None:
        """A process that was killed may have told more, or less, than it wrote down."""
        for key in sorted(self._around.alarms.raised):
            name, _, bay = key.partition("/")
            place = int(bay) if bay.isdecimal() else CABINET
            if name in _OWN_ALARMS and not self._still_holds(name, place):
                self._alarm(name, False, place, None)
        for place, found in self._state.latched.items():
            _log.warning("%s is locked out since before: %s", name_of(place), in_words(found))
            for cause, detail in found.items():
                self._alarm(alarm_of(cause), True, place, detail)

    def _still_holds(self, name: str, place: int) -> bool:
        """Whether an alarm that was raised by the process before is to stay so."""
        if name == CHARGING_NOT_CUT:
            return place in self._state.to_cut
        return name in map(alarm_of, self._state.latched.get(place, {}))

    # --- release ------------------------------------------------------------------------------------------

    async def _serve(self, stop: asyncio.Event) -> None:
        """Whoever asks at the station's own files for a release."""
        while not stop.is_set():
            request = await self._counter.next_request()
            if request is not None:
                await self._counter.answer(await self._answer(request))
            await self._time.wait_until(self._time.monotonic() + self._rules.every_s, unless=stop)

    async def _answer(self, request: Request) -> Answer:
        try:
            detail = await self.release(request.place, who=request.who, reason=request.reason)
        except NotReleased as refusal:
            _log.warning("%s asks for a release and is refused: %s", request.who, refusal)
            return Answer(request_id=request.request_id, released=False, detail=refusal.reason)
        return Answer(request_id=request.request_id, released=True, detail=detail)

    async def release(self, place: int, *, who: str, reason: str) -> str:
        """``who`` has seen to it that ``place``, a bay or ``CABINET``, is safe. Durable when this returns,
        unless what it says tells otherwise. Raises ``NotReleased``."""
        before = self._state
        self._state = released(before, place)
        told = {"bay": place, "who": who, "reason": reason}
        _log.warning("%s is released by %s: %s", name_of(place), who, reason, extra=told)
        for cause in before.latched[place]:
            self._alarm(alarm_of(cause), False, place, f"released by {who}: {reason}")
        self._restore |= before.to_cut - self._state.to_cut
        self._changed()
        if await self._is_kept_in_time():
            self._give_orders()
            return f"{name_of(place)} is released"
        return (
            f"{name_of(place)} is released, and locked out again after a restart: {self._path} is unwritable"
        )

    async def _is_kept_in_time(self) -> bool:
        try:
            async with asyncio.timeout(_WRITTEN_WITHIN_S):
                await self._kept.wait()
        except TimeoutError:
            return False
        return True

    # --- reading ------------------------------------------------------------------------------------------

    async def _read_bays(self) -> list[Bay]:
        said: Sequence[object] = await self._around.cabinet.read_bays()
        bays = [bay for bay in said if isinstance(bay, Bay) and bay.bay != CABINET]
        if len(bays) < len(said):
            raise SensorError(sensor="bays", reason=f"the driver gives {list(said)!r:.60} for bays")
        return bays

    async def _read_inputs(self) -> Safety:
        inputs = self._around.cabinet
        if not isinstance(inputs, SafetyInputs):
            raise SensorError(sensor="safety inputs", reason="there are none")
        return await inputs.read_safety()

    async def _read_climate(self) -> Climate:
        return await self._around.cabinet.read_climate()

    def _guarded(self, name: str, read: Callable[[], Coroutine[Any, Any, ValueT]]) -> Guarded[ValueT]:
        return Guarded(read, name=f"{name}, for safety", within_s=self._rules.read_timeout_s)

    def _episode(self, subject: str) -> Episode:
        return Episode(_log, subject, monotonic=self._time.monotonic)
