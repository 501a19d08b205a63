"""From raw objects to rows on the local disk, in Parquet: a twentieth of what the lines take."""

# ruff: noqa: S608 - the SQL is made of this package's own names; what stations said is only ever data

import gzip
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import duckdb
from msgspec import Struct

from evswap_cloud.compaction.engine import read_lines
from evswap_cloud.compaction.kinds import SINGLE, UNREADABLE, Kind, reading_line
from evswap_cloud.compaction.manifest import TakenObject
from evswap_cloud.compaction.objects import Objects
from evswap_cloud.ingest.lines import Arrival
from evswap_schema import format_timestamp, parse_timestamp

BUCKETS: Final = 64
"""Stations are spread over so many buckets by their name; a share of a day is some of these."""

BUCKET: Final = f"(md5_number_lower(station_id) % {BUCKETS})::INTEGER"

_FETCHERS: Final = 8
_OBJECTS_AT_ONCE: Final = 64
_BYTES_AT_ONCE: Final = 32 << 20
"""Of compressed lines: some twenty times that when they are read."""


class RawObject(Struct, frozen=True, kw_only=True):
    """An object that is to be taken; ``size`` in bytes, as it lies there."""

    key: str
    size: int


class _Fetched(Struct, frozen=True, kw_only=True):
    raw: RawObject
    path: Path
    metadata: Mapping[str, str]


