"""A simulated station: the world of ``evswap_edge.simulation``, seen and acted on through the HAL.

The world catches up with the clock whenever it is looked at, in steps that are always the same. So what it
looks like at a moment depends on the seed, the station and the moment alone, and not on how often it was
looked at; and on what the station was told to do with its bays.
"""

import asyncio
import math
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from evswap_edge.drivers import WHOLE_STATION, DriverKind, Role, SettingRefused, Surroundings
from evswap_edge.hal import ActionRefused, Cabinet, Climate, Safety, SensorError
from evswap_edge.simulation.cabinet import Slot
from evswap_edge.simulation.faults import Fault
from evswap_edge.simulation.pack import Pack
from evswap_edge.simulation.stations import BAYS, StationType
from evswap_edge.simulation.world import STEP_S, Story, Witness, World, nobody
from evswap_schema import Battery, Bay, Charge, Health, Lock, Occupancy, Reservation
from evswap_schema.limits import MAX_BAYS

_BAYS_UNLESS_SAID: Final = 8
UNLOCKED_S: Final = 15.0
"""A door that nobody uses locks again after so many of the station's seconds."""


class CustomersAre(StrEnum):
    """How customers come by their battery."""

    AUTONOMOUS = "autonomous"
    """They exchange by themselves: the station needs no swaps of its own."""
    PRESENT_TOKENS = "present_tokens"
    """They show a token at the reader, and use what is unlocked for them."""


class Faults(StrEnum):
    """How often something breaks, and customers err."""

    NONE = "none"
    REALISTIC = "realistic"
    FREQUENT = "frequent"


_FAULT_FACTOR: Final = {Faults.NONE: 0.0, Faults.REALISTIC: 1.0, Faults.FREQUENT: 100.0}


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be chosen about a simulated station."""

    bays: Annotated[int, Meta(ge=1, le=MAX_BAYS, description="Slots of the cabinet.")] = _BAYS_UNLESS_SAID
    station_type: StationType | None = None
    """In place of ``bays``: a cabinet of 8, 35 or 120."""
    seed: Annotated[int, Meta(ge=0, description="One seed tells one story, another for each station_id.")] = 1
    speed: Annotated[float, Meta(ge=0.1, le=10_000, description="Simulated seconds in a second.")] = 1.0
    customers: CustomersAre = CustomersAre.AUTONOMOUS
    faults: Faults = Faults.REALISTIC
    start: datetime | None = None
    """The local time at which the story begins; the station's clock as it is opened, unless said."""
    latitude: Annotated[float, Meta(ge=-60, le=60, description="Degrees; the climate goes with it.")] = 25.0


def bays_of(settings: Settings) -> int:
    """How many bays these settings ask for."""
    return settings.bays if settings.station_type is None else BAYS[settings.station_type]


def check_simulated(settings: Settings) -> None:
    """Raises ``SettingRefused``."""
    if settings.bays not in (_BAYS_UNLESS_SAID, bays_of(settings)):
        has = f"a {settings.station_type} has {bays_of(settings)} bays"
        raise SettingRefused("station_type", f"{has}, and bays says {settings.bays}; leave one of them out")


