"""A station made of arithmetic: batteries that charge, customers who swap them, and the weather.

One seed tells one story. The world moves in steps of one simulated second, so what it looks like at a
moment depends on the seed, the station and the moment alone, and not on how often it was looked at; and on
what the station was told to do with its bays.
"""

import math
import random
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta, Struct

from evswap_edge.drivers import DriverKind, Surroundings
from evswap_edge.hal import ActionRefused, Cabinet, Climate
from evswap_schema import Battery, Bay, Charge, Health, Lock, Occupancy, Reservation
from evswap_schema.limits import MAX_BAYS

_STEP_S: Final = 1.0
_DAY_S: Final = 86_400.0
_HOUR_S: Final = 3_600.0


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be chosen about a simulated station."""

    bays: Annotated[int, Meta(ge=1, le=MAX_BAYS, description="Slots of the cabinet.")] = 8
    seed: Annotated[int, Meta(ge=0, description="One seed tells one story, another for each station_id.")] = 1
    speed: Annotated[float, Meta(ge=0.1, le=10_000, description="Simulated seconds in a second.")] = 1.0


# --- batteries ------------------------------------------------------------------------------------------


class Pack:
    """A swappable 48 V lithium-ion pack (13 cells in series) and its charge, health and heat.

    Charging is CC-CV: a constant current up to the knee, then a current that falls with what is missing, as
    the constant voltage of the second phase makes it do (see any cell's data sheet; the constants are
    typical ones).
    """

    CAPACITY_AH: Final = 30.0
    CURRENT_A: Final = 20.0
    KNEE_SOC: Final = 80.0
    FULL_SOC: Final = 99.0
    EMPTY_V: Final = 42.0
    FULL_V: Final = 54.0
    INNER_OHM: Final = 0.06
    HEAT_CELSIUS_PER_W: Final = 0.35
    WARMING_S: Final = 1_500.0
    CYCLES_TO_80_PERCENT: Final = 1_500

    def __init__(self, *, serial_number: str, soc: float, cycles: int, temperature: float) -> None:
        self.serial_number = serial_number
        self.soc = soc
        self.cycles = cycles
        self.temperature = temperature
        self.current = 0.0

    @property
    def charged(self) -> bool:
        return self.soc >= self.FULL_SOC

    @property
    def soh(self) -> float:
        """Health falls about evenly, to 80 % of the capacity at the end of the rated life."""
        return max(0.0, 100.0 - 20.0 * self.cycles / self.CYCLES_TO_80_PERCENT)

    @property
    def voltage(self) -> float:
        open_circuit = self.EMPTY_V + (self.FULL_V - self.EMPTY_V) * self.soc / 100.0
        return min(open_circuit + self.current * self.INNER_OHM, self.FULL_V + 0.6)

    def charge(self, seconds: float, *, ambient: float, enabled: bool = True) -> None:
        """Let the charger, where it is enabled, work on the pack for some seconds."""
        self.current = self._accepted_current() if enabled and not self.charged else 0.0
        capacity_ah = self.CAPACITY_AH * self.soh / 100.0
        self.soc = min(100.0, self.soc + 100.0 * self.current * seconds / _HOUR_S / capacity_ah)
        settled = ambient + self.current**2 * self.INNER_OHM * self.HEAT_CELSIUS_PER_W
        self.temperature += (settled - self.temperature) * min(1.0, seconds / self.WARMING_S)

    def _accepted_current(self) -> float:
        missing = (100.0 - self.soc) / (100.0 - self.KNEE_SOC)
        return self.CURRENT_A * min(1.0, missing)

    def report(self) -> Battery:
        """As the pack's management system would put it, in its resolution."""
        return Battery(
            serial_number=self.serial_number,
            soc=round(self.soc, 1),
            soh=round(self.soh, 1),
            voltage=round(self.voltage, 2),
            current=round(self.current, 2),
            temperature=round(self.temperature, 1),
            cycles=self.cycles,
        )


# --- bays -----------------------------------------------------------------------------------------------


