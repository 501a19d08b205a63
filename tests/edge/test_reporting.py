"""From rows to messages, and from accepted messages back to rows."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evswap_edge import reporting
from evswap_edge.message import Message
from evswap_edge.outbox.v1 import Outbox, Row
from evswap_edge.reporting import Batched, Deliveries, EverySample, Moment
from evswap_schema import (
    Channel,
    EncodedBatch,
    OversizedMessage,
    Reading,
    aws_topic,
    decode_batch,
    decode_reading,
    encode_batches,
)
from evswap_schema.limits import MAX_BATCH_BYTES
from tests.edge.conftest import MakeReading, Store

TELEMETRY = aws_topic(Channel.TELEMETRY, "station-01")
BATCH = aws_topic(Channel.BATCH, "station-01")


def at(uptime: float, boot_id: str = "boot") -> Moment:
    return Moment(boot_id=boot_id, uptime=uptime)


def rows_of(outbox: Outbox) -> list[Row]:
    return outbox.pending(limit=10_000)


def test_every_sample_sends_each_row_as_it_was_stored(
    outbox: Outbox, store: Store, make_reading: MakeReading
) -> None:
    for n in range(3):
        store(outbox, make_reading(n))
    formed = EverySample("station-01").form(rows_of(outbox), at(0.0))
    assert formed.messages == tuple(
        Message(topic=TELEMETRY, payload=row.body, sequences=(row.sequence,)) for row in rows_of(outbox)
    )
    sent = decode_reading(formed.messages[0].payload)
    assert (sent.stream_id, sent.sequence) == (outbox.stream_id, 1)


def test_every_sample_leaves_out_bays_that_an_earlier_configuration_stored(
    outbox: Outbox, store: Store, make_reading: MakeReading
) -> None:
    store(outbox, make_reading(bays=8))
    (message,) = EverySample("station-01").form(rows_of(outbox), at(0.0)).messages
    reading = decode_reading(message.payload)
    assert reading.bays is None
    assert reading.sequence == 1


@pytest.mark.parametrize("bays", [0, 8, 35, 120])
def test_batches_hold_all_samples_and_bays_within_one_metering_unit(
    outbox: Outbox, store: Store, make_reading: MakeReading, bays: int
) -> None:
    for n in range(12):
        store(outbox, make_reading(n, bays=bays))
    formed = Batched("station-01", age_s=60).form(rows_of(outbox), at(0.0))
    assert all(len(message.payload) + len(message.topic) <= MAX_BATCH_BYTES for message in formed.messages)
    assert {message.topic for message in formed.messages} == {BATCH}
    batches = [decode_batch(message.payload) for message in formed.messages]
    assert {reading.sequence for batch in batches for reading in batch.readings} == set(range(1, 13))
    assert not any(batch.backlog for batch in batches)


def test_what_waited_through_an_outage_is_backlog_but_for_its_newest_part(
    outbox: Outbox, store: Store, make_reading: MakeReading
) -> None:
    reporter = Batched("station-01", age_s=60)
    for n in range(3):
        store(outbox, make_reading(n), uptime=5.0 * n)
    assert not any(is_backlog(reporter, rows_of(outbox), at(uptime)) for uptime in (15.0, 60.0, 150.0))
    assert is_backlog(reporter, rows_of(outbox), at(200.0))
    assert is_backlog(reporter, rows_of(outbox), at(11.0, "the next boot"))


def test_a_full_page_is_sent_at_once_and_is_no_backlog_for_being_full(
    outbox: Outbox, store: Store, make_reading: MakeReading
) -> None:
    reporter = Batched("station-01", age_s=60)
    for n in range(reporter.takes):
        store(outbox, make_reading(n), uptime=0.05 * n)
    assert reporter.wait_s(rows_of(outbox), at(12.0)) == 0
    assert not is_backlog(reporter, rows_of(outbox), at(12.0))


def is_backlog(reporter: Batched, rows: list[Row], now: Moment) -> bool:
    batches = [decode_batch(message.payload) for message in reporter.form(rows, now).messages]
    assert len({batch.backlog for batch in batches}) == 1
    return batches[0].backlog


def test_a_batch_waits_for_its_oldest_row_to_come_of_age(
    outbox: Outbox, store: Store, make_reading: MakeReading
) -> None:
    store(outbox, make_reading(0), uptime=100.0)
    store(outbox, make_reading(1), uptime=105.0)
    reporter = Batched("station-01", age_s=60)
    rows = rows_of(outbox)
    assert reporter.wait_s(rows, at(105.0)) == 55.0
    assert reporter.wait_s(rows, at(160.0)) == 0.0
    assert reporter.wait_s(rows, at(3.0, "the next boot")) == 0.0
    assert EverySample("station-01").wait_s(rows, at(105.0)) == 0.0


@pytest.mark.parametrize("reporter", [EverySample("station-01"), Batched("station-01", age_s=60)])
def test_rows_that_cannot_be_sent_are_named_and_cost_nobody_else(
    reporter: EverySample | Batched, outbox: Outbox, store: Store, make_reading: MakeReading
) -> None:
    store(outbox, make_reading(0))
    outbox.append(lambda number: b"\x00 not a reading", uptime=0.0)
    store(outbox, make_reading(0, station_id="station-99"))
    store(outbox, make_reading(1))
    formed = reporter.form(rows_of(outbox), at(0.0))
    assert [sequence for message in formed.messages for sequence in message.sequences] == [1, 4]
    assert [sequence for sequence, _ in formed.unsendable] == [2, 3]
    assert "station-99" in formed.unsendable[1][1]


def test_a_reading_that_fits_into_no_batch_costs_nobody_else(
    outbox: Outbox, store: Store, make_reading: MakeReading, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses_the_second(readings: Iterable[Reading], **options: Any) -> list[EncodedBatch]:
        readings = list(readings)
        if any(reading.sequence == 2 for reading in readings):
            raise OversizedMessage(field="", rule="at most 5000 bytes", value="")
        return encode_batches(readings, **options)

    monkeypatch.setattr(reporting, "encode_batches", refuses_the_second)
    for n in range(3):
        store(outbox, make_reading(n))
    formed = Batched("station-01", age_s=60).form(rows_of(outbox), at(0.0))
    assert [message.sequences for message in formed.messages] == [(1,), (3,)]
    assert [sequence for sequence, _ in formed.unsendable] == [2]


@given(
    spans=st.lists(
        st.sets(st.integers(min_value=1, max_value=6), min_size=1, max_size=4), min_size=1, max_size=8
    ),
    data=st.data(),
)
def test_a_sample_has_arrived_when_the_last_message_that_holds_a_part_of_it_has(
    spans: list[set[int]], data: st.DataObject
) -> None:
    messages = [Message("t", str(n).encode(), tuple(sorted(span))) for n, span in enumerate(spans)]
    deliveries = Deliveries()
    deliveries.expect(messages)
    outstanding = data.draw(st.permutations(messages))
    arrived: set[int] = set()
    while outstanding:
        complete = deliveries.accepted(outstanding.pop())
        still_needed = {sequence for message in outstanding for sequence in message.sequences}
        assert not arrived & set(complete)
        arrived |= set(complete)
        assert arrived == {s for span in spans for s in span} - still_needed


def test_a_sample_given_up_is_never_complete() -> None:
    deliveries = Deliveries()
    parts = [Message("t", b"1", (1,)), Message("t", b"2", (1, 2))]
    deliveries.expect(parts)
    assert deliveries.give_up(parts[0]) == [1]
    assert deliveries.accepted(parts[1]) == [2]
    assert deliveries.give_up(parts[0]) == []
