"""Single readings: each is archived as its own object, then the newest of each station moves its state."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from evswap_cloud.archive import Addition, Archive, ArchiveObject, reading_object
from evswap_cloud.envelope import Envelope
from evswap_cloud.errors import Reason, Refusal
from evswap_cloud.ingest.admit import admit_reading, flags_of, state_of
from evswap_cloud.ingest.receive import put_aside, receive
from evswap_cloud.ingest.records import (
    Delivery,
    Each,
    Failure,
    Report,
    by_itself,
    refused_message,
)
from evswap_cloud.ingest.states import Candidate, move_states
from evswap_cloud.latest import LatestState, LatestWriter
from evswap_cloud.quarantine import Quarantine, Quarantined
from evswap_schema.errors import shorten


class _Admitted(Struct, frozen=True, kw_only=True):
    record_id: str
    envelope: Envelope
    item: ArchiveObject
    state: LatestState


class _Archived(Struct, frozen=True, kw_only=True):
    candidate: Candidate
    addition: Addition


class LiveIngest:
    """Takes what the telemetry rule put into its queue.

    ``each`` may run the writes of different records at the same time; it is ``map`` where nothing waits.
    """

    def __init__(
        self, *, archive: Archive, latest: LatestWriter, quarantine: Quarantine, each: Each = map
    ) -> None:
        self._archive = archive
        self._latest = latest
        self._quarantine = quarantine
        self._each = each

    def process(self, deliveries: Sequence[Delivery]) -> Report:
        """Bring ``deliveries`` to the stores; what could not be brought is in the report's ``failures``."""
        outcomes: list[_Admitted | _Archived | Quarantined | Failure] = []
        outcomes += self._each(by_itself(self._admit), deliveries)
        for messages in _without_repeats(one for one in outcomes if isinstance(one, _Admitted)):
            outcomes += self._each(by_itself(self._keep), messages)
        archived = [one for one in outcomes if isinstance(one, _Archived)]
        moves = move_states(self._latest, [one.candidate for one in archived], self._each)
        return Report(
            failures=(*(one for one in outcomes if isinstance(one, Failure)), *moves.failures),
            quarantined=tuple(one for one in outcomes if isinstance(one, Quarantined)),
            archived=sum(one.addition is Addition.STORED for one in archived),
            repeated=sum(one.addition is Addition.REPEATED for one in archived),
            moved=moves.moved,
        )

    def _admit(self, delivery: Delivery) -> _Admitted | Quarantined:
        received = receive(delivery, admit_reading, self._quarantine)
        if isinstance(received, Quarantined):
            return received
        reading, envelope = received.message, received.envelope
        item = reading_object(
            reading,
            envelope.payload,
            received_at=envelope.received_at,
            client_id=reading.station_id,
            flags=flags_of(reading, envelope),
        )
        state = state_of(reading, envelope)
        return _Admitted(record_id=delivery.record_id, envelope=envelope, item=item, state=state)

    def _keep(self, message: _Admitted) -> _Archived | Quarantined:
        addition = self._archive.add(message.item)
        if addition is Addition.CONFLICT:
            refused = refused_message(message.envelope, _conflict(message.envelope))
            return put_aside(self._quarantine, refused)
        candidate = Candidate(record_id=message.record_id, state=message.state)
        return _Archived(candidate=candidate, addition=addition)


def _conflict(envelope: Envelope) -> Refusal:
    return Refusal(
        reason=Reason.IDENTITY_CONFLICT,
        field="",
        rule="a reading is sent with one content only",
        value=shorten(envelope.payload),
    )


def _without_repeats(messages: Iterable[_Admitted]) -> Iterable[Iterable[_Admitted]]:
    """Groups in which a key stands once: of two messages with one identity the one delivered first has been
    written before the other is tried, however many are written at a time."""
    groups: list[dict[str, _Admitted]] = []
    for message in messages:
        for group in groups:
            if message.item.key not in group:
                group[message.item.key] = message
                break
        else:
            groups.append({message.item.key: message})
    return [group.values() for group in groups]
