"""Batches: one object of JSON lines an invocation and day, then the newest of each station."""

import json
from datetime import timedelta

import pytest

from evswap_cloud.archive import readings_in
from evswap_cloud.errors import Reason
from evswap_schema import Channel, Reading, decode_reading
from tests.cloud.messages import NOW, altered, delivered_batches, delivery, envelope, reading
from tests.cloud.stores import Stores


def run(station_id: str = "station-01", count: int = 12) -> list[Reading]:
    return [
        reading(
            station_id=station_id,
            stream_id=f"stream-of-{station_id}",
            sequence=number,
            timestamp=NOW - timedelta(seconds=5 * (count - number)),
            battery_available=number,
        )
        for number in range(1, count + 1)
    ]


@pytest.fixture
def stores() -> Stores:
    return Stores()


def test_all_readings_of_an_invocation_go_into_one_object_by_day_received(stores: Stores) -> None:
    records = [*delivered_batches(run("station-01"), "a"), *delivered_batches(run("station-02"), "b")]
    report = stores.bulk.process(records)
    [item] = stores.archive.objects.values()
    assert item.key.startswith("bulk/year=2026/month=11/day=23/20261123T081530.250000Z_")
    lines = readings_in(item.key, item.body)
    assert len(lines) == 24
    assert {decode_reading(line) for line in lines} == {*run("station-01"), *run("station-02")}
    assert json.loads(lines[0])["received_at"] == "2026-11-23T08:15:30.250000Z"
    assert {name: state.sequence for name, state in stores.latest.states.items()} == {
        "station-01": 12,
        "station-02": 12,
    }
    assert (len(stores.latest.offers), report.archived, report.failures) == (2, 1, ())


def test_the_same_records_make_the_same_object_in_any_order(stores: Stores) -> None:
    records = [*delivered_batches(run("station-01"), "a"), *delivered_batches(run("station-02"), "b")]
    stores.bulk.process(records)
    report = stores.bulk.process(records[::-1])
    assert (len(stores.archive.objects), report.repeated, report.moved) == (1, 1, 0)


def test_a_batch_that_is_there_twice_has_its_lines_once(stores: Stores) -> None:
    [batch] = delivered_batches(run())
    [later] = delivered_batches(run(), "again", received_at=NOW + timedelta(seconds=2))
    stores.bulk.process([later, batch])
    [item] = stores.archive.objects.values()
    arrivals = [json.loads(line)["received_at"] for line in readings_in(item.key, item.body)]
    assert arrivals == ["2026-11-23T08:15:30.250000Z"] * 12


def test_each_day_received_has_an_object_of_its_own(stores: Stores) -> None:
    midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    before = delivered_batches(run("station-01"), "a", received_at=midnight - timedelta(milliseconds=1))
    after = delivered_batches(run("station-02"), "b", received_at=midnight)
    stores.bulk.process([*before, *after])
    assert sorted(key.split("/")[3] for key in stores.archive.objects) == ["day=22", "day=23"]


def test_backlog_is_archived_and_never_moves_a_state(stores: Stores) -> None:
    report = stores.bulk.process(delivered_batches(run(), backlog=True))
    assert len(stores.archive.objects) == 1
    assert (stores.latest.offers, report.moved, report.failures) == ([], 0, ())


def test_a_batch_and_single_readings_move_one_state_by_sequence(stores: Stores) -> None:
    batch = delivered_batches(run(count=12))
    stores.bulk.process(batch)
    stores.bulk.process(delivered_batches(run(count=4), "older"))
    assert stores.latest.states["station-01"].sequence == 12


def test_readings_ahead_of_their_receipt_are_flagged_line_by_line(stores: Stores) -> None:
    ahead = [
        reading(stream_id="s", sequence=1),
        reading(stream_id="s", sequence=2, timestamp=NOW + timedelta(hours=1)),
    ]
    stores.bulk.process(delivered_batches(ahead))
    [item] = stores.archive.objects.values()
    assert [json.loads(line).get("flags") for line in readings_in(item.key, item.body)] == [
        None,
        ["future_timestamp"],
    ]
    assert stores.latest.states["station-01"].observed_at == NOW + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"client_id": "station-02"}, Reason.WRONG_CLIENT),
        ({"station_id": "station-02"}, Reason.WRONG_STATION),
        ({"topic": "ev/station/station-01/telemetry"}, Reason.WRONG_TOPIC),
        ({"payload": "bm90IGEgYmF0Y2g="}, Reason.MALFORMED),
        ({"payload": "e30="}, Reason.INVALID_FIELD),
    ],
)
def test_a_batch_that_must_not_enter_is_put_aside_and_the_others_are_not(
    stores: Stores, changes: dict[str, str], reason: Reason
) -> None:
    [good] = delivered_batches(run("station-03"), "good")
    [bad] = delivered_batches(run("station-01"), "bad")
    report = stores.bulk.process([delivery(altered(bad.body, changes), "bad"), good])
    assert [message.reason for message in report.quarantined] == [reason]
    assert stores.latest.states.keys() == {"station-03"}
    assert report.failures == ()


def test_a_batch_with_an_impossible_day_is_put_aside_whole(stores: Stores) -> None:
    readings = [reading(stream_id="s", sequence=1, timestamp=NOW.replace(year=1950))]
    report = stores.bulk.process(delivered_batches(readings))
    assert [message.reason for message in report.quarantined] == [Reason.IMPOSSIBLE_TIMESTAMP]
    assert not stores.archive.objects


def test_when_the_archive_fails_all_of_its_records_come_again_and_no_state_moves(stores: Stores) -> None:
    records = [*delivered_batches(run("station-01"), "a"), *delivered_batches(run("station-02"), "b")]
    stores.archive.refused = {"bulk/"}
    report = stores.bulk.process([*records, delivery(envelope(b"bad", channel=Channel.BATCH), "bad")])
    assert sorted(failure.record_id for failure in report.failures) == ["a", "b"]
    assert not stores.latest.offers

    stores.archive.refused = set()
    again = stores.bulk.process(records)
    assert (again.failures, again.archived, again.moved) == ((), 1, 2)


def test_when_a_state_fails_the_records_of_its_station_come_again(stores: Stores) -> None:
    records = [*delivered_batches(run("station-01"), "a"), *delivered_batches(run("station-02"), "b")]
    stores.latest.refused = {"station-02"}
    report = stores.bulk.process(records)
    assert [failure.record_id for failure in report.failures] == ["b"]
    stores.latest.refused = set()
    assert stores.bulk.process(records[1:]).failures == ()
    assert stores.latest.states["station-02"].sequence == 12
