"""What became of each command, durable before and after anything moves.

A command is written down before it is begun, and its result when that is known; nothing is begun that stands
here already. So a command is done once at most, whatever is delivered twice and whenever the power goes: one
that stands here without a result was under way when the process ended.

    JournalError          path
    ├── JournalUnusable   the disk takes nothing at the moment, or a later version of this program wrote it
    └── JournalCrowded    it holds as many commands as it may, and none of them can go yet
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from evswap_edge.outbox.salvage import put_aside
from evswap_schema import Command, CommandResult, decode_command, decode_result, encode_command, encode_result

MAX_COMMANDS: Final = 10_000
"""About 6 MB. A station gets some hundred a day."""

KEPT: Final = timedelta(days=7)
"""How long after its expiry a command that was answered stays: until then whoever asks again gets the same
answer, and after it the command is expired in any case."""

_SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE commands (
    number     INTEGER PRIMARY KEY,
    command_id TEXT NOT NULL UNIQUE,
    command    BLOB,
    expires_at REAL NOT NULL,
    result     BLOB,
    told       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX untold ON commands (number) WHERE told = 0;
CREATE TABLE journal (
    station_id TEXT NOT NULL,
    begun_at   REAL
) STRICT
"""
_DAMAGE: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_RESULT_OF: Final = "SELECT result FROM commands WHERE command_id = ?"
_PRAGMAS: Final = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "wal_autocheckpoint = 64",
    "journal_size_limit = 262144",
    "cache_size = -64",
)


class JournalError(Exception):
    """The root of everything that a journal raises. ``path`` is its file."""

    def __init__(self, path: Path, message: str) -> None:
        self.path = path
        super().__init__(f"journal of commands {path}: {message}")


class JournalUnusable(JournalError):
    """Nothing can be read or written: the disk is full, or read-only, or fails; or the file is a later
    version's."""


class JournalCrowded(JournalError):
    """``MAX_COMMANDS`` are there and none of them can go: they are not expired, or not answered."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A command that is known. ``result`` is None while it is under way."""

    command_id: str
    result: CommandResult | None


class Journal:
    """The commands of one station in one SQLite file. May be used from any thread; calls are done in turn.

    All of it may raise ``JournalError``; then nothing was changed.
    """

    def __init__(self, outbox: Path, *, station_id: str) -> None:
        """Beside ``outbox``. Nothing is opened, or made, before it is needed: few of a fleet ever get
        a command."""
        self.path = outbox.with_name(f"{outbox.name}.commands")
        self._station_id = station_id
        self._mutex = threading.RLock()
        self._opened: sqlite3.Connection | None = None
        self.damaged: Path | None = None
        """Where the file before this one was put, if it was damaged."""

    def find(self, command_id: str) -> Entry | None:
        """What is known of a command."""
        if not self._exists:
            return None
        rows = self._rows(_RESULT_OF, command_id)
        if not rows:
            return None
        ((body,),) = rows
        return Entry(command_id, None if body is None else decode_result(body))

    def begin(self, command: Command) -> None:
        """Write down that ``command`` is about to be done. It stands on the disk when this returns."""
        with self._transaction() as db:
            self._insert(db, command.command_id, command.expires_at, command=encode_command(command))

    def finish(self, result: CommandResult, *, expires_at: datetime) -> CommandResult:
        """Write down the result of a command, which may have been begun or not. Returns the one that stands:
        the first."""
        with self._transaction() as db:
            known = db.execute(_RESULT_OF, (result.command_id,)).fetchone()
            if known is None:
                self._insert(db, result.command_id, expires_at, result=encode_result(result))
                return result
            if known[0] is None:
                query = "UPDATE commands SET result = ?, told = 0 WHERE command_id = ?"
                db.execute(query, (encode_result(result), result.command_id))
                return result
            return decode_result(known[0])

    def unfinished(self) -> list[Command]:
        """The commands that were under way when the process before this one ended, in the order in which they
        were begun."""
        if not self._exists:
            return []
        query = "SELECT command FROM commands WHERE result IS NULL ORDER BY number"
        return [decode_command(body) for (body,) in self._rows(query)]

    def untold(self, limit: int) -> list[CommandResult]:
        """The oldest results that nobody has taken yet."""
        if not self._exists:
            return []
        query = "SELECT result FROM commands WHERE told = 0 AND result IS NOT NULL ORDER BY number LIMIT ?"
        return [decode_result(body) for (body,) in self._rows(query, limit)]

    def mark(self, command_id: str, *, told: bool) -> None:
        """The result was taken, or is to be told once more."""
        with self._transaction() as db:
            db.execute("UPDATE commands SET told = ? WHERE command_id = ?", (told, command_id))

    def forget(self, now: datetime, *, kept: timedelta = KEPT) -> int:
        """Forget the commands that were answered and have been expired for as long as they are ``kept``;
        returns how many."""
        if not self._exists:
            return 0
        with self._transaction() as db:
            query = "DELETE FROM commands WHERE told AND result IS NOT NULL AND expires_at < ?"
            return db.execute(query, ((now - kept).timestamp(),)).rowcount

    @property
    def begun_at(self) -> datetime | None:
        """What was issued before that may have been done already: the file that knew is damaged. None: this
        is the first one."""
        if not self._exists:
            return None
        ((moment,),) = self._rows("SELECT begun_at FROM journal")
        return None if moment is None else datetime.fromtimestamp(moment, UTC)

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        with self._mutex:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    # --- inside -------------------------------------------------------------------------------------------

    @property
    def _exists(self) -> bool:
        return self._opened is not None or self.path.exists()

    def _insert(
        self,
        db: sqlite3.Connection,
        command_id: str,
        expires_at: datetime,
        *,
        command: bytes | None = None,
        result: bytes | None = None,
    ) -> None:
        (known,) = db.execute("SELECT count(*) FROM commands").fetchone()
        if known >= MAX_COMMANDS:
            raise JournalCrowded(self.path, f"holds {known} commands that cannot go yet")
        db.execute(
            "INSERT INTO commands (command_id, command, expires_at, result) VALUES (?, ?, ?, ?)",
            (command_id, command, expires_at.timestamp(), result),
        )

    def _rows(self, query: str, *values: object) -> list[Any]:
        with self._mutex, self._translated():
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
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

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise  # a bug: a command was begun twice
        except sqlite3.Error as error:
            raise JournalUnusable(self.path, str(error)) from error

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
        if version > _SCHEMA_VERSION:
            raise JournalUnusable(self.path, f"has schema {version}, a later version's; update the program")

    def _make_ours(self, db: sqlite3.Connection, begun_at: datetime | None) -> None:
        """The tables where there are none; what another station left in them (a copied card) is nothing to
        this one."""
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'journal'").fetchone():
            for statement in _SCHEMA.split(";\n"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            moment = None if begun_at is None else begun_at.timestamp()
            db.execute("INSERT INTO journal VALUES (?, ?)", (self._station_id, moment))
        elif not db.execute("SELECT 1 FROM journal WHERE station_id = ?", (self._station_id,)).fetchone():
            db.execute("DELETE FROM commands")
            db.execute("UPDATE journal SET station_id = ?, begun_at = NULL", (self._station_id,))
