"""The end-to-end acknowledgement: what stations are told that the cloud has, and what not."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from evswap_cloud.acknowledge import Acknowledger
from evswap_cloud.handlers.sqs import ingest_event
from evswap_cloud.ingest import Delivery, Ingest, Receipt
from evswap_schema import (
    Channel,
    aws_topic,
    encode_acknowledgement,
    encode_batches,
    encode_event,
    encode_reading,
    message_digest,
    rewrite_batch,
)
from evswap_schema.limits import MAX_ACKNOWLEDGED
from tests.cloud.logs import Log
from tests.cloud.messages import altered, delivery, envelope, reading, sqs_event
from tests.cloud.station_events import alarm
from tests.cloud.stores import Stores


@pytest.fixture
def stores() -> Stores:
    return Stores()


def flat(**changes: Any) -> bytes:
    return encode_reading(reading(stream_id="s", sequence=1, **changes))


def batch(*, acknowledge: bool) -> bytes:
    [made] = encode_batches(
        [reading(stream_id="s", sequence=number) for number in (1, 2)],
        topic=aws_topic(Channel.BATCH, "station-01"),
    )
    return rewrite_batch(made.payload, acknowledge=acknowledge)


KINDS: dict[Channel, tuple[Callable[[bool], bytes], Callable[[Stores], Ingest]]] = {
    Channel.TELEMETRY: (lambda ask: flat(acknowledge=ask), lambda stores: stores.live),
    Channel.BATCH: (lambda ask: batch(acknowledge=ask), lambda stores: stores.bulk),
    Channel.EVENT: (lambda ask: encode_event(alarm(acknowledge=ask)), lambda stores: stores.events),
}


def told(stores: Stores, channel: Channel, *records: Delivery) -> list[tuple[str, tuple[str, ...]]]:
    """What the stations hear after an invocation with ``records``."""
    answer = ingest_event(
        sqs_event(records), KINDS[channel][1](stores), stores.acknowledger, Log(level="ERROR").logger
    )
    assert answer == {"batchItemFailures": []}
    return [(sent.station_id, sent.digests) for sent in stores.messenger.sent]


@pytest.mark.parametrize("channel", KINDS)
def test_what_is_archived_is_acknowledged_by_the_digest_of_its_bytes_where_it_asks(
    stores: Stores, channel: Channel
) -> None:
    asking, silent = (KINDS[channel][0](ask) for ask in (True, False))
    records = [delivery(envelope(silent, channel=channel), "a")]
    assert told(stores, channel, *records) == []
    records = [delivery(envelope(asking, channel=channel), "b")]
    expected = [("station-01", (message_digest(asking),))]
    if channel is Channel.TELEMETRY:
        stores.archive.objects.clear()
    assert told(stores, channel, *records) == expected
    assert told(stores, channel, *records) == expected * 2, "what comes again is acknowledged again"


@pytest.mark.parametrize("channel", KINDS)
def test_what_is_refused_is_acknowledged_as_sending_it_again_would_not_help(
    stores: Stores, channel: Channel
) -> None:
    bad = b"\x00 cannot even be read"
    assert told(stores, channel, delivery(envelope(bad, channel=channel))) == [
        ("station-01", (message_digest(bad),))
    ]


def test_an_identity_conflict_is_acknowledged_too(stores: Stores) -> None:
    told(stores, Channel.TELEMETRY, delivery(envelope(flat(battery_available=1))))
    second = flat(battery_available=2, acknowledge=True)
    assert told(stores, Channel.TELEMETRY, delivery(envelope(second))) == [
        ("station-01", (message_digest(second),))
    ]


@pytest.mark.parametrize(
    "changes", [{"client_id": "station-02"}, {"client_id": None}, {"station_id": "station-02"}]
)
def test_nobody_can_have_anothers_message_forgotten(stores: Stores, changes: dict[str, object]) -> None:
    body = altered(envelope(flat(acknowledge=True)), changes)
    assert told(stores, Channel.TELEMETRY, delivery(body)) == []
    assert len(stores.quarantine.messages) == 1


def test_a_station_id_that_could_be_no_topic_is_told_nothing(stores: Stores) -> None:
    body = altered(envelope(b"bad"), {"client_id": "a/#", "station_id": "a/#"})
    assert told(stores, Channel.TELEMETRY, delivery(body)) == []


@pytest.mark.parametrize("channel", KINDS)
def test_what_is_not_archived_is_not_acknowledged(stores: Stores, channel: Channel) -> None:
    make, ingest = KINDS[channel]
    stores.archive.refused = {"telemetry/", "bulk/", "events/"}
    record = delivery(envelope(make(True), channel=channel), "a")
    answer = ingest_event(sqs_event([record]), ingest(stores), stores.acknowledger, Log().logger)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "a"}]}
    assert stores.messenger.sent == []


def test_a_state_that_could_not_be_written_does_not_keep_the_station_waiting(stores: Stores) -> None:
    stores.latest.refused = {"station-01"}
    record = delivery(envelope(flat(acknowledge=True)), "a")
    answer = ingest_event(sqs_event([record]), stores.live, stores.acknowledger, Log().logger)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "a"}]}
    assert len(stores.messenger.sent) == 1, "the archive has it, and the record comes again"


def test_a_station_that_cannot_be_told_costs_a_line_and_fails_nothing(stores: Stores) -> None:
    stores.messenger.refused = {"station-01"}
    records = [
        delivery(envelope(flat(acknowledge=True)), "a"),
        delivery(envelope(flat(station_id="station-02", acknowledge=True), station_id="station-02"), "b"),
    ]
    log = Log(level="WARNING")
    answer = ingest_event(sqs_event(records), stores.live, stores.acknowledger, log.logger)
    assert answer == {"batchItemFailures": []}
    assert [sent.station_id for sent in stores.messenger.sent] == ["station-02"]
    [line] = log.lines
    assert (line["message"], line["target"], line["code"]) == (
        "acknowledgement failed", "station-01", "ThrottlingException",
    )  # fmt: skip


def test_one_message_a_station_names_each_digest_once(stores: Stores) -> None:
    receipts = [Receipt(station_id=f"s{n % 2}", digest=message_digest(bytes([n % 6]))) for n in range(12)]
    assert stores.acknowledger.acknowledge(receipts).published == 2
    assert [(sent.station_id, len(sent.digests)) for sent in stores.messenger.sent] == [("s0", 3), ("s1", 3)]


def test_more_than_one_message_may_name_goes_in_several(stores: Stores) -> None:
    digests = [message_digest(str(n).encode()) for n in range(MAX_ACKNOWLEDGED + 1)]
    stores.acknowledger.acknowledge(Receipt(station_id="s", digest=digest) for digest in digests)
    assert [len(sent.digests) for sent in stores.messenger.sent] == [MAX_ACKNOWLEDGED, 1]
    assert [digest for sent in stores.messenger.sent for digest in sent.digests] == digests


def test_a_change_is_not_acknowledged(stores: Stores) -> None:
    report = stores.change.process([delivery(envelope(flat(acknowledge=True), channel=Channel.CHANGE))])
    assert (report.moved, report.receipts) == (1, ())


def test_nothing_kept_is_nothing_said() -> None:
    class Unused:
        def send(self, _: object) -> None:
            pytest.fail("there is nothing to say")

    assert Acknowledger(Unused()).acknowledge([]).published == 0


def test_the_acknowledgement_is_the_contracts(stores: Stores) -> None:
    payload = flat(acknowledge=True)
    told(stores, Channel.TELEMETRY, delivery(envelope(payload)))
    [sent] = stores.messenger.sent
    assert json.loads(encode_acknowledgement(sent)) == {
        "station_id": "station-01", "digests": [message_digest(payload)],
    }  # fmt: skip
