"""A batch's header, rewritten after it was packed: the rest stays what it is."""

import json
import random
import zlib
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from evswap_schema import (
    Channel,
    Clock,
    InvalidField,
    MalformedMessage,
    OversizedMessage,
    Reading,
    aws_topic,
    decode_batch,
    decode_own_reading,
    encode_batches,
    encode_reading,
    rewrite_batch,
)
from evswap_schema.limits import BATCH_HEADROOM, MAX_BATCH_BYTES, MAX_BATCH_SAMPLES
from tests.shared.cabinets import minute_of_readings
from tests.shared.strategies import readings, runs

TOPIC = aws_topic(Channel.BATCH, "station-01")
YEAR_US = 365 * 86_400 * 1_000_000


@given(
    run=runs(),
    backlog=st.booleans(),
    acknowledge=st.booleans(),
    shift_us=st.integers(-YEAR_US, YEAR_US),
    clock=st.none() | st.sampled_from(Clock),
)
@settings(deadline=None)
def test_only_what_is_said_changes(
    run: list[Reading], backlog: bool, acknowledge: bool, shift_us: int, clock: Clock | None
) -> None:
    for packed in encode_batches(run, topic=TOPIC, headroom=BATCH_HEADROOM):
        rewritten = rewrite_batch(
            packed.payload, backlog=backlog, acknowledge=acknowledge, shift_us=shift_us, clock=clock
        )
        assert len(rewritten) + len(TOPIC) <= MAX_BATCH_BYTES
        before = decode_batch(packed.payload)
        assert decode_batch(rewritten) == replace(
            before,
            backlog=backlog,
            acknowledge=acknowledge,
            readings=tuple(_moved(reading, shift_us, clock) for reading in before.readings),
        )


def _moved(reading: Reading, shift_us: int, clock: Clock | None) -> Reading:
    timestamp = reading.timestamp + timedelta(microseconds=shift_us)
    return replace(reading, timestamp=timestamp, clock=clock or reading.clock)


def test_nothing_to_say_leaves_the_very_bytes() -> None:
    [batch] = encode_batches(minute_of_readings(8), topic=TOPIC)
    assert rewrite_batch(batch.payload) is batch.payload


def test_a_flag_that_is_set_stays_set() -> None:
    [batch] = encode_batches(minute_of_readings(8), topic=TOPIC, backlog=True)
    assert decode_batch(rewrite_batch(batch.payload, acknowledge=True)).backlog


def test_the_fullest_batches_have_room_for_it() -> None:
    for batch in encode_batches(minute_of_readings(120), topic=TOPIC, headroom=BATCH_HEADROOM):
        rewritten = rewrite_batch(
            batch.payload, backlog=True, acknowledge=True, shift_us=-1, clock=Clock.ESTIMATED
        )
        assert len(rewritten) + len(TOPIC) <= MAX_BATCH_BYTES


def test_a_batch_without_room_is_not_made_too_large() -> None:
    noise = random.Random(1).randbytes(MAX_BATCH_BYTES).hex()
    with pytest.raises(OversizedMessage):
        rewrite_batch(json.dumps({"noise": noise}).encode(), backlog=True)


@pytest.mark.parametrize("payload", [b"nonsense", zlib.compress(b"[1]"), zlib.compress(b"\xff")])
def test_what_is_no_batch_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedMessage):
        rewrite_batch(payload, backlog=True)


@pytest.mark.parametrize("header", [{}, {"timestamp": "noon"}])
def test_a_batch_without_a_timestamp_is_not_moved(header: dict[str, object]) -> None:
    with pytest.raises(MalformedMessage, match="timestamp"):
        rewrite_batch(json.dumps(header).encode(), shift_us=1)


def test_more_samples_than_a_batch_may_hold_make_several_of_about_one_size() -> None:
    run = minute_of_readings(0, samples=2 * MAX_BATCH_SAMPLES + 1)
    counts = [len(batch.sequences) for batch in encode_batches(run, topic=TOPIC)]
    assert sum(counts) == len(run)
    assert len(counts) == 3
    assert max(counts) - min(counts) <= 1


@given(readings(bay_count=2))
@settings(deadline=None)
def test_a_station_reads_its_own_readings(reading: Reading) -> None:
    assert decode_own_reading(encode_reading(reading)) == reading


@pytest.mark.parametrize("raw", [b"", b"\x00 not a reading", b'{"x":' * 100_000, b'{"station_id": "\xff"}'])
def test_what_is_no_reading_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_own_reading(raw)


def test_a_reading_out_of_range_is_named() -> None:
    [reading] = minute_of_readings(1, samples=1)
    raw = encode_reading(reading).replace(b'"humidity":42.0', b'"humidity":142.0')
    with pytest.raises(InvalidField) as caught:
        decode_own_reading(raw)
    assert caught.value.field == "humidity"
