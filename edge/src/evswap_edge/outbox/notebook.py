"""A small SQLite file beside the outbox, in which a station remembers something of its own.

Nothing is opened, or made, before it is needed. A file that is damaged is put aside and begun anew; what
another station left in it, on a card that was copied, is nothing to this one.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from evswap_edge.outbox.salvage import put_aside

_DAMAGE: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PRAGMAS: Final = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "wal_autocheckpoint = 64",
    "journal_size_limit = 262144",
    "cache_size = -64",
)
_OWNER: Final = "CREATE TABLE journal (station_id TEXT NOT NULL, begun_at REAL) STRICT"


class Notebook:
    """One file, for any thread; calls are done in turn. All of them raise what ``unusable`` makes of the
    path and a reason when the disk takes nothing, or a later version of this program wrote the file."""

    def __init__(
        self,
        path: Path,
        *,
        station_id: str,
        tables: str,
        version: int,
        unusable: Callable[[Path, str], Exception],
    ) -> None:
        """``tables`` are CREATE statements with a semicolon and a line break between them."""
        self.path = path
        self.damaged: Path | None = None
        """Where the file before this one was put, if it was damaged."""
        self._station_id = station_id
        self._tables = tuple(statement for statement in tables.strip().split(";\n") if statement)
        self._version = version
        self._unusable = unusable
        self._mutex = threading.RLock()
        self._opened: sqlite3.Connection | None = None

    @property
    def exists(self) -> bool:
        """Whether anything was ever written into it."""
        return self._opened is not None or self.path.exists()

    @property
    def begun_at(self) -> datetime | None:
        """When it was begun in the place of one that was damaged. None: this is the first one."""
        if not self.exists:
            return None
        ((moment,),) = self.rows("SELECT begun_at FROM journal")
        return None if moment is None else datetime.fromtimestamp(moment, UTC)

    def rows(self, query: str, *values: object) -> list[Any]:
        """What ``query`` finds."""
        with self._mutex, self._translated():
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and durable at its end."""
        with self._mutex, self._translated():
            db = self._db
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        with self._mutex:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise  # a bug: something was begun twice
        except sqlite3.Error as error:
            raise self._unusable(self.path, str(error)) from error

    @property
    def _db(self) -> sqlite3.Connection:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connected(begun_at=None)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGE:
                raise
        now = datetime.now(UTC)
        self.damaged = put_aside(self.path, now)
        return self._connected(begun_at=now)

    def _connected(self, *, begun_at: datetime | None) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            for pragma in _PRAGMAS:
                db.execute(f"PRAGMA {pragma}")
            db.execute("BEGIN IMMEDIATE")
            self._look_through(db)
            self._make_ours(db, begun_at)
            db.execute("COMMIT")
        except BaseException:
            db.close()
            raise
        return db

    def _look_through(self, db: sqlite3.Connection) -> None:
        (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            damage = sqlite3.DatabaseError(found)
            damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise damage
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > self._version:
            reason = f"has schema {version}, a later version's; update the program"
            raise self._unusable(self.path, reason)

    def _make_ours(self, db: sqlite3.Connection, begun_at: datetime | None) -> None:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'journal'").fetchone():
            for statement in (*self._tables, _OWNER):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {self._version}")
            moment = None if begun_at is None else begun_at.timestamp()
            db.execute("INSERT INTO journal VALUES (?, ?)", (self._station_id, moment))
        elif not db.execute("SELECT 1 FROM journal WHERE station_id = ?", (self._station_id,)).fetchone():
            self._forget_the_others(db)

    def _forget_the_others(self, db: sqlite3.Connection) -> None:
        named = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        for (name,) in db.execute(named).fetchall():
            if name != "journal":
                db.execute(f"DELETE FROM {name}")  # noqa: S608 - a table of ours
        db.execute("UPDATE journal SET station_id = ?, begun_at = NULL", (self._station_id,))
