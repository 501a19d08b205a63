"""The publisher itself: one loop that moves loads through the lanes. The package says by which rules."""

import asyncio
import logging
import math
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from evswap_edge.backoff import Backoff
from evswap_edge.clock import TimeSource
from evswap_edge.confirmations import Confirmations, NotConfirmed
from evswap_edge.episode import Episode
from evswap_edge.message import Message
from evswap_edge.outbox import Outbox, OutboxError, Parcel, Sample, StoredEvent, Ticket
from evswap_edge.publisher.lanes import Lane, Load, Rank
from evswap_edge.publisher.limits import Limits
from evswap_edge.publisher.link import Link, State
from evswap_edge.publisher.pace import Pace
from evswap_edge.publisher.schedule import Sealing
from evswap_edge.reporting import Mode
from evswap_edge.reporting.wording import Wording
from evswap_edge.transports import ENDING, PERMANENT, NotConnected, Rejected, Transport, TransportError
from evswap_edge.vitals import Vitals
from evswap_schema import Reading, SchemaError

_LOOK_ANYWAY_S: Final = 3_600.0
"""Nothing relies on it: every cause to act wakes the publisher."""
_CHANGES_PER_S: Final = 2.0
_CHANGES_AT_ONCE: Final = 10
"""Changes are for people who look; a station that samples 200 times a second does not show them each."""
_STORAGE_PAUSE_S: Final = 1.0
_PARTING_S: Final = 1.0
"""Within which a transport tells of every message under way that its link is gone."""
_TURNS: Final = 50
"""Where live messages fill the link for good, one in so many is of the backlog, or that would never end."""
_KEPT_FOR_LIVE: Final = 50
"""Of the places for messages that wait for the cloud's confirmation, so many are not for the backlog."""

_WINDOWS_IN_STOCK: Final = 2
"""So much is taken from the outbox at once: asking it costs more than what it gives."""

_log: Final = logging.getLogger("evswap_edge.publisher")

Item = Sample | Parcel | StoredEvent


@dataclass(eq=False, slots=True)
class _Sending:
    """A message under way. ``alone`` when no other was, or is, until this one's fate is known."""

    lane: Lane
    load: Load
    number: int
    message: Message
    link: int
    begun_at: float
    alone: bool
    is_answered: bool = False
    """The transport has taken it, whatever the cloud will say."""


