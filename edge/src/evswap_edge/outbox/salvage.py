"""What can still be read of a damaged database: a card that lost power in the middle of a write, or wore out.

SQLite reads a table page by page, in the order of its keys. A page that cannot be read costs the rows on it
and no others: a range of keys that fails is halved until what fails is a single row.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from evswap_edge.outbox.parts import parts_of

_AT_ONCE: Final = 1_000
"""Rows read in one go."""

_TOLD: Final = ("SELECT newest_ticket FROM ledger", "SELECT max(seq) FROM sqlite_sequence")
"""Where a file of this schema, and one of the first, tell how far their keys go."""


def readable_rows(db: sqlite3.Connection, table: str, key: str, columns: Sequence[str]) -> Iterator[Any]:
    """Every row of ``table`` that can be read, in order of its integer ``key``."""
    query = f"SELECT {', '.join(columns)} FROM {table} WHERE {key} BETWEEN ? AND ? ORDER BY {key}"  # noqa: S608 - our own names
    low, high = _bounds(db, table, key)
    for first in range(low, high + 1, _AT_ONCE):
        yield from _halving(db, query, first, min(first + _AT_ONCE - 1, high))


def open_for_reading(path: Path) -> sqlite3.Connection:
    """The database as it is, be it shorter than its header says; nothing of it is changed."""
    db = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
    with suppress(sqlite3.Error):
        # SQLite refuses a file that was cut short, but not to who may repair one (PRAGMA writable_schema).
        db.execute("PRAGMA writable_schema = ON")
    return db


def put_aside(path: Path, now: datetime) -> Path:
    """Give the file and its parts another name, for whoever wants to look into it; returns that name."""
    aside = path.with_name(f"{path.name}.damaged-{now:%Y%m%dT%H%M%SZ}")
    for part, kept in zip(parts_of(path), parts_of(aside), strict=True):
        with suppress(FileNotFoundError):
            part.replace(kept)
    return aside


def _bounds(db: sqlite3.Connection, table: str, key: str) -> tuple[int, int]:
    """The least and the greatest key, as far as that can be read; none at all is an empty range."""
    low = _number(db, f"SELECT min({key}) FROM {table}")  # noqa: S608 - our own names
    high = _number(db, f"SELECT max({key}) FROM {table}")  # noqa: S608 - our own names
    for told in _TOLD:
        if high is None:
            high = _number(db, told)
    return low or 0, -1 if high is None else high


def _number(db: sqlite3.Connection, query: str) -> int | None:
    try:
        with closing(db.execute(query)) as found:
            (number,) = found.fetchone()
    except sqlite3.Error:
        return None
    return number if isinstance(number, int) else None


def _halving(db: sqlite3.Connection, query: str, low: int, high: int) -> Iterator[Any]:
    ranges = [(low, high)]
    while ranges:
        first, last = ranges.pop()
        try:
            rows = db.execute(query, (first, last)).fetchall()
        except sqlite3.Error:
            if first < last:
                middle = (first + last) // 2
                ranges += [(middle + 1, last), (first, middle)]
        else:
            yield from rows
