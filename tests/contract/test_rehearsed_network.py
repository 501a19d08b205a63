"""A day of simulated stations, served by the real swap controller, in the ledger and before the auditor.

The stations' software tells what it did, the ledger works out where every battery is, and the simulated world
knows. The link is down all day: what was swapped meanwhile comes late, in any order and twice.
"""

import json
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from evswap_cloud.audit import Audit, Line, audit, read_line
from evswap_cloud.ledger import Book, Code, LedgerReader, Place, SwapState, Whereabouts, enter, memory_book
from evswap_edge.rehearsal.network import Network
from evswap_edge.rehearsal.playing import Play, Result, play

STATIONS: Final = ("station-01", "station-02", "station-03")
MONDAY: Final = datetime(2026, 6, 1, tzinfo=UTC)
LATER: Final = MONDAY + timedelta(days=7)
OFFLINE_SWAPS: Final = 100


class Day(NamedTuple):
    results: dict[str, Result]
    lines: list[bytes]

    @property
    def standing(self) -> dict[str, tuple[str, int]]:
        """Where each battery that is in a station stands, in truth."""
        return {
            serial: (station, bay)
            for station, result in self.results.items()
            for bay, serial in result.standing.items()
            if serial is not None
        }


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    network = Network(1, tmp_path_factory.mktemp("network"))
    lines: list[bytes] = []
    results = {
        name: play(
            Play(station_id=name, seed=1, bays=8, days=1.0, start=MONDAY, offline=True),
            network,
            lines.append,
            lambda line: None,
        )
        for name in STATIONS
    }
    return Day(results, lines)


def audited(lines: Iterable[bytes]) -> Audit:
    return audit(Line(f"archive:{number}", line) for number, line in enumerate(lines, 1))


def entered(lines: list[bytes]) -> Book:
    """In the queue's portions."""
    book, events = memory_book(), [read_line(line) for line in lines]
    for start in range(0, len(events), 10):
        assert enter(book, events[start : start + 10]).failures == {}
    return book


def whereabouts(book: Book) -> dict[str, Whereabouts]:
    reader = LedgerReader(book.batteries, book.swaps)
    answers = {serial: reader.find(serial, LATER) for serial, _ in book.batteries.every()}
    return {serial: answer.whereabouts for serial, answer in answers.items() if answer is not None}


def test_a_day_of_stations_is_consistent(day: Day) -> None:
    assert [result.contradictions for result in day.results.values()] == [[], [], []]
    found = audited(day.lines)
    assert found.violations == ()
    assert found.stations == len(STATIONS)
    assert found.swaps[SwapState.COMPLETED] == found.offline_swaps >= OFFLINE_SWAPS


def test_the_ledger_knows_where_each_battery_is(day: Day) -> None:
    known = whereabouts(entered(day.lines))
    in_stations = {
        serial: (where.station_id, where.bay)
        for serial, where in known.items()
        if where.place is Place.STATION
    }
    assert in_stations == day.standing
    assert {where.place for where in known.values()} == {Place.STATION, Place.CUSTOMER}


@pytest.mark.parametrize("seed", range(3))
def test_late_in_any_order_and_twice_it_is_the_same_ledger(day: Day, seed: int) -> None:
    """A hundred swaps offline, of several stations at once."""
    shuffled = [*day.lines, *day.lines[::5]]
    random.Random(seed).shuffle(shuffled)
    assert whereabouts(entered(shuffled)) == whereabouts(entered(day.lines))
    assert audited(shuffled).violations == ()


# --- a station, or a road, that loses or invents --------------------------------------------------------


def lose_a_departure(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of a battery whose bay takes another one later."""
    lost = next(event for event in events if event.get("step") == "battery_out")
    return [event for event in events if event is not lost]


def lose_an_arrival(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of a battery that was given to somebody later."""
    given = {serial_of(event) for event in events if event.get("step") == "battery_out"}
    lost = next(event for event in events if event.get("step") == "battery_in" and serial_of(event) in given)
    return [event for event in events if event is not lost]


def tell_a_departure_again(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of another swap, under a new sequence."""
    out = next(event for event in events if event.get("step") == "battery_out")
    return [*events, {**out, "sequence": 10**6, "request_id": 2**31 - 1}]


def serial_of(event: dict[str, Any]) -> str:
    return str(event["batteries"][0]["serial_number"])


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (lose_a_departure, {Code.DISPLACED, Code.CAME_TWICE}),
        (lose_an_arrival, {Code.NOT_THERE, Code.LEFT_TWICE, Code.DISPLACED}),
        (tell_a_departure_again, {Code.LEFT_TWICE, Code.LEFT_FROM_ELSEWHERE}),
    ],
    ids=["lose_a_departure", "lose_an_arrival", "tell_a_departure_again"],
)
def test_a_planted_fault_is_found(
    day: Day, broken: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], expected: set[Code]
) -> None:
    events = broken([json.loads(line) for line in day.lines])
    found = audited(json.dumps(event).encode() for event in events)
    assert {finding.code for finding in found.violations} & expected


def test_what_the_command_writes_is_what_the_auditor_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from evswap_cloud.__main__ import main as cloud
    from evswap_edge.command_line import main as edge

    folder = str(tmp_path / "events")
    assert edge(["simulate", "--swaps", "--bays=8", "--days=0.3", "--events", folder]) == 0
    assert cloud(["audit", folder]) == 0
    assert "violations: 0" in capsys.readouterr().out
