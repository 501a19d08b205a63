"""Reading the archive's list, and telling what is missing in it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evswap_hil.observers.archive import Account, Archived, ArchiveObserver, ArchiveUnreadable
from tests.hil.programs import program

SINCE = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


def archived(sequence: int, stream_id: str = "s") -> Archived:
    return Archived(station_id="visitor", stream_id=stream_id, sequence=sequence, timestamp=SINCE)


def printing(folder: Path, *lines: object, status: int = 0) -> ArchiveObserver:
    """An observer whose program prints these lines, and leaves its arguments behind."""
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    source = (
        "import pathlib, sys\n"
        f"pathlib.Path({str(folder / 'asked')!r}).write_text(' '.join(sys.argv[1:]))\n"
        f"print({text!r})\n"
        f"sys.exit({status} and 'evswap: nothing runs')\n"
    )
    return ArchiveObserver(program(folder, "evswap", source), folder / "state" / "stack.json")


def test_it_asks_for_one_station_and_reads_the_lines(tmp_path: Path) -> None:
    line = {"station_id": "visitor", "stream_id": "s", "sequence": 7, "timestamp": "2026-11-23T04:00:01Z"}
    observer = printing(tmp_path, line, line | {"sequence": 8, "quality": {"humidity": "failed"}})
    account = observer.account("visitor", since=SINCE)
    assert account.numbers == [7, 8]
    assert account.readings[1].quality == {"humidity": "failed"}
    assert (tmp_path / "asked").read_text() == (
        f"archive list --state-dir {tmp_path}/state --station visitor --since 2026-11-23T04:00:00Z"
    )


@pytest.mark.parametrize("lines", [["no JSON"], [{"station_id": "visitor"}]])
def test_what_is_no_list_is_told(tmp_path: Path, lines: list[object]) -> None:
    with pytest.raises(ArchiveUnreadable, match="no list"):
        printing(tmp_path, *lines).account("visitor", since=SINCE)


def test_what_the_program_says_is_told(tmp_path: Path) -> None:
    with pytest.raises(ArchiveUnreadable, match="nothing runs"):
        printing(tmp_path, status=1).account("visitor", since=SINCE)


@given(there=st.sets(st.integers(1, 60)), missing=st.sets(st.integers(1, 60)), twice=st.integers(0, 3))
def test_it_counts_what_is_lost_and_what_is_there_twice(
    there: set[int], missing: set[int], twice: int
) -> None:
    numbers = sorted(there - missing)
    account = Account(tuple(archived(number) for number in numbers + numbers[:1] * twice))
    assert account.lost(1, 60) == 60 - len(numbers)
    assert account.twice == (twice if numbers else 0)
    assert account.newest == max(numbers, default=0)


def test_streams_are_told_apart() -> None:
    assert Account((archived(1), archived(2), archived(1, "t"))).streams == {"s", "t"}
