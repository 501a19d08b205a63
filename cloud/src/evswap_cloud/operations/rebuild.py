"""Rebuilding the latest states from the archive, as ingest would have written them.

Whatever is in the table already is kept where it is newer, so the table need not be empty, and stations may
go on sending meanwhile.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import msgspec
from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from evswap_cloud.archive import day_folder, readings_in
from evswap_cloud.aws import error_code
from evswap_cloud.envelope import Envelope
from evswap_cloud.errors import ArchiveError
from evswap_cloud.ingest.states import Candidate, Moves, candidate_of, move_states
from evswap_cloud.latest import LatestState, LatestWriter
from evswap_cloud.operations.clients import PARALLEL
from evswap_cloud.order import are_of_one_reading, supersedes
from evswap_schema import (
    Channel,
    Command,
    ReadNow,
    SchemaError,
    broker_topic,
    decode_reading,
    parse_timestamp,
)

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

RECEIVED_AT: Final = "received-at"
READ_NOW_LIFE: Final = timedelta(minutes=10)
"""A station that comes back later than this tells of itself anyhow."""

_FOLDERS: Final = ("bulk", "telemetry")


class Rebuilt(Struct, frozen=True, kw_only=True):
    """What was read and written, and how long it took."""

    objects: int
    readings: int
    unreadable: int
    stations: tuple[str, ...]
    moved: int
    bays: int
    failed: int
    seconds: float


class _Arrival(Struct, frozen=True):
    received_at: str


class _Newest:
    """Of each station the newest reading, and the parts of the newest that tells of bays: all that the table
    shows, so that an archive of any size fits into memory."""

    def __init__(self) -> None:
        self._states: dict[str, Candidate] = {}
        self._telling: dict[str, list[Candidate]] = {}
        self.readings = self.unreadable = 0

    def add(self, candidate: Candidate) -> None:
        state = candidate.state
        self.readings += 1
        known = self._states.get(state.station_id)
        if known is None or supersedes(state, known.state):
            self._states[state.station_id] = candidate
        if candidate.bays:
            self._add_telling(state, candidate)

    def _add_telling(self, state: LatestState, candidate: Candidate) -> None:
        parts = self._telling.get(state.station_id)
        if parts is None or supersedes(state, parts[0].state):
            self._telling[state.station_id] = [candidate]
        elif are_of_one_reading(state, parts[0].state):
            parts.append(candidate)

    def candidates(self) -> list[Candidate]:
        return [*self._states.values(), *(part for parts in self._telling.values() for part in parts)]

    def stations(self) -> tuple[str, ...]:
        return tuple(sorted(self._states))


def rebuild_latest(
    s3: "S3Client",
    bucket: str,
    latest: LatestWriter,
    *,
    since: datetime,
    now: datetime,
    tell: Callable[[str], object],
) -> Rebuilt:
    """Offer the newest archived reading of each station that was received at or after ``since``.

    Raises ``ArchiveError``; what a table refuses is counted as ``failed``: do it again.
    """
    began, newest = time.monotonic(), _Newest()
    keys = list(_keys(s3, bucket, since=since, now=now))
    with ThreadPoolExecutor(PARALLEL) as pool:
        for number, candidates in enumerate(pool.map(lambda key: _candidates(s3, bucket, key), keys), 1):
            for candidate in candidates:
                if candidate is None:
                    newest.unreadable += 1
                elif candidate.state.received_at >= since:
                    newest.add(candidate)
            if number % 1_000 == 0:
                tell(f"{number} of {len(keys)} objects")
        moves: Moves = move_states(latest, newest.candidates(), pool.map)
    return Rebuilt(
        objects=len(keys),
        readings=newest.readings,
        unreadable=newest.unreadable,
        stations=newest.stations(),
        moved=moves.moved,
        bays=moves.bays,
        failed=len(moves.failures),
        seconds=time.monotonic() - began,
    )


def read_now(stations: Iterable[str], now: datetime) -> Iterator[Command]:
    """What asks each of ``stations`` for a reading at once."""
    for station_id in stations:
        yield Command(
            command_id=uuid4().hex,
            station_id=station_id,
            issued_at=now,
            expires_at=now + READ_NOW_LIFE,
            action=ReadNow(),
        )


def _keys(s3: "S3Client", bucket: str, *, since: datetime, now: datetime) -> Iterator[str]:
    """What was written since then, the day's folders alone. The day of a single message is that of its own
    clock: one that is a day wrong is found by its neighbours' days."""
    first = (since - timedelta(days=1)).date()
    for days in range((now.date() - first).days + 2):
        day = datetime.combine(first + timedelta(days=days), datetime.min.time(), UTC)
        for folder in _FOLDERS:
            yield from _keys_below(s3, bucket, f"{folder}/{day_folder(day)}/", since)


def _keys_below(s3: "S3Client", bucket: str, prefix: str, since: datetime) -> Iterator[str]:
    try:
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                if entry["LastModified"] >= since.replace(microsecond=0):
                    yield entry["Key"]
    except (ClientError, BotoCoreError) as error:
        raise ArchiveError(operation="list", target=prefix, code=error_code(error)) from error


def _candidates(s3: "S3Client", bucket: str, key: str) -> list[Candidate | None]:
    """None for what cannot be read; raises ``ArchiveError``."""
    try:
        found: Any = s3.get_object(Bucket=bucket, Key=key)
        body = found["Body"].read()
    except (ClientError, BotoCoreError) as error:
        raise ArchiveError(operation="read", target=key, code=error_code(error)) from error
    received_at = found["Metadata"][RECEIVED_AT]
    return [_candidate(key, line, received_at) for line in readings_in(key, body)]


def _candidate(key: str, line: bytes, object_received_at: str) -> Candidate | None:
    """A line of many says itself when it came; a single message stands as it was sent."""
    try:
        reading = decode_reading(line)
        received_at = parse_timestamp(
            msgspec.json.decode(line, type=_Arrival).received_at
            if key.startswith("bulk/")
            else object_received_at
        )
    except (SchemaError, msgspec.DecodeError, ValueError):
        return None
    envelope = Envelope(
        payload=b"",
        topic=broker_topic(Channel.TELEMETRY, reading.station_id),
        station_id=reading.station_id,
        client_id=reading.station_id,
        received_at=received_at,
    )
    return candidate_of(key, reading, envelope)
