"""The files of a day: what was staged and what the day has already, each identity once, sorted, read back.

A day's stations are divided among shares, so that a share fits into memory and its file has the size that
Glacier and Athena are cheapest with; late data of one station opens one share of one day.
"""

# ruff: noqa: S608 - the SQL is made of this package's own names; what stations said is only ever data

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

import duckdb

from evswap_cloud.archive import day_folder
from evswap_cloud.compaction.engine import RANKED, copied, once_each, read_parquet, scalars
from evswap_cloud.compaction.kinds import Kind
from evswap_cloud.compaction.manifest import DATA, DataFile, Day, Manifest
from evswap_cloud.compaction.objects import Objects
from evswap_cloud.compaction.staging import BUCKET, BUCKETS
from evswap_cloud.errors import Unverified

Progress = Callable[[str], None]

ROWS_PER_SHARE: Final = 5_000_000
"""Of stations with eight bays some 65 MB of Parquet."""

_ROW_GROUP: Final = 61_440
_FETCHERS: Final = 8


class Merging:
    """Makes new files of the days that ``staged`` has rows of, beside those that ``manifest`` has."""

    def __init__(
        self,
        kind: Kind,
        compacted: Objects,
        connection: duckdb.DuckDBPyConnection,
        folder: Path,
        *,
        manifest: Manifest,
        staged: Sequence[Path],
        rows_per_share: int = ROWS_PER_SHARE,
    ) -> None:
        self._kind = kind
        self._compacted = compacted
        self._connection = connection
        self._folder = folder
        self._manifest = manifest
        self._staged = staged
        self._rows_per_share = rows_per_share
        self._fetched: dict[str, Path] = {}
        folder.mkdir()

    def days(self, progress: Progress) -> dict[str, Day]:
        """The days that change, with files that are stored and verified; raises ``Unverified``,
        ``HistoryError``.
        """
        self._find_wanderers()
        touched = self._touched()
        made: dict[str, Day] = {}
        for number, (day, buckets) in enumerate(sorted(touched.items()), 1):
            progress(f"{self._kind.name}: day {number} of {len(touched)}, {day}")
            made[day] = self._merged(day, buckets)
        return made

    # --- one day ---

    def _merged(self, day: str, buckets: Mapping[int, int]) -> Day:
        before = self._manifest.days.get(day, Day(shares=1, files=()))
        shares = max(before.shares, self._shares_for(before.rows + sum(buckets.values())))
        if shares != before.shares and before.files:
            opened = set(range(shares))
        else:
            opened = {bucket % shares for bucket in buckets}
        kept = [file for file in before.files if shares == before.shares and file.share not in opened]
        made = [
            file for share in sorted(opened) if (file := self._share(day, share, shares, before)) is not None
        ]
        self._forget(before.files)
        return Day(shares=shares, files=tuple(sorted((*kept, *made), key=lambda file: file.share)))

    def _shares_for(self, rows: int) -> int:
        shares = 1
        while shares < BUCKETS and rows > shares * self._rows_per_share:
            shares *= 2
        return shares

    def _share(self, day: str, share: int, shares: int, before: Day) -> DataFile | None:
        there = [
            self._file(file.key) for file in before.files if before.shares != shares or file.share == share
        ]
        rows = f"""SELECT * FROM (
                {self._staged_rows()} WHERE day = DATE '{day}' AND bucket % {shares} = {share}
                UNION ALL
                SELECT * FROM ({read_parquet(self._kind, there)}) WHERE {BUCKET} % {shares} = {share}
            ) WHERE ({self._kind.identity}) NOT IN
                (SELECT identity FROM wanderers WHERE day = DATE '{day}')"""
        path = self._folder / f"{uuid4()}.parquet"
        self._connection.execute(
            f"""COPY (SELECT * FROM ({self._once_each(rows)}) ORDER BY {self._kind.order})
            TO '{path}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP})"""
        )
        return self._stored(day, share, path, rows)

    def _once_each(self, rows: str) -> str:
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE copies AS {copied(self._kind, rows)}")
        [copies] = scalars(self._connection, "SELECT count(*) FROM copies")
        return once_each(self._kind, rows, "copies") if copies else rows

    def _staged_rows(self, *more: str) -> str:
        return read_parquet(self._kind, self._staged, *more)

    def _stored(self, day: str, share: int, path: Path, rows: str) -> DataFile | None:
        """Keep the file and read it back; None where no row is left for it."""
        [written] = scalars(self._connection, f"SELECT count(*) FROM '{path}'")
        moment = datetime.fromisoformat(day)
        key = f"{DATA}{self._kind.name}/{day_folder(moment)}/{path.name}"
        file = DataFile(key=key, share=share, rows=written, bytes=path.stat().st_size)
        if written:
            index = path.with_suffix(".index")
            self._write_index(path, index)
            self._compacted.put(file.key, path)
            self._compacted.put(file.index, index)
            self._compacted.fetch(file.key, path)
        self._verify(day, path, rows)
        path.unlink()
        return file if written else None

    def _verify(self, day: str, path: Path, rows: str) -> None:
        """The file has every identity of ``rows`` once, and no other."""
        identity = self._kind.identity
        expected, found, distinct, strange = scalars(
            self._connection,
            f"""WITH wanted AS (SELECT DISTINCT {identity} AS identity FROM ({rows})),
                written AS (SELECT {identity} AS identity FROM '{path}')
            SELECT (SELECT count(*) FROM wanted), (SELECT count(*) FROM written),
                (SELECT count(DISTINCT identity) FROM written),
                (SELECT count(*) FROM written ANTI JOIN wanted USING (identity))""",
        )
        if not expected == found == distinct or strange:
            raise Unverified(day=day, expected=expected, found=found)

    # --- which days ---

    def _touched(self) -> dict[str, dict[int, int]]:
        """The days that change, with how many rows were staged for each bucket of stations."""
        touched: dict[str, dict[int, int]] = {}
        self._connection.execute(
            f"""SELECT day::VARCHAR, bucket, count(*)
            FROM ({self._staged_rows("day", "bucket")}) GROUP BY ALL
            UNION ALL SELECT DISTINCT day::VARCHAR, {BUCKET}, 0 FROM wanderers"""
        )
        for day, bucket, count in self._connection.fetchall():
            buckets = touched.setdefault(day, {})
            buckets[bucket] = buckets.get(bucket, 0) + count
        return touched

    # --- identities that are in two days ---

    def _find_wanderers(self) -> None:
        """Messages that came twice with times of different days: a station's clock was put right between the
        two. The table ``wanderers`` has their identities, the days that lose them and the stations.

        Within a stream sequences grow with time, so the sequences of two days overlap only where that has
        happened. Only there the messages themselves are looked at.
        """
        self._connection.execute(
            """CREATE OR REPLACE TEMP TABLE spans
            (station_id VARCHAR, stream_id VARCHAR, day DATE, first BIGINT, last BIGINT, source VARCHAR)"""
        )
        self._connection.execute(
            f"""INSERT INTO spans SELECT station_id, stream_id, day, min(sequence), max(sequence), NULL
            FROM ({self._staged_rows("day")}) WHERE sequence IS NOT NULL GROUP BY ALL"""
        )
        self._insert_known_spans()
        self._connection.execute(
            """CREATE OR REPLACE TEMP TABLE crossings AS
            SELECT one.station_id, one.stream_id, greatest(one.first, other.first) AS first,
                least(one.last, other.last) AS last, other.source
            FROM spans AS one JOIN spans AS other
                ON one.station_id = other.station_id AND one.stream_id = other.stream_id
                AND one.day <> other.day AND one.first <= other.last AND other.first <= one.last
            WHERE one.source IS NULL"""
        )
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE wanderers AS
            WITH suspects AS (
                SELECT rows.station_id, rows.day, {self._kind.identity} AS identity, row({RANKED}) AS rank
                FROM ({self._suspects()}) AS rows
                WHERE EXISTS (FROM crossings WHERE crossings.station_id = rows.station_id
                    AND crossings.stream_id = rows.stream_id
                    AND rows.sequence BETWEEN crossings.first AND crossings.last)
            )
            SELECT DISTINCT station_id, day, identity FROM suspects
            QUALIFY day <> first_value(day) OVER (PARTITION BY identity ORDER BY rank, day)"""
        )

    def _suspects(self) -> str:
        self._connection.execute("SELECT DISTINCT source FROM crossings WHERE source IS NOT NULL")
        files = [self._file(key) for (key,) in self._connection.fetchall()]
        names = ", ".join(f'"{name}"' for name in self._kind.columns)
        return f"""{self._staged_rows("day")}
            UNION ALL SELECT {names}, "timestamp"::DATE AS day FROM ({read_parquet(self._kind, files)})"""

    # --- the index: which sequences a file has ---

    def _write_index(self, path: Path, index: Path) -> None:
        self._connection.execute(
            f"""COPY (SELECT station_id, stream_id, min("timestamp")::DATE AS day,
                min(sequence) AS first, max(sequence) AS last
                FROM '{path}' WHERE sequence IS NOT NULL GROUP BY ALL ORDER BY ALL)
            TO '{index}' (FORMAT parquet, COMPRESSION zstd)"""
        )

    def _insert_known_spans(self) -> None:
        """Of all days: some 20 KB for each thousand stations."""
        with ThreadPoolExecutor(_FETCHERS, thread_name_prefix="evswap-index") as fetchers:
            for key, path in fetchers.map(self._fetch_index, self._manifest.files()):
                self._connection.execute(f"INSERT INTO spans SELECT *, $1 FROM read_parquet('{path}')", [key])
                path.unlink()

    def _fetch_index(self, file: DataFile) -> tuple[str, Path]:
        path = self._folder / f"{uuid4()}.index"
        self._compacted.fetch(file.index, path)
        return file.key, path

    # --- files of the days as they are ---

    def _file(self, key: str) -> Path:
        """The object ``key`` on the local disk."""
        if key not in self._fetched:
            path = self._folder / f"{uuid4()}.fetched"
            self._compacted.fetch(key, path)
            self._fetched[key] = path
        return self._fetched[key]

    def _forget(self, files: Iterable[DataFile]) -> None:
        for file in files:
            if path := self._fetched.pop(file.key, None):
                path.unlink()
