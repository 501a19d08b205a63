"""The functions as Lambda calls them, over moto: the whole way, faults, and the retry that repairs."""

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest
from msgspec.structs import replace

from evswap_cloud.archive import readings_in
from evswap_cloud.errors import LatestStateError
from evswap_cloud.handlers import bulk, change, events, live
from evswap_cloud.ingest import Delivery
from evswap_schema import (
    Bay,
    Channel,
    Event,
    Lock,
    Reading,
    Reservation,
    decode_event,
    decode_reading,
    encode_event,
    encode_reading,
    message_digest,
)
from tests.cloud.messages import (
    NOW,
    bay,
    delivered,
    delivered_batches,
    delivery,
    envelope,
    reading,
    sqs_event,
)
from tests.cloud.station_events import alarm, delivered_event, event_envelope, swap
from tests.integration.aws import BUCKET, Aws, answer_to

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def call(handler: Handler, deliveries: Sequence[Delivery]) -> list[str]:
    """The records that have to come again."""
    answer = handler(sqs_event(deliveries), SimpleNamespace())
    assert answer.keys() == {"batchItemFailures"}
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def get(path: str) -> Any:
    return json.loads(answer_to(path))


def stream(station_id: str, count: int) -> list[Any]:
    return [
        reading(
            station_id=station_id,
            stream_id="s",
            sequence=number,
            timestamp=NOW - timedelta(seconds=count - number),
            battery_available=number,
        )
        for number in range(count)
    ]


def test_a_message_is_seen_in_the_archive_and_in_the_api(cloud: Aws) -> None:
    assert call(live.handler, [delivered(reading())]) == []
    [key] = cloud.keys()
    assert cloud.body(key) == encode_reading(reading())
    metadata = cloud.metadata(key)
    assert metadata["received-at"] == "2026-11-23T08:15:30.250000Z"
    assert metadata["client-id"] == "station-01"
    assert get("/stations")["count"] == 1
    assert get("/stations/station-01")["temperature"] == 28.5


def test_a_hundred_messages_of_ten_stations_are_all_there(cloud: Aws) -> None:
    records = [
        delivered(one, f"{one.station_id}/{one.sequence}")
        for number in range(10)
        for one in stream(f"station-{number:02}", 10)
    ]
    assert call(live.handler, records[::-1]) == []
    assert len(cloud.keys("telemetry/")) == 100
    page = get("/stations")
    assert page["count"] == 10
    assert {station["sequence"] for station in page["stations"]} == {9}


def test_twice_delivered_is_one_object_one_version_one_state(cloud: Aws) -> None:
    records = [delivered(reading(), "a"), delivered(reading(), "b")]
    assert call(live.handler, records) == []
    assert call(live.handler, records) == []
    versions = cloud.s3.list_object_versions(Bucket=BUCKET)["Versions"]
    assert len(versions) == 1


def test_an_older_message_is_history_and_no_state(cloud: Aws) -> None:
    call(live.handler, [delivered(reading(battery_available=1))])
    call(live.handler, [delivered(reading(battery_available=2, timestamp=NOW - timedelta(hours=1)))])
    assert len(cloud.keys("telemetry/")) == 2
    assert get("/stations/station-01")["battery_available"] == 1


@pytest.mark.parametrize(
    "payload", [b"not json", b"\x00" * 100_000, encode_reading(reading(station_id="station-02"))]
)
def test_invalid_input_is_kept_with_its_reason_and_the_next_message_is_unaffected(
    cloud: Aws, payload: bytes
) -> None:
    assert call(live.handler, [delivery(envelope(payload), "bad"), delivered(reading(), "good")]) == []
    [key] = cloud.keys("quarantine/")
    assert cloud.body(key) == payload
    metadata = {name: unquote(text) for name, text in cloud.metadata(key).items()}
    assert metadata["topic"] == "ev/station/station-01/telemetry"
    assert metadata["reason"] in {"malformed", "oversized", "wrong-station"}
    assert metadata["rule"]
    assert [station["station_id"] for station in get("/stations")["stations"]] == ["station-01"]


def test_when_s3_refuses_one_key_that_record_comes_again_and_the_retry_repairs_it(cloud: Aws) -> None:
    records = [delivered(one, f"r{one.sequence}") for one in stream("station-01", 5)]
    repair = cloud.refuse("s3.PutObject", "SlowDown", where="081526.250000Z")
    assert call(live.handler, records) == ["r1"]
    assert len(cloud.keys("telemetry/")) == 4
    repair()
    assert call(live.handler, [records[1]]) == []
    assert len(cloud.keys("telemetry/")) == 5
    assert get("/stations/station-01")["sequence"] == 4


