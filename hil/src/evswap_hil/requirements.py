"""What the bench requires of a station, by name, each limit in one place.

The benches sample once a second; a limit in seconds counts the sampling, the way to the cloud, and the look
at it.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

OUTAGE_S: Final = 20.0
"""How long the link is cut."""


class Suite(StrEnum):
    """What is run together."""

    FUNCTIONAL = "functional"
    FAULTS = "faults"


@dataclass(frozen=True)
class Limit:
    """Something that is measured, in `unit`, and the values that are good."""

    name: str
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    def holds(self, value: float) -> bool:
        """Whether `value` is good. NaN never is: it compares to nothing."""
        above = self.at_least is None or value >= self.at_least
        below = self.at_most is None or value <= self.at_most
        return above and below

    @property
    def has_margin(self) -> bool:
        """Whether there is anything between nothing and the limit; there is none around a single value."""
        return self.at_least != self.at_most

    def used(self, value: float) -> float:
        """How much of what is allowed `value` uses: 0 nothing, 1 all of it, more than 1 too much."""
        match self.at_least, self.at_most:
            case float(least), float(most) if most > least:
                return abs(2 * value - least - most) / (most - least)
            case None, float(most) if most > 0:
                return value / most
            case float(least), None if value > 0:
                return least / value
            case _:
                return 0.0 if self.holds(value) else math.inf

    def __str__(self) -> str:
        match self.at_least, self.at_most:
            case float(least), float(most) if least == most:
                return f"exactly {least:g} {self.unit}".rstrip()
            case float(least), float(most):
                return f"{least:g} to {most:g} {self.unit}".rstrip()
            case float(least), None:
                return f"at least {least:g} {self.unit}".rstrip()
            case _:
                return f"at most {self.at_most:g} {self.unit}".rstrip()


@dataclass(frozen=True)
class Requirement:
    """One promise of the product, and the measurements that decide whether it is kept."""

    id: str
    suite: Suite
    title: str
    limits: tuple[Limit, ...]

    def limit(self, name: str) -> Limit:
        """The limit of that name. Raises KeyError."""
        for limit in self.limits:
            if limit.name == name:
                return limit
        raise KeyError(f"{self.id} measures no {name!r}")


def _within(name: str, seconds: float) -> Limit:
    return Limit(name, "s", at_most=seconds)


def _none(name: str, unit: str) -> Limit:
    return Limit(name, unit, at_most=0.0, at_least=0.0)


_LOST: Final = _none("lost", "samples")
_TWICE: Final = _none("archived twice", "samples")
_ONE_STREAM: Final = Limit("streams", "", at_most=1.0, at_least=1.0)
_FRESH_S: Final = 6.0
"""A sample's second, the queue's two, and as much again for a busy machine."""


def _sensor(number: int, trouble: str) -> Requirement:
    return Requirement(
        f"REQ-SENSOR-{number}",
        Suite.FAULTS,
        f"A climate sensor that {trouble} is reported as failed, and again as good when it is",
        (
            _within("shown as null", _FRESH_S),
            Limit("fields marked failed", "", at_most=2.0, at_least=2.0),
            _within("shown again", _FRESH_S),
        ),
    )


REQUIREMENTS: Final = (
    Requirement(
        "REQ-BOOT-1", Suite.FUNCTIONAL, "A booted station comes online", (_within("time to online", 15.0),)
    ),
    Requirement(
        "REQ-STATE-1",
        Suite.FUNCTIONAL,
        "The API shows the seed's seven fields of the station",
        (_none("fields missing", ""),),
    ),
    Requirement(
        "REQ-CLIMATE-1",
        Suite.FUNCTIONAL,
        "The temperature at the sensor is the temperature in the API",
        (Limit("deviation", "°C", at_most=0.1), _within("delay", _FRESH_S)),
    ),
    Requirement(
        "REQ-CLIMATE-2",
        Suite.FUNCTIONAL,
        "The humidity at the sensor is the humidity in the API",
        (Limit("deviation", "%", at_most=0.1), _within("delay", _FRESH_S)),
    ),
    Requirement(
        "REQ-SAMPLE-1",
        Suite.FUNCTIONAL,
        "The station samples every second, without drift and without a gap",
        (Limit("mean interval", "s", at_least=0.95, at_most=1.05), _within("longest interval", 2.0)),
    ),
    Requirement(
        "REQ-IDENT-1",
        Suite.FUNCTIONAL,
        "Samples are numbered without a hole, and archived once each",
        (_ONE_STREAM, _LOST, _TWICE),
    ),
    Requirement(
        "REQ-STOP-1",
        Suite.FUNCTIONAL,
        "A station that is told to stop delivers what it has and ends",
        (_within("time to stop", 10.0), _none("exit status", ""), _within("age of its last sample", 2.0)),
    ),
    Requirement(
        "REQ-LINK-1",
        Suite.FAULTS,
        f"A link that is cut for {OUTAGE_S:g} s costs no sample",
        (
            Limit("sampled meanwhile", "samples", at_least=OUTAGE_S * 0.75),
            _within("time to online", 15.0),
            _LOST,
            _TWICE,
        ),
    ),
    Requirement(
        "REQ-LINK-2",
        Suite.FAULTS,
        "A connection that went dead silently is noticed, and costs no sample",
        (_within("time to online", 40.0), _LOST, _TWICE),
    ),
    _sensor(1, "does not answer"),
    _sensor(2, "sends wrong checksums"),
    _sensor(3, "answers with too little"),
    _sensor(4, "measures what cannot be"),
    Requirement(
        "REQ-CRASH-1",
        Suite.FAULTS,
        "A station that is killed goes on where it was",
        (_within("time to online", 15.0), _ONE_STREAM, _LOST, _TWICE),
    ),
)

_BY_ID: Final = {requirement.id: requirement for requirement in REQUIREMENTS}


def requirement(name: str) -> Requirement:
    """The requirement of that name. Raises KeyError."""
    return _BY_ID[name]


def of_suites(suites: frozenset[Suite]) -> tuple[Requirement, ...]:
    """What these suites have to show, in the order of the catalogue."""
    return tuple(each for each in REQUIREMENTS if each.suite in suites)
