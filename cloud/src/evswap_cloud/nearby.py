"""Which stations are near a place, nearest first, for a bounded number of items however many there are."""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from msgspec import Struct

from evswap_cloud.latest import LatestState, Wanted
from evswap_cloud.places import Entry, cover, decode, distance_km
from evswap_schema import Location

MOST_ENTRIES: Final = 1_000
"""Entries of the index that one look at a circle may read."""

MOST_STATES: Final = 300
"""States that may be read to find as many as are wanted."""

_SMALLER: Final = 4
"""By how much the next circle is smaller where one holds too many stations to look at them all."""

_MOST_LOOKS: Final = 6

MOST_READ: Final = _MOST_LOOKS * MOST_ENTRIES + MOST_STATES
"""Items that one search may read."""

_STATES_AT_ONCE: Final = 100
"""As many as DynamoDB's BatchGetItem takes."""


class PlaceIndex(Protocol):
    """Where stations are found by place. Both methods raise ``LatestStateError``."""

    def entries(self, cell: str, *, limit: int) -> Sequence[Entry]:
        """At most ``limit`` of the stations in ``cell``, a geohash of at least ``CELL_CHARACTERS``."""

    def get_many(self, station_ids: Sequence[str]) -> Sequence[LatestState]:
        """The states of at most 100 stations, in any order."""


class Neighbour(Struct, frozen=True, kw_only=True):
    """A station and how far away it is."""

    state: LatestState
    distance_km: float


class Nearby(Struct, frozen=True, kw_only=True):
    """The nearest of the stations that are wanted. All within ``searched_km`` were looked at: less than was
    asked for where there are too many to look at. ``examined`` counts the items that were read.
    """

    neighbours: tuple[Neighbour, ...]
    searched_km: float
    examined: int


class _Looked(Struct, frozen=True, kw_only=True):
    """``entries`` are all within ``searched_km``; those around it, as far as ``circle_km``, are some."""

    entries: tuple[Entry, ...]
    circle_km: float
    searched_km: float
    examined: int


def search(index: PlaceIndex, centre: Location, radius_km: float, *, limit: int, wanted: Wanted) -> Nearby:
    """At most ``limit`` stations that are ``wanted`` within ``radius_km`` of ``centre``."""
    looked = _look_ever_closer(index, centre, radius_km)
    distances = {one.station_id: distance_km(centre, decode(one.geohash)) for one in looked.entries}
    inside = sorted((away, name) for name, away in distances.items() if away <= looked.circle_km)
    searched_km, examined = looked.searched_km, looked.examined
    found: list[Neighbour] = []
    for first in range(0, min(len(inside), MOST_STATES), _STATES_AT_ONCE):
        some = inside[first : min(first + _STATES_AT_ONCE, MOST_STATES)]
        states = {state.station_id: state for state in index.get_many([name for _, name in some])}
        examined += len(states)
        found += _wanted(some, states, wanted)
        if len(found) >= limit:
            break
    else:
        if len(inside) > MOST_STATES:
            searched_km = inside[MOST_STATES - 1][0]
    return Nearby(neighbours=tuple(found[:limit]), searched_km=searched_km, examined=examined)


def _look_ever_closer(index: PlaceIndex, centre: Location, radius_km: float) -> _Looked:
    """The stations of the largest circle around ``centre`` that has no more than may be read."""
    entries: tuple[Entry, ...] = ()
    circle_km, examined = radius_km, 0
    for look in range(_MOST_LOOKS):
        circle_km = radius_km / _SMALLER**look
        entries = _entries(index, cover(centre, circle_km))
        examined += len(entries)
        if len(entries) < MOST_ENTRIES:
            return _Looked(entries=entries, circle_km=circle_km, searched_km=circle_km, examined=examined)
    return _Looked(entries=entries, circle_km=circle_km, searched_km=0.0, examined=examined)


def _entries(index: PlaceIndex, cells: Iterable[str]) -> tuple[Entry, ...]:
    """The stations in ``cells``; where they are as many as may be read, there may be others."""
    entries: list[Entry] = []
    for cell in cells:
        if room := MOST_ENTRIES - len(entries):
            entries += index.entries(cell, limit=room)
    return tuple(entries)


def _wanted(
    inside: Iterable[tuple[float, str]], states: dict[str, LatestState], wanted: Wanted
) -> Iterable[Neighbour]:
    for away, name in inside:
        state = states.get(name)
        if state is not None and wanted.admits(state):
            yield Neighbour(state=state, distance_km=away)
