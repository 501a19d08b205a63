import json
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evswap_schema import (
    InvalidField,
    InvalidMessage,
    MalformedMessage,
    OversizedMessage,
    Reading,
    StationStatus,
    decode_reading,
    encode_reading,
)
from evswap_schema.limits import MAX_READING_BYTES
from tests.shared.strategies import readings

SEED = {
    "station_id": "station-01",
    "battery_available": 12,
    "battery_charging": 4,
    "temperature": 28.5,
    "humidity": 42.0,
    "status": "operational",
    "timestamp": "2024-01-15T14:23:45Z",
}


def seed(**changes: object) -> bytes:
    return json.dumps({**SEED, **changes}).encode()


def test_the_seven_seed_fields_are_a_whole_message() -> None:
    assert decode_reading(seed()) == Reading(
        station_id="station-01",
        battery_available=12,
        battery_charging=4,
        temperature=28.5,
        humidity=42.0,
        status=StationStatus.OPERATIONAL,
        timestamp=datetime(2024, 1, 15, 14, 23, 45, tzinfo=UTC),
    )


def test_a_seed_message_is_written_as_it_was_read() -> None:
    assert json.loads(encode_reading(decode_reading(seed()))) == SEED


@given(readings(bay_count=2))
def test_what_is_written_is_read_again(reading: Reading) -> None:
    assert decode_reading(encode_reading(reading)) == reading


@pytest.mark.parametrize("changes", [{"temperature": None}, {"humidity": None}])
def test_a_failed_sensor_is_null_and_not_absent(changes: dict[str, object]) -> None:
    again = json.loads(encode_reading(decode_reading(seed(**changes))))
    assert {name: again[name] for name in changes} == changes


def test_a_whole_number_may_be_written_with_a_fraction_of_zero() -> None:
    raw = seed().replace(b'"battery_available": 12,', b'"battery_available": 12.0,')
    assert decode_reading(raw).battery_available == 12


def test_unknown_fields_are_accepted() -> None:
    assert decode_reading(seed(colour="green")) == decode_reading(seed())


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2024-01-15T14:23:45+02:00", datetime(2024, 1, 15, 12, 23, 45, tzinfo=UTC)),
        ("2024-01-15T14:23:45.25-00:30", datetime(2024, 1, 15, 14, 53, 45, 250_000, tzinfo=UTC)),
    ],
)
def test_offsets_are_normalised_to_utc(written: str, meant: datetime) -> None:
    reading = decode_reading(seed(timestamp=written))
    assert reading.timestamp == meant
    assert json.loads(encode_reading(reading))["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    ("changes", "field", "rule", "value"),
    [
        ({"battery_available": True}, "battery_available", "int", "True"),
        ({"battery_available": 12.5}, "battery_available", "int", "12.5"),
        ({"battery_available": "12"}, "battery_available", "int", "'12'"),
        ({"battery_available": -1}, "battery_available", ">= 0", "-1"),
        ({"battery_available": 1001}, "battery_available", "<= 1000", "1001"),
        ({"battery_charging": None}, "battery_charging", "int", "None"),
        ({"temperature": 100.1}, "temperature", "<= 100", "100.1"),
        ({"temperature": -60.1}, "temperature", ">= -60", "-60.1"),
        ({"temperature": "28"}, "temperature", "float", "'28'"),
        ({"humidity": 101}, "humidity", "<= 100", "101"),
        ({"status": "fine"}, "status", "enum", "'fine'"),
        ({"station_id": "a/b"}, "station_id", "regex", "'a/b'"),
        ({"station_id": "a\n"}, "station_id", "regex", r"'a\n'"),
        ({"station_id": ""}, "station_id", "regex", "''"),
        ({"station_id": "x" * 65}, "station_id", "regex", "xxx"),
        ({"station_id": "stätion"}, "station_id", "regex", "stätion"),
        ({"timestamp": "2024-01-15T14:23:45"}, "timestamp", "timezone", "2024"),
        ({"timestamp": "2024-01-15 14:23:45Z"}, "timestamp", "RFC 3339", "2024-01-15 14"),
        ({"timestamp": "2024-02-30T14:23:45Z"}, "timestamp", "RFC3339", "2024-02-30"),
        ({"timestamp": 1705328625}, "timestamp", "datetime", "1705328625"),
        ({"timestamp": "9999-12-31T23:59:59-10:00"}, "", "calendar", "station-01"),
        ({"stream_id": "s"}, "", "go together", "station-01"),
        ({"sequence": 1}, "", "go together", "station-01"),
        ({"stream_id": "s", "sequence": 2**53}, "sequence", "<=", str(2**53)),
        ({"quality": {"temperature": "odd"}}, "quality", "enum", "odd"),
        ({"bays": [{"bay": 1}]}, "bays[0].occupancy", "required", "nothing"),
        ({"part": {"index": 2, "count": 2}}, "part", "less than its count", "2"),
    ],
)
def test_a_rejection_names_field_rule_and_value(
    changes: dict[str, object], field: str, rule: str, value: str
) -> None:
    with pytest.raises(InvalidField) as caught:
        decode_reading(seed(**changes))
    error = caught.value
    assert error.field.startswith(field) if field else error.field == ""
    assert rule in error.rule
    assert value in error.value
    assert error.rule in str(error)


