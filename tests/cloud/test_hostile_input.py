"""Whatever arrives is archived or put aside: nothing a sender writes makes a record come again for ever."""

import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evswap_schema import Channel, encode_reading
from tests.cloud.messages import altered, delivery, envelope, reading
from tests.cloud.stores import Stores

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999-23:59", "2026-11-23T24:00:00Z", "\ud800"]
    )
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)
SINGLE: dict[str, Any] = json.loads(
    encode_reading(reading(stream_id="s", sequence=1, clock="estimated", quality={"humidity": "stale"}))
)
COLUMNS: dict[str, Any] = {
    "v": 1,
    "station_id": "station-01",
    "stream_id": "s",
    "samples": 2,
    "sequence": 1,
    "timestamp": 1_795_421_729_250_000,
    "timestamp_steps": 5_000_000,
    "clock": None,
    "battery_available": [12, 13],
    "battery_charging": 4,
    "temperature": 28.5,
    "humidity": None,
    "status": "operational",
    "minutes": [],
    "backlog": False,
}


def altered_document(whole: dict[str, Any]) -> st.SearchStrategy[bytes]:
    changes = st.dictionaries(
        st.sampled_from(sorted([*whole, "bays", "part", "quality"])), documents, max_size=3
    )
    return changes.map(lambda change: json.dumps(whole | change).encode(errors="surrogatepass"))


def settled(stores: Stores) -> int:
    return len(stores.archive.objects) + len(stores.quarantine.messages)


@given(
    st.binary()
    | altered_document(SINGLE)
    | documents.map(lambda one: json.dumps(one).encode("utf-8", "ignore"))
)
def test_a_single_message_of_any_bytes_is_settled(payload: bytes) -> None:
    stores = Stores()
    report = stores.live.process([delivery(envelope(payload))])
    assert report.failures == ()
    assert settled(stores) == 1


@given(st.binary() | altered_document(COLUMNS) | altered_document(COLUMNS).map(zlib.compress))
def test_a_batch_of_any_bytes_is_settled(payload: bytes) -> None:
    stores = Stores()
    report = stores.bulk.process([delivery(envelope(payload, channel=Channel.BATCH))])
    assert report.failures == ()
    assert settled(stores) == 1


@given(
    st.dictionaries(
        st.sampled_from(["topic", "station_id", "client_id", "received_at"]), documents, min_size=1
    )
)
def test_an_envelope_of_any_content_is_settled(changes: dict[str, object]) -> None:
    stores = Stores()
    body = altered(envelope(encode_reading(reading())), changes)
    assert stores.live.process([delivery(body)]).failures == ()
    assert settled(stores) == 1


def test_the_documents_that_are_altered_are_good_ones() -> None:
    stores = Stores()
    stores.live.process([delivery(envelope(json.dumps(SINGLE).encode()))])
    stores.bulk.process([delivery(envelope(json.dumps(COLUMNS).encode(), channel=Channel.BATCH))])
    assert (len(stores.archive.objects), stores.quarantine.messages) == (2, {})


@pytest.mark.parametrize(
    "payload",
    [b'"\\ud800"', b"[" * 30_000, b'{"a":' * 6_000, b"9" * 30_000, b'{"station_id": 1e999}', b"-" * 9],
)
def test_documents_made_to_break_a_parser_are_put_aside(payload: bytes) -> None:
    stores = Stores()
    assert stores.live.process([delivery(envelope(payload))]).failures == ()
    assert len(stores.quarantine.messages) == 1
