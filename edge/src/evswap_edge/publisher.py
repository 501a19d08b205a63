"""Deliver what the outbox holds: oldest first, several messages at once, until the far side has each.

What became of a message decides what happens to its samples:

======================================  ====================================================
accepted                                they leave the outbox
refused, the message itself is at       they are set aside and logged; those behind them go
fault                                   on
refused for now (a policy, a quota),    they are sent again after a backoff; reported once,
or not answered in time                 until it works again
link lost                               they are sent again when there is a link; the
                                        transport reports that
======================================  ====================================================
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Awaitable, Coroutine, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, TypeVar

from evswap_edge.backoff import Backoff
from evswap_edge.clock import TimeSource
from evswap_edge.episode import Episode
from evswap_edge.message import Message
from evswap_edge.outbox import OutboxError
from evswap_edge.outbox.v1 import Outbox
from evswap_edge.reporting import Deliveries, Formed, Moment, Reporter
from evswap_edge.transports import (
    ENDING,
    PERMANENT,
    NotConnected,
    Rejected,
    Transport,
    TransportError,
)

ResultT = TypeVar("ResultT")

_AT_ONCE: Final = -math.inf
_NEVER: Final = math.inf
_LOOK_ANYWAY_S: Final = 3_600.0
"""Nothing relies on it: every cause to act wakes the publisher."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Sending:
    """A message under way; ``alone`` when no other was, or is, until this one's fate is known."""

    message: Message
    alone: bool


@dataclass(frozen=True, slots=True)
class _Haul:
    """What was made of the rows up to ``up_to``; None while they wait for others, until ``next_at``."""

    up_to: int
    formed: Formed | None
    next_at: float


class Link(Enum):
    """What the publisher knows of the way to the cloud."""

    DOWN = auto()
    CONNECTING = auto()
    UP = auto()