@pytest.mark.parametrize("name", SEED)
def test_every_seed_field_is_required(name: str) -> None:
    document = {key: value for key, value in SEED.items() if key != name}
    with pytest.raises(InvalidField) as caught:
        decode_reading(json.dumps(document).encode())
    assert (caught.value.field, caught.value.rule) == (name, "required")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hello",
        b"{",
        b"\xff\xfe",
        seed() + b"{}",
        b"[" * 30_000,
        seed().replace(b"28.5", b"NaN"),
        seed().replace(b"28.5", b"Infinity"),
        seed().replace(b"28.5", b"1e999"),
        seed().replace(b"28.5", b"1" * 5_000),
        seed()[:-1] + b', "humidity": 43.0}',
    ],
    ids=[
        "empty",
        "text",
        "cut off",
        "not UTF-8",
        "two documents",
        "deep array",
        "NaN",
        "Infinity",
        "overflow",
        "endless integer",
        "duplicate key",
    ],
)
def test_what_is_not_one_strict_json_document_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_reading(raw)


@pytest.mark.parametrize("raw", [b"[]", b"null", b"12", b'"text"', b"{}"])
def test_json_that_is_no_reading_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidField):
        decode_reading(raw)


def test_objects_in_objects_are_refused_however_deep_this_python_reads() -> None:
    with pytest.raises(InvalidMessage):
        decode_reading(b'{"a":' * 5_000 + b"1" + b"}" * 5_000)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from([*SEED, "stream_id", "sequence", "quality", "bays", "part"]), json_values)
)
def test_no_json_makes_it_fail_in_another_way(changes: dict[str, object]) -> None:
    with suppress(InvalidMessage):
        decode_reading(seed(**changes))


def test_half_of_a_surrogate_pair_is_no_text() -> None:
    with pytest.raises(MalformedMessage, match="Unicode"):
        decode_reading(seed(status="\ud800"))


def test_a_duplicate_key_is_named() -> None:
    with pytest.raises(MalformedMessage) as caught:
        decode_reading(seed()[:-1] + b', "humidity": 43.0}')
    assert caught.value.field == "humidity"


def test_an_oversized_message_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(OversizedMessage) as caught:
        decode_reading(seed(padding="x" * MAX_READING_BYTES))
    assert str(MAX_READING_BYTES) in caught.value.rule


def test_a_hostile_value_does_not_flood_the_log() -> None:
    with pytest.raises(InvalidMessage) as caught:
        decode_reading(seed(station_id="x" * 20_000))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_driver_cannot_make_a_reading_of_what_is_no_number(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Reading(
            station_id="s",
            battery_available=1,
            battery_charging=1,
            temperature=value,
            humidity=None,
            status=StationStatus.OPERATIONAL,
            timestamp=datetime.now(UTC),
        )
