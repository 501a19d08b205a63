"""What waits while the disk takes nothing: kept small, bounded like the disk, and gone with the process."""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

import msgspec

from evswap_edge.outbox.leases import samples_in
from evswap_edge.outbox.records import (
    Item,
    Kind,
    Losses,
    Parcel,
    Sample,
    StoredEvent,
    Ticket,
    Waiting,
    is_urgent,
    kind_of,
    urgent_first,
)
from evswap_edge.outbox.rows import deflated
from evswap_edge.outbox.store import Changes
from evswap_edge.outbox.thinning import NO_TICKET, Candidate, Class, level_of

_OBJECT_BYTES: Final = 400
"""What a thing takes in this process beside its body: measured with tracemalloc, rounded up."""


class MemoryStore:
    """Things by their tickets, in the order in which they came."""

    def __init__(self, *, max_bytes: int) -> None:
        """``max_bytes`` counts bodies as they are kept, and what Python needs to keep them."""
        self._max_bytes = max_bytes
        self._things: Mapping[Kind, dict[Ticket, Item]] = {kind: {} for kind in Kind}
        self._deflated: set[Ticket] = set()
        self._bytes = 0
        self.losses = Losses()
        self.fronts: dict[Class, Sequence[Ticket]] = {}

    def __contains__(self, ticket: Ticket) -> bool:
        return ticket in self._things[kind_of(ticket)]

    def __len__(self) -> int:
        return sum(map(len, self._things.values()))

    @property
    def bytes(self) -> int:
        """What all of it takes."""
        return self._bytes

    def items(self, kind: Kind, tickets: Sequence[Ticket]) -> Sequence[Item]:
        things = self._things[kind]
        return [self._whole(things[ticket]) for ticket in tickets if ticket in things]

    def tickets(self, kind: Kind, *, after: Ticket, upto: Ticket, limit: int) -> Sequence[Ticket]:
        things = self._things[kind]
        found = (ticket for ticket in things if after < ticket <= upto)
        return list(islice(found if kind is not Kind.EVENT else urgent_first(found), limit))

    def oldest(self, limit: int, *, max_bytes: int) -> Sequence[Item]:
        """The things that came first, of whatever kind: at most ``limit``, and about ``max_bytes``."""
        tickets = sorted(ticket for things in self._things.values() for ticket in islice(things, limit))
        found: list[Item] = []
        for ticket in tickets[:limit]:
            found.append(self._whole(self._things[kind_of(ticket)][ticket]))
            max_bytes -= len(found[-1].body)
            if max_bytes <= 0:
                break
        return found

    def moved(self, items: Iterable[Item]) -> None:
        """These are kept elsewhere from now on."""
        for item in items:
            self._let_go(item.ticket)

    @property
    def waiting(self) -> Waiting:
        parcels = self._things[Kind.PARCEL].values()
        return Waiting(
            samples=len(self._things[Kind.SAMPLE]),
            parcels=len(parcels),
            parcel_samples=sum(parcel.samples for parcel in parcels if isinstance(parcel, Parcel)),
            events=len(self._things[Kind.EVENT]),
        )

    def write(self, changes: Changes) -> None:
        """Nothing can go wrong."""
        for item in changes.coming:
            self._keep(item)
        for thing in changes.leaving:
            self._let_go(thing.ticket)
        self.losses += changes.lost
        self.fronts.update(changes.fronts)

    def lacks(self, coming: Iterable[Item]) -> int:
        needed = sum(len(item.body) + _OBJECT_BYTES for item in coming)
        return max(0, self._bytes + needed - self._max_bytes)

    def newest_but(self, kind: Kind, newer: int) -> Ticket:
        return next(islice(reversed(self._things[kind]), newer, None), NO_TICKET)

    def count(self, kind: Kind) -> int:
        return len(self._things[kind])

    def candidates(self, which: Class, *, after: Ticket, upto: Ticket, limit: int) -> Sequence[Candidate]:
        kind, changed = which
        found = (
            _candidate(item)
            for ticket, item in self._things[kind].items()
            if after < ticket <= upto and not isinstance(item, StoredEvent) and item.changed is changed
        )
        return list(islice(found, limit))

    def oldest_events(self, limit: int) -> Sequence[Candidate]:
        events = self._things[Kind.EVENT]
        return [_candidate(events[ticket]) for ticket in islice(sorted(events, key=is_urgent), limit)]

    def _keep(self, item: Item) -> None:
        if isinstance(item, Sample):
            body = deflated(item.body)
            if body is not item.body:
                self._deflated.add(item.ticket)
                item = msgspec.structs.replace(item, body=body)
        self._things[kind_of(item.ticket)][item.ticket] = item
        self._bytes += len(item.body) + _OBJECT_BYTES

    def _let_go(self, ticket: Ticket) -> None:
        item = self._things[kind_of(ticket)].pop(ticket, None)
        if item is not None:
            self._deflated.discard(ticket)
            self._bytes -= len(item.body) + _OBJECT_BYTES

    def _whole(self, item: Item) -> Item:
        if item.ticket in self._deflated:
            return msgspec.structs.replace(item, body=zlib.decompress(item.body))
        if isinstance(item, Parcel):
            fronts = self.fronts.get((Kind.PARCEL, item.changed), ())
            return msgspec.structs.replace(item, level=level_of(item.ticket, fronts))
        return item


def _candidate(item: Item) -> Candidate:
    samples = 0 if isinstance(item, StoredEvent) else samples_in(item)
    return Candidate(item.ticket, samples, len(item.body) + _OBJECT_BYTES)
