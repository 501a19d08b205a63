"""The air around the station: the year, the day, and what the weather adds to both."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from evswap_edge.simulation.chance import Chance

_YEAR_DAYS: Final = 365.25
_WARMEST_DAY: Final = 201
"""20 July on the northern half of the earth; half a year later on the southern."""
_WARMEST_HOUR: Final = 14.5
_DAILY_SWING: Final = 3.25


@dataclass(frozen=True, slots=True)
class Normals:
    """The long-term course of the air's temperature at a place, in degrees Celsius.

    At 25 degrees of latitude it is Taipei's (normals of 1991-2020 of its weather office: 23.4 in the mean,
    15.9 in January, 30.1 in July, 6.5 between a day's lowest and highest); from there colder, and with more
    of a year, towards the poles, by 0.55 degrees for each of latitude, as Berlin has it.
    """

    latitude: float

    @property
    def mean(self) -> float:
        return min(27.0, 23.4 - 0.55 * (abs(self.latitude) - 25.0))

    @property
    def yearly_swing(self) -> float:
        return 7.1 * min(abs(self.latitude), 60.0) / 25.0

    def season(self, moment: datetime) -> float:
        """The day's mean at this time of the year."""
        day = moment.timetuple().tm_yday + moment.hour / 24.0
        warmest = _WARMEST_DAY if self.latitude >= 0 else _WARMEST_DAY - _YEAR_DAYS / 2
        return self.mean + self.yearly_swing * math.cos((day - warmest) / _YEAR_DAYS * 2 * math.pi)


class Weather:
    """The air outside from step to step.

    On the climate comes a wander with two memories, each an Ornstein-Uhlenbeck process in its exact form: of
    the passing of fronts (two days), and of clouds (half an hour).
    """

    MEMORIES: Final = ((2.0 * 86_400.0, 2.2), (1_800.0, 0.5))
    """Seconds until a deviation has gone to 1/e, and its standard deviation in degrees."""
    DEW_POINT_BELOW: Final = 1.0
    """The dew point is about the day's lowest temperature (Allen et al., FAO-56, 1998), less where it is
    dry."""

    def __init__(self, normals: Normals, *, start: datetime, step_s: float, chance: Chance) -> None:
        self._normals = normals
        self._start = start
        self._begins_at_hour = start.hour + start.minute / 60 + start.second / 3_600
        self._step_s = step_s
        self._chance = chance
        self._deviations = [chance.gauss(0.0, spread) for _, spread in self.MEMORIES]
        self._kept = [math.exp(-step_s / memory) for memory, _ in self.MEMORIES]
        self._added = [
            spread * math.sqrt(1.0 - kept * kept)
            for (_, spread), kept in zip(self.MEMORIES, self._kept, strict=True)
        ]
        self._season = normals.season(start)
        self._season_until = 0.0

    def hour(self, seconds: float) -> float:
        """The hour of the day, ``seconds`` after the start."""
        return (self._begins_at_hour + seconds / 3_600.0) % 24.0

    def step(self, seconds: float) -> float:
        """A step passes, and ends ``seconds`` after the start. Returns the temperature outside."""
        for index, kept in enumerate(self._kept):
            self._deviations[index] *= kept
            self._deviations[index] += self._added[index] * self._chance.gauss(0.0, 1.0)
        if seconds >= self._season_until:
            self._season = self._normals.season(self._start + timedelta(seconds=seconds))
            self._season_until = seconds + 3_600.0
        course = math.cos((self.hour(seconds) - _WARMEST_HOUR) / 12.0 * math.pi)
        return self._season + _DAILY_SWING * course + sum(self._deviations)

    @property
    def dew_point(self) -> float:
        """Of the air outside, in degrees Celsius: it goes with the fronts and not with the hour."""
        return self._season + self._deviations[0] - _DAILY_SWING - self.DEW_POINT_BELOW


def relative_humidity(*, celsius: float, dew_point: float) -> float:
    """Percent, of air at ``celsius``: the Magnus formula with the constants of Alduchov and Eskridge
    (J. Appl. Meteor. 35 (1996) 601)."""
    return 100.0 * math.exp(_magnus(min(dew_point, celsius)) - _magnus(celsius))


def _magnus(celsius: float) -> float:
    return 17.625 * celsius / (243.04 + celsius)
