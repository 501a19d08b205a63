"""Whether a station is there: the retained message on the channel ``connection``.

A station says ``online`` on every new link and ``offline`` when it stops; the broker says ``offline`` in its
name (its will) when the link broke and did not come back in time.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from evswap_schema import codec
from evswap_schema.fields import Clock, StationId, Timestamp
from evswap_schema.limits import MAX_COMMAND_BYTES

SessionId = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z", description="One run of the station's process.")
]


class ConnectionState(StrEnum):
    """Whether a station has a link; its ``status`` is another matter."""

    ONLINE = "online"
    OFFLINE = "offline"


class Connection(Struct, frozen=True, kw_only=True):
    """A station came or went.

    An ``offline`` of another ``session`` than the last ``online`` is a late one (the will of a process that
    was replaced) and says nothing. ``timestamp`` is when the message was written: for a will, which is
    written before its link, when the session began.
    """

    station_id: StationId
    state: ConnectionState
    session: SessionId
    timestamp: Timestamp
    clock: Clock


def encode_connection(connection: Connection) -> bytes:
    """Write ``connection`` as JSON."""
    return codec.encode(connection)


def decode_connection(raw: bytes) -> Connection:
    """Read a connection message; raises ``OversizedMessage``, ``MalformedMessage`` or ``InvalidField``."""
    return codec.decode(raw, Connection, limit=MAX_COMMAND_BYTES)
