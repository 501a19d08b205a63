"""The auditor: a log of a network that works passes, in any order, and one that is broken does not."""

import gzip
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evswap_cloud.__main__ import main
from evswap_cloud.audit import Audit, Line, audit, told
from evswap_cloud.events import StationEvent
from evswap_cloud.ledger import Code, Debt, LedgerReader, Place, SwapState, enter, memory_book
from evswap_cloud.ledger.authorisations import Grant
from evswap_schema import Authority, Clock, SwapEvent, SwapStep, encode_event, format_timestamp
from tests.cloud.messages import NOW
from tests.cloud.station_events import holds, inventory, station_event, swap
from tests.cloud.story import SWAPS_A_DAY, story
from tests.cloud.test_ledger import CONTRADICTED, IN, OUT, step

Events = list[StationEvent]


def line(event: StationEvent, source: str = "log:1") -> Line:
    document = json.loads(encode_event(event.event))
    document["received_at"] = format_timestamp(event.received_at)
    return Line(source, json.dumps(document).encode())


def audited(events: Events) -> Audit:
    return audit(line(event, f"log:{number}") for number, event in enumerate(events, 1))


@pytest.fixture(scope="module")
def week() -> Events:
    return list(story(7, stations=3, days=7, swaps_a_day=40))


def test_a_month_of_twenty_stations_is_consistent() -> None:
    """88,800 visits at full length; else every tenth of them."""
    swaps_a_day = SWAPS_A_DAY if os.environ.get("EVSWAP_BENCH") == "full" else SWAPS_A_DAY // 10
    result = audited(list(story(1, stations=20, days=30, swaps_a_day=swaps_a_day)))
    assert result.stations == 20
    assert result.violations == ()
    assert result.findings == ()
    visits = 20 * 30 * swaps_a_day
    assert sum(result.swaps.values()) == visits - result.refusals
    assert result.swaps.keys() == {SwapState.COMPLETED, SwapState.OUT_TIMED_OUT}
    assert (
        sum(result.batteries.values()) == result.batteries[Place.STATION] + result.batteries[Place.CUSTOMER]
    )
    assert 0.08 * visits < result.offline_swaps < 0.12 * visits


def test_order_and_repetition_change_nothing(week: Events) -> None:
    shuffled = week + week[::7]
    random.Random(3).shuffle(shuffled)
    result, other = audited(week), audited(shuffled)
    for name in set(result.__struct_fields__) - {"lines"}:
        assert getattr(result, name) == getattr(other, name)
    assert (result.lines, other.lines) == (len(week), len(shuffled))


def test_the_auditor_and_the_ledger_agree_on_where_every_battery_is(week: Events) -> None:
    book = memory_book()
    shuffled = week[:]
    random.Random(5).shuffle(shuffled)
    for start in range(0, len(shuffled), 100):
        assert enter(book, shuffled[start : start + 100]).failures == {}
    reader = LedgerReader(book.batteries, book.swaps)
    answers = [reader.find(serial, NOW) for serial, _ in book.batteries.every()]
    places = [answer.whereabouts.place for answer in answers if answer is not None]
    counted = audited(week).batteries
    assert {place: places.count(place) for place in counted} == counted


def test_a_hundred_swaps_while_offline_are_in_the_ledger_when_they_have_come() -> None:
    """The station's events come after those of the others, the last of them first."""
    events = list(story(11, stations=3, days=5, swaps_a_day=60))
    away = [event for event in events if event.event.station_id == "station-02"]
    swaps = {event.event.request_id for event in away if isinstance(event.event, SwapEvent)}
    assert len(swaps) >= 100
    late, prompt = memory_book(), memory_book()
    enter(prompt, events)
    enter(late, [event for event in events if event not in away])
    for event in away[::-1]:
        enter(late, [event])
    one, other = (LedgerReader(book.batteries, book.swaps) for book in (prompt, late))
    for serial, _ in prompt.batteries.every():
        expected, got = one.find(serial, NOW), other.find(serial, NOW)
        assert expected is not None
        assert got is not None
        assert (got.whereabouts, got.findings) == (expected.whereabouts, expected.findings)


def lose_a_departure(events: Events) -> Events:
    """Of a battery that comes back later: it then comes in although it never left."""
    for place, event in enumerate(events):
        if _is(event, SwapStep.BATTERY_OUT) and any(
            _serial(later) == _serial(event) and _is(later, SwapStep.BATTERY_IN)
            for later in events[place + 1 :]
        ):
            return events[:place] + events[place + 1 :]
    raise AssertionError("no such battery")


def lose_an_arrival(events: Events) -> Events:
    place = next(n for n, event in enumerate(events) if _is(event, SwapStep.BATTERY_IN))
    serial = _serial(events[place])
    leaves = next(
        (e for e in events[place + 1 :] if _serial(e) == serial and _is(e, SwapStep.BATTERY_OUT)), None
    )
    assert leaves is not None
    return events[:place] + events[place + 1 :]


def let_it_leave_elsewhere(events: Events) -> Events:
    return _with_copy(events, SwapStep.BATTERY_OUT, station_id="station-99", request_id=10**6)


def let_it_come_twice(events: Events) -> Events:
    return _with_copy(events, SwapStep.BATTERY_IN, station_id="station-99", request_id=10**6)


def tell_it_differently(events: Events) -> Events:
    place = next(n for n, event in enumerate(events) if _is(event, SwapStep.BATTERY_IN))
    lie = msgspec.structs.replace(events[place].event, request_id=10**6)
    return [*events, msgspec.structs.replace(events[place], event=lie)]


