"""How a reading is recognised when it arrives a second time."""

from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

from msgspec import Struct

from evswap_schema.reading import Reading
from evswap_schema.timestamps import format_timestamp

_NAMESPACE: Final = UUID("6e6ef5a1-4c3e-5b0e-9a55-0b6f2f6a8d11")
"""Never changes: object names made from it have to be the same for ever."""


class Identity(Struct, frozen=True, kw_only=True):
    """Names one reading for ever.

    ``(station_id, stream_id, sequence)``, or ``(station_id, timestamp)`` for a seed message, which has no
    stream. ``part`` belongs to it where a reading came in several messages.
    """

    station_id: str
    stream_id: str | None = None
    sequence: int | None = None
    timestamp: datetime | None = None
    part: int | None = None

    @property
    def uuid(self) -> UUID:
        """The same for the same reading wherever and however often it is computed (RFC 9562, version 5)."""
        return uuid5(_NAMESPACE, "/".join(self._levels()))

    def _levels(self) -> list[str]:
        moment = None if self.timestamp is None else format_timestamp(self.timestamp)
        levels = (self.station_id, self.stream_id, self.sequence, moment, self.part)
        return [str(level) for level in levels if level is not None]


def identity_of(reading: Reading) -> Identity:
    """The identity of ``reading``."""
    if reading.sequence is None:
        return Identity(station_id=reading.station_id, timestamp=reading.timestamp)
    return Identity(
        station_id=reading.station_id,
        stream_id=reading.stream_id,
        sequence=reading.sequence,
        part=None if reading.part is None else reading.part.index,
    )
