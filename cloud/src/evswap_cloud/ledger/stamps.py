"""When and where a fact comes from, and which of two tellings of it counts.

Facts arrive in any order: stations are offline for days, and the queue keeps none. So the ledger never asks
when something arrived. What it knows is a set of facts, each with the stamp of its event, and everything else
follows from the set.
"""

from collections.abc import Hashable, Iterable
from datetime import datetime
from typing import Protocol, TypeVar

from msgspec import Struct

from evswap_cloud.events import StationEvent
from evswap_schema import Clock


class Stamp(Struct, frozen=True, array_like=True, order=False):
    """``at`` is the station's own time of the event, as far as it is believed (``StationEvent``)."""

    at: datetime
    clock: Clock
    station_id: str
    stream_id: str
    sequence: int

    @property
    def order(self) -> tuple[datetime, str, str, int]:
        """By time; what happened at one moment in an order that is the same for everybody."""
        return self.at, self.station_id, self.stream_id, self.sequence

    @property
    def is_certain(self) -> bool:
        """Whether its time stays as it is: one that was estimated may be corrected later."""
        return self.clock is Clock.SYNCHRONIZED


class Fact(Protocol):
    """Something that an event says."""

    @property
    def stamp(self) -> Stamp:
        """Of the event."""

    @property
    def key(self) -> Hashable:
        """The same whenever the same thing is told again."""


F = TypeVar("F", bound=Fact)


def stamp_of(event: StationEvent) -> Stamp:
    """The stamp of all that ``event`` says."""
    told = event.event
    return Stamp(event.occurred_at, told.clock, told.station_id, told.stream_id, told.sequence)


def joined(*tellings: Iterable[F]) -> list[F]:
    """All facts, each once, the newest first: a set union, so neither order nor repetition matters.

    Of two tellings of one fact the one with a certain time counts, then the earlier.
    """
    chosen: dict[Hashable, F] = {}
    for facts in tellings:
        for fact in facts:
            known = chosen.get(fact.key)
            if known is None or _preference(fact) < _preference(known):
                chosen[fact.key] = fact
    return sorted(chosen.values(), key=_newest_last, reverse=True)


def _preference(fact: Fact) -> tuple[bool, tuple[datetime, str, str, int]]:
    return not fact.stamp.is_certain, fact.stamp.order


def _newest_last(fact: Fact) -> tuple[tuple[datetime, str, str, int], str]:
    return fact.stamp.order, str(fact.key)
