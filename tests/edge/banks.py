"""Drivers on strings, and stations that are put together of them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from evswap_edge.drivers import DriverKind, Role, Surroundings
from evswap_edge.drivers.composition import Composition, Part
from evswap_edge.hal import Charger, Climate, Hardware, Safety
from evswap_edge.testing import ManualTime
from evswap_schema import Battery, Lock

HANGS = "hangs"
QUICK_S = 0.25
"""For how long a scripted driver is waited for."""


def battery(bay: int, *, soc: float = 50.0, current: float = 12.0) -> Battery:
    return Battery(
        serial_number=f"B-{bay}", soc=soc, soh=95.0, voltage=48.0, current=current, temperature=28.0, cycles=7
    )


@dataclass
class Scripted:
    """Has every protocol; answers with what stands in ``says``, raises it when it is an error, and is silent
    for ever when it is ``HANGS``."""

    says: Any = None
    closed: int = 0
    asked: int = 0
    opened: int = 0
    done: list[tuple[str, int]] = field(default_factory=list)
    stubborn: bool = False
    """Hangs on when it is cancelled."""

    async def answer(self) -> Any:
        self.asked += 1
        while isinstance(self.says, str) and self.says == HANGS:
            try:
                await asyncio.sleep(0.005)
            except asyncio.CancelledError:
                if not self.stubborn:
                    raise
        if isinstance(self.says, BaseException):
            raise self.says
        return self.says

    async def aclose(self) -> None:
        self.closed += 1


class Batteries(Scripted):
    faults: Any = None
    """What they find wrong with themselves."""

    async def read_batteries(self) -> Any:
        return await self.answer()

    async def read_battery_faults(self) -> Any:
        if isinstance(self.faults, BaseException):
            raise self.faults
        return self.faults or {}


class Locks(Scripted):
    async def read_locks(self) -> Any:
        return await self.answer()

    async def unlock(self, bay: int) -> None:
        self.done.append(("unlock", bay))


class Chargers(Scripted):
    async def read_chargers(self) -> Any:
        return await self.answer()

    async def set_charging(self, bay: int, *, enabled: bool) -> None:
        self.done.append(("on" if enabled else "off", bay))


class Whole(Scripted):
    async def read_bays(self) -> Any:
        return await self.answer()


class Weather(Scripted):
    async def read_climate(self) -> Climate:
        answer = await self.answer()
        return answer if isinstance(answer, Climate) else Climate(temperature=21.5, humidity=40.0)


class Watch(Scripted):
    async def read_safety(self) -> Safety:
        answer = await self.answer()
        assert isinstance(answer, Safety)
        return answer


class Reader(Scripted):
    async def read_token(self) -> str:
        return str(await self.answer())


ROLES: Mapping[type[Scripted], Role] = {
    Batteries: Role.BATTERIES,
    Locks: Role.LOCKS,
    Chargers: Role.CHARGERS,
    Whole: Role.BAYS,
    Weather: Role.CLIMATE,
    Watch: Role.SAFETY,
    Reader: Role.READER,
}


def part(
    hardware: Hardware | Exception,
    *bays: int,
    name: str = "mine",
    role: Role | None = None,
    claims: Mapping[str, str] | None = None,
) -> Part:
    """A driver that opens ``hardware``, or fails with it while it is an error."""

    async def opens(_: Any, __: Surroundings) -> Hardware:
        if isinstance(hardware, Exception):
            raise hardware
        if isinstance(hardware, Scripted):
            hardware.opened += 1
        return hardware

    role = role or ROLES[type(hardware)]  # type: ignore[index]
    kind = DriverKind(settings=Struct, open=opens, claims=lambda _: claims or {})
    return Part(role=role, name=name, kind=kind, settings=Struct(), bays=bays, at=("driver", role))


def station(*parts: Part) -> Composition:
    return Composition(parts)


def surroundings(
    time: ManualTime | None = None, *, within_s: float = QUICK_S, told: dict[str, str | None] | None = None
) -> Surroundings:
    """``told`` gets what would become alarms."""
    told = {} if told is None else told

    def tell(sensor: str, reason: str | None, bay: int | None) -> None:
        told[sensor if bay is None else f"{sensor}/{bay}"] = reason

    return Surroundings(
        station_id="station-01",
        time=time or ManualTime(),
        answer_within_s=within_s,
        on_sensor=tell,
    )


def locked(*bays: int) -> dict[int, Lock]:
    return dict.fromkeys(bays, Lock.LOCKED)


def charging(*bays: int) -> dict[int, Charger]:
    return dict.fromkeys(bays, Charger(enabled=True, current=12.0))
