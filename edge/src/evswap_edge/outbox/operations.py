"""What can be asked of an outbox, as values: they wait in a queue until the next flush does them together."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from evswap_edge.clock import Stamp
from evswap_edge.outbox.records import Kind, NewParcel, Sample, Ticket

Body = Callable[[str, int], bytes]
"""Gives the bytes to store under a stream and a sequence number."""


class NewSample(Struct, frozen=True, gc=False):
    """Store a sample; gives what was stored. ``changed``: it says something that the one before did not."""

    body: Body
    stamp: Stamp
    changed: bool = False


class NewEvent(Struct, frozen=True, gc=False):
    """Store an event; gives what was stored."""

    body: Body
    stamp: Stamp
    urgent: bool = False


class Seal(Struct, frozen=True):
    """Store parcels in the place of samples; gives the stored parcels."""

    samples: Sequence[Sample]
    parcels: Sequence[NewParcel]


class Forget(Struct, frozen=True):
    """These were delivered."""

    tickets: Sequence[Ticket]


class PutAside(Struct, frozen=True):
    """These can never be delivered."""

    tickets: Sequence[Ticket]
    reason: str


class Learn(Struct, frozen=True):
    """The wall clock's true offset in a boot."""

    boot_id: str
    offset_s: float


class Take(Struct, frozen=True):
    """Lend the oldest of a kind; ``backlog`` is None where that makes no difference."""

    kind: Kind
    limit: int
    backlog: bool | None = None


class Look(Struct, frozen=True):
    """Show the oldest samples that nobody has."""

    limit: int


class Release(Struct, frozen=True):
    """These are to be lent again."""

    tickets: Sequence[Ticket]


class MarkBacklog(Struct, frozen=True):
    """What is here now is backlog."""


Writing = NewSample | NewEvent | Seal | Forget | PutAside | Learn
Reading = Take | Look | Release | MarkBacklog
Operation = Writing | Reading
