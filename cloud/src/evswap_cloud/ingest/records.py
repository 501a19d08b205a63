"""What comes out of a queue, and what is said of it afterwards."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from msgspec import Struct

from evswap_cloud.envelope import Envelope
from evswap_cloud.errors import InvalidEnvelope, Reason, Refusal
from evswap_cloud.ledger import Finding
from evswap_cloud.quarantine import Quarantined

T = TypeVar("T")
R = TypeVar("R")


class HasRecordId(Protocol):
    """A record of the queue, or what has been made of it so far."""

    @property
    def record_id(self) -> str:
        """The queue's name for the record."""


Record = TypeVar("Record", bound=HasRecordId)


class Each(Protocol):
    """Does something with each of several things: ``map``, or a thread pool's."""

    def __call__(self, function: Callable[[T], R], things: Iterable[T], /) -> Iterable[R]: ...


class Delivery(Struct, frozen=True, kw_only=True):
    """A record of the queue. ``sent_at`` is the queue's clock: it stands in where the envelope has none."""

    record_id: str
    body: str
    sent_at: datetime


class Failure(Struct, frozen=True, kw_only=True):
    """A record that has to be delivered again, and why."""

    record_id: str
    error: Exception


class Receipt(Struct, frozen=True, kw_only=True):
    """A message that ``station_id`` may forget, by the digest of its bytes."""

    station_id: str
    digest: str


class Report(Struct, frozen=True, kw_only=True):
    """What an invocation did: counts, what it put aside, what has to be delivered again, and what the
    stations may forget. ``moved`` counts latest states, ``bays`` the bays that were stored, ``quarters``
    those of the history that were, ``kept`` events that were new. ``findings`` are what the ledger of
    batteries found wrong.
    """

    failures: tuple[Failure, ...]
    quarantined: tuple[Quarantined, ...]
    archived: int = 0
    repeated: int = 0
    moved: int = 0
    bays: int = 0
    quarters: int = 0
    kept: int = 0
    findings: tuple[Finding, ...] = ()
    receipts: tuple[Receipt, ...] = ()


class Ingest(Protocol):
    """What processes the records of one rule."""

    def process(self, deliveries: Sequence[Delivery]) -> Report:
        """Bring them to the stores; what could not be brought is in the report's ``failures``."""


def refused_message(envelope: Envelope, refusal: Refusal) -> Quarantined:
    """What the quarantine keeps of a message that was refused."""
    return Quarantined(
        body=envelope.payload,
        reason=refusal.reason,
        field=refusal.field,
        rule=refusal.rule,
        value=refusal.value,
        topic=envelope.topic,
        station_id=envelope.station_id,
        client_id=envelope.client_id or "",
        received_at=envelope.received_at,
    )


def refused_record(delivery: Delivery, error: InvalidEnvelope) -> Quarantined:
    """What the quarantine keeps of a record that no rule of ours wrote."""
    return Quarantined(
        body=delivery.body.encode(errors="surrogatepass"),
        reason=Reason.ENVELOPE,
        field=error.field,
        rule=error.rule,
        value="",
        topic="",
        station_id="",
        client_id="",
        received_at=delivery.sent_at,
    )


def by_itself(step: Callable[[Record], R]) -> Callable[[Record], R | Failure]:
    """Let a record that breaks ``step`` fail alone.

    This is the outermost loop of a function: whatever is raised, a defect of ours included, must not send the
    records beside it to the dead-letter queue.
    """

    def guarded(record: Record) -> R | Failure:
        try:
            return step(record)
        except Exception as error:  # noqa: BLE001
            return Failure(record_id=record.record_id, error=error)

    return guarded
