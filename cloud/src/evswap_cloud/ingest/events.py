"""Events: all that an invocation brings goes into one object a day, then each into the table, once, and into
the ledger of batteries."""

import json
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from evswap_cloud.archive import Archive, LinesFolder
from evswap_cloud.errors import EventStoreError
from evswap_cloud.events import EventWriter, Keeping, StationEvent, supersedes
from evswap_cloud.ingest.admit import admit_event, flags_of, observed_at
from evswap_cloud.ingest.lines import Arrival, archive_lines
from evswap_cloud.ingest.receipts import receipts_of
from evswap_cloud.ingest.receive import Received, receive
from evswap_cloud.ingest.records import (
    Delivery,
    Each,
    Failure,
    Report,
    by_itself,
)
from evswap_cloud.ledger import Book, Finding, enter
from evswap_cloud.quarantine import Quarantine, Quarantined
from evswap_schema import Event, Identity, format_timestamp
from evswap_schema.codec import parse_json


class EventIngest:
    """Takes what the event rule put into its queue."""

    def __init__(
        self,
        *,
        archive: Archive,
        events: EventWriter,
        ledger: Book,
        quarantine: Quarantine,
        each: Each = map,
    ) -> None:
        self._archive = archive
        self._events = events
        self._ledger = ledger
        self._quarantine = quarantine
        self._each = each

    def process(self, deliveries: Sequence[Delivery]) -> Report:
        """Bring ``deliveries`` to the stores; what could not be brought is in the report's ``failures``."""
        taken = tuple(self._each(by_itself(self._receive), deliveries))
        received = [outcome for outcome in taken if isinstance(outcome, Received)]
        archived = archive_lines(self._archive, LinesFolder.EVENTS, received, _lines)
        kept = self._keep(archived.messages)
        entered = self._enter(archived.messages)
        failed = (outcome for outcome in taken if isinstance(outcome, Failure))
        quarantined = tuple(outcome for outcome in taken if isinstance(outcome, Quarantined))
        return Report(
            failures=(*failed, *archived.failures, *kept.failures, *entered.failures),
            quarantined=quarantined,
            archived=archived.stored,
            repeated=archived.repeated,
            kept=kept.count,
            findings=entered.findings,
            receipts=receipts_of(archived.messages, quarantined),
        )

    def _receive(self, delivery: Delivery) -> Received[Event] | Quarantined:
        return receive(delivery, admit_event, self._quarantine)

    def _keep(self, messages: Sequence[Received[Event]]) -> "_Kept":
        """One write for each event, however often it was delivered; all its records fail with it."""
        wanted = _one_for_each(messages)

        def keep(event: StationEvent) -> Keeping | EventStoreError:
            try:
                return self._events.keep(event)
            except EventStoreError as error:
                return error

        outcomes = dict(zip(wanted, self._each(keep, wanted.values()), strict=True))
        failures = []
        for message in messages:
            outcome = outcomes[_identity_of(message.message)]
            if isinstance(outcome, EventStoreError):
                failures.append(Failure(record_id=message.record_id, error=outcome))
        kept = sum(outcome is Keeping.KEPT for outcome in outcomes.values())
        return _Kept(count=kept, failures=tuple(failures))

    def _enter(self, messages: Sequence[Received[Event]]) -> "_Entered":
        """Into the ledger, whether the table knew the event or not: the time before may have ended here."""
        entry = enter(self._ledger, [_station_event(message) for message in messages], self._each)
        failures = (
            Failure(record_id=messages[place].record_id, error=error)
            for place, error in entry.failures.items()
        )
        return _Entered(findings=entry.findings, failures=tuple(failures))


class _Entered(Struct, frozen=True, kw_only=True):
    findings: tuple[Finding, ...]
    failures: tuple[Failure, ...]


class _Kept(Struct, frozen=True, kw_only=True):
    count: int
    failures: tuple[Failure, ...]


def _one_for_each(messages: Iterable[Received[Event]]) -> dict[Identity, StationEvent]:
    """Of what was delivered more than once, the one that the table would end with."""
    chosen: dict[Identity, StationEvent] = {}
    for message in messages:
        event, identity = _station_event(message), _identity_of(message.message)
        if identity not in chosen or supersedes(event, chosen[identity]):
            chosen[identity] = event
    return chosen


def _station_event(message: Received[Event]) -> StationEvent:
    return StationEvent(
        event=message.message,
        occurred_at=observed_at(message.message, message.envelope),
        received_at=message.envelope.received_at,
        flags=flags_of(message.message, message.envelope),
    )


def _identity_of(event: Event) -> Identity:
    return Identity(station_id=event.station_id, stream_id=event.stream_id, sequence=event.sequence)


def _lines(message: Received[Event]) -> Mapping[Identity, bytes]:
    """The event as the station wrote it, unknown fields and all, with the arrival's fields added.

    By the standard library: what a stranger writes may hold numbers and characters that msgspec refuses.
    """
    envelope = message.envelope
    arrival = Arrival(
        received_at=format_timestamp(envelope.received_at), flags=flags_of(message.message, envelope)
    )
    document = parse_json(envelope.payload) | msgspec.to_builtins(arrival)
    line = json.dumps(document, separators=(",", ":")).encode() + b"\n"
    return {_identity_of(message.message): line}
