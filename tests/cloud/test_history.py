"""What stations' minutes come to: in the table, whatever comes twice or late, and at any step."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import reduce
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from evswap_cloud.errors import Reason
from evswap_cloud.history import (
    FIELDS,
    LENGTH,
    RESOLUTIONS,
    RETENTION,
    Quarter,
    course_of,
    from_item,
    merged,
    quarters_of,
    to_item,
)
from evswap_cloud.memory import MemoryHistory
from evswap_schema import Clock, MinuteAggregate, Span
from tests.cloud.messages import NOW
from tests.cloud.minutes import BEGIN, any_minutes, batch_with, minute
from tests.cloud.stores import Stores

DYNAMODB_WRITE_UNIT = 1_024
LONGEST_ID = "s" * 64

some = settings(max_examples=40, deadline=None)
"""Of stories that are long."""


# --- quarters ---


@some
@given(told=st.lists(any_minutes, max_size=20))
def test_a_quarter_is_read_as_it_was_written_and_fits_into_one_write_unit(
    told: list[MinuteAggregate],
) -> None:
    for quarter in quarters_of(LONGEST_ID, told):
        assert from_item(to_item(quarter)) == quarter
        assert item_bytes(quarter) < DYNAMODB_WRITE_UNIT
        assert all(quarter.start <= one.minute < quarter.start + LENGTH for one in quarter.minutes)


def test_a_whole_quarter_of_a_station_with_a_long_name_takes_half_a_write_unit() -> None:
    [quarter] = quarters_of(LONGEST_ID, [minute(number) for number in range(15)])
    assert item_bytes(quarter) == 574


def item_bytes(quarter: Quarter) -> int:
    """As DynamoDB counts: names, and values; a number of ten digits takes six bytes."""
    item = to_item(quarter)
    sizes = {"S": len, "B": len, "N": lambda digits: (len(digits) + 1) // 2 + 1}
    return sum(len(name) + sizes[kind](value) for name, of in item.items() for kind, value in of.items())


@some
@given(told=st.lists(any_minutes, max_size=20))
def test_what_is_as_fine_as_it_is_kept_is_kept_as_it_is(told: list[MinuteAggregate]) -> None:
    once = {one.minute: one for one in told}
    kept = [one for quarter in quarters_of("s", once.values()) for one in quarter.minutes]
    assert kept == [once[moment] for moment in sorted(once)]


@some
@given(pieces=st.lists(st.lists(any_minutes, min_size=1, max_size=6), min_size=1, max_size=4))
def test_pieces_of_a_quarter_come_to_the_same_in_any_order_and_as_often_as_they_come(
    pieces: list[list[MinuteAggregate]],
) -> None:
    def kept(order: Sequence[list[MinuteAggregate]]) -> dict[tuple[str, datetime], Quarter]:
        history = MemoryHistory()
        for piece in order:
            for quarter in quarters_of("s", piece):
                history.keep(quarter)
        return history.quarters

    first = kept(pieces)
    assert all(kept(order) == first for order in permutations(pieces))
    assert kept([*pieces, *pieces]) == first
    assert kept([[one for piece in pieces for one in piece]]) == first


def test_of_a_minute_that_was_told_in_two_pieces_the_fuller_one_stands() -> None:
    less, more = minute(3, samples=4), minute(3, samples=8, mean=5.0)
    told = [quarters_of("s", [less, minute(2)])[0], quarters_of("s", [more])[0]]
    assert reduce(merged, told).minutes == (minute(2), more)


# --- a course ---


@pytest.mark.parametrize("resolution", [RESOLUTIONS[0], timedelta(minutes=5), timedelta(hours=1)])
@some
@given(told=st.lists(any_minutes, max_size=30, unique_by=lambda one: one.minute))
def test_a_course_is_what_its_minutes_come_to(resolution: timedelta, told: list[MinuteAggregate]) -> None:
    end = BEGIN + timedelta(hours=1)
    course = course_of(quarters_of("s", told), begin=BEGIN, end=end, resolution=resolution)
    steps = (end - BEGIN) // resolution
    for index in range(steps):
        since = BEGIN + index * resolution
        within = [one for one in told if since <= one.minute < since + resolution]
        assert course.samples[index] == sum(one.samples for one in within)
        for name in FIELDS:
            spans = [(one.samples, getattr(one, name)) for one in within if getattr(one, name) is not None]
            assert_step(course.fields[name], index, spans)


def assert_step(field: Any, index: int, spans: list[tuple[int, Span]]) -> None:
    found = field.least[index], field.mean[index], field.greatest[index]
    if not spans:
        assert found == (None, None, None)
        return
    assert found[0] == min(span.least for _, span in spans)
    assert found[2] == max(span.greatest for _, span in spans)
    weighted = sum(samples * span.mean for samples, span in spans) / sum(samples for samples, _ in spans)
    assert found[1] == pytest.approx(weighted, abs=0.0051)


def test_a_gap_is_a_gap() -> None:
    quarters = quarters_of("s", [minute(0), minute(2)])
    course = course_of(
        quarters,
        begin=BEGIN,
        end=BEGIN + timedelta(minutes=4),
        resolution=RESOLUTIONS[0],
        fields=["humidity", "temperature"],
    )
    assert course.samples == (12, 0, 12, 0)
    assert course.fields["temperature"].mean == (20.75, None, 20.75, None)
    assert course.fields["humidity"].mean == (None,) * 4
    assert list(course.fields) == ["humidity", "temperature"]
    assert course.known_until == BEGIN + timedelta(minutes=3)


# --- ingest ---


@pytest.fixture
def stores() -> Stores:
    return Stores()


def kept(stores: Stores, station_id: str = "station-01") -> list[MinuteAggregate]:
    return [
        one
        for (of, _), quarter in sorted(stores.history.quarters.items())
        if of == station_id
        for one in quarter.minutes
    ]


@pytest.mark.parametrize("backlog", [False, True])
def test_the_minutes_of_a_batch_are_kept_once(stores: Stores, backlog: bool) -> None:
    told = [minute(number) for number in range(15)]
    records = [batch_with(told, backlog=backlog)]
    assert stores.bulk.process(records).quarters == 1
    again = stores.bulk.process(records)
    assert (again.quarters, again.failures, again.quarantined) == (0, (), ())
    assert kept(stores) == told


def test_a_quarter_that_several_batches_of_an_invocation_tell_of_is_written_once(stores: Stores) -> None:
    records = [
        batch_with([minute(0), minute(1)], "a"),
        batch_with([minute(2)], "b", sequence=2),
        batch_with([minute(0)], "c", station_id="station-02"),
        batch_with([], "d", sequence=4),
    ]
    assert stores.bulk.process(records).quarters == 2
    assert len(stores.history.writes) == 2
    assert kept(stores) == [minute(0), minute(1), minute(2)]


def test_a_batch_without_minutes_touches_no_history(stores: Stores) -> None:
    assert stores.bulk.process([batch_with([])]).quarters == 0
    assert stores.history.writes == []


def test_minutes_that_are_yet_to_come_are_put_aside_and_the_samples_beside_them_kept(
    stores: Stores,
) -> None:
    record = batch_with([minute(0), minute(24 * 60)])
    report = stores.bulk.process([record, batch_with([minute(1)], "b", station_id="station-02")])
    assert (report.archived, report.failures, report.quarters) == (1, (), 1)
    [aside] = stores.quarantine.messages.values()
    assert report.quarantined == (aside,)
    assert (aside.reason, aside.field) == (Reason.FUTURE_TIMESTAMP, "minutes[1].minute")
    assert kept(stores) == []
    assert "station-01" in stores.latest.states


def test_a_quarantine_that_is_down_brings_the_record_back(stores: Stores) -> None:
    stores.quarantine.down = True
    report = stores.bulk.process([batch_with([minute(24 * 60)], "r")])
    assert [failure.record_id for failure in report.failures] == ["r"]


def test_minutes_that_nobody_could_ask_for_any_more_are_left_out(stores: Stores) -> None:
    late = BEGIN + RETENTION + timedelta(minutes=1)
    report = stores.bulk.process([batch_with([minute(0), minute(2)], received_at=late)])
    assert (report.failures, report.quarantined) == ((), ())
    assert kept(stores) == [minute(2)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"minute": BEGIN + timedelta(seconds=1)}, "minutes[0].minute"),
        ({"minute": BEGIN + timedelta(microseconds=1)}, "minutes[0].minute"),
        ({"battery_available": Span(least=4.0, mean=3.0, greatest=5.0)}, "minutes[0].battery_available"),
        ({"battery_charging": Span(least=0.0, mean=3.0, greatest=1e300)}, "minutes[0].battery_charging"),
        ({"battery_available": Span(least=-1.0, mean=3.0, greatest=5.0)}, "minutes[0].battery_available"),
        ({"temperature": Span(least=-61.0, mean=0.0, greatest=1.0)}, "minutes[0].temperature"),
        ({"humidity": Span(least=0.0, mean=1.0, greatest=100.1)}, "minutes[0].humidity"),
    ],
)
def test_what_no_minute_can_be_refuses_its_batch(stores: Stores, changes: dict[str, Any], field: str) -> None:
    report = stores.bulk.process([batch_with([replace(minute(), **changes)])])
    [aside] = report.quarantined
    assert (aside.reason, aside.field) == (Reason.INVALID_FIELD, field)
    assert (stores.archive.objects, stores.history.quarters) == ({}, {})


@pytest.mark.parametrize(
    "moment", [BEGIN.replace(year=1), BEGIN.replace(year=1969), BEGIN.replace(year=9999)]
)
def test_an_impossible_date_stops_nobody(stores: Stores, moment: datetime) -> None:
    report = stores.bulk.process([batch_with([minute(minute=moment)]), batch_with([minute(1)], "b")])
    assert report.failures == ()
    assert kept(stores) == [minute(1)]


@pytest.mark.parametrize(
    ("backlog", "late", "known"),
    [
        (False, timedelta(0), True),
        (False, timedelta(minutes=4), True),
        (False, timedelta(minutes=6), False),
        (False, timedelta(minutes=-4), True),
        (True, timedelta(0), False),
    ],
)
def test_minutes_of_a_clock_that_nobody_set_count_where_it_is_seen_to_be_right(
    stores: Stores, backlog: bool, late: timedelta, known: bool
) -> None:
    record = batch_with([minute(0)], backlog=backlog, received_at=NOW + late, clock=Clock.ESTIMATED)
    report = stores.bulk.process([record])
    assert (report.failures, report.quarantined, report.archived) == ((), (), 1)
    assert kept(stores) == ([minute(0)] if known else [])


def test_all_records_of_a_quarter_that_could_not_be_written_come_again_and_then_it_is(
    stores: Stores,
) -> None:
    stores.history.refused.add("station-01")
    records = [
        batch_with([minute(0)], "a"),
        batch_with([minute(1)], "b", sequence=2),
        batch_with([minute(0)], "c", station_id="station-02"),
    ]
    report = stores.bulk.process(records)
    assert {failure.record_id for failure in report.failures} == {"a", "b"}
    assert (report.quarters, report.moved) == (1, 2)
    stores.history.refused.clear()
    assert stores.bulk.process(records).failures == ()
    assert kept(stores) == [minute(0), minute(1)]


def test_what_the_archive_did_not_take_is_no_history_yet(stores: Stores) -> None:
    stores.archive.refused.add("bulk/")
    assert stores.bulk.process([batch_with([minute(0)])]).failures
    assert kept(stores) == []
