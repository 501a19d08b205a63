"""Samples on a disk that cannot be written, and the parcels in memory that say the same.

The parcels may be lost with the process, the samples not: they leave when the last of the parcels was
delivered, or is on the disk itself. Until then they are lent to the parcels, so nobody sends them as well.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from evswap_edge.outbox.leases import Leases
from evswap_edge.outbox.records import Ticket


@dataclass(slots=True, eq=False)
class _Group:
    parcels: set[Ticket]
    samples: list[Ticket]


class Superseded:
    """Which samples stand behind which parcels."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self._groups: dict[Ticket, _Group] = {}

    def __len__(self) -> int:
        """How many samples there are of them."""
        groups = {id(group): group for group in self._groups.values()}
        return sum(len(group.samples) for group in groups.values())

    def add(self, parcels: Iterable[Ticket], samples: Iterable[Ticket]) -> None:
        """These parcels say together what these samples say."""
        group = _Group(set(parcels), list(samples))
        self._groups |= dict.fromkeys(group.parcels, group)
        self._leases.hold(group.samples)

    def needless(self, parcels: Collection[Ticket]) -> list[Ticket]:
        """The samples that nobody needs once these parcels are safe."""
        safe = set(parcels)
        groups = {id(group): group for ticket in safe if (group := self._groups.get(ticket))}
        return [sample for group in groups.values() if group.parcels <= safe for sample in group.samples]

    def safe(self, parcels: Collection[Ticket]) -> None:
        """These parcels were delivered, or are on the disk."""
        for ticket in parcels:
            group = self._groups.pop(ticket, None)
            if group is not None:
                group.parcels.remove(ticket)

    def dissolve(self, parcel: Ticket) -> int:
        """The parcel is lost: the samples are to be sent after all. Returns how many those are."""
        group = self._groups.get(parcel)
        if group is None:
            return 0
        for ticket in group.parcels:
            del self._groups[ticket]
        self._leases.end(group.samples)
        return len(group.samples)
