"""What travels between the outbox and a transport."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """Bytes for a topic. ``retain``: the broker keeps it for those who subscribe later, in place of the one
    before."""

    topic: str
    payload: bytes
    retain: bool = False
