"""What happened at a station is asked of the API, and the station hears that the cloud has it."""

import json
from base64 import b32encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

import httpx
import pytest
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from evswap_hil.deadline import wait_until
from tests.e2e.local_stack import IN_TIME_S, LocalStack
from tests.e2e.messages import seed_message, telemetry_topic

pytestmark = pytest.mark.any_maker

VISITOR = "visitor"
EVENTS = f"$aws/rules/evswap_event/ev/station/{VISITOR}/events"
BATCHES = f"$aws/rules/evswap_batch/ev/station/{VISITOR}/telemetry/batch"
ACKNOWLEDGEMENT = f"ev/station/{VISITOR}/acknowledgement"


def alarm(stream_id: str, sequence: int, *, ago: timedelta = timedelta(), **fields: Any) -> bytes:
    """As somebody writes it who has only read the contract."""
    event = {
        "kind": "alarm",
        "station_id": VISITOR,
        "stream_id": stream_id,
        "sequence": sequence,
        "timestamp": (datetime.now(UTC) - ago).isoformat(),
        "clock": "synchronized",
        "alarm": "samples_dropped",
        "state": "raised",
        "severity": "warning",
        "count": sequence,
    }
    return json.dumps(event | fields).encode()


def digest(payload: bytes) -> str:
    return b32encode(sha256(payload).digest())[:16].decode()


def shown(stack: LocalStack, stream_id: str, limit: int = 2) -> list[dict[str, Any]]:
    """The stream's events, through all pages of the API."""
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": limit}
    while True:
        response = httpx.get(f"{stack.described.api_url}/stations/{VISITOR}/events", params=query, timeout=30)
        if response.status_code == httpx.codes.NOT_FOUND:  # nobody has heard of the visitor yet
            return []
        answer = response.json()
        found += [event for event in answer["events"] if event["stream_id"] == stream_id]
        if "next_cursor" not in answer:
            return found
        query["cursor"] = answer["next_cursor"]


def test_events_are_shown_once_the_newest_first_and_archived(stack: LocalStack) -> None:
    stream = uuid4().hex
    sent = [alarm(stream, number, ago=timedelta(minutes=number)) for number in (1, 2, 3)]
    with stack.visitor() as visitor:
        for payload in (*sent, sent[0]):
            visitor.publish(EVENTS, payload)
    events = wait_until(
        lambda: len(found := shown(stack, stream)) == len(sent) and found, what="the events", within=IN_TIME_S
    ).found
    assert [event["count"] for event in events] == [1, 2, 3]
    assert events[0]["alarm"] == "samples_dropped"
    assert stack.keys("events/")


class Listener:
    """The visitor on one connection, as it speaks and hears at once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.subscribed: list[ReasonCode] = []
        self.told: set[str] = set()
        client.on_connect = lambda client, *_: client.subscribe(ACKNOWLEDGEMENT, qos=1)
        client.on_subscribe = lambda _client, _data, _mid, reasons, _properties: self.subscribed.extend(
            reasons
        )
        client.on_message = self._hear

    def publish(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=1).wait_for_publish(30)

    def _hear(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        said = json.loads(message.payload)
        assert said["station_id"] == VISITOR
        self.told |= set(said["digests"])


@contextmanager
def listener(stack: LocalStack) -> Iterator[Listener]:
    described = stack.described
    certificate = described.certificate_of(VISITOR)
    client = Client(CallbackAPIVersion.VERSION2, client_id=VISITOR, protocol=MQTTv5)
    client.tls_set(str(described.ca_file), str(certificate.certificate), str(certificate.key))
    listening = Listener(client)
    client.connect(described.mqtt_host, described.mqtt_port)
    client.loop_start()
    try:
        wait_until(lambda: listening.subscribed, what="the answer to the subscription", within=30)
        assert not listening.subscribed[0].is_failure
        yield listening
    finally:
        client.disconnect()
        client.loop_stop()


def test_a_station_that_asks_hears_what_the_cloud_has(stack: LocalStack) -> None:
    asking = {
        EVENTS: alarm(uuid4().hex, 1, acknowledge=True),
        telemetry_topic(VISITOR): seed_message(VISITOR, stream_id=uuid4().hex, sequence=1, acknowledge=True),
        BATCHES: uuid4().bytes,
    }
    silent = alarm(uuid4().hex, 1)
    with listener(stack) as station:
        station.publish(EVENTS, silent)
        for topic, payload in asking.items():
            station.publish(topic, payload)
        wait_until(
            lambda: station.told >= {digest(payload) for payload in asking.values()},
            what="the acknowledgement of an event, of a reading, and of what is in quarantine",
            within=IN_TIME_S,
        )
    assert digest(silent) not in station.told
