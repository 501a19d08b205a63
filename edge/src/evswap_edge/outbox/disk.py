"""What waits, in one SQLite file: nothing that was written once is lost by a crash or a power cut."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import chain, groupby, islice
from operator import lt
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from evswap_edge.outbox import schema
from evswap_edge.outbox.claim import Claim
from evswap_edge.outbox.errors import OutboxDamaged, OutboxFull, OutboxOutdated, OutboxTooNew, translated
from evswap_edge.outbox.parts import bytes_of, log_of, size_of
from evswap_edge.outbox.records import (
    IS_URGENT,
    SERIAL_STEP,
    Bounds,
    Item,
    Kind,
    Losses,
    Ticket,
    Waiting,
    kind_of,
)
from evswap_edge.outbox.rows import Rows, aside_row
from evswap_edge.outbox.schema import PAGE_BYTES, ROW_BYTES, Allowance, scalar
from evswap_edge.outbox.store import Changes, Leaving, Sequences
from evswap_edge.outbox.thinning import NO_TICKET, Candidate, Class

_TABLES: Final[Mapping[Kind, str]] = {Kind.SAMPLE: "samples", Kind.PARCEL: "parcels", Kind.EVENT: "events"}
_COUNTS: Final = ("samples", "parcels", "parcel_samples", "events", "set_aside")
_LOSSES: Final = tuple(f"lost_{name}" for name in Losses.__struct_fields__)
_LEDGER: Final = ("sample_sequence", "event_sequence", "newest_ticket", *_COUNTS, *_LOSSES)

_PAGES_BESIDE: Final = 12
"""Pages that a transaction may need for what is no row: inner nodes, the index, pointer maps."""
_ALONE_BYTES: Final = 2_000
"""Two rows that are larger do not share a page."""
_UNUSED_PAGES: Final = 256
_GIVEN_BACK_PAGES: Final = 32
_KEPT_BOOTS: Final = 50
_ROWS_AT_ONCE: Final = 30


class DiskStore:
    """The file, its tables and its bound."""

    def __init__(self, path: Path, *, station_id: str, machine: str, bounds: Bounds) -> None:
        """Open the file, or make it; look through it when it was not closed in good order.

        Raises ``OutboxError``.
        """
        self.path = path
        self.allowance = Allowance(bounds)
        self.sequences = Sequences()
        self.newest_ticket = NO_TICKET
        self.losses = Losses()
        self.offsets: dict[str, float] = {}
        self.fronts: dict[Class, Sequence[Ticket]] = {}
        self._counts: dict[str, int] = {}
        self._sound = True
        self._surely_free = 0.0
        """Pages that there were when they were counted last, less what was written since, generously."""
        with ExitStack() as undo, translated(path):
            self._claim = undo.enter_context(closing(Claim(path)))
            self._db = undo.enter_context(closing(schema.connect(path)))
            self._rows = Rows(self._db)
            self._open(station_id=station_id, machine=machine)
            undo.pop_all()

    # --- what is in it ------------------------------------------------------------------------------------

    def items(self, kind: Kind, tickets: Sequence[Ticket]) -> Sequence[Item]:
        query = f"SELECT * FROM {_TABLES[kind]} WHERE ticket BETWEEN ? AND ?"  # noqa: S608 - our own names
        with self._watched():
            return [
                self._item(kind, row)
                for run in _runs(tickets)
                for row in self._db.execute(query, run).fetchall()
            ]

    def tickets(self, kind: Kind, *, after: Ticket, upto: Ticket, limit: int) -> Sequence[Ticket]:
        if kind is not Kind.EVENT:
            return self._tickets(_TABLES[kind], "TRUE", after, upto, limit)
        urgent = self._tickets("events", IS_URGENT, after, upto, limit)
        return [*urgent, *self._tickets("events", f"NOT {IS_URGENT}", after, upto, limit - len(urgent))]

    def _tickets(self, table: str, which: str, after: Ticket, upto: Ticket, limit: int) -> list[Ticket]:
        query = f"SELECT ticket FROM {table} WHERE {which} AND ticket > ? AND ticket <= ?"  # noqa: S608 - our own names
        with self._watched():
            found = self._db.execute(f"{query} ORDER BY ticket LIMIT ?", (after, upto, limit))
            return [Ticket(row[0]) for row in found]

    @property
    def waiting(self) -> Waiting:
        counts = self._counts
        return Waiting(
            samples=counts["samples"],
            parcels=counts["parcels"],
            parcel_samples=counts["parcel_samples"],
            events=counts["events"],
            set_aside=counts["set_aside"],
            bytes=bytes_of(self.path),
        )

    # --- what happens to it -------------------------------------------------------------------------------

    def write(self, changes: Changes) -> None:
        """All of it or nothing, durable when this returns. Raises ``OutboxError``."""
        self._require_short_log()
        sequences = changes.sequences or self.sequences
        losses = self.losses + changes.lost
        newest = max(changes.newest_ticket, self.newest_ticket)
        try:
            with self._transaction() as db:
                counts = self._apply(db, changes)
                numbers = (sequences.sample, sequences.event, newest)
                db.execute(_UPDATE_LEDGER, (*numbers, *counts.values(), *losses.by_class().values()))
        except BaseException:
            self._rows.read_again()
            raise
        self._counts, self.losses, self.sequences, self.newest_ticket = counts, losses, sequences, newest
        self.offsets.update(changes.offsets)
        self.fronts.update(changes.fronts)

    def _apply(self, db: sqlite3.Connection, changes: Changes) -> dict[str, int]:
        """Returns what is there then."""
        rows, counts = self._rows, dict(self._counts)
        counts["samples"] += _insert(db, "samples", rows.of_samples(changes.samples))
        counts["parcels"] += _insert(db, "parcels", map(rows.of_parcel, changes.parcels))
        counts["parcel_samples"] += sum(parcel.samples for parcel in changes.parcels)
        counts["events"] += _insert(db, "events", map(rows.of_event, changes.events))
        counts["set_aside"] += _insert(
            db, "set_aside", (aside_row(thing.item, thing.reason) for thing in changes.aside)
        )
        counts["set_aside"] -= _drop_oldest_aside(db, changes.lost.set_aside)
        self._remove(db, changes.leaving, counts)
        counts["samples"] -= _delete(db, "samples", changes.sealed)
        self._note(db, changes)
        return counts

    def _remove(self, db: sqlite3.Connection, leaving: Sequence[Leaving], counts: dict[str, int]) -> None:
        for kind, things in groupby(leaving, lambda thing: kind_of(thing.ticket)):
            some = list(things)
            counts[_TABLES[kind]] -= _delete(db, _TABLES[kind], [thing.ticket for thing in some])
            if kind is Kind.PARCEL:
                counts["parcel_samples"] -= sum(thing.samples for thing in some)

    def _note(self, db: sqlite3.Connection, changes: Changes) -> None:
        for boot_id, offset_s in changes.offsets.items():
            boot = self._rows.boots.number(boot_id)
            db.execute("UPDATE boots SET offset_s = ? WHERE boot = ?", (offset_s, boot))
        for (kind, changed), fronts in changes.fronts.items():
            db.executemany(
                "INSERT OR REPLACE INTO thinned VALUES (?, ?, ?, ?)",
                [(kind, changed, level, upto) for level, upto in enumerate(fronts)],
            )

    # --- its bound ----------------------------------------------------------------------------------------

    def lacks(self, coming: Iterable[Item]) -> int:
        """How many bytes have to be given up before ``coming`` may be written; 0: none."""
        needed = _PAGES_BESIDE + sum(map(_pages, [len(item.body) + ROW_BYTES for item in coming]))
        if needed > self._surely_free:
            self._surely_free = self._free_pages()
        lacking = needed - self._surely_free
        self._surely_free -= needed
        return max(0, int(lacking * PAGE_BYTES))

    def unused_pages(self) -> int:
        """Pages of the database that hold nothing: what comes is put there first."""
        with self._watched():
            return int(scalar(self._db, "PRAGMA freelist_count"))

    def _free_pages(self) -> int:
        with self._watched():
            return self.allowance.database_pages - (self._pages() - self.unused_pages())

    def _pages(self) -> int:
        with self._watched():
            return int(scalar(self._db, "PRAGMA page_count"))

    def newest_but(self, kind: Kind, newer: int) -> Ticket:
        by = "INDEXED BY parcels_by_change" if kind is Kind.PARCEL else ""
        query = f"SELECT ticket FROM {_TABLES[kind]} {by} ORDER BY ticket DESC LIMIT 1 OFFSET ?"  # noqa: S608 - our own names
        with self._watched():
            found = self._db.execute(query, (newer,)).fetchone()
        return Ticket(found[0]) if found else NO_TICKET

    def count(self, kind: Kind) -> int:
        return self._counts[_TABLES[kind]]

    def candidates(self, which: Class, *, after: Ticket, upto: Ticket, limit: int) -> Sequence[Candidate]:
        kind, changed = which
        samples = "samples" if kind is Kind.PARCEL else "1"
        query = (
            f"SELECT ticket, {samples}, length(body) FROM {_TABLES[kind]}"  # noqa: S608 - our own names
            " WHERE changed = ? AND ticket > ? AND ticket <= ? ORDER BY ticket LIMIT ?"
        )
        return self._candidates(query, changed, after, upto, limit)

    def oldest_events(self, limit: int) -> Sequence[Candidate]:
        query = f"SELECT ticket, 0, length(body) FROM events ORDER BY {IS_URGENT}, ticket LIMIT ?"  # noqa: S608 - our own names
        return self._candidates(query, limit)

    def _candidates(self, query: str, *values: object) -> Sequence[Candidate]:
        with self._watched():
            return [
                Candidate(Ticket(ticket), samples, size + ROW_BYTES)
                for ticket, samples, size in self._db.execute(query, values)
            ]

    # --- opening and closing ------------------------------------------------------------------------------

    def tidy(self) -> None:
        """Give a little of what deliveries left unused back to the disk, once that is most of the file."""
        unused = self.unused_pages()
        if unused > _UNUSED_PAGES and 2 * unused > self._pages():
            self._give_back(_GIVEN_BACK_PAGES)

    def shrink(self) -> None:
        """Give back what is beyond the bound, which was larger once, as far as it is unused."""
        while (beyond := self._pages() - self.allowance.database_pages) > 0 and self.unused_pages():
            self._give_back(min(beyond, _GIVEN_BACK_PAGES))

    def _give_back(self, pages: int) -> None:
        with self._watched():
            self._db.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()

    def _require_short_log(self) -> None:
        """The log is begun anew after a checkpoint, unless another process has been reading since before."""
        log = log_of(self.path)
        if size_of(log) <= self.allowance.wal_bytes:
            return
        with self._watched():
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        if 2 * size_of(log) > 3 * self.allowance.wal_bytes:
            raise OutboxFull(self.path, "its log cannot be emptied while another process reads it")

    def begin_log_anew(self) -> None:
        """What comes overwrites the log from its beginning, and it keeps its size. Raises ``OutboxError``."""
        with self._watched():
            self._db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        self._db.close()
        if self._sound:
            self._claim.end_in_good_order()
        self._claim.close()

    def _open(self, *, station_id: str, machine: str) -> None:
        self._db.execute(f"PRAGMA wal_autocheckpoint = {self.allowance.copied_pages}")
        self._db.execute(f"PRAGMA journal_size_limit = {self.allowance.wal_bytes}")
        self._db.execute(f"PRAGMA max_page_count = {self.allowance.database_pages}")
        if self._claim.was_left_open:
            self._look_through()
        with self._transaction() as db:
            self._require_schema(db)
            _require_ledger(db, station_id=station_id, machine=machine)
            _forget_old_boots(db)
        self._rows.read_again()
        self._read_ledger()

    def _require_schema(self, db: sqlite3.Connection) -> None:
        version = schema.version_of(db)
        if version > schema.VERSION:
            raise OutboxTooNew(self.path, version, known=schema.VERSION)
        if version == 0:
            schema.make(db)
        elif version < schema.VERSION:
            raise OutboxOutdated(self.path, version)

    def _look_through(self) -> None:
        found = " ".join(str(scalar(self._db, "PRAGMA quick_check(1)")).split())
        if found != "ok":
            raise OutboxDamaged(self.path, found)

    def _read_ledger(self) -> None:
        (ledger,) = _dicts(self._db.execute("SELECT * FROM ledger"))
        self.stream_id = self._rows.streams.name(ledger["sample_stream"])
        self.event_stream_id = self._rows.streams.name(ledger["event_stream"])
        self.sequences = Sequences(ledger["sample_sequence"], ledger["event_sequence"])
        self.newest_ticket = Ticket(ledger["newest_ticket"])
        self._counts = {name: ledger[name] for name in _COUNTS}
        self.losses = Losses(**{name.removeprefix("lost_"): ledger[name] for name in _LOSSES})
        known = self._db.execute("SELECT boot_id, offset_s FROM boots WHERE offset_s IS NOT NULL")
        self.offsets = dict(known)
        self.fronts = _fronts(self._db)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Damage that shows while at work is looked for, and mended, by whoever opens the file next."""
        try:
            with translated(self.path):
                yield
        except OutboxDamaged:
            self._sound = False
            raise

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and durable at its end."""
        with self._watched():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _item(self, kind: Kind, row: tuple[object, ...]) -> Item:
        match kind:
            case Kind.SAMPLE:
                return self._rows.sample(row)
            case Kind.PARCEL:
                return self._rows.parcel(row, self.fronts)
            case Kind.EVENT:
                return self._rows.event(row)


_UPDATE_LEDGER: Final = f"UPDATE ledger SET {', '.join(f'{name} = ?' for name in _LEDGER)}"  # noqa: S608 - our own names


def _require_ledger(db: sqlite3.Connection, *, station_id: str, machine: str) -> None:
    """Streams belong to this station on this machine; elsewhere the file goes on under new ones."""
    known = db.execute("SELECT station_id, machine FROM ledger").fetchone()
    if known == (station_id, machine):
        return
    streams = [_new_stream(db), _new_stream(db)]
    if known is None:
        zeros = ", 0" * (len(_COUNTS) + len(_LOSSES))
        db.execute(f"INSERT INTO ledger VALUES ('', '', 0, 0, 0, 0, {NO_TICKET}{zeros})")  # noqa: S608 - numbers
    db.execute(
        "UPDATE ledger SET station_id = ?, machine = ?,"
        " sample_stream = ?, sample_sequence = 0, event_stream = ?, event_sequence = 0",
        (station_id, machine, *streams),
    )


def _new_stream(db: sqlite3.Connection) -> int | None:
    return db.execute("INSERT INTO streams (stream_id) VALUES (?)", (uuid4().hex,)).lastrowid


def _forget_old_boots(db: sqlite3.Connection) -> None:
    """Those before the oldest that a row tells of; boots are numbered in their order."""
    oldest = [
        scalar(db, f"SELECT boot FROM {table} ORDER BY ticket LIMIT 1")  # noqa: S608 - our own names
        for table in _TABLES.values()
        if db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()  # noqa: S608 - our own names
    ]
    newest = scalar(db, "SELECT coalesce(max(boot), 0) FROM boots")
    db.execute("DELETE FROM boots WHERE boot < ?", (min([*oldest, newest - _KEPT_BOOTS]),))


def _insert(db: sqlite3.Connection, table: str, rows: Iterable[tuple[object, ...]]) -> int:
    """Returns how many there were.

    SQLite lets go of Python's lock for each statement, so one for many rows spares both this thread and the
    event loop as many hand-overs.
    """
    listed = list(rows)
    if not listed:
        return 0
    row = f"({', '.join('?' * len(listed[0]))})"
    full = len(listed) - len(listed) % _ROWS_AT_ONCE
    for start in range(0, full, _ROWS_AT_ONCE):
        values = list(chain.from_iterable(listed[start : start + _ROWS_AT_ONCE]))
        db.execute(f"INSERT INTO {table} VALUES {', '.join([row] * _ROWS_AT_ONCE)}", values)  # noqa: S608 - our own names
    db.executemany(f"INSERT INTO {table} VALUES {row}", listed[full:])  # noqa: S608 - our own names
    return len(listed)


def _delete(db: sqlite3.Connection, table: str, tickets: Sequence[Ticket]) -> int:
    """Returns how many there were."""
    if not tickets:
        return 0
    delete = f"DELETE FROM {table} WHERE ticket BETWEEN ? AND ?"  # noqa: S608 - our own names
    return db.executemany(delete, _runs(tickets)).rowcount


def _runs(tickets: Sequence[Ticket]) -> Iterator[tuple[Ticket, Ticket]]:
    """The first and the last of those that followed each other without anything between them: a range is
    deleted in a fraction of the time that its rows take one by one."""
    if not tickets:
        return
    if _are_one_run(tickets):
        yield tickets[0], tickets[-1]
        return
    first = last = tickets[0]
    for ticket in tickets[1:]:
        if ticket != last + SERIAL_STEP:
            yield first, last
            first = ticket
        last = ticket
    yield first, last


def _are_one_run(tickets: Sequence[Ticket]) -> bool:
    """What a station stores while nothing else happens; told without a step of Python's for each."""
    ascend = all(map(lt, tickets, islice(tickets, 1, None)))
    return ascend and tickets[-1] - tickets[0] == (len(tickets) - 1) * SERIAL_STEP


def _drop_oldest_aside(db: sqlite3.Connection, count: int) -> int:
    if not count:
        return 0
    oldest = "SELECT ticket FROM set_aside ORDER BY ticket LIMIT ?"
    return db.execute(f"DELETE FROM set_aside WHERE ticket IN ({oldest})", (count,)).rowcount  # noqa: S608 - our own words


def _fronts(db: sqlite3.Connection) -> dict[Class, Sequence[Ticket]]:
    found: dict[Class, list[Ticket]] = {}
    for kind, changed, upto in db.execute("SELECT kind, changed, upto FROM thinned ORDER BY level"):
        found.setdefault((Kind(kind), bool(changed)), []).append(Ticket(upto))
    return dict(found)


def _dicts(cursor: sqlite3.Cursor) -> Iterator[dict[str, Any]]:
    names = [column[0] for column in cursor.description]
    return (dict(zip(names, row, strict=True)) for row in cursor)


def _pages(size: int) -> float:
    """How much of a page a row of ``size`` bytes takes, and how many a long one."""
    return size / _ALONE_BYTES / 2 if size <= _ALONE_BYTES else -(-size // PAGE_BYTES)
