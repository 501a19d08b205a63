"""What a technician may do to an outbox: look at it and copy what waits, beside a running station, and give
unused room back to the disk, when none is running.

Looking changes nothing. It reads in short steps: while somebody reads, SQLite cannot begin its log anew.
"""

import base64
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from msgspec import Struct

from evswap_edge.clock import Stamp
from evswap_edge.outbox import schema
from evswap_edge.outbox.claim import Claim, holder_of
from evswap_edge.outbox.errors import OutboxError, OutboxOutdated, OutboxTooNew, translated
from evswap_edge.outbox.parts import bytes_of
from evswap_edge.outbox.records import Losses, Parcel, Sample, StoredEvent
from evswap_edge.outbox.rows import Row, Rows
from evswap_edge.outbox.thinning import NO_TICKET
from evswap_schema import SchemaError, decode_batch, encode_reading

_AT_ONCE: Final = 200
_PATIENCE_S: Final = 5.0
_PAGES_AT_ONCE: Final = 64
_WAITING: Final = ("events", "parcels", "samples")


class Report(Struct, frozen=True, kw_only=True):
    """How an outbox stands. ``oldest`` is when the oldest that waits was taken, by the clock as it stood;
    ``in_use_by`` the process id of a running station, if there is one."""

    path: str
    in_use_by: int | None
    station_id: str
    stream_id: str
    last_sequence: int
    samples: int
    parcels: int
    parcel_samples: int
    events: int
    set_aside: int
    lost: Losses
    oldest: datetime | None
    bytes: int
    unused_bytes: int


class Freed(Struct, frozen=True, kw_only=True):
    """What the files of an outbox took, and take now."""

    before: int
    after: int


def inspect(path: Path) -> Report:
    """How the outbox at ``path`` stands. Raises ``OutboxError``."""
    with _reading(path) as db:
        db.row_factory = sqlite3.Row
        ledger = db.execute("SELECT * FROM ledger JOIN streams ON stream = sample_stream").fetchone()
        return Report(
            path=str(path),
            in_use_by=holder_of(path),
            station_id=ledger["station_id"],
            stream_id=ledger["stream_id"],
            last_sequence=ledger["sample_sequence"],
            samples=ledger["samples"],
            parcels=ledger["parcels"],
            parcel_samples=ledger["parcel_samples"],
            events=ledger["events"],
            set_aside=ledger["set_aside"],
            lost=Losses(**{name: ledger[f"lost_{name}"] for name in Losses.__struct_fields__}),
            oldest=_oldest(db),
            bytes=bytes_of(path),
            unused_bytes=int(schema.scalar(db, "PRAGMA freelist_count")) * schema.PAGE_BYTES,
        )


def export(path: Path) -> Iterator[dict[str, Any]]:
    """All that waits and all that was set aside, oldest first within its kind: a reading, event or thing set
    aside each, with where it stands. Raises ``OutboxError``."""
    with _reading(path) as db:
        rows = Rows(db)
        for row in _paged(db, "events"):
            rows.read_again()
            yield _told("event", rows.event(row))
        for row in _paged(db, "parcels"):
            rows.read_again()
            yield from _readings(rows.parcel(row, {}))
        for row in _paged(db, "samples"):
            rows.read_again()
            yield _told("reading", rows.sample(row))
        for _, _, stream_id, first, last, _, reason, body in _paged(db, "set_aside"):
            said = {"kind": "set_aside", "stream_id": stream_id, "first": first, "last": last}
            yield {**said, "reason": reason, **_message(body)}


def vacuum(path: Path) -> Freed:
    """Give what is unused back to the disk. Raises ``OutboxError``: ``OutboxInUse`` while a station runs."""
    _require(path)
    with closing(Claim(path)) as claim, translated(path), closing(schema.connect(path)) as db:
        _require_schema(db, path)
        before = bytes_of(path)
        while int(schema.scalar(db, "PRAGMA freelist_count")):
            db.execute(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})").fetchall()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        db.close()
        if not claim.was_left_open:
            claim.end_in_good_order()
    return Freed(before=before, after=bytes_of(path))


def _require(path: Path) -> None:
    if not path.exists():
        raise OutboxError(path, "is not there; where it is: outbox.path in station.yaml")


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    _require(path)
    address = f"file:{quote(str(path))}?mode=ro"
    with (
        translated(path),
        closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=_PATIENCE_S)) as db,
    ):
        _require_schema(db, path)
        yield db


def _require_schema(db: sqlite3.Connection, path: Path) -> None:
    version = schema.version_of(db)
    if version > schema.VERSION:
        raise OutboxTooNew(path, version, known=schema.VERSION)
    if version < schema.VERSION:
        raise OutboxOutdated(path, version)


def _oldest(db: sqlite3.Connection) -> datetime | None:
    found = [
        row[0] + row[1]
        for table in _WAITING
        for row in db.execute(f"SELECT uptime, offset_s FROM {table} ORDER BY ticket LIMIT 1")  # noqa: S608 - our own names
    ]
    return datetime.fromtimestamp(min(found), UTC) if found else None


def _paged(db: sqlite3.Connection, table: str) -> Iterator[Row]:
    """Rows that are delivered meanwhile are left out, rows that come meanwhile are there."""
    query = f"SELECT * FROM {table} WHERE ticket > ? ORDER BY ticket LIMIT {_AT_ONCE}"  # noqa: S608 - our own names
    after: int = NO_TICKET
    while page := db.execute(query, (after,)).fetchall():
        yield from page
        after = page[-1][0]


def _readings(parcel: Parcel) -> Iterator[dict[str, Any]]:
    try:
        readings = decode_batch(parcel.body).readings
    except SchemaError:
        yield {**_place("parcel", parcel.stream_id, parcel.first, parcel.stamp), **_message(parcel.body)}
        return
    for reading in readings:
        place = {"kind": "reading", "stream_id": parcel.stream_id, "sequence": reading.sequence}
        yield {**place, "boot_id": parcel.stamp.boot_id, **_message(encode_reading(reading))}


def _told(kind: str, item: Sample | StoredEvent) -> dict[str, Any]:
    return {**_place(kind, item.stream_id, item.sequence, item.stamp), **_message(item.body)}


def _place(kind: str, stream_id: str, sequence: int, stamp: Stamp) -> dict[str, Any]:
    return {"kind": kind, "stream_id": stream_id, "sequence": sequence, "boot_id": stamp.boot_id}


def _message(body: bytes) -> dict[str, Any]:
    """The message itself; what is no JSON as it is, in base64."""
    try:
        return {"message": json.loads(body)}
    except ValueError:
        return {"base64": base64.b64encode(body).decode()}
