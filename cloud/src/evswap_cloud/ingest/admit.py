"""Whether a message may enter, and as what."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

from evswap_cloud.envelope import Envelope
from evswap_cloud.errors import Reason, Refusal
from evswap_cloud.ingest.minutes import demand_sound_minutes
from evswap_cloud.latest import Flag, LatestState
from evswap_cloud.places import rounded
from evswap_schema import (
    Batch,
    Channel,
    CommandResult,
    Connection,
    Event,
    InvalidMessage,
    MalformedMessage,
    OversizedMessage,
    PendingRequest,
    Reading,
    broker_topic,
    decode_batch,
    decode_connection,
    decode_event,
    decode_pending_request,
    decode_reading,
    decode_result,
    format_timestamp,
)
from evswap_schema.errors import shorten
from evswap_schema.limits import FUTURE_TOLERANCE

T = TypeVar("T")

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""What an unset clock shows. Earlier days have no partition in the archive."""


def admit_reading(envelope: Envelope) -> Reading:
    """The reading in a message of the telemetry topic; raises ``Refusal``."""
    reading = _decoded(decode_reading, envelope)
    _require_sender(envelope, Channel.TELEMETRY, reading.station_id)
    _require_possible(reading)
    if reading.stream_id is None and _is_ahead(reading, envelope):
        raise Refusal(
            reason=Reason.FUTURE_TIMESTAMP,
            field="timestamp",
            rule=f"at most {FUTURE_TOLERANCE} after its receipt at {format_timestamp(envelope.received_at)}",
            value=format_timestamp(reading.timestamp),
        )
    return reading


def admit_change(envelope: Envelope) -> Reading:
    """The reading in a message of the change rule; raises ``Refusal``."""
    reading = _decoded(decode_reading, envelope)
    _require_sender(envelope, Channel.CHANGE, reading.station_id)
    _require_possible(reading)
    if reading.stream_id is None:
        raise Refusal(
            reason=Reason.INVALID_FIELD,
            field="stream_id",
            rule="required of a change: its place in the stream, where a batch archives it",
            value="nothing",
        )
    return reading


def admit_batch(envelope: Envelope) -> Batch:
    """The readings in a message of the batch rule; raises ``Refusal``."""
    batch = _decoded(decode_batch, envelope)
    _require_sender(envelope, Channel.BATCH, batch.station_id)
    for reading in batch.readings:
        _require_possible(reading)
    demand_sound_minutes(batch.minutes)
    return batch


def admit_connection(envelope: Envelope) -> Connection:
    """What a station, or its will, says of its link; raises ``Refusal``. Of a will, which the broker sends,
    AWS IoT need not name the client."""
    said = _decoded(decode_connection, envelope)
    _require_topic(envelope, Channel.CONNECTION, said.station_id)
    return said


def admit_event(envelope: Envelope) -> Event:
    """The event in a message of the event rule; raises ``Refusal``."""
    event = _decoded(decode_event, envelope)
    _require_sender(envelope, Channel.EVENT, event.station_id)
    _require_possible(event)
    return event


def admit_result(envelope: Envelope) -> CommandResult:
    """What became of a command, in a message of the result rule; raises ``Refusal``."""
    result = _decoded(decode_result, envelope)
    _require_sender(envelope, Channel.RESULT, result.station_id, result.command_id)
    _require_possible(result)
    return result


def admit_pending_request(envelope: Envelope) -> PendingRequest:
    """A station's question for the commands that wait for it; raises ``Refusal``."""
    request = _decoded(decode_pending_request, envelope)
    _require_sender(envelope, Channel.PENDING, request.station_id)
    return request


def flags_of(message: Reading | Event, envelope: Envelope) -> tuple[Flag, ...]:
    """What is odd about ``message``, seen from the moment it was received."""
    return (Flag.FUTURE_TIMESTAMP,) if _is_ahead(message, envelope) else ()


def observed_at(message: Reading | Event, envelope: Envelope) -> datetime:
    """When it happened, as far as the station's clock is believed."""
    return min(message.timestamp, envelope.received_at + FUTURE_TOLERANCE)


def state_of(reading: Reading, envelope: Envelope) -> LatestState:
    """The state that ``reading`` offers for its station."""
    return LatestState(
        station_id=reading.station_id,
        battery_available=reading.battery_available,
        battery_charging=reading.battery_charging,
        temperature=reading.temperature,
        humidity=reading.humidity,
        status=reading.status,
        timestamp=reading.timestamp,
        observed_at=observed_at(reading, envelope),
        received_at=envelope.received_at,
        stream_id=reading.stream_id,
        sequence=reading.sequence,
        clock=reading.clock,
        flags=flags_of(reading, envelope),
        location=None if reading.location is None else rounded(reading.location),
    )


def _decoded(decode: Callable[[bytes], T], envelope: Envelope) -> T:
    try:
        return decode(envelope.payload)
    except InvalidMessage as error:
        raise _refused(error) from error


def _is_ahead(message: Reading | Event, envelope: Envelope) -> bool:
    return message.timestamp > envelope.received_at + FUTURE_TOLERANCE


def _require_sender(envelope: Envelope, channel: Channel, station_id: str, *levels: str) -> None:
    """Topic, client and body have to name one station: the policy may have been got around, or Basic Ingest's
    FROM ignored.
    """
    _require_topic(envelope, channel, station_id, *levels)
    if envelope.client_id != station_id:
        raise Refusal(
            reason=Reason.WRONG_CLIENT,
            field="station_id",
            rule=f"the MQTT client's id, {shorten(envelope.client_id)}",
            value=shorten(station_id),
        )


def _require_topic(envelope: Envelope, channel: Channel, station_id: str, *levels: str) -> None:
    expected = broker_topic(channel, station_id, *levels)
    if envelope.station_id != station_id:
        raise Refusal(
            reason=Reason.WRONG_STATION,
            field="station_id",
            rule=f"the topic's station, {shorten(envelope.station_id)}",
            value=shorten(station_id),
        )
    if envelope.topic != expected:
        raise Refusal(
            reason=Reason.WRONG_TOPIC, field="", rule=f"sent on {expected}", value=shorten(envelope.topic)
        )


def _require_possible(message: Reading | Event | CommandResult) -> None:
    if message.timestamp < EARLIEST:
        raise Refusal(
            reason=Reason.IMPOSSIBLE_TIMESTAMP,
            field="timestamp",
            rule=f"not before {format_timestamp(EARLIEST)}",
            value=format_timestamp(message.timestamp),
        )


def _refused(error: InvalidMessage) -> Refusal:
    match error:
        case MalformedMessage():
            reason = Reason.MALFORMED
        case OversizedMessage():
            reason = Reason.OVERSIZED
        case _:
            reason = Reason.INVALID_FIELD
    return Refusal(reason=reason, field=error.field, rule=error.rule, value=error.value)
