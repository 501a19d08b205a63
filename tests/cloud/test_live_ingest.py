"""Single readings: what is archived, what moves a state, what is put aside, what comes again."""

import json
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TypeVar

import pytest

from evswap_cloud.errors import Reason
from evswap_cloud.ingest import LiveIngest
from evswap_cloud.latest import Flag
from evswap_schema import compact_timestamp, encode_reading, identity_of
from evswap_schema.limits import MAX_READING_BYTES
from tests.cloud.messages import NOW, altered, delivered, delivery, envelope, reading
from tests.cloud.stores import Stores

HOUR = timedelta(hours=1)

T = TypeVar("T")
R = TypeVar("R")


@pytest.fixture
def stores() -> Stores:
    return Stores()


def test_a_seed_message_is_archived_byte_for_byte_and_becomes_the_latest_state(stores: Stores) -> None:
    raw = json.dumps(json.loads(encode_reading(reading())) | {"colour": "green"}, indent=1).encode()
    report = stores.live.process([delivery(envelope(raw))])

    [item] = stores.archive.objects.values()
    uuid = identity_of(reading()).uuid
    assert item.key == f"telemetry/year=2026/month=11/day=23/station-01_20261123T081529.250000Z_{uuid}.json"
    assert item.body == raw
    assert item.metadata == {"received-at": "2026-11-23T08:15:30.250000Z", "client-id": "station-01"}
    state = stores.latest.states["station-01"]
    assert (state.battery_available, state.temperature, state.status) == (12, 28.5, "operational")
    assert (state.timestamp, state.observed_at, state.received_at) == (
        reading().timestamp,
        reading().timestamp,
        NOW,
    )
    assert (report.failures, report.quarantined, report.archived, report.moved) == ((), (), 1, 1)


def test_a_message_is_filed_under_the_day_of_its_own_timestamp(stores: Stores) -> None:
    stores.live.process([delivered(reading(timestamp=NOW - timedelta(days=30)))])
    [key] = stores.archive.objects
    assert key.startswith("telemetry/year=2026/month=10/day=24/station-01_")


def test_the_same_message_twice_has_one_effect(stores: Stores) -> None:
    first = stores.live.process([delivered(reading(), "a")])
    state = stores.latest.states["station-01"]
    again = stores.live.process([delivered(reading(), "b", received_at=NOW + HOUR)])

    assert len(stores.archive.objects) == 1
    assert stores.latest.states["station-01"] == state
    assert (first.archived, again.archived, again.repeated, again.moved) == (1, 0, 1, 0)
    assert again.failures == ()


def test_twice_in_one_batch_too(stores: Stores) -> None:
    report = stores.live.process([delivered(reading(), "a"), delivered(reading(), "b")])
    assert (len(stores.archive.objects), report.archived, report.repeated) == (1, 1, 1)


def last_first(function: Callable[[T], R], things: Iterable[T]) -> list[R]:
    """What a pool of threads may do at worst."""
    return [function(thing) for thing in reversed(list(things))][::-1]


def test_of_two_contents_in_one_batch_the_first_delivered_is_kept_in_whatever_order_writes_run(
    stores: Stores,
) -> None:
    contents = [delivered(reading(battery_available=number), f"r{number}") for number in range(4)]
    live = LiveIngest(
        archive=stores.archive,
        latest=stores.latest,
        quarantine=stores.quarantine,
        each=last_first,
    )
    report = live.process(contents)
    [item] = stores.archive.objects.values()
    assert item.body == encode_reading(reading(battery_available=0))
    assert {message.reason for message in report.quarantined} == {Reason.IDENTITY_CONFLICT}
    assert (len(report.quarantined), report.failures) == (3, ())


def test_an_older_message_never_overwrites_a_newer_state(stores: Stores) -> None:
    stores.live.process([delivered(reading(battery_available=5))])
    older = reading(battery_available=9, timestamp=NOW - HOUR)
    report = stores.live.process([delivered(older)])
    assert stores.latest.states["station-01"].battery_available == 5
    assert len(stores.archive.objects) == 2, "it is history all the same"
    assert (report.failures, report.moved) == ((), 0)


