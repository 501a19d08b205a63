"""Where a battery is: what was last seen of it, and what that says.

A record is a join of sightings: absorbing the same ones again, or in another order, gives the same record.
A battery is in one place because a record has one newest sighting; none is lost because a record never
becomes empty.
"""

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from evswap_cloud.ledger.findings import Code, Finding
from evswap_cloud.ledger.stamps import Stamp, joined

KEPT: Final = 5
"""Sightings in a record, those of the two last swaps and one more: with them it is 1 KB, one write unit."""


class Seen(StrEnum):
    """How a battery was seen. The first three are the steps of a swap."""

    IN = "battery_in"
    OUT = "battery_out"
    NOT_TAKEN = "battery_out_timeout"
    LISTED = "inventory"
    REFUSED = "refused"


class Sighting(Struct, frozen=True, array_like=True):
    """A battery was in ``bay`` of the stamp's station; after ``OUT`` it is in no bay, and the customer has
    it, whose token's hash is known as long as nothing is sure to have happened since.

    ``soc`` and ``soh`` are percent, where the station could tell.
    """

    seen: Seen
    stamp: Stamp
    bay: int
    soc: float | None
    soh: float | None
    request_id: int | None = None
    id_token: str | None = None

    @property
    def key(self) -> Hashable:
        """A step happens once in a swap, whatever number the event has that tells of it."""
        source = self.stamp.station_id, self.stamp.stream_id
        if self.request_id is not None:
            return (*source, self.seen.value, self.bay, "swap", self.request_id)
        return (*source, self.seen.value, self.bay, "event", self.stamp.sequence)

    @property
    def slot(self) -> tuple[str, int]:
        """The station and its bay."""
        return self.stamp.station_id, self.bay


class Missed(Struct, frozen=True, array_like=True):
    """The bay in which the battery was believed held something else, or nothing, at ``stamp``; ``seen`` says
    what showed it: an inventory, or a swap with another battery."""

    stamp: Stamp
    bay: int
    seen: Seen

    @property
    def slot(self) -> tuple[str, int]:
        """The station and its bay."""
        return self.stamp.station_id, self.bay


class Battery(Struct, frozen=True, array_like=True):
    """All that the ledger has of a battery. ``first`` is its earliest sighting, ``sightings`` are the newest,
    the newest first and at least one; ``missed`` is the newest."""

    serial_number: str
    first: Sighting
    sightings: tuple[Sighting, ...]
    missed: Missed | None = None

    @property
    def last(self) -> Sighting:
        """The newest sighting."""
        return self.sightings[0]


class Place(StrEnum):
    """In a bay; with a customer; or neither, as its bay turned out not to hold it."""

    STATION = "station"
    CUSTOMER = "customer"
    MISSING = "missing"


class Whereabouts(Struct, frozen=True, kw_only=True):
    """Where a battery is since ``since``. Station and bay are the last ones for a battery that is in none."""

    place: Place
    station_id: str
    bay: int
    since: datetime
    id_token: str | None = None


def absorb(
    battery: Battery | None,
    serial_number: str,
    sightings: Iterable[Sighting] = (),
    missed: Iterable[Missed] = (),
    *,
    kept: int = KEPT,
) -> Battery:
    """``battery`` with what has been heard of it; one that nothing had been heard of needs a sighting."""
    known = () if battery is None else battery.sightings
    first = () if battery is None else (battery.first,)
    every = joined(first, known, sightings)
    recent = joined(known, sightings)[:kept]
    return Battery(
        serial_number=serial_number,
        first=replace(every[-1], id_token=None),
        sightings=tuple(_without_spent_tokens(recent)),
        missed=_newest_missed(() if battery is None or battery.missed is None else (battery.missed,), missed),
    )


def without_token(battery: Battery, id_token: str) -> Battery:
    """``battery`` with the customer unknown who has ``id_token``."""
    kept = (replace(one, id_token=None) if one.id_token == id_token else one for one in battery.sightings)
    return replace(battery, sightings=tuple(kept))


def whereabouts(battery: Battery) -> Whereabouts:
    """Where ``battery`` is."""
    last = battery.last
    place = _place_after(last)
    since = last.stamp.at
    for earlier in battery.sightings[1:]:
        if _place_after(earlier) is not place or earlier.slot != last.slot:
            break
        since = earlier.stamp.at
    if is_missing(battery):
        place = Place.MISSING
    return Whereabouts(
        place=place, station_id=last.stamp.station_id, bay=last.bay, since=since, id_token=last.id_token
    )


def is_missing(battery: Battery) -> bool:
    """Whether the bay in which it was last seen turned out not to hold it."""
    missed, last = battery.missed, battery.last
    if missed is None or last.seen is Seen.OUT:
        return False
    return missed.slot == last.slot and missed.stamp.order > last.stamp.order


