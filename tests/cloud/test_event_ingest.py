"""Events: each in the archive as it was written and in the table once, whatever the queue does."""

import gzip
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evswap_cloud.archive import readings_in
from evswap_cloud.errors import LedgerError, Reason
from evswap_cloud.events import PLACE_PATTERN, from_item, to_item
from evswap_cloud.latest import Flag
from evswap_cloud.ledger import Battery, Book, Code
from evswap_cloud.ledger.shelves import MemoryShelf
from evswap_schema import Channel, Clock, Event, decode_event, encode_event
from tests.cloud.messages import NOW, altered, delivery, envelope
from tests.cloud.station_events import alarm, delivered_event, event_envelope, station_event, swap
from tests.cloud.stores import Stores


@pytest.fixture
def stores() -> Stores:
    return Stores()


def test_events_become_lines_of_one_object_and_items_of_the_table(stores: Stores) -> None:
    sent: list[Event] = [alarm(1), swap(2), alarm(1, station_id="station-02")]
    report = stores.events.process([delivered_event(one, f"r{n}") for n, one in enumerate(sent)])
    [item] = stores.archive.objects.values()
    assert item.key.startswith("events/year=2026/month=11/day=23/20261123T081530.250000Z_")
    assert {decode_event(line) for line in readings_in(item.key, item.body)} == set(sent)
    assert [json.loads(line)["received_at"] for line in gzip.decompress(item.body).splitlines()] == [
        "2026-11-23T08:15:30.250000Z"
    ] * 3
    assert {kept.event for kept in stores.kept.events.values()} == set(sent)
    assert (report.archived, report.kept, report.failures, report.quarantined) == (1, 3, (), ())


def test_an_event_is_archived_as_it_was_written(stores: Stores) -> None:
    """Even with fields that nobody knows, and with numbers and characters that msgspec would not write."""
    strange = {"colour": "green", "huge": 10**40, "half": "\ud800", "received_at": "a lie"}
    payload = json.dumps(json.loads(encode_event(alarm())) | strange).encode()
    report = stores.events.process([delivery(event_envelope(payload))])
    assert report.failures == ()
    [item] = stores.archive.objects.values()
    [line] = readings_in(item.key, item.body)
    kept = json.loads(line)
    assert {name: kept[name] for name in ("colour", "huge", "half")} == {
        name: strange[name] for name in ("colour", "huge", "half")
    }
    assert kept["received_at"] == "2026-11-23T08:15:30.250000Z"


def test_the_same_event_twice_has_one_effect(stores: Stores) -> None:
    first = stores.events.process([delivered_event(alarm(), "a")])
    again = stores.events.process([delivered_event(alarm(), "b")])
    assert (first.kept, again.kept, again.repeated, again.failures) == (1, 0, 1, ())
    assert len(stores.archive.objects) == len(stores.kept.events) == 1


def test_twice_in_one_batch_is_one_line_and_one_write(stores: Stores) -> None:
    stores.events.process(
        [delivered_event(alarm(), "a"), delivered_event(alarm(), "b", NOW + timedelta(seconds=1))]
    )
    [item] = stores.archive.objects.values()
    assert len(readings_in(item.key, item.body)) == len(stores.kept.writes) == 1


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("corrected_first", [True, False])
def test_a_corrected_time_takes_the_place_of_an_estimated_one_in_whatever_order_they_come(
    stores: Stores, together: bool, corrected_first: bool
) -> None:
    estimated = alarm(clock=Clock.ESTIMATED, timestamp=NOW - timedelta(days=900))
    sent = [estimated, alarm()][:: -1 if corrected_first else 1]
    records = [delivered_event(one, f"r{n}") for n, one in enumerate(sent)]
    for batch in [records] if together else [[record] for record in records]:
        stores.events.process(batch)
    assert [kept.event for kept in stores.kept.events.values()] == [alarm()]


