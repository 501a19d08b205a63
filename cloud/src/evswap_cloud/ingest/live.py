"""Single readings: each is archived as its own object, then the newest of each station moves its state."""

from collections.abc import Sequence

from msgspec import Struct

from evswap_cloud.archive import Addition, Archive, reading_object
from evswap_cloud.envelope import decode_envelope
from evswap_cloud.errors import InvalidEnvelope, Reason, Refusal
from evswap_cloud.ingest.admit import admit_reading, flags_of, state_of
from evswap_cloud.ingest.records import (
    Delivery,
    Each,
    Failure,
    Report,
    by_itself,
    refused_message,
    refused_record,
)
from evswap_cloud.ingest.states import Candidate, move_states
from evswap_cloud.latest import LatestWriter
from evswap_cloud.quarantine import Quarantine, Quarantined
from evswap_schema.errors import shorten


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
        taken = tuple(self._each(by_itself(self._take), deliveries))
        archived = [outcome for outcome in taken if isinstance(outcome, _Archived)]
        moves = move_states(self._latest, [outcome.candidate for outcome in archived], self._each)
        return Report(
            failures=(*(outcome for outcome in taken if isinstance(outcome, Failure)), *moves.failures),
            quarantined=tuple(outcome for outcome in taken if isinstance(outcome, Quarantined)),
            archived=sum(outcome.addition is Addition.STORED for outcome in archived),
            repeated=sum(outcome.addition is Addition.REPEATED for outcome in archived),
            moved=moves.moved,
        )

    def _take(self, delivery: Delivery) -> _Archived | Quarantined:
        try:
            envelope = decode_envelope(delivery.body)
        except InvalidEnvelope as error:
            return self._put_aside(refused_record(delivery, error))
        try:
            reading = admit_reading(envelope)
            item = reading_object(
                reading,
                envelope.payload,
                received_at=envelope.received_at,
                client_id=reading.station_id,
                flags=flags_of(reading, envelope),
            )
            addition = self._archive.add(item)
            if addition is Addition.CONFLICT:
                raise Refusal(
                    reason=Reason.IDENTITY_CONFLICT,
                    field="",
                    rule="a reading is sent with one content only",
                    value=shorten(envelope.payload),
                )
        except Refusal as refusal:
            return self._put_aside(refused_message(envelope, refusal))
        candidate = Candidate(record_id=delivery.record_id, state=state_of(reading, envelope))
        return _Archived(candidate=candidate, addition=addition)

    def _put_aside(self, message: Quarantined) -> Quarantined:
        self._quarantine.keep(message)
        return message