class Staging:
    """Takes raw objects of ``kind`` and keeps their rows under ``folder``."""

    def __init__(
        self, kind: Kind, archive: Objects, connection: duckdb.DuckDBPyConnection, folder: Path
    ) -> None:
        self._kind = kind
        self._archive = archive
        self._connection = connection
        self._lines = folder / "lines"
        self.rows = folder / "rows"
        self._lines.mkdir(parents=True)
        self.rows.mkdir()
        self._unreadable: dict[str, int] = {}
        self._taken: list[RawObject] = []
        self._parts = 0

    def take(self, objects: Sequence[RawObject]) -> None:
        """Take ``objects``; raises ``HistoryError``."""
        with ThreadPoolExecutor(_FETCHERS, thread_name_prefix="evswap-fetch") as fetchers:
            fetched = list(fetchers.map(self._fetch, enumerate(objects)))
        direct = [one for one in fetched if self._is_direct(one.raw)]
        others = [one for one in fetched if not self._is_direct(one.raw)]
        if direct and not self._stage_directly(direct):
            others += direct
        self._stage_by_line(others)
        self._taken += objects
        for one in fetched:
            one.path.unlink()

    def files(self) -> list[Path]:
        """The Parquet files with all rows so far, and their ``day``, ``bucket`` and ``source``."""
        return sorted(self.rows.rglob("*.parquet"))

    def taken(self) -> Iterator[TakenObject]:
        """What was taken from each object."""
        rows, days = self._by_source()
        for raw in self._taken:
            yield TakenObject(
                key=raw.key,
                rows=rows.get(raw.key, 0),
                days=tuple(sorted(days.get(raw.key, ()))),
                unreadable=self._unreadable.get(raw.key, 0),
            )

    def _by_source(self) -> tuple[dict[str, int], dict[str, list[str]]]:
        rows: dict[str, int] = {}
        days: dict[str, list[str]] = {}
        if not (files := self.files()):
            return rows, days
        self._connection.execute(
            "SELECT source, day::VARCHAR, count(*) FROM read_parquet($1) GROUP BY ALL",
            [[str(file) for file in files]],
        )
        for source, day, count in self._connection.fetchall():
            rows[source] = rows.get(source, 0) + count
            days.setdefault(source, []).append(day)
        return rows, days

    def _fetch(self, numbered: tuple[int, RawObject]) -> _Fetched:
        number, raw = numbered
        path = self._lines / f"{number}{'.jsonl.gz' if raw.key.endswith('.gz') else '.json'}"
        return _Fetched(raw=raw, path=path, metadata=self._archive.fetch(raw.key, path))

    def _is_direct(self, raw: RawObject) -> bool:
        return self._kind.direct is not None and raw.key.startswith(f"{self._kind.direct}/")

    def _stage_directly(self, objects: Sequence[_Fetched]) -> bool:
        """DuckDB reads the lines itself, ten times as fast; False where one of them is no message."""
        sources = {str(one.path): one.raw.key for one in objects}
        try:
            self._stage([one.path for one in objects], sources)
        except duckdb.Error:
            return False
        return True

    def _stage_by_line(self, objects: Sequence[_Fetched]) -> None:
        if not objects:
            return
        paths, sources = [], {}
        for one in objects:
            path = one.path.with_suffix(".normal.jsonl")
            path.write_bytes(b"\n".join(self._normal_lines(one)))
            paths.append(path)
            sources[str(path)] = one.raw.key
        self._stage(paths, sources)
        for path in paths:
            path.unlink()

    def _normal_lines(self, one: _Fetched) -> Iterator[bytes]:
        body = one.path.read_bytes()
        try:
            if one.raw.key.startswith(f"{SINGLE}/"):
                yield reading_line(body, _arrival(one.metadata))
                return
            lines = gzip.decompress(body).splitlines()
        except (*UNREADABLE, ValueError, OSError, EOFError, zlib.error):
            self._count_unreadable(one)
            return
        for line in lines:
            try:
                yield self._kind.normalise(line)
            except UNREADABLE:
                self._count_unreadable(one)

    def _count_unreadable(self, one: _Fetched) -> None:
        self._unreadable[one.raw.key] = self._unreadable.get(one.raw.key, 0) + 1

    def _stage(self, paths: Sequence[Path], sources: Mapping[str, str]) -> None:
        """Raises ``duckdb.Error``, also where a row lacks what every message has."""
        self._connection.execute("CREATE OR REPLACE TEMP TABLE sources (path VARCHAR, key VARCHAR)")
        self._connection.executemany("INSERT INTO sources VALUES (?, ?)", list(sources.items()))
        self._parts += 1
        part = self.rows / f"part-{self._parts}.parquet"
        draft = part.with_suffix(".draft")
        try:
            self._connection.execute(
                f"""COPY (
                    SELECT rows.* EXCLUDE (source), sources.key AS source, {BUCKET} AS bucket,
                        CASE WHEN station_id IS NULL OR "timestamp" IS NULL
                            THEN error('a line is no message') ELSE "timestamp"::DATE END AS day
                    FROM ({read_lines(self._kind, paths)}) AS rows JOIN sources ON rows.source = sources.path
                    ORDER BY bucket
                ) TO '{draft}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480)"""
            )
        except duckdb.Error:
            draft.unlink(missing_ok=True)
            raise
        draft.rename(part)


def untaken(kind: Kind, archive: Objects, taken: Collection[str]) -> list[RawObject]:
    """The raw objects that are not ``taken``, sorted by key: by the day, then by the moment of receipt."""
    return [
        RawObject(key=entry.key, size=entry.size)
        for folder in kind.folders
        for entry in archive.every(f"{folder}/")
        if entry.key not in taken
    ]


def portions(objects: Sequence[RawObject]) -> Iterator[list[RawObject]]:
    """``objects`` in such lists as are taken at once: neither many nor much."""
    portion: list[RawObject] = []
    size = 0
    for one in objects:
        if portion and (len(portion) >= _OBJECTS_AT_ONCE or size + one.size > _BYTES_AT_ONCE):
            yield portion
            portion, size = [], 0
        portion.append(one)
        size += one.size
    if portion:
        yield portion


def _arrival(metadata: Mapping[str, str]) -> Arrival:
    """What stands beside an object that holds one message; raises ``ValueError`` where nothing does."""
    received_at = parse_timestamp(metadata.get("received-at", ""))
    flags = metadata.get("flags", "")
    return Arrival(received_at=format_timestamp(received_at), flags=tuple(flags.split(",")) if flags else ())
