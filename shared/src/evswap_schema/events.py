"""Events: what happened at a station, each once and for the record.

The swap's life follows OCPP 2.1, block S (BatterySwapRequest): a battery came in, one went out, or one that
was offered was not taken in time. OCPP's own spelling (``soC``, ``evseId``) belongs to its border alone.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from evswap_schema import codec
from evswap_schema.bay import SerialNumber
from evswap_schema.fields import (
    BayNumber,
    Clock,
    Percent,
    Sequence,
    ShortText,
    StationId,
    StreamId,
    Timestamp,
    TokenHash,
)
from evswap_schema.limits import MAX_EVENT_BYTES

RequestId = Annotated[int, Meta(ge=0, le=2**31 - 1, description="One swap; OCPP's requestId.")]


class SwapStep(StrEnum):
    """BatterySwapEventEnumType of OCPP 2.1."""

    BATTERY_IN = "battery_in"
    BATTERY_OUT = "battery_out"
    BATTERY_OUT_TIMEOUT = "battery_out_timeout"


class AlarmState(StrEnum):
    """An alarm stays raised until it is cleared."""

    RAISED = "raised"
    CLEARED = "cleared"


class Severity(StrEnum):
    """How soon somebody has to act: when convenient, today, at once."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class SwappedBattery(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """OCPP's BatteryDataType: a battery at the moment at which it came or went."""

    bay: BayNumber
    serial_number: SerialNumber
    soc: Percent
    soh: Percent
    production_date: Timestamp | None = None
    vendor_info: Annotated[str, Meta(max_length=500)] | None = None


class _Event(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    station_id: StationId
    stream_id: StreamId
    sequence: Sequence
    timestamp: Timestamp
    clock: Clock
    acknowledge: bool = False
    """The station asks the cloud to say that it has this message (``acknowledgement``)."""


class SwapEvent(_Event, frozen=True, kw_only=True, omit_defaults=True, tag="swap"):
    """A step of a swap. ``id_token`` is a keyed hash: the customer's token never leaves the station."""

    step: SwapStep
    request_id: RequestId
    id_token: TokenHash
    batteries: Annotated[tuple[SwappedBattery, ...], Meta(min_length=1, max_length=16)]


class AlarmEvent(_Event, frozen=True, kw_only=True, omit_defaults=True, tag="alarm"):
    """An alarm was raised or cleared; ``bay`` is absent where it concerns the whole station.

    ``count`` is of what the alarm is about, where that can be counted (samples that were dropped).
    """

    alarm: Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,64}\Z")]
    state: AlarmState
    severity: Severity
    bay: BayNumber | None = None
    detail: ShortText | None = None
    count: Annotated[int, Meta(ge=0)] | None = None


Event = SwapEvent | AlarmEvent


def encode_event(event: Event) -> bytes:
    """Write ``event`` as JSON."""
    return codec.encode(event)


def decode_event(raw: bytes) -> Event:
    """Read an event; raises ``OversizedMessage``, ``MalformedMessage`` or ``InvalidField``."""
    return codec.decode(raw, Event, limit=MAX_EVENT_BYTES)  # type: ignore[arg-type]
