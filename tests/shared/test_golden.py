"""Messages as they are on the wire, for ever: to break one is to break every station in the field."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from evswap_schema import (
    Channel,
    Reading,
    aws_topic,
    decode_acknowledgement,
    decode_authorisation,
    decode_batch,
    decode_command,
    decode_connection,
    decode_event,
    decode_reading,
    decode_result,
    encode_acknowledgement,
    encode_authorisation,
    encode_batches,
    encode_command,
    encode_connection,
    encode_event,
    encode_reading,
    encode_result,
    message_digest,
)

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str) -> bytes:
    return (GOLDEN / name).read_bytes().strip()


@pytest.mark.parametrize(
    ("name", "again"),
    [
        ("seed.json", lambda raw: encode_reading(decode_reading(raw))),
        ("reading.json", lambda raw: encode_reading(decode_reading(raw))),
        ("event-swap.json", lambda raw: encode_event(decode_event(raw))),
        ("event-swap-offline.json", lambda raw: encode_event(decode_event(raw))),
        ("event-refusal.json", lambda raw: encode_event(decode_event(raw))),
        ("event-inventory.json", lambda raw: encode_event(decode_event(raw))),
        ("authorisation.json", lambda raw: encode_authorisation(decode_authorisation(raw))),
        ("command-cache-authorisations.json", lambda raw: encode_command(decode_command(raw))),
        ("event-alarm.json", lambda raw: encode_event(decode_event(raw))),
        ("event-samples-dropped.json", lambda raw: encode_event(decode_event(raw))),
        (
            "acknowledgement.json",
            lambda raw: encode_acknowledgement(decode_acknowledgement(raw)),
        ),
        ("command-unlock.json", lambda raw: encode_command(decode_command(raw))),
        ("command-result.json", lambda raw: encode_result(decode_result(raw))),
        ("connection.json", lambda raw: encode_connection(decode_connection(raw))),
    ],
)
def test_a_golden_message_is_read_and_written_byte_for_byte(
    name: str, again: Callable[[bytes], bytes]
) -> None:
    assert again(golden(name)) == golden(name)


def batch_readings() -> list[Reading]:
    return [decode_reading(line) for line in golden("batch.readings.jsonl").splitlines()]


@pytest.mark.parametrize(
    "raw", [golden("batch.json"), bytes.fromhex(golden("batch.hex").decode())], ids=["plain", "deflated"]
)
def test_the_golden_batch_says_what_it_always_said(raw: bytes) -> None:
    batch = decode_batch(raw)
    assert list(batch.readings) == batch_readings()
    assert len(batch.minutes) == 1
    assert batch.backlog


def test_the_golden_batch_is_written_as_it_always_was() -> None:
    batch = decode_batch(golden("batch.json"))
    topic = aws_topic(Channel.BATCH, batch.station_id)
    [encoded] = encode_batches(batch_readings(), topic=topic, minutes=batch.minutes, backlog=True)
    assert zlib.decompress(encoded.payload) == golden("batch.json")
    assert json.loads(golden("batch.json"))["v"] == 1


def test_the_golden_acknowledgement_names_the_golden_event() -> None:
    """By its bytes as sent: 80 bits of SHA-256 in base 32."""
    acknowledgement = decode_acknowledgement(golden("acknowledgement.json"))
    event = golden("event-samples-dropped.json")
    assert decode_event(event).acknowledge
    assert acknowledgement.digests == (message_digest(event),)
