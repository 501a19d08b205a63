"""The tables of an outbox, and the pragmas that they live under."""

import sqlite3
from pathlib import Path
from typing import Any, Final

from evswap_edge.outbox.records import IS_URGENT, Bounds

VERSION: Final = 2
PAGE_BYTES: Final = 4096
ROW_BYTES: Final = 64
"""What a row takes beside its body, generously."""

TABLES: Final = f"""
CREATE TABLE ledger (
    station_id        TEXT NOT NULL,
    machine           TEXT NOT NULL,
    sample_stream     INTEGER NOT NULL REFERENCES streams,
    sample_sequence   INTEGER NOT NULL,
    event_stream      INTEGER NOT NULL REFERENCES streams,
    event_sequence    INTEGER NOT NULL,
    newest_ticket     INTEGER NOT NULL,
    samples           INTEGER NOT NULL,
    parcels           INTEGER NOT NULL,
    parcel_samples    INTEGER NOT NULL,
    events            INTEGER NOT NULL,
    set_aside         INTEGER NOT NULL,
    lost_samples      INTEGER NOT NULL,
    lost_events       INTEGER NOT NULL,
    lost_volatile     INTEGER NOT NULL,
    lost_set_aside    INTEGER NOT NULL
) STRICT;
CREATE TABLE streams (
    stream    INTEGER PRIMARY KEY,
    stream_id TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE boots (
    boot     INTEGER PRIMARY KEY,
    boot_id  TEXT NOT NULL UNIQUE,
    offset_s REAL
) STRICT;
CREATE TABLE samples (
    ticket   INTEGER PRIMARY KEY,
    stream   INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    boot     INTEGER NOT NULL,
    uptime   REAL NOT NULL,
    offset_s REAL NOT NULL,
    clock    TEXT NOT NULL,
    changed  INTEGER NOT NULL,
    deflated INTEGER NOT NULL,
    body     BLOB NOT NULL
) STRICT;
CREATE TABLE parcels (
    ticket      INTEGER PRIMARY KEY,
    stream      INTEGER NOT NULL,
    first       INTEGER NOT NULL,
    last        INTEGER NOT NULL,
    samples     INTEGER NOT NULL,
    boot        INTEGER NOT NULL,
    uptime      REAL NOT NULL,
    last_uptime REAL NOT NULL,
    offset_s    REAL NOT NULL,
    clock       TEXT NOT NULL,
    changed     INTEGER NOT NULL,
    body        BLOB NOT NULL
) STRICT;
CREATE INDEX parcels_by_change ON parcels (changed);
CREATE TABLE events (
    ticket   INTEGER PRIMARY KEY,
    stream   INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    boot     INTEGER NOT NULL,
    uptime   REAL NOT NULL,
    offset_s REAL NOT NULL,
    clock    TEXT NOT NULL,
    body     BLOB NOT NULL
) STRICT;
CREATE INDEX urgent_events ON events (ticket) WHERE {IS_URGENT};
CREATE TABLE set_aside (
    ticket    INTEGER PRIMARY KEY,
    kind      INTEGER NOT NULL,
    stream_id TEXT NOT NULL,
    first     INTEGER NOT NULL,
    last      INTEGER NOT NULL,
    samples   INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    body      BLOB NOT NULL
) STRICT;
CREATE TABLE thinned (
    kind    INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    level   INTEGER NOT NULL,
    upto    INTEGER NOT NULL,
    PRIMARY KEY (kind, changed, level)
) STRICT, WITHOUT ROWID;
"""


class Allowance:
    """How the bytes that an outbox may take are shared out between SQLite's files.

    The log may hold ``wal_bytes`` before it is begun anew, and while a transaction is written as much again;
    the rest is for the database. What is new in a transaction takes ``transaction_bytes`` at most, and on a
    disk that is full ``careful_bytes``: there it has to find its place in the log as it is. Once the next
    transaction may not fit any more, after ``copied_pages``, the log is copied into the database: no sooner,
    as the disk is waited for each time, and what was written twice by then is copied once. The reserve has
    room for what that may add to the database, where the disk is full. Shared memory takes 32 KiB for the
    first 4,062 pages of a log.
    """

    _MOST_WAL_BYTES: Final = 1024 * 1024
    _WAL_SHARE: Final = 8
    _MOST_IN_A_TRANSACTION: Final = 256 * 1024
    _SHM_BYTES: Final = 32 * 1024
    _FRAME_BYTES: Final = PAGE_BYTES + 24

    def __init__(self, bounds: Bounds) -> None:
        self.wal_bytes = min(self._MOST_WAL_BYTES, bounds.max_bytes // self._WAL_SHARE)
        for_database = bounds.max_bytes - 2 * self.wal_bytes - self._SHM_BYTES
        self.database_pages = for_database // PAGE_BYTES
        self.reserve_bytes = self.wal_bytes + self._SHM_BYTES
        self.transaction_bytes = min(self._MOST_IN_A_TRANSACTION, self.wal_bytes // 2)
        self.careful_bytes = self.transaction_bytes // 2
        self.copied_pages = (self.wal_bytes - self.transaction_bytes) // self._FRAME_BYTES


_PATIENCE_S: Final = 1.0
"""How long to wait for another process, which can only be one that reads."""


def connect(path: Path) -> sqlite3.Connection:
    """Open or make the file; every commit is durable."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_PATIENCE_S)
    try:
        for pragma in _PRAGMAS:
            db.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        db.close()
        raise
    return db


LAYOUT: Final = (f"page_size = {PAGE_BYTES}", "auto_vacuum = INCREMENTAL")
"""How a file is laid out; has to be said before its first table is made."""

_PRAGMAS: Final = (
    *LAYOUT,
    "journal_mode = WAL",
    "synchronous = FULL",
    "secure_delete = OFF",  # some builds would write zeros over what is deleted
    "cache_size = -512",
    "temp_store = MEMORY",
)


def make(db: sqlite3.Connection) -> None:
    """Make the tables, empty."""
    for statement in TABLES.split(";\n"):
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {VERSION}")


def version_of(db: sqlite3.Connection) -> int:
    """0 for a file that was just made."""
    return int(scalar(db, "PRAGMA user_version"))


def scalar(db: sqlite3.Connection, query: str, *values: object) -> Any:
    """The one value that ``query`` asks for."""
    return db.execute(query, values).fetchone()[0]
