"""What the AWS IoT rules put into the queues: the message, base64, and beside it who sent it where and when.

``cloud/stack/rules/*.sql`` are the other side of this module.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from evswap_cloud.errors import InvalidEnvelope

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MILLISECOND: Final = 253_402_214_400_000
"""9999-12-31T00:00:00Z: a later moment would leave the calendar when a tolerance is added to it."""

Milliseconds = Annotated[int, Meta(ge=0, le=_LAST_MILLISECOND)]


class Envelope(Struct, frozen=True, kw_only=True):
    """One message as AWS IoT received it.

    ``station_id`` is the level of the topic, ``client_id`` the MQTT client's and ``principal`` the id of the
    certificate that it showed (None when a rule could not tell), and ``received_at`` is AWS IoT's clock: the
    cloud's only notion of now while it ingests.
    """

    payload: bytes
    topic: str
    station_id: str
    client_id: str | None
    received_at: datetime
    principal: str | None = None


class _Wire(Struct, frozen=True, kw_only=True):
    payload: bytes
    topic: str
    station_id: str
    received_at: Milliseconds
    client_id: str | None = None
    principal: str | None = None


_decoder: Final = msgspec.json.Decoder(_Wire)


def decode_envelope(body: str) -> Envelope:
    """Read the body of a queue's record; raises ``InvalidEnvelope``."""
    try:
        wire = _decoder.decode(body)
    except msgspec.DecodeError as error:
        rule, _, path = str(error).partition(" - at `$")
        raise InvalidEnvelope(field=path.strip("`."), rule=rule) from error
    except UnicodeError as error:
        raise InvalidEnvelope(field="", rule="has to be UTF-8") from error
    return Envelope(
        payload=wire.payload,
        topic=wire.topic,
        station_id=wire.station_id,
        client_id=wire.client_id,
        received_at=from_milliseconds(wire.received_at),
        principal=wire.principal,
    )


def from_milliseconds(count: int) -> datetime:
    """The moment ``count`` milliseconds after 1970-01-01T00:00:00Z, exactly."""
    return _EPOCH + timedelta(milliseconds=count)
