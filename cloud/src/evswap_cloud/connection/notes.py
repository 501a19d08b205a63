"""What the rules ``evswap_presence`` and ``evswap_connection`` put into their queue, brought to contacts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from evswap_cloud.connection.contact import Presence, Word
from evswap_cloud.connection.store import ContactWriter
from evswap_cloud.envelope import Envelope, Milliseconds, from_milliseconds
from evswap_cloud.errors import Reason, Refusal
from evswap_cloud.ingest.admit import admit_connection
from evswap_cloud.ingest.receive import Received, receive
from evswap_cloud.ingest.records import Delivery, Each, Failure, Report, by_itself
from evswap_cloud.latest import Offer
from evswap_cloud.quarantine import Quarantine, Quarantined
from evswap_schema import ConnectionState
from evswap_schema.errors import shorten

PRESENCE_TOPICS: Final = "$aws/events/presence/"
_STATES: Final = {"connected": ConnectionState.ONLINE, "disconnected": ConnectionState.OFFLINE}


class _PresenceEvent(Struct, frozen=True, kw_only=True, rename="camel"):
    """AWS IoT's message, as far as it is needed:
    https://docs.aws.amazon.com/iot/latest/developerguide/life-cycle-events.html."""

    client_id: str
    event_type: str
    timestamp: Milliseconds
    version_number: Annotated[int, Meta(ge=0, le=2**63 - 1)]


_presence: Final = msgspec.json.Decoder(_PresenceEvent)

Note = Presence | Word


class ConnectionNotes:
    """Takes what both rules put into the queue."""

    def __init__(self, *, contacts: ContactWriter, quarantine: Quarantine, each: Each = map) -> None:
        self._contacts = contacts
        self._quarantine = quarantine
        self._each = each

    def process(self, deliveries: Sequence[Delivery]) -> Report:
        """Bring ``deliveries`` to the contacts; what could not be brought is in the report's ``failures``."""
        outcomes = tuple(self._each(by_itself(self._note), deliveries))
        return Report(
            failures=tuple(one for one in outcomes if isinstance(one, Failure)),
            quarantined=tuple(one for one in outcomes if isinstance(one, Quarantined)),
            moved=sum(one is Offer.MOVED for one in outcomes),
        )

    def _note(self, delivery: Delivery) -> Offer | Quarantined:
        received: Received[Note] | Quarantined = receive(delivery, admit_note, self._quarantine)
        if isinstance(received, Quarantined):
            return received
        station_id = received.envelope.station_id
        match received.message:
            case Presence() as presence:
                return self._contacts.note_presence(station_id, presence)
            case Word() as word:
                return self._contacts.note_word(station_id, word)


def admit_note(envelope: Envelope) -> Note:
    """What the message in ``envelope`` says of its station's link; raises ``Refusal``."""
    if envelope.topic.startswith(PRESENCE_TOPICS):
        return _admit_presence(envelope)
    said = admit_connection(envelope)
    return Word(state=said.state, session=said.session, at=envelope.received_at)


def _admit_presence(envelope: Envelope) -> Presence:
    try:
        event = _presence.decode(envelope.payload)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise _not_presence(envelope, str(error)) from error
    at: datetime = from_milliseconds(event.timestamp)
    if event.event_type not in _STATES or event.client_id != envelope.station_id:
        raise _not_presence(envelope, "an event of the client and of the kind that its topic names")
    return Presence(state=_STATES[event.event_type], version=event.version_number, at=at)


def _not_presence(envelope: Envelope, rule: str) -> Refusal:
    return Refusal(reason=Reason.MALFORMED, field="", rule=rule, value=shorten(envelope.payload))