class Slot:
    """One bay: perhaps a pack, a lock that falls shut by itself, a charger, and a promise to a customer.

    Lock and promise go by the station's seconds, also where the world's pass faster: somebody who opens a
    door has to see it open.
    """

    UNLOCKED_S: Final = 15.0

    def __init__(self, pack: Pack | None) -> None:
        self.pack = pack
        self.charging_enabled = True
        self._locks_at = -math.inf
        self._free_at = -math.inf

    def unlock(self, now: float) -> None:
        self._locks_at = now + self.UNLOCKED_S

    def enable_charging(self, enabled: bool) -> None:
        self.charging_enabled = enabled
        if self.pack is not None and not enabled:
            self.pack.current = 0.0

    def reserve(self, now: float, *, seconds: float) -> None:
        self._free_at = now + seconds

    def reserved(self, now: float) -> bool:
        return self.pack is not None and now < self._free_at

    def exchange(self, pack: Pack) -> None:
        """The pack goes, and the promise with it."""
        self.pack = pack
        self._free_at = -math.inf

    def report(self, number: int, now: float) -> Bay:
        """As the cabinet's contacts and the pack's management system show it."""
        return Bay(
            bay=number,
            occupancy=Occupancy.EMPTY if self.pack is None else Occupancy.OCCUPIED,
            charge=self._charge(),
            lock=Lock.UNLOCKED if now < self._locks_at else Lock.LOCKED,
            reservation=Reservation.RESERVED if self.reserved(now) else Reservation.FREE,
            health=Health.HEALTHY,
            battery=None if self.pack is None else self.pack.report(),
        )

    def _charge(self) -> Charge:
        if self.pack is None:
            return Charge.NONE
        if self.pack.charged:
            return Charge.CHARGED
        return Charge.CHARGING if self.charging_enabled else Charge.WAITING


# --- customers ------------------------------------------------------------------------------------------


class Customers:
    """Arrivals as a Poisson process whose rate follows the day: quiet nights, a rush before and after
    work."""

    SWAPS_PER_BAY_AND_DAY: Final = 4.2
    """About 148 swaps a day at 35 slots, the mean of the largest network."""
    RUSH_HOURS: Final = ((8.0, 1.5, 1.6), (18.0, 2.0, 2.0))
    """Hour of the day, width in hours, height over the base."""
    NIGHT: Final = 0.25
    MEAN_OF_PROFILE: Final = NIGHT + sum(
        height * width * math.sqrt(2 * math.pi) / 24 for _, width, height in RUSH_HOURS
    )

    def __init__(self, *, bays: int, chance: random.Random) -> None:
        self._per_second = bays * self.SWAPS_PER_BAY_AND_DAY / _DAY_S
        self._chance = chance

    def arrive(self, seconds: float, *, hour: float) -> bool:
        """Whether a customer came within these (few) seconds."""
        return self._chance.random() < 1.0 - math.exp(-self._per_second * self._activity(hour) * seconds)

    def _activity(self, hour: float) -> float:
        """The rate at ``hour``, relative to the day's mean."""
        rushes = (
            height * math.exp(-0.5 * (_hours_apart(hour, peak) / width) ** 2)
            for peak, width, height in self.RUSH_HOURS
        )
        return (self.NIGHT + sum(rushes)) / self.MEAN_OF_PROFILE


def _hours_apart(one: float, other: float) -> float:
    """Around the clock: 23 and 1 are two hours apart."""
    return abs((one - other + 12.0) % 24.0 - 12.0)


# --- weather --------------------------------------------------------------------------------------------


class Weather:
    """The air in the cabinet: a daily course, and a slow random wander (an Ornstein-Uhlenbeck process)."""

    DAILY_SWING: Final = 5.0
    WARMEST_HOUR: Final = 15.0
    WANDER_BACK_S: Final = 1_800.0
    WANDER_PER_ROOT_S: Final = 0.04
    DEW_POINT: Final = 14.0

    def __init__(self, *, mean: float, chance: random.Random) -> None:
        self.mean = mean
        self._chance = chance
        self._wander = 0.0

    def pass_by(self, seconds: float) -> None:
        self._wander -= self._wander * seconds / self.WANDER_BACK_S
        self._wander += self._chance.gauss(0.0, self.WANDER_PER_ROOT_S * math.sqrt(seconds))

    def temperature(self, hour: float) -> float:
        course = math.cos((hour - self.WARMEST_HOUR) / 24.0 * 2 * math.pi)
        return self.mean + self.DAILY_SWING * course + self._wander

    def humidity(self, temperature: float) -> float:
        """Warm air is relatively drier: the Magnus formula, at a constant dew point (Alduchov and Eskridge
        1996)."""
        return 100.0 * math.exp(_magnus(self.DEW_POINT) - _magnus(max(temperature, self.DEW_POINT)))


def _magnus(celsius: float) -> float:
    return 17.625 * celsius / (243.04 + celsius)


# --- the station ----------------------------------------------------------------------------------------


