"""What happened at a station and is not delivered yet, on disk."""

from evswap_edge.outbox.errors import (
    OutboxDamaged,
    OutboxError,
    OutboxFull,
    OutboxInUse,
    OutboxStale,
    OutboxTooNew,
)
from evswap_edge.outbox.freshness import written_at
from evswap_edge.outbox.machine import machine_name

__all__ = [
    "OutboxDamaged",
    "OutboxError",
    "OutboxFull",
    "OutboxInUse",
    "OutboxStale",
    "OutboxTooNew",
    "machine_name",
    "written_at",
]
