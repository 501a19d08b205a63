"""One swap, from the customer who was let in to its end.

    in first    authorized ─► half_in ─► completed        out first   authorized ─► half_out ─► completed
                    │            └─► out_timed_out                        │            └─► in_timed_out
                    └─► in_timed_out                                      └─► out_timed_out

and ``turned_away`` from wherever a battery comes in that is not of the network. Pure: a swap and an event
give the next swap and what is to be told. As OCPP 2.1 has it (block S), a battery that was not brought in
time is not reported; one that was not taken is.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from evswap_edge.clock import Stamp
from evswap_edge.config import SwapOrder
from evswap_schema import Authority, Clock, RefusalReason, SwappedBattery, SwapStep


class Phase(StrEnum):
    """How far a swap has come."""

    AUTHORIZED = "authorized"
    HALF_IN = "half_in"
    HALF_OUT = "half_out"
    COMPLETED = "completed"
    IN_TIMED_OUT = "in_timed_out"
    OUT_TIMED_OUT = "out_timed_out"
    TURNED_AWAY = "turned_away"


OVER: Final = frozenset({Phase.COMPLETED, Phase.IN_TIMED_OUT, Phase.OUT_TIMED_OUT, Phase.TURNED_AWAY})


class Side(StrEnum):
    """Which half of a swap."""

    IN = "in"
    OUT = "out"


class Swap(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One customer's exchange. ``since`` is when its phase began; ``battery_out`` is the one on offer."""

    request_id: int
    id_token: str
    authority: Authority
    authorisation_id: str | None = None
    tier: str | None = None
    order: SwapOrder
    bay_in: int
    bay_out: int
    battery_out: SwappedBattery
    battery_in: SwappedBattery | None = None
    phase: Phase = Phase.AUTHORIZED
    collects: bool = False
    """The customer gave a battery in a swap before, and has come for the one that is owed for it."""
    since: Stamp

    @property
    def over(self) -> bool:
        return self.phase in OVER

    @property
    def nothing_moved(self) -> bool:
        """It ended as if it had never been: no battery of this network changed hands."""
        if self.order is SwapOrder.IN_FIRST and not self.collects:
            return self.over and self.battery_in is None
        return self.phase is Phase.OUT_TIMED_OUT

    @property
    def owes_battery(self) -> bool:
        """The customer gave theirs and took none."""
        return self.phase is Phase.OUT_TIMED_OUT and (self.collects or self.battery_in is not None)

    @property
    def awaits(self) -> Side | None:
        """Which battery is to move next; None when the swap is over."""
        match self.phase:
            case Phase.AUTHORIZED:
                return Side.IN if self.order is SwapOrder.IN_FIRST else Side.OUT
            case Phase.HALF_IN:
                return Side.OUT
            case Phase.HALF_OUT:
                return Side.IN
        return None

    @property
    def awaited_bay(self) -> int | None:
        """The bay whose door is to stand open."""
        match self.awaits:
            case Side.IN:
                return self.bay_in
            case Side.OUT:
                return self.bay_out
        return None


# --- what happens ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Brought:
    """The customer's battery is in."""

    battery: SwappedBattery


@dataclass(frozen=True, slots=True)
class BroughtForeign:
    """What is in is no battery of this network; None when it does not even say which it is."""

    battery: SwappedBattery | None


@dataclass(frozen=True, slots=True)
class Taken:
    """The battery on offer is gone."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The battery that was to be offered went before its door was opened."""


@dataclass(frozen=True, slots=True)
class TimeUp:
    """What is awaited did not happen in time."""


Happening = Brought | BroughtForeign | Taken | Lost | TimeUp


# --- what is told ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Report:
    """A step to be told, with its battery."""

    step: SwapStep
    battery: SwappedBattery


@dataclass(frozen=True, slots=True)
class TurnAway:
    """The customer gets nothing, and why."""

    reason: RefusalReason
    bay: int | None = None
    battery: SwappedBattery | None = None


Telling = Report | TurnAway


def step(swap: Swap, event: Happening, now: Stamp) -> tuple[Swap, tuple[Telling, ...]]:
    """What becomes of ``swap``. What does not concern it in its phase leaves it as it is."""
    first = swap.phase is Phase.AUTHORIZED
    told: Telling | None = None
    match event, swap.awaits:
        case Brought(battery), Side.IN:
            swap = replace(swap, phase=Phase.HALF_IN if first else Phase.COMPLETED, battery_in=battery)
            told = Report(SwapStep.BATTERY_IN, battery)
        case Taken(), Side.OUT:
            swap = replace(swap, phase=Phase.HALF_OUT if first else Phase.COMPLETED)
            told = Report(SwapStep.BATTERY_OUT, swap.battery_out)
        case BroughtForeign(found), Side.IN:
            swap = replace(swap, phase=Phase.TURNED_AWAY)
            told = TurnAway(RefusalReason.UNREGISTERED_BATTERY, swap.bay_in, found)
        case Lost(), Side.IN if first:
            swap = replace(swap, phase=Phase.TURNED_AWAY)
            told = TurnAway(RefusalReason.NO_BATTERY, swap.bay_out)
        case TimeUp(), Side.OUT:
            swap = replace(swap, phase=Phase.OUT_TIMED_OUT)
            told = Report(SwapStep.BATTERY_OUT_TIMEOUT, swap.battery_out)
        case TimeUp(), Side.IN:
            swap = replace(swap, phase=Phase.IN_TIMED_OUT)
        case _:
            return swap, ()
    return replace(swap, since=now), (() if told is None else (told,))


def resumed(swap: Swap, now: Stamp, *, timeout_s: float) -> Swap:
    """The swap as a new process finds it: what is left of its time-out, as far as that can be told.

    Seconds count on within a boot, and across boots by wall clocks that were both right; otherwise the time
    is up, for nobody can tell who stands before an open door then. What happened meanwhile is seen first in
    any case: never is more than the whole time-out behind it.
    """
    return replace(swap, since=_moved_back(now, min(elapsed_s(swap.since, now), timeout_s)))


def elapsed_s(since: Stamp, now: Stamp) -> float:
    """Seconds from one to the other; infinite where that cannot be told."""
    if since.boot_id == now.boot_id:
        return max(0.0, now.uptime - since.uptime)
    if since.clock is now.clock is Clock.SYNCHRONIZED:
        return max(0.0, now.wall_s - since.wall_s)
    return float("inf")


def _moved_back(now: Stamp, seconds: float) -> Stamp:
    return replace(now, uptime=now.uptime - seconds)