class SimulatedCabinet:
    """The whole station. Readings let the world catch up with the clock and look at it.

    Locks and promises go by the station's seconds, also where the world's pass faster: somebody who opens a
    door has to see it open.
    """

    def __init__(self, settings: Settings, surroundings: Surroundings, witness: Witness = nobody) -> None:
        """``witness`` is told of all that happens, also of what no station can see."""
        self._time = surroundings.time
        self._speed = settings.speed
        self._born = self._time.monotonic()
        self.world: Final = World(
            Story(
                seed=f"{settings.seed}/{surroundings.station_id}",
                name=surroundings.station_id,
                bays=bays_of(settings),
                start=settings.start or self._time.now(),
                latitude=settings.latitude,
                presents_tokens=settings.customers is CustomersAre.PRESENT_TOKENS,
                fault_factor=_FAULT_FACTOR[settings.faults],
            ),
            witness,
        )
        self._locks_at: dict[int, float] = {}

    # --- what is read ---

    async def read_climate(self) -> Climate:
        self._advance()
        air = self.world.air()
        if air is None:
            raise SensorError(sensor="climate", reason="the simulated sensor is broken")
        return Climate(temperature=round(air.temperature, 2), humidity=round(air.humidity, 2))

    async def read_bays(self) -> Sequence[Bay]:
        self._advance()
        return [_shown(slot) for slot in self.world.slots]

    async def read_safety(self) -> Safety:
        self._advance()
        return Safety(smoke=self.world.smoke, blocked_doors=self.world.blocked_doors)

    async def read_token(self) -> str:
        self._advance()
        never = asyncio.Event()
        while not self.world.tokens:
            await self._time.wait_until(self._begins(self.world.steps + 1), unless=never)
            self._advance()
        return self.world.tokens.popleft()

    # --- what is done ---

    async def unlock(self, bay: int) -> None:
        self._slot(bay)
        self.world.unlock(bay)
        self._locks_at[bay] = self._time.monotonic() + UNLOCKED_S

    async def set_charging(self, bay: int, *, enabled: bool) -> None:
        self._slot(bay)
        self.world.set_charging(bay, enabled=enabled)

    async def aclose(self) -> None:
        """There is nothing to give back."""

    # --- time ---

    def _slot(self, bay: int) -> Slot:
        if not 1 <= bay <= len(self.world.slots):
            raise ActionRefused(bay=bay, reason=f"there are bays 1 to {len(self.world.slots)}")
        self._advance()
        return self.world.slots[bay - 1]

    def _begins(self, step: int) -> float:
        """When a step is due, by the station's monotonic clock."""
        return self._born + step * STEP_S / self._speed

    def _advance(self) -> None:
        """Let the world catch up with the clock. What falls due on the way does so at its own step."""
        now = self._time.monotonic()
        while self._begins(self.world.steps + 1) <= now:
            self._expire(self._begins(self.world.steps + 1))
            self.world.step()
        self._expire(now)

    def _expire(self, now: float) -> None:
        """Doors fall shut that were to do so by ``now``."""
        for bay in [bay for bay, moment in self._locks_at.items() if moment <= now]:
            del self._locks_at[bay]
            self.world.lock(bay)


def _shown(slot: Slot) -> Bay:
    """As the cabinet's contacts and the pack's management system show it."""
    return Bay(
        bay=slot.number,
        occupancy=Occupancy.EMPTY if slot.pack is None else Occupancy.OCCUPIED,
        charge=_charge(slot),
        lock=Lock.UNLOCKED if slot.unlocked or Fault.DOOR_BLOCKED in slot.faults else Lock.LOCKED,
        reservation=Reservation.FREE,
        health=Health.FAULT if slot.faults.intersection(_SHOWN_FAULTS) else Health.HEALTHY,
        battery=_reported(slot.pack) if slot.pack is not None and slot.speaks else None,
    )


_SHOWN_FAULTS: Final = frozenset({Fault.BMS_SILENT, Fault.CHARGER_FAILED, Fault.OVER_TEMPERATURE})
"""A lock that is stuck shows when it is used, and not before."""


def _charge(slot: Slot) -> Charge:
    if slot.pack is None:
        return Charge.NONE
    if slot.pack.full and slot.speaks:
        return Charge.CHARGED
    return Charge.CHARGING if slot.charges else Charge.WAITING


def _reported(pack: Pack) -> Battery:
    """As its management system puts it, in its resolution."""
    return Battery(
        serial_number=pack.serial_number,
        soc=round(100.0 * pack.soc, 1),
        soh=round(100.0 * pack.soh, 1),
        voltage=round(pack.voltage, 2),
        current=round(pack.current, 2),
        temperature=round(pack.temperature, 1),
        cycles=math.floor(pack.cycles),
    )


async def open_simulated(settings: Settings, surroundings: Surroundings) -> Cabinet:
    """Begin a new story."""
    return SimulatedCabinet(settings, surroundings)


KIND: Final = DriverKind(
    settings=Settings,
    open=open_simulated,
    provides=WHOLE_STATION | {Role.SAFETY, Role.READER},
    check=check_simulated,
    bays=lambda settings: tuple(range(1, bays_of(settings) + 1)),
)
