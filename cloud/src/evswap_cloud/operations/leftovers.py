"""The envelopes in which a message lies that could not be processed, and what of them goes on its way again.

Three of the four hold more than the message: Lambda's record of a call, AWS IoT's error record, and an object
in quarantine. What comes out of each is the envelope that the rule wrote, or would have written.
"""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from evswap_cloud.operations.errors import NotHandedOn
from evswap_schema import parse_timestamp

_UNKNOWN_CLIENTS: Final = ("N/A", "n/a", "")
"""How AWS IoT says that nobody was connected by MQTT."""

_BASIC_INGEST: Final = "$aws/rules/"


class Leftover(Struct, frozen=True, kw_only=True):
    """A message to send on its way again: ``envelope`` as its rule writes it, and the message's ``topic``."""

    topic: str
    envelope: bytes


class _FailedCall(Struct, frozen=True, rename="camel"):
    request_payload: dict[str, Any]


class _RuleError(Struct, frozen=True, rename="camel"):
    topic: str
    base64_original_payload: str
    client_id: str = ""


def of_failed_call(body: str) -> Leftover:
    """From Lambda's record of a call that failed to the last; raises ``NotHandedOn``."""
    try:
        payload = msgspec.json.decode(body, type=_FailedCall).request_payload
    except msgspec.DecodeError as error:
        raise NotHandedOn(f"no record of Lambda's: {error}") from error
    topic = payload.get("topic")
    if not isinstance(topic, str):
        raise NotHandedOn("the call was not a rule's: it names no topic")
    return Leftover(topic=topic, envelope=json.dumps(payload).encode())


def of_rule_error(body: str, recorded_at: datetime) -> Leftover:
    """From AWS IoT's record of an action that failed, which says neither when the message came (so that is
    when the record was made) nor by which certificate; raises ``NotHandedOn``."""
    try:
        found = msgspec.json.decode(body, type=_RuleError)
    except msgspec.DecodeError as error:
        raise NotHandedOn(f"no error record of AWS IoT's: {error}") from error
    return _leftover(found.topic, found.client_id, found.base64_original_payload, recorded_at)


def of_quarantined(body: bytes, metadata: Mapping[str, str]) -> Leftover:
    """From an object in quarantine; raises ``NotHandedOn`` where it was not even an envelope."""
    texts = {name: unquote(text) for name, text in metadata.items()}
    if not texts.get("topic"):
        raise NotHandedOn("nobody knows on which topic it came")
    received_at = parse_timestamp(texts["received-at"])
    payload = base64.b64encode(body).decode()
    return _leftover(texts["topic"], texts.get("client-id", ""), payload, received_at)


def _leftover(topic: str, client_id: str, payload: str, received_at: datetime) -> Leftover:
    plain = _without_basic_ingest(topic)
    levels = plain.split("/")
    if len(levels) < 3:
        raise NotHandedOn(f"no station is in the topic {topic}")
    envelope = {
        "payload": payload,
        "topic": plain,
        "station_id": levels[2],
        "client_id": None if client_id in _UNKNOWN_CLIENTS else client_id,
        "received_at": round(received_at.astimezone(UTC).timestamp() * 1_000),
    }
    return Leftover(topic=plain, envelope=json.dumps(envelope).encode())


def _without_basic_ingest(topic: str) -> str:
    """``$aws/rules/<rule>/a/b`` is ``a/b`` to the rule."""
    return topic.split("/", 3)[3] if topic.startswith(_BASIC_INGEST) and topic.count("/") > 2 else topic
