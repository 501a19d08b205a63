"""Who has what: things that were taken to be sent, and are neither delivered nor given back."""

from collections import Counter
from collections.abc import Iterable, Set

from evswap_edge.outbox.records import Item, Kind, Parcel, Ticket, kind_of


def samples_in(item: Item) -> int:
    """How many samples ``item`` stands for."""
    return item.samples if isinstance(item, Parcel) else 1


class Held:
    """What is not to be given up: somebody has it, or it is leaving anyway."""

    def __init__(self, leases: "Leases", leaving: Set[Ticket]) -> None:
        self._leases = leases
        self._leaving = leaving

    def __contains__(self, ticket: object) -> bool:
        return ticket in self._leases or ticket in self._leaving

    def count(self, kind: Kind) -> int:
        """How many of ``kind`` there are, at most."""
        return self._leases.count(kind) + len(self._leaving)


class Leases:
    """The tickets that are lent, each with the samples that it stands for."""

    def __init__(self) -> None:
        self._lent: dict[Ticket, int] = {}
        self._count: Counter[Kind] = Counter()

    def __contains__(self, ticket: object) -> bool:
        return ticket in self._lent

    def count(self, kind: Kind) -> int:
        """How many things of ``kind`` are lent."""
        return self._count[kind]

    def any_of(self, tickets: Iterable[Ticket]) -> bool:
        """Whether one of these is lent."""
        return not self._lent.keys().isdisjoint(tickets)

    def samples(self, ticket: Ticket) -> int:
        """How many samples the thing stands for, which has to be lent."""
        return self._lent[ticket]

    def lend(self, items: Iterable[Item]) -> None:
        """From now on somebody has these."""
        for item in items:
            self._lent[item.ticket] = samples_in(item)
            self._count[kind_of(item.ticket)] += 1

    def hold(self, samples: Iterable[Ticket]) -> None:
        """Nobody is to get these samples."""
        for ticket in samples:
            self._lent[ticket] = 1
            self._count[kind_of(ticket)] += 1

    def end(self, tickets: Iterable[Ticket]) -> None:
        """Nobody has these any more."""
        if not self._lent:
            return
        for ticket in tickets:
            if self._lent.pop(ticket, None) is not None:
                self._count[kind_of(ticket)] -= 1
