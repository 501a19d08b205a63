"""Batches of readings: all that an invocation brings goes into one object a day, as JSON lines; its minutes
go into the history."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from evswap_cloud.archive import Archive, LinesFolder
from evswap_cloud.envelope import Envelope
from evswap_cloud.history import HistoryWriter
from evswap_cloud.ingest.admit import admit_batch, flags_of
from evswap_cloud.ingest.lines import Arrival, archive_lines
from evswap_cloud.ingest.minutes import keep_minutes
from evswap_cloud.ingest.receipts import receipts_of
from evswap_cloud.ingest.receive import Received, receive
from evswap_cloud.ingest.records import (
    Delivery,
    Each,
    Failure,
    Report,
    by_itself,
)
from evswap_cloud.ingest.states import Candidate, candidate_of, move_states
from evswap_cloud.latest import LatestWriter
from evswap_cloud.order import newest
from evswap_cloud.quarantine import Quarantine, Quarantined
from evswap_schema import Batch, Identity, Reading, encode_reading, format_timestamp, identity_of


class BulkIngest:
    """Takes what the batch rule put into its queue."""

    def __init__(
        self,
        *,
        archive: Archive,
        latest: LatestWriter,
        history: HistoryWriter,
        quarantine: Quarantine,
        each: Each = map,
    ) -> None:
        self._archive = archive
        self._latest = latest
        self._history = history
        self._quarantine = quarantine
        self._each = each

    def process(self, deliveries: Sequence[Delivery]) -> Report:
        """Bring ``deliveries`` to the stores; what could not be brought is in the report's ``failures``."""
        taken = tuple(self._each(by_itself(self._receive), deliveries))
        received = [outcome for outcome in taken if isinstance(outcome, Received)]
        archived = archive_lines(self._archive, LinesFolder.BULK, received, _lines)
        moves = move_states(self._latest, _candidates(archived.messages), self._each)
        minutes = keep_minutes(self._history, self._quarantine, archived.messages, self._each)
        failed = (outcome for outcome in taken if isinstance(outcome, Failure))
        quarantined = tuple(outcome for outcome in taken if isinstance(outcome, Quarantined))
        return Report(
            failures=(*failed, *archived.failures, *moves.failures, *minutes.failures),
            quarantined=(*quarantined, *minutes.quarantined),
            archived=archived.stored,
            repeated=archived.repeated,
            moved=moves.moved,
            bays=moves.bays,
            quarters=minutes.quarters,
            receipts=receipts_of(archived.messages, quarantined),
        )

    def _receive(self, delivery: Delivery) -> Received[Batch] | Quarantined:
        return receive(delivery, admit_batch, self._quarantine)


def _lines(batch: Received[Batch]) -> Mapping[Identity, bytes]:
    return {identity_of(reading): _line(reading, batch.envelope) for reading in batch.message.readings}


def _line(reading: Reading, envelope: Envelope) -> bytes:
    """The reading's own JSON with the arrival's fields added: it still decodes as a reading."""
    arrival = Arrival(received_at=format_timestamp(envelope.received_at), flags=flags_of(reading, envelope))
    return encode_reading(reading)[:-1] + b"," + msgspec.json.encode(arrival)[1:] + b"\n"


def _candidates(messages: Iterable[Received[Batch]]) -> list[Candidate]:
    """Backlog waited through an outage: what it says of the present has been said since."""
    return [_candidate(message) for message in messages if not message.message.backlog]


def _candidate(batch: Received[Batch]) -> Candidate:
    readings = (candidate_of(batch.record_id, reading, batch.envelope) for reading in batch.message.readings)
    return newest(readings, lambda candidate: candidate.state)
