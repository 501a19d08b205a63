"""What is to be sent, by rank.

A lane holds loads. A load is one thing of the outbox and the messages that say it: one, or one for each of
its samples. It has arrived when all of them have.
"""

import logging
import math
from bisect import insort
from collections import deque
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import count
from operator import itemgetter
from typing import Final

from evswap_edge.backoff import Backoff
from evswap_edge.clock import TimeSource
from evswap_edge.episode import Episode
from evswap_edge.message import Message
from evswap_edge.outbox import Ticket
from evswap_edge.publisher.pace import Pace

_log: Final = logging.getLogger("evswap_edge.publisher")


class Rank(StrEnum):
    """The lanes; the first one goes first."""

    EVENTS = "events"
    CHANGE = "change"
    LIVE = "live"
    BACKLOG = "backlog"


class Load:
    """One thing on its way. Without a ticket it is volatile: nobody keeps it, nobody misses it."""

    __slots__ = ("_waiting", "arrived", "is_given_up", "order", "size", "slots", "ticket", "under_way")

    _count = count()

    def __init__(self, ticket: Ticket | None, messages: Iterable[Message]) -> None:
        self.ticket = ticket
        self.order = next(self._count)
        """Its place in the lane: the outbox gives what is older first. (A ticket is no place: a parcel's is
        newer than those of the samples behind it.)"""
        self._waiting = deque(enumerate(messages))
        self.size = len(self._waiting)
        self.under_way = 0
        self.arrived = 0
        self.is_given_up = False
        self.slots = 0
        """Places in the window that it takes."""

    @property
    def waits(self) -> bool:
        """Whether it has a message that is still to be sent, or again."""
        return bool(self._waiting)

    @property
    def is_complete(self) -> bool:
        """Whether every one of its messages has arrived."""
        return self.arrived == self.size

    @property
    def is_untouched(self) -> bool:
        """Whether none of its messages has arrived or may yet: it may be given back."""
        return not self.under_way and not self.arrived

    def next_message(self) -> tuple[int, Message]:
        """The next one and its number; it is under way from now on."""
        self.under_way += 1
        return self._waiting.popleft()

    def put_back(self, number: int, message: Message) -> None:
        """It is to be sent again, in its turn."""
        self._waiting = deque(sorted([(number, message), *self._waiting], key=itemgetter(0)))


class Lane:
    """The loads of one rank, and how that rank fares."""

    def __init__(self, rank: Rank, *, pace: Pace, backoff: Backoff, time: TimeSource) -> None:
        self.rank = rank
        self.pace = pace
        self.loads: list[Load] = []
        """Those that have a message to be sent, oldest first."""
        self.dry = False
        """The outbox had no more when it was asked last."""
        self.sending = 0
        """Messages that wait for the transport's answer."""
        self.under_way = 0
        """Those, and messages that wait for the cloud's confirmation."""
        self.held_until = -math.inf
        self._time = time
        self._backoff = backoff
        self._trouble = Episode(_log, f"delivery of {rank}", monotonic=time.monotonic)

    def add(self, load: Load) -> None:
        """``load`` has a message to be sent, for the first time or again."""
        if load not in self.loads:
            insort(self.loads, load, key=lambda each: each.order)

    def may_send(self, now: float) -> bool:
        """While there is trouble, one message at a time finds out whether it has passed."""
        if not self.loads or now < max(self.held_until, self.pace.next_at):
            return False
        return not (self._trouble.ongoing and self.sending)

    @property
    def next_at(self) -> float:
        """The moment (monotonic) from which on it may send, as far as that is a matter of time."""
        return max(self.held_until, self.pace.next_at) if self.loads else math.inf

    def next_message(self) -> tuple[Load, int, Message]:
        """The next one, which is under way from now on, and its load."""
        load = self.loads[0]
        number, message = load.next_message()
        if not load.waits:
            del self.loads[0]
        self.pace.take()
        self.sending += 1
        self.under_way += 1
        return load, number, message

    def hold(self, error: object) -> None:
        """The far side would not take a message now: try again after a backoff."""
        self._trouble.begin(error)
        now = self._time.monotonic()
        if self.held_until <= now:
            self.held_until = now + self._backoff.next_s()

    def works(self) -> None:
        """The far side has taken a message."""
        self.held_until = -math.inf
        self._backoff.reset()
        self._trouble.end()

    def give_back(self) -> Iterator[Load]:
        """Let go of the loads that nobody has seen anything of."""
        kept = []
        for load in self.loads:
            if load.is_untouched:
                yield load
            else:
                kept.append(load)
        self.loads = kept
