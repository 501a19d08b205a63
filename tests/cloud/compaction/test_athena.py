"""What Athena is told of the history: the compactor's columns, and views that show each message once."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from evswap_cloud.archive import day_folder
from evswap_cloud.compaction import EVENTS, KINDS, READINGS, Kind
from evswap_schema import Clock, SwappedBattery
from tests.cloud.compaction.history import History, run, sampled
from tests.cloud.messages import NOW, STACK, bay, reading
from tests.cloud.station_events import alarm, refusal, swap

ANALYTICS = yaml.safe_load((STACK / "analytics.yaml").read_text())
TABLES = ANALYTICS["tables"]


def hive(type_: str) -> str:
    """A type of DuckDB as Hive writes it."""
    if type_.endswith("[]"):
        return f"array<{hive(type_[:-2])}>"
    if match := re.fullmatch(r"MAP\((.*), (.*)\)", type_):
        return f"map<{hive(match[1])},{hive(match[2])}>"
    if match := re.fullmatch(r"STRUCT\((.*)\)", type_):
        parts = re.findall(r"(\w+) ((?:STRUCT\(.*\)|\w+)(?:\[\])?)(?:, |$)", match[1])
        return f"struct<{','.join(f'{name}:{hive(part)}' for name, part in parts)}>"
    names = {"VARCHAR": "string", "INTEGER": "int", "BIGINT": "bigint", "DOUBLE": "double"}
    return names.get(type_, type_.lower())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_columns_are_the_compactors(kind: Kind) -> None:
    written = {name: hive(type_) for name, type_ in kind.columns.items()}
    assert TABLES[f"{kind.name}_compacted"]["columns"] == written
    assert ANALYTICS["views"][kind.name]["columns"] == written


@pytest.mark.parametrize("table", ["readings_batched", "readings_single", "events_archived"])
def test_raw_columns_are_the_same_but_for_times_that_are_text(table: str) -> None:
    kind = EVENTS if table.startswith("events") else READINGS
    expected = {
        name: hive(type_).replace("timestamp", "string")
        for name, type_ in kind.columns.items()
        if name != "original"
    }
    columns = dict(TABLES[table]["columns"])
    columns.pop("battery", None)
    assert columns == expected


def test_no_column_shows_a_customer() -> None:
    assert not any("token" in name for table in TABLES.values() for name in table["columns"])


@pytest.mark.parametrize("table", TABLES)
def test_partitions_are_digits_as_the_folders_are_named(table: str) -> None:
    parts = dict(part.split("=") for part in day_folder(NOW).split("/"))
    for name, value in parts.items():
        projection = TABLES[table]["partitions"][name]
        first, last = map(int, projection["range"].split(","))
        assert len(value) == projection["digits"]
        assert first <= int(value) <= last


# --- the views, by DuckDB, which has the same SQL but for a few functions ---

DIALECT = {"transform(": "list_transform(", "each ->": "lambda each:", "AS ROW(bay": "AS STRUCT(bay"}
FUNCTION = "CREATE MACRO from_iso8601_timestamp(text) AS text::TIMESTAMPTZ"


def of_duckdb(sql: str) -> str:
    for athena, duckdb_ in DIALECT.items():
        sql = sql.replace(athena, duckdb_)
    return sql


class Athena:
    """The tables over a history on the local disk, and the views of cloud/stack upon them."""

    def __init__(self, history: History, folder: Path) -> None:
        self._folder = folder
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")
        self._connection.execute(FUNCTION)
        self._raw(history)
        for kind in KINDS:
            self._compacted(history, kind)
        for name, view in ANALYTICS["views"].items():
            sql = of_duckdb((STACK / view["sql_file"]).read_text())
            self._connection.execute(f"CREATE VIEW {name} AS {sql}")

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql).fetchall()

    def _raw(self, history: History) -> None:
        for key, body in history.archive.bodies.items():
            path = self._folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        for table, folder, ending in (
            ("readings_batched", "bulk", "jsonl.gz"),
            ("readings_single", "telemetry", "json"),
            ("events_archived", "events", "jsonl.gz"),
        ):
            (self._folder / folder).mkdir(exist_ok=True)
            self._table(table, f"{self._folder / folder}/**/*.{ending}", "newline_delimited")

    def _table(self, table: str, files: str, form: str) -> None:
        columns = {name: duck(type_) for name, type_ in TABLES[table]["columns"].items()}
        if not list(self._folder.glob(str(Path(files).relative_to(self._folder)))):
            names = ", ".join(f'NULL::{type_} AS "{name}"' for name, type_ in columns.items())
            self._connection.execute(f"CREATE VIEW {table} AS SELECT {names} WHERE false")
            return
        listed = ", ".join(f"\"{name}\": '{type_}'" for name, type_ in columns.items())
        self._connection.execute(
            f"CREATE VIEW {table} AS FROM read_json('{files}', format = '{form}', columns = {{{listed}}})"
        )

    def _compacted(self, history: History, kind: Kind) -> None:
        """By the lists that Athena follows, in the folders that its projection names."""
        prefix = f"current/{kind.name}/"
        days = []
        for key, body in history.compacted.bodies.items():
            if not key.startswith(prefix):
                continue
            year, month, day = re.findall(r"=(\d+)", key)
            for line in body.decode().splitlines():
                name = line.removeprefix("memory://bucket/")
                path = self._folder / name.replace("/", "_")
                history.compacted.fetch(name, path)
                partition = f"{int(year)} AS year, {int(month)} AS month, {int(day)} AS day"
                days.append(f"FROM '{path}' SELECT *, {partition}")
        types = {**kind.columns, "year": "INTEGER", "month": "INTEGER", "day": "INTEGER"}
        names = ", ".join(f'NULL::{type_} AS "{name}"' for name, type_ in types.items())
        rows = " UNION ALL ".join([f"SELECT {names} WHERE false", *days])
        self._connection.execute(f"CREATE VIEW {kind.name}_compacted AS {rows}")


def duck(type_: str) -> str:
    """A type of Hive as DuckDB writes it."""
    if match := re.fullmatch(r"array<(.*)>", type_):
        return f"{duck(match[1])}[]"
    if match := re.fullmatch(r"map<(.*),(.*)>", type_):
        return f"MAP({duck(match[1])}, {duck(match[2])})"
    if match := re.fullmatch(r"struct<(.*)>", type_):
        parts = re.findall(r"(\w+):(struct<.*>|\w+)(?:,|$)", match[1])
        return f"STRUCT({', '.join(f'{name} {duck(part)}' for name, part in parts)})"
    return {"string": "VARCHAR", "int": "INTEGER"}.get(type_, type_.upper())


COUNT = "SELECT count(*), count(DISTINCT (station_id, stream_id, sequence, timestamp)) FROM readings"


@pytest.fixture
def history() -> History:
    """Compacted, raw, and both; batches and single messages; a day before and one of today."""
    made = History()
    made.receive(run("station-01", bays=(bay(1),)))
    made.receive(run("station-02")[:6], NOW + timedelta(seconds=1))
    made.receive([sampled(0, NOW - timedelta(days=1), clock=Clock.SYNCHRONIZED)])
    made.receive_events([swap(1), alarm(2)])
    made.compact()
    made.compact(EVENTS)
    made.receive(run("station-02")[4:])
    made.receive_singly(run("station-01")[3], NOW + timedelta(seconds=9))
    made.receive_singly(reading())
    made.receive_events(
        [refusal(3, battery=SwappedBattery(bay=4, serial_number="B-9", soc=1.0, soh=2.0)), alarm(2)],
        NOW + timedelta(seconds=2),
    )
    return made


def test_the_view_shows_every_reading_once(history: History, tmp_path: Path) -> None:
    athena = Athena(history, tmp_path)
    assert athena.ask(COUNT) == [(26, 26)]
    assert athena.ask("SELECT day, count(*) FROM readings GROUP BY day ORDER BY day") == [(22, 1), (23, 25)]
    assert athena.ask("SELECT count(*) FROM readings WHERE bays IS NOT NULL") == [(12,)]
    for kind in KINDS:
        history.compact(kind)
    (tmp_path / "later").mkdir()
    assert Athena(history, tmp_path / "later").ask(COUNT) == [(26, 26)]


def test_the_view_shows_every_event_once(history: History, tmp_path: Path) -> None:
    events = Athena(history, tmp_path).ask("SELECT sequence, kind, batteries FROM events ORDER BY sequence")
    assert [(sequence, kind) for sequence, kind, _ in events] == [(1, "swap"), (2, "alarm"), (3, "refusal")]
    assert [batteries[0]["serial_number"] for _, _, batteries in events if batteries] == ["B-1", "B-9"]


@pytest.mark.parametrize("name", ANALYTICS["queries"])
def test_every_saved_query_runs(history: History, tmp_path: Path, name: str) -> None:
    rows = Athena(history, tmp_path).ask(ANALYTICS["queries"][name]["sql"])
    assert rows or name in ("gaps", "swaps-by-station")
