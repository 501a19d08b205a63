"""Events: what happened at a station, each once and for the record.

The swap's life follows OCPP 2.1, block S (BatterySwapRequest): a battery came in, one went out, or one that
was offered was not taken in time. OCPP's own spelling (``soC``, ``evseId``) belongs to its border alone.
What OCPP has no message for are events of their own: a customer who was turned away, and which batteries
stand in the bays when the station begins, or finds that it was wrong about them.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from evswap_schema import codec
from evswap_schema.authorisation import AuthorisationId
from evswap_schema.bay import Occupancy, SerialNumber
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
from evswap_schema.limits import MAX_BAYS, MAX_EVENT_BYTES

RequestId = Annotated[int, Meta(ge=0, le=2**31 - 1, description="One swap; OCPP's requestId.")]


class SwapStep(StrEnum):
    """BatterySwapEventEnumType of OCPP 2.1."""

    BATTERY_IN = "battery_in"
    BATTERY_OUT = "battery_out"
    BATTERY_OUT_TIMEOUT = "battery_out_timeout"


class Authority(StrEnum):
    """Who let a customer swap: the cloud at that time, or the station by an authorisation that it keeps."""

    ONLINE = "online"
    OFFLINE = "offline"


class RefusalReason(StrEnum):
    """Why a customer was turned away."""

    NO_BATTERY = "no_battery"
    """No battery that is charged, healthy and promised to nobody."""
    NO_EMPTY_BAY = "no_empty_bay"
    """No bay to put the customer's battery into."""
    UNAUTHORISED = "unauthorised"
    """The station knows of nothing that would let this token swap here."""
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    LIMIT_REACHED = "limit_reached"
    """The authorisation's swaps are used up."""
    CLOCK_UNKNOWN = "clock_unknown"
    """The station cannot tell what time it is, so not whether the authorisation is still valid."""
    UNREGISTERED_BATTERY = "unregistered_battery"
    """What the customer put in is no battery of this network; its bay is in quarantine."""
    BUSY = "busy"
    """As many swaps as the station does at once are under way, or one for this customer is."""
    UNAVAILABLE = "unavailable"
    """The station cannot swap at the moment: bays, locks or storage do not work, or safety forbids it."""


class InventoryReason(StrEnum):
    """Why a station says what stands in its bays."""

    START = "start"
    """The station has begun; it says so of all its bays."""
    CONTRADICTED = "contradicted"
    """These bays hold something else than the station had said: a battery came or went without a swap."""


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
    """A step of a swap. ``id_token`` is a keyed hash: the customer's token never leaves the station.

    A step happens once in a swap: whoever hears of it a second time, under whatever sequence, has heard it.
    ``authorisation_id`` stands there when the station authorised the swap itself, and only then.
    """

    step: SwapStep
    request_id: RequestId
    id_token: TokenHash
    batteries: Annotated[tuple[SwappedBattery, ...], Meta(min_length=1, max_length=16)]
    authority: Authority = Authority.ONLINE
    authorisation_id: AuthorisationId | None = None

    def __post_init__(self) -> None:
        if (self.authority is Authority.OFFLINE) != (self.authorisation_id is not None):
            raise ValueError("authorisation_id stands there when authority is offline, and only then")


class RefusalEvent(_Event, frozen=True, kw_only=True, omit_defaults=True, tag="refusal"):
    """A customer was turned away, and why. The rest is there as far as it is known.

    ``battery`` is one that was put in and not accepted; it stays where it is until somebody looks at it.
    """

    reason: RefusalReason
    id_token: TokenHash | None = None
    request_id: RequestId | None = None
    authority: Authority = Authority.ONLINE
    authorisation_id: AuthorisationId | None = None
    bay: BayNumber | None = None
    battery: SwappedBattery | None = None
    detail: ShortText | None = None


class InventoryBay(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What stands in a bay. A battery that does not say who it is has no ``serial_number``."""

    bay: BayNumber
    occupancy: Occupancy
    serial_number: SerialNumber | None = None
    soc: Percent | None = None
    soh: Percent | None = None

    def __post_init__(self) -> None:
        if self.occupancy is Occupancy.EMPTY and self.serial_number is not None:
            raise ValueError("an empty bay has no serial_number")


class InventoryEvent(_Event, frozen=True, kw_only=True, omit_defaults=True, tag="inventory"):
    """What stands in some bays. Nothing is said of a bay that is not named: a station with many bays says it
    in several events, each of which is true by itself."""

    reason: InventoryReason
    bays: Annotated[tuple[InventoryBay, ...], Meta(min_length=1, max_length=MAX_BAYS)]

    def __post_init__(self) -> None:
        if len({bay.bay for bay in self.bays}) != len(self.bays):
            raise ValueError("bays: each bay number may stand there once")


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


Event = SwapEvent | RefusalEvent | InventoryEvent | AlarmEvent


def encode_event(event: Event) -> bytes:
    """Write ``event`` as JSON."""
    return codec.encode(event)


def decode_event(raw: bytes) -> Event:
    """Read an event; raises ``OversizedMessage``, ``MalformedMessage`` or ``InvalidField``."""
    return codec.decode(raw, Event, limit=MAX_EVENT_BYTES)  # type: ignore[arg-type]
