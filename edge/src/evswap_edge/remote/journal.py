"""What became of each command, durable before and after anything moves.

A command is written down before it is begun, and its result when that is known; nothing is begun that stands
here already. So a command is done once at most, whatever is delivered twice and whenever the power goes: one
that stands here without a result was under way when the process ended.

    JournalError          path
    ├── JournalUnusable   the disk takes nothing at the moment, or a later version of this program wrote it
    └── JournalCrowded    it holds as many commands as it may, and none of them can go yet
"""

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from evswap_edge.outbox.notebook import Notebook
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
CREATE INDEX untold ON commands (number) WHERE told = 0
"""
_RESULT_OF: Final = "SELECT result FROM commands WHERE command_id = ?"


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
        self._book = Notebook(
            outbox.with_name(f"{outbox.name}.commands"),
            station_id=station_id,
            tables=_SCHEMA,
            version=_SCHEMA_VERSION,
            unusable=JournalUnusable,
        )

    @property
    def path(self) -> Path:
        """The file."""
        return self._book.path

    @property
    def damaged(self) -> Path | None:
        """Where the file before this one was put, if it was damaged."""
        return self._book.damaged

    def find(self, command_id: str) -> Entry | None:
        """What is known of a command."""
        if not self._book.exists:
            return None
        rows = self._book.rows(_RESULT_OF, command_id)
        if not rows:
            return None
        ((body,),) = rows
        return Entry(command_id, None if body is None else decode_result(body))

    def begin(self, command: Command) -> None:
        """Write down that ``command`` is about to be done. It stands on the disk when this returns."""
        with self._book.transaction() as db:
            self._insert(db, command.command_id, command.expires_at, command=encode_command(command))

    def finish(self, result: CommandResult, *, expires_at: datetime) -> CommandResult:
        """Write down the result of a command, which may have been begun or not. Returns the one that stands:
        the first."""
        with self._book.transaction() as db:
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
        if not self._book.exists:
            return []
        query = "SELECT command FROM commands WHERE result IS NULL ORDER BY number"
        return [decode_command(body) for (body,) in self._book.rows(query)]

    def untold(self, limit: int) -> list[CommandResult]:
        """The oldest results that nobody has taken yet."""
        if not self._book.exists:
            return []
        query = "SELECT result FROM commands WHERE told = 0 AND result IS NOT NULL ORDER BY number LIMIT ?"
        return [decode_result(body) for (body,) in self._book.rows(query, limit)]

    def mark(self, command_id: str, *, told: bool) -> None:
        """The result was taken, or is to be told once more."""
        with self._book.transaction() as db:
            db.execute("UPDATE commands SET told = ? WHERE command_id = ?", (told, command_id))

    def forget(self, now: datetime, *, kept: timedelta = KEPT) -> int:
        """Forget the commands that were answered and have been expired for as long as they are ``kept``;
        returns how many."""
        if not self._book.exists:
            return 0
        with self._book.transaction() as db:
            query = "DELETE FROM commands WHERE told AND result IS NOT NULL AND expires_at < ?"
            return db.execute(query, ((now - kept).timestamp(),)).rowcount

    @property
    def begun_at(self) -> datetime | None:
        """What was issued before that may have been done already: the file that knew is damaged. None: this
        is the first one."""
        return self._book.begun_at

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        self._book.close()

    # --- inside -------------------------------------------------------------------------------------------

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
