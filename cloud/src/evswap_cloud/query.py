"""Questions to the whole history in SQL: what is compacted and what lies raw, as one, each message once.

DuckDB on this machine: the Parquet files that a question may need are fetched once and kept, as they never
change; raw objects are read anew. Nothing is ever written to either bucket.
"""

# ruff: noqa: S608 - the SQL is made of this package's own names; what stations said is only ever data

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb
from msgspec import Struct

from evswap_cloud.compaction import manifest as manifests
from evswap_cloud.compaction.engine import Resources, engine, once_each, read_parquet, scalars
from evswap_cloud.compaction.kinds import KINDS, Kind
from evswap_cloud.compaction.manifest import DataFile, Manifest
from evswap_cloud.compaction.objects import Objects
from evswap_cloud.compaction.staging import Staging, portions, untaken
from evswap_cloud.errors import QueryError

Progress = Callable[[str], None]

_AT_ONCE: Final = 10_000


class Days(Struct, frozen=True, kw_only=True):
    """Days sampled, both included; None is open."""

    first: date | None = None
    last: date | None = None

    def __contains__(self, day: date) -> bool:
        return (self.first is None or day >= self.first) and (self.last is None or day <= self.last)

    @property
    def condition(self) -> str:
        """The same in SQL."""
        first = f"\"timestamp\" >= DATE '{self.first}'" if self.first else "true"
        last = f"\"timestamp\" < DATE '{self.last + timedelta(days=1)}'" if self.last else "true"
        return f"{first} AND {last}"


ALWAYS: Final = Days()
DEFAULT_RESOURCES: Final = Resources()


class Answer(Struct, frozen=True, kw_only=True):
    """The columns' names, and the rows, which are read while the question is open."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


class Sources(Struct, frozen=True, kw_only=True):
    """Both buckets, and the folder ``kept`` for fetched files."""

    archive: Objects
    compacted: Objects
    kept: Path


@contextmanager
def ask(
    sql: str,
    sources: Sources,
    *,
    days: Days = ALWAYS,
    resources: Resources = DEFAULT_RESOURCES,
    progress: Progress = lambda _text: None,
) -> Iterator[Answer]:
    """The answer to ``sql``, one SELECT over ``readings`` and ``events``.

    ``days`` bounds what is fetched and seen. Raises ``QueryError``, ``HistoryError``.
    """
    with (
        tempfile.TemporaryDirectory(prefix="evswap-query-") as name,
        engine(Path(name), resources) as connection,
    ):
        try:
            _require_one_select(connection, sql)
            for kind in KINDS:
                if kind.name in sql.lower():
                    _View(kind, sources, connection, Path(name) / kind.name, days, progress).make()
            _close(connection, [sources.kept, Path(name)])
            answer = connection.execute(sql)
            yield Answer(columns=tuple(each[0] for each in answer.description), rows=_rows(answer))
        except duckdb.Error as error:
            raise QueryError(str(error).strip()) from error


def _rows(answer: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while some := answer.fetchmany(_AT_ONCE):
        yield from some


def _require_one_select(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    statements = connection.extract_statements(sql)
    read = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
    if len(statements) != 1 or statements[0].type not in read:
        raise QueryError("the history is read only: ask by one SELECT")


def _close(connection: duckdb.DuckDBPyConnection, folders: Sequence[Path]) -> None:
    """From here on the question sees the history and nothing else of this machine."""
    allowed = ", ".join(f"'{folder.absolute()}/'" for folder in folders)
    connection.execute(f"SET allowed_directories = [{allowed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


class _View:
    """Makes the view of one kind."""

    def __init__(
        self,
        kind: Kind,
        sources: Sources,
        connection: duckdb.DuckDBPyConnection,
        folder: Path,
        days: Days,
        progress: Progress,
    ) -> None:
        self._kind = kind
        self._sources = sources
        self._connection = connection
        self._folder = folder
        self._days = days
        self._progress = progress

    def make(self) -> None:
        """The manifest is read before the raw archive: what is compacted meanwhile is seen raw."""
        kind = self._kind
        manifest = manifests.load(self._sources.compacted, kind).manifest
        compacted = read_parquet(kind, self._fetched(manifest))
        raw = read_parquet(kind, self._raw(manifest))
        self._connection.execute(
            f"""CREATE TABLE copies_of_{kind.name} AS
            WITH raw AS (SELECT {kind.identity} AS identity FROM ({raw}))
            SELECT identity FROM raw GROUP BY identity HAVING count(*) > 1
            UNION
            SELECT identity FROM (SELECT {kind.identity} AS identity FROM ({compacted}))
            SEMI JOIN raw USING (identity)"""
        )
        rows = f"({compacted}) UNION ALL ({raw})"
        copies = f"copies_of_{kind.name}"
        if scalars(self._connection, f"SELECT count(*) FROM {copies}") != (0,):
            rows = once_each(kind, rows, copies)
        self._connection.execute(
            f"CREATE VIEW {kind.name} AS SELECT * FROM ({rows}) WHERE {self._days.condition}"
        )

    def _fetched(self, manifest: Manifest) -> list[Path]:
        files = [
            file
            for day, files in manifest.days.items()
            if date.fromisoformat(day) in self._days
            for file in files.files
        ]
        self._forget({file.key for file in manifest.files()})
        missing = [file for file in files if not self._path(file).exists()]
        for number, file in enumerate(missing, 1):
            self._progress(f"{self._kind.name}: file {number} of {len(missing)}, {file.bytes / 1e6:.1f} MB")
            self._fetch(file)
        return [self._path(file) for file in files]

    def _fetch(self, file: DataFile) -> None:
        path = self._path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        self._sources.compacted.fetch(file.key, draft)
        draft.rename(path)

    def _path(self, file: DataFile) -> Path:
        return self._sources.kept / file.key

    def _forget(self, current: set[str]) -> None:
        """Files that are part of the history no more."""
        for path in (self._sources.kept / manifests.DATA / self._kind.name).rglob("*.parquet"):
            if path.relative_to(self._sources.kept).as_posix() not in current:
                path.unlink(missing_ok=True)

    def _raw(self, manifest: Manifest) -> list[Path]:
        """What lies raw and is not compacted, as rows on the local disk."""
        taken = manifests.taken_keys(self._sources.compacted, manifest)
        staging = Staging(self._kind, self._sources.archive, self._connection, self._folder)
        pending = untaken(self._kind, self._sources.archive, taken)
        done = 0
        for portion in portions(pending):
            staging.take(portion)
            done += len(portion)
            self._progress(f"{self._kind.name}: {done} of {len(pending)} raw objects read")
        return staging.files()
