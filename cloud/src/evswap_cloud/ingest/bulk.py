"""Batches of readings: all that an invocation brings goes into one object a day, as JSON lines."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from evswap_cloud.archive import Addition, Archive, ArchiveObject, bulk_object, day_folder
from evswap_cloud.envelope import Envelope
from evswap_cloud.errors import ArchiveError
from evswap_cloud.ingest.admit import admit_batch, flags_of, state_of
from evswap_cloud.ingest.order import newest_by_station
from evswap_cloud.ingest.receive import Received, receive
from evswap_cloud.ingest.records import (
    Delivery,
    Each,
    Failure,
    Report,
    by_itself,
)
from evswap_cloud.ingest.states import Candidate, move_states
from evswap_cloud.latest import Flag, LatestWriter
from evswap_cloud.quarantine import Quarantine, Quarantined
from evswap_schema import Batch, Identity, Reading, encode_reading, format_timestamp, identity_of


class _Arrival(Struct, omit_defaults=True, frozen=True, kw_only=True):
    """What a line of the bulk archive says beside the reading's own fields."""

    received_at: str
    flags: tuple[Flag, ...] = ()


class BulkIngest:
    """Takes what the batch rule put into its queue."""

    def __init__(
        self, *, archive: Archive, latest: LatestWriter, quarantine: Quarantine, each: Each = map
    ) -> None:
        self._archive = archive
        self._latest = latest
        self._quarantine = quarantine
        self._each = each

    def process(self, deliveries: Sequence[Delivery]) -> Report:
        """Bring ``deliveries`` to the stores; what could not be brought is in the report's ``failures``."""
        taken = tuple(self._each(by_itself(self._receive), deliveries))
        failures = [outcome for outcome in taken if isinstance(outcome, Failure)]
        archived: list[Received[Batch]] = []
        additions: list[Addition] = []
        for day in _by_day_received(outcome for outcome in taken if isinstance(outcome, Received)):
            try:
                additions.append(self._archive.add(_object_of(day)))
            except ArchiveError as error:
                failures += [Failure(record_id=message.record_id, error=error) for message in day]
            else:
                archived += day
        moves = move_states(self._latest, list(_candidates(archived)), self._each)
        return Report(
            failures=(*failures, *moves.failures),
            quarantined=tuple(outcome for outcome in taken if isinstance(outcome, Quarantined)),
            archived=additions.count(Addition.STORED),
            repeated=len(additions) - additions.count(Addition.STORED),
            moved=moves.moved,
        )

    def _receive(self, delivery: Delivery) -> Received[Batch] | Quarantined:
        return receive(delivery, admit_batch, self._quarantine)


def _by_day_received(messages: Iterable[Received[Batch]]) -> Iterable[list[Received[Batch]]]:
    days: dict[str, list[Received[Batch]]] = defaultdict(list)
    for message in messages:
        days[day_folder(message.envelope.received_at)].append(message)
    return days.values()


def _object_of(messages: Sequence[Received[Batch]]) -> ArchiveObject:
    """The same messages make the same object, in whatever order the queue hands them out; a message that is
    there twice counts once, with its first receipt.
    """
    lines: dict[Identity, bytes] = {}
    for message in sorted(messages, key=_order):
        for reading in message.message.readings:
            lines.setdefault(identity_of(reading), _line(reading, message.envelope))
    return bulk_object(
        b"".join(lines.values()),
        received_at=min(message.envelope.received_at for message in messages),
        messages=len(messages),
    )


def _order(message: Received[Batch]) -> tuple[datetime, bytes]:
    return message.envelope.received_at, message.envelope.payload


def _line(reading: Reading, envelope: Envelope) -> bytes:
    """The reading's own JSON with the arrival's fields added: it still decodes as a reading."""
    arrival = _Arrival(received_at=format_timestamp(envelope.received_at), flags=flags_of(reading, envelope))
    return encode_reading(reading)[:-1] + b"," + msgspec.json.encode(arrival)[1:] + b"\n"


def _candidates(messages: Iterable[Received[Batch]]) -> Iterable[Candidate]:
    """Backlog waited through an outage: what it says of the present has been said since."""
    for message in messages:
        if message.message.backlog:
            continue
        for state in newest_by_station(
            state_of(reading, message.envelope) for reading in message.message.readings
        ).values():
            yield Candidate(record_id=message.record_id, state=state)
