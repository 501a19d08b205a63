"""What the station accepted, and what of it arrived, both as lists that can be compared."""

import base64
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum, auto
from pathlib import Path
from typing import NamedTuple

from evswap_schema import Reading, decode_batch, decode_event, decode_reading
from tests.chaos.recorder import Arrival


class Identity(NamedTuple):
    """Of one station's samples and events."""

    stream: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """A sample or an event, as the outbox took it; `durable` unless it was held in memory alone. `body` is
    its encoding, `at` is true time (seconds since 1970)."""

    identity: Identity
    is_event: bool
    durable: bool
    at: float
    body: bytes


class Lane(StrEnum):
    """Messages of one lane keep their order; lanes overtake each other."""

    SAMPLE = auto()
    LIVE = auto()
    BACKLOG = auto()
    CHANGE = auto()
    EVENT = auto()


@dataclass(frozen=True, slots=True)
class Arrived:
    """One message at the far side: the identities in it, and the readings where it holds some."""

    lane: Lane
    identities: tuple[Identity, ...]
    readings: tuple[Reading, ...]
    at: float


def accepted(file: Path) -> Iterator[Accepted]:
    """What the witness wrote down, in order; a line that a kill cut short is none."""
    if not file.exists():
        return
    for line in file.read_bytes().splitlines():
        with suppress(ValueError):
            said = json.loads(line)
            yield Accepted(
                identity=Identity(said["stream"], said["sequence"]),
                is_event=said["kind"] == "event",
                durable=said["durable"],
                at=said["at"],
                body=base64.b64decode(said["body"]),
            )


def arrived(arrivals: Iterable[Arrival]) -> Iterator[Arrived]:
    """The messages that carry samples or events; presence and the like are left out."""
    for arrival in arrivals:
        message = message_of(arrival.topic, arrival.payload, arrival.at)
        if message is not None:
            yield message


def message_of(topic: str, payload: bytes, at: float = 0.0) -> Arrived | None:
    """What a payload says, by its topic."""
    if topic.endswith("/telemetry"):
        return _of_readings(Lane.SAMPLE, (decode_reading(payload),), at)
    if topic.endswith("/telemetry/change"):
        return _of_readings(Lane.CHANGE, (decode_reading(payload),), at)
    if topic.endswith("/telemetry/batch"):
        batch = decode_batch(payload)
        return _of_readings(Lane.BACKLOG if batch.backlog else Lane.LIVE, batch.readings, at)
    if topic.endswith("/events"):
        event = decode_event(payload)
        return Arrived(Lane.EVENT, (Identity(event.stream_id, event.sequence),), (), at)
    return None


def _of_readings(lane: Lane, readings: tuple[Reading, ...], at: float) -> Arrived:
    identities = tuple(Identity(each.stream_id or "", each.sequence or 0) for each in readings)
    return Arrived(lane, identities, readings, at)
