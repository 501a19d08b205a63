"""A station out of several drivers: one for each role.

A driver that cannot open its hardware costs its own role and no other: the rest of the station works, and
each reading tries to open it again. Only a station of which nothing can be opened does not begin.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from evswap_edge.drivers import DriverKind, Role, Surroundings
from evswap_edge.hal import (
    ActionRefused,
    BayActuators,
    BayBank,
    Climate,
    ClimateSensor,
    DriverUnavailable,
    Hardware,
    SensorError,
)
from evswap_schema import Bay


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The driver that was chosen for a role, and its settings."""

    role: Role
    name: str
    kind: DriverKind[Any]
    settings: Any


class _Seat:
    """A role, and the hardware that fills it once it could be opened."""

    def __init__(self, part: Part, surroundings: Surroundings) -> None:
        self._part = part
        self._surroundings = surroundings
        self._opened: Hardware | None = None

    async def hardware(self) -> Hardware:
        """Raises ``DriverUnavailable``."""
        if self._opened is None:
            self._opened = await self._part.kind.open(self._part.settings, self._surroundings)
        return self._opened

    @property
    def driver(self) -> str:
        return self._part.name

    def broken_promise(self) -> DriverUnavailable:
        """The driver declares the role and what it opened does not have it."""
        reason = f"declares the role {self._part.role} and does not have it; mend the driver"
        return DriverUnavailable(device=f"driver {self._part.name}", reason=reason)

    async def aclose(self) -> None:
        if self._opened is not None:
            await self._opened.aclose()


class ComposedCabinet:
    """A ``Cabinet`` that asks each driver for its own role."""

    def __init__(self, parts: Sequence[Part], surroundings: Surroundings) -> None:
        self._seats: Final = {part.role: _Seat(part, surroundings) for part in parts}

    async def open(self) -> None:
        """Open what can be opened. Raises ``DriverUnavailable`` when that is nothing."""
        attempts = (seat.hardware() for seat in self._seats.values())
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        failures = [each for each in outcomes if isinstance(each, BaseException)]
        unexpected = [each for each in failures if not isinstance(each, DriverUnavailable)]
        if unexpected or len(failures) == len(outcomes):
            await self.aclose()
            raise (unexpected or failures)[0]

    async def read_climate(self) -> Climate:
        hardware = await self._hardware(Role.CLIMATE)
        if not isinstance(hardware, ClimateSensor):
            raise self._seats[Role.CLIMATE].broken_promise()
        return await hardware.read_climate()

    async def read_bays(self) -> Sequence[Bay]:
        hardware = await self._hardware(Role.BAYS)
        if not isinstance(hardware, BayBank):
            raise self._seats[Role.BAYS].broken_promise()
        return await hardware.read_bays()

    async def unlock(self, bay: int) -> None:
        await (await self._actuators(bay)).unlock(bay)

    async def set_charging(self, bay: int, *, enabled: bool) -> None:
        await (await self._actuators(bay)).set_charging(bay, enabled=enabled)

    async def reserve(self, bay: int, *, seconds: float) -> None:
        await (await self._actuators(bay)).reserve(bay, seconds=seconds)

    async def aclose(self) -> None:
        for seat in self._seats.values():
            await seat.aclose()

    async def _hardware(self, role: Role) -> Hardware:
        try:
            return await self._seats[role].hardware()
        except DriverUnavailable as error:
            raise SensorError(sensor=error.device, reason=error.reason) from error

    async def _actuators(self, bay: int) -> BayActuators:
        """Of the driver that knows the bays. Raises ``ActionRefused`` when it has none, or is not there."""
        seat = self._seats[Role.BAYS]
        try:
            hardware = await seat.hardware()
        except DriverUnavailable as error:
            raise ActionRefused(bay=bay, reason=str(error)) from error
        if not isinstance(hardware, BayActuators):
            raise ActionRefused(bay=bay, reason=f"the driver {seat.driver} has no actuators")
        return hardware


async def open_composed(parts: Sequence[Part], surroundings: Surroundings) -> ComposedCabinet:
    """Put the drivers together, one for each role."""
    cabinet = ComposedCabinet(parts, surroundings)
    await cabinet.open()
    return cabinet
