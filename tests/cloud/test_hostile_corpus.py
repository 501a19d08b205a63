"""A corpus of bodies that somebody might send on purpose, on every channel: each is put aside, byte for byte,
and changes nothing that anybody reads. Ids never become anything but ids.
"""

import json
import re
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from evswap_cloud.ingest import Delivery, Ingest
from evswap_schema import Channel, encode_event, encode_reading
from evswap_schema.limits import MAX_BATCH_INFLATED_BYTES, MAX_READING_BYTES
from tests.cloud.messages import delivered, delivery, envelope, reading
from tests.cloud.station_events import swap
from tests.cloud.stores import Stores
from tests.cloud.test_hostile_input import COLUMNS

INGESTS: dict[Channel, Callable[[Stores], Ingest]] = {
    Channel.TELEMETRY: lambda stores: stores.live,
    Channel.CHANGE: lambda stores: stores.change,
    Channel.BATCH: lambda stores: stores.bulk,
    Channel.EVENT: lambda stores: stores.events,
}
GOOD: dict[Channel, dict[str, Any]] = {
    Channel.TELEMETRY: json.loads(encode_reading(reading())),
    Channel.CHANGE: json.loads(encode_reading(reading(stream_id="s", sequence=1))),
    Channel.BATCH: COLUMNS,
    Channel.EVENT: json.loads(encode_event(swap())),
}
IDS = [
    "../../etc/passwd",
    "station-01/../station-02",
    "station-01\u0000",
    "station-01\n",
    "station-01 ",
    "ѕtation-01",  # noqa: RUF001 - a Cyrillic letter is the point
    "station\u200b-01",
    "ｓtation-01",  # noqa: RUF001 - full width is the point
    "'; DROP TABLE stations; --",
    "${jndi:ldap://example.invalid/a}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "attribute_not_exists(station_id)",
    "+",
    "#",
    "$aws/rules",
    "a" * 65,
    "",
    "\ud800",
    "%2e%2e%2f",
]


def written(channel: Channel, **changes: object) -> bytes:
    return json.dumps(GOOD[channel] | changes).encode(errors="surrogatepass")


def same_for_all(channel: Channel) -> dict[str, bytes]:
    """Bodies that are no message of any kind, whatever they pretend."""
    whole = written(channel)
    text = whole.decode()
    return {
        "nothing": b"",
        "zero bytes": bytes(100),
        "UTF-16": text.encode("utf-16"),
        "UTF-32": text.encode("utf-32-be"),
        "byte order mark": b"\xef\xbb\xbf" + whole,
        "Latin-1": json.dumps({"station_id": "é"}, ensure_ascii=False).encode("latin-1"),
        "overlong UTF-8": whole.replace(b"station-01", b"station\xc0\xad01"),
        "half": whole[: len(whole) // 2],
        "twice": whole + whole,
        "trailing": whole + b"{}",
        "duplicate id": whole[:-1] + b',"station_id":"station-02"}',
        "deep list": b"[" * 30_000,
        "deep object": b'{"a":' * 20_000,
        "deep in an unknown field": whole[:-1] + b',"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        "too large": whole[:-1] + b',"x":"' + b"a" * max(MAX_READING_BYTES, MAX_BATCH_INFLATED_BYTES) + b'"}',
        "NaN": whole[:-1] + b',"x":NaN}',
        "Infinity": whole[:-1] + b',"x":-Infinity}',
        "a number without end": whole[:-1] + b',"x":1e999}',
        "a list": b"[" + whole + b"]",
        "a string": json.dumps(text).encode(),
        "null": b"null",
        "bomb": zlib.compress(b" " * 5_000_000, 9),
        "bomb in a bomb": zlib.compress(zlib.compress(bytes(5_000_000), 9), 9),
        "cut stream": zlib.compress(whole)[:-5],
        "pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.",
        "XML": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        "YAML": b"!!python/object/apply:os.system ['true']",
    }


MOMENTS: list[object] = ["0000-01-01T00:00:00Z", "2026-13-01T00:00:00Z", "now", -1e300, True, [], {}]
CASES = [
    pytest.param(channel, body, id=f"{channel}: {name}")
    for channel in INGESTS
    for name, body in {
        **same_for_all(channel),
        **{f"id {number}": written(channel, station_id=hostile) for number, hostile in enumerate(IDS)},
        **{
            f"stream {number}": written(channel, stream_id=hostile, sequence=1)
            for number, hostile in enumerate(IDS)
        },
        **{f"time {moment}": written(channel, timestamp=moment) for moment in MOMENTS},
    }.items()
]


def shown(stores: Stores) -> dict[str, Any]:
    """What anybody reads."""
    return {
        "states": dict(stores.latest.states),
        "bays": dict(stores.latest.bays),
        "events": dict(stores.kept.events),
        "batteries": dict(stores.ledger.batteries.every()),
        "archive": dict(stores.archive.objects),
    }


def as_before() -> Stores:
    """Two stations that have told of themselves."""
    stores = Stores()
    stores.live.process([delivered(reading(station_id=name), name) for name in ("station-01", "station-02")])
    return stores


@pytest.mark.parametrize(("channel", "body"), CASES)
def test_a_hostile_body_is_put_aside_and_changes_nothing(channel: Channel, body: bytes) -> None:
    stores = as_before()
    before = shown(stores)
    report = INGESTS[channel](stores).process([delivery(envelope(body, channel=channel))])
    assert report.failures == ()
    assert shown(stores) == before
    [kept] = stores.quarantine.messages.values()
    assert kept.body == body
    assert re.fullmatch(r"quarantine/year=\d{4}/month=\d\d/day=\d\d/[A-Za-z0-9_.-]+\.bin", kept.key)
    assert all(value.isascii() and value.isprintable() for value in kept.metadata.values())


@pytest.mark.parametrize("channel", INGESTS)
@pytest.mark.parametrize("field", ["station_id", "client_id", "topic"])
@pytest.mark.parametrize("hostile", IDS)
def test_a_hostile_envelope_names_nobody_else(channel: Channel, field: str, hostile: str) -> None:
    stores = as_before()
    before = shown(stores)
    document = json.loads(envelope(written(channel), channel=channel)) | {field: hostile}
    report = INGESTS[channel](stores).process([delivery(json.dumps(document))])
    assert report.failures == ()
    assert shown(stores) == before
    [kept] = stores.quarantine.messages.values()
    assert re.fullmatch(r"quarantine/year=\d{4}/month=\d\d/day=\d\d/[A-Za-z0-9_.-]+\.bin", kept.key)


@pytest.mark.parametrize("channel", INGESTS)
def test_what_stands_beside_a_hostile_body_is_done(channel: Channel) -> None:
    stores = Stores()
    bodies = [written(channel), *same_for_all(channel).values()]
    deliveries: list[Delivery] = [
        delivery(envelope(body, channel=channel), f"r{number}") for number, body in enumerate(bodies)
    ]
    report = INGESTS[channel](stores).process(deliveries[::-1])
    assert report.failures == ()
    assert len(report.quarantined) == len(bodies) - 1
    assert stores.latest.states or stores.kept.events


def test_the_messages_that_are_altered_are_good_ones() -> None:
    for channel, ingest in INGESTS.items():
        stores = Stores()
        report = ingest(stores).process([delivery(envelope(written(channel), channel=channel))])
        assert (report.failures, report.quarantined) == ((), ())
