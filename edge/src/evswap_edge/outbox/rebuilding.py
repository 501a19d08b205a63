"""A new file from what is readable of an old one, of this schema or of the first."""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from evswap_edge.clock import Stamp
from evswap_edge.outbox import schema
from evswap_edge.outbox.records import Kind, Losses, Sample, ticket_of
from evswap_edge.outbox.rows import Rows, aside_row
from evswap_edge.outbox.salvage import readable_rows
from evswap_edge.outbox.schema import scalar
from evswap_schema import Clock, Reading, SchemaError, decode_reading

_COPIED: Final[Mapping[str, str]] = {
    "streams": "stream",
    "boots": "boot",
    "samples": "ticket",
    "parcels": "ticket",
    "events": "ticket",
    "set_aside": "ticket",
}
"""The tables of this schema, each with its key."""


def rebuild(old: sqlite3.Connection, draft: Path, *, keep_streams: bool) -> int:
    """Make the file ``draft``; with ``keep_streams`` it goes on counting where ``old`` was. Returns how many
    samples it has.

    Nothing is durable before the caller sees to that. Raises ``sqlite3.Error``.
    """
    with closing(_made(draft)) as new:
        new.execute("BEGIN")
        schema.make(new)
        if _is_first(old):
            _convert(old, new, keep_streams=keep_streams)
        else:
            _copy(old, new)
        new.execute("COMMIT")
        return int(scalar(new, "SELECT samples + parcel_samples FROM ledger"))


def _made(draft: Path) -> sqlite3.Connection:
    """Without a journal: a draft that is not finished is thrown away."""
    db = sqlite3.connect(draft, isolation_level=None)
    for pragma in (*schema.LAYOUT, "journal_mode = OFF", "synchronous = OFF"):
        db.execute(f"PRAGMA {pragma}")
    return db


def _columns(db: sqlite3.Connection, table: str) -> list[str]:
    try:
        return [name for (name,) in db.execute("SELECT name FROM pragma_table_info(?)", (table,))]
    except sqlite3.Error:
        return []


def _is_first(old: sqlite3.Connection) -> bool:
    return "ticket" not in _columns(old, "samples")


def _copy(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
    for table, key in _COPIED.items():
        columns = _columns(new, table)
        marks = ", ".join("?" * len(columns))
        new.executemany(f"INSERT INTO {table} VALUES ({marks})", readable_rows(old, table, key, columns))  # noqa: S608 - our own names
    new.executemany("INSERT INTO thinned VALUES (?, ?, ?, ?)", _all(old, "SELECT * FROM thinned"))
    lost = next(iter(_all(old, f"SELECT {', '.join(_LOST)} FROM ledger")), (0,) * len(_LOST))  # noqa: S608 - our own names
    _write_ledger(new, lost=lost)


def _all(db: sqlite3.Connection, query: str) -> list[tuple[Any, ...]]:
    """Nothing where it cannot be read."""
    try:
        return db.execute(query).fetchall()
    except sqlite3.Error:
        return []


def _convert(old: sqlite3.Connection, new: sqlite3.Connection, *, keep_streams: bool) -> None:
    """The first schema had one table of samples, and no stamps but in the samples themselves."""
    boots = dict(readable_rows(old, "boots", "boot", ("boot", "boot_id")))
    stream_id, station_id, machine = next(
        iter(_all(old, "SELECT stream_id, station_id, machine FROM stream")), (uuid4().hex, "", "")
    )
    rows = Rows(new)
    columns = ("sequence", "boot", "uptime", "body")
    serials = count()
    samples = (
        _sample(
            next(serials),
            sequence,
            uptime,
            body,
            boot_id=boots.get(boot, f"unknown-{boot}"),
            stream_id=stream_id,
        )
        for sequence, boot, uptime, body in readable_rows(old, "samples", "sequence", columns)
    )
    for row in rows.of_samples(samples):
        new.execute("INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    aside = readable_rows(old, "set_aside", "sequence", ("sequence", "reason", "body"))
    for sequence, reason, body in aside:
        sample = _sample(next(serials), sequence, 0.0, body, boot_id="", stream_id=stream_id)
        new.execute("INSERT INTO set_aside VALUES (?, ?, ?, ?, ?, ?, ?, ?)", aside_row(sample, reason))
    if keep_streams:
        last = _all(old, "SELECT seq FROM sqlite_sequence WHERE name = 'samples'")
        own = (station_id, machine, rows.streams.number(stream_id), last[0][0] if last else 0)
        _write_ledger(new, own=(*own, rows.streams.number(uuid4().hex), 0))
    else:
        _write_ledger(new)


def _sample(
    serial: int, sequence: int, uptime: float, body: bytes, *, boot_id: str, stream_id: str
) -> Sample:
    """What cannot be read as a reading is kept as it is: the far side judges it."""
    reading = _reading(body)
    if reading is None:
        stamp = Stamp(boot_id, uptime, 0.0, Clock.ESTIMATED)
    else:
        offset_s = reading.timestamp.timestamp() - uptime
        stamp = Stamp(boot_id, uptime, offset_s, reading.clock or Clock.ESTIMATED)
        stream_id = reading.stream_id or stream_id
    ticket = ticket_of(serial, Kind.SAMPLE)
    return Sample(
        ticket=ticket, stream_id=stream_id, sequence=sequence, stamp=stamp, changed=False, body=body
    )


def _reading(body: bytes) -> Reading | None:
    try:
        return decode_reading(body)
    except SchemaError:
        return None


def _write_ledger(
    new: sqlite3.Connection, *, own: tuple[Any, ...] = ("", "", 0, 0, 0, 0), lost: Iterable[int] = ()
) -> None:
    """Counts are counted again. Without ``own`` streams, whoever opens the file makes new ones."""
    newest = max(int(scalar(new, f"SELECT coalesce(max(ticket), -1) FROM {table}")) for table in _KEPT)  # noqa: S608 - our own names
    counts = [int(scalar(new, query)) for query in _COUNTS]
    losses = list(lost) or [0] * len(_LOST)
    values = (*own, newest, *counts, *losses)
    new.execute(f"INSERT INTO ledger VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608 - question marks


_KEPT: Final = ("samples", "parcels", "events", "set_aside")
_LOST: Final = tuple(f"lost_{name}" for name in Losses.__struct_fields__)
_COUNTS: Final = (
    "SELECT count(*) FROM samples",
    "SELECT count(*) FROM parcels",
    "SELECT coalesce(sum(samples), 0) FROM parcels",
    "SELECT count(*) FROM events",
    "SELECT count(*) FROM set_aside",
)
"""In the order of the ledger's columns."""
