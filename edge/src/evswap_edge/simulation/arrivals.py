"""When customers come: a Poisson process whose rate follows the day and the week."""

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from evswap_edge.simulation.chance import Chance

SWAPS_PER_BAY_AND_DAY: Final = 148.0 / 35.0
"""Of the largest network: about 148 swaps a station and day at about 35 bays."""
CUSTOMERS_PER_SWAP: Final = 1.013
"""One in eighty finds nothing charged and does not wait."""
_NIGHT: Final = 0.25
_RUSH_HOURS: Final = ((8.0, 1.5, 1.6), (12.5, 1.0, 0.6), (18.0, 2.0, 1.9))
"""Hour of the day, width in hours, height over the night: to work, lunch and deliveries, home."""
_BY_WEEKDAY: Final = (1.04, 1.03, 1.03, 1.04, 1.10, 0.94, 0.82)
"""Monday to Sunday, over the week's mean: fewer on days off, more on a Friday."""
_HOUR_S: Final = 3_600.0
_DAY_S: Final = 86_400.0
_MEAN_OF_DAY: Final = _NIGHT + sum(
    height * width * math.sqrt(2 * math.pi) / 24 for _, width, height in _RUSH_HOURS
)
_MEAN_OF_WEEK: Final = sum(_BY_WEEKDAY) / 7


def activity(hour: float, weekday: int) -> float:
    """The rate at an hour of a weekday (Monday is 0), over its mean."""
    rushes = (
        height * math.exp(-0.5 * (_hours_apart(hour, peak) / width) ** 2)
        for peak, width, height in _RUSH_HOURS
    )
    of_day = (_NIGHT + sum(rushes)) / _MEAN_OF_DAY
    return of_day * _BY_WEEKDAY[weekday] / _MEAN_OF_WEEK


def _hours_apart(one: float, other: float) -> float:
    """Around the clock: 23 and 1 are two hours apart."""
    return abs((one - other + 12.0) % 24.0 - 12.0)


_BUSIEST: Final = 1.01 * max(
    activity(quarter / 4, weekday) for quarter in range(24 * 4) for weekday in range(len(_BY_WEEKDAY))
)
"""No moment is busier: between two quarters of an hour the rate changes by less than the margin."""


class Calendar:
    """Which hour of which weekday it is, so many seconds after the start."""

    def __init__(self, start: datetime) -> None:
        self._weekday = start.weekday()
        self._second = start.hour * _HOUR_S + start.minute * 60 + start.second

    def activity(self, seconds: float) -> float:
        """As ``activity``, so many seconds after the start."""
        days, second = divmod(self._second + seconds, _DAY_S)
        return activity(second / _HOUR_S, (self._weekday + int(days)) % 7)


def arrivals(start: datetime, *, mean_per_day: float, chance: Chance) -> Iterator[float]:
    """Seconds after the start at which somebody comes, without end.

    By thinning (Lewis and Shedler, Naval Research Logistics Quarterly 26 (1979) 403): as many as at the
    busiest hour, of which each stays with the chance that its own hour has.
    """
    calendar = Calendar(start)
    most_per_second = mean_per_day * _BUSIEST / _DAY_S
    seconds = 0.0
    while True:
        seconds += chance.expovariate(most_per_second)
        if chance.random() * _BUSIEST < calendar.activity(seconds):
            yield seconds


def expected(start: datetime, *, days: float, mean_per_day: float) -> float:
    """How many come in so many days on average."""
    calendar, minutes = Calendar(start), round(days * 1_440)
    return mean_per_day / 1_440 * sum(calendar.activity(60.0 * minute + 30.0) for minute in range(minutes))