def test_an_event_from_the_future_is_flagged_and_does_not_stay_the_newest(stores: Stores) -> None:
    ahead = alarm(1, timestamp=NOW + timedelta(days=400))
    later = NOW + timedelta(hours=1)
    stores.events.process([delivered_event(ahead, "a")])
    stores.events.process([delivered_event(alarm(2, timestamp=later), "b", later)])
    newest, oldest = stores.kept.page("station-01", limit=5, before=None).events
    assert (newest.event.sequence, newest.flags) == (2, ())
    assert (oldest.event, oldest.flags) == (ahead, (Flag.FUTURE_TIMESTAMP,))
    assert oldest.occurred_at == NOW + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (event_envelope(b"no json"), Reason.MALFORMED),
        (event_envelope(b"{}"), Reason.INVALID_FIELD),
        (event_envelope(encode_event(alarm()).replace(b'"alarm"', b'"riot"', 1)), Reason.INVALID_FIELD),
        (envelope(encode_event(alarm()), channel=Channel.BATCH), Reason.WRONG_TOPIC),
        (altered(event_envelope(encode_event(alarm())), {"client_id": "x"}), Reason.WRONG_CLIENT),
        (event_envelope(encode_event(alarm(station_id="station-02"))), Reason.WRONG_STATION),
        (event_envelope(encode_event(alarm(timestamp=NOW.replace(year=1969)))), Reason.IMPOSSIBLE_TIMESTAMP),
        ("no envelope", Reason.ENVELOPE),
    ],
)
def test_what_may_not_enter_is_kept_with_its_reason_and_the_event_beside_it_enters(
    stores: Stores, record: str, reason: Reason
) -> None:
    report = stores.events.process([delivery(record, "bad"), delivered_event(alarm(5), "good")])
    assert [message.reason for message in report.quarantined] == [reason]
    assert len(stores.quarantine.messages) == 1
    assert [kept.event.sequence for kept in stores.kept.events.values()] == [5]


def test_where_the_archive_fails_nothing_enters_the_table_and_all_comes_again(stores: Stores) -> None:
    records = [delivered_event(alarm(number), f"r{number}") for number in (1, 2)]
    stores.archive.refused = {"events/"}
    report = stores.events.process(records)
    assert [failure.record_id for failure in report.failures] == ["r1", "r2"]
    assert stores.kept.writes == [], "history comes first"
    stores.archive.refused = set()
    assert stores.events.process(records).failures == ()
    assert len(stores.kept.events) == 2


def test_where_the_table_fails_the_events_own_records_come_again(stores: Stores) -> None:
    records = [
        delivered_event(alarm(1), "a"),
        delivered_event(alarm(1), "again"),
        delivered_event(alarm(1, station_id="station-02"), "b"),
    ]
    stores.kept.refused = {"station-01"}
    report = stores.events.process(records)
    assert [failure.record_id for failure in report.failures] == ["a", "again"]
    assert report.kept == 1
    stores.kept.refused = set()
    assert stores.events.process(records[:2]).failures == ()
    assert len(stores.kept.events) == 2


def test_where_the_ledger_fails_the_event_comes_again_and_is_entered_though_the_table_knows_it(
    stores: Stores,
) -> None:
    class Refusing(MemoryShelf[str, Battery]):
        refused = True

        def change(self, key: str, transition: Any) -> Any:
            if self.refused:
                raise LedgerError(operation="write", target=key, code="ThrottlingException")
            return super().change(key, transition)

    shelf, book = Refusing(), stores.ledger
    stores.ledger = Book(shelf, book.slots, book.swaps, book.accounts)
    records = [delivered_event(swap(1), "a"), delivered_event(alarm(2), "b")]
    first = stores.events.process(records)
    assert [failure.record_id for failure in first.failures] == ["a"]
    assert first.kept == 2
    shelf.refused = False
    again = stores.events.process(records[:1])
    assert (again.kept, again.failures) == (0, ())
    assert shelf.get("B-1") is not None


def test_what_the_ledger_finds_wrong_is_reported_once(stores: Stores) -> None:
    twice = [swap(1, request_id=1), swap(2, request_id=2, station_id="station-02")]
    report = stores.events.process([delivered_event(one, f"r{n}") for n, one in enumerate(twice)])
    assert [finding.code for finding in report.findings] == [Code.CAME_TWICE]
    assert stores.events.process([delivered_event(twice[1])]).findings == ()


@given(st.permutations(range(6)), st.lists(st.integers(0, 5), max_size=6), st.integers(1, 12))
def test_whatever_the_queue_does_the_table_ends_the_same(
    order: list[int], repeats: list[int], batch: int
) -> None:
    stores = Stores()
    records = [delivered_event(alarm(number), f"r{number}") for number in (*order, *repeats)]
    for start in range(0, len(records), batch):
        stores.events.process(records[start : start + batch])
    page = stores.kept.page("station-01", limit=9, before=None)
    assert [kept.event for kept in page.events] == [alarm(number) for number in range(5, -1, -1)]


def test_an_item_reads_back_as_it_was_written_and_its_place_as_a_cursor_may_be() -> None:
    for event in (alarm(), swap(2**53 - 1), alarm(detail="why", bay=3, clock=Clock.ESTIMATED)):
        kept = station_event(event)
        assert from_item(to_item(kept)) == kept
        assert re.match(PLACE_PATTERN, kept.place)
    flagged = station_event(alarm(timestamp=NOW + timedelta(days=1)))
    assert to_item(flagged)["expires_at"] == {"N": str(int((NOW + timedelta(days=30)).timestamp()))}
    longer = to_item(flagged, kept=timedelta(days=90))
    assert longer["expires_at"] == {"N": str(int((NOW + timedelta(days=90)).timestamp()))}