def _with_copy(events: Events, wanted: SwapStep, **changes: object) -> Events:
    place = next(n for n, event in enumerate(events) if _is(event, wanted))
    copied = msgspec.structs.replace(events[place].event, sequence=10**9, **changes)
    return [*events, msgspec.structs.replace(events[place], event=copied)]


def _is(event: StationEvent, wanted: SwapStep) -> bool:
    return isinstance(event.event, SwapEvent) and event.event.step is wanted


def _serial(event: StationEvent) -> str | None:
    return event.event.batteries[0].serial_number if isinstance(event.event, SwapEvent) else None


BREAKS: list[tuple[Callable[[Events], Events], set[Code]]] = [
    (lose_a_departure, {Code.CAME_TWICE, Code.DISPLACED}),
    (lose_an_arrival, {Code.LEFT_TWICE, Code.DISPLACED, Code.NOT_THERE}),
    (let_it_leave_elsewhere, {Code.LEFT_TWICE, Code.LEFT_FROM_ELSEWHERE}),
    (let_it_come_twice, {Code.CAME_TWICE}),
    (tell_it_differently, {Code.TOLD_DIFFERENTLY}),
]


@pytest.mark.parametrize(("broken", "expected"), BREAKS, ids=[one.__name__ for one, _ in BREAKS])
def test_a_broken_log_fails_and_names_the_event_at_fault(
    week: Events, broken: Callable[[Events], Events], expected: set[Code]
) -> None:
    result = audited(broken(week))
    assert {finding.code for finding in result.violations} & expected
    assert all(finding.stamp is not None for finding in result.violations)
    [count] = [text for text in told(result) if text.startswith("violations: ")]
    assert count == f"violations: {len(result.violations)}"
    assert sum("(event " in text for text in told(result)) == len(result.violations)


@pytest.mark.parametrize(("events", "expected"), CONTRADICTED)
def test_the_auditor_finds_what_the_ledger_finds(events: list[SwapEvent], expected: list[Code]) -> None:
    found = [finding.code for finding in audited([station_event(event) for event in events]).findings]
    assert set(expected) <= set(found)


def test_a_battery_in_two_bays_of_one_event_is_a_violation() -> None:
    twice = station_event(inventory(1, holds(1, "B-1"), holds(2, "B-1")))
    assert [finding.code for finding in audited([twice]).violations] == [Code.TWO_BAYS_AT_ONCE]


def test_debts_are_by_customer_and_settled_by_another_swap() -> None:
    gave, took = step(1, IN), step(60, OUT, "B-2", bay=2, request=2)
    much_later = swap(9, timestamp=NOW, id_token="c" * 64, request_id=9, batteries=gave.batteries[:0] or (
        msgspec.structs.replace(gave.batteries[0], serial_number="B-9", bay=7),
    ))  # fmt: skip
    end = station_event(msgspec.structs.replace(much_later, step=SwapStep.BATTERY_OUT_TIMEOUT))
    owed = audited([station_event(gave), end])
    assert (owed.debts, owed.customers_owed) == ({Debt.CUSTOMER_IS_OWED: 1}, 1)
    settled = audited([station_event(gave), station_event(took), end])
    assert (settled.customers_owed, settled.customers_owing) == (0, 0)


def test_what_was_spent_is_held_against_what_was_granted() -> None:
    offline: dict[str, Any] = {"authority": Authority.OFFLINE, "authorisation_id": "A-1"}
    spent = [step(1, IN, **offline), step(3, IN, "B-3", station_id="station-02", **offline)]
    lines = [line(station_event(event)) for event in spent]
    for grants, expected in (
        (None, []),
        ({"A-1": Grant("a" * 64, 2, NOW)}, []),
        ({"A-1": Grant("a" * 64, 1, NOW)}, [Code.OVERSPENT]),
        ({}, [Code.UNKNOWN_AUTHORISATION]),
    ):
        result = audit(lines, grants)
        assert [finding.code for finding in result.findings] == expected
        assert result.violations == (), "it happens in the field"


def test_a_corrected_time_is_no_other_story(week: Events) -> None:
    estimated = msgspec.structs.replace(
        week[5].event, clock=Clock.ESTIMATED, timestamp=NOW.replace(year=2001)
    )
    for log in ([*week, msgspec.structs.replace(week[5], event=estimated)],):
        assert audited(log).violations == ()
        assert audited(log[::-1]).violations == ()


def test_the_command_counts_a_folder_and_fails_on_a_broken_one(
    week: Events, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    day = tmp_path / "year=2026"
    day.mkdir()
    (day / "a.jsonl.gz").write_bytes(gzip.compress(b"\n".join(line(one).content for one in week[:500])))
    (day / "b.jsonl").write_bytes(b"\n".join(line(one).content for one in week[500:]))
    (day / "notes.txt").write_text("no archive")
    assert main(["audit", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"{len(week)} lines, {len(week)} events of 3 stations" in out
    assert "violations: 0" in out
    (day / "c.jsonl").write_bytes(b"{\n")
    assert main(["audit", str(tmp_path)]) == 1
    assert "unreadable: year=2026/c.jsonl:1" in capsys.readouterr().out
    assert main(["audit", "--json", str(tmp_path)]) == 1
    assert json.loads(capsys.readouterr().out)["violations"] == 1
    assert main(["audit", str(tmp_path / "nowhere")]) == 2
