"""A station's world: everything that happens at it, in steps of simulated time.

A step is five seconds, always, whoever looks and however fast the clock runs; so one seed tells one story.
What a station is told to do with its bays takes effect at the next step and changes what comes of it, but
neither the weather, nor when customers come, nor what breaks: each has a stream of chance of its own.
"""

import hashlib
import heapq
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from evswap_edge.simulation.ageing import Wear
from evswap_edge.simulation.arrivals import CUSTOMERS_PER_SWAP, SWAPS_PER_BAY_AND_DAY, arrivals
from evswap_edge.simulation.cabinet import Cabinet, Slot
from evswap_edge.simulation.chance import Chance, stream
from evswap_edge.simulation.customers import (
    ROAD_DAYS,
    Autonomous,
    Crowd,
    Manners,
    Presenting,
    Rider,
    Visit,
    What,
)
from evswap_edge.simulation.faults import Breakdown, Breakdowns, Fault
from evswap_edge.simulation.names import serial_number, tokens
from evswap_edge.simulation.pack import Pack, Tier
from evswap_edge.simulation.stations import Electrics, Housing, tiers_for
from evswap_edge.simulation.weather import Normals, Weather, relative_humidity

STEP_S: Final = 5.0
_DAY_S: Final = 86_400.0
_SHORT_W: Final = 250.0
"""Of a pack that overheats: it warms by more than a kelvin a minute, and passes 60 degrees within half an
hour."""
_SMOKES_AT: Final = 80.0
_SENSOR_SPREAD: Final = (0.03, 0.15)
"""Of the climate sensor from reading to reading: kelvin, and percent relative humidity."""
_YEARS_IN_SERVICE: Final = (0.5, 4.0)
_MEAN_DEPTH: Final = 0.76
_GOLDEN: Final = (math.sqrt(5.0) - 1.0) / 2.0
_ROUND_S: Final = 3_600.0
_FOREIGN_STAYS_S: Final = 12 * 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What is told. ``seed`` is all that chance depends on; ``name`` begins the packs' serial numbers.

    ``start`` is local time. ``fault_factor`` multiplies how often things break and customers err: 0 is never,
    1 as at real stations.
    """

    seed: str
    bays: int
    start: datetime
    name: str = "station"
    latitude: float = 25.0
    presents_tokens: bool = False
    fault_factor: float = 1.0
    swaps_per_bay_and_day: float = SWAPS_PER_BAY_AND_DAY
    electrics: Electrics = Electrics()  # noqa: RUF009 - frozen
    housing: Housing = Housing()  # noqa: RUF009 - frozen


@dataclass(frozen=True, slots=True)
class Happening:
    """Something happened ``seconds`` after the start."""

    seconds: float
    what: What
    particulars: str


@dataclass(frozen=True, slots=True)
class Air:
    """What the climate sensor says: degrees Celsius and percent."""

    temperature: float
    humidity: float


Witness = Callable[[Happening], None]


def nobody(_: Happening) -> None:
    """Nobody looks."""


class World:
    """A station and what is around it. ``step`` moves it; nothing else does."""

    def __init__(self, story: Story, witness: Witness = nobody) -> None:
        self.story = story
        self.steps = 0
        self.tokens: deque[str] = deque()
        """What customers showed at the reader, and nobody has fetched."""
        self.packs: list[Pack] = []
        """Of the network, wherever they are."""
        self.retired: list[Pack] = []
        """What a technician took away."""
        self._witness = witness
        self._log = hashlib.sha256()
        self._weather = Weather(
            Normals(story.latitude), start=story.start, step_s=STEP_S, chance=stream(story.seed, "weather")
        )
        self.outside = self._weather.step(0.0)
        self.cabinet = Cabinet(
            story.bays,
            temperature=min(self.outside + 8.0, story.housing.fan_on_at),
            electrics=story.electrics,
            housing=story.housing,
        )
        self._crowd = self._furnished()
        self.cabinet.open_book()
        self._arrivals = arrivals(
            story.start,
            mean_per_day=story.swaps_per_bay_and_day * story.bays * CUSTOMERS_PER_SWAP,
            chance=stream(story.seed, "arrivals"),
        )
        self._next_arrival = next(self._arrivals)
        self._breakdowns = Breakdowns(story.seed, bays=story.bays, factor=story.fault_factor)
        self._broken: list[tuple[float, Breakdown]] = []
        self._of_station: set[Fault] = set()
        self._door: Autonomous | Presenting = (
            Presenting(self.cabinet, self._tell, self.tokens)
            if story.presents_tokens
            else Autonomous(self.cabinet, self._tell)
        )

    # --- what can be seen ---

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self.steps * STEP_S

    @property
    def slots(self) -> list[Slot]:
        return self.cabinet.slots

    def air(self) -> Air | None:
        """What the climate sensor says in this step; None while it is broken."""
        if Fault.CLIMATE_SENSOR_FAILED in self._of_station:
            return None
        noise = stream(self.story.seed, f"sensor/{self.steps}")
        inside = self.cabinet.temperature
        humidity = relative_humidity(celsius=inside, dew_point=self._weather.dew_point)
        warmer, wetter = (noise.gauss(0.0, spread) for spread in _SENSOR_SPREAD)
        return Air(inside + warmer, min(100.0, max(0.0, humidity + wetter)))

    @property
    def smoke(self) -> bool:
        """Whether the smoke detector sounds: something smoulders, or it is a false alarm."""
        hottest = max((slot.pack.temperature for slot in self.slots if slot.pack), default=0.0)
        return Fault.SMOKE in self._of_station or hottest >= _SMOKES_AT

    @property
    def blocked_doors(self) -> frozenset[int]:
        return frozenset(slot.number for slot in self.slots if Fault.DOOR_BLOCKED in slot.faults)

    @property
    def visiting(self) -> list[Rider]:
        """Those at the station."""
        return self._door.riders

    @property
    def riding(self) -> list[Rider]:
        """Those on the road with a pack."""
        return self._crowd.riding

    def digest(self) -> str:
        """Of all that has happened and all that is; equal stories have equal ones."""
        state = self._log.copy()
        state.update(f"{self.steps} {self.outside!r} {self.cabinet.temperature!r}".encode())
        for slot in self.slots:
            pack = slot.pack
            of_pack = pack and (pack.serial_number, pack.soc, pack.temperature, pack.current, pack.soh)
            state.update(f"{slot.number} {of_pack!r} {sorted(slot.faults)}".encode())
        return state.hexdigest()

    # --- what can be done ---

    def unlock(self, bay: int) -> None:
        """Open the lock of a bay, unless it is stuck."""
        slot = self.slots[bay - 1]
        slot.unlocked = Fault.LOCK_STUCK not in slot.faults

    def lock(self, bay: int) -> None:
        """The lock falls shut."""
        self.slots[bay - 1].unlocked = False

    def set_charging(self, bay: int, *, enabled: bool) -> None:
        """Let the charger of a bay work, or not."""
        slot = self.slots[bay - 1]
        slot.charging_enabled = enabled
        if slot.pack is not None and not enabled:
            slot.pack.current = 0.0

    def step(self) -> None:
        """Five seconds pass."""
        self.steps += 1
        now = self.seconds
        self.outside = self._weather.step(now)
        self._mend(now)
        if now % _ROUND_S == 0.0:
            self._collect_foreign(now)
        for breakdown in self._breakdowns.until(now):
            self._break(breakdown)
        self._let_in(now)
        for visit in self._door.step(now):
            self._crowd.leave(visit, now, outside=self.outside)
        for slot, pack in self.cabinet.step(STEP_S, now=now, outside=self.outside):
            took_s = now - slot.put_in_at
            self._tell(What.CHARGED, f"{slot.number} {took_s:g} {slot.put_in_soc:.4f} {pack.tier.name}")

    # --- inside ---

    def _tell(self, what: What, particulars: str) -> None:
        self._log.update(f"{self.steps} {what} {particulars}\n".encode())
        self._witness(Happening(self.seconds, what, particulars))

    def _let_in(self, now: float) -> None:
        while self._next_arrival <= now:
            self._next_arrival = next(self._arrivals)
            visit = self._crowd.send(now, outside=self.outside)
            if visit is not None:
                self._greet(visit, What.ARRIVES)
        while (visit := self._crowd.come_back(now)) is not None:
            self._greet(visit, What.RETURNS)

    def _greet(self, visit: Visit, what: What) -> None:
        self._tell(what, visit.rider.token)
        self._door.queue(visit)

    def _break(self, breakdown: Breakdown) -> None:
        self._tell(What.BREAKS, f"{breakdown.fault} {breakdown.bay}")
        heapq.heappush(self._broken, (breakdown.ends, breakdown))
        if not breakdown.bay:
            self._of_station.add(breakdown.fault)
            return
        slot = self.slots[breakdown.bay - 1]
        slot.faults.add(breakdown.fault)
        if slot.pack is not None and not slot.charges:
            slot.pack.current = 0.0
        if breakdown.fault is Fault.OVER_TEMPERATURE and slot.pack is not None:
            slot.pack.short_w = _SHORT_W

    def _mend(self, now: float) -> None:
        """A technician has been, or it went by itself."""
        while self._broken and self._broken[0][0] <= now:
            _, breakdown = heapq.heappop(self._broken)
            self._tell(What.MENDED, f"{breakdown.fault} {breakdown.bay}")
            again = any(b.fault is breakdown.fault and b.bay == breakdown.bay for _, b in self._broken)
            if not again:
                self._mended(breakdown, now)

    def _mended(self, breakdown: Breakdown, now: float) -> None:
        if not breakdown.bay:
            self._of_station.discard(breakdown.fault)
            return
        slot = self.slots[breakdown.bay - 1]
        slot.faults.discard(breakdown.fault)
        if slot.pack is not None and slot.pack.short_w:
            self.retired.append(self.cabinet.take(slot, now=now))

    def _collect_foreign(self, now: float) -> None:
        """A technician takes packs away that do not belong here, when they have been there for long."""
        for slot in self.slots:
            if slot.pack is not None and slot.pack.foreign and now - slot.put_in_at >= _FOREIGN_STAYS_S:
                self.retired.append(self.cabinet.take(slot, now=now))

    # --- the beginning ---

    def _furnished(self) -> Crowd:
        """Packs in the bays and on the road, of all ages."""
        story, chance = self.story, stream(self.story.seed, "beginning")
        shares = tiers_for(story.bays)
        empty = 0 if story.bays == 1 else max(1, story.bays // 10)
        order = list(self.slots)
        chance.shuffle(order)
        for index, slot in enumerate(order[empty:]):
            tier = _by_share(shares, index)
            soc = 1.0 if index % 2 == 0 else chance.uniform(0.15, 0.9)
            pack = self._pack(tier, soc=soc, chance=chance, temperature=self.cabinet.temperature)
            pack.full = soc == 1.0
            self.cabinet.furnish(slot, pack)
        shown = tokens(story.name, bays=story.bays, swaps_per_bay_and_day=story.swaps_per_bay_and_day)
        riding = [self._rider(_by_share(shares, index), token, chance) for index, token in enumerate(shown)]
        return Crowd(
            riding,
            Manners(),
            habits=stream(story.seed, "customers"),
            forgetting=stream(story.seed, "fault/not_collected"),
            mistaking=stream(story.seed, "fault/foreign_battery"),
            fault_factor=story.fault_factor,
        )

    def _rider(self, tier: Tier, token: str, chance: Chance) -> Rider:
        pack = self._pack(tier, soc=1.0, chance=chance, temperature=self.outside)
        left_at = -chance.expovariate(1.0 / (ROAD_DAYS * _DAY_S))
        return Rider(token, tier, [pack], left_at, self.outside)

    def _pack(self, tier: Tier, *, soc: float, chance: Chance, temperature: float) -> Pack:
        days = chance.uniform(*_YEARS_IN_SERVICE) * 365.25
        cycles = days / (ROAD_DAYS + 0.25)
        wear, air = Wear(), Normals(self.story.latitude).mean
        wear.rest(days, volts=3.85, celsius=air + 5.0)
        wear.cycle(2 * _MEAN_DEPTH * cycles * 0.93 * 2.05, volts=3.87, depth=_MEAN_DEPTH)
        serial = serial_number(self.story.name, self.story.seed.partition("/")[0], len(self.packs) + 1)
        pack = Pack(serial_number=serial, tier=tier, soc=soc, wear=wear, temperature=temperature)
        pack.cycles = cycles * _MEAN_DEPTH
        self.packs.append(pack)
        return pack


def _by_share(shares: Mapping[Tier, float], index: int) -> Tier:
    """Which tier is the next of many, so that the first ones have the shares too: places by the golden ratio
    leave no gap."""
    place, tiers = (index * _GOLDEN + 0.5) % 1.0, list(shares)
    passed = 0.0
    for tier in tiers:
        passed += shares[tier]
        if place < passed:
            return tier
    return tiers[-1]
