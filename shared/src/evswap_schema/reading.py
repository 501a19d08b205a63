"""Reading v1: what a station measured at one moment.

A message of the first seven fields alone is the seed message. It is valid for ever.
"""

import math
from copy import copy
from datetime import UTC
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from evswap_schema import codec
from evswap_schema.bay import Bay
from evswap_schema.fields import (
    Celsius,
    Clock,
    Count,
    Percent,
    Quality,
    Sequence,
    ShortText,
    StationId,
    StationStatus,
    StreamId,
    Timestamp,
)
from evswap_schema.limits import MAX_BAYS, MAX_READING_BYTES
from evswap_schema.timestamps import to_utc


class Location(Struct, frozen=True, kw_only=True):
    """Where the station stands: WGS 84, in degrees."""

    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]


class Part(Struct, frozen=True, kw_only=True):
    """Which share of the bays this message holds, when one reading's bays do not fit into one message."""

    index: Annotated[int, Meta(ge=0, lt=MAX_BAYS)]
    count: Annotated[int, Meta(ge=2, le=MAX_BAYS)]

    def __post_init__(self) -> None:
        if self.index >= self.count:
            raise ValueError(f"a part's index has to be less than its count, {self.count}")


class Reading(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one station measured at one moment.

    ``temperature`` (degrees Celsius) and ``humidity`` (percent, relative) are null when their sensor failed;
    ``quality`` then says so by field name. ``stream_id`` and ``sequence`` identify a reading of a station
    that keeps an outbox; a seed message has neither. Raises ``ValueError`` (``InvalidField`` when it came off
    the wire) for what no single field's type can say.
    """

    station_id: StationId
    battery_available: Count
    battery_charging: Count
    temperature: Celsius | None
    humidity: Percent | None
    status: StationStatus
    timestamp: Timestamp
    stream_id: StreamId | None = None
    sequence: Sequence | None = None
    clock: Clock | None = None
    quality: Annotated[dict[ShortText, Quality], Meta(max_length=16)] | None = None
    bays: Annotated[tuple[Bay, ...], Meta(max_length=MAX_BAYS)] | None = None
    part: Part | None = None
    location: Location | None = None
    firmware: ShortText | None = None
    acknowledge: bool = False
    """The station asks the cloud to say that it has this message (``acknowledgement``)."""

    def __post_init__(self) -> None:
        if (self.stream_id is None) != (self.sequence is None):
            raise ValueError("stream_id and sequence go together: give both or neither")
        if self.part is not None and (self.sequence is None or self.bays is None):
            raise ValueError("a part needs stream_id, sequence and bays")
        if self.bays is not None and len({bay.bay for bay in self.bays}) != len(self.bays):
            raise ValueError("bays: each bay number may stand there once")
        for value in (self.temperature, self.humidity):
            if value is not None and not math.isfinite(value):
                raise ValueError("temperature and humidity have to be finite, or null when the sensor failed")
        if self.timestamp.tzinfo is not UTC:
            force_setattr(self, "timestamp", to_utc(self.timestamp))


def identified(reading: Reading, *, stream_id: str, sequence: int) -> Reading:
    """A copy of ``reading`` under this identity. What holds without an identity holds with one, so nothing is
    checked again: a station does this for each sample."""
    copied = copy(reading)
    force_setattr(copied, "stream_id", stream_id)
    force_setattr(copied, "sequence", sequence)
    return copied


def encode_reading(reading: Reading) -> bytes:
    """Write ``reading`` as JSON; absent fields are left out, a null temperature or humidity is written."""
    return codec.encode(reading)


def decode_reading(raw: bytes) -> Reading:
    """Read a telemetry message; raises ``OversizedMessage``, ``MalformedMessage`` or ``InvalidField``."""
    return codec.decode(raw, Reading, limit=MAX_READING_BYTES)


def decode_own_reading(raw: bytes) -> Reading:
    """Read what ``encode_reading`` of this very station wrote, fast; raises ``MalformedMessage`` or
    ``InvalidField``. A message of anybody else is for ``decode_reading``."""
    return codec.decode_own(raw, Reading)
