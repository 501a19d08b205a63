"""Batch v1: many readings of one station and stream in one message of at most 5,000 bytes.

The header stands once. Each field of the samples is a *column*: one value where it is the same in all
samples, else a list with a value for each. Bays follow the same rule field by field, so a bay that does not
change costs its key frame alone, and every batch can be read by itself, whatever was lost or reordered around
it. Sequence numbers and timestamps are a first value and the steps from one sample to the next. The JSON is
deflated (RFC 1950); the reader takes it plain, too.

The format is frozen: golden messages in the tests hold it.
"""

from typing import Annotated, Final, Literal, TypeVar

from msgspec import Meta, Struct

from evswap_schema.bay import (
    Ampere,
    Battery,
    CellCelsius,
    Charge,
    Cycles,
    Health,
    Lock,
    Occupancy,
    Reservation,
    SerialNumber,
    Volt,
)
from evswap_schema.fields import (
    BayNumber,
    Celsius,
    Clock,
    Count,
    Percent,
    Quality,
    ShortText,
    StationId,
    StationStatus,
    StreamId,
    Timestamp,
)
from evswap_schema.fields import Sequence as SequenceNumber
from evswap_schema.limits import MAX_BATCH_MINUTES, MAX_BATCH_SAMPLES, MAX_BAYS, MAX_MINUTE_SAMPLES
from evswap_schema.reading import Location, Part, Reading

T = TypeVar("T")
Values = tuple[T, ...]

SAMPLE_COLUMNS: Final = (
    "clock",
    "battery_available",
    "battery_charging",
    "temperature",
    "humidity",
    "status",
)
BAY_COLUMNS: Final = ("occupancy", "charge", "lock", "reservation", "health")
BATTERY_COLUMNS: Final = Battery.__struct_fields__


class Span(Struct, frozen=True, kw_only=True):
    """The least, mean and greatest of a field's values within a minute."""

    least: float
    mean: float
    greatest: float


class MinuteAggregate(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One finished minute of a station. Readings in which a sensor failed do not count for its field."""

    minute: Timestamp
    samples: Annotated[int, Meta(ge=1, le=MAX_MINUTE_SAMPLES)]
    battery_available: Span
    battery_charging: Span
    temperature: Span | None = None
    humidity: Span | None = None


Minutes = Annotated[tuple[MinuteAggregate, ...], Meta(max_length=MAX_BATCH_MINUTES)]


class BayColumns(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One bay over all samples of a batch. Where the slot is empty, all fields of its battery are null."""

    bay: BayNumber
    occupancy: Occupancy | Values[Occupancy]
    charge: Charge | Values[Charge]
    lock: Lock | Values[Lock]
    reservation: Reservation | Values[Reservation]
    health: Health | Values[Health]
    serial_number: SerialNumber | Values[SerialNumber | None] | None = None
    soc: Percent | Values[Percent | None] | None = None
    soh: Percent | Values[Percent | None] | None = None
    voltage: Volt | Values[Volt | None] | None = None
    current: Ampere | Values[Ampere | None] | None = None
    temperature: CellCelsius | Values[CellCelsius | None] | None = None
    cycles: Cycles | Values[Cycles | None] | None = None


class BatchDocument(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The batch as it stands on the wire. ``Batch`` is what a reader works with.

    ``timestamp`` is in microseconds since 1970-01-01T00:00:00Z, ``timestamp_steps`` in microseconds.
    """

    v: Literal[1]
    station_id: StationId
    stream_id: StreamId
    samples: Annotated[int, Meta(ge=1, le=MAX_BATCH_SAMPLES)]
    sequence: SequenceNumber
    timestamp: int
    clock: Clock | Values[Clock | None] | None
    battery_available: Count | Values[Count]
    battery_charging: Count | Values[Count]
    temperature: Celsius | Values[Celsius | None] | None
    humidity: Percent | Values[Percent | None] | None
    status: StationStatus | Values[StationStatus]
    sequence_steps: Annotated[int, Meta(ge=1)] | Values[Annotated[int, Meta(ge=1)]] = 1
    timestamp_steps: int | Values[int] = 0
    quality: dict[int, dict[ShortText, Quality]] | None = None
    bays: Annotated[tuple[BayColumns, ...], Meta(max_length=MAX_BAYS)] | None = None
    part: Part | None = None
    location: Location | None = None
    firmware: ShortText | None = None
    minutes: Minutes = ()
    backlog: bool = False
    acknowledge: bool = False


class Batch(Struct, frozen=True, kw_only=True):
    """What a batch says.

    A ``backlog`` batch holds what waited through an outage: it never moves the latest state. With
    ``acknowledge`` the station asks the cloud to say that it has this message (``acknowledgement``).
    """

    station_id: str
    stream_id: str
    readings: tuple[Reading, ...]
    minutes: tuple[MinuteAggregate, ...] = ()
    backlog: bool = False
    acknowledge: bool = False


class EncodedBatch(Struct, frozen=True, kw_only=True):
    """A batch ready to send, and the sequence numbers of the readings that it holds, wholly or in part."""

    payload: bytes
    sequences: tuple[int, ...]
