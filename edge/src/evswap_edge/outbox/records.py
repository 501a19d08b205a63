"""What an outbox holds, and what it says of itself."""

from collections.abc import Iterable, Mapping
from enum import IntEnum, StrEnum
from typing import Final, NewType, cast

from msgspec import Struct

from evswap_edge.clock import Stamp

Ticket = NewType("Ticket", int)
"""Names one stored thing while this process lives, wherever it is by then. Opaque: compare and hash."""

_KIND_BITS: Final = 2


class Kind(IntEnum):
    """The classes of things that wait."""

    SAMPLE = 0
    PARCEL = 1
    EVENT = 2


URGENT: Final = 3
"""In the place of ``Kind.EVENT`` in the ticket of an event that everything else has to wait for."""
SERIAL_STEP: Final = 1 << _KIND_BITS
"""By so much the tickets of two things of one kind differ, when nothing came between them."""
_KINDS: Final[tuple[Kind, ...]] = (*Kind, Kind.EVENT)
"""Indexing costs a tenth of what calling an enumeration does, and this is done several times a sample."""
_KIND_MASK: Final = (1 << _KIND_BITS) - 1


def ticket_of(serial: int, kind: int) -> Ticket:
    """The ticket of the ``serial``-th thing; tickets grow as things come in, across kinds. ``kind`` is a
    ``Kind``, or ``URGENT``."""
    return Ticket(serial << _KIND_BITS | kind)


def ticket_after(ticket: Ticket, kind: int) -> Ticket:
    """The ticket of the next thing. Each sample gets one: what this costs, all of them pay."""
    return cast("Ticket", (ticket | _KIND_MASK) + 1 | kind)


def is_urgent(ticket: Ticket) -> bool:
    """Whether ``ticket`` names an event that everything else has to wait for."""
    return ticket & _KIND_MASK == URGENT


IS_URGENT: Final = f"ticket & {_KIND_MASK} = {URGENT}"
"""The same in SQL."""


def urgent_first(events: Iterable[Ticket]) -> list[Ticket]:
    """These in their order, the urgent ones before the others."""
    return sorted(events, key=is_urgent, reverse=True)


def kind_of(ticket: Ticket) -> Kind:
    """Which kind of thing ``ticket`` names."""
    return _KINDS[ticket & _KIND_MASK]


class Sample(Struct, frozen=True, gc=False):
    """One stored reading. ``changed``: it says something that the one before did not."""

    ticket: Ticket
    stream_id: str
    sequence: int
    stamp: Stamp
    changed: bool
    body: bytes


class NewParcel(Struct, frozen=True, kw_only=True, gc=False):
    """One message that says what samples ``first`` to ``last`` say, ready to be stored in their place.

    ``stamp`` is that of the first of them, ``last_uptime`` the last one's uptime in its boot, in seconds.
    """

    stream_id: str
    first: int
    last: int
    samples: int
    stamp: Stamp
    last_uptime: float
    changed: bool
    body: bytes


class Parcel(NewParcel, frozen=True, kw_only=True, gc=False):
    """A stored message of several samples.

    ``level`` is how often its neighbours were thinned: it is the one that is left of 2 to the power of
    ``level``.
    """

    ticket: Ticket
    level: int = 0


class StoredEvent(Struct, frozen=True, gc=False):
    """One stored event. Events count in a stream of their own, whether they are urgent or not."""

    ticket: Ticket
    stream_id: str
    sequence: int
    stamp: Stamp
    body: bytes


Item = Sample | Parcel | StoredEvent


class Waiting(Struct, frozen=True, kw_only=True):
    """What waits for its delivery. ``bytes`` is what the files take on the disk, WAL and all."""

    samples: int = 0
    parcels: int = 0
    parcel_samples: int = 0
    events: int = 0
    set_aside: int = 0
    bytes: int = 0
    oldest: Stamp | None = None

    @property
    def all_samples(self) -> int:
        """Samples in parcels, and those in none yet."""
        return self.samples + self.parcel_samples


class Losses(Struct, frozen=True, kw_only=True):
    """What had to be given up, ever since the file was made.

    ``volatile`` are samples and events that were held in memory because the disk could not be written;
    ``set_aside`` what could not be delivered anyway and was not kept any longer.
    """

    samples: int = 0
    events: int = 0
    volatile: int = 0
    set_aside: int = 0

    def __add__(self, other: "Losses") -> "Losses":
        return Losses(
            samples=self.samples + other.samples,
            events=self.events + other.events,
            volatile=self.volatile + other.volatile,
            set_aside=self.set_aside + other.set_aside,
        )

    def by_class(self) -> Mapping[str, int]:
        """The counts by the names of the classes."""
        return {name: getattr(self, name) for name in self.__struct_fields__}


class TroubleKind(StrEnum):
    """Why nothing can be written."""

    FULL = "full"
    READ_ONLY = "read-only"
    FAILING = "failing"


class StorageTrouble(Struct, frozen=True, kw_only=True):
    """The disk takes nothing new: what comes is held in memory. ``since`` is monotonic, in seconds."""

    kind: TroubleKind
    since: float
    reason: str


_MIB: Final = 1024 * 1024
LEAST_BYTES: Final = 2 * _MIB
"""With less there is no room for the log of SQLite and for anything to wait."""


class Bounds(Struct, frozen=True, kw_only=True):
    """How much an outbox may hold: bytes on the disk (database, WAL and shared memory file together), days,
    and bytes in memory while the disk cannot be written."""

    max_bytes: int = 256 * _MIB
    max_age_days: float = 30.0
    max_memory_bytes: int = 8 * _MIB