def is_orphan(battery: Battery) -> bool:
    """Whether it was offered to a customer who did not take it, and no swap has moved it since."""
    moves = (one for one in battery.sightings if one.seen is not Seen.LISTED)
    newest = next(moves, None)
    return newest is not None and newest.seen is Seen.NOT_TAKEN


def is_unregistered(battery: Battery) -> bool:
    """Whether it was brought without having gone out before: the ledger does not know where from."""
    return battery.first.seen in {Seen.IN, Seen.REFUSED}


def contradictions(battery: Battery) -> list[Finding]:
    """What the sightings that are kept say against each other, the earliest first, and whether it is missing
    now.

    It follows from the facts alone: where one was merely late, the contradiction goes when it has come.
    """
    misses = () if battery.missed is None else (battery.missed,)
    found = contradictions_among(battery.serial_number, battery.sightings, misses)
    return found + (
        misses_among(battery.serial_number, battery.sightings, misses) if is_missing(battery) else []
    )


def contradictions_among(
    serial_number: str, newest_first: Sequence[Sighting], misses: Sequence[Missed]
) -> list[Finding]:
    """What sightings say against those before them. A battery that was missed in between may have been
    carried elsewhere. ``misses`` are in the order of time."""
    return [
        Finding(code=code, subject=serial_number, detail=_told(before, after), stamp=after.stamp)
        for before, after in pairwise(reversed(newest_first))
        if (code := _contradiction(before, after, misses)) is not None
    ]


def misses_among(
    serial_number: str, newest_first: Sequence[Sighting], misses: Iterable[Missed]
) -> list[Finding]:
    """Each time that the battery did not stand where it had been seen last."""
    orders = [sighting.stamp.order for sighting in reversed(newest_first)]
    found = []
    for missed in misses:
        place = bisect_right(orders, missed.stamp.order)
        last = newest_first[len(orders) - place] if place else None
        if last is not None and last.slot == missed.slot and last.seen is not Seen.OUT:
            code = Code.MISSED if missed.seen is Seen.LISTED else Code.DISPLACED
            detail = f"bay {missed.bay} of {missed.stamp.station_id} does not hold it"
            found.append(Finding(code=code, subject=serial_number, detail=detail, stamp=missed.stamp))
    return found


def _contradiction(before: Sighting, after: Sighting, misses: Sequence[Missed]) -> Code | None:
    if before.seen is Seen.OUT:
        return _after_out(after)
    if before.seen is Seen.REFUSED or _was_missed_between(before, after, misses):
        return _moved(before, after) if after.seen is not Seen.IN else None
    match after.seen:
        case Seen.IN:
            return Code.CAME_TWICE
        case Seen.REFUSED:
            return None if before.slot == after.slot else Code.CAME_TWICE
        case Seen.OUT | Seen.NOT_TAKEN if before.stamp.station_id != after.stamp.station_id:
            return Code.LEFT_FROM_ELSEWHERE
    return _moved(before, after)


def _after_out(after: Sighting) -> Code | None:
    match after.seen:
        case Seen.OUT | Seen.NOT_TAKEN:
            return Code.LEFT_TWICE
        case Seen.LISTED:
            return Code.RETURNED_UNREPORTED
    return None


def _moved(before: Sighting, after: Sighting) -> Code | None:
    if before.slot == after.slot:
        return None
    return Code.TWO_BAYS_AT_ONCE if before.stamp == after.stamp else Code.MOVED


def _was_missed_between(before: Sighting, after: Sighting, misses: Sequence[Missed]) -> bool:
    """Whether its bay had turned out not to hold it any more. Of many the first after ``before`` tells."""
    place = bisect_right(misses, before.stamp.order, key=lambda missed: missed.stamp.order)
    return any(
        missed.slot == before.slot and missed.stamp.order <= after.stamp.order for missed in misses[place:]
    )


def _told(before: Sighting, after: Sighting) -> str:
    return f"{_words(before)}, then {_words(after)}"


def _words(sighting: Sighting) -> str:
    return f"{sighting.seen} at {sighting.stamp.station_id} bay {sighting.bay}"


def _place_after(sighting: Sighting) -> Place:
    return Place.CUSTOMER if sighting.seen is Seen.OUT else Place.STATION


def _without_spent_tokens(newest_first: Sequence[Sighting]) -> Iterator[Sighting]:
    """A customer is known while he may still have the battery: until something later has a certain time."""
    settled = False
    for sighting in newest_first:
        yield replace(sighting, id_token=None) if settled else sighting
        settled = settled or sighting.stamp.is_certain


def _newest_missed(known: Iterable[Missed], new: Iterable[Missed]) -> Missed | None:
    return max((*known, *new), key=lambda one: (one.stamp.order, one.bay), default=None)
