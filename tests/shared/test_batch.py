import json
import random
import string
import zlib
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from evswap_schema import (
    Battery,
    Channel,
    InvalidField,
    InvalidMessage,
    MalformedMessage,
    MinuteAggregate,
    OversizedMessage,
    Reading,
    Span,
    aws_topic,
    decode_batch,
    encode_batches,
)
from evswap_schema.limits import MAX_BATCH_BYTES, MAX_BATCH_MINUTES
from tests.shared.cabinets import START, minute_of_readings
from tests.shared.strategies import runs

TOPIC = aws_topic(Channel.BATCH, "station-01")


def read_back(readings: list[Reading]) -> list[Reading]:
    batches = encode_batches(readings, topic=TOPIC)
    return [reading for batch in batches for reading in decode_batch(batch.payload).readings]


def document(bay_count: int = 1) -> dict[str, Any]:
    """The smallest batch with two samples, as it stands on the wire."""
    [batch] = encode_batches(minute_of_readings(bay_count, samples=2), topic=TOPIC)
    return dict(json.loads(zlib.decompress(batch.payload)))


@pytest.mark.parametrize(("bay_count", "most"), [(8, 1), (35, 1), (120, 4)])
def test_a_minute_of_samples_fits(bay_count: int, most: int) -> None:
    readings = minute_of_readings(bay_count)
    batches = encode_batches(readings, topic=TOPIC)
    assert len(batches) <= most
    assert all(len(batch.payload) + len(TOPIC) <= MAX_BATCH_BYTES for batch in batches)
    assert read_back(readings) == readings
    assert [number for batch in batches for number in batch.sequences] == [each.sequence for each in readings]


@given(runs())
@settings(deadline=None)
def test_no_run_of_readings_is_changed_by_the_way(run: list[Reading]) -> None:
    batches = encode_batches(run, topic=TOPIC)
    assert all(len(batch.payload) + len(TOPIC) <= MAX_BATCH_BYTES for batch in batches)
    again = [reading for batch in batches for reading in decode_batch(batch.payload).readings]
    assert [reading for reading in again if reading.part is None] == [
        reading for reading in run if reading.sequence not in {each.sequence for each in again if each.part}
    ]


def test_a_reading_too_large_for_one_batch_travels_in_parts() -> None:
    chance = random.Random(7)
    [reading] = minute_of_readings(120, samples=1)
    assert reading.bays is not None
    bays = tuple(
        replace(bay, battery=_with_serial(bay.battery, "".join(chance.choices(string.ascii_letters, k=50))))
        for bay in reading.bays
    )
    reading = replace(reading, bays=bays)
    parts = read_back([reading])
    assert len(parts) > 1
    assert [(part.part.index, part.part.count) for part in parts if part.part] == [
        (index, len(parts)) for index in range(len(parts))
    ]
    assert tuple(bay for part in parts for bay in part.bays or ()) == bays
    assert {part.sequence for part in parts} == {reading.sequence}


def _with_serial(battery: Battery | None, serial_number: str) -> Battery:
    assert battery is not None
    return replace(battery, serial_number=serial_number)


def test_what_a_batch_can_say_but_once_starts_a_new_one() -> None:
    first, second = minute_of_readings(2, samples=2)
    batches = encode_batches([first, replace(second, firmware="2.0")], topic=TOPIC)
    assert [batch.sequences for batch in batches] == [(100,), (101,)]


def test_a_clock_that_jumps_back_does_not_reorder() -> None:
    first, second = minute_of_readings(1, samples=2)
    readings = [first, replace(second, timestamp=first.timestamp - timedelta(days=1))]
    assert read_back(readings) == readings


def test_finished_minutes_travel_with_the_first_batch() -> None:
    minute = MinuteAggregate(
        minute=START,
        samples=12,
        battery_available=Span(least=3, mean=4, greatest=5),
        battery_charging=Span(least=1, mean=1.5, greatest=2),
    )
    batches = encode_batches(minute_of_readings(120), topic=TOPIC, minutes=[minute] * MAX_BATCH_MINUTES)
    decoded = [decode_batch(batch.payload) for batch in batches]
    assert [len(batch.minutes) for batch in decoded] == [MAX_BATCH_MINUTES] + [0] * (len(batches) - 1)
    assert decoded[0].minutes[0] == minute
    with pytest.raises(InvalidField):
        encode_batches(minute_of_readings(1), topic=TOPIC, minutes=[minute] * (MAX_BATCH_MINUTES + 1))


