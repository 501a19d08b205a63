"""Single readings: each is archived as its own object, then the newest of each station moves its state."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from evswap_cloud.archive import Addition, Archive, ArchiveObject, reading_object
from evswap_cloud.envelope import Envelope
from evswap_cloud.errors import Reason, Refusal
from evswap_cloud.ingest.admit import admit_reading, flags_of
from evswap_cloud.ingest.receipts import receipts_of
from evswap_cloud.ingest.receive import Received, put_aside, receive
from evswap_cloud.ingest.records import (
    Delivery,
    Each,
    Failure,
    Report,
    by_itself,
    refused_message,
)
from evswap_cloud.ingest.states import candidate_of, move_states
from evswap_cloud.latest import LatestWriter
from evswap_cloud.quarantine import Quarantine, Quarantined
from evswap_schema import Reading
from evswap_schema.errors import shorten


class _Admitted(Struct, frozen=True, kw_only=True):
    received: Received[Reading]
    item: ArchiveObject

    @property
    def record_id(self) -> str:
        return self.received.record_id


class _Archived(Struct, frozen=True, kw_only=True):
    received: Received[Reading]
    addition: Addition

    @property
    def record_id(self) -> str:
        return self.received.record_id


class LiveIngest:
    """Takes what the telemetry rule put into its queue.

    ``each`` may run the writes of different records at the same time; it is ``map`` where nothing waits.
    """

    def __init__(
        self,
        *,
        archive: Archive,
        latest: LatestWriter,
        quarantine: Quarantine,
        each: Each = map,
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
        candidates = [
            candidate_of(one.record_id, one.received.message, one.received.envelope) for one in archived
        ]
        moves = move_states(self._latest, candidates, self._each)
        quarantined = tuple(one for one in outcomes if isinstance(one, Quarantined))
        return Report(
            failures=(*(one for one in outcomes if isinstance(one, Failure)), *moves.failures),
            quarantined=quarantined,
            archived=sum(one.addition is Addition.STORED for one in archived),
            repeated=sum(one.addition is Addition.REPEATED for one in archived),
            moved=moves.moved,
            bays=moves.bays,
            receipts=receipts_of((one.received for one in archived), quarantined),
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
        return _Admitted(received=received, item=item)

    def _keep(self, message: _Admitted) -> _Archived | Quarantined:
        addition = self._archive.add(message.item)
        if addition is Addition.CONFLICT:
            envelope = message.received.envelope
            return put_aside(self._quarantine, refused_message(envelope, _conflict(envelope)))
        return _Archived(received=message.received, addition=addition)


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
