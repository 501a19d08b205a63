"""What is compacted: readings and events, where they lie raw, and the columns that they have as Parquet."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from evswap_cloud.archive import LinesFolder
from evswap_cloud.ingest.lines import Arrival
from evswap_schema import (
    InvalidMessage,
    Reading,
    decode_event,
    decode_own_reading,
    decode_reading,
    encode_reading,
)
from evswap_schema.codec import parse_json
from evswap_schema.events import RefusalEvent

SINGLE: Final = "telemetry"
"""The folder of single readings, an object each."""

Normalise = Callable[[bytes], bytes]
"""From a line of the archive to a line with the columns' names; raises ``InvalidMessage``."""


class Kind(Struct, frozen=True, kw_only=True):
    """One of the two things that are compacted.

    ``folders`` of the raw archive; ``columns`` with DuckDB's types; ``identity``, an SQL expression that is
    the same text for the same message and for no other; ``order``, by which the rows of a station are sorted.
    ``direct`` is the folder whose lines need no ``normalise``, as this product wrote them with these names.
    """

    name: str
    folders: tuple[str, ...]
    columns: Mapping[str, str]
    identity: str
    order: str
    normalise: Normalise
    direct: str | None = None


_BATTERY: Final = (
    "STRUCT(serial_number VARCHAR, soc DOUBLE, soh DOUBLE, voltage DOUBLE, current DOUBLE,"
    " temperature DOUBLE, cycles INTEGER)"
)
_BAYS: Final = (
    "STRUCT(bay INTEGER, occupancy VARCHAR, charge VARCHAR, lock VARCHAR, reservation VARCHAR,"
    f" health VARCHAR, battery {_BATTERY})[]"
)
_ARRIVAL: Final = {"received_at": "TIMESTAMP", "flags": "VARCHAR[]"}


def reading_line(body: bytes, arrival: Arrival) -> bytes:
    """The line of a reading that was archived by itself, byte for byte; raises ``InvalidMessage``.

    Where the station said more than the columns hold, all of it stands in ``original``: the message itself
    will be deleted.
    """
    reading = decode_reading(body)
    more = {"original": body.decode()} if _says_more(body, reading) else {}
    return _joined(encode_reading(reading), arrival, more)


def _reading_of_line(line: bytes) -> bytes:
    """A line of a batch. It is its own normal form once it is known to be a reading."""
    decode_own_reading(line)
    return line


def _says_more(body: bytes, reading: Reading) -> bool:
    known = msgspec.to_builtins(reading)
    return _fields(parse_json(body)) > _fields(known)


def _fields(node: Any) -> int:
    """How many values there are in ``node``, at any depth. What only steers the transport does not count."""
    match node:
        case dict():
            return sum(1 + _fields(value) for name, value in node.items() if name != "acknowledge")
        case list() | tuple():
            return sum(map(_fields, node))
        case _:
            return 0


def _joined(line: bytes, arrival: Arrival, more: Mapping[str, str]) -> bytes:
    beside = msgspec.to_builtins(arrival) | more
    return line[:-1] + b"," + msgspec.json.encode(beside)[1:]


_PERSONAL: Final = ("id_token", "acknowledge", "battery")


def _event_of_line(line: bytes) -> bytes:
    """Without the customer's token: that a person can be forgotten, it stands in one place, the raw archive.

    Fields that the contract does not know stay there too. The battery of a refusal stands in ``batteries``.
    """
    event = decode_event(_bare(line))
    document: dict[str, Any] = msgspec.to_builtins(event)
    if isinstance(event, RefusalEvent) and event.battery is not None:
        document["batteries"] = [document["battery"]]
    kept = {name: value for name, value in document.items() if name not in _PERSONAL}
    arrival = msgspec.json.decode(line, type=Arrival)
    return _joined(msgspec.json.encode(kept), arrival, {})


def _bare(line: bytes) -> bytes:
    """The event as it was before its arrival was added: the contract limits its size."""
    document = parse_json(line)
    if not isinstance(document, dict):
        return line
    for name in msgspec.structs.fields(Arrival):
        document.pop(name.name, None)
    return json.dumps(document, separators=(",", ":")).encode()


READINGS: Final = Kind(
    name="readings",
    folders=(SINGLE, LinesFolder.BULK.value),
    columns={
        "station_id": "VARCHAR",
        "timestamp": "TIMESTAMP",
        "battery_available": "INTEGER",
        "battery_charging": "INTEGER",
        "temperature": "DOUBLE",
        "humidity": "DOUBLE",
        "status": "VARCHAR",
        "stream_id": "VARCHAR",
        "sequence": "BIGINT",
        "clock": "VARCHAR",
        "quality": "MAP(VARCHAR, VARCHAR)",
        "bays": _BAYS,
        "part": "STRUCT(index INTEGER, count INTEGER)",
        "location": "STRUCT(latitude DOUBLE, longitude DOUBLE)",
        "firmware": "VARCHAR",
        **_ARRIVAL,
        "original": "VARCHAR",
    },
    identity="""CASE WHEN sequence IS NULL THEN station_id || '/' || epoch_us("timestamp")
        ELSE concat_ws('/', station_id, stream_id, sequence, part.index) END""",
    order='station_id, "timestamp", stream_id, sequence, part.index',
    normalise=_reading_of_line,
    direct=LinesFolder.BULK.value,
)

EVENTS: Final = Kind(
    name="events",
    folders=(LinesFolder.EVENTS.value,),
    columns={
        "station_id": "VARCHAR",
        "timestamp": "TIMESTAMP",
        "stream_id": "VARCHAR",
        "sequence": "BIGINT",
        "clock": "VARCHAR",
        "kind": "VARCHAR",
        "step": "VARCHAR",
        "request_id": "BIGINT",
        "authority": "VARCHAR",
        "authorisation_id": "VARCHAR",
        "reason": "VARCHAR",
        "alarm": "VARCHAR",
        "state": "VARCHAR",
        "severity": "VARCHAR",
        "bay": "INTEGER",
        "count": "BIGINT",
        "detail": "VARCHAR",
        "batteries": "STRUCT(bay INTEGER, serial_number VARCHAR, soc DOUBLE, soh DOUBLE,"
        " production_date TIMESTAMP, vendor_info VARCHAR)[]",
        "bays": "STRUCT(bay INTEGER, occupancy VARCHAR, serial_number VARCHAR, soc DOUBLE, soh DOUBLE)[]",
        **_ARRIVAL,
    },
    identity="concat_ws('/', station_id, stream_id, sequence)",
    order='station_id, "timestamp", stream_id, sequence',
    normalise=_event_of_line,
)

KINDS: Final = (READINGS, EVENTS)

UNREADABLE: Final = (InvalidMessage, msgspec.DecodeError, UnicodeDecodeError)
"""What a line of the archive raises that is no message."""
