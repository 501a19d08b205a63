"""Messages as the rules hand them on, for every test of the cloud."""

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from evswap_cloud.ingest import Delivery
from evswap_schema import (
    Battery,
    Bay,
    Channel,
    Charge,
    Health,
    Lock,
    Occupancy,
    Reading,
    Reservation,
    StationStatus,
    aws_topic,
    broker_topic,
    encode_batches,
    encode_reading,
)

NOW = datetime(2026, 11, 23, 8, 15, 30, 250_000, tzinfo=UTC)
STACK = Path(__file__).parents[2] / "cloud" / "stack"


def reading(**changes: Any) -> Reading:
    """A seed reading of station-01, taken one second before ``NOW``."""
    seed: dict[str, Any] = {
        "station_id": "station-01",
        "battery_available": 12,
        "battery_charging": 4,
        "temperature": 28.5,
        "humidity": 42.0,
        "status": StationStatus.OPERATIONAL,
        "timestamp": NOW - timedelta(seconds=1),
    }
    return Reading(**(seed | changes))


def battery(**changes: Any) -> Battery:
    """A battery on charge."""
    usual: dict[str, Any] = {
        "serial_number": "B-1",
        "soc": 50.0,
        "soh": 97.0,
        "voltage": 52.1,
        "current": 10.0,
        "temperature": 31.0,
        "cycles": 120,
    }
    return Battery(**(usual | changes))


def bay(number: int = 1, **changes: Any) -> Bay:
    """A bay with a battery on charge, B-1 in bay 1."""
    usual: dict[str, Any] = {
        "bay": number,
        "occupancy": Occupancy.OCCUPIED,
        "charge": Charge.CHARGING,
        "lock": Lock.LOCKED,
        "reservation": Reservation.FREE,
        "health": Health.HEALTHY,
        "battery": battery(serial_number=f"B-{number}"),
    }
    return Bay(**(usual | changes))


def envelope(
    payload: bytes,
    *,
    station_id: str = "station-01",
    channel: Channel = Channel.TELEMETRY,
    received_at: datetime = NOW,
) -> str:
    """The body of a queue's record, as a rule writes it for a station that tells the truth."""
    return json.dumps(
        {
            "payload": base64.b64encode(payload).decode(),
            "topic": broker_topic(channel, station_id),
            "station_id": station_id,
            "client_id": station_id,
            "principal": "a" * 64,
            "received_at": round(received_at.timestamp() * 1_000),
        }
    )


def altered(body: str, changes: Mapping[str, object]) -> str:
    """``body`` with ``changes``; None takes a field away."""
    document = json.loads(body) | dict(changes)
    return json.dumps({name: value for name, value in document.items() if value is not None})


def delivery(body: str, record_id: str = "record-1", sent_at: datetime = NOW) -> Delivery:
    return Delivery(record_id=record_id, body=body, sent_at=sent_at)


def delivered(one: Reading, record_id: str = "record-1", received_at: datetime = NOW) -> Delivery:
    """``one`` as its own station sent it."""
    body = envelope(encode_reading(one), station_id=one.station_id, received_at=received_at)
    return delivery(body, record_id)


def delivered_batches(
    readings: Sequence[Reading],
    record_id: str = "record-1",
    *,
    backlog: bool = False,
    received_at: datetime = NOW,
) -> list[Delivery]:
    """``readings`` of one station and stream in as many batches as they need."""
    station_id = readings[0].station_id
    batches = encode_batches(readings, topic=aws_topic(Channel.BATCH, station_id), backlog=backlog)
    return [
        delivery(
            envelope(batch.payload, station_id=station_id, channel=Channel.BATCH, received_at=received_at),
            record_id if index == 0 else f"{record_id}-{index}",
        )
        for index, batch in enumerate(batches)
    ]


def sqs_event(deliveries: Sequence[Delivery]) -> dict[str, Any]:
    """What Lambda gives a function whose event source is a queue."""
    return {"Records": [_sqs_record(one) for one in deliveries]}


def _sqs_record(one: Delivery) -> Mapping[str, Any]:
    return {
        "messageId": one.record_id,
        "receiptHandle": "handle",
        "body": one.body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": str(round(one.sent_at.timestamp() * 1_000)),
            "SenderId": "AIDAEXAMPLE",
            "ApproximateFirstReceiveTimestamp": str(round(one.sent_at.timestamp() * 1_000)),
        },
        "messageAttributes": {},
        "md5OfBody": "",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:evswap-telemetry",
        "awsRegion": "us-east-1",
    }
