"""The stores in memory: for tests, benchmarks and trying out. They keep the contract of the real ones."""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from datetime import datetime
from threading import Lock
from typing import Any

from msgspec.structs import replace

from evswap_cloud.archive import Addition, ArchiveObject
from evswap_cloud.bays import Bays, heard
from evswap_cloud.connection import Connection, Presence, Word
from evswap_cloud.connection.contact import presence_supersedes, word_supersedes
from evswap_cloud.connection.figures import Figures
from evswap_cloud.events import EventPage, Keeping, StationEvent
from evswap_cloud.events import supersedes as replaces
from evswap_cloud.history import LENGTH, Quarter, merged
from evswap_cloud.history import Keeping as QuarterKeeping
from evswap_cloud.latest import ANY, MOST_EXAMINED, LatestState, Offer, Offered, Page, StationState, Wanted
from evswap_cloud.order import are_of_one_reading, supersedes
from evswap_cloud.places import Entry, encode
from evswap_cloud.quarantine import Quarantined
from evswap_schema import Acknowledgement


class MemoryArchive:
    """An archive in a dictionary: ``objects`` by key."""

    def __init__(self) -> None:
        self.objects: dict[str, ArchiveObject] = {}
        self._lock = Lock()

    def add(self, item: ArchiveObject) -> Addition:
        with self._lock:
            stored = self.objects.get(item.key)
            if stored is None:
                self.objects[item.key] = item
                return Addition.STORED
        return Addition.REPEATED if stored.body == item.body else Addition.CONFLICT


class MemoryQuarantine:
    """A quarantine in a dictionary: ``messages`` by key."""

    def __init__(self) -> None:
        self.messages: dict[str, Quarantined] = {}

    def keep(self, message: Quarantined) -> None:
        self.messages[message.key] = message


class MemoryLatestStates:
    """Latest states in dictionaries: ``states`` and ``bays`` by station_id."""

    def __init__(self) -> None:
        self.states: dict[str, LatestState] = {}
        self.bays: dict[str, Bays] = {}
        self._places: list[tuple[str, str]] = []
        self._lock = Lock()

    def offer(self, state: LatestState) -> Offer:
        with self._lock:
            return self._offer(state)

    def offer_with_bays(self, state: LatestState, bays: Bays) -> Offered:
        with self._lock:
            offer, stored = self._offer(state), self.bays.get(state.station_id)
            replaces = offer is Offer.MOVED and are_of_one_reading(state, bays.place)
            are_same = stored is None or stored.numbers == bays.numbers
            kept = bays if replaces and are_same else heard(stored, bays)
            if kept is None:
                return Offered(state=offer, bays=Offer.NOT_NEWER)
            self.bays[state.station_id] = kept
            return Offered(state=offer, bays=Offer.MOVED)

    def _offer(self, state: LatestState) -> Offer:
        stored = self.states.get(state.station_id)
        if stored is not None and not supersedes(state, stored):
            return Offer.NOT_NEWER
        self._put(state, stored)
        return Offer.MOVED

    def get(self, station_id: str) -> LatestState | None:
        return self.states.get(station_id)

    def get_with_bays(self, station_id: str) -> StationState | None:
        with self._lock:
            state, told = self.states.get(station_id), self.bays.get(station_id)
        if state is None:
            return None
        return StationState(state=state, bays=() if told is None else told.bays)

    def page(self, *, limit: int, after: str | None, wanted: Wanted = ANY) -> Page:
        following = sorted(name for name in self.states if after is None or name > after)
        states: list[LatestState] = []
        for examined, name in enumerate(following[:MOST_EXAMINED]):
            if len(states) == limit:
                return Page(states=tuple(states), after=states[-1].station_id, examined=examined)
            if wanted.admits(self.states[name]):
                states.append(self.states[name])
        read = following[:MOST_EXAMINED]
        return Page(
            states=tuple(states), after=read[-1] if len(following) > len(read) else None, examined=len(read)
        )

    def entries(self, cell: str, *, limit: int) -> list[Entry]:
        first = bisect_left(self._places, (cell, ""))
        return [
            Entry(station_id=name, geohash=geohash)
            for geohash, name in self._places[first : first + limit]
            if geohash.startswith(cell)
        ]

    def all(self) -> Iterator[LatestState]:
        return iter(tuple(self.states.values()))

    def note_presence(self, station_id: str, presence: Presence) -> Offer:
        with self._lock:
            stored = self.states.get(station_id)
            if stored is None or not presence_supersedes(presence, stored.contact.presence):
                return Offer.NOT_NEWER
            return self._note(stored, presence=presence, noted=presence.state.value)

    def note_word(self, station_id: str, word: Word) -> Offer:
        with self._lock:
            stored = self.states.get(station_id)
            if stored is None or not word_supersedes(word, stored.contact.word):
                return Offer.NOT_NEWER
            return self._note(stored, word=word, noted=word.state.value)

    def note_connection(self, state: LatestState, connection: Connection) -> Offer:
        with self._lock:
            stored = self.states.get(state.station_id)
            if stored is None or stored.received_at != state.received_at:
                return Offer.NOT_NEWER
            return self._note(stored, noted=connection.value)

    def _note(self, stored: LatestState, **heard: Any) -> Offer:
        self.states[stored.station_id] = replace(stored, contact=replace(stored.contact, **heard))
        return Offer.MOVED

    def get_many(self, station_ids: Sequence[str]) -> list[LatestState]:
        return [self.states[name] for name in station_ids if name in self.states]

    def _put(self, state: LatestState, stored: LatestState | None) -> None:
        if stored is not None:
            state = replace(state, location=state.location or stored.location, contact=stored.contact)
        if stored is not None and stored.location is not None:
            del self._places[bisect_left(self._places, _place(stored))]
        if state.location is not None:
            insort(self._places, _place(state))
        self.states[state.station_id] = state


