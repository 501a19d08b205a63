"""What a bay is said to hold, from which follows what it holds no more.

An inventory names bays, not the batteries that are gone. A bay's record remembers the battery that it was
said to hold, so that the battery is missed when the bay turns out to be empty, or to hold another one.
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final

from msgspec import Struct

from evswap_cloud.ledger.batteries import Seen
from evswap_cloud.ledger.findings import Code, Finding
from evswap_cloud.ledger.stamps import Stamp, joined

KEPT: Final = 3
"""Statements in a record. The newest alone says what the bay holds; those before it are compared with what
comes between."""


class Statement(Struct, frozen=True, array_like=True):
    """From ``stamp`` on the bay holds the battery ``holds``, or none; ``freed`` is the one that left it by a
    swap."""

    stamp: Stamp
    seen: Seen
    holds: str | None
    freed: str | None = None
    request_id: int | None = None

    @property
    def key(self) -> Hashable:
        """As of the sighting that goes with it."""
        source = self.stamp.station_id, self.stamp.stream_id, self.seen.value
        return (*source, self.stamp.sequence if self.request_id is None else ("swap", self.request_id))


class Slot(Struct, frozen=True, array_like=True):
    """A bay of a station, with the newest statements about it, the newest first."""

    station_id: str
    bay: int
    statements: tuple[Statement, ...]


def absorb(slot: Slot | None, station_id: str, bay: int, statements: Iterable[Statement]) -> Slot:
    """``slot`` with what has been said about it."""
    return Slot(station_id, bay, tuple(_with(slot, statements)[:KEPT]))


def missed(slot: Slot | None, statements: Iterable[Statement]) -> Iterator[tuple[str, Statement]]:
    """Batteries that the bay was said to hold and then did not, though nobody took them; and what showed it.

    ``slot`` is as it was before ``statements`` came. They are compared before any is forgotten: so one that
    comes late, whatever it is late for, is compared with what came after it.
    """
    for before, after in pairwise(reversed(_with(slot, statements))):
        serial_number = before.holds
        if serial_number is not None and serial_number not in {after.holds, after.freed}:
            yield serial_number, after


def contradictions(newest_first: Sequence[Statement]) -> Iterator[Finding]:
    """Batteries that are said to have left a bay, or to have been offered from it, that did not hold them."""
    for before, after in pairwise(reversed(newest_first)):
        offered = after.holds if after.seen is Seen.NOT_TAKEN else after.freed
        if offered is not None and offered != before.holds:
            held = "nothing" if before.holds is None else before.holds
            detail = f"{after.seen} at {after.stamp.station_id} from a bay that held {held}"
            yield Finding(code=Code.NOT_THERE, subject=offered, detail=detail, stamp=after.stamp)


def _with(slot: Slot | None, statements: Iterable[Statement]) -> list[Statement]:
    return joined(() if slot is None else slot.statements, statements)
