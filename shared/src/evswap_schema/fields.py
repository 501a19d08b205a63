"""The constrained types that the messages are built from: each rule of the field table stands here once."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

from evswap_schema.limits import MAX_BATTERIES, MAX_BAYS, MAX_SEQUENCE

STATION_ID_PATTERN: Final = r"^[A-Za-z0-9_-]{1,64}\Z"
"""A station_id is a thing name, a topic level, a table key and a part of a URL: these characters are safe in
all.
"""

StationId = Annotated[
    str, Meta(pattern=STATION_ID_PATTERN, description="The station, also its AWS IoT thing name.")
]
StreamId = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-]{1,64}\Z",
        description="One unbroken run of sequence numbers: one outbox file.",
    ),
]
Sequence = Annotated[
    int, Meta(ge=0, le=MAX_SEQUENCE, description="Grows by at least one from sample to sample.")
]
Count = Annotated[int, Meta(ge=0, le=MAX_BATTERIES)]
Celsius = Annotated[float, Meta(ge=-60, le=100, description="Degrees Celsius.")]
Percent = Annotated[float, Meta(ge=0, le=100)]
Timestamp = Annotated[datetime, Meta(tz=True, description="RFC 3339; written in UTC with Z.")]
BayNumber = Annotated[
    int, Meta(ge=1, le=MAX_BAYS, description="The slot's number as printed on the cabinet.")
]
ShortText = Annotated[str, Meta(min_length=1, max_length=64)]
TokenHash = Annotated[
    str,
    Meta(pattern=r"^[0-9a-f]{64}\Z", description="Keyed hash (HMAC-SHA-256, hex) of a customer's token."),
]


class StationStatus(StrEnum):
    """What the station says of itself; connectivity is another matter and never stands here."""

    OPERATIONAL = "operational"
    DEGRADED = "degraded"
    MAINTENANCE = "maintenance"
    FAULT = "fault"


class Clock(StrEnum):
    """Whether the wall clock was disciplined by a time source when the sample was taken."""

    SYNCHRONIZED = "synchronized"
    ESTIMATED = "estimated"


class Quality(StrEnum):
    """Why a field is not a fresh measurement."""

    STALE = "stale"
    FAILED = "failed"
