"""Whether a sample says something new.

New is another count, another state of a bay or of the station, another alarm, a sensor that fails or works
again, and a temperature or humidity that has left its band. A state of charge moves all the time; it is news
to nobody, and travels in batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evswap_schema import Bay, Reading


@dataclass(frozen=True, slots=True)
class DeadBands:
    """How far the temperature (degrees Celsius) and the relative humidity (percent) may move without being
    news."""

    temperature: float
    humidity: float


class Changes:
    """Compares each sample with the one that was told last, so that a slow drift is told, too."""

    def __init__(self, bands: DeadBands) -> None:
        self._bands = bands
        self._told: Reading | None = None
        self._alarms: frozenset[str] = frozenset()
        self._bays: Sequence[tuple[Any, ...]] | None = None

    def is_news(self, reading: Reading, alarms: frozenset[str] = frozenset()) -> bool:
        """Whether ``reading`` is to be told at once, while ``alarms`` are raised; from then on it is the one
        that was told last."""
        bays = None if reading.bays is None else [_state_of_bay(bay) for bay in reading.bays]
        told = self._told
        if (
            told is not None
            and alarms == self._alarms
            and bays == self._bays
            and _say_the_same(told, reading)
            and not _are_apart(told.temperature, reading.temperature, self._bands.temperature)
            and not _are_apart(told.humidity, reading.humidity, self._bands.humidity)
        ):
            return False
        self._told, self._alarms, self._bays = reading, alarms, bays
        return True

    def forget(self) -> None:
        """What was called news was not told after all: the next sample is."""
        self._told = None


def _are_apart(before: float | None, after: float | None, band: float) -> bool:
    """A value that is missing is no distance: that it is missing is part of the state."""
    return before is not None and after is not None and abs(after - before) > band


def _say_the_same(one: Reading, other: Reading) -> bool:
    """Beside their bays."""
    return (
        one.battery_available == other.battery_available
        and one.battery_charging == other.battery_charging
        and one.status is other.status
        and one.quality == other.quality
    )


def _state_of_bay(bay: Bay) -> tuple[Any, ...]:
    battery = bay.battery and bay.battery.serial_number
    return bay.bay, bay.occupancy, bay.charge, bay.lock, bay.reservation, bay.health, battery
