"""Changes: each moves the latest state and nothing else, and what may not enter is put aside."""

import json
from datetime import timedelta

import pytest

from evswap_cloud.errors import Reason
from evswap_cloud.handlers.direct import ingest_direct
from evswap_cloud.latest import Flag
from evswap_schema import Channel, Reading, encode_reading
from tests.cloud.logs import Log
from tests.cloud.messages import NOW, altered, delivered_batches, delivery, envelope, reading
from tests.cloud.stores import Stores


@pytest.fixture
def stores() -> Stores:
    return Stores()


def change(sequence: int, **fields: object) -> Reading:
    return reading(stream_id="s", sequence=sequence, **fields)


def body(one: Reading) -> str:
    return envelope(encode_reading(one), station_id=one.station_id, channel=Channel.CHANGE)


def test_a_change_moves_the_state_and_archives_nothing(stores: Stores) -> None:
    report = stores.change.process([delivery(body(change(7, battery_available=3)))])
    assert stores.latest.states["station-01"].battery_available == 3
    assert not stores.archive.objects, "its batch archives it"
    assert (report.moved, report.archived, report.failures, report.quarantined) == (1, 0, (), ())


def test_the_batch_that_holds_the_change_comes_later_and_leaves_the_state(stores: Stores) -> None:
    stores.change.process([delivery(body(change(7, battery_available=3)))])
    earlier = [change(number, timestamp=NOW - timedelta(seconds=8 - number)) for number in range(1, 7)]
    report = stores.bulk.process(delivered_batches([*earlier, change(7, battery_available=3)]))
    assert (report.archived, report.moved) == (1, 0)
    assert stores.latest.states["station-01"].sequence == 7


def test_changes_that_overtook_each_other_end_in_the_newest(stores: Stores) -> None:
    for sequence in (5, 7, 6):
        stores.change.process([delivery(body(change(sequence, battery_available=sequence)))])
    assert stores.latest.states["station-01"].battery_available == 7


def test_a_change_from_the_future_is_flagged(stores: Stores) -> None:
    stores.change.process([delivery(body(change(1, timestamp=NOW + timedelta(days=1))))])
    assert stores.latest.states["station-01"].flags == (Flag.FUTURE_TIMESTAMP,)


@pytest.mark.parametrize(
    ("record", "reason", "field"),
    [
        (envelope(b"{", channel=Channel.CHANGE), Reason.MALFORMED, ""),
        (body(change(1)).replace("telemetry/change", "telemetry"), Reason.WRONG_TOPIC, ""),
        (altered(body(change(1)), {"client_id": "station-02"}), Reason.WRONG_CLIENT, "station_id"),
        (altered(body(change(1)), {"station_id": "station-02"}), Reason.WRONG_STATION, "station_id"),
        (body(reading()), Reason.INVALID_FIELD, "stream_id"),
        (body(change(1, timestamp=NOW.replace(year=1969))), Reason.IMPOSSIBLE_TIMESTAMP, "timestamp"),
        ("{}", Reason.ENVELOPE, "payload"),
    ],
)
def test_what_may_not_enter_is_kept_with_its_reason(
    stores: Stores, record: str, reason: Reason, field: str
) -> None:
    log = Log()
    ingest_direct(json.loads(record), "request", stores.change, log.logger)
    [message] = stores.quarantine.messages.values()
    assert (message.reason, message.rule != "") == (reason, True)
    assert field in (message.field or message.rule)
    assert not stores.latest.states
    assert log.lines[0]["quarantine_key"] == message.key


def test_what_failed_is_raised_so_that_lambda_tries_again(stores: Stores) -> None:
    stores.latest.refused = {"station-01"}
    log = Log()
    with pytest.raises(Exception, match="ThrottlingException"):
        ingest_direct(json.loads(body(change(1))), "request-1", stores.change, log.logger)
    assert (log.lines[0]["record"], log.lines[0]["code"]) == ("request-1", "ThrottlingException")

    stores.latest.refused = set()
    ingest_direct(json.loads(body(change(1))), "request-1", stores.change, log.logger)
    assert stores.latest.states["station-01"].sequence == 1
