"""What the ledger finds wrong, in terms that a person can follow up."""

from enum import StrEnum
from typing import Final

from msgspec import Struct

from evswap_cloud.ledger.stamps import Stamp


class Code(StrEnum):
    """What is wrong. The values stand in logs and answers: they do not change."""

    CAME_TWICE = "came_twice"
    """It came in although it already stood in a station."""
    LEFT_TWICE = "left_twice"
    """It went out, or was offered, although a customer had it."""
    LEFT_FROM_ELSEWHERE = "left_from_elsewhere"
    """It went out, or was offered, at a station where it did not stand."""
    TWO_BAYS_AT_ONCE = "two_bays_at_once"
    """One event names it in two bays."""
    OUT_AFTER_TIMEOUT = "out_after_timeout"
    """It was taken in a swap that had ended because it was not taken."""
    TOLD_DIFFERENTLY = "told_differently"
    """Two events have one identity and different contents."""
    UNREADABLE = "unreadable"
    """A line of the archive is no event."""
    MOVED = "moved"
    """It stood elsewhere than the events had said."""
    RETURNED_UNREPORTED = "returned_unreported"
    """It stood in a station although a customer had it."""
    MISSED = "missed"
    """It did not stand where the events had said."""
    DISPLACED = "displaced"
    """Another battery came into its bay, or left from it, although it stood there."""
    NOT_THERE = "not_there"
    """It went out of a bay, or was offered from one, that held another battery, or none."""
    OVERSPENT = "overspent"
    """An authorisation was used for more swaps than it allows, over all stations."""
    UNKNOWN_AUTHORISATION = "unknown_authorisation"
    """A station swapped by an authorisation that the cloud does not know of, or no more."""


VIOLATIONS: Final = frozenset(
    {
        Code.CAME_TWICE,
        Code.LEFT_TWICE,
        Code.LEFT_FROM_ELSEWHERE,
        Code.TWO_BAYS_AT_ONCE,
        Code.DISPLACED,
        Code.NOT_THERE,
        Code.OUT_AFTER_TIMEOUT,
        Code.TOLD_DIFFERENTLY,
        Code.UNREADABLE,
    }
)
"""What a complete log of correct stations cannot hold. The others happen in the field: somebody moves a
battery, and two stations that are offline both honour the last swap of an authorisation."""


class Finding(Struct, frozen=True, kw_only=True):
    """``subject`` is a battery's serial number, a swap or an authorisation; ``stamp`` is of the event at
    fault, where one is. ``detail`` says more in words, and names no customer."""

    code: Code
    subject: str
    detail: str
    stamp: Stamp | None = None

    @property
    def is_violation(self) -> bool:
        """Whether the log contradicts itself (``VIOLATIONS``)."""
        return self.code in VIOLATIONS
