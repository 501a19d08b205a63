"""What travels between the outbox and a transport."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """Bytes for a topic, and the sequence numbers of the samples that they hold, wholly or in part.

    ``retain``: the broker keeps it for those who subscribe later, in place of the one before.
    """

    topic: str
    payload: bytes
    sequences: tuple[int, ...] = ()
    retain: bool = False