def test_within_a_stream_the_sequence_decides_whatever_the_clock_did(stores: Stores) -> None:
    ahead = reading(stream_id="s", sequence=1, timestamp=NOW - timedelta(minutes=1))
    after_the_clock_was_set = reading(stream_id="s", sequence=2, timestamp=NOW - HOUR, battery_available=2)
    stores.live.process([delivered(ahead)])
    stores.live.process([delivered(after_the_clock_was_set)])
    stores.live.process([delivered(ahead)])
    assert stores.latest.states["station-01"].sequence == 2


def test_a_new_stream_takes_over_by_time(stores: Stores) -> None:
    stores.live.process([delivered(reading(stream_id="old", sequence=9_000, timestamp=NOW - HOUR))])
    stores.live.process([delivered(reading(stream_id="new", sequence=1))])
    assert stores.latest.states["station-01"].stream_id == "new"


def test_one_write_a_station_and_invocation(stores: Stores) -> None:
    run = [reading(stream_id="s", sequence=number) for number in range(1, 21)]
    other = reading(station_id="station-02")
    records = [delivered(one, f"r{index}") for index, one in enumerate([*run[::-1], other])]
    report = stores.live.process(records)
    assert [(state.station_id, state.sequence) for state in stores.latest.offers] == [
        ("station-01", 20),
        ("station-02", None),
    ]
    assert (report.archived, report.moved) == (21, 2)


def test_a_seed_message_from_the_future_is_put_aside(stores: Stores) -> None:
    report = stores.live.process([delivered(reading(timestamp=NOW + timedelta(minutes=5, seconds=1)))])
    [message] = report.quarantined
    assert (message.reason, message.field) == (Reason.FUTURE_TIMESTAMP, "timestamp")
    assert not stores.archive.objects
    assert not stores.latest.states


def test_up_to_the_tolerance_is_no_future(stores: Stores) -> None:
    stores.live.process([delivered(reading(timestamp=NOW + timedelta(minutes=5)))])
    assert stores.latest.states["station-01"].flags == ()


def test_a_streams_reading_from_the_future_is_archived_and_flagged_and_does_not_hold_the_state(
    stores: Stores,
) -> None:
    ahead = reading(stream_id="s", sequence=1, timestamp=NOW + timedelta(days=400))
    stores.live.process([delivered(ahead)])
    [item] = stores.archive.objects.values()
    assert item.key.startswith("telemetry/year=2027/month=12/day=28/")
    assert item.metadata["flags"] == "future_timestamp"
    state = stores.latest.states["station-01"]
    assert state.flags == (Flag.FUTURE_TIMESTAMP,)
    assert (state.timestamp, state.observed_at) == (ahead.timestamp, NOW + timedelta(minutes=5))

    later = NOW + timedelta(minutes=6)
    stores.live.process([delivered(reading(timestamp=later), received_at=later)])
    assert stores.latest.states["station-01"].stream_id is None


@pytest.mark.parametrize(
    ("payload", "reason", "field"),
    [
        (b"", Reason.MALFORMED, ""),
        (b"not json", Reason.MALFORMED, ""),
        (b"\xff\xfe", Reason.MALFORMED, ""),
        (b"{}", Reason.INVALID_FIELD, "station_id"),
        (b"[" * 20_000, Reason.MALFORMED, ""),
        (b" " * 100_000, Reason.OVERSIZED, ""),
        (b" " * (MAX_READING_BYTES + 1), Reason.OVERSIZED, ""),
        (encode_reading(reading()).replace(b"12", b'"12"'), Reason.INVALID_FIELD, "battery_available"),
        (encode_reading(reading()).replace(b"28.5", b"128.5"), Reason.INVALID_FIELD, "temperature"),
        (encode_reading(reading()).replace(b"2026-11", b"0999-11"), Reason.IMPOSSIBLE_TIMESTAMP, "timestamp"),
        (encode_reading(reading()).replace(b"2026-11", b"1969-11"), Reason.IMPOSSIBLE_TIMESTAMP, "timestamp"),
        (encode_reading(reading(station_id="station-02")), Reason.WRONG_STATION, "station_id"),
    ],
)
def test_invalid_input_is_kept_byte_for_byte_and_reaches_no_store(
    stores: Stores, payload: bytes, reason: Reason, field: str
) -> None:
    report = stores.live.process([delivery(envelope(payload), "bad"), delivered(reading(), "good")])
    [message] = stores.quarantine.messages.values()
    assert message.body == payload
    assert (message.reason, message.field) == (reason, field)
    assert message.topic == "ev/station/station-01/telemetry"
    assert message.key.startswith("quarantine/year=2026/month=11/day=23/station-01_20261123T081530.250000Z_")
    assert report.failures == (), "what is in quarantine is done with"
    assert len(stores.archive.objects) == 1, "the good message beside it is unaffected"
    assert stores.latest.states["station-01"].battery_available == 12


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"client_id": "station-02"}, Reason.WRONG_CLIENT),
        ({"client_id": None}, Reason.WRONG_CLIENT),
        ({"station_id": "station-02"}, Reason.WRONG_STATION),
        ({"topic": "ev/station/station-02/telemetry"}, Reason.WRONG_TOPIC),
        ({"topic": "ev/station/station-01/telemetry/batch"}, Reason.WRONG_TOPIC),
        ({"topic": "$aws/rules/evswap_telemetry"}, Reason.WRONG_TOPIC),
    ],
)
def test_topic_client_and_body_have_to_name_one_station(
    stores: Stores, changes: dict[str, object], reason: Reason
) -> None:
    report = stores.live.process([delivery(altered(envelope(encode_reading(reading())), changes))])
    assert [message.reason for message in report.quarantined] == [reason]
    assert not stores.latest.states


