"""What happens to a station in one schedule, drawn from a seed: the same seed gives the same story."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum, auto
from typing import Final

DAY_S: Final = 86_400.0


class Fault(StrEnum):
    """What goes wrong."""

    STATION_KILLED = auto()
    """SIGKILL, and started again a moment later."""
    STATION_STOPPED = auto()
    """SIGTERM, and started again a moment later."""
    POWER_CUT = auto()
    """Killed; after that, another boot with a clock that nobody has set, until it is."""
    BROKER_STOPPED = auto()
    BROKER_KILLED = auto()
    LINK_CUT = auto()
    LINK_SWALLOWS = auto()
    ANSWERS_SWALLOWED = auto()
    LINK_DIES_SILENTLY = auto()
    """Half-open for ever: only keep-alive tells. Too slow for a random schedule."""
    LINK_SLOW = auto()
    LINK_LATE = auto()
    ANSWERED_TWICE = auto()
    CLOCK_JUMPS = auto()
    """A day forward or back, and back after a while; nobody says that it is wrong."""
    CLOCK_ESTIMATED = auto()
    """Wrong by up to a day, and known to be a guess, until it is set."""
    SENSOR_RAISES = auto()
    SENSOR_HANGS = auto()
    DISK_FULL = auto()


class Broker(StrEnum):
    """The far side."""

    MOSQUITTO = auto()
    RECORDER = auto()


@dataclass(frozen=True, slots=True)
class Step:
    """From `at` on, for `seconds`. `what` is the sensor; `amount` by how many seconds a clock is wrong."""

    at: float
    seconds: float
    fault: Fault
    what: str = ""
    amount: float = 0.0

    def __str__(self) -> str:
        detail = f" {self.what}" if self.what else f" {self.amount:+.0f} s" if self.amount else ""
        return f"{self.at:.1f}-{self.at + self.seconds:.1f} {self.fault}{detail}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """One story. `seconds` is how long it lasts before everything is mended; what waited through an outage is
    sent at most `backlog_per_s` messages a second (0: as fast as it goes)."""

    seed: int
    number: int
    transport: str
    mode: str
    broker: Broker
    seconds: float
    steps: tuple[Step, ...]
    backlog_per_s: float = 0.0
    interval_s: float = 0.1

    @property
    def name(self) -> str:
        return f"{self.seed}/{self.number}"

    def __str__(self) -> str:
        steps = ", ".join(map(str, self.steps))
        pace = f" at {self.backlog_per_s:g} /s" if self.backlog_per_s else ""
        return f"{self.name} {self.transport} {self.mode}{pace} {self.broker}: {steps}"

    def has(self, *faults: Fault) -> bool:
        return any(step.fault in faults for step in self.steps)


THINGS: Final = {
    "station": (Fault.STATION_KILLED, Fault.STATION_STOPPED, Fault.POWER_CUT),
    "broker": (Fault.BROKER_STOPPED, Fault.BROKER_KILLED),
    "way": (
        Fault.LINK_CUT,
        Fault.LINK_SWALLOWS,
        Fault.ANSWERS_SWALLOWED,
        Fault.LINK_SLOW,
        Fault.LINK_LATE,
    ),
    "answers": (Fault.ANSWERED_TWICE,),
    "clock": (Fault.CLOCK_JUMPS, Fault.CLOCK_ESTIMATED),
    "sensor": (Fault.SENSOR_RAISES, Fault.SENSOR_HANGS),
    "disk": (Fault.DISK_FULL,),
}
"""What fails, and how. One thing fails in one way at a time; several things may fail at once."""

TRANSPORTS: Final = ("aws-iot", "mqtt")
MODES: Final = ("every-sample", "on-change")


def seed_of(day: date) -> int:
    """Another one each day of the year."""
    return day.year * 1000 + day.timetuple().tm_yday


def draw(seed: int, number: int) -> Schedule:
    """Schedule `number` of `seed`. Each kind of thing fails by itself, so that failures meet."""
    chance = random.Random(f"{seed}/{number}")
    broker = chance.choice(list(Broker))
    seconds = round(chance.uniform(2.0, 4.0), 1)
    steps = [
        step
        for thing in chance.sample(list(THINGS), k=chance.randint(2, 4))
        for step in _turns(chance, _ways_to_fail(thing, broker), seconds)
    ]
    return Schedule(
        seed=seed,
        number=number,
        transport=chance.choice(TRANSPORTS),
        mode=chance.choice(MODES),
        broker=broker,
        seconds=seconds,
        steps=tuple(sorted(steps, key=lambda step: step.at)),
        backlog_per_s=chance.choice([0.0, 50.0]),
    )


def _ways_to_fail(thing: str, broker: Broker) -> Sequence[Fault]:
    """What mosquitto acknowledged and had not saved is lost by a kill, and no station can know it."""
    return [fault for fault in THINGS[thing] if fault is not Fault.BROKER_KILLED or broker is Broker.RECORDER]


def _turns(chance: random.Random, kinds: Sequence[Fault], end: float) -> Iterator[Step]:
    """One thing fails once or twice, and never again before it was mended."""
    at = chance.uniform(0.0, end / 2)
    for _ in range(chance.randint(1, 2)):
        seconds = round(chance.uniform(0.1, 1.5), 1)
        if at + seconds > end:
            return
        yield _step(chance, chance.choice(kinds), round(at, 1), seconds)
        at += seconds + chance.uniform(0.2, 1.0)


def _step(chance: random.Random, fault: Fault, at: float, seconds: float) -> Step:
    if fault in THINGS["sensor"]:
        return Step(at, seconds, fault, what=chance.choice(["climate", "bays"]))
    draw_amount = _AMOUNTS.get(fault)
    return Step(at, seconds, fault, amount=draw_amount(chance) if draw_amount else 0.0)


_AMOUNTS: Final[dict[Fault, Callable[[random.Random], float]]] = {
    Fault.CLOCK_JUMPS: lambda chance: chance.choice([-DAY_S, DAY_S]),
    Fault.CLOCK_ESTIMATED: lambda chance: float(chance.randrange(-int(DAY_S), int(DAY_S))),
    Fault.POWER_CUT: lambda chance: -float(chance.randrange(int(DAY_S))),
}
"""A clock that starts without a battery is behind: it shows when it was written down last."""