def test_when_dynamodb_throttles_a_station_its_records_come_again_and_nothing_doubles(cloud: Aws) -> None:
    records = [delivered(one, f"a{one.sequence}") for one in stream("station-01", 3)]
    others = [delivered(one, f"b{one.sequence}") for one in stream("station-02", 2)]
    repair = cloud.refuse("dynamodb.UpdateItem", "ThrottlingException", where="station-01")
    assert call(live.handler, [*records, *others]) == ["a0", "a1", "a2"]
    assert len(cloud.keys("telemetry/")) == 5, "archive first"
    assert cloud.item("station-01") is None
    repair()
    assert call(live.handler, records) == []
    assert len(cloud.keys("telemetry/")) == 5
    assert get("/stations")["count"] == 2


def test_when_even_the_quarantine_fails_the_record_comes_again(cloud: Aws) -> None:
    repair = cloud.refuse("s3.PutObject", "InternalError", where="quarantine/")
    records = [delivery(envelope(b"bad"), "bad"), delivered(reading(), "good")]
    assert call(live.handler, records) == ["bad"]
    repair()
    assert call(live.handler, records[:1]) == []
    assert len(cloud.keys("quarantine/")) == 1


def test_batches_become_one_object_of_lines_and_the_newest_state(cloud: Aws) -> None:
    sent = [*stream("station-01", 12), *stream("station-02", 12)]
    records = [*delivered_batches(sent[:12], "a"), *delivered_batches(sent[12:], "b")]
    assert call(bulk.handler, records) == []
    assert call(bulk.handler, records[::-1]) == []
    [key] = cloud.keys("bulk/")
    assert {decode_reading(line) for line in readings_in(key, cloud.body(key))} == set(sent)
    assert {station["sequence"] for station in get("/stations")["stations"]} == {11}


def test_when_the_bulk_object_fails_every_record_of_it_comes_again(cloud: Aws) -> None:
    records = [
        *delivered_batches(stream("station-01", 3), "a"),
        *delivered_batches(stream("station-02", 3), "b"),
    ]
    repair = cloud.refuse("s3.PutObject", "SlowDown", where="bulk/")
    assert sorted(call(bulk.handler, records)) == ["a", "b"]
    assert get("/stations")["count"] == 0
    repair()
    assert call(bulk.handler, records) == []
    assert get("/stations")["count"] == 2


def test_single_readings_and_a_late_batch_of_the_same_stream_meet_in_one_state(cloud: Aws) -> None:
    sent = stream("station-01", 6)
    assert call(live.handler, [delivered(sent[5])]) == []
    assert call(bulk.handler, delivered_batches(sent[:5])) == []
    assert get("/stations/station-01")["sequence"] == 5


def test_an_answer_that_was_lost_on_the_way_doubles_nothing(cloud: Aws) -> None:
    record = delivered(reading(), "a")
    s3_answers, dynamodb_answers = cloud.lose_answer("s3.PutObject"), cloud.lose_answer("dynamodb.UpdateItem")
    assert call(live.handler, [record]) == ["a"]
    assert len(cloud.keys()) == 1, "it was stored all the same"
    s3_answers()
    assert call(live.handler, [record]) == ["a"]
    assert cloud.item("station-01") is not None
    dynamodb_answers()
    assert call(live.handler, [record]) == []
    assert len(cloud.s3.list_object_versions(Bucket=BUCKET)["Versions"]) == 1
    assert get("/stations")["count"] == 1


# --- changes ---


def hand_over(one: Any) -> None:
    """What Lambda does with what the change rule hands it."""
    envelope_of = envelope(encode_reading(one), station_id=one.station_id, channel=Channel.CHANGE)
    change.handler(json.loads(envelope_of), SimpleNamespace(aws_request_id="request-1"))  # type: ignore[arg-type]


def test_a_change_is_seen_before_its_batch_and_the_batch_then_archives_it(cloud: Aws) -> None:
    sent = stream("station-01", 6)
    hand_over(sent[5])
    assert get("/stations/station-01")["sequence"] == 5
    assert cloud.keys() == []
    assert call(bulk.handler, delivered_batches(sent)) == []
    [key] = cloud.keys("bulk/")
    assert {decode_reading(line) for line in readings_in(key, cloud.body(key))} == set(sent)
    assert get("/stations/station-01")["sequence"] == 5


