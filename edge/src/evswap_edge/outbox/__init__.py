"""What happened at a station and is not delivered yet, on disk."""

from evswap_edge.outbox.errors import (
    OutboxClosed,
    OutboxDamaged,
    OutboxError,
    OutboxFull,
    OutboxInUse,
    OutboxReadOnly,
    OutboxRefused,
    OutboxStale,
    OutboxTooNew,
    OutboxUnwritable,
)
from evswap_edge.outbox.facade import Outbox
from evswap_edge.outbox.freshness import written_at
from evswap_edge.outbox.machine import machine_name
from evswap_edge.outbox.operations import NewSample
from evswap_edge.outbox.records import (
    LEAST_BYTES,
    Bounds,
    Losses,
    NewParcel,
    Parcel,
    Sample,
    StorageTrouble,
    StoredEvent,
    Ticket,
    TroubleKind,
    Waiting,
)

__all__ = [
    "LEAST_BYTES",
    "Bounds",
    "Losses",
    "NewParcel",
    "NewSample",
    "Outbox",
    "OutboxClosed",
    "OutboxDamaged",
    "OutboxError",
    "OutboxFull",
    "OutboxInUse",
    "OutboxReadOnly",
    "OutboxRefused",
    "OutboxStale",
    "OutboxTooNew",
    "OutboxUnwritable",
    "Parcel",
    "Sample",
    "StorageTrouble",
    "StoredEvent",
    "Ticket",
    "TroubleKind",
    "Waiting",
    "machine_name",
    "written_at",
]
