"""A bench of nothing: drivers that write down what they are told, bound by labgrid as real ones are."""

from datetime import datetime
from typing import Any

import attr
from labgrid import Target
from labgrid.driver.common import Driver
from labgrid.protocol import CommandProtocol, PowerProtocol

from evswap_hil.bench.protocols import ClimateProtocol, CloudProtocol, LinkProtocol, StationProtocol
from evswap_hil.bench.strategy import StationStrategy
from evswap_hil.emulator import Fault
from evswap_hil.observers.archive import Account

STATION = "station-under-test"


class World:
    """What all drivers of one bench share: the order of what happened, and what the cloud knows."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.sequence = 0
        self.powered = False
        self.running = False
        self.link_is_up = True
        self.refuses: Exception | None = None

    def new_sample(self) -> None:
        if self.running and self.link_is_up:
            self.sequence += 1


@attr.s(eq=False)
class FakeDriver(Driver):
    world: World = attr.ib(kw_only=True)

    def on_activate(self) -> None:
        self.world.told.append(f"{self.name} on")

    def on_deactivate(self) -> None:
        self.world.told.append(f"{self.name} off")


@attr.s(eq=False)
class FakePower(FakeDriver, PowerProtocol):
    def on(self) -> None:
        self.world.told.append("power on")
        self.world.powered = True

    def off(self) -> None:
        self.world.told.append("power off")
        self.world.powered = self.world.running = False

    def cycle(self) -> None:
        self.off()
        self.on()


@attr.s(eq=False)
class FakeCloud(FakeDriver, CloudProtocol):
    def latest(self, station_id: str) -> dict[str, Any] | None:
        assert station_id == STATION
        self.world.new_sample()
        return {"stream_id": "s", "sequence": self.world.sequence} if self.world.sequence else None

    def account(self, station_id: str, since: datetime) -> Account:
        return Account(())


@attr.s(eq=False)
class FakeClimate(FakeDriver, ClimateProtocol):
    def temperature(self, celsius: float) -> None:
        self.world.told.append(f"temperature {celsius}")

    def humidity(self, percent: float) -> None:
        self.world.told.append(f"humidity {percent}")

    def fail(self, fault: Fault) -> None:
        self.world.told.append(f"sensor fails: {fault}")

    def heal(self) -> None:
        self.world.told.append("sensor heals")


@attr.s(eq=False)
class FakeLink(FakeDriver, LinkProtocol):
    def cut(self) -> None:
        self.world.link_is_up = False

    def swallow(self) -> None:
        self.world.link_is_up = False

    def restore(self) -> None:
        self.world.told.append("link restored")
        self.world.link_is_up = True


@attr.s(eq=False)
class FakeStation(FakeDriver, StationProtocol):
    @property
    def station_id(self) -> str:
        return STATION

    def prepare(self) -> None:
        self.world.told.append("prepare")
        if self.world.refuses is not None:
            raise self.world.refuses

    def start(self) -> None:
        assert not self.world.running
        self.world.told.append("start")
        self.world.running = True

    def stop(self) -> int:
        assert self.world.running
        self.world.told.append("stop")
        self.world.running = False
        return 0

    def kill(self) -> None:
        self.world.told.append("kill")
        self.world.running = False

    def is_running(self) -> bool:
        return self.world.running

    def log(self, lines: int) -> str:
        return "the last words"

    def version(self) -> str:
        return "fake"


@attr.s(eq=False)
class FakeShell(Driver, CommandProtocol):
    """A machine that takes commands; `answers` are what it says to those that begin so."""

    answers: dict[str, tuple[list[str], int]] = attr.ib(factory=dict)
    commands: list[str] = attr.ib(factory=list)

    def run(self, command: str) -> tuple[list[str], list[str], int]:
        self.commands.append(command)
        for beginning, (said, status) in self.answers.items():
            if command.startswith(beginning):
                return said, [], status
        return [], [], 0

    def run_check(self, command: str) -> list[str]:
        said, _errors, status = self.run(command)
        assert status == 0, command
        return said

    def get_status(self) -> int:
        return 1

    def wait_for(self) -> None:
        raise NotImplementedError

    def poll_until_success(self) -> None:
        raise NotImplementedError


def bench_of_nothing(world: World, *, power: bool = False) -> Target:
    """A target with everything that the strategy wants; the strategy itself is the caller's."""
    target = Target("main")
    parts: dict[str, Any] = {
        **({"power": FakePower} if power else {}),
        "cloud": FakeCloud,
        "climate": FakeClimate,
        "link": FakeLink,
        "station": FakeStation,
    }
    for name, driver in parts.items():
        driver(target, name, world=world)
    return target


def strategy_of(world: World, *, power: bool = False) -> StationStrategy:
    """The strategy of a bench of nothing."""
    # labgrid's base class, which mypy does not see, takes both arguments.
    make: Any = StationStrategy
    strategy: StationStrategy = make(bench_of_nothing(world, power=power), None)
    return strategy
