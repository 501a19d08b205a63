"""The border between the rules' SQL and ingest."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evswap_cloud.envelope import decode_envelope
from evswap_cloud.errors import InvalidEnvelope
from evswap_schema import Channel, rule_source
from tests.cloud.messages import NOW, STACK, altered, envelope


def test_the_envelope_gives_the_very_bytes_and_who_sent_them() -> None:
    payload = bytes(range(256))
    read = decode_envelope(envelope(payload))
    assert read.payload == payload
    assert read.topic == "ev/station/station-01/telemetry"
    assert (read.station_id, read.client_id) == ("station-01", "station-01")
    assert read.received_at == NOW


@pytest.mark.parametrize("missing", ["payload", "topic", "station_id", "received_at"])
def test_what_the_rule_always_writes_has_to_be_there(missing: str) -> None:
    with pytest.raises(InvalidEnvelope, match=missing):
        decode_envelope(altered(envelope(b"{}"), {missing: None}))


def test_a_client_that_the_rule_could_not_name_is_left_to_the_checks_that_follow() -> None:
    assert decode_envelope(altered(envelope(b"{}"), {"client_id": None})).client_id is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("payload", "no base64!"),
        ("payload", 5),
        ("received_at", "2026-11-23"),
        ("received_at", -1),
        ("received_at", 10**18),
        ("received_at", True),
        ("topic", ["a"]),
        ("client_id", 7),
    ],
)
def test_a_field_of_another_kind_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(InvalidEnvelope) as caught:
        decode_envelope(altered(envelope(b"{}"), {name: value}))
    assert caught.value.field == name


@pytest.mark.parametrize("body", ["", "null", "[]", "{", '"text"', "\udcff", "{" * 100_000])
def test_a_body_that_is_no_object_is_refused(body: str) -> None:
    with pytest.raises(InvalidEnvelope):
        decode_envelope(body)


@given(st.text() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps))
def test_nothing_else_ever_comes_out_of_it(body: str) -> None:
    with pytest.raises(InvalidEnvelope):
        decode_envelope(body)


@pytest.mark.parametrize("channel", [Channel.TELEMETRY, Channel.BATCH])
def test_the_rules_write_the_fields_that_the_envelope_reads(channel: Channel) -> None:
    sql = (STACK / "rules" / f"evswap_{channel}.sql").read_text()
    names = re.findall(r" AS (\w+)", sql)
    assert names == ["payload", "topic", "station_id", "client_id", "principal", "received_at"]
    assert f"FROM '{rule_source(channel)}'" in sql
    assert "encode(*, 'base64')" in sql
