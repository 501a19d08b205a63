"""Between what waits and the rows that it is kept in.

Streams and boots are long names that stand in every row: a row has a number instead.
"""

import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

from evswap_edge.clock import Stamp
from evswap_edge.outbox.records import Item, Parcel, Sample, StoredEvent, kind_of
from evswap_edge.outbox.thinning import Fronts, level_of
from evswap_schema import Clock

Row = tuple[Any, ...]

_SMALL: Final = 1_000
"""Shorter bodies are stored as they are: a commit writes whole pages of 4 KiB anyway."""
_FASTEST: Final = 1
"""The least effort of deflate leaves an eighth of a reading with 35 bays, and costs a Raspberry Pi little."""
_CLOCKS: Final = {clock.value: clock for clock in Clock}
_NAMES: Final = {clock: clock.value for clock in Clock}


class Names:
    """The numbers of the names in one table; a name that is new gets one."""

    def __init__(self, db: sqlite3.Connection, *, table: str, number: str, name: str) -> None:
        self._db = db
        self._insert = f"INSERT INTO {table} ({name}) VALUES (?)"  # noqa: S608 - our own names
        self._select = f"SELECT {number}, {name} FROM {table}"  # noqa: S608 - our own names
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def read_again(self) -> None:
        """Know what the table says now, be it that a transaction was undone."""
        self._names = dict(self._db.execute(self._select))
        self._numbers = {name: number for number, name in self._names.items()}

    def number(self, name: str) -> int:
        """The number of ``name``; to be asked within a transaction."""
        found = self._numbers.get(name)
        if found is None:
            found = self._db.execute(self._insert, (name,)).lastrowid
            assert found is not None  # noqa: S101 - it is after an INSERT
            self._numbers[name], self._names[found] = found, name
        return found

    def name(self, number: int) -> str:
        """The name behind ``number``; one of its own where the table has lost it."""
        return self._names.get(number, f"unknown-{number}")


class Rows:
    """Makes rows of things, and things of rows."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.streams = Names(db, table="streams", number="stream", name="stream_id")
        self.boots = Names(db, table="boots", number="boot", name="boot_id")

    def read_again(self) -> None:
        """Know the names as the file has them now."""
        self.streams.read_again()
        self.boots.read_again()

    def of_samples(self, samples: Iterable[Sample]) -> Iterator[Row]:
        stream_of = self.streams.number
        stamp: Stamp | None = None
        when: Row = ()
        for sample in samples:
            if sample.stamp is not stamp:  # what was measured together has one
                stamp = sample.stamp
                when = self._when(stamp)
            body = sample.body
            kept = body if len(body) < _SMALL else deflated(body)
            stream = stream_of(sample.stream_id)
            yield (sample.ticket, stream, sample.sequence, *when, sample.changed, kept is not body, kept)

    def _when(self, stamp: Stamp) -> Row:
        return self.boots.number(stamp.boot_id), stamp.uptime, stamp.offset_s, _NAMES[stamp.clock]

    def of_parcel(self, parcel: Parcel) -> Row:
        stamp = parcel.stamp
        return (
            parcel.ticket,
            self.streams.number(parcel.stream_id),
            parcel.first,
            parcel.last,
            parcel.samples,
            self.boots.number(stamp.boot_id),
            stamp.uptime,
            parcel.last_uptime,
            stamp.offset_s,
            _NAMES[stamp.clock],
            int(parcel.changed),
            parcel.body,
        )

    def of_event(self, event: StoredEvent) -> Row:
        stamp = event.stamp
        return (
            event.ticket,
            self.streams.number(event.stream_id),
            event.sequence,
            *self._when(stamp),
            event.body,
        )

    def sample(self, row: Row) -> Sample:
        ticket, stream, sequence, boot, uptime, offset_s, clock, changed, is_deflated, body = row
        return Sample(
            ticket=ticket,
            stream_id=self.streams.name(stream),
            sequence=sequence,
            stamp=Stamp(self.boots.name(boot), uptime, offset_s, _CLOCKS[clock]),
            changed=bool(changed),
            body=zlib.decompress(body) if is_deflated else body,
        )

    def parcel(self, row: Row, fronts: Fronts) -> Parcel:
        ticket, stream, first, last, samples, boot, uptime, last_uptime, offset_s, clock, changed, body = row
        return Parcel(
            ticket=ticket,
            stream_id=self.streams.name(stream),
            first=first,
            last=last,
            samples=samples,
            stamp=Stamp(self.boots.name(boot), uptime, offset_s, _CLOCKS[clock]),
            last_uptime=last_uptime,
            changed=bool(changed),
            level=level_of(ticket, fronts.get((kind_of(ticket), bool(changed)), ())),
            body=body,
        )

    def event(self, row: Row) -> StoredEvent:
        ticket, stream, sequence, boot, uptime, offset_s, clock, body = row
        return StoredEvent(
            ticket=ticket,
            stream_id=self.streams.name(stream),
            sequence=sequence,
            stamp=Stamp(self.boots.name(boot), uptime, offset_s, _CLOCKS[clock]),
            body=body,
        )


def deflated(body: bytes) -> bytes:
    """``body`` made smaller, or itself where it would not be."""
    if len(body) < _SMALL:
        return body
    smaller = zlib.compress(body, _FASTEST)
    return smaller if len(smaller) < len(body) else body


def aside_row(item: Item, reason: str) -> Row:
    """What is kept of a thing that can never be delivered."""
    if isinstance(item, Parcel):
        first, last, samples = item.first, item.last, item.samples
    else:
        first, last, samples = item.sequence, item.sequence, 1
    return item.ticket, int(kind_of(item.ticket)), item.stream_id, first, last, samples, reason, item.body