def test_a_record_that_no_rule_wrote_is_kept_with_the_queues_time(stores: Stores) -> None:
    report = stores.live.process([delivery("{no envelope", sent_at=NOW - timedelta(days=1))])
    [message] = report.quarantined
    assert (message.reason, message.body) == (Reason.ENVELOPE, b"{no envelope")
    assert message.key.startswith("quarantine/year=2026/month=11/day=22/unknown_")


def test_one_identity_with_two_contents_keeps_the_first_and_puts_the_second_aside(stores: Stores) -> None:
    stores.live.process([delivered(reading(battery_available=1))])
    report = stores.live.process([delivered(reading(battery_available=2))])
    assert [message.reason for message in report.quarantined] == [Reason.IDENTITY_CONFLICT]
    assert stores.latest.states["station-01"].battery_available == 1
    [item] = stores.archive.objects.values()
    assert item.body == encode_reading(reading(battery_available=1))


def test_what_the_archive_refused_comes_again_alone_and_then_all_is_there(stores: Stores) -> None:
    run = [
        reading(stream_id="s", sequence=number, timestamp=NOW - timedelta(seconds=60 - number))
        for number in range(4)
    ]
    records = [delivered(one, f"r{one.sequence}") for one in run]
    stores.archive.refused = {compact_timestamp(run[3].timestamp)}
    report = stores.live.process(records)
    assert [failure.record_id for failure in report.failures] == ["r3"]
    assert stores.latest.states["station-01"].sequence == 2, "archive first: no state without its history"

    stores.archive.refused = set()
    assert stores.live.process([records[3]]).failures == ()
    assert len(stores.archive.objects) == 4
    assert stores.latest.states["station-01"].sequence == 3


def test_where_a_state_could_not_be_written_all_records_of_its_station_come_again(stores: Stores) -> None:
    records = [
        delivered(reading(stream_id="s", sequence=1), "r1"),
        delivered(reading(stream_id="s", sequence=2), "r2"),
        delivered(reading(station_id="station-02"), "r3"),
    ]
    stores.latest.refused = {"station-01"}
    report = stores.live.process(records)
    assert [failure.record_id for failure in report.failures] == ["r1", "r2"]
    assert stores.latest.states.keys() == {"station-02"}

    stores.latest.refused = set()
    again = stores.live.process(records[:2])
    assert (again.failures, again.archived, again.repeated, again.moved) == ((), 0, 2, 1)
    assert stores.latest.states["station-01"].sequence == 2


def test_what_the_quarantine_refused_comes_again(stores: Stores) -> None:
    stores.quarantine.down = True
    report = stores.live.process([delivery(envelope(b"bad"), "bad"), delivery("worse", "worse")])
    assert [failure.record_id for failure in report.failures] == ["bad", "worse"]
    assert report.quarantined == ()


def test_a_defect_of_ours_costs_its_own_record_only(stores: Stores) -> None:
    class Broken(Exception):
        pass

    def add(item: object) -> None:
        raise Broken

    live = stores.live
    stores.archive.add = add  # type: ignore[method-assign, assignment]
    report = live.process([delivered(reading(), "a"), delivery(envelope(b"bad"), "b")])
    assert [(failure.record_id, type(failure.error)) for failure in report.failures] == [("a", Broken)]
    assert len(report.quarantined) == 1