def _place(state: LatestState) -> tuple[str, str]:
    return encode(state.location) if state.location else "", state.station_id


class MemoryFigures:
    """The fleet's figures: ``figures``."""

    def __init__(self) -> None:
        self.figures: Figures | None = None

    def put(self, figures: Figures) -> None:
        self.figures = figures

    def get(self) -> Figures | None:
        return self.figures


class MemoryEvents:
    """Events in a dictionary: ``events`` by station_id and event_id."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, str], StationEvent] = {}
        self._lock = Lock()

    def keep(self, event: StationEvent) -> Keeping:
        key = event.event.station_id, event.event_id
        with self._lock:
            stored = self.events.get(key)
            if stored is not None and not replaces(event, stored):
                return Keeping.KNOWN
            self.events[key] = event
            return Keeping.KEPT

    def page(self, station_id: str, *, limit: int, before: str | None) -> EventPage:
        following = sorted(
            (
                event
                for (of, _), event in self.events.items()
                if of == station_id and (before is None or event.place < before)
            ),
            key=lambda event: event.place,
            reverse=True,
        )
        return EventPage(events=tuple(following[:limit]), more=len(following) > limit)


class MemoryHistory:
    """Quarters in a dictionary: ``quarters`` by station_id and start."""

    def __init__(self) -> None:
        self.quarters: dict[tuple[str, datetime], Quarter] = {}
        self._lock = Lock()

    def keep(self, quarter: Quarter) -> QuarterKeeping:
        key = quarter.station_id, quarter.start
        with self._lock:
            stored = self.quarters.get(key)
            both = quarter if stored is None else merged(stored, quarter)
            if both == stored:
                return QuarterKeeping.KNOWN
            self.quarters[key] = both
            return QuarterKeeping.KEPT

    def between(self, station_id: str, begin: datetime, end: datetime) -> tuple[Quarter, ...]:
        return tuple(
            self.quarters[key]
            for key in sorted(self.quarters)
            if key[0] == station_id and begin - LENGTH < key[1] < end
        )


class MemoryMessenger:
    """The way down to the stations as a list: ``sent``."""

    def __init__(self) -> None:
        self.sent: list[Acknowledgement] = []

    def send(self, acknowledgement: Acknowledgement) -> None:
        self.sent.append(acknowledgement)
