"""What is kept beside a refused message: enough to find the fault, never more than S3 takes."""

from datetime import timedelta
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from evswap_cloud.errors import Reason
from evswap_cloud.quarantine import MAX_METADATA_BYTES, Quarantined
from tests.cloud.messages import NOW

texts = st.text(max_size=3_000)
MESSAGE = Quarantined(
    body=b"not json",
    reason=Reason.MALFORMED,
    field="bays[1].battery",
    rule="has to be JSON",
    value="'not json'",
    topic="ev/station/station-01/telemetry",
    station_id="station-01",
    client_id="station-01",
    received_at=NOW,
)


def test_the_metadata_tells_reason_field_rule_value_and_where_it_came_from() -> None:
    read = {name: unquote(text) for name, text in MESSAGE.metadata.items()}
    assert read == {
        "reason": "malformed",
        "field": "bays[1].battery",
        "rule": "has to be JSON",
        "value": "'not json'",
        "topic": "ev/station/station-01/telemetry",
        "client-id": "station-01",
        "received-at": "2026-11-23T08:15:30.250000Z",
    }


@given(field=texts, rule=texts, value=texts, topic=texts, client_id=texts)
def test_whatever_a_hostile_sender_chose_it_fits_is_plain_ascii_and_can_be_read(
    field: str, rule: str, value: str, topic: str, client_id: str
) -> None:
    message = replace(MESSAGE, field=field, rule=rule, value=value, topic=topic, client_id=client_id)
    metadata = message.metadata
    assert sum(len(name) + len(text) for name, text in metadata.items()) <= MAX_METADATA_BYTES
    for text in metadata.values():
        assert text.isascii()
        assert text.isprintable()
        assert " " not in text
        assert unquote(text, errors="strict") is not None


@pytest.mark.parametrize("station_id", ["", "../../telemetry", "a/b", "station 01", "é", "x" * 65, "a\n"])
def test_a_station_id_that_is_none_never_becomes_a_part_of_the_name(station_id: str) -> None:
    assert replace(MESSAGE, station_id=station_id).key.startswith(
        "quarantine/year=2026/month=11/day=23/unknown_20261123T081530.250000Z_"
    )


def test_the_same_message_has_the_same_name_and_another_has_another() -> None:
    others = [
        replace(MESSAGE, body=b"not json either"),
        replace(MESSAGE, topic="ev/station/station-02/telemetry"),
        replace(MESSAGE, client_id="station-02"),
        replace(MESSAGE, received_at=NOW + timedelta(milliseconds=1)),
    ]
    assert replace(MESSAGE).key == MESSAGE.key
    assert len({MESSAGE.key, *(other.key for other in others)}) == 5
