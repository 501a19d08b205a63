"""Questions in SQL: raw and compacted as one, each message once, and nothing but questions."""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from evswap_cloud.compaction import EVENTS, READINGS
from evswap_cloud.errors import QueryError
from evswap_cloud.query import ALWAYS, Days, Sources, ask
from evswap_schema import Clock
from tests.cloud.compaction.history import SMALL, History, run, sampled
from tests.cloud.messages import NOW, bay, reading
from tests.cloud.station_events import alarm, swap


class Asked:
    """A history, and the folder of a machine that asks it."""

    def __init__(self, history: History, kept: Path) -> None:
        self.history = history
        self.sources = Sources(archive=history.archive, compacted=history.compacted, kept=kept)
        self.said: list[str] = []

    def __call__(self, sql: str, days: Days = ALWAYS) -> list[tuple[Any, ...]]:
        with ask(sql, self.sources, days=days, resources=SMALL, progress=self.said.append) as answer:
            return list(answer.rows)


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    kept = tmp_path / "kept"
    kept.mkdir()
    return Asked(History(), kept)


COUNT = "SELECT count(*), count(DISTINCT (station_id, stream_id, sequence)) FROM readings"


def test_raw_and_compacted_are_one_and_each_reading_is_there_once(asked: Asked) -> None:
    asked.history.receive(run("station-01"))
    asked.history.compact()
    asked.history.receive([*run("station-01")[6:], sampled(13, NOW)])
    asked.history.receive(run("station-02"))
    asked.history.receive_singly(run("station-02")[0])
    assert asked(COUNT) == [(25, 25)]
    asked.history.compact()
    assert asked(COUNT) == [(25, 25)]


def test_an_archive_that_is_empty_has_both_tables(asked: Asked) -> None:
    assert asked(COUNT) == [(0, 0)]
    assert asked("SELECT count(*) FROM events") == [(0,)]


def test_a_corrected_time_counts_wherever_the_estimated_one_lies(asked: Asked) -> None:
    asked.history.receive([sampled(3, NOW - timedelta(days=9), clock=Clock.ESTIMATED)])
    asked.history.compact()
    asked.history.receive([sampled(3, NOW, clock=Clock.SYNCHRONIZED)])
    assert asked("SELECT clock, timestamp FROM readings") == [("synchronized", NOW.replace(tzinfo=None))]


def test_bays_and_events_can_be_asked_for(asked: Asked) -> None:
    asked.history.receive([sampled(1, NOW, bays=(bay(1), bay(2)))])
    asked.history.receive_events([swap(1), alarm(2)])
    for _ in range(2):
        soc = asked("SELECT sum(b.battery.soc) FROM (SELECT unnest(bays) AS b FROM readings)")
        assert soc == [(100.0,)]
        assert asked("SELECT kind FROM events ORDER BY sequence") == [("swap",), ("alarm",)]
        asked.history.compact(READINGS)
        asked.history.compact(EVENTS)


def test_days_bound_what_is_fetched_and_seen(asked: Asked) -> None:
    for back in range(4):
        asked.history.receive([sampled(9 - back, NOW - timedelta(days=back))])
        if back:
            asked.history.compact()
    days = Days(first=date(2026, 11, 21), last=date(2026, 11, 22))
    assert asked("SELECT DISTINCT day(timestamp) FROM readings ORDER BY ALL", days) == [(21,), (22,)]
    assert len(list(asked.sources.kept.rglob("*.parquet"))) == 2
    assert asked("SELECT count(*) FROM readings", Days(first=date(2026, 11, 22))) == [(2,)]
    assert asked("SELECT count(*) FROM readings", Days(last=date(2026, 11, 20))) == [(1,)]


def test_files_are_fetched_once_and_forgotten_when_they_are_superseded(asked: Asked) -> None:
    asked.history.receive(run())
    asked.history.compact()
    asked(COUNT)
    fetched = [line for line in asked.said if "file" in line]
    asked(COUNT)
    assert len([line for line in asked.said if "file" in line]) == len(fetched) == 1
    asked.history.receive([sampled(13, NOW)])
    asked.history.compact()
    assert asked(COUNT) == [(13, 13)]
    assert len(list(asked.sources.kept.rglob("*.parquet"))) == 1


def test_only_the_tables_of_the_question_are_read(asked: Asked) -> None:
    asked.history.receive(run())
    asked("SELECT count(*) FROM events")
    assert asked.said == []


def test_what_is_compacted_while_it_is_asked_is_seen_once(asked: Asked) -> None:
    """The manifest is read first; what lies raw then may be compacted before it is read."""
    asked.history.receive(run())
    every = asked.history.archive.every

    def compacting(prefix: str) -> Any:
        asked.history.archive.every = every  # type: ignore[method-assign]
        asked.history.compact()
        return every(prefix)

    asked.history.archive.every = compacting  # type: ignore[method-assign]
    assert asked(COUNT) == [(12, 12)]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM readings",
        "CREATE TABLE x AS SELECT 1",
        "COPY (SELECT 1) TO '/tmp/evswap-must-not-be'",
        "SELECT 1; SELECT 2",
        "ATTACH '/tmp/x.db'",
        "SET memory_limit = '1TB'",
        "",
    ],
)
def test_nothing_but_one_question_is_taken(asked: Asked, sql: str) -> None:
    with pytest.raises(QueryError, match="one SELECT"):
        asked(sql)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT temprature FROM readings", 'Candidate bindings: "temperature"'),
        ("SELECT * FROM reading", "reading does not exist"),
        ("SELECT * FROM read_text('/etc/hostname')", "disabled"),
        ("SELECT * FROM 'https://example.com/x.parquet'", "disabled"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(asked: Asked, sql: str, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        asked(sql)


def test_times_are_in_utc_whatever_the_offset_was(asked: Asked) -> None:
    asked.history.receive_singly(reading(timestamp=datetime.fromisoformat("2026-11-23T10:15:29+02:00")))
    assert asked("SELECT timestamp FROM readings") == [(datetime(2026, 11, 23, 8, 15, 29),)]  # noqa: DTZ001 - DuckDB's