class SimulatedCabinet:
    """The whole station. ``advance_to`` moves the world; the two readings only look at it."""

    def __init__(self, settings: Settings, surroundings: Surroundings) -> None:
        self._time = surroundings.time
        self._speed = settings.speed
        self._chance = random.Random(f"{settings.seed}/{surroundings.station_id}")
        self._born = self._time.monotonic()
        self._born_second = _second_of_day(self._time.now())
        self._steps = 0
        self._packs_made = 0
        self._prefix = f"{surroundings.station_id[-24:]}-{settings.seed}"
        self._weather = Weather(mean=self._chance.uniform(20.0, 27.0), chance=self._chance)
        self._customers = Customers(bays=settings.bays, chance=self._chance)
        self._slots = [Slot(self._first_pack(slot)) for slot in range(settings.bays)]

    async def read_climate(self) -> Climate:
        self._advance()
        temperature = self._weather.temperature(self._hour)
        humidity = self._weather.humidity(temperature)
        return Climate(temperature=round(temperature, 2), humidity=round(humidity, 2))

    async def read_bays(self) -> Sequence[Bay]:
        self._advance()
        now = self._time.monotonic()
        return [slot.report(number, now) for number, slot in enumerate(self._slots, start=1)]

    async def unlock(self, bay: int) -> None:
        self._slot(bay).unlock(self._time.monotonic())

    async def set_charging(self, bay: int, *, enabled: bool) -> None:
        self._slot(bay).enable_charging(enabled)

    async def reserve(self, bay: int, *, seconds: float) -> None:
        slot, now = self._slot(bay), self._time.monotonic()
        if slot.pack is None:
            raise ActionRefused(bay=bay, reason="there is no battery in it")
        if slot.reserved(now):
            raise ActionRefused(bay=bay, reason="is reserved already")
        slot.reserve(now, seconds=seconds)

    async def aclose(self) -> None:
        """There is nothing to give back."""

    def _slot(self, bay: int) -> Slot:
        if not 1 <= bay <= len(self._slots):
            raise ActionRefused(bay=bay, reason=f"there are bays 1 to {len(self._slots)}")
        self._advance()
        return self._slots[bay - 1]

    @property
    def _hour(self) -> float:
        return (self._born_second + self._steps * _STEP_S) % _DAY_S / _HOUR_S

    def _advance(self) -> None:
        """Let the world catch up with the clock."""
        due = int((self._time.monotonic() - self._born) * self._speed / _STEP_S)
        while self._steps < due:
            self._steps += 1
            self._step()

    def _step(self) -> None:
        self._weather.pass_by(_STEP_S)
        ambient = self._weather.temperature(self._hour)
        for slot in self._slots:
            if slot.pack is not None:
                slot.pack.charge(_STEP_S, ambient=ambient, enabled=slot.charging_enabled)
        if self._customers.arrive(_STEP_S, hour=self._hour):
            self._swap(ambient)

    def _swap(self, ambient: float) -> None:
        """The customer takes the fullest charged pack that is promised to nobody and leaves a spent one; with
        none there, goes on."""
        now = self._time.monotonic()
        charged = [
            (slot.pack.soc, number)
            for number, slot in enumerate(self._slots)
            if slot.pack is not None and slot.pack.charged and not slot.reserved(now)
        ]
        if charged:
            _, number = max(charged)
            spent = self._pack(soc=self._chance.uniform(8.0, 35.0), temperature=ambient + 6.0)
            self._slots[number].exchange(spent)

    def _first_pack(self, slot: int) -> Pack | None:
        """About one slot in eight stands empty; half of the others hold a full pack, the rest are at it."""
        if slot and self._chance.random() < 1 / 8:
            return None
        soc = 100.0 if self._chance.random() < 0.5 else self._chance.uniform(10.0, 98.0)
        return self._pack(soc=soc, temperature=self._weather.mean)

    def _pack(self, *, soc: float, temperature: float) -> Pack:
        self._packs_made += 1
        return Pack(
            serial_number=f"{self._prefix}-{self._packs_made:06d}",
            soc=soc,
            cycles=self._chance.randint(0, 900),
            temperature=temperature,
        )


def _second_of_day(moment: datetime) -> float:
    return moment.hour * _HOUR_S + moment.minute * 60.0 + moment.second


async def open_simulated(settings: Settings, surroundings: Surroundings) -> Cabinet:
    """Begin a new story."""
    return SimulatedCabinet(settings, surroundings)


KIND: Final = DriverKind(
    settings=Settings, open=open_simulated, bays=lambda settings: tuple(range(1, settings.bays + 1))
)
