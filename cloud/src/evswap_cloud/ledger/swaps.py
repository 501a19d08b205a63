"""A swap from what its steps say: who gave a battery and got none, who got one and gave none.

OCPP 2.1, block S: AUTHORIZED, then HALF_IN or HALF_OUT, then COMPLETED or OUT_TIMED_OUT. Each step happens
once; the order in which they are heard of does not matter.
"""

from collections.abc import Hashable, Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from msgspec import Struct

from evswap_cloud.ledger.findings import Code, Finding
from evswap_cloud.ledger.stamps import Stamp, joined
from evswap_schema import SwapStep

SETTLING: Final = timedelta(minutes=15)
"""How long a swap may take: one that is half done for longer stays so, and leaves a debt."""


class SwapState(StrEnum):
    """How far a swap came."""

    HALF_IN = "half_in"
    HALF_OUT = "half_out"
    COMPLETED = "completed"
    OUT_TIMED_OUT = "out_timed_out"


class Debt(StrEnum):
    """Who still has to get a battery."""

    CUSTOMER_IS_OWED = "customer_is_owed"
    CUSTOMER_OWES = "customer_owes"


class SwapKey(Struct, frozen=True, order=True):
    """One customer at one station under one request."""

    station_id: str
    request_id: int
    id_token: str


class Step(Struct, frozen=True, array_like=True):
    """A step, its batteries, and the authorisation that the station relied on while it was offline."""

    step: SwapStep
    stamp: Stamp
    serial_numbers: tuple[str, ...]
    received_at: datetime
    authorisation_id: str | None = None

    @property
    def key(self) -> Hashable:
        """A step happens once."""
        return self.step


class Swap(Struct, frozen=True, array_like=True):
    """What is known of a swap, the newest step first."""

    key: SwapKey
    steps: tuple[Step, ...]

    @property
    def heard_at(self) -> datetime:
        """When the last of its steps was received."""
        return max(step.received_at for step in self.steps)

    def step(self, wanted: SwapStep) -> Step | None:
        """The step, if it has happened."""
        return next((one for one in self.steps if one.step is wanted), None)


def absorb(swap: Swap | None, key: SwapKey, steps: Iterable[Step]) -> Swap:
    """``swap`` with steps that were heard of."""
    return Swap(key, tuple(joined(() if swap is None else swap.steps, steps)))


def state_of(swap: Swap) -> SwapState:
    """How far it came, by all its steps."""
    came, went = swap.step(SwapStep.BATTERY_IN), swap.step(SwapStep.BATTERY_OUT)
    if came and went:
        return SwapState.COMPLETED
    if swap.step(SwapStep.BATTERY_OUT_TIMEOUT):
        return SwapState.OUT_TIMED_OUT
    return SwapState.HALF_IN if came else SwapState.HALF_OUT


def debt_of(swap: Swap, now: datetime) -> Debt | None:
    """What it left behind at ``now``; None while it may still go on, and where nobody owes anything."""
    match state_of(swap):
        case SwapState.OUT_TIMED_OUT if swap.step(SwapStep.BATTERY_IN):
            return Debt.CUSTOMER_IS_OWED
        case SwapState.HALF_IN if _is_over(swap, now):
            return Debt.CUSTOMER_IS_OWED
        case SwapState.HALF_OUT if _is_over(swap, now):
            return Debt.CUSTOMER_OWES
    return None


def contradictions(swap: Swap) -> list[Finding]:
    """A battery that was taken after the swap had ended because nobody took it."""
    left, went = swap.step(SwapStep.BATTERY_OUT_TIMEOUT), swap.step(SwapStep.BATTERY_OUT)
    if left is None or went is None or went.stamp.order < left.stamp.order:
        return []
    subject = f"{swap.key.station_id}/{swap.key.request_id}"
    detail = f"{', '.join(went.serial_numbers)} taken after the swap had timed out"
    return [Finding(code=Code.OUT_AFTER_TIMEOUT, subject=subject, detail=detail, stamp=went.stamp)]


def _is_over(swap: Swap, now: datetime) -> bool:
    return swap.steps[0].stamp.at + SETTLING < now