def test_a_change_that_fails_is_raised_and_done_by_the_next_call(cloud: Aws) -> None:
    [sent] = stream("station-01", 1)
    repair = cloud.refuse("dynamodb.UpdateItem", "ThrottlingException")
    with pytest.raises(LatestStateError):
        hand_over(sent)
    repair()
    hand_over(sent)
    assert get("/stations/station-01")["sequence"] == 0


# --- bays ---


def with_bays(sequence: int, *bays: Bay) -> Reading:
    """The reading ``sequence`` of the stream, with ``bays``."""
    told: Reading = replace(stream("station-01", 12)[sequence], bays=bays)
    return told


def test_bays_are_seen_by_a_change_and_by_a_batch(cloud: Aws) -> None:
    hand_over(with_bays(5, bay(2), bay(10, reservation=Reservation.RESERVED)))
    first, second = get("/stations/station-01")["bays"]
    assert (first["bay"], second["bay"], second["reservation"]) == (2, 10, "reserved")
    assert call(bulk.handler, delivered_batches([with_bays(6, bay(2, lock=Lock.UNLOCKED), bay(10))])) == []
    first, second = get("/stations/station-01")["bays"]
    assert (first["lock"], second["reservation"]) == ("unlocked", "free")
    assert first["battery"] == {
        "serial_number": "B-2",
        "soc": 50.0,
        "soh": 97.0,
        "temperature": 31.0,
        "cycles": 120,
    }
    assert "bays" not in get("/stations")["stations"][0]


def test_the_bays_of_a_batch_cost_its_one_write_and_no_read(cloud: Aws) -> None:
    calls: list[dict[str, Any]] = []
    for operation in ("PutItem", "UpdateItem", "GetItem", "Query"):
        cloud.observe(f"dynamodb.{operation}", calls.append)
    cabinet = [bay(number) for number in range(1, 36)]
    for sequence in (1, 2):
        assert call(bulk.handler, delivered_batches([with_bays(sequence, *cabinet)])) == []
    assert len(calls) == 2


def test_bays_whose_answer_was_lost_are_there_and_the_retry_changes_nothing(cloud: Aws) -> None:
    records = delivered_batches([with_bays(1, bay())])
    repair = cloud.lose_answer("dynamodb.UpdateItem")
    call(bulk.handler, records)
    repair()
    before = cloud.item("station-01")
    assert call(bulk.handler, records) == []
    assert cloud.item("station-01") == before
    assert [one["bay"] for one in get("/stations/station-01")["bays"]] == [1]


# --- events ---


def test_events_are_seen_in_the_archive_and_in_the_api(cloud: Aws) -> None:
    sent: list[Event] = [alarm(1), swap(2, timestamp=NOW)]
    records = [delivered_event(one, f"r{n}") for n, one in enumerate(sent)]
    assert call(events.handler, records) == []
    assert call(events.handler, records[::-1]) == [], "again, in another order"
    [key] = cloud.keys("events/")
    assert {decode_event(line) for line in readings_in(key, cloud.body(key))} == set(sent)
    page = get("/stations/station-01/events")
    assert [(shown["kind"], shown["sequence"]) for shown in page["events"]] == [("swap", 2), ("alarm", 1)]


def test_where_the_table_refuses_the_event_comes_again_and_the_archive_has_it_once(cloud: Aws) -> None:
    repair = cloud.refuse("dynamodb.PutItem", "ThrottlingException")
    assert call(events.handler, [delivered_event(alarm(), "a")]) == ["a"]
    repair()
    assert call(events.handler, [delivered_event(alarm(), "a")]) == []
    assert len(cloud.keys("events/")) == 1
    assert get("/stations/station-01/events")["count"] == 1


# --- acknowledgements ---


def test_every_queues_function_acknowledges_and_a_refusal_fails_no_record(cloud: Aws) -> None:
    flat = encode_reading(reading(stream_id="s", sequence=1, acknowledge=True))
    event = encode_event(alarm(acknowledge=True))
    asked: list[dict[str, Any]] = []
    cloud.observe("iot-data-plane.Publish", asked.append)
    assert call(live.handler, [delivery(envelope(flat))]) == []
    assert call(events.handler, [delivery(event_envelope(event))]) == []
    assert [(each["topic"], json.loads(each["payload"])["digests"]) for each in asked] == [
        ("ev/station/station-01/acknowledgement", [message_digest(flat)]),
        ("ev/station/station-01/acknowledgement", [message_digest(event)]),
    ]
    cloud.refuse("iot-data-plane.Publish", "ThrottlingException")
    assert call(live.handler, [delivery(envelope(flat))]) == []
