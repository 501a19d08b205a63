"""A station's swaps at work: watch the bays, write down what follows, tell it, and open the doors in turn.

    a customer is let in ─┐
    the bays are read ────┴─► what follows ─► written down ─► told and acted upon

What follows is worked out by ``floor``, without a clock or a disk. It is taken for true here only when it is
written down. Doors are not opened by events but by how things stand: a door is to be open while its swap
waits for it, so an order that failed, or a process that came after a crash, needs nothing that is
remembered.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from evswap_edge.alarms import Alarms
from evswap_edge.clock import Stamp, TimeSource, stamp_now
from evswap_edge.config import SwapRules
from evswap_edge.episode import Episode
from evswap_edge.failures import first_failure
from evswap_edge.hal import BayActuators, Cabinet, DriverError, SensorError, TokenReader
from evswap_edge.outbox import Outbox
from evswap_edge.sampler import GuardedSensor
from evswap_edge.swaps import floor as floors
from evswap_edge.swaps.answering import answer_within
from evswap_edge.swaps.authorising import AuthorisationRefused, KeysUnusable, Signers, hasher, judged
from evswap_edge.swaps.bay import BayNotFree, BayState, Promise, Use
from evswap_edge.swaps.choosing import Veto, as_told, best_battery
from evswap_edge.swaps.drafts import inventory_of, refusal
from evswap_edge.swaps.floor import Declined, Floor, Outcome, Request
from evswap_edge.swaps.journal import SwapJournal, SwapJournalError
from evswap_edge.swaps.swap import Swap
from evswap_edge.swaps.telling import Teller
from evswap_edge.swaps.warnings import Warnings
from evswap_schema import Authority, Bay, CacheAuthorisations, InventoryReason, Lock, RefusalReason

ResultT = TypeVar("ResultT")

_ORDER_AGAIN_S: Final = 3.0
"""A door that is to be open and is not is unlocked again after so long."""
_TRY_AGAIN_S: Final = 2.0
_SAY_AGAIN_S: Final = 60.0
"""Somebody who shows the same token again and again is turned away each time, and told of once a minute."""

_log: Final = logging.getLogger(__name__)


class NotPossible(Exception):
    """What was asked for is not done, and nothing has changed. ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a station's swaps need of it. ``veto`` says why a bay may serve no swap at the moment, for the
    safety interlock; a cabinet that refuses an order (``ActionRefused``) is obeyed as well."""

    station_id: str
    cabinet: Cabinet
    outbox: Outbox
    alarms: Alarms
    time: TimeSource
    answer_timeout_s: float
    veto: Veto
    on_event: Callable[[], None]


class Swaps:
    """The swaps of one station. To be made before the station tells anything."""

    def __init__(self, rules: SwapRules, journal: SwapJournal, around: Surroundings) -> None:
        self._rules = rules
        self._journal = journal
        self._around = around
        self._time = around.time
        self._floor = Floor()
        self._bays: dict[int, Bay] = {}
        self.loaded = False
        """Whether what the process before this one left is known."""
        self._teller = Teller(
            station_id=around.station_id,
            journal=journal,
            outbox=around.outbox,
            time=around.time,
            on_event=around.on_event,
        )
        self._owing = True
        self._told_inventory = False
        self._warnings = Warnings(around.alarms)
        self._sensor = GuardedSensor(
            self._read_bays,
            name="bays, for swaps",
            timeout_s=around.answer_timeout_s,
            time=around.time,
            on_outcome=lambda sensor, reason: None,  # noqa: ARG005
        )
        self._turns = asyncio.Lock()
        self._looks = asyncio.Lock()
        self._wake = asyncio.Event()
        self._ordered: dict[tuple[int, str], float] = {}
        self._starved: set[int] = set()
        self._refused: dict[tuple[str, RefusalReason], float] = {}
        self._doors = Episode(_log, "doors", monotonic=around.time.monotonic)
        self._storage = Episode(_log, "journal of swaps", monotonic=around.time.monotonic)
        self._reader = Episode(_log, "reader of tokens", monotonic=around.time.monotonic)

    # --- at work ------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set. What is under way then is gone on with by the next process."""
        stopping = asyncio.create_task(stop.wait())
        stopping.add_done_callback(lambda _: self._wake.set())
        try:
            await self._load(stop)
            with first_failure():
                async with asyncio.TaskGroup() as tasks:
                    if self._rules.enabled:
                        tasks.create_task(self._watch(stop))
                        tasks.create_task(self._serve_reader(stop))
        finally:
            stopping.cancel()

    def close(self) -> None:
        """Let go of the journal, when nobody is at work any more."""
        self._journal.close()

    async def _load(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                found = await asyncio.to_thread(self._journal.floor)
            except SwapJournalError as error:
                self._storage.begin(error)
                await self._time.wait_until(self._time.monotonic() + _TRY_AGAIN_S, unless=stop)
            else:
                self._storage.end()
                self._floor = floors.resumed(found, stamp_now(self._time), self._rules)
                self.loaded = True
                return

    async def _watch(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._wake.clear()
            await self.look()
            pause = self._rules.watch_s if self._is_busy() else self._rules.idle_s
            await self._time.wait_until(self._time.monotonic() + pause, unless=self._wake)

    def _is_busy(self) -> bool:
        """Something is moving, or may be about to."""
        return bool(self._floor.swaps) or any(
            state.sighting is not None or state.use is Use.CLOSING for state in self._floor.bays.values()
        )

    async def look(self) -> None:
        """Read the bays, and do all that follows from what they show."""
        async with self._looks:
            bays = await self._sensor.read()
            now = stamp_now(self._time)
            self._bays = {} if bays is None else {bay.bay: bay for bay in bays}
            try:
                await self._turn(lambda floor: self._seen(floor, bays, now))
                await self._turn(lambda floor: floors.lapsed(floor, now))
                await self._turn(self._offered_anew)
                await self._take_stock(now)
            except SwapJournalError as error:
                self._storage.begin(error)
            else:
                self._storage.end()
            await self._pay()
            await self._open_doors(now)
            await self._starve_the_foreign()
            self._warn(now)

    def _seen(self, floor: Floor, bays: Sequence[Bay] | None, now: Stamp) -> Outcome:
        if bays is None:
            return floors.not_seen(floor, now, self._rules)
        return floors.looked(floor, bays, now, self._rules)

    def _offered_anew(self, floor: Floor) -> Outcome:
        return floors.offered_anew(floor, self._bays, self._rules, self._around.veto)

    async def _take_stock(self, now: Stamp) -> None:
        """Once, when all bays are known: what stands in them."""
        pairs = self._pairs()
        if self._told_inventory or not pairs:
            return
        if any(state.sighting is not None for state, _ in pairs):
            return
        drafts = tuple(inventory_of(pairs, InventoryReason.START, now))
        await self._turn(lambda floor: Outcome(floor=floor, told=drafts))
        self._told_inventory = True

    async def _pay(self) -> None:
        if self._owing:
            self._owing = not await self._teller.pay()

    def _warn(self, now: Stamp) -> None:
        if not self._bays:
            return
        given = best_battery(self._bays, self._floor.bays, self._rules, self._around.veto)
        told = [(state, self._as_told(bay, state)) for state, bay in self._pairs()]
        self._warnings.look(told, has_battery=given is not None, now=now.uptime)

    def _pairs(self) -> list[tuple[BayState, Bay]]:
        states = self._floor.bays
        return [(states[number], bay) for number, bay in self._bays.items() if number in states]

    # --- doors and chargers -------------------------------------------------------------------------------

    async def _open_doors(self, now: Stamp) -> None:
        for swap in floors.to_be_open(self._floor, self._bays, now, self._rules):
            await self._open(swap, now)
        running = self._floor.swaps
        self._ordered = {key: when for key, when in self._ordered.items() if key[0] in running}

    async def _open(self, swap: Swap, now: Stamp) -> None:
        number, key = swap.awaited_bay, (swap.request_id, swap.phase.value)
        cabinet = self._around.cabinet
        if number is None or not isinstance(cabinet, BayActuators) or self._around.veto(number) is not None:
            return
        last = self._ordered.get(key)
        blind = self._bays[number].lock is Lock.UNKNOWN
        if last is not None and (blind or now.uptime - last < _ORDER_AGAIN_S):
            return
        self._ordered[key] = now.uptime
        try:
            await answer_within(self._around.answer_timeout_s, cabinet.unlock(number))
        except DriverError as error:
            self._doors.begin(error)
        else:
            self._doors.end()

    async def _starve_the_foreign(self) -> None:
        """A battery of others is not charged: nobody knows what it bears."""
        foreign = {number for number, state in self._floor.bays.items() if state.use is Use.QUARANTINED}
        for number in foreign - self._starved:
            if await self._set_charging(number, enabled=False):
                self._starved.add(number)
        for number in self._starved - foreign:
            if self._around.veto(number) is None and await self._set_charging(number, enabled=True):
                self._starved.discard(number)

    async def _set_charging(self, number: int, *, enabled: bool) -> bool:
        cabinet = self._around.cabinet
        if not isinstance(cabinet, BayActuators):
            return True
        try:
            call = cabinet.set_charging(number, enabled=enabled)
            await answer_within(self._around.answer_timeout_s, call)
        except DriverError as error:
            self._doors.begin(error)
            return False
        return True

    # --- customers ----------------------------------------------------------------------------------------

    async def may_begin(self, request: Request) -> None:
        """Look whether the swap is possible now. Raises ``Declined``."""
        await self._prepared(request)
        floors.begun(self._floor, request, self._bays, stamp_now(self._time), self._rules, self._around.veto)

    async def begin(self, request: Request) -> Swap:
        """Let the customer swap: durable when this returns. Raises ``Declined``."""
        await self._prepared(request)
        now = stamp_now(self._time)
        veto = self._around.veto
        try:
            outcome = await self._turn(
                lambda floor: floors.begun(floor, request, self._bays, now, self._rules, veto)
            )
        except SwapJournalError as error:
            raise Declined(RefusalReason.UNAVAILABLE, str(error)) from error
        self._wake.set()
        (swap,) = outcome.swaps
        told = {"request_id": swap.request_id, "bay_in": swap.bay_in, "bay_out": swap.bay_out}
        _log.info("swap begins", extra=told)
        return swap

    async def _prepared(self, request: Request) -> None:
        if not self._rules.enabled:
            raise Declined(RefusalReason.UNAVAILABLE, "this station does not run swaps; swaps.enabled is off")
        if not isinstance(self._around.cabinet, BayActuators):
            raise Declined(RefusalReason.UNAVAILABLE, "the driver of this station cannot open doors")
        if not self.loaded:
            raise Declined(RefusalReason.UNAVAILABLE, "what was under way at the last end is not known yet")
        try:
            if await self.find(request.request_id) is not None:
                raise Declined(RefusalReason.BUSY, f"the swap {request.request_id} was begun before")
        except SwapJournalError as error:
            raise Declined(RefusalReason.UNAVAILABLE, str(error)) from error
        await self.look()
        if not self._bays:
            raise Declined(RefusalReason.UNAVAILABLE, "the bays cannot be read")

    async def find(self, request_id: int) -> Swap | None:
        """The swap of that number, under way or over. Raises ``SwapJournalError``."""
        running = self._floor.swaps.get(request_id)
        return running or await asyncio.to_thread(self._journal.find, request_id)

    async def present(self, token: str, hash_of: Callable[[str], str]) -> Swap | RefusalReason:
        """A customer shows ``token`` at the station; the swap that begins, or why none does."""
        id_token, now = hash_of(token), stamp_now(self._time)
        try:
            known = await asyncio.to_thread(self._journal.authorisations_of, id_token)
            latest = await asyncio.to_thread(self._journal.latest)
        except SwapJournalError as error:
            self._storage.begin(error)
            return RefusalReason.UNAVAILABLE
        found = judged(known, now, latest=latest, estimated=self._rules.estimated_clock)
        if isinstance(found, RefusalReason):
            await self._turn_away(id_token, found, None)
            return found
        try:
            return await self.begin(
                Request(
                    request_id=await asyncio.to_thread(self._journal.next_request),
                    id_token=id_token,
                    authority=Authority.OFFLINE,
                    authorisation_id=found.authorisation_id,
                    tier=found.tier,
                )
            )
        except Declined as declined:
            await self._turn_away(id_token, declined.reason, found.authorisation_id)
            return declined.reason
        except SwapJournalError as error:
            self._storage.begin(error)
            return RefusalReason.UNAVAILABLE

    async def _turn_away(self, id_token: str, reason: RefusalReason, authorisation_id: str | None) -> None:
        now = stamp_now(self._time)
        recent = {key: when for key, when in self._refused.items() if now.uptime - when < _SAY_AGAIN_S}
        self._refused = recent
        if (id_token, reason) in recent:
            return
        recent[id_token, reason] = now.uptime
        told = refusal(
            reason, now, id_token=id_token, authority=Authority.OFFLINE, authorisation_id=authorisation_id
        )
        with suppress(SwapJournalError):
            await self._turn(lambda floor: Outcome(floor=floor, told=(told,)))
            await self._pay()

    async def _serve_reader(self, stop: asyncio.Event) -> None:
        """Wait for customers at the reader, where there is one."""
        reader, key_file = self._around.cabinet, self._rules.token_key_file
        if not isinstance(reader, TokenReader) or key_file is None:
            return
        try:
            hash_of = hasher(key_file)
        except KeysUnusable as error:
            _log.error("nobody can swap by a token: %s", error)
            return
        while (token := await self._next_token(reader, stop)) is not None or not stop.is_set():
            if token is not None:
                await self.present(token, hash_of)

    async def _next_token(self, reader: TokenReader, stop: asyncio.Event) -> str | None:
        """The next token; None when the reader failed, or the station is about to stop."""
        reading = asyncio.ensure_future(reader.read_token())
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            token = reading.result() if reading.done() else None
        except Exception as error:  # noqa: BLE001 - a driver is foreign code, and its bugs must not end the station
            self._reader.begin(error)
            await self._time.wait_until(self._time.monotonic() + _TRY_AGAIN_S, unless=stop)
            return None
        else:
            self._reader.end()
            return token
        finally:
            reading.cancel()
            stopping.cancel()

    # --- promises and authorisations ----------------------------------------------------------------------

    async def reserve(self, bay: int, *, id_token: str, seconds: float, until: datetime) -> None:
        """Keep the battery in ``bay`` for a customer for so many ``seconds``; durable when this returns.
        ``until`` is when that is by the wall clock. Raises ``NotPossible``."""
        now = stamp_now(self._time)
        promise = Promise(
            id_token=id_token,
            boot_id=now.boot_id,
            uptime=now.uptime,
            seconds=seconds,
            until=until.timestamp(),
        )
        try:
            await self._turn(lambda floor: floors.lapsed(floor, now))
            await self._turn(lambda floor: floors.promised(floor, bay, promise))
        except (BayNotFree, SwapJournalError) as error:
            raise NotPossible(str(error)) from error

    async def cache(self, wanted: CacheAuthorisations, *, as_of: datetime) -> None:
        """Keep the authorisations that a command brought, which was issued ``as_of``. Raises
        ``NotPossible``."""
        station_id = self._around.station_id
        try:
            signers = await asyncio.to_thread(Signers, self._rules.authorisation_keys)
            kept = [signers.believed(signed, station_id=station_id) for signed in wanted.authorisations]
            withdrawn = list(wanted.withdrawn)
            await asyncio.to_thread(self._journal.keep, kept, withdrawn, as_of=as_of.timestamp())
        except (KeysUnusable, AuthorisationRefused, SwapJournalError) as error:
            raise NotPossible(str(error)) from error

    # --- what is told of the bays -------------------------------------------------------------------------

    def told(self, bays: Sequence[Bay]) -> list[Bay]:
        """``bays``, as the hardware shows them, as the station tells of them."""
        if not self._floor.bays:
            return list(bays)
        known = floors.lapsed(self._floor, stamp_now(self._time)).floor.bays
        return [self._as_told(bay, known[bay.bay]) if bay.bay in known else bay for bay in bays]

    def _as_told(self, bay: Bay, state: BayState) -> Bay:
        return as_told(bay, state, self._rules, self._around.veto)

    # --- inside -------------------------------------------------------------------------------------------

    async def _turn(self, of: Callable[[Floor], Outcome]) -> Outcome:
        """What ``of`` makes of the floor, written down and then true. Raises what ``of`` does, and
        ``SwapJournalError``; then nothing has changed. Once begun it is finished, whoever is cancelled."""
        return await _unbroken(self._taken(of))

    async def _taken(self, of: Callable[[Floor], Outcome]) -> Outcome:
        async with self._turns:
            outcome = of(self._floor)
            if outcome.worth_writing:
                now = stamp_now(self._time)
                await asyncio.to_thread(self._journal.commit, outcome, now)
            self._floor = outcome.floor
            self._owing = self._owing or bool(outcome.told)
            return outcome

    async def _read_bays(self) -> tuple[Bay, ...]:
        """A value that the contract refuses is no measurement: it must not get into an event."""
        bays = tuple(await self._around.cabinet.read_bays())
        try:
            msgspec.convert(msgspec.to_builtins(bays), tuple[Bay, ...])
        except msgspec.ValidationError as error:
            raise SensorError(sensor="bays", reason=str(error)) from error
        return bays


async def _unbroken(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Let ``work`` finish also when whoever waits for it is cancelled."""
    return await asyncio.shield(asyncio.ensure_future(work))