class Publisher:
    """Moves what an outbox holds over a transport. ``sampled`` and ``happened`` tell it of what is new."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        wording: Wording,
        sealing: Sealing,
        transport: Transport,
        time: TimeSource,
        mode: Mode,
        limits: Limits,
        backoff: Callable[[], Backoff],
        vitals: Vitals,
        confirmations: Confirmations | None = None,
        on_caught_up: Callable[[], None] = lambda: None,
        chance: random.Random | None = None,
    ) -> None:
        """``backoff`` makes one for each thing that may fail by itself. With ``confirmations`` a message has
        arrived when the cloud says so. ``on_caught_up`` is called when the backlog is delivered."""
        self._outbox = outbox
        self._wording = wording
        self._sealing = sealing
        self._transport = transport
        self._time = time
        self._mode = mode
        self._limits = limits
        self._vitals = vitals
        self._confirmations = confirmations
        self._on_caught_up = on_caught_up
        self._wake = asyncio.Event()
        self._link = Link(transport, time=time, backoff=backoff(), wake=self._wake.set)
        self._storage = Episode(_log, "outbox", monotonic=time.monotonic)
        self._storage_at = -math.inf
        chance = chance or random.Random()  # noqa: S311 - jitter, not a secret
        paces = {
            Rank.CHANGE: Pace(_CHANGES_PER_S, burst=_CHANGES_AT_ONCE, time=time),
            Rank.BACKLOG: Pace(limits.backlog_per_s, time=time, jitter=chance),
        }
        self._lanes = {
            rank: Lane(rank, pace=paces.get(rank) or Pace(0, time=time), backoff=backoff(), time=time)
            for rank in Rank
        }
        self._newest: Sample | None = None
        """Of this run: the newest one that an earlier run left may be older than what that one has told."""
        self._news: Sample | None = None
        """To be told as soon as possible."""
        self._slots = 0
        self._sending: dict[asyncio.Task[TransportError | None], _Sending] = {}
        self._ended: deque[asyncio.Task[TransportError | None]] = deque()
        self._unanswered = 0
        self._one_by_one = False
        self._arrived: list[Load] = []
        self._acknowledging: asyncio.Task[None] | None = None
        self._hopeless: list[tuple[Load, str]] = []
        self._behind = False
        self._since_backlog = 0
        self._looked_at = self._lost_at = time.monotonic()

    # --- what others tell it ------------------------------------------------------------------------------

    def sampled(self, stored: Sequence[tuple[Sample, Reading]]) -> None:
        """These, at least one, were stored, in that order, each beside what it says."""
        self._newest = stored[-1][0]
        sooner = self._sealing.sampled(stored)
        news = next((sample for sample, _ in reversed(stored) if sample.changed), None)
        if self._mode is Mode.EVERY_SAMPLE:
            self._lanes[Rank.LIVE].dry = False
            self._wake.set()
        elif news is not None:
            self._news = news
            self._wake.set()
        elif sooner:
            self._wake.set()

    def happened(self) -> None:
        """An event was stored."""
        self._lanes[Rank.EVENTS].dry = False
        self._wake.set()

    def link_changed(self, up: bool) -> None:
        """The transport has a link, or has lost it; that it has one, ``connect`` tells, too."""
        if not up and self._link.is_up:
            self._lose_link()
            self._wake.set()

    # --- the loop -----------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until ``stop`` is set, and then, if there is a link, all but the backlog, for ``drain_s``
        at most.

        Raises one of ``ENDING`` when the far side can never accept this station, or this process never
        again.
        """
        stopping = asyncio.create_task(stop.wait(), name="publisher stop")
        stopping.add_done_callback(lambda _: self._wake.set())
        try:
            while not stop.is_set():
                await self._step(tuple(Rank))
                await self._time.wait_until(self._next_moment(), unless=self._wake)
            await self._drain(deadline=self._time.monotonic() + self._limits.drain_s)
        finally:
            await _cancel([stopping, *self._sending])
            await self._link.aclose()
            await self._finish_acknowledging()
            self._vitals.linked = False

    async def _drain(self, *, deadline: float) -> None:
        """What is not delivered by then stays in the outbox and is sent by the next run."""
        if not self._link.is_up:
            return
        ranks = (Rank.EVENTS, Rank.CHANGE, Rank.LIVE)
        flush = self._mode is Mode.ON_CHANGE
        while self._link.is_up:
            await self._step(ranks, flush=flush)
            flush = False
            if self._has_nothing_left(ranks) or self._time.monotonic() >= deadline:
                return
            await self._time.wait_until(min(deadline, self._next_moment()), unless=self._wake)

    def _has_nothing_left(self, ranks: Sequence[Rank]) -> bool:
        return not (self._sending or self._arrived or any(self._lanes[rank].loads for rank in ranks))

    async def _step(self, ranks: Sequence[Rank], *, flush: bool = False) -> None:
        """Do whatever can be done now; only ``ranks`` are sent. ``flush``: seal what is open, due or not."""
        self._wake.clear()
        self._looked_at = self._time.monotonic()
        self._settle()
        if self._looked_at < self._storage_at:
            return
        try:
            await self._tell_outbox()
            if self._is_parting():
                return
            await self._seal(flush=flush)
            if self._link.look():
                self._begin_anew()
            if self._link.is_up:
                await self._fill(ranks)
                self._launch(ranks)
        except OutboxError as error:
            self._storage_failed(error)
        else:
            self._storage.end()

    def _is_parting(self) -> bool:
        """Whether messages are still under way over a link that is gone. What is behind them waits, or it
        would overtake them; one whose failure is not told in time is taken for lost."""
        lost = (
            [] if self._link.is_up else [task for task, one in self._sending.items() if not one.is_answered]
        )
        if lost and self._looked_at >= self._lost_at + _PARTING_S:
            for task in lost:
                task.cancel()
        return bool(lost)

    def _begin_anew(self) -> None:
        """There is a link: the newest state first, then what comes from now on, then what has waited."""
        self._outbox.mark_backlog()
        if self._outbox.waiting.all_samples:
            self._news = self._newest
        for lane in self._lanes.values():
            lane.dry = False
        self._lanes[Rank.BACKLOG].pace.pause(self._limits.backlog_pause_s)
        self._behind = True
        self._vitals.links += 1
        self._vitals.linked = True

    async def _seal(self, *, flush: bool) -> None:
        if not self._may_seal():
            return
        if self._looked_at >= self._sealing.next_at:
            self._give_back_samples()
        backlog = not self._link.is_up
        if await self._sealing.step(backlog=backlog, flush=flush):
            self._lanes[Rank.LIVE].dry = False

    def _may_seal(self) -> bool:
        """Samples that are under way would come behind those that are sealed meanwhile if they had to be sent
        again over another link."""
        return self._mode is Mode.ON_CHANGE or not self._lanes[Rank.LIVE].under_way

    def _give_back_samples(self) -> None:
        """Nor may those be left out that were taken to be sent and have not been."""
        if self._mode is Mode.EVERY_SAMPLE:
            self._give_back(self._lanes[Rank.LIVE])

    # --- from the outbox into the lanes -------------------------------------------------------------------

    async def _fill(self, ranks: Sequence[Rank]) -> None:
        """Take as much as the window may want next."""
        for rank in ranks:
            lane = self._lanes[rank]
            if rank is Rank.CHANGE:
                self._put_up_news(lane)
            elif not lane.dry and len(lane.loads) <= self._limits.window // 2:
                await self._stock(lane, _WINDOWS_IN_STOCK * self._limits.window)

    async def _stock(self, lane: Lane, limit: int) -> None:
        """Take up to ``limit`` things; what comes while they are taken makes the lane ask again."""
        lane.dry = True
        try:
            taken = await self._take(lane, limit)
        except OutboxError:
            lane.dry = False
            raise
        if taken == limit:
            lane.dry = False

    async def _take(self, lane: Lane, limit: int) -> int:
        """How many were taken; each is in its lane before anything else can fail. Live are parcels, which
        hold what is older, and then, in every-sample mode, samples."""
        if lane.rank is Rank.EVENTS:
            return self._load(lane, await self._outbox.take_events(limit))
        backlog = lane.rank is Rank.BACKLOG
        taken = self._load(lane, await self._outbox.take_parcels(limit, backlog=backlog))
        if backlog or self._mode is Mode.ON_CHANGE or taken == limit:
            return taken
        return taken + self._load(lane, await self._outbox.take_samples(limit - taken))

    def _put_up_news(self, lane: Lane) -> None:
        """The newest state takes the place of one that has not been sent."""
        if self._news is None or lane.under_way:
            return
        news, self._news = self._news, None
        try:
            lane.loads = [Load(None, [self._wording.of_change(news)])]
        except SchemaError as error:
            _log.warning("the newest state cannot be told at once: %s", error)

    def _load(self, lane: Lane, items: Sequence[Item]) -> int:
        """Put ``items`` into words and into their lane; returns how many they were."""
        for item in items:
            try:
                load = Load(item.ticket, self._messages_of(item, backlog=lane.rank is Rank.BACKLOG))
            except SchemaError as error:
                self._give_up(lane, Load(item.ticket, ()), f"cannot be said: {error}")
                continue
            if load.waits:
                lane.add(load)
            else:
                self._arrived.append(load)
                self._wake.set()
        return len(items)

    def _messages_of(self, item: Item, *, backlog: bool) -> tuple[Message, ...]:
        match item:
            case Parcel():
                return self._wording.of_parcel(item, backlog=backlog)
            case Sample():
                return self._wording.of_sample(item)
            case StoredEvent():
                return self._wording.of_event(item)

    # --- from the lanes to the transport ------------------------------------------------------------------

    def _launch(self, ranks: Sequence[Rank]) -> None:
        while (lane := self._next_lane(ranks)) is not None:
            self._send_from(lane)

    def _next_lane(self, ranks: Sequence[Rank]) -> Lane | None:
        """The first that may send. One that has to wait for places keeps those behind it from taking them."""
        if self._one_by_one and self._unanswered:
            return None
        if self._since_backlog >= _TURNS and Rank.BACKLOG in ranks:
            ranks = (Rank.BACKLOG, *ranks)
        for rank in ranks:
            lane = self._lanes[rank]
            if lane.may_send(self._looked_at):
                return lane if self._has_room(lane) else None
        return None

    def _has_room(self, lane: Lane) -> bool:
        """A load is begun when all of its messages find a place, or nothing else takes one."""
        load = lane.loads[0]
        may_fill = lane.rank is not Rank.BACKLOG or self._since_backlog >= _TURNS
        window = self._limits.window if may_fill else self._limits.backlog_window
        if load.is_untouched:
            fits = not self._slots or self._slots + load.size <= window
        else:
            fits = self._slots < self._limits.window
        return fits and self._may_be_confirmed(lane)

    def _may_be_confirmed(self, lane: Lane) -> bool:
        if self._confirmations is None or lane.rank is Rank.CHANGE:
            return True
        under_way = sum(each.under_way for each in self._lanes.values() if each.rank is not Rank.CHANGE)
        kept = _KEPT_FOR_LIVE if lane.rank is Rank.BACKLOG else 0
        return under_way < self._confirmations.limit - kept

    def _send_from(self, lane: Lane) -> None:
        load, number, message = lane.next_message()
        self._since_backlog = 0 if lane.rank is Rank.BACKLOG else self._since_backlog + 1
        sending = _Sending(
            lane=lane,
            load=load,
            number=number,
            message=message,
            link=self._link.number,
            begun_at=self._time.monotonic(),
            alone=self._one_by_one and not self._unanswered,
        )
        self._take_slot(load)
        self._unanswered += 1
        task = asyncio.create_task(self._deliver(sending), name=f"send {lane.rank}")
        self._sending[task] = sending
        self._vitals.in_flight = len(self._sending)
        task.add_done_callback(self._on_end)

    def _on_end(self, task: asyncio.Task[TransportError | None]) -> None:
        self._ended.append(task)
        self._wake.set()

    async def _deliver(self, sending: _Sending) -> TransportError | None:
        """How the delivery failed, if it did. What no repetition mends is raised."""
        try:
            if self._confirmations is None or sending.load.ticket is None:
                await self._transport.send(sending.message)
            else:
                await self._confirmations.deliver(sending.message, partial(self._hand_over, sending))
        except ENDING:
            raise
        except TransportError as error:
            return error
        return None

    async def _hand_over(self, sending: _Sending, message: Message) -> None:
        """From here on the message waits for the cloud, and no longer for a place in the window."""
        await self._transport.send(message)
        self._answered(sending)
        self._free_slots(sending.load, 1)
        self._wake.set()

    # --- what became of them ------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Judge the deliveries that have ended."""
        while self._ended:
            task = self._ended.popleft()
            sending = self._sending.pop(task)
            sending.lane.under_way -= 1
            sending.load.under_way -= 1
            self._answered(sending)
            error = NotConnected("the link is gone") if task.cancelled() else task.result()
            if error is None:
                self._accept(sending)
            else:
                self._free_slots(sending.load, 1)
                self._failed(sending, error)
        self._vitals.in_flight = len(self._sending)

    def _answered(self, sending: _Sending) -> None:
        if not sending.is_answered:
            sending.is_answered = True
            sending.lane.sending -= 1
            self._unanswered -= 1

    def _accept(self, sending: _Sending) -> None:
        lane, load = sending.lane, sending.load
        self._vitals.accepted[lane.rank] += 1
        self._vitals.latencies.observe(self._time.monotonic() - sending.begun_at)
        self._link.carried()
        self._one_by_one = False
        lane.works()
        load.arrived += 1
        if load.ticket is None:
            self._free_slots(load, 1)
        elif load.is_complete:
            self._arrived.append(load)
        elif load.size > self._limits.window:
            # It alone would keep the window shut: what a power cut repeats of it is more than a window.
            self._free_slots(load, 1)

    def _failed(self, sending: _Sending, error: TransportError) -> None:
        if _is_at_fault(error, alone=sending.alone):
            self._give_up(sending.lane, sending.load, str(error))
        elif sending.load.ticket is not None:
            self._vitals.retried[sending.lane.rank] += 1
            self._put_back(sending)
        if isinstance(error, NotConnected):
            self._one_by_one = self._one_by_one or error.reason_code in PERMANENT
            if sending.link == self._link.number and self._link.is_up:
                self._lose_link()
        elif not (isinstance(error, NotConfirmed) or _is_at_fault(error, alone=sending.alone)):
            sending.lane.hold(error)

    def _put_back(self, sending: _Sending) -> None:
        """To be sent again; when the link is another by now, by way of the outbox, like everything."""
        if sending.load.is_given_up:
            return
        sending.load.put_back(sending.number, sending.message)
        sending.lane.add(sending.load)
        if sending.link != self._link.number or not self._link.is_up:
            self._give_back(sending.lane)

    def _give_up(self, lane: Lane, load: Load, reason: str) -> None:
        self._vitals.refused[lane.rank] += 1
        _log.error("set aside, it can never be delivered: %s", reason, extra={"lane": lane.rank})
        if load in lane.loads:
            lane.loads.remove(load)
        if load.ticket is not None and not load.is_given_up:
            self._hopeless.append((load, reason))
        load.is_given_up = True
        self._wake.set()

    def _lose_link(self) -> None:
        """What no one has seen goes back to the outbox, and comes again in the order that holds then."""
        self._link.broke()
        self._lost_at = self._time.monotonic()
        self._news = None
        for lane in self._lanes.values():
            self._give_back(lane)
        self._vitals.linked = False

    def _give_back(self, lane: Lane) -> None:
        tickets = [load.ticket for load in lane.give_back() if load.ticket is not None]
        if tickets:
            self._outbox.release(tickets)
            self._lanes[Rank.LIVE].dry = self._lanes[Rank.BACKLOG].dry = False
            self._lanes[Rank.EVENTS].dry = False

    # --- what the outbox has to know ----------------------------------------------------------------------

    async def _tell_outbox(self) -> None:
        """What the outbox could not take (a full disk) is kept and told again."""
        self._look_at_acknowledging()
        if self._arrived and self._acknowledging is None:
            loads, self._arrived = self._arrived, []
            self._acknowledging = asyncio.create_task(self._acknowledge(loads), name="acknowledge")
            self._acknowledging.add_done_callback(lambda _: self._wake.set())
        while self._hopeless:
            load, reason = self._hopeless[0]
            await self._outbox.set_aside(_tickets([load]), reason)
            self._free_slots(load, load.slots)
            del self._hopeless[0]
        self._look_whether_caught_up()

    def _look_at_acknowledging(self) -> None:
        if self._acknowledging is not None and self._acknowledging.done():
            task, self._acknowledging = self._acknowledging, None
            task.result()

    async def _acknowledge(self, loads: list[Load]) -> None:
        """Beside everything else: a slow disk does not hold up what is sent, until the window is full."""
        try:
            await self._outbox.acknowledge(_tickets(loads))
        except OutboxError:
            self._arrived = loads + self._arrived
            raise
        for load in loads:
            self._free_slots(load, load.slots)

    async def _finish_acknowledging(self) -> None:
        """What has arrived by now is not to be sent again by the next run."""
        self._settle_quietly()
        try:
            if self._acknowledging is not None:
                await self._acknowledging
            if self._arrived:
                await self._acknowledge(self._arrived)
        except OutboxError as error:
            self._storage.begin(error)

    def _look_whether_caught_up(self) -> None:
        lane = self._lanes[Rank.BACKLOG]
        if self._behind and lane.dry and not (lane.loads or lane.under_way or self._arrived):
            self._behind = False
            self._on_caught_up()

    def _settle_quietly(self) -> None:
        """At the end only what has arrived counts."""
        while self._ended:
            task = self._ended.popleft()
            sending = self._sending.pop(task, None)
            if sending and not task.cancelled() and not task.exception() and task.result() is None:
                self._accept(sending)

    def _storage_failed(self, error: OutboxError) -> None:
        self._storage.begin(error)
        self._storage_at = self._time.monotonic() + _STORAGE_PAUSE_S

    # --- places in the window, and the time ---------------------------------------------------------------

    def _take_slot(self, load: Load) -> None:
        load.slots += 1
        self._slots += 1

    def _free_slots(self, load: Load, count: int) -> None:
        count = min(count, load.slots)
        load.slots -= count
        self._slots -= count

    def _next_moment(self) -> float:
        """The next one to act at without being woken by something new, an answer, a link or the stop."""
        if self._looked_at < self._storage_at:
            return self._storage_at
        if not self._link.is_up and self._unanswered:
            return self._looked_at + _PARTING_S
        moments = [self._looked_at + _LOOK_ANYWAY_S]
        if self._may_seal():
            moments.append(self._sealing.next_at)
        if self._link.state is State.DOWN:
            moments.append(self._link.resume_at)
        if self._link.is_up:
            # One that has passed by now, but had not when the step looked, counts: it was not acted upon.
            moments += [at for lane in self._lanes.values() if (at := lane.next_at) > self._looked_at]
        return min(moments)


def _tickets(loads: Iterable[Load]) -> list[Ticket]:
    return [load.ticket for load in loads if load.ticket is not None]


def _is_at_fault(error: TransportError, *, alone: bool) -> bool:
    """Whether the message itself makes its delivery impossible.

    A far side may close the link over a message instead of refusing it. It is taken at its word only when
    that message was the only one under way.
    """
    match error:
        case Rejected():
            return error.permanent
        case NotConnected():
            return alone and error.reason_code in PERMANENT
    return False


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
