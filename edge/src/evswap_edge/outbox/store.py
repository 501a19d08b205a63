"""What the places where things wait have in common: the disk and the memory."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct

from evswap_edge.outbox.records import (
    Item,
    Kind,
    Losses,
    Parcel,
    Sample,
    StoredEvent,
    Ticket,
    Waiting,
)
from evswap_edge.outbox.thinning import NO_TICKET, Fronts, Shelf


class SetAside(Struct, frozen=True):
    """A thing that can never be delivered, and why."""

    item: Item
    reason: str


class Leaving(Struct, frozen=True):
    """A thing that leaves, and the samples that it stands for."""

    ticket: Ticket
    samples: int


@dataclass(slots=True)
class Changes:
    """What happens to a store at once, or not at all.

    ``leaving`` is delivered, has moved elsewhere, or is given up to make room and counted in ``lost``;
    ``sealed`` are samples, oldest first, in whose place there are parcels. ``sequences`` are the last numbers
    that are used up, where they are the store's own.
    """

    samples: list[Sample] = field(default_factory=list)
    parcels: list[Parcel] = field(default_factory=list)
    events: list[StoredEvent] = field(default_factory=list)
    leaving: list[Leaving] = field(default_factory=list)
    sealed: list[Ticket] = field(default_factory=list)
    aside: list[SetAside] = field(default_factory=list)
    offsets: dict[str, float] = field(default_factory=dict)
    lost: Losses = field(default_factory=Losses)
    fronts: Fronts = field(default_factory=dict)
    sequences: "Sequences | None" = None

    def __bool__(self) -> bool:
        return bool(
            self.samples
            or self.parcels
            or self.events
            or self.leaving
            or self.sealed
            or self.aside
            or self.offsets
            or self.lost != Losses()
        )

    def add(self, item: Item) -> None:
        """``item`` is new in the store."""
        match item:
            case Parcel():
                self.parcels.append(item)
            case Sample():
                self.samples.append(item)
            case StoredEvent():
                self.events.append(item)

    def __iadd__(self, other: "Changes") -> "Changes":
        """Do what ``other`` says, too."""
        self.samples += other.samples
        self.parcels += other.parcels
        self.events += other.events
        self.leaving += other.leaving
        self.sealed += other.sealed
        self.aside += other.aside
        self.offsets |= other.offsets
        self.lost += other.lost
        self.sequences = other.sequences or self.sequences
        return self

    def departing(self) -> set[Ticket]:
        """What will not be there any more."""
        return {*self.sealed, *(thing.ticket for thing in self.leaving)}

    @property
    def newest_ticket(self) -> Ticket:
        """Of what is new; things of a kind stand in their order."""
        newest = [kind[-1].ticket for kind in (self.samples, self.parcels, self.events) if kind]
        return max(newest, default=NO_TICKET)

    @property
    def coming(self) -> Iterator[Item]:
        """What is new in the store."""
        yield from self.samples
        yield from self.parcels
        yield from self.events


class Sequences(Struct, frozen=True):
    """The last sequence numbers that were given out."""

    sample: int = 0
    event: int = 0


class Store(Shelf, Protocol):
    """A place where things wait, and that the policy can thin. Not for use by several threads at once."""

    def write(self, changes: Changes) -> None:
        """Do all of it, or nothing. Raises ``OutboxError``."""
        ...

    def tickets(self, kind: Kind, *, after: Ticket, upto: Ticket, limit: int) -> Sequence[Ticket]:
        """The oldest of a kind with a ticket above ``after`` and not above ``upto``, oldest first; urgent
        events before the others."""
        ...

    def items(self, kind: Kind, tickets: Sequence[Ticket]) -> Sequence[Item]:
        """Those of these that are here, in that order."""
        ...

    def lacks(self, coming: Iterable[Item]) -> int:
        """How many bytes have to be given up before ``coming`` may be written; 0: none."""
        ...

    @property
    def waiting(self) -> Waiting:
        """What waits here."""
        ...

    @property
    def losses(self) -> Losses:
        """What was given up here."""
        ...
