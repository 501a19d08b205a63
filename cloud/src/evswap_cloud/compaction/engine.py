"""DuckDB, held to the memory and disk that it is given."""

# ruff: noqa: S608 - the SQL is made of this package's own names; what stations said is only ever data

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb
from msgspec import Struct

from evswap_cloud.compaction.kinds import Kind

RANKED: Final = "(clock IS NOT DISTINCT FROM 'estimated'), (bays IS NULL), received_at, \"timestamp\""
"""Among copies of a message the smallest is the one that counts: a corrected time before an estimated one,
one with bays (a batch has them, a single message may not), then the first receipt."""


class Resources(Struct, frozen=True, kw_only=True):
    """What a run may use. What exceeds ``memory_mb`` DuckDB writes to disk; Python takes 150 MB more."""

    memory_mb: int = 1_024
    threads: int = os.cpu_count() or 1


@contextmanager
def engine(folder: Path, resources: Resources) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database without a file, which spills into ``folder`` and loads nothing from elsewhere."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{resources.memory_mb}MB",
        "threads": resources.threads,
        "temp_directory": str(folder / "spilled"),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "preserve_insertion_order": False,
    }
    with duckdb.connect(config=settings) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def read_lines(kind: Kind, paths: Sequence[Path]) -> str:
    """The rows of files of JSON lines, and ``source``, the file. A field that is no column is passed over."""
    columns = ", ".join(f"{_quoted(name)}: {_text(type_)}" for name, type_ in kind.columns.items())
    return (
        f"SELECT * RENAME (filename AS source) FROM read_json({_list(paths)}, format = 'newline_delimited',"
        f" columns = {{{columns}}}, filename = true, maximum_object_size = 1048576)"
    )


def read_parquet(kind: Kind, paths: Sequence[Path], *more: str) -> str:
    """The rows of Parquet files with the columns of ``kind`` and ``more``; of no file, no rows. A column that
    a file does not have, as it is older, is NULL.
    """
    empty = ", ".join(f"NULL::{type_} AS {_quoted(name)}" for name, type_ in kind.columns.items())
    if not paths:
        return f"SELECT {empty} WHERE false"
    names = ", ".join(map(_quoted, (*kind.columns, *more)))
    return f"""SELECT {names} FROM (SELECT {empty} WHERE false UNION ALL BY NAME
        FROM read_parquet({_list(paths)}, union_by_name = true, hive_partitioning = false))"""


def copied(kind: Kind, rows: str) -> str:
    """The identities that the query ``rows`` has more than once."""
    return f"SELECT {kind.identity} AS identity FROM ({rows}) GROUP BY identity HAVING count(*) > 1"


def once_each(kind: Kind, rows: str, copies: str) -> str:
    """The rows of the query ``rows``, each identity once, whatever the order of its copies; ``copies`` is the
    table of the identities that have some. Few have, and only those are ranked.
    """
    names = ", ".join(map(_quoted, kind.columns))
    return f"""SELECT {names} FROM ({rows})
        WHERE ({kind.identity}) NOT IN (SELECT identity FROM {copies})
        UNION ALL
        SELECT {names} FROM ({rows}) AS candidate
        WHERE ({kind.identity}) IN (SELECT identity FROM {copies})
        QUALIFY row_number() OVER (
            PARTITION BY {kind.identity} ORDER BY {RANKED}, candidate::VARCHAR
        ) = 1"""


def scalars(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[int, ...]:
    """The one row of whole numbers that ``query`` gives."""
    row = connection.execute(query).fetchone()
    return tuple(int(value or 0) for value in row or ())


def _list(paths: Sequence[Path]) -> str:
    return f"[{', '.join(_text(str(path)) for path in paths)}]"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return f'"{name}"'