class Publisher:
    """Moves samples from an outbox over a transport. ``notify`` tells it that the outbox has more."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        reporter: Reporter,
        transport: Transport,
        time: TimeSource,
        backoff: Backoff,
        window: int,
        drain_s: float,
    ) -> None:
        """``window`` is how many messages may wait for their answer at once, ``drain_s`` how long ``run``
        goes on delivering once it was told to stop."""
        self._outbox = outbox
        self._reporter = reporter
        self._transport = transport
        self._time = time
        self._backoff = backoff
        self._window = window
        self._drain_s = drain_s
        self._wake = asyncio.Event()
        self._delivery = Episode(_log, "delivery", monotonic=time.monotonic)
        self._storage = Episode(_log, "outbox", monotonic=time.monotonic)
        self._link = Link.DOWN
        self._connecting: asyncio.Task[TransportError | None] | None = None
        self._fruitful = False
        self._one_by_one = False
        self._resume_at: float | None = None
        self._due_at = _AT_ONCE
        self._taken_up_to = 0
        self._ready: deque[Message] = deque()
        self._in_flight: dict[asyncio.Task[TransportError | None], _Sending] = {}
        self._deliveries = Deliveries()
        self._arrived: list[int] = []
        self._hopeless: list[tuple[Sequence[int], str]] = []

    def notify(self) -> None:
        """The outbox has a new row."""
        if self._due_at == _NEVER:
            self._due_at = _AT_ONCE
            self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until ``stop`` is set, and then, if there is a link, what is left, for ``drain_s`` at most.

        Raises one of ``ENDING`` when the far side can never accept this station, or this process never
        again.
        """
        stopping = self._start(stop.wait(), name="publisher stop")
        try:
            while not stop.is_set():
                await self._step(flush=False)
                await self._time.wait_until(self._look_again_at(), unless=self._wake)
            await self._drain(deadline=self._time.monotonic() + self._drain_s)
        finally:
            await _cancel([stopping, *self._in_flight, *([self._connecting] if self._connecting else [])])

    async def _drain(self, *, deadline: float) -> None:
        """What is not delivered by then stays in the outbox and is sent by the next run."""
        while self._link is Link.UP and self._time.monotonic() < deadline:
            await self._step(flush=True)
            if not self._ready and not self._in_flight:
                return
            await self._time.wait_until(min(deadline, self._look_again_at()), unless=self._wake)

    async def _step(self, *, flush: bool) -> None:
        self._wake.clear()
        try:
            await self._settle()
            if self._may_send():
                await self._fill(flush=flush)
                self._launch()
        except OutboxError as error:
            self._storage.begin(error)
            self._due_at = _AT_ONCE
            self._pause()
        else:
            self._storage.end()

    # --- from rows to messages under way ------------------------------------------------------------------

    def _may_send(self) -> bool:
        """Whether there is a link and no reason to hold back; starts connecting when there is no link."""
        if self._resume_at is not None:
            if self._time.monotonic() < self._resume_at:
                return False
            self._resume_at = None
        if self._link is Link.DOWN:
            self._connecting = self._start(_error_of(self._transport.connect()), name="connect")
            self._link = Link.CONNECTING
        if self._link is Link.CONNECTING:
            self._look_at_connecting()
        return self._link is Link.UP

    def _look_at_connecting(self) -> None:
        if self._connecting is None or not self._connecting.done():
            return
        error, self._connecting = self._connecting.result(), None
        if error is None:
            self._link = Link.UP
            self._fruitful = False
            return
        self._link = Link.DOWN
        self._delivery.begin(error)
        self._pause()

    async def _fill(self, *, flush: bool) -> None:
        """Form messages until there are enough to fill the window again, or no row is due."""
        while len(self._ready) < self._window and (flush or self._due_at <= self._time.monotonic()):
            self._due_at = _NEVER
            haul = await asyncio.to_thread(self._haul, flush=flush)
            if haul is None:
                return
            self._due_at = min(self._due_at, haul.next_at)
            if haul.formed is None:
                return
            self._taken_up_to = haul.up_to
            self._stow(haul.formed)

    def _haul(self, *, flush: bool) -> _Haul | None:
        """Read the next rows and make messages of them, if they are due. Runs in a thread of its own."""
        takes = self._reporter.takes
        rows = self._outbox.pending(after=self._taken_up_to, limit=takes)
        if not rows:
            return None
        now = Moment(boot_id=self._time.boot_id, uptime=self._time.monotonic())
        wait_s = 0.0 if flush else self._reporter.wait_s(rows, now)
        if wait_s > 0:
            return _Haul(up_to=self._taken_up_to, formed=None, next_at=now.uptime + wait_s)
        return _Haul(
            up_to=rows[-1].sequence,
            formed=self._reporter.form(rows, now),
            next_at=_AT_ONCE if len(rows) == takes else _NEVER,
        )

    def _stow(self, formed: Formed) -> None:
        self._deliveries.expect(formed.messages)
        self._ready.extend(formed.messages)
        for sequence, reason in formed.unsendable:
            self._give_up([sequence], reason)

    def _launch(self) -> None:
        probing = self._one_by_one or self._delivery.ongoing
        window = 1 if probing else self._window
        while self._ready and len(self._in_flight) < window:
            sending = _Sending(self._ready.popleft(), alone=window == 1 and not self._in_flight)
            task = self._start(_error_of(self._transport.send(sending.message)), name="send")
            self._in_flight[task] = sending

    # --- what became of them ------------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Judge the sends that have ended, and let the outbox know in one transaction each."""
        again: list[Message] = []
        for task in [task for task in self._in_flight if task.done()]:
            sending = self._in_flight.pop(task)
            error = task.result()
            if error is None:
                self._accept(sending.message)
            elif _is_at_fault(error, alone=sending.alone):
                self._give_up(self._deliveries.give_up(sending.message), str(error))
            else:
                again.append(sending.message)
                self._hold_back(error)
        if again:
            self._ready = deque(sorted([*again, *self._ready], key=lambda message: message.sequences[0]))
        await self._tell_outbox()

    def _accept(self, message: Message) -> None:
        self._arrived += self._deliveries.accepted(message)
        self._fruitful = True
        self._one_by_one = False
        self._backoff.reset()
        self._delivery.end()

    def _give_up(self, sequences: Sequence[int], reason: str) -> None:
        if sequences:
            self._hopeless.append((sequences, reason))
            _log.error(
                "set aside, it can never be delivered: %s", reason, extra={"sequences": list(sequences)}
            )

    def _hold_back(self, error: TransportError) -> None:
        """A link that was good for something is mended at once; one that never was, after a backoff."""
        if not isinstance(error, NotConnected):
            self._delivery.begin(error)
            self._pause()
            return
        self._one_by_one = self._one_by_one or error.reason_code in PERMANENT
        if self._link is Link.UP:
            self._link = Link.DOWN
            if not self._fruitful:
                self._pause()

    async def _tell_outbox(self) -> None:
        """What the outbox could not take (a full disk) is kept and told again."""
        if self._arrived:
            await asyncio.to_thread(self._outbox.acknowledge, self._arrived)
            self._arrived = []
        while self._hopeless:
            sequences, reason = self._hopeless[0]
            await asyncio.to_thread(self._outbox.set_aside, sequences, reason)
            del self._hopeless[0]

    # --- when to act again --------------------------------------------------------------------------------

    def _pause(self) -> None:
        """Try nothing for a while; several failures at the same time are one."""
        now = self._time.monotonic()
        if self._resume_at is None or self._resume_at <= now:
            self._resume_at = now + self._backoff.next_s()

    def _look_again_at(self) -> float:
        """The next moment to act without being woken by a new row, an answer, a link or the stop."""
        if self._resume_at is not None:
            # Also when that moment has passed by now: it was not yet there when the step held back for it.
            return self._resume_at
        idle = self._link is Link.UP and len(self._ready) < self._window
        return min(self._due_at if idle else _NEVER, self._time.monotonic() + _LOOK_ANYWAY_S)

    def _start(self, work: Coroutine[Any, Any, ResultT], *, name: str) -> asyncio.Task[ResultT]:
        """Begin ``work`` beside this; its end wakes the publisher."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(lambda _: self._wake.set())
        return task


async def _error_of(work: Awaitable[None]) -> TransportError | None:
    """How ``work`` failed, if it did. What no repetition mends is raised."""
    try:
        await work
    except ENDING:
        raise
    except TransportError as error:
        return error
    return None


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
