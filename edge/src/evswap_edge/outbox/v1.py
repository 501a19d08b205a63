"""What has been sampled and not yet delivered, on disk.

A row is one sample. It is durable when ``append`` returns (SQLite in WAL mode, ``synchronous=FULL``) and
stays until ``acknowledge``: a killed process or a power cut loses no sample that was appended. Sequence
numbers only grow, also over deletions and restarts, and belong to a stream: a name that is made with the
file and bound to the machine and to the station. A file that wakes up elsewhere (a cloned SD card, a
renamed station) goes on under a new stream, so two machines never give two samples one name.

A damaged file does not stop a station. It is kept beside the new one under another name, what is readable of
it moves over, and new samples belong to a new stream: how far the old one had counted is not certain any
more.

"""

import fcntl
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from evswap_edge.files import make_durable
from evswap_edge.outbox.errors import OutboxDamaged, OutboxError, OutboxFull, OutboxInUse, OutboxTooNew
from evswap_edge.outbox.machine import machine_name
from evswap_edge.outbox.salvage import open_for_reading, put_aside, readable_rows

_SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE stream (
    stream_id  TEXT NOT NULL,
    station_id TEXT NOT NULL,
    machine    TEXT NOT NULL
) STRICT;
CREATE TABLE boots (
    boot    INTEGER PRIMARY KEY,
    boot_id TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE samples (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    boot     INTEGER NOT NULL REFERENCES boots,
    uptime   REAL NOT NULL,
    body     BLOB NOT NULL
) STRICT;
CREATE TABLE set_aside (
    sequence INTEGER PRIMARY KEY,
    reason   TEXT NOT NULL,
    body     BLOB NOT NULL
) STRICT;
"""
_UNKNOWN_BOOT: Final = "unknown"

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """One stored sample. ``uptime`` is the monotonic time of its ``boot_id`` in seconds when it was
    appended."""

    sequence: int
    boot_id: str
    uptime: float
    body: bytes


class Outbox:
    """A durable queue of samples in one SQLite file. May be used from any thread; calls are done in turn."""

    def __init__(self, path: Path, *, station_id: str, boot_id: str, machine: str) -> None:
        """Open the file, or make it; look through it when it was not closed in good order. Raises
        ``OutboxError``."""
        self.path = path
        self._sound = True
        self._mutex = threading.RLock()
        self._stream_id = ""
        self._boot = 0
        self._last_sequence = 0
        self._depth = 0
        with ExitStack() as undo, _translated(path):
            self._claim = undo.enter_context(closing(_Claim(path)))
            self._db = undo.enter_context(closing(_connect(path)))
            self._open(station_id=station_id, boot_id=boot_id, machine=machine)
            undo.pop_all()

    @classmethod
    def on_this_machine(cls, path: Path, *, station_id: str, boot_id: str) -> "Outbox":
        """Open the file, or make it, for ``station_id`` on this machine; salvage it when it is damaged.
        Raises ``OutboxError``."""

        def opened() -> "Outbox":
            return cls(path, station_id=station_id, boot_id=boot_id, machine=machine_name())

        _finish_salvage(path)
        try:
            return opened()
        except OutboxDamaged as damage:
            _salvage(path, damage)
            return opened()

    @property
    def stream_id(self) -> str:
        """The stream that new samples belong to."""
        return self._stream_id

    @property
    def depth(self) -> int:
        """How many samples wait for delivery."""
        return self._depth

    def append(self, body: Callable[[int], bytes], *, uptime: float) -> int:
        """Store one sample durably and return its sequence number.

        ``body`` gets that number and gives the bytes to store. Raises ``OutboxFull`` or another
        ``OutboxError``; then nothing was stored and the number is not used up.
        """
        with self._mutex:
            sequence = self._last_sequence + 1
            with self._transaction() as db:
                db.execute(
                    "INSERT INTO samples (sequence, boot, uptime, body) VALUES (?, ?, ?, ?)",
                    (sequence, self._boot, uptime, body(sequence)),
                )
            self._last_sequence = sequence
            self._depth += 1
        return sequence

    def pending(self, *, after: int = 0, limit: int) -> list[Row]:
        """The oldest samples beyond sequence number ``after``, in order, at most ``limit`` of them."""
        query = (
            "SELECT sequence, boot_id, uptime, body FROM samples JOIN boots USING (boot)"
            " WHERE sequence > ? ORDER BY sequence LIMIT ?"
        )
        with self._mutex, self._watched():
            return [Row(*columns) for columns in self._db.execute(query, (after, limit))]

    def oldest(self) -> Row | None:
        """The sample that has waited longest, if any waits."""
        return next(iter(self.pending(limit=1)), None)

    def acknowledge(self, sequences: Iterable[int]) -> None:
        """The far side has these samples: forget them, in one transaction. Numbers that are not there are
        ignored."""
        with self._mutex:
            with self._transaction() as db:
                gone = _delete(db, sequences)
            self._depth -= gone

    def set_aside(self, sequences: Iterable[int], reason: str) -> None:
        """These samples can never be delivered: keep them for a technician, out of the way of the others."""
        numbers = list(sequences)
        with self._mutex:
            with self._transaction() as db:
                db.executemany(
                    "INSERT OR REPLACE INTO set_aside"
                    " SELECT sequence, ?, body FROM samples WHERE sequence = ?",
                    ((reason, number) for number in numbers),
                )
                gone = _delete(db, numbers)
            self._depth -= gone

    def aside(self) -> list[tuple[int, str]]:
        """The samples that were set aside: sequence number and reason."""
        with self._mutex, self._watched():
            return list(self._db.execute("SELECT sequence, reason FROM set_aside ORDER BY sequence"))

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        with self._mutex:
            self._db.close()
            if self._sound:
                self._claim.end_in_good_order()
            self._claim.close()

    def _open(self, *, station_id: str, boot_id: str, machine: str) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        if self._claim.was_left_open:
            self._look_through()
        with self._transaction() as db:
            self._require_schema(db)
            self._stream_id = _stream(db, station_id=station_id, machine=machine)
            db.execute("INSERT OR IGNORE INTO boots (boot_id) VALUES (?)", (boot_id,))
            self._boot = int(_scalar(db, "SELECT boot FROM boots WHERE boot_id = ?", boot_id))
            self._last_sequence = int(_scalar(db, "SELECT coalesce(max(seq), 0) FROM sqlite_sequence"))
            self._depth = int(_scalar(db, "SELECT count(*) FROM samples"))

    def _require_schema(self, db: sqlite3.Connection) -> None:
        version = int(_scalar(db, "PRAGMA user_version"))
        if version > _SCHEMA_VERSION:
            raise OutboxTooNew(self.path, version, known=_SCHEMA_VERSION)
        if version == 0:
            _make_schema(db)

    def _look_through(self) -> None:
        found = " ".join(str(_scalar(self._db, "PRAGMA quick_check(1)")).split())
        if found != "ok":
            raise OutboxDamaged(self.path, found)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Damage that shows while at work is looked for, and mended, by whoever opens the file next."""
        try:
            with _translated(self.path):
                yield
        except OutboxDamaged:
            self._sound = False
            raise

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and durable at its end."""
        with self._mutex, self._watched():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False)


class _Claim:
    """The right to use the file, held until closed or until the process ends, however it ends (flock(2)).

    The file has the process id of its holder in it until that ends in good order. It stands beside the
    database: opening the database itself a second time and closing it
    again would drop SQLite's own locks (https://sqlite.org/howtocorrupt.html, 2.2).
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.with_name(f"{path.name}.lock").open("a+", encoding="ascii")
        except OSError as error:
            raise OutboxFull(path, f"cannot write beside it: {error}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read().strip()
            self._file.close()
            raise OutboxInUse(path, holder) from None
        self._file.seek(0)
        self.was_left_open = bool(self._file.read())
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def end_in_good_order(self) -> None:
        """There is nothing to be looked through by the next one."""
        if not self._file.closed:
            self._file.truncate(0)

    def close(self) -> None:
        self._file.close()


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """SQLite's errors as ours. Misuse of the library (a closed connection) stays what it is."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code is None:
            raise
        raise _MEANING.get(code & 0xFF, OutboxError)(path, f"{error} ({error.sqlite_errorname})") from error


_MEANING: Final[dict[int, type[OutboxError]]] = {
    sqlite3.SQLITE_FULL: OutboxFull,
    sqlite3.SQLITE_READONLY: OutboxFull,
    sqlite3.SQLITE_CANTOPEN: OutboxFull,
    sqlite3.SQLITE_CORRUPT: OutboxDamaged,
    sqlite3.SQLITE_NOTADB: OutboxDamaged,
}
"""By SQLite's primary result code, the low byte (https://sqlite.org/rescode.html)."""


def _salvage(path: Path, damage: OutboxDamaged) -> None:
    """Put an outbox with all that is readable in the place of a damaged one, which is kept.

    Killed half-way, it is begun again or, once the new file is whole, finished by ``_finish_salvage``.
    """
    draft, whole = path.with_name(f"{path.name}.salvaging"), _salvaged(path)
    draft.unlink(missing_ok=True)
    with _translated(draft), closing(_connect(draft)) as new, closing(open_for_reading(path)) as old:
        saved = _copy_readable(old, new)
    make_durable(draft)
    draft.replace(whole)
    aside = put_aside(path, datetime.now(UTC))
    _finish_salvage(path)
    _log.error("%s; %d samples were saved, the damaged file is kept: %s", damage, saved, aside)


def _salvaged(path: Path) -> Path:
    return path.with_name(f"{path.name}.salvaged")


def _finish_salvage(path: Path) -> None:
    whole = _salvaged(path)
    if whole.exists() and not path.exists():
        whole.replace(path)
        make_durable(path)


def _copy_readable(old: sqlite3.Connection, new: sqlite3.Connection) -> int:
    """Everything but the stream: whoever opens the copy begins a new one. Returns how many samples there
    are."""
    boots = dict(readable_rows(old, "boots", "boot", ("boot", "boot_id")))
    new.execute("BEGIN")
    _make_schema(new)
    new.executemany("INSERT INTO boots VALUES (?, ?)", boots.items())
    saved = 0
    for sequence, boot, uptime, body in readable_rows(
        old, "samples", "sequence", ("sequence", "boot", "uptime", "body")
    ):
        if boot not in boots:
            boots[boot] = f"{_UNKNOWN_BOOT}-{boot}"
            new.execute("INSERT INTO boots VALUES (?, ?)", (boot, boots[boot]))
        new.execute("INSERT INTO samples VALUES (?, ?, ?, ?)", (sequence, boot, uptime, body))
        saved += 1
    aside = readable_rows(old, "set_aside", "sequence", ("sequence", "reason", "body"))
    new.executemany("INSERT INTO set_aside VALUES (?, ?, ?)", aside)
    new.execute("COMMIT")
    return saved


def _make_schema(db: sqlite3.Connection) -> None:
    for statement in _SCHEMA.split(";\n"):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")


def _stream(db: sqlite3.Connection, *, station_id: str, machine: str) -> str:
    """The stream of this station on this machine, new when the file has been neither's."""
    known = db.execute(
        "SELECT stream_id FROM stream WHERE (station_id, machine) = (?, ?)", (station_id, machine)
    )
    if row := known.fetchone():
        return str(row[0])
    stream_id = uuid4().hex
    db.execute("DELETE FROM stream")
    db.execute("INSERT INTO stream VALUES (?, ?, ?)", (stream_id, station_id, machine))
    return stream_id


def _delete(db: sqlite3.Connection, sequences: Iterable[int]) -> int:
    """Delete samples; returns how many there were."""
    deleted = db.executemany("DELETE FROM samples WHERE sequence = ?", ((number,) for number in sequences))
    return deleted.rowcount


def _scalar(db: sqlite3.Connection, query: str, *values: object) -> Any:
    return db.execute(query, values).fetchone()[0]
