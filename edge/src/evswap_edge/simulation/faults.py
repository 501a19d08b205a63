"""What breaks, how often, and for how long: each kind by a chance of its own."""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from evswap_edge.simulation.chance import stream

_YEAR_S: Final = 365.25 * 86_400.0
_HOUR_S: Final = 3_600.0


class Fault(StrEnum):
    """What can break at a station by itself. (What customers do wrong is with them.)"""

    BMS_SILENT = "bms_silent"
    CHARGER_FAILED = "charger_failed"
    LOCK_STUCK = "lock_stuck"
    DOOR_BLOCKED = "door_blocked"
    OVER_TEMPERATURE = "over_temperature"
    CLIMATE_SENSOR_FAILED = "climate_sensor_failed"
    SMOKE = "smoke"


@dataclass(frozen=True, slots=True)
class Rate:
    """``each_year`` of each bay, or of the station where ``of_bays`` is not set; ``lasts_s`` on average."""

    each_year: float
    lasts_s: float
    of_bays: bool = True


REALISTIC: Final[Mapping[Fault, Rate]] = {
    Fault.BMS_SILENT: Rate(0.5, 0.5 * _HOUR_S),
    Fault.CHARGER_FAILED: Rate(0.05, 24 * _HOUR_S),
    Fault.LOCK_STUCK: Rate(0.1, 12 * _HOUR_S),
    Fault.DOOR_BLOCKED: Rate(0.2, 0.5 * _HOUR_S),
    Fault.OVER_TEMPERATURE: Rate(0.001, 3 * _HOUR_S),
    Fault.CLIMATE_SENSOR_FAILED: Rate(0.5, 6 * _HOUR_S, of_bays=False),
    Fault.SMOKE: Rate(0.02, 0.2 * _HOUR_S, of_bays=False),
}


@dataclass(frozen=True, slots=True, order=True)
class Breakdown:
    """``fault`` is at ``bay`` (0: at no bay) from ``begins`` to ``ends``, in seconds since the start."""

    begins: float
    fault: Fault
    bay: int
    ends: float


class Breakdowns:
    """All that will break, in order of time. ``factor`` multiplies how often."""

    def __init__(self, seed: str, *, bays: int, factor: float) -> None:
        each = [_of_kind(seed, fault, rate, bays=bays, factor=factor) for fault, rate in REALISTIC.items()]
        self._coming = heapq.merge(*each) if factor > 0 else iter(())
        self._next = next(self._coming, None)

    def until(self, seconds: float) -> Iterator[Breakdown]:
        """Those that begin up to ``seconds`` after the start and were not told yet."""
        while self._next is not None and self._next.begins <= seconds:
            yield self._next
            self._next = next(self._coming, None)


def _of_kind(seed: str, fault: Fault, rate: Rate, *, bays: int, factor: float) -> Iterator[Breakdown]:
    """A Poisson process; a repair takes an exponential time."""
    chance = stream(seed, f"fault/{fault}")
    mean_gap_s = _YEAR_S / (rate.each_year * factor * (bays if rate.of_bays else 1))
    begins = 0.0
    while True:
        begins += chance.expovariate(1.0 / mean_gap_s)
        bay = chance.randint(1, bays) if rate.of_bays else 0
        yield Breakdown(begins, fault, bay, begins + chance.expovariate(1.0 / rate.lasts_s))