def test_backlog_is_said() -> None:
    [batch] = encode_batches(minute_of_readings(1), topic=TOPIC, backlog=True)
    assert decode_batch(batch.payload).backlog


def test_a_seed_message_has_no_place_in_a_batch() -> None:
    [reading] = minute_of_readings(1, samples=1)
    with pytest.raises(InvalidField, match="sequence"):
        encode_batches([replace(reading, stream_id=None, sequence=None)], topic=TOPIC)


def test_plain_json_is_a_batch_too() -> None:
    plain = json.dumps(document()).encode()
    assert decode_batch(plain) == decode_batch(zlib.compress(plain))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"v": 2}, "v"),
        ({"samples": 0}, "samples"),
        ({"samples": 10**9}, "samples"),
        ({"samples": 3}, ""),
        ({"sequence": -1}, "sequence"),
        ({"sequence": 2**53 - 1}, "sequence"),
        ({"sequence_steps": 0}, "sequence_steps"),
        ({"sequence_steps": [1, 1]}, "sequence_steps"),
        ({"temperature": [20.0]}, "temperature"),
        ({"temperature": [20.0, 101]}, "temperature"),
        ({"battery_available": [1, True]}, "battery_available"),
        ({"timestamp": 10**30}, "timestamp"),
        ({"timestamp": 10**18}, "timestamp"),
        ({"timestamp_steps": -(10**18)}, "timestamp"),
        ({"quality": {"9": {"temperature": "failed"}}}, "quality"),
        ({"station_id": "a b"}, "station_id"),
    ],
)
def test_a_batch_that_contradicts_itself_is_refused(changes: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        decode_batch(json.dumps({**document(), **changes}).encode())
    assert caught.value.field.startswith(field)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"bay": 0}, "bays[0].bay"),
        ({"soc": 101}, "bays[0].soc"),
        ({"soc": [1.0, 2.0, 3.0]}, "bays[0].soc"),
        ({"soc": None}, "bays[0].soc"),
        ({"serial_number": [None, "b"]}, "bays[0].serial_number"),
        ({"lock": "ajar"}, "bays[0].lock"),
    ],
)
def test_a_bay_that_contradicts_itself_is_refused(changes: dict[str, object], field: str) -> None:
    batch = document()
    batch["bays"][0].update(changes)
    with pytest.raises(InvalidField) as caught:
        decode_batch(json.dumps(batch).encode())
    assert caught.value.field.startswith(field)


def test_a_small_message_cannot_make_its_reader_build_a_large_one() -> None:
    batch = document()
    bay = {name: value for name, value in batch["bays"][0].items() if name == "bay" or isinstance(value, str)}
    batch["bays"] = [{**bay, "bay": number} for number in range(1, 251)]
    for name in ("serial_number", "soc", "soh", "voltage", "current", "temperature", "cycles"):
        for each in batch["bays"]:
            each.pop(name, None)
    batch["samples"] = 360
    batch["sequence_steps"], batch["timestamp_steps"] = 1, 5_000_000
    for name, value in batch.items():
        if isinstance(value, list) and name != "bays":
            batch[name] = value[0]
    with pytest.raises(InvalidField, match="samples times bays"):
        decode_batch(zlib.compress(json.dumps(batch).encode()))


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", MalformedMessage),
        (b"nonsense", MalformedMessage),
        (zlib.compress(b"{}")[:-3], MalformedMessage),
        (zlib.compress(b"{}") + b"tail", MalformedMessage),
        (zlib.compress(b" " * 4_000_000), OversizedMessage),
        (b"{" + b" " * MAX_BATCH_BYTES + b"}", OversizedMessage),
        (zlib.compress(b"[" * 100_000), MalformedMessage),
    ],
    ids=lambda value: repr(value[:12]) if isinstance(value, bytes) else "",
)
def test_damaged_or_hostile_bytes_are_refused(raw: bytes, error: type[InvalidMessage]) -> None:
    with pytest.raises(error):
        decode_batch(raw)


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail_in_another_way(raw: bytes) -> None:
    for candidate in (raw, zlib.compress(raw)):
        with pytest.raises(InvalidMessage):
            decode_batch(candidate)
