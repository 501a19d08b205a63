"""A cabinet that can be made dangerous, and an interlock over it with everything around it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

from msgspec.structs import replace

from evswap_edge.alarms import Alarms, book_beside
from evswap_edge.clock import TimeSource
from evswap_edge.config import SafetyRules
from evswap_edge.hal import Climate, Safety
from evswap_edge.outbox import Outbox
from evswap_edge.safety.interlock import Interlock, Surroundings
from evswap_edge.testing import ManualTime
from evswap_schema import (
    AlarmEvent,
    Battery,
    Bay,
    Charge,
    Health,
    Lock,
    Occupancy,
    Reservation,
    decode_event,
)
from tests.edge.conftest import LONGEST_WAIT_S

STATION = "station-01"
RULES = SafetyRules(read_timeout_s=0.05, order_timeout_s=0.05, rise_k_per_s=10, rise_for_s=10)
"""A battery may be heated from one moment to the next."""


def pack(serial_number: str = "EVS-1", *, temperature: float = 25.0, soc: float = 50.0) -> Battery:
    return Battery(
        serial_number=serial_number,
        soc=soc,
        soh=95.0,
        voltage=50.0,
        current=10.0,
        temperature=temperature,
        cycles=3,
    )


def bay(
    number: int,
    battery: Battery | None = None,
    *,
    charging: bool = True,
    health: Health = Health.HEALTHY,
    occupancy: Occupancy | None = None,
) -> Bay:
    shown = occupancy or (Occupancy.EMPTY if battery is None else Occupancy.OCCUPIED)
    charge = Charge.NONE if battery is None else Charge.CHARGING if charging else Charge.WAITING
    return Bay(
        bay=number,
        occupancy=shown,
        charge=charge,
        lock=Lock.LOCKED,
        reservation=Reservation.FREE,
        health=health,
        battery=battery,
    )


class Rack:
    """A cabinet whose chargers do what they are told, unless they are broken."""

    def __init__(self, bays: int = 3, time: TimeSource | None = None) -> None:
        self.time = time or ManualTime()
        self.inside: dict[int, Battery | None] = {n: pack(f"EVS-{n}") for n in range(1, bays + 1)}
        self.enabled = dict.fromkeys(self.inside, True)
        self.health = dict.fromkeys(self.inside, Health.HEALTHY)
        self.silent: set[int] = set()
        self.safety = Safety(smoke=False)
        self.air = 25.0
        self.hanging: set[str] = set()
        self.failing: dict[str, Exception] = {}
        self.deaf: set[int] = set()
        """Bays whose chargers take orders, and do not follow them."""
        self.orders: list[tuple[float, int, bool]] = []
        self.unlocked: list[int] = []

    async def read_climate(self) -> Climate:
        await self._misbehave("climate")
        return Climate(temperature=self.air, humidity=40.0)

    async def read_safety(self) -> Safety:
        await self._misbehave("inputs")
        return self.safety

    async def read_bays(self) -> Sequence[Bay]:
        await self._misbehave("bays")
        return [self._shown(number) for number in self.inside]

    async def set_charging(self, bay: int, *, enabled: bool) -> None:
        self.orders.append((self.time.monotonic(), bay, enabled))
        await self._misbehave("orders")
        if bay not in self.deaf:
            self.enabled[bay] = enabled

    async def unlock(self, bay: int) -> None:
        self.unlocked.append(bay)

    async def aclose(self) -> None:
        pass

    @property
    def charging(self) -> set[int]:
        """The bays where current flows."""
        return {number for number, there in self.inside.items() if there and self.enabled[number]}

    def heat(self, number: int, temperature: float) -> None:
        there = self.inside[number]
        assert there is not None
        self.inside[number] = replace(there, temperature=temperature)

    def cuts(self) -> list[tuple[float, int]]:
        return [(when, number) for when, number, enabled in self.orders if not enabled]

    def _shown(self, number: int) -> Bay:
        if number in self.silent:
            return bay(number, occupancy=Occupancy.UNKNOWN, health=Health.FAULT)
        return bay(number, self.inside[number], charging=self.enabled[number], health=self.health[number])

    async def _misbehave(self, what: str) -> None:
        if what in self.failing:
            raise self.failing[what]
        if what in self.hanging:
            await _hang_on()


async def _hang_on() -> NoReturn:
    """A driver that does not even let itself be cancelled at once."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.sleep(0.02)
        raise
    raise AssertionError("unreachable")


class Watch:
    """A process of a station, as far as its safety goes."""

    def __init__(self, interlock: Interlock, outbox: Outbox, alarms: Alarms, time: ManualTime) -> None:
        self.interlock = interlock
        self.outbox = outbox
        self.alarms = alarms
        self.time = time

    async def until(self, condition: Callable[[], object], *, step_s: float = 0.25) -> None:
        """Let time pass until ``condition`` holds, and threads and time-outs have theirs in between."""
        async with asyncio.timeout(LONGEST_WAIT_S):
            while not condition():
                await self.time.advance(step_s)
                await asyncio.sleep(0.002)

    async def passes(self, seconds: float, *, step_s: float = 0.5) -> None:
        end = self.time.monotonic() + seconds
        await self.until(lambda: self.time.monotonic() >= end, step_s=step_s)

    async def kept(self) -> None:
        """Until what is locked out is written down."""
        await self.until(self.interlock._kept.is_set)

    async def told(self) -> list[tuple[str, int | None, str]]:
        """The alarms that the outbox holds, and the first first."""
        return [(one.alarm, one.bay, one.state.value) for one in await self.events()]

    async def events(self) -> list[AlarmEvent]:
        await self.until(lambda: not self.alarms._turns)
        found = [decode_event(one.body) for one in await self.outbox.take_events(1_000)]
        return [one for one in found if isinstance(one, AlarmEvent)]


@asynccontextmanager
async def watching(
    folder: Path,
    cabinet: Any,
    time: ManualTime,
    *,
    rules: SafetyRules = RULES,
    bays: Iterable[int] = (),
) -> AsyncIterator[Watch]:
    """The life of a process."""
    path = folder / "outbox.sqlite"
    outbox = await Outbox.open(path, station_id=STATION, time=time)
    alarms = Alarms(station_id=STATION, outbox=outbox, time=time, book=book_beside(path))
    around = Surroundings(cabinet=cabinet, bays=tuple(bays), alarms=alarms, time=time, outbox_path=path)
    interlock = Interlock(rules, around)
    stop = asyncio.Event()
    working = [asyncio.create_task(run(stop)) for run in (interlock.run, alarms.run)]
    try:
        yield Watch(interlock, outbox, alarms, time)
    finally:
        stop.set()
        await asyncio.gather(*working)
        await outbox.aclose()
