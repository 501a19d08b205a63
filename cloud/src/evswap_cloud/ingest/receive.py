"""From a queue's record to a message that may enter; what may not is put aside on the way."""

from collections.abc import Callable
from typing import Generic, TypeVar

from msgspec import Struct

from evswap_cloud.envelope import Envelope, decode_envelope
from evswap_cloud.errors import InvalidEnvelope, Refusal
from evswap_cloud.ingest.records import Delivery, refused_message, refused_record
from evswap_cloud.quarantine import Quarantine, Quarantined

T = TypeVar("T")


class Received(Struct, Generic[T], frozen=True, kw_only=True):
    """A message that was admitted, how AWS IoT received it, and the record that brought it."""

    record_id: str
    envelope: Envelope
    message: T


def receive(
    delivery: Delivery, admit: Callable[[Envelope], T], quarantine: Quarantine
) -> Received[T] | Quarantined:
    """The message in ``delivery`` if ``admit`` lets it in, else what was put aside.

    Raises ``QuarantineError`` when it could not be put aside: then the record has to come again.
    """
    try:
        envelope = decode_envelope(delivery.body)
    except InvalidEnvelope as error:
        return put_aside(quarantine, refused_record(delivery, error))
    try:
        message = admit(envelope)
    except Refusal as refusal:
        return put_aside(quarantine, refused_message(envelope, refusal))
    return Received(record_id=delivery.record_id, envelope=envelope, message=message)


def put_aside(quarantine: Quarantine, message: Quarantined) -> Quarantined:
    """Keep ``message`` in ``quarantine``; it is durable when this returns."""
    quarantine.keep(message)
    return message
